"""A ledger's database of either kind, a copy of it, and ways to keep others from writing to it."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from shutil import copytree
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from conduit.gateway.ledger.local import LocalLedger
from conduit.gateway.storage.engine import Database, create_engine
from tests import postgresql
from tests.gateway.ledger.building import opened, terms

Crash = Callable[[LocalLedger], Awaitable[tuple[Database, Path]]]
Blocked = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture(params=postgresql.ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of database; `@pytest.mark.parametrize("kind", …)` leaves one."""
    return str(request.param)


@pytest.fixture
def engine(database: Database) -> Database:
    """A database with the present schema."""
    return database


@pytest.fixture
async def ledger(engine: Database, tmp_path: Path) -> AsyncIterator[LocalLedger]:
    """With one hard budget of 10,000 nano-dollars for key_1."""
    async with await opened(engine, tmp_path, terms(10_000)) as running:
        yield running


@pytest.fixture
async def crash(kind: str, location: str, tmp_path: Path) -> AsyncIterator[Crash]:
    """What the disk and the database hold at this moment, for another process to start with."""
    async with AsyncExitStack() as stack:

        async def copied(ledger: LocalLedger) -> tuple[Database, Path]:
            await ledger._journal.drained()
            folder = tmp_path / "after"
            folder.mkdir()
            file = folder / "conduit.db"
            url = await stack.enter_async_context(postgresql.database_url(kind, file))
            if kind == "sqlite":
                _copy_file(tmp_path / "conduit.db", file)
            else:
                await _copy_schema(location, url)
            copytree(tmp_path / "journal", folder / "journal")
            engine = create_engine(url)
            stack.push_async_callback(engine.dispose)
            return engine, folder

        yield copied


def _copy_file(file: Path, to: Path) -> None:
    source, target = sqlite3.connect(file), sqlite3.connect(to)
    source.backup(target)
    source.close()
    target.close()


async def _copy_schema(url: str, to: str) -> None:
    source, target = _schema_of(url), _schema_of(to)
    tables = await postgresql.execute(
        url, f"SELECT tablename FROM pg_tables WHERE schemaname = '{source}'"
    )
    names = [name for (name,) in tables]
    await postgresql.execute(
        to,
        *(f"CREATE TABLE {target}.{t} (LIKE {source}.{t} INCLUDING ALL)" for t in names),
        "BEGIN ISOLATION LEVEL REPEATABLE READ",  # one state of all tables
        *(f"INSERT INTO {target}.{t} SELECT * FROM {source}.{t}" for t in names),
        "COMMIT",
    )


def _schema_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)["search_path"][0]


@pytest.fixture
def blocked(kind: str, location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Blocked:
    """Meanwhile another process has locked the ledger, and a writer does not wait long."""
    monkeypatch.setattr("conduit.gateway.storage.ledger.file._PRAGMAS", ("busy_timeout = 20",))
    monkeypatch.setattr("conduit.gateway.ledger.applier._BATCH_S", 0.1)

    @asynccontextmanager
    async def locking_file() -> AsyncIterator[None]:
        other = sqlite3.connect(tmp_path / "conduit.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
            other.close()

    @asynccontextmanager
    async def locking_table() -> AsyncIterator[None]:
        other = await asyncpg.connect(location)
        try:
            async with other.transaction():
                await other.execute("LOCK TABLE ledger IN EXCLUSIVE MODE")
                yield
        finally:
            await other.close()

    return locking_file if kind == "sqlite" else locking_table
