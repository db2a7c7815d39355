"""The PostgreSQL of the tests: a schema of its own for each, in a database that is there anyway.

`CONDUIT_TEST_DATABASE_URL` names another one. Tests are skipped where none can be reached.
"""

import asyncio
import functools
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest

# Read when this is imported: later the tests have an environment without such variables.
SERVER = os.environ.get("CONDUIT_TEST_DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/test")
ENGINES = ("sqlite", "postgresql")
_PATIENCE_S = 30


@functools.cache
def _unreachable_because() -> str | None:
    async def try_it() -> None:
        connection = await asyncpg.connect(SERVER, timeout=5)
        await connection.close()

    try:
        asyncio.run(try_it())
    except (OSError, asyncpg.PostgresError) as error:
        return str(error) or type(error).__name__
    return None


async def skip_without_server() -> None:
    """Skip the test where there is no server to run it on."""
    await asyncio.to_thread(require_server)


def require_server() -> None:
    """The same where no event loop runs."""
    reason = _unreachable_because()
    if reason is not None:
        pytest.skip(f"no PostgreSQL at {SERVER.rpartition('@')[2]}: {reason}")


@asynccontextmanager
async def own_schema() -> AsyncIterator[str]:
    """The URL of an empty schema, which is dropped in the end with all that is in it."""
    await skip_without_server()
    name = f"conduit_test_{os.getpid()}_{secrets.token_hex(4)}"
    await execute(SERVER, f"CREATE SCHEMA {name}")
    try:
        separator = "&" if "?" in SERVER else "?"
        yield f"{SERVER}{separator}search_path={name}"
    finally:
        await execute(SERVER, f"DROP SCHEMA {name} CASCADE")


async def execute(url: str, *statements: str) -> list[asyncpg.Record]:
    """Run statements on a connection of their own; the rows of the last one."""
    connection = await asyncpg.connect(url, timeout=_PATIENCE_S, command_timeout=_PATIENCE_S)
    try:
        rows: list[asyncpg.Record] = []
        for statement in statements:
            rows = await connection.fetch(statement)
        return rows
    finally:
        await connection.close()


async def execute_script(url: str, script: str) -> None:
    """Run many statements at once. A power cut may undo them, and they do not wait for the disk."""
    connection = await asyncpg.connect(
        url,
        timeout=_PATIENCE_S,
        command_timeout=_PATIENCE_S,
        server_settings={"synchronous_commit": "off"},
    )
    try:
        await connection.execute(script)
    finally:
        await connection.close()


@asynccontextmanager
async def database_url(engine: str, file: object) -> AsyncIterator[str]:
    """Where an empty database of this kind is: the file, or a schema of its own."""
    if engine == "sqlite":
        yield f"sqlite:///{file}"
        return
    async with own_schema() as url:
        yield url


def address() -> tuple[str, int]:
    """Where the server listens."""
    parts = urlsplit(SERVER)
    return parts.hostname or "127.0.0.1", parts.port or 5432
