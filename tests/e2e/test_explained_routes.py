"""What an explanation says of a request, and what the same request then meets at a gateway."""

from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.e2e.conftest import UPSTREAM_SECRET, Running
from tests.fakes.upstream import FakeUpstream

LONG = "words and more of them " * 1000  # of some 6,000 tokens


@pytest.fixture
async def client(running: Running) -> AsyncOpenAI:
    return running.openai(await running.key("asks"))


def to(model: str, **fields: Any) -> dict[str, Any]:
    return {"provider": "fake", "model": model, **fields}


async def add(running: Running, alias: str, *targets: dict[str, Any], **fields: Any) -> None:
    body = {"alias": alias, "targets": list(targets), **fields}
    await running.admin("POST", "/mappings", body)


async def explained(running: Running, alias: str, **fields: Any) -> dict[str, Any]:
    asked = {"alias": alias, **fields}
    answer: dict[str, Any] = await running.admin("POST", "/routes/explain", asked, status=200)
    return answer


async def goes_to(running: Running, alias: str, **fields: Any) -> str | None:
    chosen = (await explained(running, alias, **fields))["chosen"]
    return None if chosen is None else str(chosen["model"])


async def went_to(
    running: Running, client: AsyncOpenAI, alias: str, prompt: str = "hello", **fields: Any
) -> str:
    await client.chat.completions.create(
        model=alias, messages=[{"role": "user", "content": prompt}], **fields
    )
    return str((await running.last_record())["model"])


async def test_a_prompt_too_long_for_a_window(running: Running, client: AsyncOpenAI) -> None:
    small = to("fake-n1", capabilities={"context_tokens": 1000})
    large = to("fake-n2", order=1, capabilities={"context_tokens": 100_000})
    await add(running, "roomy", large)
    await add(running, "both", small, large)
    elsewhere = [{"on": "context_window", "alias": "roomy"}]
    await add(running, "small", small, fallbacks=elsewhere)
    for alias in ("both", "small"):
        assert await goes_to(running, alias, tokens=6000) == "fake-n2"
        assert await went_to(running, client, alias, LONG) == "fake-n2"
        assert await goes_to(running, alias, tokens=20) == "fake-n1"
        assert await went_to(running, client, alias) == "fake-n1"


async def test_the_next_turn(running: Running, client: AsyncOpenAI) -> None:
    targets = [to(f"fake-n{number}") for number in (1, 2, 3)]
    await add(running, "round", *targets, strategy="round-robin")
    for _ in range(2):
        told = [await goes_to(running, "round") for _ in range(2)]
        assert told == [await went_to(running, client, "round")] * 2
    # Turns go on where the settings are read again.
    await running.admin("POST", "/config/reload", status=200)
    asked = {"alias": "round", "n": 4}
    simulated = await running.admin("POST", "/routes/simulate", asked, status=200)
    assert [share["count"] for share in simulated["shares"]] == [1, 1, 2]
    assert await goes_to(running, "round") == "fake-n3"
    assert await went_to(running, client, "round") == "fake-n3"


async def test_a_hard_budget_of_the_gateway_leaves_out_what_has_no_price(
    running: Running, client: AsyncOpenAI, fake: FakeUpstream
) -> None:
    await running.admin(
        "POST",
        "/providers",
        {
            "name": "free",
            "type": "openai_compatible",
            "base_url": fake.base_url,
            "credential": {"secret": UPSTREAM_SECRET},
        },
    )
    unpriced = {"provider": "free", "model": "fake-n2"}
    await add(running, "cheap", unpriced, to("fake-n1", order=1))
    assert await goes_to(running, "cheap") == "fake-n2"
    await running.admin("POST", "/budgets", {"scope": {"kind": "gateway"}, "limit": "5"})
    assert await goes_to(running, "cheap") == "fake-n1"
    assert await went_to(running, client, "cheap") == "fake-n1"


async def test_the_price_of_the_answer_that_is_asked_for(
    running: Running, client: AsyncOpenAI
) -> None:
    await running.admin("PUT", "/prices/fake/fake-n1", {"input": "1", "output": "50"})
    await running.admin("PUT", "/prices/fake/fake-n2", {"input": "1000", "output": "1"})
    await add(running, "cheap", to("fake-n1"), to("fake-n2"), strategy="lowest-cost")
    for most, cheapest in ((1, "fake-n1"), (4000, "fake-n2")):
        assert await goes_to(running, "cheap", tokens=20, max_tokens=most) == cheapest
        assert await went_to(running, client, "cheap", max_tokens=most) == cheapest


async def test_each_alias_falls_back_for_its_own_failure(
    running: Running, client: AsyncOpenAI
) -> None:
    await add(running, "third", to("fake-n1"))
    limited = [{"on": "rate_limit", "alias": "third"}]
    await add(running, "second", to("fake-status429"), fallbacks=limited)
    failed = [{"on": "error", "alias": "second"}]
    await add(running, "first", to("fake-status500"), fallbacks=failed)
    legs = (await explained(running, "first"))["legs"]
    assert [(leg["alias"], leg["because"]) for leg in legs] == [
        ("first", []),
        ("second", [{"alias": "first", "on": "error"}]),
        ("third", [{"alias": "second", "on": "rate_limit"}]),
    ]
    assert await went_to(running, client, "first") == "fake-n1"


async def test_a_tie_and_a_provider_that_there_is_not(running: Running) -> None:
    await add(running, "even", to("fake-n1"), to("fake-n2"), strategy="lowest-latency")
    assert (await explained(running, "even"))["by_chance"] is True
    asked = {"alias": "even", "if_down": ["nosuch"]}
    for verb in ("explain", "simulate"):
        refused = await running.admin("POST", f"/routes/{verb}", asked, status=400)
        assert refused["error"]["param"] == "if_down"


async def test_what_each_target_can_do(running: Running) -> None:
    blind = to("fake-n1", capabilities={"vision": False, "context_tokens": 1000})
    await add(running, "able", blind, to("fake-n2", order=1, capabilities={"vision": True}))
    [leg] = (await explained(running, "able"))["legs"]
    can = [each["capabilities"] for each in leg["candidates"]]
    assert [each["vision"] for each in can] == [False, True]
    assert can[0]["context_tokens"] == 1000
    [leg] = (await explained(running, "able", caps=["vision"]))["legs"]
    left_out = next(each for each in leg["candidates"] if each["model"] == "fake-n1")
    assert left_out["capabilities"] is None
