"""Statements of the ledger on both dialects, and what the threads of SQLite hide."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Dialect, event, insert
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import asyncpg

from conduit.gateway.ledger.records import INT64_MAX
from conduit.gateway.storage import idempotent_replies
from conduit.gateway.storage.engine import Database, create_engine, reading, writing
from conduit.gateway.storage.ledger.batches import (
    NOTED_COLUMNS,
    SETTLED_COLUMNS,
    BatchStatements,
    statement_text,
)
from conduit.gateway.storage.ledger.statements import (
    AlreadyStoredError,
    Engine,
    LedgerReader,
    LedgerWriter,
    StorageFailedError,
    StoredBalance,
)
from conduit.gateway.storage.ledger.tables import LedgerTables
from conduit.gateway.storage.migrate import migrate
from conduit.gateway.storage.schema import balances
from tests.gateway.ledger.building import store_budget, terms

ON_SQLITE = pytest.mark.parametrize("kind", ["sqlite"])


@pytest.fixture(params=["claimed", "shared"])
async def tables(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[LedgerTables]:
    """Tables that one writer has claimed, or as a tool opens them."""
    await store_budget(database, terms())
    made = LedgerTables(database)
    if request.param == "claimed":
        await made.claim()
    yield made
    await made.close()


async def test_a_reply_takes_the_place_of_an_earlier_one_and_never_of_a_later(
    tables: LedgerTables, database: Database
) -> None:
    digest = bytes(32)

    async def put(at_ms: int, content: bytes) -> None:
        row = (digest, "key_1", at_ms, content)
        await tables.write(lambda writer: writer.put_replies([row]))

    for at_ms, content in ((5, b"five"), (4, b"four"), (6, b"six"), (6, b"again"), (5, b"five")):
        await put(at_ms, content)
    async with reading(database) as connection:
        assert await idempotent_replies.find(connection, digest) == (6, b"again")
        assert await idempotent_replies.find(connection, bytes(31) + b"x") is None
        assert await idempotent_replies.oldest_ms(connection) == 6
    async with writing(database) as connection:
        assert await idempotent_replies.delete_some(connection, 5) == 0
        assert await idempotent_replies.delete_some(connection, 6) == 1
        assert await idempotent_replies.oldest_ms(connection) is None


@pytest.mark.parametrize("dialect", [sqlite.dialect(), asyncpg.dialect()])  # type: ignore[no-untyped-call]
def test_the_texts_of_every_batch_suit_the_dialect(dialect: Dialect) -> None:
    hot = BatchStatements(dialect)
    assert "ON CONFLICT (budget_id, period_start_ms) DO UPDATE" in hot.add_to_balances
    assert "ON CONFLICT DO NOTHING" in hot.insert_requests
    marks = hot.settle_attempts.count("?") or hot.settle_attempts.count("$")
    assert marks == len(SETTLED_COLUMNS) + 1
    marks = hot.note_attempts.count("?") or hot.note_attempts.count("$")
    assert marks == len(NOTED_COLUMNS) + 1


def test_parameters_in_another_order_than_the_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="wants other parameters"):
        statement_text(insert(balances), sqlite.dialect(), ("spent_nanodollars", "budget_id"))


async def test_balances_add_up_and_the_position_moves(tables: LedgerTables) -> None:
    made = tables
    assert await made.read(LedgerReader.position) is None
    await made.write(lambda w: w.add_to_balances([("bud_1", 0, 5, 7), ("bud_1", 9, 1, 1)]))
    await made.write(lambda w: w.add_to_balances([("bud_1", 0, 3, -7)]))
    for offset in (10, 20):
        await made.write(lambda w, offset=offset: w.set_position(2, offset))  # type: ignore[misc]
    assert await made.read(LedgerReader.position) == (2, 20)
    assert sorted(await made.read(LedgerReader.balances)) == [
        StoredBalance("bud_1", 0, 8, 0),
        StoredBalance("bud_1", 9, 1, 1),
    ]
    assert await made.make_durable()


async def test_a_failed_transaction_changes_nothing_and_tells_why(tables: LedgerTables) -> None:
    made = tables

    def half(writer: LedgerWriter) -> None:
        writer.add_to_balances([("bud_1", 0, 5, 7)])
        writer.add_to_balances([("bud_1", 1, None, 7)])

    with pytest.raises(StorageFailedError, match=r"NOT NULL|not-null"):
        await made.write(half)
    assert await made.read(LedgerReader.balances) == []


@ON_SQLITE
async def test_what_another_process_reads_is_not_durable_for_sure(
    tables: LedgerTables, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "conduit.db", isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM balances").fetchall()
    await tables.write(lambda w: w.add_to_balances([("bud_1", 0, 5, 7)]))
    assert not await tables.make_durable()
    other.execute("ROLLBACK")
    other.close()
    assert await tables.make_durable()


async def test_a_database_that_is_gone_is_not_durable(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    engine = create_engine(str(folder / "conduit.db"))
    await migrate(engine)
    made = LedgerTables(engine)
    await engine.dispose()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert not await made.make_durable()
    await made.close()


async def test_sums_beyond_64_bits_are_exact(tables: LedgerTables, tmp_path: Path) -> None:
    row = ("req", "key_1", "fast", "p", "m", None, "chat", False)
    done = ("done", "succeeded", 200, None, False, 0, INT64_MAX, 0, "v", "provider")
    rest = (0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 6, None, "grp_1", None, 1, 0, 0)
    await tables.write(
        lambda w: w.insert_attempts([(f"att_{n}", *row, *done, *rest) for n in range(3)])
    )
    for kind, scope in (
        ("key", "key_1"),
        ("group", "grp_1"),
        ("mapping", "fast"),
        ("gateway", ""),
    ):
        by_scope = await tables.read(lambda r, kind=kind: r.spending_by(kind))  # type: ignore[misc]
        assert by_scope[scope].spent == 3 * INT64_MAX
        assert by_scope[scope].excess == 3 * INT64_MAX
        sums = await tables.read(
            lambda r, kind=kind, scope=scope: r.scope_spending(kind, scope, 0)  # type: ignore[misc]
        )
        assert sums == by_scope[scope]
    assert await tables.read(lambda r: r.known(["att_0", "att_9"])) == {"att_0"}


def attempt(name: str, key_id: str, state: str, held_at_ms: int) -> tuple[Any, ...]:
    ended = (None, None, None) if state == "open" else ("succeeded", 200, None)
    begin = (name, "req", key_id, "fast", "p", "m", None, "chat", False, state, *ended, False)
    settled_at_ms = None if state == "open" else held_at_ms
    return (
        *begin,
        5,
        0,
        0,
        "v",
        "none",
        *(0,) * 9,
        held_at_ms,
        settled_at_ms,
        None,
        None,
        None,
        1,
        0,
        0,
    )


async def test_the_youngest_attempt_is_found_over_all_keys(tables: LedgerTables) -> None:
    assert await tables.read(LedgerReader.latest_held_at_ms) == 0
    rows = [("a", "key_1", 3), ("b", "key_2", 9), ("c", "key_2", 5), ("d", "key_3", 4)]
    await tables.write(
        lambda w: w.insert_attempts([attempt(name, key, "done", at) for name, key, at in rows])
    )
    assert await tables.read(LedgerReader.latest_held_at_ms) == 9


@ON_SQLITE
async def test_open_attempts_are_found_without_reading_the_whole_ledger(
    tables: LedgerTables,
) -> None:
    states = [("a", "done", 1), ("b", "open", 9), ("c", "open", 2), ("d", "done", 3)]
    await tables.write(
        lambda w: w.insert_attempts([attempt(n, "key_1", state, at) for n, state, at in states])
    )
    asked: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        asked.append((statement, parameters))

    event.listen(tables._engine.sync_engine, "before_cursor_execute", note)
    found = await tables.read(LedgerReader.open_attempts)
    assert [row.attempt_id for row in found] == ["c", "b"]
    assert await tables.read(lambda r: r.stale(5, stream=False)) == ["c"]
    event.remove(tables._engine.sync_engine, "before_cursor_execute", note)
    async with tables._engine.connect() as connection:
        for statement, parameters in asked:
            if statement.startswith("SELECT"):
                plan = await connection.exec_driver_sql(
                    f"EXPLAIN QUERY PLAN {statement}", parameters
                )
                assert "ix_ledger_open_held" in str(plan.all())


async def test_a_row_that_is_there_is_told_from_other_failures(tables: LedgerTables) -> None:
    made = tables
    rows = [attempt("a", "key_1", "open", 1)]
    await made.write(lambda w: w.insert_attempts(rows))
    with pytest.raises(AlreadyStoredError):
        await made.write(lambda w: w.insert_attempts(rows))


def test_the_engine_is_named_for_those_who_may_not_know_sqlalchemy(tmp_path: Path) -> None:
    assert Engine.__name__ == "AsyncEngine"
