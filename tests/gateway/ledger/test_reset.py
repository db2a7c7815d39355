"""Resetting what a budget has spent: an adjustment in the journal, exact in memory and on disk."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import delete, select

from conduit.core.errors import InsufficientQuotaError, LedgerUnavailableError
from conduit.gateway.ledger.local import LocalLedger
from conduit.gateway.storage.engine import reading, writing
from conduit.gateway.storage.ledger.statements import Engine
from conduit.gateway.storage.schema import adjustments, journal_position
from tests.gateway.ledger.building import (
    AT_MS,
    claim,
    ending,
    opened,
    terms,
    violations,
)
from tests.gateway.ledger.conftest import Crash
from tests.gateway.ledger.test_journal import files_no_larger_than

DAY_MS = 86_400_000


async def spend(ledger: LocalLedger, cost: int, **changes: object) -> None:
    hold = await ledger.hold(claim(cost, **changes))
    ledger.settle(hold, ending(cost))


def balance(ledger: LocalLedger, at_ms: int = AT_MS) -> tuple[int, int]:
    return ledger.balance_of("bud_1", at_ms)[:2]


async def adjusted(engine: Engine) -> list[tuple[str, int, int]]:
    async with reading(engine) as connection:
        rows = await connection.execute(select(adjustments))
        return [(row.budget_id, row.period_start_ms, row.nanodollars) for row in rows]


async def test_a_reset_gives_the_whole_budget_back_and_the_books_agree(
    engine: Engine, tmp_path: Path
) -> None:
    async with await opened(engine, tmp_path, terms(1000)) as ledger:
        await spend(ledger, 1000)
        with pytest.raises(InsufficientQuotaError):
            await ledger.hold(claim(1))
        assert await ledger.reset_spent("bud_1") == 1000
        assert balance(ledger) == (0, 0)
        assert ledger.exhausted("key_1") is None
        await spend(ledger, 400)
        await ledger.caught_up()
        assert balance(ledger) == (400, 0)
        assert await adjusted(engine) == [("bud_1", 0, -1000)]
        assert await violations(engine) == []


async def test_what_is_held_stays_held_and_is_counted_when_it_settles(
    engine: Engine, tmp_path: Path
) -> None:
    async with await opened(engine, tmp_path, terms(1000)) as ledger:
        await spend(ledger, 300)
        hold = await ledger.hold(claim(500))
        await ledger.reset_spent("bud_1")
        assert balance(ledger) == (0, 500)
        ledger.settle(hold, ending(450))
        await ledger.caught_up()
        assert balance(ledger) == (450, 0)
        assert await violations(engine) == []


async def test_a_reset_of_nothing_writes_nothing(engine: Engine, tmp_path: Path) -> None:
    async with await opened(engine, tmp_path, terms(1000)) as ledger:
        assert await ledger.reset_spent("bud_1") == 0
        assert await adjusted(engine) == []


async def test_only_the_named_budget_is_reset(engine: Engine, tmp_path: Path) -> None:
    other = terms(2000, id="bud_2")
    async with await opened(engine, tmp_path, terms(1000), other) as ledger:
        await spend(ledger, 700)
        await ledger.reset_spent("bud_1")
        assert ledger.balance_of("bud_2", AT_MS)[0] == 700
        await ledger.caught_up()
        assert await violations(engine) == []
        with pytest.raises(KeyError):
            await ledger.reset_spent("bud_3")


async def test_a_reset_counts_in_the_period_in_which_it_was_made(
    engine: Engine, tmp_path: Path
) -> None:
    now = [AT_MS]
    daily = terms(1000, period="day")
    async with await opened(engine, tmp_path, daily, clock_ms=lambda: now[0]) as ledger:
        await spend(ledger, 600)
        await ledger.reset_spent("bud_1")
        now[0] += DAY_MS
        await spend(ledger, 200, at_ms=now[0])
        await ledger.reset_spent("bud_1")
        await spend(ledger, 100, at_ms=now[0])
        await ledger.caught_up()
        assert balance(ledger, now[0]) == (100, 0)
        starts = [start for _, start, _ in await adjusted(engine)]
        assert starts[1] - starts[0] == DAY_MS
        assert await violations(engine) == []


async def test_a_claim_that_waits_is_granted_by_a_reset(engine: Engine, tmp_path: Path) -> None:
    async with await opened(engine, tmp_path, terms(1000)) as ledger:
        await spend(ledger, 400)
        running = await ledger.hold(claim(500))
        waiting = asyncio.create_task(ledger.hold(claim(400), wait_s=60))
        while not ledger.state().waiting:
            await asyncio.sleep(0)
        await ledger.reset_spent("bud_1")
        async with asyncio.timeout(30):
            granted = await waiting
        assert balance(ledger) == (0, 900)
        for hold in (running, granted):
            ledger.settle(hold, ending(1))


async def test_a_reset_survives_the_end_of_the_process(
    engine: Engine, tmp_path: Path, crash: Crash
) -> None:
    async with await opened(engine, tmp_path, terms(1000)) as ledger:
        await spend(ledger, 800)
        await ledger.reset_spent("bud_1")
        await spend(ledger, 50)
        after, folder = await crash(ledger)
        async with await opened(after, folder) as restarted:
            assert balance(restarted) == (50, 0)
            assert await violations(after) == []


async def test_a_position_that_was_lost_counts_no_reset_twice(
    engine: Engine, tmp_path: Path
) -> None:
    async with await opened(engine, tmp_path, terms(1000)) as ledger:
        await spend(ledger, 800)
        await ledger.reset_spent("bud_1")
        await spend(ledger, 50)
    async with writing(engine) as connection:
        await connection.execute(delete(journal_position))
    async with await opened(engine, tmp_path) as restarted:
        assert balance(restarted) == (50, 0)
        assert len(await adjusted(engine)) == 1
        assert await violations(engine) == []


@pytest.mark.parametrize("kind", ["sqlite"])
async def test_a_reset_that_cannot_be_written_changes_nothing(
    engine: Engine, tmp_path: Path
) -> None:
    async with await opened(engine, tmp_path, terms(1000)) as ledger:
        await spend(ledger, 800)
        await ledger.caught_up()
        written = (tmp_path / "journal").glob("*.log")
        size = max(path.stat().st_size for path in written)
        with files_no_larger_than(size):
            with pytest.raises(LedgerUnavailableError, match="nothing was reset"):
                await ledger.reset_spent("bud_1")
            assert balance(ledger) == (800, 0)


async def test_keys_that_have_spent_a_budget_up_are_known(engine: Engine, tmp_path: Path) -> None:
    soft = terms(500, id="bud_2", scope_id="key_2", mode="soft")
    async with await opened(engine, tmp_path, terms(1000), soft) as ledger:
        await spend(ledger, 999)
        await spend(ledger, 500, key_id="key_2")
        assert ledger.overspent_keys() == {"key_2"}
        await spend(ledger, 1)
        assert ledger.overspent_keys() == {"key_1", "key_2"}
