"""How a ledger in a SQLite file is written: in a thread, on a connection of its own.

A visit to the driver's thread for each statement would cost more than the statements do.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

T = TypeVar("T")

_PRAGMAS = ("busy_timeout = 5000", "synchronous = NORMAL")


class LedgerFile:
    """A blocking engine for the file of an asynchronous one."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._threaded = _threaded(engine)

    async def run(self, change: Callable[[Connection], T]) -> T:
        """Run `change` in a transaction. Raises SQLAlchemyError."""
        return await asyncio.get_running_loop().run_in_executor(None, self._run, change)

    async def make_durable(self) -> bool:
        """Sync what was committed; False where a reader or an error is in the way.

        SQLite in WAL mode syncs a commit only at the next checkpoint, so one is run here.
        """
        return await asyncio.get_running_loop().run_in_executor(None, _checkpoint, self._threaded)

    def close(self) -> None:
        self._threaded.dispose()

    def _run(self, change: Callable[[Connection], T]) -> T:
        with self._threaded.begin() as connection:
            return change(connection)


def _threaded(engine: AsyncEngine) -> Engine:
    threaded = create_engine(engine.url.set(drivername="sqlite"), pool_size=1, max_overflow=0)

    @event.listens_for(threaded, "connect")
    def prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver would begin transactions by itself
        for pragma in _PRAGMAS:
            connection.cursor().execute(f"PRAGMA {pragma}")

    @event.listens_for(threaded, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return threaded


def _checkpoint(threaded: Engine) -> bool:
    try:
        connection = threaded.raw_connection()
        try:
            # Not through a Connection: a checkpoint cannot run inside of a transaction.
            cursor = connection.cursor()
            cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")
            [(busy, pages, written)] = cursor.fetchall()
        finally:
            connection.close()
    except (SQLAlchemyError, sqlite3.Error):
        return False
    return not busy and pages == written
