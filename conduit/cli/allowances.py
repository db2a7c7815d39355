"""What commands on keys and on groups share: rate limits and budgets as options and as texts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import typer

from conduit.cli import inputs
from conduit.cli.call import Call
from conduit.cli.failures import Failure
from conduit.client.api import Record
from conduit.core import people
from conduit.core.ids import now_ms
from conduit.core.limits import KINDS, LIMIT_FIELDS, Limit, LimitKind, limit_in
from conduit.core.periods import PERIODS
from conduit.core.projections import projection_of

Budget = Annotated[
    str | None, typer.Option("--budget", metavar="USD", help="Most that may be spent.")
]
Period = Annotated[
    str,
    typer.Option(
        "--budget-period", "--period", metavar="PERIOD", help="total, day, week or month."
    ),
]
OtherPeriod = Annotated[
    str | None,
    typer.Option(
        "--budget-period",
        "--period",
        metavar="PERIOD",
        help="Of which budget: total, day, week, month, or all for none.  [default: of the only]",
    ),
]
Timezone = Annotated[
    str | None,
    typer.Option(
        "--timezone", metavar="ZONE", help="Whose days its budget goes by: Europe/Berlin.  [UTC]"
    ),
]
_RATE = "N[,model=ALIAS][,burst=B][,shadow][,closed]"
_USUAL = Limit("rpm", 1)
_PLAIN = "N[,model=ALIAS][,shadow][,closed]"
_DAILY = "N[,model=ALIAS][,timezone=ZONE][,shadow][,closed]"
_NOTATIONS = {"rpm": _RATE, "tpm": _RATE, "rpd": _DAILY, "tpd": _DAILY}


def spending_of(row: Record) -> str:
    budgets = row.get("budgets") or []
    if not budgets:
        return "-"
    return ", ".join(f"{people.money(b['spent'])} / {people.money(b['limit'])}" for b in budgets)


def tell_projected(call: Call, budgets: Iterable[Record]) -> None:
    """Say what budgets will have spent when their periods end, where that can be told."""
    for budget in budgets:
        projection = projection_of(budget, now_ms() / 1000)
        if projection is not None and not call.options.quiet:
            call.console.say(f"budget of {people.money(budget['limit'])}: {projection.text}", "dim")


def limits_text(row: Record) -> str:
    return ", ".join(_limit(each) for each in row.get("limits") or ()) or "-"


def _limit(limit: Record) -> str:
    more = f" burst {limit['burst']:,}" if limit["burst"] is not None else ""
    shadow = " shadow" if limit["shadow"] else ""
    closed = " closed" if limit.get("on_store_down") == "closed" else ""
    zone = limit.get("timezone", "UTC")
    where = "" if zone == "UTC" else f" {zone}"
    of = "" if limit.get("model") is None else f" of {limit['model']}"
    counts = f"{limit['remaining']:,}/{limit['limit']:,} {limit['kind']}{of}"
    return f"{counts}{more}{where}{shadow}{closed}"


@dataclass(frozen=True, slots=True)
class GivenLimits:
    """The rate limits that options name, each of several models perhaps."""

    rpm: Annotated[
        list[str] | None,
        typer.Option("--rpm", metavar=_RATE, help="Most requests a minute, or none."),
    ] = None
    tpm: Annotated[
        list[str] | None,
        typer.Option("--tpm", metavar=_RATE, help="Most tokens a minute, or none."),
    ] = None
    rpd: Annotated[
        list[str] | None,
        typer.Option("--rpd", metavar=_DAILY, help="Most requests a day, or none."),
    ] = None
    tpd: Annotated[
        list[str] | None, typer.Option("--tpd", metavar=_DAILY, help="Most tokens a day, or none.")
    ] = None
    concurrent: Annotated[
        list[str] | None,
        typer.Option("--concurrent", metavar=_PLAIN, help="Most requests at once, or none."),
    ] = None

    def changes(self) -> dict[str, Record | None]:
        """Those that are named, by their names, None for one that is to go. Raises Failure."""
        found: dict[str, Record | None] = {}
        for kind in KINDS:
            for text in getattr(self, kind) or ():
                name, limit = _limit_of(kind, text)
                if name in found:
                    raise Failure(f"--{kind}: {name} is there twice")
                found[name] = limit
        return found

    def body(self) -> Record:
        """What they say of a record that is to be made. Raises Failure."""
        if not (changes := self.changes()):
            return {}
        return {"limits": [each for each in changes.values() if each is not None]}


def _limit_of(kind: LimitKind, text: str) -> tuple[str, Record | None]:
    """The name of a limit, and what is said of it, and no more: the rest is as usual."""
    number, comma, words = text.partition(",")
    goes = number == "none"
    try:
        limit = limit_in(kind, f"1{comma}{words}" if goes else text)
        if goes and limit != Limit(limit.kind, 1, model=limit.model):
            raise ValueError("of a limit that is to go, only its model is named")
    except ValueError as error:
        notation = _NOTATIONS.get(kind, _PLAIN)
        raise Failure(f"--{kind}: {error} ({notation})") from error
    if goes:
        return limit.name, None
    told = {name: getattr(limit, name) for name in LIMIT_FIELDS[2:]}
    said = {name: value for name, value in told.items() if value != getattr(_USUAL, name)}
    return limit.name, {"kind": kind, "limit": limit.limit, **said}


def changed_limits(row: Record, changes: dict[str, Record | None]) -> list[Record]:
    """All limits of a record: as they are, but for those that are to change."""
    kept = {
        _name_of(each): {name: each[name] for name in LIMIT_FIELDS if name in each}
        for each in row["limits"]
    }
    return [each for each in (kept | changes).values() if each is not None]


def _name_of(limit: Record) -> str:
    """As `core.limits.Limit.name`; an older gateway knows none of a model."""
    model = limit.get("model")
    return limit["kind"] if model is None else f"{limit['kind']}:{model}"


def need_budget(budget: str | None, timezone: str | None) -> None:
    """Refuse the time zone of a budget that is not given. Raises Failure."""
    if budget is None and timezone is not None:
        raise Failure("--timezone: it is that of a budget, so give --budget too")


def budget_body(budget: str, period: str, timezone: str | None) -> Record:
    """A new budget as the admin API is told of it. Raises Failure."""
    body = {"period": _period(period), "limit": inputs.amount(budget, "--budget")}
    return body if timezone is None else {**body, "timezone": timezone}


class BudgetChange(NamedTuple):
    """What `--budget` and `--period` of a change mean for the budgets that there are."""

    old: tuple[Record, ...]  # what goes, or the one that is changed
    body: Record | None  # None where they go

    def apply(self, call: Call, kind: str, row: Record) -> None:
        """Do it, and say on stderr what was changed."""
        name = f"{kind} {row['name']}"
        if self.body is None:
            for each in self.old:
                call.change("budgets.delete", each["id"])
                _say(call, f"removed the budget of {name}: {_budget_text(each)}")
            if not self.old:
                _say(call, f"{name} has no such budget: nothing was removed")
        elif self.old:
            (old,) = self.old
            call.change("budgets.update", old["id"], body=self.body, before=old)
            after = people.money(self.body["limit"])
            _say(call, f"changed the budget of {name}: {_budget_text(old)}, now {after}")
        else:
            scope = {"kind": kind, "id": row["id"]}
            call.change("budgets.create", body={"scope": scope, **self.body})
            _say(call, f"made a budget of {name}: {_budget_text(self.body)}")


def budget_change(row: Record, budget: str | None, period: str | None) -> BudgetChange | None:
    """What is to become of a key's or a group's budgets, before anything is changed.

    Without a period it is the one that there is, whatever its period; a first one is for `total`.
    Raises Failure where that leaves a choice.
    """
    if budget is None:
        if period is not None:
            raise Failure("--period: it is that of a budget, so give --budget too")
        return None
    body = None if budget == "none" else {"limit": inputs.amount(budget, "--budget")}
    if period == "all" and body is not None:
        raise Failure("--period: all is for --budget none")
    old = tuple(row.get("budgets") or ())
    if period == "all":
        return BudgetChange(old, None)
    if period is not None:
        old = tuple(each for each in old if each["period"] == _period(period))
    if len(old) > 1:
        raise _ambiguous(row, old, everything=body is None, same_period=period is not None)
    if body is not None and not old:
        body = budget_body(str(budget), period or "total", None)
    return BudgetChange(old, body)


def _ambiguous(
    row: Record, budgets: Sequence[Record], *, everything: bool, same_period: bool
) -> Failure:
    there = "; ".join(_budget_text(each) for each in budgets)
    if same_period:
        ids = ", ".join(each["id"] for each in budgets)
        way = f"name one with conduit budgets: {ids}"
    else:
        periods = ", ".join(dict.fromkeys(each["period"] for each in budgets))
        way = f"say which with --period: {periods}" + (", or all" if everything else "")
    text = f"{row['name']} has {len(budgets)} budgets ({there}): {way}"
    return Failure(text, code="ambiguous")


def _budget_text(budget: Record) -> str:
    """`$5.00 a day`, with its time zone where that is not UTC."""
    period = budget["period"]
    zone = budget.get("timezone", "UTC")
    span = "in total" if period == "total" else f"a {period}"
    return f"{people.money(budget['limit'])} {span}" + ("" if zone == "UTC" else f" ({zone})")


def _period(text: str) -> str:
    if text not in PERIODS:
        raise Failure(f"--period: total, day, week or month is expected, not {text!r}")
    return text


def _say(call: Call, said: str) -> None:
    if not call.options.dry_run:
        call.narrate(said)
