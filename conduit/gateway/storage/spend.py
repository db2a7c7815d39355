"""Statements for what attempts were charged in doubt, and for corrections of it.

A correction is a row of the ledger of its own, which adds the difference to what the attempt cost,
in the period of the attempt; and a row that tells why, and whose decision it was. So whatever sums
up the ledger counts it, and no settlement is ever changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.errors import NotFoundError
from conduit.core.ids import first_id
from conduit.gateway.storage.requests import EVER, Span
from conduit.gateway.storage.rows import Found, Window, cut
from conduit.gateway.storage.schema import corrections, ledger, requests

ID_PREFIX = "cor"
CORRECTED = "corrected"
"""The outcome of the ledger's row of a correction."""

_ATTEMPT_PREFIX = "att"
# An attempt gets its id before its money is held, which it may wait for.
_ID_SLACK_MS = 3_600_000
# In the words of the partial index, which a parameter would keep from being used.
_DOUBTFUL: ColumnElement[bool] = literal_column("ledger.ambiguous")

ReviewState = Literal["open", "corrected", "all"]


class StoredCorrection(NamedTuple):
    """`nanodollars` were added to what an attempt cost, which is `cost_nanodollars` then."""

    id: str
    attempt_id: str
    nanodollars: int
    cost_nanodollars: int
    reason: str
    actor: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class StoredCharge:
    """What an attempt was charged when it was settled, its corrections apart."""

    attempt_id: str
    request_id: str
    key_id: str
    alias: str
    provider: str
    model: str
    operation: str
    stream: bool
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
    output_tokens: int
    progress_tokens: int
    held_at_ms: int
    settled_at_ms: int | None
    group_id: str | None


@dataclass(frozen=True, slots=True)
class Charge:
    """An attempt with its corrections, the first one first."""

    settled: StoredCharge
    corrections: tuple[StoredCorrection, ...]

    @property
    def cost_nanodollars(self) -> int:
        """What it costs by now."""
        return self.settled.cost_nanodollars + sum(each.nanodollars for each in self.corrections)


@dataclass(frozen=True, slots=True)
class WantedCharges:
    """Which attempts are to be reviewed: those that fit all that is given; a key by its id.

    `open` are those in doubt that nobody has corrected, `corrected` those that somebody has, in
    doubt or not, `all` those in doubt.
    """

    state: ReviewState = "open"
    span: Span = EVER
    outcome: str | None = None
    key_id: str | None = None
    provider: str | None = None
    model: str | None = None
    alias: str | None = None


class CorrectedAttempt(NamedTuple):
    """A done attempt whose cost was corrected; `changes` are in the order in which they came."""

    key_id: str
    group_id: str | None
    alias: str
    held_at_ms: int
    hold: int
    cost: int
    changes: tuple[int, ...]

    @property
    def excess(self) -> int:
        """What the attempt costs by now without having been held.

        A higher cost was never held, though the hold had been as large: what the attempt left of it
        may have been spent by others. A lower one takes away from that first, and then gives back
        what others can hold.
        """
        excess = max(self.cost - self.hold, 0)
        for change in self.changes:
            excess = max(excess + change, 0)
        return excess


_CHARGED = tuple(ledger.c[field.name] for field in fields(StoredCharge))


async def page(connection: AsyncConnection, wanted: WantedCharges, window: Window) -> Found[Charge]:
    """Attempts, newest first. Raises ValidationFailedError for a foreign cursor."""
    statement = select(*_CHARGED).where(*_conditions(wanted))
    if (before := window.after()) is not None:
        statement = statement.where(ledger.c.attempt_id < before)
    newest_first = statement.order_by(ledger.c.attempt_id.desc()).limit(window.limit + 1)
    found = cut((await connection.execute(newest_first)).all(), _charge, window, "attempt_id")
    made = await _corrections_of(connection, [each.attempt_id for each in found.rows])
    charges = tuple(Charge(each, made.get(each.attempt_id, ())) for each in found.rows)
    return Found(charges, found.next_cursor)


async def find(connection: AsyncConnection, attempt_id: str) -> Charge:
    """Raises NotFoundError, for the id of a correction too."""
    statement = select(*_CHARGED).where(
        ledger.c.attempt_id == attempt_id, ledger.c.adjusts.is_(None)
    )
    if (row := (await connection.execute(statement)).first()) is None:
        raise NotFoundError(f"there is no attempt {attempt_id}", hint="see: conduit spend review")
    made = await _corrections_of(connection, [attempt_id])
    return Charge(_charge(row), made.get(attempt_id, ()))


def post(connection: Connection, correction: StoredCorrection) -> Row[Any] | None:
    """Store a correction; the ledger's row of its attempt.

    None where it is stored already, or there is no such attempt that is done.
    """
    known = select(corrections.c.id).where(corrections.c.id == correction.id)
    if connection.execute(known).first() is not None:
        return None
    statement = select(ledger).where(
        ledger.c.attempt_id == correction.attempt_id, ledger.c.state == "done"
    )
    if (attempt := connection.execute(statement).first()) is None:
        return None
    connection.execute(insert(ledger).values(_row(dict(attempt._mapping), correction)))
    connection.execute(insert(corrections).values(correction._asdict()))
    cost = requests.c.cost_nanodollars
    connection.execute(
        update(requests)
        .where(requests.c.id == attempt.request_id)
        .values({cost: cost + correction.nanodollars})
    )
    return attempt


def corrected(connection: Connection) -> list[CorrectedAttempt]:
    """The done attempts that have corrections, by the rows of the ledger."""
    change = ledger.alias("change")
    described = ("key_id", "group_id", "alias", "held_at_ms")
    amounts = ("hold_nanodollars", "cost_nanodollars")
    statement = (
        select(
            ledger.c.attempt_id,
            change.c.cost_nanodollars.label("more"),
            *(ledger.c[name] for name in (*described, *amounts)),
        )
        .join(change, change.c.adjusts == ledger.c.attempt_id)
        .where(change.c.adjusts.is_not(None), ledger.c.state == "done")
        .order_by(ledger.c.attempt_id, change.c.settled_at_ms, change.c.attempt_id)
    )
    found: dict[str, CorrectedAttempt] = {}
    for row in connection.execute(statement):
        before = found.get(row.attempt_id)
        changes = (row.more,) if before is None else (*before.changes, row.more)
        found[row.attempt_id] = CorrectedAttempt(
            row.key_id,
            row.group_id,
            row.alias,
            row.held_at_ms,
            row.hold_nanodollars,
            row.cost_nanodollars,
            changes,
        )
    return list(found.values())


def _row(attempt: dict[str, Any], correction: StoredCorrection) -> dict[str, Any]:
    """The ledger's row of a correction: the attempt's, with nothing but the difference in it."""
    nothing = (
        *("hold_nanodollars", "billed_nanodollars", "input_tokens", "cache_read_tokens"),
        *("cache_write_tokens", "output_tokens", "reasoning_tokens", "audio_tokens"),
        *("cache_write_1h_tokens", "output_audio_tokens"),
        *("progress_tokens", "input_nanodollars", "output_rate"),
    )
    return {
        **attempt,
        **dict.fromkeys(nothing, 0),
        "attempt_id": correction.id,
        "adjusts": correction.attempt_id,
        "outcome": CORRECTED,
        "status": None,
        "error_code": None,
        "ambiguous": False,
        "usage_source": "none",
        "search_units": None,
        "cost_nanodollars": correction.nanodollars,
        "settled_at_ms": correction.at_ms,
    }


async def _corrections_of(
    connection: AsyncConnection, attempt_ids: Sequence[str]
) -> dict[str, tuple[StoredCorrection, ...]]:
    if not attempt_ids:
        return {}
    statement = (
        select(corrections)
        .where(corrections.c.attempt_id.in_(attempt_ids))
        .order_by(corrections.c.id)
    )
    made: dict[str, tuple[StoredCorrection, ...]] = {}
    for row in await connection.execute(statement):
        correction = StoredCorrection(*row)
        made[correction.attempt_id] = (*made.get(correction.attempt_id, ()), correction)
    return made


def _conditions(wanted: WantedCharges) -> list[ColumnElement[bool]]:
    corrected = select(corrections.c.attempt_id)
    conditions: list[ColumnElement[bool]]
    match wanted.state:
        case "open":
            mine = corrected.where(corrections.c.attempt_id == ledger.c.attempt_id)
            conditions = [_DOUBTFUL, ~mine.exists()]
        case "corrected":
            conditions = [ledger.c.attempt_id.in_(corrected)]
        case "all":
            conditions = [_DOUBTFUL]
    for name in ("outcome", "key_id", "provider", "model", "alias"):
        if (value := getattr(wanted, name)) is not None:
            conditions.append(ledger.c[name] == value)
    span = wanted.span
    if span.since_ms is not None:
        conditions.append(ledger.c.held_at_ms >= span.since_ms)
        lowest = first_id(_ATTEMPT_PREFIX, span.since_ms - _ID_SLACK_MS)
        conditions.append(ledger.c.attempt_id >= lowest)
    if span.until_ms is not None:
        conditions.append(ledger.c.held_at_ms < span.until_ms)
        highest = first_id(_ATTEMPT_PREFIX, span.until_ms + _ID_SLACK_MS)
        conditions.append(ledger.c.attempt_id < highest)
    return conditions


def _charge(row: Row[Any]) -> StoredCharge:
    return StoredCharge(**row._mapping)
