"""SQLite: the file of a database, and how a connection to it is opened."""

import asyncio
import operator
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import cast

from sqlalchemy import URL, Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from conduit.gateway.storage.outages import DatabaseError

BEGIN = "conduit_begin"
"""The execution option that names the kind of transaction."""

_SCHEMES = ("sqlite+aiosqlite://", "sqlite://")
_BUSY_TIMEOUT_MS = 5000
_CONNECTIONS = 4  # each is a thread of its own
_POOL_WAIT_S = 10
_RETRY_S = 0.01
_PRAGMAS = (
    f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}",
    "PRAGMA synchronous = NORMAL",  # the journal of the ledger is what must survive a power cut
    "PRAGMA foreign_keys = ON",
    # Sums over many rows sort them: in memory, a million attempts would take 130 MB of it.
    "PRAGMA temp_store = FILE",
)

# The module looks in vain for an adapter of each None and each bool that it binds, in ten times the
# time that it takes to bind a number; a row of a request has about twenty of them.
sqlite3.register_adapter(type(None), cast(Callable[[None], None], {}.get))  # None is in no dict
sqlite3.register_adapter(bool, operator.pos)  # the number that it is


def open_sqlite(url: str) -> AsyncEngine:
    """An engine for `sqlite:///PATH`, `sqlite+aiosqlite:///PATH` or a bare path.

    The file is made if it is not there, for its owner alone; `migrate` takes it over. A
    transaction takes the write lock when it begins, so that reading before writing cannot fail
    half-way; a deferred one does not. Raises DatabaseError.
    """
    path = sqlite_path(url)
    _make_private_file(path)
    # Beside the database there is room, and somewhere else may be none that can be written to.
    os.environ.setdefault("SQLITE_TMPDIR", str(path.parent))
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_timeout=_POOL_WAIT_S,
        hide_parameters=True,  # an error would otherwise show digests and envelopes
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def sqlite_path(url: str) -> Path:
    """The file that a database URL names. Raises DatabaseError for any other database."""
    location = url
    for scheme in _SCHEMES:
        if url.startswith(scheme):
            location = url.removeprefix(scheme).removeprefix("/")
            break
    else:
        if "://" in url:
            raise DatabaseError(
                f"there is no support for {url.partition(':')[0]} databases: "
                "use sqlite:///PATH or postgresql://USER@HOST/NAME"
            )
    if not location or ":memory:" in location or "?" in location:
        raise DatabaseError("the database must be a file: give it as sqlite:///PATH")
    return Path(location).expanduser().absolute()


async def take_over_file(engine: AsyncEngine) -> None:
    """Make a file that is ours private, and let it be read while it is written.

    Both stay with the file, so this comes after its tables have been looked at. SQLite gives its
    -wal and -shm files the permissions of the database itself.
    """
    _make_private(Path(str(engine.url.database)))
    async with (
        engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection,
        asyncio.timeout(_BUSY_TIMEOUT_MS / 1000),
    ):
        # Another connection may be in the file, and here SQLite does not wait for it by itself.
        while not await _asked_for_write_ahead_log(connection):  # noqa: ASYNC110  # a file has no event
            await asyncio.sleep(_RETRY_S)


async def _asked_for_write_ahead_log(connection: AsyncConnection) -> bool:
    """False where the file was busy."""
    try:
        await connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    except OperationalError as error:
        if getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def _make_private_file(path: Path) -> None:
    """Make the file if it is not there; one that is there is looked at before it is changed."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise DatabaseError(
            f"the database {path} cannot be opened: {error.strerror or error}"
        ) from error


def _make_private(path: Path) -> None:
    try:
        if os.name == "posix" and path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise DatabaseError(
            f"the database {path} can be read by others, and is not ours to change: chmod it to 600"
        ) from error


def _prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # The driver would begin transactions by itself, and only before it writes.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql(f"BEGIN {options.get(BEGIN, 'IMMEDIATE')}")
