"""Statements for what was spent in a stretch of time, by key and in all."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.ids import first_id
from conduit.gateway.storage.schema import ledger

_BILLION = 1_000_000_000
# An attempt gets its id before its money is held, which it may wait for.
_ID_SLACK_MS = 600_000
_PREFIX = "att"


class SpentBefore(NamedTuple):
    """What a key, or all together, has spent in a stretch, and when its first attempt ever was."""

    nanodollars: int
    first_ms: int | None


async def spent_by_key(connection: AsyncConnection, since_ms: int) -> Mapping[str, int]:
    """Nano-dollars by key's id, of attempts that were held since a moment and have ended.

    By the ids of attempts, which are of their time: few rows are read, of however many keys.
    """
    statement = (
        select(ledger.c.key_id, *_halves())
        .where(*_attempts(since_ms), ledger.c.held_at_ms >= since_ms)
        .group_by(ledger.c.key_id)
    )
    return {key_id: _whole(halves) for key_id, *halves in await connection.execute(statement)}


async def spent_before(
    connection: AsyncConnection, key_id: str | None, since_ms: int, until_ms: int
) -> SpentBefore:
    """What a key, or with None all together, has spent between two moments."""
    within = (ledger.c.held_at_ms >= since_ms, ledger.c.held_at_ms < until_ms)
    statement = select(*_halves()).where(*within)
    if key_id is None:
        statement = statement.where(*_attempts(since_ms))
        earliest = select(ledger.c.held_at_ms).where(ledger.c.adjusts.is_(None))
        first = earliest.order_by(ledger.c.attempt_id).limit(1)
    else:
        statement = statement.where(ledger.c.key_id == key_id, ledger.c.adjusts.is_(None))
        first = select(func.min(ledger.c.held_at_ms)).where(ledger.c.key_id == key_id)
    halves = (await connection.execute(statement)).one()
    first_ms = (await connection.execute(first)).scalar_one_or_none()
    return SpentBefore(_whole(list(halves)), first_ms)


def _attempts(since_ms: int) -> tuple[ColumnElement[bool], ...]:
    lowest = first_id(_PREFIX, since_ms - _ID_SLACK_MS)
    return (ledger.c.attempt_id >= lowest, ledger.c.adjusts.is_(None))


def _halves() -> tuple[ColumnElement[Any], ...]:
    # Sums of many 64-bit numbers are made in two halves: an engine's own sum would overflow.
    cost = ledger.c.cost_nanodollars
    return (
        func.coalesce(func.sum(cost // _BILLION), 0),
        func.coalesce(func.sum(cost % _BILLION), 0),
    )


def _whole(halves: list[Any]) -> int:
    return int(halves[0]) * _BILLION + int(halves[1])
