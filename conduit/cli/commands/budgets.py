"""`conduit budgets`: how much a scope may spend, and has spent."""

from typing import Annotated, Any

import typer

from conduit.cli import inputs
from conduit.cli.allowances import tell_projected
from conduit.cli.call import Call
from conduit.cli.console import Tone
from conduit.cli.failures import Exit, Failure
from conduit.cli.options import SomeNames
from conduit.cli.output import Column, View
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.core import people

noun = Noun("Budgets: how much a key, a group, a mapping or the gateway may spend.")


def _tone(budget: Record) -> Tone:
    limit, spent = float(budget["limit"]), float(budget["spent"])
    if limit <= spent:
        return "bad"
    return "warn" if spent > 0.8 * limit else "good"


def _scope_of(budget: Record) -> str:
    """`key:NAME`, `group:NAME`, `mapping:ALIAS` or `gateway`."""
    kind, name = budget["scope"]["kind"], budget.get("scope_name") or budget["scope"]["id"]
    return f"{kind}:{name}" if name else str(kind)


VIEW = View(
    columns=(
        Column("scope", "scope_name", _scope_of),
        Column("kind", "scope.kind", wide=True, told=True),
        Column("scope id", "scope.id", wide=True),
        Column("period", "period"),
        Column("limit", "limit", lambda b: people.money(b["limit"]), right=True),
        Column("spent", "spent", lambda b: people.money(b["spent"]), right=True, tone=_tone),
        Column("held", "held", lambda b: people.money(b["held"]), right=True),
        Column("mode", "mode", spare=1),
        Column("id", "id", firm=True),
    ),
    empty="no budgets yet; make one with: conduit keys create NAME --budget 5",
)
Budget = Annotated[
    str,
    typer.Argument(metavar="BUDGET", help="Id, key:NAME, group:NAME, mapping:ALIAS or gateway."),
]
Period = Annotated[
    str, typer.Option("--period", metavar="PERIOD", help="total, day, week or month.")
]
Timezone = Annotated[
    str | None,
    typer.Option("--timezone", metavar="ZONE", help="Whose days they are: Europe/Berlin.  [UTC]"),
]
Mode = Annotated[str | None, typer.Option("--mode", metavar="MODE", help="hard or soft.")]


def _scope(text: str) -> Record:
    """What a budget is for, as the admin API is told. Raises Failure."""
    kind, _, name = text.partition(":")
    if text == "gateway":
        return {"kind": "gateway"}
    if kind not in ("key", "group", "mapping") or not name:
        raise Failure(
            f"--scope: key:NAME, group:NAME, mapping:ALIAS or gateway is expected, not {text!r}"
        )
    return {"kind": kind, "id": name}


def _find(call: Call, given: str) -> Record:
    """The budget of an id, or of a scope that has one alone. Raises Failure."""
    kind, separator, name = given.partition(":")
    if not separator and kind != "gateway":
        return call.find("budgets", given)
    pages = call.gateway.pages("budgets.list", query={"limit": 1000})
    rows: list[Record] = [row for page in pages for row in page["data"]]
    of_scope = [
        row
        for row in rows
        if row["scope"]["kind"] == kind
        and name in (row["scope"]["id"], row.get("scope_name") or "")
    ]
    if not of_scope:
        raise Failure(f"{given} has no budget", code="not_found", exit_code=Exit.NOT_FOUND)
    if len(of_scope) > 1:
        ids = ", ".join(row["id"] for row in of_scope)
        raise Failure(f"{given} has {len(of_scope)} budgets: {ids}", code="ambiguous")
    return of_scope[0]


@verb(noun, "list", "listing")
def list_budgets(call: Call) -> None:
    """List budgets with what is spent and held."""
    call.show_list("budgets.list", VIEW)


@verb(noun, "show", "output")
def show(call: Call, budget: Budget) -> None:
    """Show a budget, and on stderr what it is projected to spend."""
    found = _find(call, budget)
    call.printer.record(found, VIEW)
    tell_projected(call, [found])


@verb(noun, "create", "change")
def create(
    call: Call,
    scope: Annotated[
        str,
        typer.Option(
            "--scope",
            metavar="SCOPE",
            help="key:NAME, group:NAME, mapping:ALIAS, or gateway for all calls.",
        ),
    ],
    limit: Annotated[str, typer.Option("--limit", metavar="USD", help="Limit.")],
    period: Period = "total",
    timezone: Timezone = None,
    mode: Mode = None,
) -> None:
    """Make a budget."""
    body: dict[str, Any] = {
        "scope": _scope(scope),
        "period": period,
        "limit": inputs.amount(limit, "--limit"),
    }
    if timezone is not None:
        body["timezone"] = timezone
    if mode is not None:
        body["mode"] = mode
    budget = call.change("budgets.create", body=body)
    if budget is not None:
        call.show_changed(budget, VIEW, f"created a budget for {scope}")


@verb(noun, "update", "change")
def update(
    call: Call,
    budget: Budget,
    limit: Annotated[str | None, typer.Option("--limit", metavar="USD", help="New limit.")] = None,
    mode: Mode = None,
) -> None:
    """Change a budget's limit or mode."""
    body: dict[str, Any] = {}
    if limit is not None:
        body["limit"] = inputs.amount(limit, "--limit")
    if mode is not None:
        body["mode"] = mode
    if not body:
        raise Failure("nothing to change: give --limit or --mode")
    before = _find(call, budget)
    changed = call.change("budgets.update", before["id"], body=body, before=before)
    if changed is not None:
        call.show_changed(changed, VIEW, f"updated budget {changed['id']}")


@verb(noun, "reset-spend", "danger", bulk=True)
def reset_spend(call: Call, names: SomeNames = None) -> None:
    """Let budgets begin their period anew: what was spent counts no more."""
    question = "Reset what was spent of"
    call.each(names, lambda name: _reset(call, name), noun="budgets", question=question)


def _reset(call: Call, name: str) -> None:
    before = _find(call, name)
    changed = call.change("budgets.reset_spend", before["id"])
    if changed is not None:
        spent = people.money(before["spent"])
        call.show_changed(changed, VIEW, f"{spent} of budget {changed['id']} is spent no more")


@verb(noun, "delete", "danger", bulk=True)
def delete(call: Call, names: SomeNames = None) -> None:
    """Delete budgets; what was spent stays recorded."""
    ids = [_find(call, name)["id"] if ":" in name else name for name in names or ()]
    call.drop_each("budgets", ids)
