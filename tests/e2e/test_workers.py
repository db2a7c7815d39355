"""Several workers on one PostgreSQL: no budget is overshot, whatever worker a call meets."""

import asyncio
from pathlib import Path

import pytest

from conduit.core.money import parse_usd
from tests import postgresql
from tests.e2e.workers import COST_OF_ONE, running_workers

BUDGET = "0.00127"  # affords five of them
CALLS = 200


@pytest.fixture
async def location():
    async with postgresql.own_schema() as url:
        yield url


async def test_many_callers_at_once_do_not_overshoot_over_two_workers(
    location: str, tmp_path: Path
) -> None:
    async with running_workers(tmp_path, location) as workers:
        key = await workers.key("poor", budget={"limit": BUDGET})
        await asyncio.sleep(2.5)
        await workers.watch_balances()
        answers = await workers.ask_many(key, CALLS, max_tokens=100)
        print(answers)
        served = answers.pop((200, ""))
        assert served == 5
        assert {code for _, code in answers} <= {"insufficient_quota", "budget_held"}
        await workers.settled()
        assert await workers.overshot() == []
        ((spent, held),) = await workers.rows(
            "SELECT spent_nanodollars, held_nanodollars FROM balances"
        )
        assert (spent, held) == (served * COST_OF_ONE, 0)
        assert spent <= parse_usd(BUDGET)
        print(await workers.rows("select journal, count(*) from ledger group by 1"))
        await workers.check_ledger()
