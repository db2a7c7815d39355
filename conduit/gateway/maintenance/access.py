"""Opens a database for work on it as a whole: beside a running gateway, or instead of one."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from conduit.gateway.ledger.lock import (
    FILE_NAME,
    LedgerLock,
    LedgerLockedError,
    lock_files_beside,
)
from conduit.gateway.storage.engine import (
    Database,
    DatabaseError,
    create_engine,
    failures_told,
    is_local,
    sqlite_path,
)
from conduit.gateway.storage.ledger.tables import LedgerTables, LedgerTakenError
from conduit.gateway.storage.postgresql import is_postgresql, server_of


class RefusedError(Exception):
    """The work cannot be done on this database as things are; the message says why."""


@asynccontextmanager
async def opened(location: str, *, may_be_new: bool = False) -> AsyncIterator[Database]:
    """A database that is there, with no file made for it. Raises DatabaseError."""
    if not (may_be_new or is_postgresql(location) or sqlite_path(location).exists()):
        raise DatabaseError(f"there is no database at {sqlite_path(location)}")
    database = create_engine(location)
    try:
        with failures_told(database):
            yield database
    finally:
        await database.dispose()


@contextmanager
def instead_of_a_gateway(folder: Path) -> Iterator[None]:
    """Keep gateways of a data folder away. Raises RefusedError where one runs."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        lock = LedgerLock(folder / FILE_NAME)
    except LedgerLockedError as error:
        raise RefusedError(
            f"a gateway runs with the data folder {folder}: stop it first"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def file_alone(database: Database) -> Iterator[None]:
    """Keep gateways of other data folders away from a SQLite file. Raises RefusedError."""
    try:
        lock = LedgerLock(*lock_files_beside(database))
    except LedgerLockedError as error:
        raise RefusedError(str(error)) from error
    try:
        yield
    finally:
        lock.release()


@asynccontextmanager
async def alone(database: Database) -> AsyncIterator[None]:
    """Keep gateways away from a database, whatever their data folder. Raises RefusedError."""
    if is_local(database):
        with file_alone(database):
            yield
        return
    tables = LedgerTables(database)
    try:
        try:
            await tables.claim(wait_s=0.0, is_tool=True)
        except LedgerTakenError as error:
            raise RefusedError(str(error)) from error
        yield
    finally:
        await tables.close()


def gateway_runs(folder: Path) -> bool:
    """Whether a gateway has the data folder open at this moment."""
    if not (folder / FILE_NAME).exists():
        return False
    try:
        LedgerLock(folder / FILE_NAME).release()
    except LedgerLockedError:
        return True
    return False


@dataclass(frozen=True, slots=True)
class Named:
    """A database as people know it: `shown` with the way to it, never with a password."""

    name: str
    shown: str


def named(location: str) -> Named:
    """Raises DatabaseError for a URL that cannot be used."""
    if is_postgresql(location):
        server = server_of(location)
        return Named(server.database, f"postgresql://{server.host}/{server.database}")
    path = sqlite_path(location)
    return Named(path.name, str(path))
