"""`conduit groups`: what several keys have in common, and what was paid in for them."""

import secrets
from typing import Annotated, Any

import typer

from conduit.cli import inputs
from conduit.cli.allowances import (
    Budget,
    BudgetChange,
    GivenLimits,
    OtherPeriod,
    Period,
    Timezone,
    budget_body,
    budget_change,
    changed_limits,
    limits_text,
    need_budget,
    spending_of,
    tell_projected,
)
from conduit.cli.call import Call
from conduit.cli.commands import keys, usage
from conduit.cli.console import Tone
from conduit.cli.failures import Failure
from conduit.cli.options import Name, SomeNames
from conduit.cli.output import Column, View
from conduit.cli.records.attempt_filters import SinceOrEver, Until
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.core import people

noun = Noun("Groups of keys: models, limits and budgets that they share, and a prepaid balance.")


def _tone(group: Record) -> Tone:
    return "good" if group["enabled"] else "dim"


def _balance(group: Record) -> str:
    prepaid = group.get("prepaid")
    return "-" if prepaid is None else people.money(prepaid["balance"])


def _balance_tone(group: Record) -> Tone:
    prepaid = group.get("prepaid")
    if prepaid is None:
        return "dim"
    return "good" if float(prepaid["balance"]) > 0 else "bad"


VIEW = View(
    columns=(
        Column("name", "name"),
        Column("enabled", "enabled", tone=_tone),
        Column("keys", "keys", right=True),
        Column("spent / budget", "budgets.spent", spending_of, spare=1),
        Column("balance", "prepaid.balance", _balance, tone=_balance_tone, right=True),
        Column("models", "allowed_models", spare=3),
        Column("limits", "limits", limits_text, wide=True),
        Column("addresses", "allowed_ips", wide=True),
        Column("description", "description", spare=4),
        Column("id", "id", wide=True),
        Column(
            "created", "created_at", lambda group: people.moment(group["created_at"]), wide=True
        ),
        Column("version", "version", wide=True, right=True),
    ),
    empty="no groups yet; make one with: conduit groups create NAME",
)
DETAIL = View(
    columns=(
        *VIEW.columns,
        Column("paid in", "prepaid.paid_in"),
        Column("spent of it", "prepaid.spent"),
        Column("held of it", "prepaid.held"),
        Column("prepaid since", "prepaid.since"),
    )
)
TRANSACTIONS = View(
    columns=(
        Column("time", "at", lambda made: people.moment(made["at"])),
        Column("kind", "kind", firm=True),
        Column("amount", "amount", lambda made: people.money(made["amount"]), right=True),
        Column("balance", "balance", lambda made: people.money(made["balance"]), right=True),
        Column("reason", "reason", spare=1),
        Column("by", "actor", spare=2),
        Column("client", "client", wide=True),
        Column("address", "address", wide=True),
        Column("idempotency key", "idempotency_key", wide=True),
        Column("id", "id", firm=True),
    ),
    empty="nothing was paid in yet; do it with: conduit groups credit NAME USD",
)
Models = Annotated[
    str | None,
    typer.Option(
        "--models", metavar="A,B", help="Aliases its keys may use at most; * fits any text."
    ),
]
Ips = Annotated[
    str | None,
    typer.Option(
        "--ips", metavar="A,B", help="Addresses or networks its keys may be used from, or any."
    ),
]
Description = Annotated[
    str | None, typer.Option("--description", metavar="TEXT", help="What it is for.")
]
Amount = Annotated[str, typer.Argument(metavar="USD", help="How much.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the records.")]
IdempotencyKey = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key", metavar="TEXT", help="Asked for again under it, it is made once."
    ),
]
AllowNegative = Annotated[
    bool, typer.Option("--allow-negative", help="Even if less than nothing is left.")
]


@verb(noun, "list", "listing")
def list_groups(call: Call) -> None:
    """List groups."""
    call.show_list("groups.list", VIEW)


@verb(noun, "show", "output")
def show(call: Call, name: Name) -> None:
    """Show a group, and on stderr what its budgets are projected to spend."""
    group = call.find("groups", name)
    call.printer.record(group, DETAIL)
    tell_projected(call, group["budgets"])


@verb(noun, "create", "change")
def create(
    call: Call,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called.")],
    description: Description = None,
    models: Models = None,
    ips: Ips = None,
    budget: Budget = None,
    period: Period = "total",
    timezone: Timezone = None,
    *,
    limits: GivenLimits,
    prepaid: Annotated[
        bool, typer.Option("--prepaid", help="Serve nothing before its balance is credited.")
    ] = False,
) -> None:
    """Make a group; keys come into it with: conduit keys update KEY --group NAME."""
    body: dict[str, Any] = {"name": name, **_said(description, models, ips)}
    body |= limits.body()
    if prepaid:
        body["prepaid"] = True
    need_budget(budget, timezone)
    given = None if budget is None else budget_body(budget, period, timezone)
    group = call.change("groups.create", body=body)
    if group is None:
        return
    if given is not None:
        BudgetChange((), given).apply(call, "group", group)
        group = call.fetch("groups.show", group["id"])
    call.show_changed(
        group,
        VIEW,
        f"created group {group['name']}",
        then=f"conduit keys create --group {group['name']}",
    )


@verb(noun, "update", "change")
def update(
    call: Call,
    name: Name,
    rename: Annotated[str | None, typer.Option("--name", metavar="NEW", help="New name.")] = None,
    description: Description = None,
    models: Models = None,
    ips: Ips = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", metavar="USD", help="Most that may be spent, or none."),
    ] = None,
    period: OtherPeriod = None,
    *,
    limits: GivenLimits,
) -> None:
    """Change a group's name, description, models, addresses, budget or limits.

    A limit that is not named stays; none takes it away. --budget changes the budget that there is.
    """
    body = _said(description, models, ips)
    if rename is not None:
        body["name"] = rename
    changes = limits.changes()
    if not body and budget is None and period is None and not changes:
        raise Failure(
            "nothing to change: give --name, --description, --models, --ips, --budget, or a limit "
            "such as --rpm"
        )
    group = call.find("groups", name)
    budgeted = budget_change(group, budget, period)
    if changes:
        body |= {"limits": changed_limits(group, changes), "version": group["version"]}
    if body:
        changed = call.change("groups.update", group["id"], body=body, before=group)
        group = changed if changed is not None else group
    if budgeted is not None:
        budgeted.apply(call, "group", group)
    if not call.options.dry_run:
        fresh = call.fetch("groups.show", group["id"])
        call.show_changed(fresh, VIEW, f"updated group {fresh['name']}")


def _said(description: str | None, models: str | None, ips: str | None) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if description is not None:
        said["description"] = description
    if models is not None:
        said["allowed_models"] = inputs.names(models)
    if ips is not None:
        said["allowed_ips"] = [] if ips == "any" else inputs.names(ips)
    return said


@verb(noun, "enable", "change", bulk=True)
def enable(call: Call, names: SomeNames = None) -> None:
    """Let the keys of groups be used again."""
    call.each(names, lambda name: _switch(call, name, enabled=True), noun="groups")


@verb(noun, "disable", "change", bulk=True)
def disable(call: Call, names: SomeNames = None) -> None:
    """Stop all keys of groups at once; they can be enabled again."""
    call.each(names, lambda name: _switch(call, name, enabled=False), noun="groups")


def _switch(call: Call, name: str, *, enabled: bool) -> None:
    group = call.find("groups", name)
    changed = call.change("groups.update", group["id"], body={"enabled": enabled}, before=group)
    if changed is not None:
        done = "enabled" if enabled else "disabled"
        call.show_changed(changed, VIEW, f"{done} group {changed['name']}")


@verb(noun, "delete", "danger", bulk=True)
def delete(call: Call, names: SomeNames = None) -> None:
    """Delete groups that no key is in; their records and transactions stay."""
    call.drop_each("groups", names)


@verb(noun, "credit", "change")
def credit(
    call: Call,
    name: Name,
    amount: Amount,
    reason: Reason = "",
    idempotency_key: IdempotencyKey = None,
) -> None:
    """Pay into the prepaid balance of a group; the first time, it begins to be enforced."""
    body = _transaction("credit", amount, reason, idempotency_key)
    _transact(call, name, body, "credited {amount} to group {name}")


@verb(noun, "debit", "change")
def debit(
    call: Call,
    name: Name,
    amount: Amount,
    reason: Reason = "",
    allow_negative: AllowNegative = False,
    idempotency_key: IdempotencyKey = None,
) -> None:
    """Take out of the prepaid balance of a group; refused where it would fall below nothing."""
    body = _transaction("debit", amount, reason, idempotency_key)
    if allow_negative:
        body["allow_negative"] = True
    _transact(call, name, body, "debited {amount} from group {name}")


@verb(noun, "refund", "change")
def refund(
    call: Call,
    name: Name,
    amount: Amount,
    reason: Reason = "",
    idempotency_key: IdempotencyKey = None,
) -> None:
    """Give back to the prepaid balance of a group what calls have cost."""
    body = _transaction("refund", amount, reason, idempotency_key)
    _transact(call, name, body, "refunded {amount} to group {name}")


@verb(noun, "adjust", "change")
def adjust(
    call: Call,
    name: Name,
    amount: Amount,
    reason: Reason = "",
    minus: Annotated[bool, typer.Option("--minus", help="Take it out; else it is added.")] = False,
    allow_negative: AllowNegative = False,
    idempotency_key: IdempotencyKey = None,
) -> None:
    """Correct the prepaid balance of a group."""
    body = _transaction("adjustment", amount, reason, idempotency_key)
    if minus:
        body["negative"] = True
    if allow_negative:
        body["allow_negative"] = True
    _transact(call, name, body, "adjusted group {name} by {amount}")


def _transaction(kind: str, amount: str, reason: str, idempotency_key: str | None) -> Record:
    # Always under a key: an answer that was lost does not tell whether it was made.
    return {
        "kind": kind,
        "amount": inputs.amount(amount, "USD"),
        "reason": reason,
        "idempotency_key": idempotency_key or f"cli-{secrets.token_hex(8)}",
    }


def _transact(call: Call, name: str, body: Record, said: str) -> None:
    group = call.find("groups", name)
    made = call.change("group_transactions.create", group["id"], body=body)
    if made is not None:
        signed = made["kind"] == "adjustment"
        amount = people.money(made["amount"] if signed else made["amount"].lstrip("-"))
        done = said.format(amount=amount, name=group["name"])
        call.show_changed(
            made, TRANSACTIONS, f"{done}: its balance is {people.money(made['balance'])}"
        )


@verb(noun, "transactions", "listing")
def transactions(call: Call, name: Name) -> None:
    """List what was paid in and taken out, the newest first."""
    group = call.find("groups", name)
    call.show_list("group_transactions.list", TRANSACTIONS, group["id"])


@verb(noun, "members", "listing")
def members(call: Call, name: Name) -> None:
    """List the keys in a group."""
    group = call.find("groups", name)
    call.show_list("keys.list", keys.VIEW, query={"group": group["id"]})


@verb(noun, "usage", "output")
def show_usage(
    call: Call,
    name: Name,
    since: SinceOrEver = "30d",
    until: Until = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="WHAT", help=usage.WHAT),
    ] = None,
) -> None:
    """Sum up what the keys of a group have used and spent while they were in it."""
    group = call.find("groups", name)
    usage.show_usage(call, by, since, until, {"group": group["id"]})
