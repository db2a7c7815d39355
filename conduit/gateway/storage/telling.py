"""How processes that share a PostgreSQL database tell each other that it has changed.

A change of the configuration waits for the ledger's transactions that go by the former terms, and
holds up those that come after it until it is committed: what they read of it is the truth for as
long as they last. Whoever listens hears of the commit at once.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from conduit.gateway.storage.outages import DatabaseError

TERMS = 0x_C0DD_03
"""The advisory lock of what budgets allow: shared by who goes by it, exclusive for a change."""

SCHEMA_NUMBER = func.hashtext(func.current_schema())
"""Which lock of a kind: installations that share a PostgreSQL database have a schema each."""

_CHANNEL = "conduit_changes"
_AGAIN_S = 1.0
_LOOK_S = 5.0


async def tell_of_change(connection: AsyncConnection) -> None:
    """Tell of a change of the configuration once its transaction is committed."""
    if connection.dialect.name != "postgresql":
        return  # a file has one process
    await connection.execute(select(func.pg_advisory_xact_lock(TERMS, SCHEMA_NUMBER)))
    told = func.pg_notify(_CHANNEL, func.current_schema())
    await connection.execute(select(told))


async def listen(database: AsyncEngine, heard: Callable[[], None]) -> None:
    """Call `heard` for every change, until cancelled.

    It is called too where one may have been missed: when a connection was made anew, and every five
    seconds.
    """
    while True:
        with suppress(SQLAlchemyError, DatabaseError, OSError, TimeoutError):
            await _listen(database, heard)
        await asyncio.sleep(_AGAIN_S)


async def _listen(database: AsyncEngine, heard: Callable[[], None]) -> None:
    """Until the connection is lost."""
    ended = asyncio.Event()
    async with database.connect() as connection:
        own = (await connection.execute(select(func.current_schema()))).scalar_one()
        await connection.commit()
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None

        def notified(_connection: object, _pid: int, _channel: str, schema: str) -> None:
            if schema == own:
                heard()

        driver.add_termination_listener(lambda _: ended.set())
        try:
            await driver.add_listener(_CHANNEL, notified)
            while not ended.is_set():
                heard()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S):
                        await ended.wait()
        finally:
            # Not back into the pool: it would hear on.
            await connection.invalidate()
