"""Databases with the present schema that need no migration of their own.

`migrate` works once and its result is copied: the migrations take longer than most tests. That the
copy is the same is proved in `gateway/storage/test_migrate.py`.
"""

import asyncio
import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import update

from conduit.core.ids import now_ms
from conduit.gateway.storage import installation, revisions, schema
from conduit.gateway.storage.engine import Database, create_engine, sqlite_path, writing
from conduit.gateway.storage.migrate import migrate, sql_of_upgrade
from conduit.gateway.storage.postgresql import is_postgresql
from tests import postgresql


async def migrated(url: str) -> Database:
    """An empty database, opened and brought to the present schema."""
    return await (_in_postgresql(url) if is_postgresql(url) else _in_file(url))


async def _in_file(url: str) -> Database:
    database = create_engine(url)  # which makes the file, for its owner alone
    sqlite_path(url).write_bytes(_file())
    async with writing(database) as connection:  # its age is what tells it from its like
        await connection.execute(update(schema.installation).values(created_at_ms=now_ms()))
        await connection.execute(update(schema.revisions).values(at_ms=now_ms()))
    return database


async def _in_postgresql(url: str) -> Database:
    await postgresql.execute_script(url, _script())
    database = create_engine(url)
    async with writing(database) as connection:
        await installation.establish(connection, now_ms())
        await revisions.begin(connection, now_ms())
    return database


@functools.cache
def _file() -> bytes:
    async def made(path: Path) -> bytes:
        database = create_engine(str(path))
        await migrate(database)
        await database.dispose()
        return path.read_bytes()

    with TemporaryDirectory(prefix="conduit-migrated-") as folder, ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, made(Path(folder) / "conduit.db")).result()


@functools.cache
def _script() -> str:
    async def told() -> str:
        async with postgresql.own_schema() as url:
            database = create_engine(url)
            try:
                return await sql_of_upgrade(database)
            finally:
                await database.dispose()

    with ThreadPoolExecutor(1) as thread:  # a loop may be running in this one
        return thread.submit(asyncio.run, told()).result()
