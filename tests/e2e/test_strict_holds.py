"""With strict holds an honest provider never spends more than a hard budget has."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conduit.core.money import parse_usd
from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.fakes.upstream import FakeUpstream

NUMBERS = "1 2 3 4 5 6 7 8 9 " * 100
INPUT_TOKENS = len(NUMBERS)  # a token a byte: no vocabulary of bytes makes more
OUTPUT_TOKENS = 20
COST_OF_ONE = INPUT_TOKENS * 1_000 + OUTPUT_TOKENS * 2_000


@pytest.fixture
async def strict(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[Running]:
    async with running_gateway(tmp_path / "home", strict_holds=True) as gateway:
        await connect_fake(gateway, fake)
        yield gateway


async def ask(running: Running, key: str, **more: object) -> tuple[int, str, str | None]:
    """The status, the error's code and the output cap that the answer tells of."""
    body = {
        "model": f"fake-in{INPUT_TOKENS}-out{OUTPUT_TOKENS}-n{OUTPUT_TOKENS}-delay20",
        "messages": [{"role": "user", "content": NUMBERS}],
        **more,
    }
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        json=body,
        headers={"authorization": f"Bearer {key}"},
    ) as response:
        cap = response.headers.get("x-conduit-output-cap")
        if response.status == 200:
            await response.read()
            return 200, "", cap
        return response.status, (await response.json())["error"]["code"], cap


async def most_taken(running: Running, name: str, ended: asyncio.Event) -> int:
    """The most that was spent and held at once of a key's budget while calls were running."""
    most = 0
    while True:
        last = ended.is_set()
        (budget,) = (await running.admin("GET", f"/keys/{name}"))["budgets"]
        most = max(most, parse_usd(budget["spent"]) + parse_usd(budget["held"]))
        if last:
            return most


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("limit", [{}, {"max_tokens": OUTPUT_TOKENS}])
async def test_20_callers_at_once_whose_every_byte_is_a_token_stay_below_the_limit(
    strict: Running, fake: FakeUpstream, streamed: bool, limit: dict[str, int]
) -> None:
    budget = 4 * COST_OF_ONE - 1
    key = await strict.key("numbers", budget={"limit": f"0.{budget:09}"})
    ended = asyncio.Event()
    watched = asyncio.create_task(most_taken(strict, "numbers", ended))
    calls = [ask(strict, key, stream=streamed, **limit) for _ in range(20)]
    answers = Counter([status for status, _, _ in await asyncio.gather(*calls)])
    await strict.ledger_holds()
    ended.set()
    assert await watched <= budget
    assert answers[200] + answers[429] == 20
    assert 1 <= answers[200] <= 3
    (row,) = (await strict.admin("GET", "/keys/numbers"))["budgets"]
    assert parse_usd(row["spent"]) == answers[200] * COST_OF_ONE
    assert len(fake.requests) == answers[200]


async def test_by_default_columns_of_numbers_may_cost_more_than_their_hold(
    running: Running,
) -> None:
    key = await running.key("numbers", budget={"limit": f"0.{COST_OF_ONE - 1:09}"})
    assert (await ask(running, key, max_tokens=OUTPUT_TOKENS))[0] == 200
    await running.ledger_holds()
    (row,) = (await running.admin("GET", "/keys/numbers"))["budgets"]
    assert parse_usd(row["spent"]) > parse_usd(row["limit"])


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_is_held_becomes_the_limit_where_nobody_knows_the_largest_output(
    strict: Running, fake: FakeUpstream, streamed: bool
) -> None:
    key = await strict.key("rich", budget={"limit": "1"})
    assert await ask(strict, key, stream=streamed) == (200, "", "16384")
    assert b'"max_tokens":16384' in fake.requests[-1].body.replace(b" ", b"")
    await strict.admin(
        "PUT", "/prices/fake/*", {"input": "1", "output": "2", "max_output_tokens": 9000}
    )
    assert await ask(strict, key, stream=streamed) == (200, "", None)
    assert b"max_tokens" not in fake.requests[-1].body
