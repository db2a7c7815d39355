"""The one connection that writes a ledger in PostgreSQL, under a lock that ends with it.

The lock and the writes are of one session, so what has lost the lock cannot write: no clock and no
lease is involved. A session that was lost is made anew; if another gateway had the ledger
meanwhile, or a restore replaced it, this one writes no more.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Row, func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from conduit.gateway.storage.engine import LEDGER, SCHEMA_NUMBER, DatabaseError, name_of
from conduit.gateway.storage.outages import reason_of

log = logging.getLogger(__name__)
T = TypeVar("T")

CLAIM_S = 5.0
"""Seconds to wait for the lock of a process that has just ended."""

_CLAIM_AGAIN_S = 0.1
_UNHELD_S = 3.0  # for a lock that is not free, and that nobody is seen to have
_LOOK_S = 5.0  # between looks at a session that has nothing to do
_LOOK_AGAIN_S = 1.0
_ANSWER_S = 10.0


class LedgerTakenError(Exception):
    """Another gateway has this ledger; the message says which, as far as the server tells."""


class _Backend(NamedTuple):
    """A session as the server knows it."""

    pid: int
    since: datetime


class Standing(NamedTuple):
    """What tells whether others had a ledger: when its database was made, how far its journals are.

    A restore makes another database; a gateway moves the position of its own journal.
    """

    database_ms: int | None
    positions: Mapping[int, tuple[int, int]]


UNKNOWN = Standing(None, {})
"""Of tables that may not be there yet."""


class LedgerSession:
    """Belongs to one event loop.

    `standing` reads how the ledger stands; `journal` says which of its journals this process
    writes, as nobody else moves the others while it has the lock. A tool has the ledger for the
    length of a command: who meets it there waits instead of giving up.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        standing: Callable[[Connection], Standing],
        journal: Callable[[], int],
        *,
        is_tool: bool = False,
    ) -> None:
        self.lost: str | None = None
        """Why there is no session now; another gateway may take the ledger meanwhile."""
        self._engine = engine
        self._standing = standing
        self._is_tool = is_tool
        self._connection: AsyncConnection | None = None
        self._backend: _Backend | None = None
        self._known = UNKNOWN
        self._journal = journal
        self._taken: str | None = None
        self._turn = asyncio.Lock()
        self._ended = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def claim(self, wait_s: float = CLAIM_S) -> None:
        """Take the lock. Raises LedgerTakenError, SQLAlchemyError, DatabaseError, OSError."""
        async with self._turn, asyncio.timeout(wait_s + 2 * _ANSWER_S):
            self._connection = await self._connect(wait_s)
            self._known = await self._read_standing(self._connection)

    async def remember(self) -> None:
        """How the ledger stands now is by our own doing; errors as of `claim`."""
        async with self._turn, asyncio.timeout(_ANSWER_S):
            if self._connection is not None:
                self._known = await self._read_standing(self._connection)

    def watch(self, on_taken: Callable[[str], None]) -> None:
        """Make a lost session anew even while there is nothing to write; the position is set."""
        self._watching = asyncio.create_task(self._watch(on_taken), name="ledger session")

    async def run(self, change: Callable[[Connection], T], within_s: float) -> T:
        """Run `change` in a transaction; errors as of `claim`, and TimeoutError."""
        async with self._turn:
            if self._taken is not None:
                raise LedgerTakenError(self._taken)
            try:
                async with asyncio.timeout(within_s):
                    return await self._run(change)
            except LedgerTakenError as error:
                self._taken = str(error)
                raise
            except BaseException as error:
                if not is_sound_after(error, self._connection):
                    await self._drop(reason_of(error))
                raise

    async def close(self) -> None:
        """Give the lock back and end the session."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        if self._connection is not None:
            with suppress(SQLAlchemyError, OSError):
                async with asyncio.timeout(_ANSWER_S), self._connection.begin():
                    unlock = func.pg_advisory_unlock(LEDGER, SCHEMA_NUMBER)
                    await self._connection.execute(select(unlock))
            await self._discard()

    async def _run(self, change: Callable[[Connection], T]) -> T:
        if self._connection is None:
            self._connection = await self._reconnect()
        async with self._connection.begin():
            changed = await self._connection.run_sync(change)
        if self.lost is not None:
            log.warning("the ledger's session with the database has been made anew")
            self.lost = None
        return changed

    async def _watch(self, on_taken: Callable[[str], None]) -> None:
        while True:
            wait_s = _LOOK_S if self.lost is None else _LOOK_AGAIN_S
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._ended.wait()
            self._ended.clear()
            try:
                await self.run(lambda connection: connection.execute(text("SELECT 1")), _ANSWER_S)
            except LedgerTakenError as error:
                on_taken(str(error))
                return
            except (SQLAlchemyError, DatabaseError, OSError):
                pass  # `lost` tells; the next round tries again

    async def _reconnect(self) -> AsyncConnection:
        """A new session, provided that nobody had the ledger since the last one."""
        connection = await self._connect(wait_s=0.0)
        now = await self._read_standing(connection)
        if now.database_ms != self._known.database_ms:
            await close_for_good(connection)
            raise LedgerTakenError(
                f"{name_of(self._engine)} was restored from a backup while this gateway had no "
                "connection to it: start this one again"
            )
        if self._others(now) != self._others(self._known):
            await close_for_good(connection)
            raise LedgerTakenError(
                f"another gateway has used the ledger in {name_of(self._engine)} while this one "
                "had no connection to it: stop the other, and start this one again"
            )
        return connection

    def _others(self, standing: Standing) -> Mapping[int, tuple[int, int]]:
        own = self._journal()
        return {number: at for number, at in standing.positions.items() if number != own}

    async def _connect(self, wait_s: float) -> AsyncConnection:
        connection = await self._engine.connect()
        try:
            async with connection.begin():
                for setting in _SETTINGS:
                    await connection.execute(setting)
                if self._is_tool:
                    await connection.execute(_NAMED_AS_TOOL)
                own = (await connection.execute(_OWN_BACKEND)).one()
            await self._lock(connection, wait_s)
            raw = await connection.get_raw_connection()
            driver = raw.driver_connection
            assert driver is not None
            driver.add_termination_listener(lambda _: self._ended.set())
        except BaseException:
            await close_for_good(connection)
            raise
        self._backend = _Backend(*own)
        return connection

    async def _lock(self, connection: AsyncConnection, wait_s: float) -> None:
        """Wait for the lock; a session of our own that the server still thinks alive is ended."""
        now = asyncio.get_running_loop().time
        begun = now()
        while True:
            async with connection.begin():
                if (await connection.execute(_TRY_LOCK)).scalar_one():
                    return
                holder = (await connection.execute(_HOLDER)).first()
                former = self._backend
                ours = holder is not None and former == _Backend(holder.pid, holder.backend_start)
                if ours and former is not None:
                    await connection.execute(select(func.pg_terminate_backend(former.pid)))
            if holder is None:
                # Who had it has ended since: nobody whom to give way to.
                if now() >= begun + max(wait_s, _UNHELD_S):
                    raise DatabaseError(f"the lock of {name_of(self._engine)} cannot be had yet")
            elif now() >= begun + wait_s and not ours:
                raise self._taken_by(holder)
            await asyncio.sleep(_CLAIM_AGAIN_S)

    def _taken_by(self, holder: Row[Any]) -> Exception:
        if holder.application_name == _TOOL:
            # It gives the lock back soon: nothing to give up for.
            return DatabaseError(f"a conduit db command works on {name_of(self._engine)}")
        where = f" at {holder.client}" if holder.client else ""
        return LedgerTakenError(
            f"another gateway{where} uses the ledger in {name_of(self._engine)}, and it can have "
            "only one: stop that one, or give this one a database or a schema of its own"
        )

    async def _read_standing(self, connection: AsyncConnection) -> Standing:
        async with connection.begin():
            return await connection.run_sync(self._standing)

    async def _drop(self, reason: str) -> None:
        if self.lost is None:
            log.error("the ledger's session with the database is lost: %s", reason)
        self.lost = reason
        await self._discard()

    async def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await close_for_good(connection)


def is_sound_after(error: BaseException, connection: AsyncConnection | None) -> bool:
    """Whether it can be used on, as it can after a statement that was refused."""
    interrupted = isinstance(error, TimeoutError | asyncio.CancelledError)
    return connection is not None and not (connection.invalidated or interrupted)


async def close_for_good(connection: AsyncConnection) -> None:
    """Close it for good: a connection that went back to the pool would keep the lock."""
    with suppress(SQLAlchemyError, OSError):
        await connection.invalidate()
    with suppress(SQLAlchemyError, OSError):
        await connection.close()


_SETTINGS = (
    # What is told to be stored must be: the journal's files are deleted after it.
    text(
        "SELECT set_config('synchronous_commit', 'on', false)"
        " WHERE current_setting('synchronous_commit') = 'off'"
    ),
    # A client whose machine has gone keeps its lock until the server notices.
    text(
        "SELECT set_config('tcp_keepalives_idle', '30', false),"
        " set_config('tcp_keepalives_interval', '10', false),"
        " set_config('tcp_keepalives_count', '3', false)"
    ),
)
_TOOL = "conduit db"
_NAMED_AS_TOOL = select(func.set_config("application_name", _TOOL, False))
_OWN_BACKEND = text("SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
_TRY_LOCK = select(func.pg_try_advisory_lock(LEDGER, SCHEMA_NUMBER))
_HOLDER = text(
    "SELECT a.pid, a.backend_start, a.application_name, host(a.client_addr) AS client"
    " FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid"
    " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2"
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND CAST(l.classid AS bigint) = :kind"
    " AND CAST(l.objid AS bigint) = (CAST(hashtext(current_schema()) AS bigint) & 4294967295)"
).bindparams(kind=LEDGER)
