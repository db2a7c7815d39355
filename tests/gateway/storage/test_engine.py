"""How a database is opened."""

import asyncio
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from conduit.core.errors import UnavailableError
from conduit.gateway.storage import installation
from conduit.gateway.storage.engine import (
    Database,
    DatabaseError,
    create_engine,
    outages_reported,
    reading,
    sqlite_path,
    take_over,
    writing,
)


@pytest.mark.parametrize("url", ["sqlite:///{path}", "sqlite+aiosqlite:///{path}", "{path}"])
def test_every_way_of_naming_a_file_leads_to_it(url: str, tmp_path: Path) -> None:
    path = tmp_path / "a file with spaces & %.db"
    assert sqlite_path(url.format(path=path)) == path


def test_a_relative_path_is_taken_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sqlite_path("sqlite:///conduit.db") == tmp_path / "conduit.db"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://h/d", "mysql"),
        ("sqlite://", "a file"),
        ("sqlite:///:memory:", "a file"),
        ("sqlite:///a.db?mode=ro", "a file"),
        ("", "a file"),
    ],
)
def test_what_is_no_database_is_refused_in_a_sentence(url: str, said: str) -> None:
    with pytest.raises(DatabaseError, match=said):
        create_engine(url)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="cannot be opened"):
        create_engine(str(tmp_path / "nowhere" / "conduit.db"))


async def test_a_file_that_is_busy_for_a_moment_is_taken_over_after_it(tmp_path: Path) -> None:
    path = tmp_path / "conduit.db"
    database = create_engine(str(path))
    found_busy = asyncio.Event()
    event.listen(database.sync_engine, "handle_error", lambda _: found_busy.set())
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("SELECT * FROM sqlite_master").fetchall()
        taking_over = asyncio.create_task(take_over(database))
        await found_busy.wait()
        other.execute("COMMIT")
        await taking_over
    async with reading(database) as connection:
        mode = (await connection.execute(text("PRAGMA journal_mode"))).scalar_one()
    await database.dispose()
    assert mode == "wal"


async def test_the_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "conduit.db"
    path.touch(mode=0o644)
    database = create_engine(str(path))
    await take_over(database)
    async with writing(database) as connection:
        await connection.execute(text("create table t (a)"))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    await database.dispose()
    assert modes == {"conduit.db": 0o600, "conduit.db-wal": 0o600, "conduit.db-shm": 0o600}


@pytest.mark.parametrize("kind", ["sqlite"])
@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 1),
        ("foreign_keys", 1),
        ("busy_timeout", 5000),
        ("temp_store", 1),
    ],
)
async def test_a_connection_is_prepared(database: Database, pragma: str, value: object) -> None:
    async with reading(database) as connection:
        assert (await connection.execute(text(f"PRAGMA {pragma}"))).scalar() == value


async def test_a_reader_sees_one_state_while_others_write(database: Database) -> None:
    async with reading(database) as reader:
        before = await installation.revision(reader)
        async with writing(database) as writer:
            await installation.raise_revision(writer)
        assert await installation.revision(reader) == before
    async with reading(database) as reader:
        assert await installation.revision(reader) == before + 1


async def test_writers_that_read_first_wait_for_each_other(database: Database) -> None:
    async def raise_after_reading() -> None:
        async with writing(database) as connection:
            await installation.revision(connection)
            await installation.raise_revision(connection)

    await asyncio.gather(*(raise_after_reading() for _ in range(20)))
    async with reading(database) as connection:
        assert await installation.revision(connection) == 20


async def test_an_error_rolls_everything_back(database: Database) -> None:
    async def change_and_fail() -> None:
        async with writing(database) as connection:
            await installation.raise_revision(connection)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await change_and_fail()
    async with reading(database) as connection:
        assert await installation.revision(connection) == 0


@pytest.mark.parametrize("kind", ["sqlite"])
async def test_a_connection_on_autocommit_begins_nothing(database: Database) -> None:
    async with database.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        busy, _, _ = (await connection.execute(text("PRAGMA wal_checkpoint(PASSIVE)"))).one()
    assert busy == 0


@pytest.mark.parametrize("kind", ["sqlite"])
async def test_a_locked_database_is_reported_as_unavailable(database: Database) -> None:
    async def write_impatiently() -> None:
        with outages_reported():
            async with reading(database) as connection:
                await connection.execute(text("PRAGMA busy_timeout = 1"))
                await installation.raise_revision(connection)

    async with writing(database):
        with pytest.raises(UnavailableError, match="locked"):
            await write_impatiently()


async def test_an_error_shows_no_bound_values(database: Database) -> None:
    async def ask_for_what_is_not_there() -> None:
        async with reading(database) as connection:
            await connection.execute(text("select * from nowhere where a = :a"), {"a": "canary"})

    with pytest.raises(DBAPIError, match=r"no such table|does not exist") as caught:
        await ask_for_what_is_not_there()
    assert "canary" not in str(caught.value)
