"""How the journal reaches the database, and what happens when it cannot."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from conduit.core.errors import LedgerUnavailableError
from conduit.gateway.ledger.applier import apply
from conduit.gateway.ledger.batches import Batch, Position, WrittenRecords
from conduit.gateway.ledger.budgets import OpenBudgets
from conduit.gateway.ledger.journal import journal_numbers
from conduit.gateway.ledger.local import LocalLedger
from conduit.gateway.ledger.reading import JournalReader
from conduit.gateway.ledger.records import SettleRecord
from conduit.gateway.storage.ledger.statements import Engine, StorageFailedError
from conduit.gateway.storage.ledger.tables import LedgerTables
from tests.gateway.ledger.building import (
    AT_MS,
    attempts,
    claim,
    ending,
    opened,
    request_record,
    request_rows,
    terms,
    violations,
)
from tests.gateway.ledger.conftest import Blocked


async def calls(ledger: LocalLedger, count: int) -> None:
    for _ in range(count):
        hold = await ledger.hold(claim(10))
        ledger.settle(hold, ending(5))
        ledger.record(request_record(hold.claim))


async def test_applying_the_same_records_again_changes_nothing(
    engine: Engine, tmp_path: Path
) -> None:
    async with await opened(engine, tmp_path, terms()) as ledger:
        await calls(ledger, 7)
        hold = await ledger.hold(claim(100))
        await ledger.top_up(hold, 50)
        await ledger.caught_up()
        batch = JournalReader(tmp_path / "journal", Position(1, 0)).read(1000)
        tables = LedgerTables(engine)
        before = (await attempts(engine), await request_rows(engine), ledger.balance_of("bud_1", 0))
        budgets = OpenBudgets()
        budgets.add(terms(), 0)
        records = batch.records[1:]  # without the opening of the budget
        await apply(tables, budgets, Batch(records, batch.position, batch.size))
        await tables.close()
        assert await attempts(engine) == before[0]
        assert await request_rows(engine) == before[1]
        assert await violations(engine) == []


async def test_a_settlement_without_a_hold_is_reported_and_passed_over(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    tables = LedgerTables(engine)
    orphan = SettleRecord(
        "att_x", "succeeded", 200, None, False, 5, 5, "provider", 1, 0, 0, 1, 0, 0, AT_MS
    )
    await apply(tables, OpenBudgets(), Batch((orphan,), Position(1, 90), 90))
    await tables.close()
    assert "att_x" in caplog.text
    assert await attempts(engine) == {}


async def test_what_is_written_while_a_batch_is_applied_waits_for_a_batch_of_its_own(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    async with await opened(engine, tmp_path, apply_interval_s=60.0) as ledger:

        async def write_meanwhile(tables: LedgerTables, budgets: OpenBudgets, batch: Batch) -> Any:
            sizes.append(len(batch.records))
            await calls(ledger, 1)
            await asyncio.sleep(0)
            return await apply(tables, budgets, batch)

        monkeypatch.setattr("conduit.gateway.ledger.applier.apply", write_meanwhile)
        await calls(ledger, 2)
        await ledger.caught_up()
        assert sizes == [6]
        monkeypatch.setattr("conduit.gateway.ledger.applier.apply", apply)
        await ledger.caught_up()
        assert len(await attempts(engine)) == 3


async def test_a_locked_database_delays_applying_and_loses_nothing(
    engine: Engine, tmp_path: Path, blocked: Blocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[Batch] = []

    async def counted(tables: LedgerTables, budgets: OpenBudgets, batch: Batch) -> Any:
        tries.append(batch)
        return await apply(tables, budgets, batch)

    monkeypatch.setattr("conduit.gateway.ledger.applier.apply", counted)
    async with await opened(engine, tmp_path, terms(), apply_interval_s=0.01) as ledger:
        async with blocked():
            await calls(ledger, 5)
            while (state := ledger.state()).reason is None:
                await asyncio.sleep(0.01)
            assert state.available
            assert re.search("database is locked|did not answer in time", str(state.reason))
            failed = len(tries)
            while len(tries) <= failed:
                await asyncio.sleep(0.01)
            await calls(ledger, 5)
        await ledger.caught_up()
        while ledger.state().reason is not None:
            await asyncio.sleep(0.01)
        assert len(await attempts(engine)) == 10
        assert await violations(engine) == []


async def test_a_batch_whose_commit_was_not_heard_of_is_applied_once(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = [True, True, True]

    async def unheard(tables: LedgerTables, budgets: OpenBudgets, batch: Batch) -> Any:
        opened_budgets = await apply(tables, budgets, batch)
        if deaf:
            deaf.pop()
            raise StorageFailedError("the connection broke after the commit")
        return opened_budgets

    async with await opened(engine, tmp_path, terms(), apply_interval_s=0.01) as ledger:
        first = await ledger.hold(claim(100))
        await ledger.caught_up()
        monkeypatch.setattr("conduit.gateway.ledger.applier.apply", unheard)
        await ledger.top_up(first, 50)
        await calls(ledger, 3)
        ledger.settle(first, ending(70))
        await ledger.caught_up()
        assert deaf == []
        assert len(await attempts(engine)) == 4
        assert ledger.balance_of("bud_1", AT_MS) == (3 * 5 + 70, 0, 0)
        assert await violations(engine) == []
    async with await opened(engine, tmp_path) as ledger:
        assert ledger.recovery.replayed == 0
        assert ledger.balance_of("bud_1", AT_MS) == (3 * 5 + 70, 0, 0)


async def test_closing_does_not_wait_for_ever_for_a_locked_database(
    engine: Engine, tmp_path: Path, blocked: Blocked
) -> None:
    ledger = await opened(engine, tmp_path, terms())
    async with blocked():
        await calls(ledger, 3)
        await ledger.close(timeout_s=0.1)
    assert len(await attempts(engine)) == 0
    async with await opened(engine, tmp_path) as again:
        # The calls, and the limit that came into force when the budget was opened.
        assert again.recovery.replayed == 9 + 1
        assert again.recovery.attempts == 0
        assert await violations(engine) == []


async def test_closing_in_the_midst_of_batches_leaves_the_rest_for_the_next_start(
    engine: Engine, tmp_path: Path
) -> None:
    ledger = await opened(engine, tmp_path, terms(10**9), apply_interval_s=60.0)
    await calls(ledger, 2000)
    await ledger.close(timeout_s=0.0)
    async with await opened(engine, tmp_path) as again:
        assert len(await attempts(engine)) == 2000
        assert again.balance_of("bud_1", AT_MS) == (10_000, 0, 0)
        assert await violations(engine) == []


async def test_files_are_deleted_once_they_are_applied(engine: Engine, tmp_path: Path) -> None:
    async with await opened(engine, tmp_path, rotate_bytes=2_000) as ledger:
        await calls(ledger, 40)
        assert len(journal_numbers(tmp_path / "journal")) > 5
        await ledger.caught_up()
        current = ledger.state().journal_file
        while len(journal_numbers(tmp_path / "journal")) > 1:
            await calls(ledger, 1)
            await ledger.caught_up()
            await asyncio.sleep(0.01)
            current = ledger.state().journal_file
        assert [p.name for p in (tmp_path / "journal").iterdir()] == [current]
        await ledger.caught_up()
        assert len(await attempts(engine)) >= 40
        assert await violations(engine) == []


async def test_damage_to_a_running_journal_that_is_read_back_stops_the_ledger(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WrittenRecords, "after", lambda *_: None)  # as far behind as that
    async with await opened(engine, tmp_path, terms(), apply_interval_s=60.0) as ledger:
        await calls(ledger, 3)
        path = tmp_path / "journal" / ledger.state().journal_file
        content = path.read_bytes()
        path.write_bytes(content.replace(b'"settle"', b'"sattle"', 1))
        gone = asyncio.ensure_future(ledger.caught_up())
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(LedgerUnavailableError, match="is damaged at byte"):
            await ledger.caught_up()
        with pytest.raises(LedgerUnavailableError, match="is damaged at byte"):
            await ledger.caught_up()
        with pytest.raises(LedgerUnavailableError, match="is damaged at byte"):
            await ledger.hold(claim())
        assert not ledger.state().available


async def test_a_fault_of_the_program_stops_the_ledger_too(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await opened(engine, tmp_path, terms()) as ledger:
        monkeypatch.setattr("conduit.gateway.ledger.applier.post", None)
        await ledger.hold(claim())
        with pytest.raises(LedgerUnavailableError, match="not applied any more"):
            await ledger.caught_up()
        with pytest.raises(LedgerUnavailableError):
            await ledger.hold(claim())
