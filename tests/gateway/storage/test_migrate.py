"""How a database comes to the present schema."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, inspect, select, text

from conduit.gateway.pricing.stated import version_of
from conduit.gateway.storage import installation, prices, providers, revisions
from conduit.gateway.storage.engine import (
    Database,
    DatabaseError,
    create_engine,
    reading,
    writing,
)
from conduit.gateway.storage.migrate import HEAD, MIGRATIONS, VERSION_TABLE, migrate
from conduit.gateway.storage.rows import Window
from conduit.gateway.storage.schema import balances, budgets, ledger, metadata
from tests import postgresql
from tests.gateway import records
from tests.migrated import migrated


@pytest.fixture
async def database(location: str) -> AsyncIterator[Database]:
    """A database that was migrated where it is, unlike those of other tests."""
    engine = create_engine(location)
    await migrate(engine)
    yield engine
    await engine.dispose()


def _differences(connection: Connection) -> list[Any]:
    options = {"version_table": VERSION_TABLE, "compare_type": True}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def _index(index: Mapping[str, Any]) -> str:
    options = {name: str(value) for name, value in index["dialect_options"].items()}
    return str({**index, "dialect_options": options})


def _described(connection: Connection) -> dict[str, Any]:
    """All that an engine knows of the tables, in an order of our own."""
    found = inspect(connection)
    return {
        name: {
            "columns": [
                (column["name"], str(column["type"]), column["nullable"])
                for column in found.get_columns(name)
            ],
            "primary key": found.get_pk_constraint(name),
            "unique": sorted(map(str, found.get_unique_constraints(name))),
            "indexes": sorted(_index(index) for index in found.get_indexes(name)),
        }
        for name in found.get_table_names()
        if name != VERSION_TABLE
    }


async def test_a_migrated_database_is_what_the_schema_says(database: Database) -> None:
    async with reading(database) as connection:
        assert await connection.run_sync(_differences) == []


async def test_a_migrated_database_equals_one_made_from_the_tables(
    database: Database, kind: str, tmp_path: Path
) -> None:
    async with postgresql.database_url(kind, tmp_path / "made.db") as url:
        made = create_engine(url)
        async with writing(made) as connection:
            await connection.run_sync(metadata.create_all)
            wanted = await connection.run_sync(_described)
        await made.dispose()
    async with reading(database) as connection:
        assert await connection.run_sync(_described) == wanted


def _whole(connection: Connection) -> dict[str, Any]:
    """All tables with their rows, but for the moments at which these were written."""
    found: dict[str, Any] = {"tables": _described(connection)}
    for name in inspect(connection).get_table_names():
        rows = connection.execute(text(f"select * from {name}")).mappings()
        found[name] = [{k: v for k, v in row.items() if not k.endswith("at_ms")} for row in rows]
    if connection.dialect.name == "sqlite":
        statements = connection.execute(text("select type, name, tbl_name, sql from sqlite_master"))
        found["statements"] = statements.all()
        found["journal"] = connection.execute(text("pragma journal_mode")).scalar_one()
    return found


async def test_the_database_that_other_tests_copy_is_what_a_migration_makes(
    database: Database, kind: str, tmp_path: Path
) -> None:
    async with reading(database) as connection:
        wanted = await connection.run_sync(_whole)
    assert [len(wanted[name]) for name in (VERSION_TABLE, "installation", "revisions")] == [1, 1, 1]
    async with postgresql.database_url(kind, tmp_path / "copied.db") as url:
        copied = await migrated(url)
        async with reading(copied) as connection:
            assert await connection.run_sync(_whole) == wanted
        await copied.dispose()
    if kind == "sqlite":
        assert (tmp_path / "copied.db").stat().st_mode & 0o777 == 0o600


def test_there_is_one_head_and_the_program_knows_it() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


async def test_migrating_again_changes_nothing(database: Database) -> None:
    async with writing(database) as connection:
        await installation.raise_revision(connection)
    await migrate(database)
    async with reading(database) as connection:
        assert await installation.revision(connection) == 1


async def test_two_that_migrate_at_once_do_it_once(location: str) -> None:
    first, second = create_engine(location), create_engine(location)
    await asyncio.gather(migrate(first), migrate(second))
    async with reading(second) as connection:
        rows = await connection.execute(text(f"select * from {VERSION_TABLE}"))
        assert rows.all() == [(HEAD,)]
    await first.dispose()
    await second.dispose()


async def test_tables_of_another_program_are_refused_and_left_alone(location: str) -> None:
    database = create_engine(location)
    async with writing(database) as connection:
        await connection.execute(text("create table customers (id integer)"))
    with pytest.raises(DatabaseError, match="another program"):
        await migrate(database)
    async with reading(database) as connection:
        tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    await database.dispose()
    assert tables == ["customers"]


async def test_a_file_that_is_no_database_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Sir or Madam, " * 100)
    database = create_engine(str(path))
    with pytest.raises(DatabaseError, match=r"letter\.txt cannot be used: file is not a database"):
        await migrate(database)
    await database.dispose()


async def test_a_newer_schema_is_refused(database: Database) -> None:
    async with writing(database) as connection:
        await connection.execute(text(f"update {VERSION_TABLE} set version_num = '9999'"))
    with pytest.raises(DatabaseError, match="9999, which is newer"):
        await migrate(database)


async def test_a_migration_that_fails_leaves_nothing_behind(
    location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = create_engine(location)

    async def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(installation, "establish", fail)
    with pytest.raises(RuntimeError):
        await migrate(database)
    async with reading(database) as connection:
        tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    await database.dispose()
    assert tables == []


async def test_a_start_without_a_migration_loads_no_migration_tool(
    database: Database, location: str
) -> None:
    program = (
        "import asyncio, sys\n"
        "from conduit.gateway.storage.engine import create_engine\n"
        "from conduit.gateway.storage.migrate import migrate\n"
        "async def main():\n"
        "    database = create_engine(sys.argv[1])\n"
        "    await migrate(database)\n"
        "    await database.dispose()\n"
        "asyncio.run(main())\n"
        "assert not {'alembic', 'mako', 'cryptography'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", program, location]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()


async def test_the_history_begins_with_what_the_upgrade_finds(location: str) -> None:
    database = create_engine(location)
    await migrate(database, "0003")
    async with writing(database) as connection:
        await installation.raise_revision(connection)
    await migrate(database)
    async with writing(database) as connection:
        await providers.insert(connection, records.provider())
    async with reading(database) as connection:
        found = await revisions.page(connection, Window())
    await database.dispose()
    assert [(each.number, each.operation, each.change_count) for each in found.rows] == [
        (2, "start", 1),
        (1, "upgraded", 0),
    ]


async def test_the_history_of_a_new_database_begins_with_nothing(database: Database) -> None:
    async with reading(database) as connection:
        found = await revisions.page(connection, Window())
    assert [(each.number, each.operation) for each in found.rows] == [(0, "installed")]


async def test_a_change_outside_a_transaction_that_notes_it_is_a_fault(database: Database) -> None:
    async with database.begin() as connection:
        with pytest.raises(RuntimeError, match="within `writing`"):
            await providers.insert(connection, records.provider())


async def test_prices_of_before_keep_their_version_and_count_from_when_they_were_set(
    location: str,
) -> None:
    database = create_engine(location)
    await migrate(database, to="0013")
    before = (
        "insert into prices (provider, model, input, output, per_request, updated_at_ms, version)"
        " values ('openai', 'm', 5, 6, 7, 1700000000000, 3)"
    )
    async with writing(database) as connection:
        await connection.execute(text(before))
    await migrate(database)
    async with reading(database) as connection:
        (price,) = await prices.everything(connection)
    assert (price.input, price.output, price.per_request) == (5, 6, 7)
    assert (price.set_at_ms, price.effective_from_ms) == (1_700_000_000_000,) * 2
    assert (price.tiers, price.service_tiers, price.units) == ([], {}, {})
    assert version_of(price) == "override-1700000000000", "as charges remember it"
    await database.dispose()


async def test_a_prepaid_balance_of_before_falls_by_what_was_billed(location: str) -> None:
    database = create_engine(location)
    await migrate(database, to="0022")
    of_group = {"scope_kind": "group", "scope_id": "grp_1", "period": "prepaid"}
    rows = [
        records.attempt_row(n, f"req_{n}", group_id="grp_1", **amounts)
        for n, amounts in enumerate(
            [
                {"cost_nanodollars": 500, "billed_nanodollars": 500},
                {"cost_nanodollars": 300, "billed_nanodollars": 0},
                {"cost_nanodollars": 70, "billed_nanodollars": 70, "held_at_ms": records.AT_MS - 1},
            ]
        )
    ]
    async with writing(database) as connection:
        for name, fields in (
            ("bud_1", {**of_group, "since_ms": records.AT_MS, "spent_before_nanodollars": 800}),
            ("bud_2", {**of_group, "period": "total"}),
        ):
            row = asdict(records.budget(name, **fields))
            await connection.execute(insert(budgets), [row])
        await connection.execute(insert(ledger), rows)
        await connection.execute(
            insert(balances),
            [
                {
                    "budget_id": each,
                    "period_start_ms": 0,
                    "spent_nanodollars": 870,
                    "held_nanodollars": 0,
                }
                for each in ("bud_1", "bud_2")
            ],
        )
    await migrate(database)
    async with reading(database) as connection:
        spent = dict(
            (
                await connection.execute(select(balances.c.budget_id, balances.c.spent_nanodollars))
            ).all()
        )
        before = (
            await connection.execute(
                select(budgets.c.spent_before_nanodollars).where(budgets.c.id == "bud_1")
            )
        ).scalar()
    await database.dispose()
    assert spent == {"bud_1": 500, "bud_2": 870}
    assert before == 500
