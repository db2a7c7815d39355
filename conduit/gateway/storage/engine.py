"""The connection to the database: which one, how it is opened, how it is read or written."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from conduit.gateway.storage.outages import (
    DatabaseError,
    DatabaseUnreachableError,
    outages_reported,
    reason_of,
)
from conduit.gateway.storage.postgresql import is_postgresql, open_postgresql
from conduit.gateway.storage.revisions import GATEWAY, Author, noting
from conduit.gateway.storage.sqlite import BEGIN, open_sqlite, sqlite_path, take_over_file
from conduit.gateway.storage.telling import SCHEMA_NUMBER

__all__ = [
    "LEDGER",
    "PATIENT_S",
    "SCHEMA_NUMBER",
    "USUAL_S",
    "WRITERS",
    "Database",
    "DatabaseError",
    "DatabaseUnreachableError",
    "Transaction",
    "create_engine",
    "failures_told",
    "is_local",
    "name_of",
    "outages_reported",
    "reading",
    "sqlite_path",
    "take_over",
    "writing",
]

USUAL_S = 10.0
"""Seconds that a transaction over a network may take while somebody waits for it."""

PATIENT_S = 6 * 3600.0
"""Seconds that work on a whole database may take: a migration, a backup."""

Database = AsyncEngine
"""A database that is open; what lies above storage knows it under this name."""

Transaction = AsyncConnection
"""A connection within `reading` or `writing`, which the statements run on."""

WRITERS, LEDGER = 0x_C0DD_01, 0x_C0DD_02
"""The kinds of PostgreSQL's advisory locks that are ours."""


def create_engine(url: str) -> Database:
    """An engine for a `postgresql://` or `sqlite:///` URL, or for the path of a SQLite file.

    Raises DatabaseError for a URL of neither, a file that cannot be opened, a missing driver.
    """
    return open_postgresql(url) if is_postgresql(url) else open_sqlite(url)


def is_local(database: Database) -> bool:
    """Whether the database is a file of this machine rather than a server."""
    return database.dialect.name == "sqlite"


def name_of(database: Database) -> str:
    """The database as a person knows it; never its password."""
    if is_local(database):
        return str(database.url.database)
    return f"postgresql://{database.url.host}/{database.url.database}"


@asynccontextmanager
async def reading(database: Database, within_s: float = USUAL_S) -> AsyncIterator[AsyncConnection]:
    """A connection on which one consistent state is read while others may write.

    Raises TimeoutError where a server takes longer; a file has a time limit of its own for locks.
    """
    if is_local(database):
        async with database.execution_options(**{BEGIN: "DEFERRED"}).connect() as connection:
            yield connection
        return
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    async with asyncio.timeout(within_s), database.connect() as connection:
        yield await connection.execution_options(**options)


@asynccontextmanager
async def writing(
    database: Database, within_s: float = USUAL_S, *, by: Author = GATEWAY
) -> AsyncIterator[AsyncConnection]:
    """A transaction that may write; it is committed at the end and rolled back on an error.

    One at a time: what it has read is still so when it writes. What it changes of the configuration
    is one revision, `by` whom it is. Raises TimeoutError as `reading`.
    """
    if is_local(database):
        async with database.begin() as connection, noting(connection, by):
            yield connection
        return
    async with asyncio.timeout(within_s), database.begin() as connection:
        await connection.execute(select(func.pg_advisory_xact_lock(WRITERS, SCHEMA_NUMBER)))
        async with noting(connection, by):
            yield connection


@contextmanager
def failures_told(database: Database) -> Iterator[None]:
    """Turns what a database refuses into a DatabaseError for the operator."""
    try:
        yield
    except (SQLAlchemyError, TimeoutError) as error:
        raise DatabaseError(
            f"the database {name_of(database)} cannot be used: {reason_of(error)}"
        ) from error


async def take_over(database: Database) -> None:
    """Prepare a database that has been found to be ours for good."""
    if is_local(database):
        await take_over_file(database)
        return
    async with reading(database) as connection:
        encoding = (await connection.execute(text("SHOW server_encoding"))).scalar_one()
    if encoding != "UTF8":
        raise DatabaseError(
            f"the database {name_of(database)} is encoded in {encoding}: make one in UTF8"
        )
