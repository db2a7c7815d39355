"""`conduit keys`: virtual keys."""

import secrets
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from conduit.cli import inputs
from conduit.cli.allowances import (
    Budget,
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
from conduit.cli.console import Tone
from conduit.cli.failures import Exit, Failure
from conduit.cli.options import SECRET_FLAGS, KeyEnv, KeyFile, KeyStdin, Name, SomeNames
from conduit.cli.output import Column, View
from conduit.cli.records.attempt_columns import COLUMNS, counted, paid
from conduit.cli.records.attempt_filters import SinceOrEver, Until
from conduit.cli.tagging import notes_of, tags_text, wanted_tags
from conduit.cli.verbs import Noun, verb
from conduit.cli.writing import NewFile
from conduit.client.api import Record
from conduit.client.errors import ApiError
from conduit.core import people
from conduit.core.keys import digest_of, is_virtual_key

noun = Noun("Virtual keys: what clients call the gateway with.")


def _tone(key: Record) -> Tone:
    if not key["enabled"]:
        return "dim"
    return "good" if key["state"] in ("active", "ok", "enabled") else "warn"


_BODIES = {True: "kept", False: "not kept", None: "-"}
VIEW = View(
    columns=(
        Column("name", "name"),
        Column("state", "state", tone=_tone),
        Column("key", "start", lambda key: f"{key['start']}...", spare=2),
        Column("spent / budget", "budgets.spent", spending_of),
        Column("models", "allowed_models", spare=3),
        Column("expires", "expires_at", lambda key: people.moment(key["expires_at"]), spare=4),
        Column(
            "last used", "last_used_at", lambda key: people.moment(key["last_used_at"]), spare=1
        ),
        Column("bodies", "log_bodies", lambda key: _BODIES[key.get("log_bodies")], wide=True),
        Column("limits", "limits", limits_text, wide=True),
        Column("addresses", "allowed_ips", wide=True),
        Column("group", "group", wide=True),
        Column("tags", "tags", tags_text, wide=True),
        Column("direct", "allow_direct", wide=True),
        Column("priority", "priority", wide=True),
        Column("id", "id", wide=True),
        Column("created", "created_at", lambda key: people.moment(key["created_at"]), wide=True),
        Column("version", "version", wide=True, right=True),
    ),
    empty="no keys yet; make one with: conduit keys create NAME",
)

Models = Annotated[
    str | None,
    typer.Option("--models", metavar="A,B", help="Aliases that may be used; * fits any text."),
]
Expires = Annotated[
    str | None,
    typer.Option("--expires", metavar="WHEN", help="Time or duration, such as 30d."),
]


LogBodies = Annotated[
    str | None,
    typer.Option("--log-bodies", metavar="on|off|default", help="Keep the bodies of its requests."),
]
Direct = Annotated[
    bool | None,
    typer.Option(
        "--direct/--no-direct", help="It may also name PROVIDER/MODEL, as far as --models fit."
    ),
]
Ips = Annotated[
    str | None,
    typer.Option("--ips", metavar="A,B", help="Addresses or networks it may be used from, or any."),
]
Priority = Annotated[
    bool | None,
    typer.Option(
        "--priority/--no-priority", help="It is served from the reserved slots under overload too."
    ),
]
Group = Annotated[
    str | None,
    typer.Option("--group", metavar="NAME", help="The group that it is in, whose limits hold too."),
]
Tags = Annotated[
    str | None,
    typer.Option("--tags", metavar="A=B,...", help="To find it by: all its tags; or none."),
]
Metadata = Annotated[
    str | None,
    typer.Option("--metadata", metavar="JSON", help="An object that is kept with it; or none."),
]
Out = Annotated[
    str | None,
    typer.Option("--out", metavar="FILE", help="Write the key to a file (0600), not stdout."),
]


@verb(noun, "list", "listing")
def list_keys(
    call: Call,
    expiring: Annotated[
        str | None,
        typer.Option("--expiring", metavar="TIME", help="Only those that will expire within: 7d."),
    ] = None,
    over_budget: Annotated[
        bool, typer.Option("--over-budget", help="Only those that have spent a budget up.")
    ] = False,
    group: Annotated[
        str | None, typer.Option("--group", metavar="NAME", help="Only those in this group.")
    ] = None,
    unused: Annotated[
        str | None,
        typer.Option(
            "--unused", metavar="TIME", help="Only those that nobody has used, or made, for: 30d."
        ),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="A=B", help="Only with this tag; A alone: of any value."),
    ] = None,
) -> None:
    """List keys."""
    now = before = None
    if expiring is not None:
        before = inputs.moment(expiring, "--expiring", ahead=True)
        # What has expired does not any more.
        now = datetime.now(UTC).isoformat(timespec="seconds")
    query = {
        "expires_before": before,
        "expires_after": now,
        "over_budget": over_budget or None,
        "group": None if group is None else call.find("groups", group)["id"],
        "unused_since": None if unused is None else inputs.moment(unused, "--unused", ahead=False),
        "tags": wanted_tags(tag),
    }
    call.show_list("keys.list", VIEW, query=query)


@verb(noun, "show", "output")
def show(call: Call, name: Name) -> None:
    """Show a key, and on stderr what its budgets are projected to spend."""
    key = call.find("keys", name)
    call.printer.record(key, VIEW)
    tell_projected(call, key["budgets"])


@verb(noun, "create", "change")
def create(
    call: Call,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A random name when left out.")
    ] = None,
    budget: Budget = None,
    period: Period = "total",
    timezone: Timezone = None,
    models: Models = None,
    expires: Expires = None,
    log_bodies: LogBodies = None,
    direct: Direct = None,
    *,
    limits: GivenLimits,
    priority: Priority = None,
    ips: Ips = None,
    group: Group = None,
    tags: Tags = None,
    metadata: Metadata = None,
    out: Out = None,
) -> None:
    """Make a key; it is shown this once.

    KEY=$(conduit keys create ci --budget 5 -q) stores it in a variable.
    """
    body: dict[str, Any] = {"name": name or f"key-{secrets.token_hex(3)}"}
    body |= _rights(models, log_bodies, direct, priority, ips) | notes_of(tags, metadata)
    if group is not None:
        body["group"] = group
    if expires is not None:
        body["expires_at"] = inputs.moment(expires, "--expires", ahead=True)
    body |= limits.body()
    need_budget(budget, timezone)
    if budget is not None:
        body["budget"] = budget_body(budget, period, timezone)
    with nullcontext() if out is None else NewFile(out) as file:
        key = call.change("keys.create", body=body)
        if key is not None:
            _hand_out(call, key, f"created key {key['name']}", file)


@verb(noun, "rotate", "change")
def rotate(
    call: Call,
    name: Name,
    grace: Annotated[
        str | None,
        typer.Option(
            "--grace", metavar="TIME", help="The former one stays good: 24h.  [default: it ends]"
        ),
    ] = None,
    out: Out = None,
) -> None:
    """Give a key a new secret; it is shown this once.

    The former secret ends at once, or after --grace. A secret before that one ends at once.
    """
    grace_s = 0 if grace is None else round(inputs.duration_s(grace, "--grace"))
    if grace is not None and not grace_s:
        raise Failure(f"--grace: at least 1s is expected, not {grace!r}")
    with nullcontext() if out is None else NewFile(out) as file:
        old = call.find("keys", name)
        key = call.change("keys.rotate", old["id"], body={"grace_s": grace_s})
        if key is None:
            return
        end = key["former_expires_at"]
        former = f"is good until {people.moment(end)}" if end else "has ended"
        _hand_out(call, key, f"rotated key {key['name']}: the former secret {former}", file)


def _hand_out(call: Call, key: Record, said: str, file: NewFile | None) -> None:
    """Give the one view of a secret that there is: on stdout or in a file."""
    if file is not None:
        _store(call, key, file)
        call.narrate(f"{said}; its secret is in {file.name}")
        key = {field: value for field, value in key.items() if field != "secret"}
        call.printer.record(key, VIEW)
        return
    if call.options.quiet and call.printer.format == "id":
        call.console.data(key["secret"])
        return
    call.printer.record(key, View((Column("key", "secret"), *VIEW.columns)))
    call.narrate(
        f"{said}; it cannot be shown again, so keep it now",
        then='CONDUIT_API_KEY=... conduit chat "hello"',
    )


def _store(call: Call, key: Record, file: NewFile) -> None:
    """Write the secret; where that fails all the same, print it: there is no other copy."""
    try:
        file.write(f"{key['secret']}\n")
        file.keep()
    except Failure:
        call.console.data(key["secret"])
        raise


@verb(noun, "update", "change")
def update(
    call: Call,
    name: Name,
    rename: Annotated[str | None, typer.Option("--name", metavar="NEW", help="New name.")] = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", metavar="USD", help="Most that may be spent, or none."),
    ] = None,
    period: OtherPeriod = None,
    models: Models = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="WHEN", help="Time, duration such as 30d, or never."),
    ] = None,
    log_bodies: LogBodies = None,
    direct: Direct = None,
    *,
    limits: GivenLimits,
    priority: Priority = None,
    ips: Ips = None,
    group: Annotated[
        str | None,
        typer.Option("--group", metavar="NAME", help="The group that it is to be in, or none."),
    ] = None,
    tags: Tags = None,
    metadata: Metadata = None,
) -> None:
    """Change a key's name, budget, limits, models or expiry, what is kept of it, or what it may do.

    A limit that is not named stays; none takes it away. --budget changes the budget that there is.
    """
    body = _rights(models, log_bodies, direct, priority, ips) | notes_of(tags, metadata)
    if group is not None:
        body["group"] = None if group == "none" else group
    if rename is not None:
        body["name"] = rename
    if expires is not None:
        never = expires == "never"
        body["expires_at"] = None if never else inputs.moment(expires, "--expires", ahead=True)
    changes = limits.changes()
    if not body and budget is None and period is None and not changes:
        raise Failure(
            "nothing to change: give --name, --budget, --models, --expires, --log-bodies, "
            "--direct, --priority, --ips, --group, --tags, --metadata, or a limit such as --rpm"
        )
    key = call.find("keys", name)
    budgeted = budget_change(key, budget, period)
    if changes:
        body |= {"limits": changed_limits(key, changes), "version": key["version"]}
    if body:
        changed = call.change("keys.update", key["id"], body=body, before=key)
        key = changed if changed is not None else key
    if budgeted is not None:
        budgeted.apply(call, "key", key)
    if not call.options.dry_run:
        fresh = call.fetch("keys.show", key["id"])
        call.show_changed(fresh, VIEW, f"updated key {fresh['name']}")


def _rights(
    models: str | None,
    log_bodies: str | None,
    direct: bool | None,
    priority: bool | None,
    ips: str | None,
) -> dict[str, Any]:
    """What a key may do, as far as the command says anything of it. Raises Failure."""
    said = {
        "allowed_models": None if models is None else inputs.names(models),
        "allow_direct": direct,
        "priority": priority,
        "allowed_ips": None if ips is None else [] if ips == "any" else inputs.names(ips),
    }
    rights: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    if log_bodies is not None:
        rights["log_bodies"] = _log_bodies(log_bodies)
    return rights


def _log_bodies(text: str) -> bool | None:
    """Whether bodies are kept; None leaves it to the gateway's setting. Raises Failure."""
    choices = {"on": True, "off": False, "default": None}
    if text not in choices:
        raise Failure(f"--log-bodies: on, off or default is expected, not {text!r}")
    return choices[text]


@verb(noun, "enable", "change", bulk=True)
def enable(call: Call, names: SomeNames = None) -> None:
    """Let keys be used again."""
    call.each(names, lambda name: _switch(call, name, enabled=True), noun="keys")


@verb(noun, "disable", "change", bulk=True)
def disable(call: Call, names: SomeNames = None) -> None:
    """Stop keys at once; they can be enabled again."""
    call.each(names, lambda name: _switch(call, name, enabled=False), noun="keys")


def _switch(call: Call, name: str, *, enabled: bool) -> None:
    key = call.find("keys", name)
    changed = call.change("keys.update", key["id"], body={"enabled": enabled}, before=key)
    if changed is not None:
        done = "enabled" if enabled else "disabled"
        call.show_changed(changed, VIEW, f"{done} key {changed['name']}")


@verb(noun, "delete", "danger", bulk=True)
def delete(call: Call, names: SomeNames = None) -> None:
    """Delete keys; their records stay."""
    call.drop_each("keys", names)


USAGE_VIEW = View(
    columns=(
        *(each for each in COLUMNS if each.path not in ("key_id", "group_id")),
        counted("records", "recorded", spare=1),
        counted("failed", "failed", spare=1),
        paid("avoided", "avoided", wide=True),
    ),
    id_path="group",
    empty="no requests in this time",
)


@verb(noun, "usage", "output")
def usage(
    call: Call,
    name: Name,
    since: SinceOrEver = "30d",
    until: Until = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="WHAT", help="A row for each: model, alias, provider or day."),
    ] = None,
) -> None:
    """Sum up what a key has used, exactly, from the ledger as `conduit usage`; days are of UTC.

    Sent are requests of which a provider got something. Records, as long as they are kept, are of
    all requests: those too that were refused or answered from what is kept.
    """
    if by is not None and by not in _GROUPS:
        raise Failure(f"--by: {', '.join(_GROUPS)} is expected, not {by!r}")
    start = None if since == "ever" else inputs.moment(since, "--since", ahead=False)
    end = None if until is None else inputs.moment(until, "--until", ahead=False)
    key = call.find("keys", name)
    used = call.fetch("keys.usage", key["id"], query={"since": start, "until": end, "by": by})
    if call.printer.format == "json" or call.options.shape.query is not None:
        call.printer.record(used, USAGE_VIEW)
        return
    rows = used["groups"] if by is not None else [{"group": used["key"], **used["total"]}]
    call.printer.rows(rows, USAGE_VIEW, next_cursor=lambda: None)
    if by is not None:
        total = used["total"]
        count = people.counted(total["requests"], "request")
        call.narrate(f"{used['key']}: {count} sent, {people.money(total['cost'])} in all")


_GROUPS = ("model", "alias", "provider", "day")


@verb(noun, "reset-spend", "danger", bulk=True)
def reset_spend(call: Call, names: SomeNames = None) -> None:
    """Let the budgets of keys begin their period anew: what was spent counts no more.

    Records and attempts stay as they are; the reset itself is written to the ledger.
    """
    question = "Reset what was spent by"
    call.each(names, lambda name: _reset(call, name), noun="keys", question=question)


def _reset(call: Call, name: str) -> None:
    key = call.find("keys", name)
    budgets = key.get("budgets") or []
    if not budgets:
        raise Failure(f"key {key['name']} has no budget: there is nothing to reset")
    for budget in budgets:
        reset = call.change("budgets.reset_spend", budget["id"])
        if reset is not None:
            call.narrate(
                f"key {key['name']}: {people.money(budget['spent'])} of "
                f"{people.money(budget['limit'])} is spent no more"
            )
    if not call.options.dry_run:
        call.printer.record(call.fetch("keys.show", key["id"]), VIEW)


CHECK_VIEW = View(
    columns=(
        Column("name", "name"),
        Column("usable", "usable", tone=lambda key: "good" if key["usable"] else "bad"),
        Column("state", "state", tone=_tone),
        Column("secret", "secret_state"),
        Column("expires", "expires_at", lambda key: people.moment(key["expires_at"])),
        Column(
            "former until", "former_expires_at", lambda k: people.moment(k["former_expires_at"])
        ),
        Column("spent / budget", "budgets.spent", spending_of),
        Column("id", "id"),
    ),
)


def _secret_of(call: Call, given: str | None, source: inputs.SecretSource) -> str:
    """The key that is to be checked. Raises Failure."""
    if given is None:
        text = inputs.read_secret(source)
        return text or call.ask_secret("Virtual key: ", instead=SECRET_FLAGS)
    if source.is_given():
        raise Failure(f"a key as an argument excludes {SECRET_FLAGS}")
    call.console.say("an argument can be seen by others of this machine: - reads stdin", "warn")
    return given


@verb(noun, "check", "output")
def check(
    call: Call,
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="[SECRET]", help="- reads stdin; an argument can be seen by others."
        ),
    ] = None,
    key_file: KeyFile = None,
    key_stdin: KeyStdin = False,
    key_env: KeyEnv = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Only its form and checksum; ask no gateway.")
    ] = False,
) -> None:
    """Say whose key this is and whether it may be used; exit 9 if not.

    conduit keys check - < app.key asks for it by its digest: the key is not sent.
    """
    source = inputs.SecretSource(key_file, key_stdin or key == "-", key_env)
    text = _secret_of(call, None if key == "-" else key, source)
    if not is_virtual_key(text):
        raise Failure(
            "that is no virtual key: its form or its checksum is wrong",
            code="check_failed",
            exit_code=Exit.NEGATIVE,
        )
    if offline:
        call.printer.record({"well_formed": True}, View(()))
        call.narrate("form and checksum are those of a virtual key")
        return
    try:
        with call.console.waiting(f"waiting for {call.where.admin}"):
            found = call.gateway.call("keys.check", body={"digest": digest_of(text).hex()})
    except ApiError as error:
        if error.status != 404:
            raise
        raise Failure(
            f"{call.gateway_name} knows no such key",
            code="check_failed",
            exit_code=Exit.NEGATIVE,
        ) from error
    call.printer.record(found, CHECK_VIEW)
    if not found["usable"]:
        state = found["state"]
        why = "this secret was replaced" if state == "active" else f"it is {state}"
        raise Failure(
            f"key {found['name']} cannot be used: {why}",
            code="check_failed",
            exit_code=Exit.NEGATIVE,
        )
