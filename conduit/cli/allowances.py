"""What commands on keys and on groups share: rate limits and budgets as options and as texts."""

from typing import Annotated, cast

import typer

from conduit.cli import inputs
from conduit.cli.call import Call
from conduit.cli.failures import Failure
from conduit.client.api import Record
from conduit.core import people
from conduit.core.limits import Limit, LimitKind, limit_in

Budget = Annotated[
    str | None, typer.Option("--budget", metavar="USD", help="Most that may be spent.")
]
Period = Annotated[
    str,
    typer.Option(
        "--budget-period", "--period", metavar="PERIOD", help="total, day, week or month."
    ),
]
_RATE = "N[,burst=B][,shadow][,closed]"
_USUAL = Limit("rpm", 1)
_PLAIN = "N[,shadow][,closed]"
Rpm = Annotated[
    str | None, typer.Option("--rpm", metavar=_RATE, help="Most requests a minute, or none.")
]
Tpm = Annotated[
    str | None, typer.Option("--tpm", metavar=_RATE, help="Most tokens a minute, or none.")
]
Rpd = Annotated[
    str | None, typer.Option("--rpd", metavar=_PLAIN, help="Most requests a day, or none.")
]
Tpd = Annotated[
    str | None, typer.Option("--tpd", metavar=_PLAIN, help="Most tokens a day, or none.")
]
Concurrent = Annotated[
    str | None,
    typer.Option("--concurrent", metavar=_PLAIN, help="Most requests at once, or none."),
]


def spending_of(row: Record) -> str:
    budgets = row.get("budgets") or []
    if not budgets:
        return "-"
    return ", ".join(f"{people.money(b['spent'])} / {people.money(b['limit'])}" for b in budgets)


def limits_text(row: Record) -> str:
    return ", ".join(_limit(each) for each in row.get("limits") or ()) or "-"


def _limit(limit: Record) -> str:
    more = f" burst {limit['burst']:,}" if limit["burst"] is not None else ""
    shadow = " shadow" if limit["shadow"] else ""
    closed = " closed" if limit.get("on_store_down") == "closed" else ""
    return f"{limit['remaining']:,}/{limit['limit']:,} {limit['kind']}{more}{shadow}{closed}"


def limits_of(**texts: str | None) -> dict[str, Record | None]:
    """The limits that are named, None for one that is to go. Raises Failure."""
    return {kind: _limit_of(kind, text) for kind, text in texts.items() if text is not None}


def _limit_of(kind: str, text: str) -> Record | None:
    """What is said of a limit, and no more: the rest is as usual."""
    if text == "none":
        return None
    try:
        limit = limit_in(cast(LimitKind, kind), text)
    except ValueError as error:
        raise Failure(f"--{kind}: {error} ({_RATE})") from error
    told = {name: getattr(limit, name) for name in ("burst", "shadow", "on_store_down")}
    said = {name: value for name, value in told.items() if value != getattr(_USUAL, name)}
    return {"kind": kind, "limit": limit.limit, **said}


def changed_limits(row: Record, changes: dict[str, Record | None]) -> list[Record]:
    """All limits of a record: as they are, but for those that are to change."""
    told = ("kind", "limit", "burst", "shadow", "timezone", "on_store_down")
    kept = {each["kind"]: {name: each[name] for name in told} for each in row["limits"]}
    return [each for each in (kept | changes).values() if each is not None]


def set_budget(call: Call, kind: str, row: Record, budget: str, period: str) -> None:
    """Give a key or a group a budget of a period, change it, or take it away: `none`."""
    old = next((b for b in row.get("budgets") or () if b["period"] == period), None)
    if budget == "none":
        if old is not None:
            call.change("budgets.delete", old["id"])
        return
    limit = inputs.amount(budget, "--budget")
    if old is not None:
        call.change("budgets.update", old["id"], body={"limit": limit}, before=old)
        return
    scope = {"kind": kind, "id": row["id"]}
    call.change("budgets.create", body={"scope": scope, "period": period, "limit": limit})
