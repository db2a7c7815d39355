"""The ledger's tables of one database, however that database is written."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from conduit.gateway.storage.engine import (
    USUAL_S,
    DatabaseError,
    Transaction,
    is_local,
    reading,
    writing,
)
from conduit.gateway.storage.ledger.batches import BatchStatements
from conduit.gateway.storage.ledger.file import LedgerFile
from conduit.gateway.storage.ledger.session import (
    CLAIM_S,
    UNKNOWN,
    LedgerSession,
    LedgerTakenError,
    Standing,
)
from conduit.gateway.storage.ledger.statements import (
    FIRST_JOURNAL,
    AlreadyStoredError,
    Engine,
    LedgerReader,
    LedgerWriter,
    StorageFailedError,
)
from conduit.gateway.storage.outages import reason_of

__all__ = ["LedgerTables", "LedgerTakenError", "failures_as_storage_errors", "write_within"]

T = TypeVar("T")

_NO_JOURNAL = 0


class LedgerTables:
    """What reads and writes is a plain function of a connection.

    On SQLite it runs in a thread. On PostgreSQL it runs over the asynchronous driver: once the
    ledger is claimed, on the session that has the lock, so that only its holder can write.
    """

    def __init__(self, engine: Engine, journal: int = FIRST_JOURNAL) -> None:
        self.journal = journal
        """The number of the journal whose position is read and set."""
        self._engine = engine
        self._batch = BatchStatements(engine.dialect)
        self._file = LedgerFile(engine) if is_local(engine) else None
        self._session: LedgerSession | None = None

    @property
    def lost(self) -> str | None:
        """Why another gateway may take this ledger at this moment; None while none can."""
        return self._session.lost if self._session is not None else None

    async def claim(
        self, wait_s: float = CLAIM_S, *, is_tool: bool = False, by_epoch: bool = False
    ) -> None:
        """Be the only writer. Raises LedgerTakenError, StorageFailedError.

        `by_epoch`: or have workers that write; the ledger's epoch alone tells of other gateways.

        SQLite is guarded by locks on files, which are the caller's. A tool keeps others away for
        the length of a command, from tables that may not be there yet.
        """
        if self._file is None:
            session = LedgerSession(
                self._engine,
                (lambda _: UNKNOWN) if is_tool else _epoch if by_epoch else _standing,
                lambda: self.journal,
                is_tool=is_tool,
            )
            with failures_as_storage_errors():
                await session.claim(wait_s)
            self._session = session

    async def remember(self) -> None:
        """How the ledger stands now is by our own doing. Raises StorageFailedError."""
        if self._session is not None:
            with failures_as_storage_errors():
                await self._session.remember()

    def watch(self, on_taken: Callable[[str], None]) -> None:
        """Keep what was claimed; `on_taken` is told when another gateway has got it."""
        if self._session is not None:
            self._session.watch(on_taken)

    async def write(self, change: Callable[[LedgerWriter], T], within_s: float = USUAL_S) -> T:
        """Run `change` in a transaction of its own.

        Raises StorageFailedError, of which AlreadyStoredError where a row cannot be inserted, and
        LedgerTakenError. A server may have committed what it could not report any more.
        """
        with failures_as_storage_errors():
            if self._file is not None:
                return await self._file.run(lambda c: change(self._writer(c)))
            if self._session is not None:
                return await self._session.run(lambda c: change(self._writer(c)), within_s)
            async with writing(self._engine, within_s) as connection:
                return await connection.run_sync(lambda c: change(self._writer(c)))

    async def read(self, question: Callable[[LedgerReader], T], within_s: float = USUAL_S) -> T:
        """Run `question` on one consistent state of all tables. Raises StorageFailedError."""
        with failures_as_storage_errors():
            async with reading(self._engine, within_s) as connection:
                return await connection.run_sync(lambda c: question(LedgerReader(c, self.journal)))

    async def make_durable(self) -> bool:
        """Whether everything committed so far would survive a power cut; tries to make it so."""
        return await self._file.make_durable() if self._file is not None else True

    async def close(self) -> None:
        """Give back what was claimed."""
        if self._file is not None:
            self._file.close()
        if self._session is not None:
            await self._session.close()

    def _writer(self, connection: Connection) -> LedgerWriter:
        return LedgerWriter(connection, self._batch, self.journal)


async def write_within(connection: Transaction, change: Callable[[LedgerWriter], T]) -> T:
    """Run `change`, for the first journal, in a transaction that is under way."""
    batch = BatchStatements(connection.dialect)
    return await connection.run_sync(lambda sync: change(LedgerWriter(sync, batch)))


def _standing(connection: Connection) -> Standing:
    reader = LedgerReader(connection)
    return Standing(reader.created_at_ms(), reader.positions())


def _epoch(connection: Connection) -> Standing:
    fence = LedgerReader(connection).fence()
    return Standing(fence.database_ms, {_NO_JOURNAL: (fence.epoch, 0)})


@contextmanager
def failures_as_storage_errors() -> Iterator[None]:
    """Turns what the database refuses or does not answer into StorageFailedError."""
    try:
        yield
    except IntegrityError as error:
        raise AlreadyStoredError(reason_of(error)) from error
    except (SQLAlchemyError, DatabaseError, OSError) as error:
        raise StorageFailedError(reason_of(error)) from error
