"""A thousand callers at once on a budget for five, on one process and its journal.

How it goes on several workers and PostgreSQL: `test_workers.py`.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from conduit.core.money import parse_usd
from conduit.gateway.ledger.batches import Position
from conduit.gateway.ledger.reading import JournalReader
from conduit.gateway.ledger.records import (
    BudgetOpened,
    Claim,
    LimitRecord,
    SettleRecord,
    TopUpRecord,
)
from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.fakes.upstream import FakeUpstream

# The prompt is more than 12 tokens however it is counted, as the fake says it is 12.
PROMPT = "hello " * 20
COST_OF_ONE = parse_usd("0.000212")  # 12 tokens in, 100 out
BUDGET = "0.00127"  # affords five of them
LEAST_TOKENS = 256  # an answer is not cut to less than that: see docs/money.md
LEAST_CHANGES = 4
REFUSALS = {"insufficient_quota", "budget_held"}


@asynccontextmanager
async def gateway_of(folder: Path) -> AsyncIterator[Running]:
    # What fits is served however slow the machine is.
    async with FakeUpstream() as fake, running_gateway(folder, held_money_wait_s=60.0) as running:
        await connect_fake(running, fake)
        yield running


async def ask_many(running: Running, key: str, count: int, **fields: object) -> Counter[str]:
    """How often each code was answered, of so many calls at once; "" for those that were served."""
    body = {
        "model": "fake-in12-out100-delay20",
        "messages": [{"role": "user", "content": PROMPT}],
        **fields,
    }

    async def ask() -> str:
        async with running.http.post(
            f"{running.url}/v1/chat/completions",
            json=body,
            headers={"authorization": f"Bearer {key}"},
        ) as response:
            if response.status == 200:
                await response.read()
                return ""
            assert response.status == 429
            return str((await response.json())["error"]["code"])

    return Counter(await asyncio.gather(*(ask() for _ in range(count))))


class Watch:
    """Reads the journal as it was written: each hold was within the limit in force."""

    def __init__(self, folder: Path) -> None:
        self.holds = self.changes = self.most = 0
        self._held: dict[str, int] = {}
        self._spent = 0
        self._limit: int | None = None
        reader = JournalReader(folder, Position(0, 0))
        while (batch := reader.read(1_000)).records:
            for record in batch.records:
                self._read(record)

    def _read(self, record: object) -> None:
        match record:
            case BudgetOpened():
                assert not self._held, "the only budget is there before the first call"
            case LimitRecord():
                self.changes += 1
                self._limit = record.limit_nanodollars
            case Claim() | TopUpRecord():
                self._held[record.attempt_id] = record.hold_nanodollars
                taken = self._spent + sum(self._held.values())
                assert self._limit is not None
                assert taken <= self._limit
                self.holds += isinstance(record, Claim)
                self.most = max(self.most, taken)
            case SettleRecord():
                del self._held[record.attempt_id]
                self._spent += record.cost_nanodollars
            case _:
                pass


async def judged(running: Running, folder: Path, answers: Counter[str]) -> Watch:
    """What holds however the calls were served."""
    served = answers[""]
    assert set(answers) <= {"", *REFUSALS}
    await running.ledger_holds()
    (budget,) = (await running.admin("GET", "/keys/poor"))["budgets"]
    assert (parse_usd(budget["spent"]), budget["held"]) == (served * COST_OF_ONE, "0.00")
    watch = Watch(folder / "data/journal")
    assert watch.holds == served
    print(
        f"\nserved {served}, refused {answers.total() - served}; {watch.changes} limits in force, "
        f"at most {watch.most:,} nano-dollars taken"
    )
    return watch


@pytest.mark.soak
@pytest.mark.parametrize("streamed", [False, True])
async def test_what_fits_is_served_and_no_more(
    tmp_path: Path, soaking: bool, streamed: bool
) -> None:
    async with gateway_of(tmp_path) as running:
        key = await running.key("poor", budget={"limit": BUDGET})
        count = 1_000 if soaking else 200
        answers = await ask_many(running, key, count, max_tokens=100, stream=streamed)
        assert answers[""] == 5
        await judged(running, tmp_path, answers)


@pytest.mark.soak
@pytest.mark.parametrize("streamed", [False, True])
async def test_answers_without_a_limit_of_their_own_take_turns(
    tmp_path: Path, soaking: bool, streamed: bool
) -> None:
    """Each may be as long as the money lasts, so that no two are paid for at once: they wait, and
    are served for as long as what is left affords an answer that is worth it.
    """
    async with gateway_of(tmp_path) as running:
        key = await running.key("poor", budget={"limit": BUDGET})
        count = 1_000 if soaking else 60
        answers = await ask_many(running, key, count, stream=streamed)
        left = parse_usd(BUDGET) - answers[""] * COST_OF_ONE
        assert 0 <= left < LEAST_TOKENS * 2_000 + 60_000  # nano-dollars: with an estimated prompt
        await judged(running, tmp_path, answers)


@pytest.mark.soak
async def test_a_limit_that_is_raised_and_lowered_meanwhile_counts_from_its_line_on(
    tmp_path: Path, soaking: bool
) -> None:
    async with gateway_of(tmp_path) as running:
        key = await running.key("poor", budget={"limit": BUDGET})
        (budget,) = (await running.admin("GET", "/keys/poor"))["budgets"]
        changed = 0

        async def change() -> None:
            nonlocal changed
            for limit in itertools.cycle(("0.0030", "0.0009")):
                await running.admin("PATCH", f"/budgets/{budget['id']}", {"limit": limit})
                changed += 1

        changing = asyncio.create_task(change())
        answers: Counter[str] = Counter()
        try:
            while changed < LEAST_CHANGES:
                count = 1_000 if soaking else 200
                answers += await ask_many(running, key, count, max_tokens=100)
        finally:
            changing.cancel()
            with suppress(asyncio.CancelledError):
                await changing
        assert 3 <= answers[""] <= 14  # what the lowest limit affords, and the highest
        watch = await judged(running, tmp_path, answers)
        assert watch.changes > LEAST_CHANGES
