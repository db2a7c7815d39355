"""Statements for what was used and spent: exact sums over the attempts of the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Float, Row, Select, case, cast, func, null, select
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.groupings import tag_in
from conduit.core.moments import DAY_MS
from conduit.gateway.storage.requests import EVER, Span
from conduit.gateway.storage.schema import keys, ledger

# Sums of many 64-bit numbers are made in two halves: an engine's own sum would overflow.
_BILLION = 1_000_000_000
_HOUR_MS = 3_600_000
_OPEN = ledger.c.state == "open"
_DONE = ~_OPEN
_ENDED = _DONE & ledger.c.adjusts.is_(None)  # attempts; corrections of them are rows too
UTC_OFFSETS = ((0, 0),)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which attempts are meant: those that fit all that is given; a key and a group by its id."""

    span: Span = EVER
    key_id: str | None = None
    provider: str | None = None
    model: str | None = None
    alias: str | None = None
    group_id: str | None = None


@dataclass(frozen=True, slots=True)
class Grouping:
    """What attempts are summed by, and for `day` and `hour` the (from when, ms) ahead of UTC.

    `tag:team` is the value that the key has now of that tag: the ledger knows none.
    """

    by: str
    offsets: Sequence[tuple[int, int]] = UTC_OFFSETS

    @property
    def is_of_time(self) -> bool:
        return self.by in ("day", "hour")


@dataclass(frozen=True, slots=True)
class Spent:
    """Sums over attempts that have ended; `held` is of those that have not.

    `group` is a text, the number of a day since 1970, or the millisecond at which an hour begins;
    None: over all. `first_ms` and `last_ms` are those of the attempts, None where there are none.
    """

    group: str | int | None
    first_ms: int | None
    last_ms: int | None
    requests: int
    attempts: int
    estimated: int
    recovered: int
    ambiguous: int
    open_holds: int
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    audio_tokens: int
    cache_write_1h_tokens: int
    output_audio_tokens: int
    cost_nanodollars: int
    billed_nanodollars: int
    held_nanodollars: int


NOTHING = Spent(None, None, None, *[0] * 17)

_SUMMED = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_tokens",
    "cache_write_1h_tokens",
    "output_audio_tokens",
    "cost_nanodollars",
    "billed_nanodollars",
)
_COUNTS = (
    func.count(ledger.c.request_id.distinct()).filter(_DONE),
    func.count().filter(_ENDED),
    func.count().filter(_DONE, ledger.c.usage_source == "estimated"),
    func.count().filter(_DONE, ledger.c.usage_source == "recovered"),
    func.count().filter(_DONE, ledger.c.ambiguous.is_(True)),
    func.count().filter(_OPEN),
)


async def total(connection: AsyncConnection, chosen: Chosen) -> Spent:
    """The sums over all the attempts that are meant."""
    return _spent((await connection.execute(statement_of_total(chosen))).one())


def statement_of_total(chosen: Chosen) -> Select[Any]:
    """What is asked for the total; a test looks at how it is answered."""
    return _sums(null(), chosen)


async def groups(
    connection: AsyncConnection, chosen: Chosen, grouping: Grouping, limit: int
) -> tuple[Spent, ...]:
    """The sums by group: the dearest first, of days and hours the last; at most `limit`."""
    group = _group(grouping)
    # For which of many are read, so it need not be exact.
    cost = func.sum(cast(ledger.c.cost_nanodollars, Float))
    order = (group.desc(),) if grouping.is_of_time else (cost.desc(), group)
    statement = _sums(group, chosen).group_by(group).order_by(*order).limit(limit)
    if tag_in(grouping.by) is not None:  # the row of a deleted key stays
        statement = statement.outerjoin_from(ledger, keys, keys.c.id == ledger.c.key_id)
    found = tuple(_spent(row) for row in await connection.execute(statement))
    if grouping.is_of_time:
        return found
    return tuple(sorted(found, key=lambda each: (-each.cost_nanodollars, str(each.group))))


@dataclass(frozen=True, slots=True)
class Step:
    """What a group cost in a day or an hour, which are told as those of `Spent`."""

    group: str
    at: int
    cost_nanodollars: int


async def series(
    connection: AsyncConnection,
    chosen: Chosen,
    grouping: Grouping,
    time: Grouping,
    wanted: Sequence[str],
) -> tuple[Step, ...]:
    """What each of these groups cost by the days or hours in which it cost something, in order."""
    group, at = _group(grouping), _group(time)
    cost = ledger.c.cost_nanodollars
    halves = [
        func.coalesce(func.sum(half).filter(_DONE), 0)
        for half in (cost // _BILLION, cost % _BILLION)
    ]
    statement = (
        select(group, at, *halves)
        .select_from(ledger)
        .where(*_conditions(chosen), group.in_(wanted))
        .group_by(group, at)
        .order_by(group, at)
    )
    if tag_in(grouping.by) is not None:
        statement = statement.outerjoin_from(ledger, keys, keys.c.id == ledger.c.key_id)
    found = [tuple(row) for row in await connection.execute(statement)]
    steps = [Step(str(row[0]), int(row[1]), int(row[2]) * _BILLION + int(row[3])) for row in found]
    return tuple(step for step in steps if step.cost_nanodollars)


def _group(grouping: Grouping) -> ColumnElement[Any]:
    offset_ms = _offset_ms(grouping)
    local_ms: ColumnElement[Any] = ledger.c.held_at_ms + offset_ms
    match grouping.by:
        case "key":
            return ledger.c.key_id
        case "group":
            return func.coalesce(ledger.c.group_id, "")
        case "day":
            return local_ms // DAY_MS
        case "hour":  # one that comes twice, when clocks are put back, is two
            begins_ms: ColumnElement[Any] = local_ms // _HOUR_MS * _HOUR_MS - offset_ms
            return begins_ms
        case by if (tag := tag_in(by)) is not None:
            return func.coalesce(keys.c.tags[tag].as_string(), "")
        case name:
            column: ColumnElement[Any] = ledger.c[name]
            return column


def _offset_ms(grouping: Grouping) -> Any:  # noqa: ANN401  # a number, or what SQL makes of a row
    (_, first), *later = grouping.offsets
    if not later:
        return first
    latest_first = [(ledger.c.held_at_ms >= from_ms, ms) for from_ms, ms in reversed(later)]
    return case(*latest_first, else_=first)


def _sums(group: ColumnElement[Any], chosen: Chosen) -> Select[Any]:
    held_at_ms = ledger.c.held_at_ms
    amounts = [(ledger.c[name], _DONE) for name in _SUMMED]
    amounts.append((ledger.c.hold_nanodollars, _OPEN))
    halves = [
        func.coalesce(func.sum(half).filter(counted), 0)
        for amount, counted in amounts
        for half in (amount // _BILLION, amount % _BILLION)
    ]
    ends = (func.min(held_at_ms), func.max(held_at_ms))
    return select(group, *ends, *_COUNTS, *halves).select_from(ledger).where(*_conditions(chosen))


def _conditions(chosen: Chosen) -> list[ColumnElement[bool]]:
    span, conditions = chosen.span, []
    for name in ("key_id", "group_id", "provider", "model", "alias"):
        if (wanted := getattr(chosen, name)) is not None:
            conditions.append(ledger.c[name] == wanted)
    if span.since_ms is not None:
        conditions.append(ledger.c.held_at_ms >= span.since_ms)
    if span.until_ms is not None:
        conditions.append(ledger.c.held_at_ms < span.until_ms)
    if chosen.key_id is None and chosen.group_id is None and span != EVER:
        conditions.append(ledger.c.key_id.in_(_keys()))
    return conditions


def _keys() -> Select[Any]:
    """Every key that has attempts, by two steps of an index for each.

    The index of times begins with the key. Not by the ids of attempts, whose times are those of
    another clock reading than the moment that counts.
    """
    key = select(func.min(ledger.c.key_id).label("id")).cte("key", recursive=True)
    inner = ledger.alias()
    later = select(func.min(inner.c.key_id)).where(inner.c.key_id > key.c.id)
    key = key.union_all(select(later.scalar_subquery()).where(key.c.id.is_not(None)))
    return select(key.c.id).where(key.c.id.is_not(None))


def _spent(row: Row[Any]) -> Spent:
    group, first_ms, last_ms, *numbers = tuple(row)
    counts, halves = numbers[: len(_COUNTS)], numbers[len(_COUNTS) :]
    sums = [
        int(high) * _BILLION + int(low) for high, low in zip(halves[::2], halves[1::2], strict=True)
    ]
    return Spent(group, first_ms, last_ms, *map(int, counts), *sums)
