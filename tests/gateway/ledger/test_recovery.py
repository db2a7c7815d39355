"""Starting again after a crash."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from conduit.core.errors import InsufficientQuotaError
from conduit.core.ids import new_id
from conduit.gateway.ledger.batches import Position
from conduit.gateway.ledger.journal import journal_numbers, journal_path
from conduit.gateway.ledger.lock import LedgerLock, LedgerLockedError
from conduit.gateway.ledger.reading import JournalDamagedError
from conduit.gateway.ledger.records import INT64_MAX
from conduit.gateway.ledger.recovery import recover, recovered_cost
from conduit.gateway.storage import installation
from conduit.gateway.storage.engine import create_engine, writing
from conduit.gateway.storage.ledger.statements import (
    Engine,
    StorageFailedError,
    StoredAttempt,
)
from conduit.gateway.storage.ledger.tables import LedgerTables
from conduit.gateway.storage.schema import budgets, journal_position
from tests.gateway.ledger.building import (
    AT_MS,
    attempts,
    claim,
    ending,
    opened,
    request_record,
    request_rows,
    store_budget,
    store_key,
    terms,
    violations,
)
from tests.gateway.ledger.conftest import Crash


async def test_open_holds_are_charged_the_most_they_may_have_cost(
    engine: Engine, tmp_path: Path, crash: Crash
) -> None:
    await store_key(engine)
    async with await opened(engine, tmp_path, terms(100_000), apply_interval_s=60.0) as ledger:
        plain = await ledger.hold(claim(4_000))
        silent = await ledger.hold(claim(5_000, stream=True))
        stream = await ledger.hold(claim(6_000, stream=True))
        ledger.progress(stream, 300)
        done = await ledger.hold(claim(10))
        ledger.settle(done, ending(7))
        ledger.record(request_record(done.claim))
        other, after = await crash(ledger)
    async with await opened(other, after) as ledger:
        assert ledger.recovery.attempts == 3
        cost = 4_000 + 5_000 + (100 + 556)
        assert ledger.recovery.nanodollars == cost
        assert ledger.recovery.requests == 3
        assert ledger.balance_of("bud_1", AT_MS) == (cost + 7, 0, 0)
        assert ledger.state().open_holds == 0
        rows = await attempts(other)
        row = rows[stream.claim.attempt_id]
        assert (row.state, row.outcome, row.usage_source) == ("done", "recovered", "recovered")
        assert (row.ambiguous, row.cost_nanodollars, row.output_tokens) == (True, 656, 556)
        assert rows[plain.claim.attempt_id].cost_nanodollars == 4_000
        assert rows[silent.claim.attempt_id].cost_nanodollars == 5_000
        request = (await request_rows(other))[plain.claim.request_id]
        assert (request.outcome, request.status, request.key_name) == ("recovered", 0, "acme")
        assert request.cost_nanodollars == 4_000
        assert await violations(other) == []
    async with await opened(other, after) as ledger:
        assert ledger.recovery.attempts == 0
        assert ledger.recovery.requests == 0
        assert ledger.balance_of("bud_1", AT_MS) == (cost + 7, 0, 0)


async def test_a_request_between_two_attempts_gets_its_record(
    engine: Engine, tmp_path: Path, crash: Crash
) -> None:
    async with await opened(engine, tmp_path) as ledger:
        first = await ledger.hold(claim(100, request_id="req_1"))
        ledger.settle(first, ending(30))
        second = await ledger.hold(claim(200, request_id="req_1", provider="groq"))
        other, after = await crash(ledger)
        ledger.settle(second, ending(0))
    async with await opened(other, after):
        row = (await request_rows(other))["req_1"]
        assert (row.attempts, row.cost_nanodollars, row.provider) == (2, 230, "groq")


async def test_a_record_that_was_purged_is_not_made_anew(engine: Engine, tmp_path: Path) -> None:
    old, young = (new_id("req", AT_MS + after_ms) for after_ms in (-1, 0))
    async with await opened(engine, tmp_path) as ledger:
        for request_id in (old, young):
            hold = await ledger.hold(claim(10, request_id=request_id))
            ledger.settle(hold, ending(7))
    async with writing(engine) as connection:
        await installation.note_purge_of_requests(connection, AT_MS)
    async with await opened(engine, tmp_path) as ledger:
        assert ledger.recovery.requests == 1
    assert list(await request_rows(engine)) == [young]


async def test_recovery_that_is_killed_half_way_can_run_again(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await opened(engine, tmp_path, terms(100_000)) as ledger:
        for _ in range(3):
            await ledger.hold(claim(1_000))

    class Killed(Exception):
        pass

    def killed(*_: Any) -> int:
        raise Killed

    monkeypatch.setattr(
        "conduit.gateway.storage.ledger.statements.LedgerWriter.record_lost_requests", killed
    )
    with pytest.raises(Killed):
        await opened(engine, tmp_path)
    monkeypatch.undo()
    async with await opened(engine, tmp_path) as ledger:
        assert ledger.recovery.attempts == 3
        assert ledger.balance_of("bud_1", AT_MS) == (3_000, 0, 0)
        assert await violations(engine) == []


async def test_a_budget_stored_just_before_the_crash_counts_what_was_before(
    engine: Engine, tmp_path: Path
) -> None:
    async with await opened(engine, tmp_path) as ledger:
        ledger.settle(await ledger.hold(claim(500)), ending(400))
        await ledger.hold(claim(70))
        await store_budget(engine, terms())
    async with await opened(engine, tmp_path) as ledger:
        assert ledger.balance_of("bud_1", AT_MS) == (470, 0, 0)
        assert await violations(engine) == []


async def test_a_budget_of_a_scope_that_is_not_counted_yet_is_left_alone(
    engine: Engine, tmp_path: Path
) -> None:
    await store_budget(engine, terms(scope_kind="provider"))
    async with await opened(engine, tmp_path) as ledger:
        assert ledger.affordable("key_1") is None


async def test_the_balances_of_a_deleted_budget_go_with_it(engine: Engine, tmp_path: Path) -> None:
    async with await opened(engine, tmp_path, terms()) as ledger:
        ledger.settle(await ledger.hold(claim(500)), ending(400))
        async with writing(engine) as connection:
            await connection.execute(delete(budgets))
    async with await opened(engine, tmp_path) as ledger:
        assert ledger.affordable("key_1") is None
    async with await opened(engine, tmp_path, terms()) as ledger:
        assert ledger.balance_of("bud_1", AT_MS) == (400, 0, 0)


async def test_a_period_that_has_passed_is_settled_in_its_own_balance(
    engine: Engine, tmp_path: Path
) -> None:
    daily = terms(10_000, period="day")
    async with await opened(engine, tmp_path, daily) as ledger:
        await ledger.hold(claim(500))
    tomorrow = AT_MS + 86_400_000
    async with await opened(engine, tmp_path, clock_ms=lambda: tomorrow) as ledger:
        assert ledger.balance_of("bud_1", tomorrow)[:2] == (0, 0)
        await ledger.hold(claim(70, at_ms=tomorrow))
        await ledger.caught_up()
        assert await violations(engine) == []
    async with await opened(engine, tmp_path, clock_ms=lambda: tomorrow) as ledger:
        assert ledger.balance_of("bud_1", tomorrow)[:2] == (70, 0)


@pytest.mark.parametrize(
    ("stream", "progress", "rate", "cost"),
    [
        (False, 0, 1_000_000, 9_000),
        (False, 50, 1_000_000, 9_000),
        (True, 0, 1_000_000, 9_000),
        (True, 1, 1_000_000, 100 + 257),
        (True, 1000, 1, 100 + 1),
        (True, INT64_MAX, INT64_MAX, 9_000),
    ],
)
def test_what_a_cut_off_attempt_is_charged(
    stream: bool, progress: int, rate: int, cost: int
) -> None:
    attempt = StoredAttempt(
        "att", "open", 9_000, progress, "key", "a", 0, "req", stream, 10, 100, rate, None
    )
    assert recovered_cost(attempt) == cost


async def test_a_second_process_is_refused(engine: Engine, tmp_path: Path) -> None:
    async with await opened(engine, tmp_path):
        with pytest.raises(LedgerLockedError, match="another gateway"):
            await opened(engine, tmp_path)
    LedgerLock(tmp_path / "ledger.lock").release()


async def test_a_second_data_folder_is_refused_too(
    location: str, engine: Engine, tmp_path: Path
) -> None:
    """The holds of the first would be settled as those of a gateway that has crashed."""
    (tmp_path / "other").mkdir()
    async with await opened(engine, tmp_path, terms()) as ledger:
        hold = await ledger.hold(claim(500))
        await ledger.caught_up()
        again = create_engine(location)
        with pytest.raises(LedgerLockedError, match="another gateway"):
            await opened(again, tmp_path / "other")
        assert (await attempts(engine))[hold.claim.attempt_id].state == "open"
        ledger.settle(hold, ending(400))
    async with await opened(again, tmp_path / "other") as ledger:
        assert ledger.balance_of("bud_1", AT_MS) == (400, 0, 0)
    await again.dispose()


@pytest.mark.parametrize("kind", ["sqlite"])
async def test_a_file_is_the_same_by_whatever_name(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "conduit.db")
    again = create_engine(f"sqlite:///{tmp_path / 'link.db'}")
    async with await opened(engine, tmp_path):
        with pytest.raises(LedgerLockedError, match=rf"process {os.getpid()}.*conduit\.db\.lock"):
            await opened(again, tmp_path / "other")
    await again.dispose()


async def test_a_damaged_journal_is_not_passed_over_and_frees_the_lock(
    engine: Engine, tmp_path: Path, crash: Crash
) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    journal_path(folder, 1).write_bytes(b"00000000 []\n" + b"26bdd2a4 nonsense\n")
    async with await opened(engine, tmp_path) as ledger:  # nothing readable follows: a torn end
        assert ledger.recovery.replayed == 0
        await ledger.hold(claim())
        other, after = await crash(ledger)
    number = journal_numbers(after / "journal")[-1]
    path = journal_path(after / "journal", number + 1)
    sound = journal_path(after / "journal", number).read_bytes()
    path.write_bytes(b"00000000 []\n" + sound)
    with pytest.raises(JournalDamagedError, match="at byte 0"):
        await opened(other, after)
    path.write_bytes(sound)
    await (await opened(other, after)).close()


async def test_a_database_that_is_older_than_the_journal_is_told_of(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with await opened(engine, tmp_path) as ledger:
        await ledger.hold(claim())
        await ledger.caught_up()
    folder = tmp_path / "journal"
    journal_path(folder, 9).write_bytes(b"")
    for number in journal_numbers(folder)[:-1]:
        journal_path(folder, number).unlink()
    async with await opened(engine, tmp_path) as ledger:
        assert ledger.state().journal_file == "00000010.log"
    assert "the journal files 2 to 8 are missing" in caplog.text


async def test_a_journal_that_was_lost_does_not_hide_the_next_one(
    engine: Engine, tmp_path: Path
) -> None:
    async with await opened(engine, tmp_path) as ledger:
        await ledger.hold(claim())
        await ledger.caught_up()
    shutil.rmtree(tmp_path / "journal")
    async with await opened(engine, tmp_path) as ledger:
        one = claim()
        await ledger.hold(one)
        await ledger.caught_up()
        assert one.attempt_id in await attempts(engine)


async def test_files_stay_while_the_database_may_forget_them(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unsure(_: LedgerTables) -> bool:
        return False

    monkeypatch.setattr(LedgerTables, "make_durable", unsure)
    for number in (1, 2):
        async with await opened(engine, tmp_path) as ledger:
            await ledger.hold(claim())
        assert journal_numbers(tmp_path / "journal") == list(range(1, number + 1))


async def test_a_database_without_tables_is_an_error_and_frees_the_lock(
    location: str, tmp_path: Path
) -> None:
    bare = create_engine(location)
    with pytest.raises(StorageFailedError, match=r"no such table|does not exist"):
        await opened(bare, tmp_path)
    LedgerLock(tmp_path / "ledger.lock").release()
    await bare.dispose()


async def test_a_crash_charges_no_more_than_was_held(engine: Engine, tmp_path: Path) -> None:
    async with await opened(engine, tmp_path, terms(30)) as ledger:
        stream = await ledger.hold(claim(10, stream=True, output_rate=INT64_MAX))
        other = await ledger.hold(claim(20, stream=True, output_rate=INT64_MAX))
        ledger.progress(stream, INT64_MAX)
        ledger.progress(other, INT64_MAX)
    async with await opened(engine, tmp_path) as ledger:
        assert ledger.balance_of("bud_1", AT_MS) == (30, 0, 0)
        assert await violations(engine) == []


async def test_an_empty_installation_recovers_nothing(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    tables = LedgerTables(engine)
    recovery, _, position = await recover(tables, folder, AT_MS)
    await tables.close()
    assert (recovery.attempts, position) == (0, Position(0, 0))


async def test_a_budget_that_is_opened_after_a_restart_begins_no_earlier_than_what_was_held(
    engine: Engine, tmp_path: Path
) -> None:
    """The clock was set back meanwhile: what the day to come has spent is not of the day before."""
    now = [AT_MS + 86_400_000]
    async with await opened(engine, tmp_path, clock_ms=lambda: now[0]) as ledger:
        hold = await ledger.hold(claim(700, at_ms=now[0]))
        ledger.settle(hold, ending(700))
    now[0] = AT_MS
    by_day = terms(1000, period="day")
    async with await opened(engine, tmp_path, clock_ms=lambda: now[0]) as ledger:
        await store_budget(engine, by_day, at_ms=AT_MS)
        await ledger.open_budget(by_day)
        later_ms = by_day.start_ms(AT_MS + 86_400_000)
        assert ledger.balance_of("bud_1", now[0]) == (700, 0, later_ms)
        with pytest.raises(InsufficientQuotaError):
            await ledger.hold(claim(301))
        assert await violations(engine) == []


@pytest.mark.parametrize("period", ["day", "week", "month"])
async def test_a_position_that_was_lost_counts_no_call_in_a_period_before_its_own(
    engine: Engine, tmp_path: Path, period: str
) -> None:
    later_ms = AT_MS + 40 * 86_400_000
    async with await opened(engine, tmp_path, terms(1000, period=period)) as ledger:
        for at_ms, cost in ((AT_MS, 30), (later_ms, 200)):
            hold = await ledger.hold(claim(cost, at_ms=at_ms))
            ledger.settle(hold, ending(cost, at_ms=at_ms + 50))
    async with writing(engine) as connection:
        await connection.execute(delete(journal_position))
    async with await opened(engine, tmp_path, clock_ms=lambda: later_ms) as restarted:
        assert restarted.balance_of("bud_1", later_ms)[:2] == (200, 0)
        assert await violations(engine) == []
