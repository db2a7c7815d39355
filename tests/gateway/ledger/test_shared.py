"""The ledger that several processes share: two of them in one loop, on one PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from conduit.core.errors import BudgetHeldError, InsufficientQuotaError, LedgerUnavailableError
from conduit.gateway.ledger.budgets import BudgetTerms
from conduit.gateway.ledger.lock import LedgerLockedError
from conduit.gateway.ledger.opening import open_ledger, worker_folder
from conduit.gateway.ledger.records import INT64_MAX, CorrectRecord
from conduit.gateway.ledger.shared import SharedLedger
from conduit.gateway.ledger.shared_opening import SharedClaim, open_shared, take_for_workers
from conduit.gateway.storage import installation
from conduit.gateway.storage.engine import Database, writing
from conduit.gateway.storage.ledger.statements import StorageFailedError
from tests import postgresql
from tests.gateway.ledger.building import (
    AT_MS,
    attempts,
    balance,
    claim,
    ending,
    limits_in_force,
    request_record,
    request_rows,
    store_budget,
    terms,
    violations,
    waiting,
)

pytestmark = pytest.mark.parametrize("kind", ["postgresql"])


@pytest.fixture
async def taken(engine: Database, tmp_path: Path) -> AsyncIterator[SharedClaim]:
    async with take_for_workers(engine, tmp_path, 2) as claimed:
        yield claimed


@asynccontextmanager
async def worker(
    engine: Database, folder: Path, number: int, taken: SharedClaim
) -> AsyncIterator[SharedLedger]:
    own = worker_folder(folder, number)
    async with await open_shared(
        engine, own, taken.epoch, "off", clock_ms=lambda: AT_MS
    ) as running:
        yield running


@pytest.fixture
async def pair(
    engine: Database, tmp_path: Path, taken: SharedClaim
) -> AsyncIterator[tuple[SharedLedger, SharedLedger]]:
    """Two workers that know of one hard budget of 10,000 nano-dollars for key_1."""
    async with (
        worker(engine, tmp_path, 1, taken) as first,
        worker(engine, tmp_path, 2, taken) as second,
    ):
        await budget(engine, first, terms(10_000))
        await second.reload()
        yield first, second


async def budget(engine: Database, ledger: SharedLedger, made: BudgetTerms) -> None:
    """Store a budget as the admin API does it, and let it count."""
    await store_budget(engine, made)
    async with writing(engine) as connection:
        await installation.raise_revision(connection)
    await ledger.open_budget(made)


async def crash(ledger: SharedLedger) -> None:
    """What kill -9 leaves: nothing is written any more, nothing said, the connections cut."""
    ledger._refreshing.cancel()
    ledger._desk._task.cancel()
    ledger._applier._task.cancel()
    await asyncio.wait([ledger._desk._task, ledger._applier._task])
    await ledger._desk._tables.close()
    await ledger._tables.close()
    ledger._lock.release()


async def balances(pair: tuple[SharedLedger, SharedLedger]) -> set[tuple[int, int]]:
    """(spent, held), as each of them knows it, once all is written."""
    found = set()
    for each in pair:
        await each.caught_up()
    for each in pair:
        await each.reload()
        found.add(each.balance_of("bud_1", AT_MS)[:2])
    return found


async def test_what_one_holds_the_other_cannot(
    engine: Database, pair: tuple[SharedLedger, SharedLedger]
) -> None:
    first, second = pair
    hold = await first.hold(claim(6_000))
    with pytest.raises(BudgetHeldError):
        await second.hold(claim(5_000), wait_s=0)
    with pytest.raises(InsufficientQuotaError, match="may cost"):
        await second.hold(claim(10_001))
    assert await balances(pair) == {(0, 6_000)}
    first.settle(hold, ending(5_500))
    first.settle(hold, ending(1))
    assert await balances(pair) == {(5_500, 0)}
    with pytest.raises(InsufficientQuotaError):
        await second.hold(claim(5_000), wait_s=0)
    assert second.affordable("key_1") == 4_500
    assert await violations(engine) == []


async def test_a_claim_waits_until_another_process_settles(
    pair: tuple[SharedLedger, SharedLedger],
) -> None:
    first, second = pair
    hold = await first.hold(claim(8_000))
    queued = [asyncio.create_task(second.hold(claim(4_000, at_ms=AT_MS + n))) for n in range(2)]
    async with asyncio.timeout(5):
        while second.state().waiting != 2:
            await asyncio.sleep(0.01)
    small = asyncio.create_task(second.hold(claim(1_000), wait_s=0.1))
    with pytest.raises(BudgetHeldError):  # it would fit, but stands behind the others
        await small
    first.settle(hold, ending(1_000))
    held = await asyncio.gather(*queued)
    assert [each.nanodollars for each in held] == [4_000, 4_000]
    assert await balances(pair) == {(1_000, 8_000)}


async def test_a_limit_counts_from_the_commit_that_changes_it(
    engine: Database, location: str, pair: tuple[SharedLedger, SharedLedger]
) -> None:
    """And what had been taken by then is no overshoot."""
    first, second = pair
    held = await first.hold(claim(6_000, at_ms=AT_MS + 60_000))
    await postgresql.execute(
        location,
        "UPDATE budgets SET limit_nanodollars = 500",
        "UPDATE installation SET revision = revision + 1",
    )
    with pytest.raises(InsufficientQuotaError):
        await second.hold(claim(501))
    with pytest.raises(BudgetHeldError):
        await second.hold(claim(500), wait_s=0)
    assert await limits_in_force(engine) == [("bud_1", 500, 0, 6_000)]
    assert await violations(engine) == []
    first.settle(held, ending(0))
    assert (await second.hold(claim(500))).nanodollars == 500
    assert await violations(engine) == []


async def test_who_has_gone_meanwhile_holds_nothing(
    pair: tuple[SharedLedger, SharedLedger], engine: Database
) -> None:
    first, _ = pair
    gone = asyncio.create_task(first.hold(claim(9_000)))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert (await first.hold(claim(9_500))).nanodollars == 9_500  # waits for the other to end
    assert await violations(engine) == []


async def test_a_stream_holds_more_while_there_is_money(
    engine: Database, pair: tuple[SharedLedger, SharedLedger]
) -> None:
    first, second = pair
    hold = await first.hold(claim(4_000, stream=True))
    other = await second.hold(claim(1_000))
    assert await first.top_up(hold, 5_000)
    assert not await first.top_up(hold, 1)
    assert not await second.top_up(other, 1)
    assert await balances(pair) == {(0, 10_000)}
    assert (await attempts(engine))[hold.claim.attempt_id].hold_nanodollars == 9_000
    first.settle(hold, ending(8_000))
    assert not await first.top_up(hold, 1)
    assert await balances(pair) == {(8_000, 1_000)}
    assert await violations(engine) == []


async def test_a_stream_of_before_its_budget_is_counted_and_topped_up_within_it(
    engine: Database, pair: tuple[SharedLedger, SharedLedger]
) -> None:
    first, second = pair
    hold = await second.hold(claim(1_000, key_id="key_2", stream=True))
    assert await second.top_up(hold, 500)
    late = terms(2_000, id="bud_2", scope_id="key_2")
    await second.caught_up()
    await budget(engine, first, late)
    assert first.balance_of("bud_2", AT_MS)[:2] == (0, 1_500)
    await second.reload()
    assert await second.top_up(hold, 500)
    assert not await second.top_up(hold, 1)
    second.settle(hold, ending(1_900))
    await second.caught_up()
    assert await violations(engine) == []


async def test_all_that_comes_at_once_is_one_transaction(
    engine: Database, pair: tuple[SharedLedger, SharedLedger], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    rounds = 0
    write = first._desk._tables.write

    async def counted(change: Any, within_s: float) -> Any:
        nonlocal rounds
        rounds += 1
        return await write(change, within_s)

    monkeypatch.setattr(first._desk._tables, "write", counted)
    wanted = [first.hold(claim(100)) for _ in range(80)]
    others = [second.hold(claim(100)) for _ in range(20)]
    held = await asyncio.gather(*wanted, *others)
    assert rounds == 1
    assert await balances(pair) == {(0, 10_000)}
    for ledger, some in ((first, held[:80]), (second, held[80:])):
        for each in some:
            ledger.settle(each, ending(60))
    assert await balances(pair) == {(6_000, 0)}
    assert await violations(engine) == []


async def test_a_process_that_died_is_recovered_while_the_other_goes_on(
    engine: Database, tmp_path: Path, taken: SharedClaim, pair: tuple[SharedLedger, SharedLedger]
) -> None:
    first, second = pair
    running = await first.hold(claim(3_000))
    cut = await second.hold(claim(2_000))
    stream = await second.hold(claim(1_000, stream=True))
    free = await second.hold(claim(700, key_id="key_2"))
    done = await second.hold(claim(1_500))
    second.progress(stream, 300)
    second.settle(done, ending(900))
    second.record(request_record(done.claim))
    second._journal.flush()
    await crash(second)
    async with worker(engine, tmp_path, 2, taken) as again:
        assert (again.recovery.attempts, again.recovery.requests) == (3, 3)
        assert again.recovery.replayed > 0
        rows = await attempts(engine)
        assert rows[running.claim.attempt_id].state == "open"
        assert {rows[h.claim.attempt_id].outcome for h in (cut, stream, free)} == {"recovered"}
        assert rows[cut.claim.attempt_id].cost_nanodollars == 2_000
        assert rows[stream.claim.attempt_id].cost_nanodollars == 100 + 556
        assert rows[done.claim.attempt_id].cost_nanodollars == 900
        assert running.claim.request_id not in await request_rows(engine)
        await again.reload()
        assert again.balance_of("bud_1", AT_MS)[:2] == (2_000 + 656 + 900, 3_000)
        assert await violations(engine) == []
        first.settle(running, ending(10))
        await first.caught_up()
    assert await violations(engine) == []


async def test_a_commit_of_which_nobody_told_is_found_and_given_back(
    engine: Database, pair: tuple[SharedLedger, SharedLedger], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = pair
    write, deaf = first._desk._tables.write, [True]

    async def unheard(change: Any, within_s: float) -> Any:
        await write(change, within_s)
        if deaf:
            deaf.pop()
            raise StorageFailedError("the connection broke after the commit")

    monkeypatch.setattr(first._desk._tables, "write", unheard)
    lost = claim(9_000)
    with pytest.raises(LedgerUnavailableError):
        await first.hold(lost)
    async with asyncio.timeout(10):
        while (await attempts(engine))[lost.attempt_id].state == "open":
            await asyncio.sleep(0.05)
    row = (await attempts(engine))[lost.attempt_id]
    assert (row.outcome, row.cost_nanodollars) == ("stopped", 0)
    assert await balances(pair) == {(0, 0)}
    assert (await first.hold(claim(9_000))).nanodollars == 9_000
    assert await violations(engine) == []


async def test_a_budget_may_be_reset_and_closed_by_any_of_them(
    engine: Database, location: str, pair: tuple[SharedLedger, SharedLedger]
) -> None:
    first, second = pair
    first.settle(await first.hold(claim(4_000)), ending(4_000))
    await first.caught_up()
    running = await first.hold(claim(1_000))
    assert await second.reset_spent("bud_1") == 4_000
    assert await second.reset_spent("bud_1") == 0
    assert await balances(pair) == {(0, 1_000)}
    assert await limits_in_force(engine) == [("bud_1", 10_000, 0, 1_000)]
    assert await violations(engine) == []
    await postgresql.execute(
        location, "DELETE FROM budgets", "UPDATE installation SET revision = revision + 1"
    )
    second.close_budget("bud_1")
    with pytest.raises(KeyError):
        second.balance_of("bud_1", AT_MS)
    first.settle(running, ending(1_000))
    await first.caught_up()
    async with asyncio.timeout(5):
        while await postgresql.execute(location, "SELECT 1 FROM balances"):
            await asyncio.sleep(0.02)
    await first.hold(claim(10**12))
    await first.caught_up()
    assert await violations(engine) == []


async def test_a_budget_that_was_set_to_nothing_gets_nothing_back_from_a_correction(
    engine: Database, pair: tuple[SharedLedger, SharedLedger]
) -> None:
    """Else it would let more through than its limit."""
    first, second = pair
    hold = await first.hold(claim(8_000))
    first.settle(hold, ending(8_000))
    await first.caught_up()
    await second.reset_spent("bud_1")
    first.settle(await first.hold(claim(1_000)), ending(1_000))
    record = CorrectRecord(
        *("cor_1", hold.claim.attempt_id, -6_000, 2_000, "the invoice", "master key", AT_MS)
    )
    await first.correct(record, "key_1", "fast", AT_MS, None)
    await second.refreshed()
    assert await balances(pair) == {(0, 0)}
    with pytest.raises(InsufficientQuotaError):
        await second.hold(claim(10_001))
    assert await violations(engine) == []


async def test_soft_budgets_and_periods_count_what_all_of_them_spend(
    engine: Database, pair: tuple[SharedLedger, SharedLedger]
) -> None:
    first, second = pair
    soft = terms(
        1_000, id="bud_2", scope_kind="gateway", scope_id="", period="day", mode="soft",
        timezone="Europe/Berlin",
    )  # fmt: skip
    await budget(engine, first, soft)
    for ledger, at_ms in ((first, AT_MS), (second, AT_MS), (second, AT_MS + 86_400_000)):
        hold = await ledger.hold(claim(900, key_id="key_9", at_ms=at_ms))
        ledger.settle(hold, ending(900))
        await ledger.caught_up()
    await first.reload()
    assert [each.spent for each in first.spent_past(50)] == [900]
    assert await violations(engine) == []


async def test_no_balance_exceeds_64_bits(
    engine: Database, pair: tuple[SharedLedger, SharedLedger]
) -> None:
    first, second = pair
    holds = [(each, await each.hold(claim(1))) for each in pair]
    for each, hold in holds:
        each.settle(hold, ending(INT64_MAX))
    assert await balances(pair) == {(INT64_MAX, 0)}
    assert await violations(engine) == []
    assert first.exhausted("key_1") == second.exhausted("key_1") == terms(10_000, scope_name=None)


async def test_who_takes_the_ledger_ends_the_writing_of_those_before(
    engine: Database, tmp_path: Path, pair: tuple[SharedLedger, SharedLedger], taken: SharedClaim
) -> None:
    first, _ = pair
    with pytest.raises(LedgerLockedError, match="another gateway"):
        await open_ledger(engine, tmp_path / "other")
    # As if the parent's session were lost, and another gateway quick.
    await taken.tables.close()
    async with await open_ledger(engine, tmp_path / "other"):
        with pytest.raises(LedgerUnavailableError, match="another gateway"):
            await first.hold(claim(1))
        assert not first.state().available


async def test_a_process_that_was_halted_keeps_the_others_waiting_for_seconds_only(
    location: str, pair: tuple[SharedLedger, SharedLedger]
) -> None:
    first, _ = pair
    shown = await first._tables.write(
        lambda writer: [
            writer.connection.exec_driver_sql(f"SHOW {name}").scalar_one()
            for name in ("idle_in_transaction_session_timeout", "synchronous_commit")
        ]
    )
    assert shown == ["10s", "on"]
    # As that timeout ends it: what it had under way is undone, and it begins anew.
    await first.hold(claim(1_000))
    pid = await first._desk._tables.write(
        lambda writer: writer.connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    )
    await postgresql.execute(location, f"SELECT pg_terminate_backend({pid})")
    async with asyncio.timeout(10):
        while True:
            try:
                await first.hold(claim(2_000))
                break
            except LedgerUnavailableError:
                await asyncio.sleep(0.05)
    assert await balances(pair) == {(0, 3_000)}


async def test_a_single_process_takes_up_what_workers_left(
    engine: Database, tmp_path: Path
) -> None:
    async with (
        take_for_workers(engine, tmp_path, 2) as taken,
        worker(engine, tmp_path, 1, taken) as first,
    ):
        await budget(engine, first, terms(10_000))
        done, cut = await first.hold(claim(3_000)), await first.hold(claim(2_000))
        first._applier._task.cancel()
        first.settle(done, ending(100))
        first._journal.flush()
        await crash(first)
    async with await open_ledger(engine, tmp_path, clock_ms=lambda: AT_MS) as alone:
        assert balance(alone) == (2_100, 0)
        assert (await attempts(engine))[cut.claim.attempt_id].outcome == "recovered"
        assert await violations(engine) == []
        await waiting(alone, 0)
