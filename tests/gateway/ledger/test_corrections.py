"""Correcting what an attempt cost: exact in memory, in the journal and in the database."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from conduit.core.errors import InsufficientQuotaError, LedgerUnavailableError
from conduit.gateway.ledger.local import LocalLedger
from conduit.gateway.ledger.opening import open_ledger
from conduit.gateway.ledger.records import Claim, CorrectRecord
from conduit.gateway.storage.engine import reading, writing
from conduit.gateway.storage.ledger.statements import Engine
from conduit.gateway.storage.schema import balances, budgets, corrections, limits_in_force
from conduit.gateway.storage.schema import ledger as rows
from tests.gateway.ledger.building import (
    AT_MS,
    attempts,
    balance,
    claim,
    ending,
    opened,
    request_record,
    request_rows,
    store_budget,
    terms,
    violations,
)
from tests.gateway.ledger.conftest import Crash
from tests.gateway.ledger.test_journal import files_no_larger_than

DAY_MS = 86_400_000


async def spent(ledger: LocalLedger, cost: int, **changes: Any) -> Claim:
    hold = await ledger.hold(claim(cost, **changes))
    ledger.settle(hold, ending(cost))
    ledger.record(request_record(hold.claim, cost_nanodollars=cost))
    return hold.claim


async def correct(ledger: LocalLedger, of: Claim, before: int, after: int, name: str = "1") -> None:
    record = CorrectRecord(
        f"cor_{name}", of.attempt_id, after - before, after, "the invoice", "master key", AT_MS
    )
    await ledger.correct(record, of.key_id, of.alias, of.at_ms, of.group_id)


async def stored_balances(engine: Engine) -> dict[tuple[str, int], int]:
    async with reading(engine) as connection:
        found = await connection.execute(select(balances))
        return {(row.budget_id, row.period_start_ms): row.spent_nanodollars for row in found}


async def test_a_lower_cost_gives_budgets_money_back_and_the_books_agree(
    engine: Engine, tmp_path: Path
) -> None:
    gateway = terms(5000, id="bud_2", scope_kind="gateway", scope_id="")
    async with await opened(engine, tmp_path, terms(1000), gateway) as ledger:
        attempt = await spent(ledger, 1000)
        with pytest.raises(InsufficientQuotaError):
            await ledger.hold(claim(1))
        await correct(ledger, attempt, 1000, 150)
        assert (balance(ledger), balance(ledger, "bud_2")) == ((150, 0), (150, 0))
        await spent(ledger, 850)
        await ledger.caught_up()
        assert await stored_balances(engine) == {("bud_1", 0): 1000, ("bud_2", 0): 1000}
        found = await attempts(engine)
        row = found["cor_1"]
        assert (row.adjusts, row.outcome, row.cost_nanodollars, row.held_at_ms) == (
            *(attempt.attempt_id, "corrected"),
            *(-850, attempt.at_ms),
        )
        assert found[attempt.attempt_id].cost_nanodollars == 1000  # what was settled stays
        assert (await request_rows(engine))[attempt.request_id].cost_nanodollars == 150
        assert await violations(engine) == []


async def test_a_higher_cost_counts_in_every_budget_and_may_overshoot_it(
    engine: Engine, tmp_path: Path
) -> None:
    async with await opened(engine, tmp_path, terms(1000)) as ledger:
        attempt = await spent(ledger, 900)
        await correct(ledger, attempt, 900, 1500)
        assert balance(ledger) == (1500, 0)
        assert ledger.exhausted("key_1") is not None
        assert await violations(engine) == []


async def test_a_correction_counts_in_the_period_of_its_attempt(
    engine: Engine, tmp_path: Path
) -> None:
    now = [AT_MS]
    by_day = terms(1000, period="day")
    async with await opened(engine, tmp_path, by_day, clock_ms=lambda: now[0]) as ledger:
        attempt = await spent(ledger, 700)
        now[0] += DAY_MS
        await spent(ledger, 200, at_ms=now[0])
        await correct(ledger, attempt, 700, 100)
        assert balance(ledger, at_ms=now[0]) == (200, 0)
        first, second = (by_day.start_ms(at_ms) for at_ms in (AT_MS, now[0]))
        assert await stored_balances(engine) == {("bud_1", first): 100, ("bud_1", second): 200}
        assert await violations(engine) == []


async def test_a_correction_that_was_journalled_is_there_after_a_crash_once(
    engine: Engine, tmp_path: Path, crash: Crash
) -> None:
    async with await opened(engine, tmp_path, terms(1000)) as ledger:
        attempt = await spent(ledger, 1000)
        await ledger.caught_up()
        ledger._journal.append_now(
            CorrectRecord("cor_1", attempt.attempt_id, -400, 600, "why", "master key", AT_MS)
        )
        copied, folder = await crash(ledger)
        for _ in range(2):  # what is applied again changes nothing
            async with await open_ledger(copied, folder, "off") as again:
                assert balance(again) == (600, 0)
        assert await violations(copied) == []
        async with reading(copied) as connection:
            assert len((await connection.execute(select(corrections))).all()) == 1


async def test_a_budget_that_was_set_to_nothing_gets_nothing_back(
    engine: Engine, tmp_path: Path
) -> None:
    async with await opened(engine, tmp_path, terms(1000)) as ledger:
        attempt = await spent(ledger, 800)
        await ledger.reset_spent("bud_1")
        await spent(ledger, 100)
        await correct(ledger, attempt, 800, 200)
        assert balance(ledger) == (0, 0)
        assert await stored_balances(engine) == {("bud_1", 0): 0}
        assert await violations(engine) == []


async def test_a_period_that_is_over_and_was_set_to_nothing_gets_nothing_back(
    engine: Engine, tmp_path: Path
) -> None:
    now = [AT_MS]
    by_day = terms(1000, period="day")
    async with await opened(engine, tmp_path, by_day, clock_ms=lambda: now[0]) as ledger:
        attempt = await spent(ledger, 800)
        await ledger.reset_spent("bud_1")
        now[0] += DAY_MS
        await spent(ledger, 100, at_ms=now[0])
        await correct(ledger, attempt, 800, 200)
        first, second = (by_day.start_ms(at_ms) for at_ms in (AT_MS, now[0]))
        assert await stored_balances(engine) == {("bud_1", first): 0, ("bud_1", second): 100}
        assert await violations(engine) == []


async def test_a_correction_in_a_period_that_is_forgotten_adjusts_nothing(
    engine: Engine, tmp_path: Path
) -> None:
    """A call that holds nothing may outlive what memory knows of its period."""
    now = [AT_MS]
    by_day = terms(1000, period="day")
    async with await opened(engine, tmp_path, by_day, clock_ms=lambda: now[0]) as ledger:
        attempt = await spent(ledger, 500)
        free = await ledger.hold(claim(0))
        now[0] += DAY_MS
        await spent(ledger, 100, at_ms=now[0])
        ledger.settle(free, ending(50))
        await correct(ledger, attempt, 500, 0)
        first, second = (by_day.start_ms(at_ms) for at_ms in (AT_MS, now[0]))
        assert await stored_balances(engine) == {("bud_1", first): 50, ("bud_1", second): 100}
        assert await violations(engine) == []


async def test_a_budget_that_is_opened_later_begins_with_what_is_corrected(
    engine: Engine, tmp_path: Path
) -> None:
    async with await opened(engine, tmp_path) as ledger:
        attempt = await spent(ledger, 800)
        await correct(ledger, attempt, 800, 300)
        await store_budget(engine, terms(1000))
        await ledger.open_budget(terms(1000))
        assert balance(ledger) == (300, 0)
        assert await violations(engine) == []


async def test_corrections_add_up(engine: Engine, tmp_path: Path) -> None:
    async with await opened(engine, tmp_path, terms(1000)) as ledger:
        attempt = await spent(ledger, 800)
        await correct(ledger, attempt, 800, 300)
        await correct(ledger, attempt, 300, 500, "2")
        assert balance(ledger) == (500, 0)
        assert await violations(engine) == []


async def test_a_journal_that_cannot_be_written_corrects_nothing(
    engine: Engine, tmp_path: Path
) -> None:
    async with await opened(engine, tmp_path, terms(1000)) as ledger:
        attempt = await spent(ledger, 800)
        await ledger.caught_up()
        with files_no_larger_than(10), pytest.raises(LedgerUnavailableError, match="corrected"):
            await correct(ledger, attempt, 800, 300)
        assert balance(ledger) == (800, 0)
        await ledger.caught_up()
        assert set(await attempts(engine)) == {attempt.attempt_id}


async def test_a_correction_of_no_attempt_is_found_in_the_books(
    engine: Engine, tmp_path: Path
) -> None:
    async with await opened(engine, tmp_path, terms(1000)) as ledger:
        await correct(ledger, await spent(ledger, 800), 800, 300)
    async with writing(engine) as connection:
        gone = update(rows).values(adjusts="att_gone").where(rows.c.adjusts.is_not(None))
        await connection.execute(gone)
    assert await violations(engine) == ["I3: cor_1"]


SCOPES = (
    terms(1000),
    terms(1000, id="bud_2", period="day"),
    terms(1000, id="bud_3", scope_kind="gateway", scope_id="", period="month"),
    terms(1000, id="bud_4", scope_kind="mapping", scope_id="fast"),
    terms(1000, id="bud_5", scope_kind="gateway", scope_id=""),
)


async def overshot(engine: Engine, limit: int) -> list[str]:
    """What I5 finds if all budgets had been held from by that limit."""
    async with writing(engine) as connection:
        await connection.execute(update(limits_in_force).values(limit_nanodollars=limit))
        await connection.execute(update(budgets).values(limit_nanodollars=limit))
    return [text for text in await violations(engine) if text.startswith("I5")]


@pytest.mark.parametrize(
    ("hold", "costs", "excess"),
    [
        (400, [700], 300),
        (400, [700, 500], 100),
        (400, [700, 400], 0),
        (400, [700, 100], 0),  # a lower cost takes the excess away
        (400, [300, 600, 300], 0),  # as it does where a correction had made it
        (400, [300, 350], 50),  # what the attempt left may have been held by another
        (400, [400, 100, 400], 300),
        (400, [700, 100, 300], 200),
        (0, [50, 20], 20),
    ],
)
async def test_the_excess_of_an_attempt_is_that_of_its_cost_with_its_corrections(
    engine: Engine, tmp_path: Path, hold: int, costs: list[int], excess: int
) -> None:
    async with await opened(engine, tmp_path, *SCOPES) as ledger:
        await spent(ledger, 7)  # another, which is not corrected
        held = await ledger.hold(claim(hold))
        ledger.settle(held, ending(costs[0]))
        for number, (before, after) in enumerate(pairwise(costs)):
            await correct(ledger, held.claim, before, after, str(number))
        await ledger.caught_up()
        assert await violations(engine) == []
    bound = 7 + costs[-1] - excess
    assert await overshot(engine, bound) == []
    found = await overshot(engine, bound - 1)
    assert len(found) == len(SCOPES)
    assert all("$0.000000001 over its limit" in text for text in found)


async def test_a_higher_cost_overshoots_what_others_have_spent_meanwhile(
    engine: Engine, tmp_path: Path
) -> None:
    async with await opened(engine, tmp_path, *SCOPES) as ledger:
        held = await ledger.hold(claim(1000))
        ledger.settle(held, ending(100))
        await spent(ledger, 900)
        await correct(ledger, held.claim, 100, 600)  # its hold had been more than that
        assert balance(ledger) == (1500, 0)
        await ledger.caught_up()
        assert await violations(engine) == []
