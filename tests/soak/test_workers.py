"""Several workers on one PostgreSQL: no budget is overshot, whatever worker a call meets."""

import asyncio
import itertools
import os
import signal
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from conduit.core.keys import make_master_key
from tests import postgresql
from tests.e2e.processes import GatewayProcess, free_port
from tests.e2e.workers import COST_OF_ONE, Workers, running_workers
from tests.postgresql_server import own_server

BUDGET = "0.00127"  # affords five of them
PATIENCE_S = 30
SLOW = "fake-n40-gap50"
REFUSALS = {"insufficient_quota", "budget_held"}


@pytest.fixture
async def location() -> AsyncIterator[str]:
    async with postgresql.own_schema() as url:
        yield url


async def spent_and_held(workers: Workers) -> tuple[int, int]:
    ((spent, held),) = await workers.rows(
        "SELECT spent_nanodollars, held_nanodollars FROM balances"
    )
    return spent, held


@pytest.mark.soak
async def test_callers_at_once_do_not_overshoot_over_two_workers(
    location: str, tmp_path: Path, soaking: bool
) -> None:
    async with running_workers(tmp_path, location) as workers:
        await workers.watch_balances()
        key = await workers.key("poor", budget={"limit": BUDGET})
        answers = await workers.ask_many(key, 1_000 if soaking else 100, max_tokens=100)
        served = answers.pop((200, ""))
        print(f"\nserved {served}, refused {dict(answers)}")
        assert served == 5
        assert set(answers) <= {(429, code) for code in REFUSALS}
        await workers.settled()
        assert await workers.overshot() == []
        assert await spent_and_held(workers) == (served * COST_OF_ONE, 0)
        await workers.check_ledger()


@pytest.mark.soak
async def test_answers_without_a_limit_of_their_own_are_capped_to_what_is_left(
    location: str, tmp_path: Path, soaking: bool
) -> None:
    async with running_workers(tmp_path, location) as workers:
        await workers.watch_balances()
        key = await workers.key("poor", budget={"limit": BUDGET})
        # One after the other, each may be as long as the money lasts: five fit, if they wait.
        answers = await workers.ask_many(key, 1_000 if soaking else 60)
        served = answers.pop((200, ""))
        print(f"\nserved {served}, refused {dict(answers)}")
        assert 1 <= served <= 5
        assert set(answers) <= {(429, code) for code in REFUSALS}
        await workers.settled()
        assert await workers.overshot() == []
        assert await spent_and_held(workers) == (served * COST_OF_ONE, 0)
        await workers.check_ledger()


@pytest.mark.soak
async def test_a_limit_that_is_raised_and_lowered_counts_at_once(
    location: str, tmp_path: Path, soaking: bool
) -> None:
    async with running_workers(tmp_path, location) as workers:
        await workers.watch_balances()
        key = await workers.key("poor", budget={"limit": BUDGET})
        (budget,) = (await workers.admin("GET", "/keys/poor"))["budgets"]

        async def change() -> None:
            for limit in itertools.cycle(("0.0030", "0.0009")):
                await workers.admin("PATCH", f"/budgets/{budget['id']}", {"limit": limit})

        changing = asyncio.create_task(change())
        try:
            answers = await workers.ask_many(key, 1_000 if soaking else 200, max_tokens=100)
        finally:
            changing.cancel()
            with suppress(asyncio.CancelledError):
                await changing
        served = answers.pop((200, ""))
        print(f"\nserved {served}, refused {dict(answers)}")
        assert 3 <= served <= 14
        assert set(answers) <= {(429, code) for code in REFUSALS}
        await workers.settled()
        assert await workers.overshot() == []
        assert await spent_and_held(workers) == (served * COST_OF_ONE, 0)
        await workers.check_ledger()


@pytest.mark.soak
async def test_one_budget_of_all_keys_is_no_bottleneck_at_hundreds_a_second(
    location: str, tmp_path: Path, soaking: bool
) -> None:
    """Its balance is one row, which both workers hold of for every call: the time is printed."""
    rate, seconds = (500, 10) if soaking else (50, 2)
    async with running_workers(tmp_path, location) as workers:
        keys = [await workers.key(f"key-{number}") for number in range(10)]
        budget = {"scope": {"kind": "gateway", "id": ""}, "period": "day", "limit": "1000"}
        await workers.admin("POST", "/budgets", budget)
        took: list[float] = []

        async def ask(number: int) -> tuple[int, str]:
            began = time.monotonic()
            answer = await workers.ask(keys[number % 10], model="fake-in12-out100", max_tokens=100)
            took.append(time.monotonic() - began)
            return answer[0], "" if answer[0] == 200 else answer[1]

        begun, asking = time.monotonic(), []
        for number in range(rate * seconds):
            await asyncio.sleep(begun + number / rate - time.monotonic())
            asking.append(asyncio.create_task(ask(number)))
        answers = Counter(await asyncio.gather(*asking))
        all_s, cuts = time.monotonic() - begun, statistics.quantiles(took, n=100)
        print(
            f"\n{len(took)} calls in {all_s:.1f} s, of which {rate} a second were wanted: "
            f"p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms"
        )
        assert answers == {(200, ""): rate * seconds}
        await workers.settled()
        assert await spent_and_held(workers) == (rate * seconds * COST_OF_ONE, 0)
        await workers.check_ledger()


async def test_a_stream_tops_up_and_is_stopped_when_the_money_ends(
    location: str, tmp_path: Path
) -> None:
    async with running_workers(tmp_path, location) as workers:
        rich = await workers.key("rich", budget={"limit": "1"})
        meagre = await workers.key("meagre", budget={"limit": "0.0031"})  # a block and a half
        for key, ends_well in ((rich, True), (meagre, False)):
            _, text = await workers.ask(key, model="fake-n2500-in1-out2500", stream=True)
            assert text.endswith("data: [DONE]\n\n") is ends_well
            assert ("budget_exceeded" in text) is not ends_well
        await workers.settled()
        await workers.check_ledger()


async def test_one_sqlite_file_has_one_writer(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path / "home", make_master_key(), free_port())
    (tmp_path / "home").mkdir()
    code, out, err = await gateway.cli("serve", "--workers", "2")
    assert (code, out) == (2, "")
    assert err == (
        "error: 2 workers need PostgreSQL, as a SQLite file has one writer: set database_url to "
        "postgresql://…, or workers to 1\n"
    )


async def until(workers: Workers, statement: str) -> None:
    """Wait until the database has a row that the statement finds."""
    async with asyncio.timeout(PATIENCE_S):
        while not await workers.rows(statement):
            await asyncio.sleep(0.02)


async def pid_of(workers: Workers, number: int) -> int:
    """The process that has the lock of a worker's folder."""
    lock = workers.process.home / f"data/workers/{number}/ledger.lock"
    return int(lock.read_text() or 0)


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_a_worker_that_is_killed_loses_nothing_and_comes_back(
    location: str, tmp_path: Path, soaking: bool
) -> None:
    async with running_workers(tmp_path, location) as workers:
        key = await workers.key("busy", budget={"limit": "1000", "period": "day"})
        free = await workers.key("free")
        stopping = False

        async def load(number: int) -> None:
            while not stopping:
                with suppress(aiohttp.ClientError, ConnectionError):
                    stream = number % 2 == 0
                    model = "fake-n12-gap15" if stream else "fake-delay20"
                    whose = free if number % 5 == 0 else key
                    status, code = await workers.ask(
                        whose, model=model, stream=stream, max_tokens=64
                    )
                    assert status == 200, code

        clients = [asyncio.create_task(load(number)) for number in range(16)]
        kills = 10 if soaking else 2
        for kill in range(kills):
            await until(workers, "SELECT 1 FROM ledger WHERE state = 'open'")
            number = kill % 2 + 1
            killed = await pid_of(workers, number)
            os.kill(killed, signal.SIGKILL)
            async with asyncio.timeout(PATIENCE_S):
                while await pid_of(workers, number) in (0, killed):
                    await asyncio.sleep(0.05)
            await workers.status_of_each()
            await workers.check_ledger()
        stopping = True
        await asyncio.gather(*clients)
        await workers.settled()
        await workers.check_ledger()
        upstream, rows = (
            workers.seen_upstream(),
            await workers.rows("SELECT attempt_id, outcome FROM ledger"),
        )
        assert upstream - {attempt_id for attempt_id, _ in rows} == set()
        recovered = sum(outcome == "recovered" for _, outcome in rows)
        print(f"\n{kills} kills: {len(upstream)} calls, {len(rows)} rows, {recovered} recovered")
        held = await workers.rows("SELECT sum(held_nanodollars) FROM balances")
        assert held == [(0,)]
        assert (
            await workers.rows(
                "SELECT 1 FROM ledger WHERE outcome = 'recovered' AND cost_nanodollars"
                " > hold_nanodollars"
            )
            == []
        )


async def test_while_postgresql_is_away_no_budgeted_call_is_served(tmp_path: Path) -> None:
    async with own_server() as server, running_workers(tmp_path, server.url) as workers:
        key = await workers.key("patient", budget={"limit": "1"})
        assert (await workers.ask(key, max_tokens=100))[0] == 200
        await workers.settled()
        running = [
            asyncio.create_task(
                workers.ask(key, model="fake-n40-gap50", stream=True, max_tokens=64)
            )
            for _ in range(4)
        ]
        await until(workers, "SELECT 1 FROM ledger WHERE state = 'open' HAVING count(*) = 4")
        await server.stop()
        assert await workers.ask(key, max_tokens=100) == (503, "ledger_unavailable")
        for status, text in await asyncio.gather(*running):  # they were held before
            assert (status, text.endswith("data: [DONE]\n\n")) == (200, True)
        await server.start()
        async with asyncio.timeout(PATIENCE_S):
            while (await workers.ask(key, max_tokens=100))[0] != 200:
                await asyncio.sleep(0.1)
        await workers.settled()
        await workers.check_ledger()
        upstream = workers.seen_upstream()
        rows = await workers.rows("SELECT attempt_id, outcome FROM ledger")
        assert upstream <= {attempt_id for attempt_id, _ in rows}
        assert {outcome for attempt_id, outcome in rows if attempt_id in upstream} == {"succeeded"}
