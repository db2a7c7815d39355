"""A ledger that several processes write, in PostgreSQL, which holds the truth of its balances.

Every transaction shares a lock that a change of the terms has for itself, and looks within it
whether the ledger still belongs to the gateway of this process: nothing is written by terms that
are not in force, or after another gateway has taken over. Rows are locked in one order: attempts by
their ids, then balances by budget and period.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, Protocol, TypeVar

from sqlalchemy import Connection, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from conduit.gateway.storage.engine import USUAL_S, name_of, reading
from conduit.gateway.storage.ledger.batches import BatchStatements, Row
from conduit.gateway.storage.ledger.session import LedgerTakenError, close_for_good, is_sound_after
from conduit.gateway.storage.ledger.statements import (
    LedgerReader,
    LedgerWriter,
    StorageFailedError,
    StoredAttempt,
    stored_attempt,
)
from conduit.gateway.storage.ledger.tables import failures_as_storage_errors
from conduit.gateway.storage.outages import reason_of
from conduit.gateway.storage.schema import ledger
from conduit.gateway.storage.telling import SCHEMA_NUMBER, TERMS

log = logging.getLogger(__name__)
T = TypeVar("T")

Scope = tuple[str, int]

_OPENINGS: Final = 10
_SHARED: Final = select(func.pg_advisory_xact_lock_shared(TERMS, SCHEMA_NUMBER))
_EXCLUSIVE: Final = select(func.pg_advisory_xact_lock(TERMS, SCHEMA_NUMBER))
# One session at a time has a line of a journal. A former one is ended and waited for: what it did
# not commit until then is not there, and will not be.
_END_FORMER: Final = """
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pid <> pg_backend_pid()
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND (classid::bigint << 32) | objid::bigint
= hashtextextended(current_schema() || $1::text, 3235729412)
"""
_HAVE_LINE: Final = """
SELECT pg_advisory_lock(hashtextextended(current_schema() || $1::text, 3235729412))
"""
# What is told to be stored must be: calls are sent and the journal's files deleted after it.
_DURABLE: Final = text(
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') = 'off'"
)

# A process that was halted, or whose machine has gone, must not keep its locks from the others.
_NO_LONGER: Final = text(
    "SELECT set_config('idle_in_transaction_session_timeout', '10s', false),"
    " set_config('tcp_keepalives_idle', '30', false),"
    " set_config('tcp_keepalives_interval', '10', false),"
    " set_config('tcp_keepalives_count', '3', false)"
)

_LOCK_BALANCES: Final = """
SELECT b.budget_id, b.period_start_ms, b.spent_nanodollars, b.held_nanodollars
FROM balances AS b
JOIN unnest($1::text[], $2::bigint[]) AS wanted (budget_id, period_start_ms)
USING (budget_id, period_start_ms)
ORDER BY b.budget_id, b.period_start_ms
FOR UPDATE OF b
"""
_BEGIN_BALANCES: Final = """
INSERT INTO balances (budget_id, period_start_ms, spent_nanodollars, held_nanodollars)
SELECT budget_id, period_start_ms, 0, 0
FROM unnest($1::text[], $2::bigint[]) AS wanted (budget_id, period_start_ms)
ORDER BY budget_id, period_start_ms
ON CONFLICT DO NOTHING
"""
# A balance stops at what 64 bits hold: what a provider says that it used may be anything.
_ADD_TO_BALANCES: Final = """
INSERT INTO balances AS b (budget_id, period_start_ms, spent_nanodollars, held_nanodollars)
SELECT budget_id, period_start_ms,
least(sum(spent), 9223372036854775807)::bigint, least(sum(held), 9223372036854775807)::bigint
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[])
AS change (budget_id, period_start_ms, spent, held)
GROUP BY budget_id, period_start_ms
ORDER BY budget_id, period_start_ms
ON CONFLICT (budget_id, period_start_ms) DO UPDATE SET
spent_nanodollars = least(
    b.spent_nanodollars::numeric + excluded.spent_nanodollars, 9223372036854775807
)::bigint,
held_nanodollars = b.held_nanodollars + excluded.held_nanodollars
"""
_GROW_HOLDS: Final = (
    "UPDATE ledger SET hold_nanodollars = hold_nanodollars + $1::bigint"
    " WHERE attempt_id = $2::text AND state = 'open'"
)
_PRESENT_BALANCES: Final = """
SELECT b.budget_id, p.first_ms, b.period_start_ms, b.spent_nanodollars, b.held_nanodollars
FROM balances AS b
JOIN (
    SELECT budget_id, min(period_start_ms) AS first_ms, max(period_start_ms) AS latest_ms
    FROM balances
    WHERE $1::text[] IS NULL OR budget_id = ANY ($1::text[])
    GROUP BY budget_id
) AS p ON p.budget_id = b.budget_id AND p.latest_ms = b.period_start_ms
"""


class Terms(Protocol):
    """What a process knows of the budgets, as of a revision of the configuration."""

    revision: int

    def load(self, reader: LedgerReader, revision: int) -> bool:
        """Read them anew; whether each of them has a balance, and its limit is in force."""
        ...

    def open_uncounted(self, writer: LedgerWriter) -> None:
        """Give a balance to those that have none, and put limits in force that have changed."""
        ...


class _UncountedError(Exception):
    """A budget has been stored, or a limit of one, that does not count yet."""


def present_balances(
    reader: LedgerReader, budget_ids: list[str] | None = None
) -> list[tuple[str, int, int, int, int]]:
    """(budget id, first and latest period start, spent and held of the latest) of each budget, or
    of those that are named.
    """
    rows = reader.connection.exec_driver_sql(_PRESENT_BALANCES, (budget_ids,))
    return [(row[0], int(row[1]), int(row[2]), int(row[3]), int(row[4])) for row in rows]


class SharedWriter(LedgerWriter):
    """Writes within one transaction, beside others that write to the same balances."""

    def attempts(self, attempt_ids: Iterable[str]) -> list[StoredAttempt]:
        """They stay as they are until the transaction ends."""
        if not (wanted := sorted(attempt_ids)):
            return []
        statement = stored_attempt().where(ledger.c.attempt_id.in_(wanted))
        in_order = statement.order_by(ledger.c.attempt_id).with_for_update()
        return [StoredAttempt(*row) for row in self.connection.execute(in_order)]

    def add_to_balances(self, rows: list[Row]) -> None:
        if rows:
            columns = tuple(map(list, zip(*rows, strict=True)))
            self.connection.exec_driver_sql(_ADD_TO_BALANCES, columns)

    def grow_holds(self, rows: list[Row]) -> None:
        """Rows of what is added to a hold, and the id of its attempt, which is open."""
        if rows:
            self.connection.exec_driver_sql(_GROW_HOLDS, rows)

    def lock_balances(self, scopes: Iterable[Scope]) -> dict[Scope, tuple[int, int]]:
        """(spent, held) of balances, which nobody else changes until the transaction ends.

        One of a period that begins is made.
        """
        if not (wanted := sorted(set(scopes))):
            return {}
        found = self._locked(wanted)
        if missing := [scope for scope in wanted if scope not in found]:
            self.connection.exec_driver_sql(_BEGIN_BALANCES, _columns(missing))
            found |= self._locked(missing)
        return found

    def _locked(self, scopes: list[Scope]) -> dict[Scope, tuple[int, int]]:
        rows = self.connection.exec_driver_sql(_LOCK_BALANCES, _columns(scopes))
        return {(row[0], int(row[1])): (int(row[2]), int(row[3])) for row in rows}


class SharedTables:
    """One connection of a process that shares the ledger; belongs to one event loop.

    `owner` is when the database was made and the epoch that the gateway has taken it for. A journal
    may have several connections, each of a `line` of its own. The applier of a journal uses it in
    the place of `LedgerTables`.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        journal: int,
        owner: tuple[int, int],
        terms: Terms,
        line: str = "journal",
    ) -> None:
        self.journal = journal
        self._line = (f" {journal} {line}",)
        self.lost: str | None = None
        """Why there is no connection now."""
        self._engine = engine
        self._owner = owner
        self._terms = terms
        self._batch = BatchStatements(engine.dialect)
        self._connection: AsyncConnection | None = None
        self._taken: str | None = None
        self._turn = asyncio.Lock()

    async def write(self, change: Callable[[SharedWriter], T], within_s: float = USUAL_S) -> T:
        """Run `change` in a transaction of its own, by terms that are in force until its end.

        Raises StorageFailedError, of which AlreadyStoredError where a row cannot be inserted, and
        LedgerTakenError. The server may have committed what it could not report any more.
        """
        for _ in range(_OPENINGS):
            with suppress(_UncountedError):
                return await self._in_turn(change, within_s, exclusive=False)
            await self.open_uncounted(within_s)
        raise StorageFailedError("budgets are stored faster than they can be counted")

    async def open_uncounted(self, within_s: float = USUAL_S) -> None:
        """Let every stored budget count, beginning with what the ledger holds of its period, and by
        the limit that it has now.
        """
        await self._in_turn(self._terms.open_uncounted, within_s, exclusive=True)

    async def read(self, question: Callable[[LedgerReader], T], within_s: float = USUAL_S) -> T:
        """Run `question` on one consistent state of all tables. Raises StorageFailedError."""
        with failures_as_storage_errors():
            async with reading(self._engine, within_s) as connection:
                return await connection.run_sync(lambda c: question(LedgerReader(c, self.journal)))

    def watch(self, on_taken: Callable[[str], None]) -> None:
        """Nothing to keep: every transaction looks by itself."""

    async def make_durable(self) -> bool:
        return True

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await close_for_good(connection)

    async def _in_turn(
        self, change: Callable[[SharedWriter], T], within_s: float, *, exclusive: bool
    ) -> T:
        async with self._turn:
            if self._taken is not None:
                raise LedgerTakenError(self._taken)
            with failures_as_storage_errors():
                try:
                    async with asyncio.timeout(within_s):
                        return await self._run(change, exclusive=exclusive)
                except LedgerTakenError as error:
                    self._taken = str(error)
                    raise
                except BaseException as error:
                    if not is_sound_after(error, self._connection):
                        await self._drop(reason_of(error))
                    raise

    async def _run(self, change: Callable[[SharedWriter], T], *, exclusive: bool) -> T:
        connection = self._connection
        if connection is None:
            connection = self._connection = await self._connect()
        async with connection.begin():
            await connection.execute(_EXCLUSIVE if exclusive else _SHARED)
            changed = await connection.run_sync(self._change, change, exclusive)
        if self.lost is not None:
            log.warning("the ledger's connection with the database has been made anew")
            self.lost = None
        return changed

    def _change(
        self, connection: Connection, change: Callable[[SharedWriter], T], exclusive: bool
    ) -> T:
        writer = SharedWriter(connection, self._batch, self.journal)
        # A statement after the lock: it sees all that was committed before it was had.
        fence = writer.fence()
        if (fence.database_ms, fence.epoch) != self._owner:
            raise LedgerTakenError(
                f"another gateway has taken the ledger in {name_of(self._engine)}: stop it, and "
                "start this one again"
            )
        if exclusive:
            self._terms.load(writer, fence.revision)
        elif fence.revision != self._terms.revision and not self._terms.load(
            writer, fence.revision
        ):
            self._terms.revision = -1
            raise _UncountedError
        return change(writer)

    async def _connect(self) -> AsyncConnection:
        connection = await self._engine.connect()
        try:
            async with connection.begin():
                await connection.execute(_DURABLE)
                await connection.execute(_NO_LONGER)
                await connection.exec_driver_sql(_END_FORMER, self._line)
                await connection.exec_driver_sql(_HAVE_LINE, self._line)
        except BaseException:
            await close_for_good(connection)
            raise
        return connection

    async def _drop(self, reason: str) -> None:
        if self.lost is None:
            log.error("the ledger's connection with the database is lost: %s", reason)
        self.lost = reason
        await self.close()


def _columns(scopes: list[Scope]) -> tuple[list[str], list[int]]:
    return [budget_id for budget_id, _ in scopes], [start_ms for _, start_ms in scopes]
