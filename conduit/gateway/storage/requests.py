"""Statements for request records: a filtered list, and one record with its attempts."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    Select,
    and_,
    cast,
    delete,
    false,
    func,
    not_,
    null,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.errors import NotFoundError
from conduit.core.filters import (
    COLUMN_OF_FIELD,
    REQUEST_FIELDS,
    TEXT_FIELDS,
    FieldKind,
    Filter,
    Term,
    operand,
)
from conduit.core.ids import first_id
from conduit.core.moments import DAY_MS
from conduit.gateway.storage.rows import Found, Window, cut
from conduit.gateway.storage.schema import corrections, ledger, requests

_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_ESCAPE = "\\"
ID_PREFIX = "req"
# A record that a recovery made begins with its first attempt, which may be later than its id.
_ID_SLACK_MS = 3_600_000
_PURGED_A_TRANSACTION = 5_000
# Sums of many 64-bit numbers are made in two halves: an engine's own sum would overflow.
_BILLION = 1_000_000_000


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """One row of the request log; the units are those of the table."""

    id: str
    at_ms: int
    operation: str
    stream: bool
    status: int
    outcome: str
    error_code: str | None
    key_id: str | None
    key_name: str | None
    alias: str | None
    provider: str | None
    model: str | None
    attempts: int
    duration_ms: int
    ttft_ms: int | None
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    usage_source: str
    cost_nanodollars: int
    billed_nanodollars: int
    tokens_per_s_milli: int | None
    client_ip: str | None
    user_agent: str | None
    route: str | None = None
    cache: str | None = None
    avoided_nanodollars: int = 0
    session: str | None = None
    end_user: str | None = None
    dropped: str | None = None
    group_id: str | None = None
    group_name: str | None = None
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    audio_tokens: int = 0
    output_audio_tokens: int = 0
    client_dialect: str | None = None
    provider_dialect: str | None = None
    credential_id: str | None = None
    credential_name: str | None = None


@dataclass(frozen=True, slots=True)
class StoredAttempt:
    """What the ledger's row of one dispatch shows.

    `corrected_nanodollars` are what corrections add to its cost; they may be negative.
    """

    attempt_id: str
    provider: str
    model: str
    state: str
    outcome: str | None
    status: int | None
    error_code: str | None
    ambiguous: bool
    hold_nanodollars: int
    cost_nanodollars: int
    billed_nanodollars: int
    price_version: str
    usage_source: str
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    held_at_ms: int
    settled_at_ms: int | None
    search_units: int | None
    cache_write_1h_tokens: int
    audio_tokens: int
    output_audio_tokens: int
    credential_id: str | None
    corrected_nanodollars: int


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time; `until_ms` is no part of it."""

    since_ms: int | None = None
    until_ms: int | None = None


EVER = Span()


@dataclass(frozen=True, slots=True)
class Recorded:
    """How many request records there are, and what answers that were kept would have cost.

    `group` is what they have in common; None: over all.
    """

    group: str | int | None
    requests: int
    failed: int
    avoided_nanodollars: int


NOTHING_RECORDED = Recorded(None, 0, 0, 0)


# PostgreSQL makes its sums of 64-bit numbers decimals.
_CORRECTED = (
    select(cast(func.coalesce(func.sum(corrections.c.nanodollars), 0), BigInteger))
    .where(corrections.c.attempt_id == ledger.c.attempt_id)
    .scalar_subquery()
    .label("corrected_nanodollars")
)
_ATTEMPT_COLUMNS = tuple(
    ledger.c[field.name] for field in fields(StoredAttempt) if field.name != _CORRECTED.name
)


def _request(row: Row[Any]) -> StoredRequest:
    return StoredRequest(**row._mapping)


async def page(
    connection: AsyncConnection,
    wanted: Filter,
    window: Window,
    span: Span = EVER,
) -> Found[StoredRequest]:
    """Records that hold every term, newest first: ids sort by time."""
    statement: Select[Any] = select(requests).where(
        *_within(span), *(_condition(term) for term in wanted.terms)
    )
    if (before := window.after()) is not None:
        statement = statement.where(requests.c.id < before)
    newest_first = statement.order_by(requests.c.id.desc()).limit(window.limit + 1)
    found = await connection.execute(newest_first)
    return cut(found.all(), _request, window, "id")


async def find(connection: AsyncConnection, request_id: str) -> StoredRequest:
    """Raises NotFoundError."""
    found = await connection.execute(select(requests).where(requests.c.id == request_id))
    if (row := found.first()) is None:
        raise NotFoundError(f"there is no record of a request {request_id}")
    return _request(row)


async def attempts_of(connection: AsyncConnection, request_id: str) -> tuple[StoredAttempt, ...]:
    """The dispatches of a request in their order."""
    found = await connection.execute(
        select(*_ATTEMPT_COLUMNS, _CORRECTED)
        .where(ledger.c.request_id == request_id, ledger.c.adjusts.is_(None))
        .order_by(ledger.c.held_at_ms, ledger.c.attempt_id)
    )
    return tuple(StoredAttempt(**row._mapping) for row in found)


async def recorded_of_key(
    connection: AsyncConnection, key_id: str, span: Span, by: str | None, limit: int
) -> tuple[Recorded, ...]:
    """The request records of a key, by `alias`, `provider`, `model` or `day`.

    What their attempts used and cost is in the ledger, which keeps it. A day is the number of days
    since 1970 in UTC. The last day comes first, of others the one with the most; at most `limit`.
    """
    grouped: dict[str, ColumnElement[Any]] = {
        "alias": requests.c.alias,
        "provider": requests.c.provider,
        "model": requests.c.model,
        "day": requests.c.at_ms // DAY_MS,
    }
    group: ColumnElement[Any] = null() if by is None else grouped[by]
    avoided = requests.c.avoided_nanodollars
    sums = [
        func.count(),
        func.count().filter(requests.c.outcome != "succeeded"),
        *(func.coalesce(func.sum(half), 0) for half in (avoided // _BILLION, avoided % _BILLION)),
    ]
    statement = (
        select(group.label("group"), *sums)
        .where(requests.c.key_id == key_id, *_within(span))
        .limit(limit)
    )
    if by is not None:
        order = (group,) if by == "day" else (func.count(), group)
        statement = statement.group_by(group).order_by(*(each.desc() for each in order))
    found = [tuple(row) for row in await connection.execute(statement)]
    return tuple(
        Recorded(name, int(count), int(failed), int(high) * _BILLION + int(low))
        for name, count, failed, high, low in found
    )


async def purge(connection: AsyncConnection, before_ms: int) -> int:
    """Delete some of the records of requests that began before a moment; 0: none is left.

    What the ledger knows of their attempts stays.
    """
    return await purge_below(connection, first_id(ID_PREFIX, before_ms), _PURGED_A_TRANSACTION)


async def nth_newest(connection: AsyncConnection, count: int) -> str | None:
    """The id of the oldest of so many records, the newest ones; None where there are fewer."""
    newest_first = select(requests.c.id).order_by(requests.c.id.desc())
    return (await connection.execute(newest_first.offset(count - 1).limit(1))).scalar_one_or_none()


async def purge_below(connection: AsyncConnection, bound: str, most: int) -> int:
    """Delete the oldest records of ids below one, so many at most; how many there were."""
    oldest = select(requests.c.id).where(requests.c.id < bound).order_by(requests.c.id).limit(most)
    result = await connection.execute(delete(requests).where(requests.c.id.in_(oldest)))
    return int(result.rowcount)


def _within(span: Span) -> list[ColumnElement[bool]]:
    """By the column that says it, and by the ids, which are the only index."""
    conditions = []
    if span.since_ms is not None:
        conditions.append(requests.c.at_ms >= span.since_ms)
        conditions.append(requests.c.id >= first_id(ID_PREFIX, span.since_ms - _ID_SLACK_MS))
    if span.until_ms is not None:
        conditions.append(requests.c.at_ms < span.until_ms)
        conditions.append(requests.c.id < first_id(ID_PREFIX, span.until_ms + _ID_SLACK_MS))
    return conditions


def _condition(term: Term) -> ColumnElement[bool]:
    if term.field is None:
        condition = or_(
            *(
                _text_condition(_column(field), f"*{value}*")
                for value in term.values
                for field in TEXT_FIELDS
            )
        )
    else:
        condition = _field_condition(term, term.field)
    # SQL knows a third truth value, for columns without a value; the language does not.
    return not_(func.coalesce(condition, false())) if term.negated else condition


def _field_condition(term: Term, field: str) -> ColumnElement[bool]:
    column, kind = _column(field), REQUEST_FIELDS[field]
    if kind is FieldKind.TEXT:
        return or_(*(_text_condition(column, value) for value in term.values))
    operands = [operand(kind, value) for value in term.values]
    if term.op == "=":
        return column.in_(operands)
    return and_(_COMPARE[term.op](column, operands[0]))


def _column(field: str) -> ColumnElement[Any]:
    """What a field means: a column, or the sum of several."""
    first, *others = (requests.c[name] for name in COLUMN_OF_FIELD[field])
    total: ColumnElement[Any] = first
    for other in others:
        total = total + other
    return total


def _text_condition(column: ColumnElement[Any], pattern: str) -> ColumnElement[bool]:
    folded = func.lower(column)
    if "*" not in pattern:
        return folded == pattern.lower()
    escaped = pattern.lower()
    for special in (_ESCAPE, "%", "_"):
        escaped = escaped.replace(special, _ESCAPE + special)
    return folded.like(escaped.replace("*", "%"), escape=_ESCAPE)
