"""What real calls are charged by the whole price book, and that each charge finds its price."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cli import Cli
from tests.e2e.conftest import Running, running_gateway
from tests.fakes.behaviour import Behaviour
from tests.fakes.upstream import FakeUpstream

PRICE = {
    "input": "1",
    "output": "2",
    "cache_read": "0.1",
    "reasoning": "4",
    "input_audio": "10",
    "output_audio": "20",
    "service_tiers": {"flex": "0.5", "priority": "2"},
    "units": {"searches": "10"},
}
USAGE = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}


@pytest.fixture
def cli(running: Running, tmp_path: Path) -> Cli:
    return Cli(tmp_path, running.url, running.master_key)


def answer(usage: dict[str, Any], **more: Any) -> bytes:
    message = {"role": "assistant", "content": "hi"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "fake-m"}
    return json.dumps({**body, "choices": [choice], "usage": usage, **more}).encode()


def stream(usage: dict[str, Any], **more: Any) -> bytes:
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "fake-m", **more}
    delta = {"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}
    chunks = [{**head, "choices": [delta]}, {**head, "choices": [], "usage": usage}]
    events = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return "".join([*events, "data: [DONE]\n\n"]).encode()


async def ask(running: Running, key: str, **fields: Any) -> tuple[int, dict[str, Any]]:
    body = {"model": "fake-m", "messages": [{"role": "user", "content": "hello"}], **fields}
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        json=body,
        headers={"authorization": f"Bearer {key}"},
    ) as response:
        text = await response.read()
        return response.status, json.loads(text) if not fields.get("stream") else {}


async def charged(running: Running) -> dict[str, Any]:
    """The attempt of the last request."""
    record = await running.last_record()
    (attempt,) = await running.attempts(record["id"])
    return attempt


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("usage", "more", "cost"),
    [
        (USAGE, {}, "0.002"),
        (USAGE, {"service_tier": "default"}, "0.002"),
        (USAGE, {"service_tier": "flex"}, "0.001"),
        (USAGE, {"service_tier": "priority"}, "0.004"),
        (USAGE, {"service_tier": "scale"}, "0.002"),  # has no price of its own
        ({**USAGE, "num_search_queries": 3}, {}, "0.032"),
        ({**USAGE, "num_search_queries": 3}, {"service_tier": "flex"}, "0.031"),
        (
            {
                **USAGE,
                "prompt_tokens_details": {"audio_tokens": 100, "cached_tokens": 400},
                "completion_tokens_details": {"audio_tokens": 50, "reasoning_tokens": 150},
            },
            {},
            # 500 in, 400 cached, 100 heard; 300 out, 150 thought, 50 spoken
            "0.00374",
        ),
    ],
)
async def test_a_call_is_charged_by_the_components_that_it_used(
    running: Running,
    fake: FakeUpstream,
    streamed: bool,
    usage: dict[str, Any],
    more: dict[str, Any],
    cost: str,
) -> None:
    await running.admin("PUT", "/prices/fake/fake-m", PRICE)
    key = await running.key("k")
    made = stream if streamed else answer
    headers = {"content-type": "text/event-stream"} if streamed else {}
    fake.script(Behaviour(raw_body=made(usage, **more), headers=headers))
    status, _ = await ask(running, key, stream=streamed)
    assert status == 200
    attempt = await charged(running)
    assert attempt["cost"] == cost
    assert attempt["search_units"] == usage.get("num_search_queries")


async def test_a_grade_of_service_is_held_at_its_price_and_refused_without_one(
    running: Running, fake: FakeUpstream
) -> None:
    """A budget that affords the ordinary price alone does not let a dearer grade through."""
    plain = {"input": "1", "output": "2", "service_tiers": PRICE["service_tiers"]}
    await running.admin("PUT", "/prices/fake/fake-m", plain)
    key = await running.key("k", budget={"limit": "0.003"})
    tokens = {"max_tokens": 1000}  # 2,000,000 nano-dollars, and twice as many for priority
    status, body = await ask(running, key, service_tier="priority", **tokens)
    assert (status, body["error"]["code"]) == (429, "insufficient_quota")
    status, body = await ask(running, key, service_tier="fast", **tokens)
    assert (status, body["error"]["code"]) == (400, "price_unknown")
    assert not fake.requests
    fake.script(Behaviour(raw_body=answer(USAGE, service_tier="flex")))
    assert (await ask(running, key, service_tier="flex", **tokens))[0] == 200


async def test_searches_are_held_where_a_call_may_search(
    running: Running, fake: FakeUpstream
) -> None:
    await running.admin("PUT", "/prices/fake/fake-m", PRICE)
    key = await running.key("k", budget={"limit": "0.05"})
    search = {"web_search_options": {}, "max_tokens": 10}
    status, body = await ask(running, key, **search)
    assert (status, body["error"]["code"]) == (429, "insufficient_quota"), "ten searches are 0.1"
    fake.script(Behaviour(raw_body=answer(USAGE)))
    assert (await ask(running, key, max_tokens=10))[0] == 200


async def test_a_planned_price_takes_effect_by_itself(
    running: Running, fake: FakeUpstream, cli: Cli
) -> None:
    far = {"input": "100", "output": "200", "effective_from": "2999-01-31T00:00:00Z"}
    planned = await running.admin("PUT", "/prices/fake/*", far)
    key = await running.key("k")
    fake.script(Behaviour(raw_body=answer(USAGE)), Behaviour(raw_body=answer(USAGE)))
    assert (await ask(running, key))[0] == 200
    before = await charged(running)
    assert before["cost"] == "0.002"
    listed = (await cli("prices", "list", "--planned", "--json")).ok().json["data"]
    assert [row["price_version"] for row in listed] == [planned["price_version"]]
    explained = (await cli("prices", "explain", "fake/fake-m", "--json")).ok().json
    assert "one is planned from" in explained["layers"][1]["reason"]
    (await cli("prices", "remove", "fake/*", "--effective", "2999-01-31", "--yes")).ok()

    since = datetime.now(UTC) + timedelta(seconds=1)
    made = await running.admin(
        "PUT", "/prices/fake/*", {**far, "effective_from": since.isoformat()}
    )
    async with asyncio.timeout(10):
        while (await running.admin("GET", "/prices/fake/fake-m"))["input"] != "100.00":
            await asyncio.sleep(0.05)
    assert datetime.now(UTC) >= since - timedelta(milliseconds=1)
    assert (await ask(running, key))[0] == 200
    after = await charged(running)
    assert (after["cost"], after["price_version"]) == ("0.20", made["price_version"])

    states = (await cli("prices", "history", "fake/*", "--json")).ok().json["data"]
    assert [row["state"] for row in states] == ["in_force", "past"]
    assert states[1]["effective_until"] == states[0]["effective_from"]
    # Each charge finds the very row that it was made by, though another one counts now.
    version = before["price_version"]
    found = await cli("prices", "explain", "fake/fake-m", "--version", version, "--json")
    assert (found.ok().json["price"]["input"], found.json["price"]["output"]) == ("1.00", "2.00")
    assert (await cli("prices", "explain", "fake/fake-m", "--version", "nope")).code == 5


async def test_a_price_of_the_past_is_refused_and_a_plan_given_up(cli: Cli) -> None:
    flags = ("prices", "set", "fake/m", "--input", "1", "--output", "1", "--effective")
    past = await cli(*flags, "2020-01-31")
    assert past.code == 6
    assert "2020-01-31T00:00:00.000Z is past" in past.err
    assert (await cli(*flags, "someday")).code == 2
    (await cli(*flags, "2999-01-31")).ok()
    states = (await cli("prices", "history", "fake/m", "--json")).ok().json["data"]
    assert [(row["state"], row["effective_from"]) for row in states] == [
        ("planned", "2999-01-31T00:00:00.000Z")
    ]
    remove = ("prices", "remove", "fake/m", "--yes", "--effective")
    (await cli(*remove, "2999-01-31")).ok()
    assert (await cli(*remove, "2999-01-31")).code == 5
    assert (await cli("prices", "history", "fake/m", "--json")).ok().json["data"] == []


async def test_all_of_a_price_goes_out_and_comes_back_in(
    cli: Cli, running: Running, tmp_path: Path
) -> None:
    (
        await cli(
            *("prices", "set", "fake/all", "--input", "3", "--output", "15"),
            *("--cache-write-5m", "3.75", "--cache-write-1h", "6", "--input-audio", "10"),
            *("--output-audio", "20", "--over", "200000:input=6,output=22.50"),
            *("--service-tier", "flex=0.5", "--unit", "images:1024x1024:high=0.167"),
            *("--unit", "searches=10", "--unit", "audio_minutes=0.006", "--request", "0.01"),
        )
    ).ok()
    plan = ("prices", "set", "fake/all", "--input", "1", "--output", "1")
    (await cli(*plan, "--effective", "2999-01-31")).ok()
    before = await running.admin("GET", "/prices/fake/all")
    assert before["tiers"][0]["output"] == "22.50"
    for name in ("prices.csv", "prices.json", "prices.toml"):
        file = tmp_path / name
        (await cli("prices", "export", "--out", str(file))).ok()
        assert (await cli("prices", "diff", str(file))).code == 0, name
        (await cli("prices", "remove", "fake/all", "--yes")).ok()
        dry = await cli("prices", "import", str(file), "--dry-run")
        assert dry.ok().out.count("add\tprice\tfake/all") == 2
        (await cli("prices", "import", str(file), "--yes")).ok()
        assert (await cli("prices", "diff", str(file))).code == 0, name
        after = await running.admin("GET", "/prices/fake/all")
        for each in ("price_version", "effective_from"):
            after[each] = before[each]
        assert after == before
    piped = (await cli("prices", "export", "-o", "csv")).ok().out
    assert (await cli("prices", "import", "-", "--yes", stdin=piped)).ok().code == 0
    wrong = await cli("prices", "import", "-", "--yes", stdin=piped.replace("searches=", "cats="))
    assert wrong.code == 2
    assert "cats" in wrong.err


async def test_a_price_by_the_piece_is_estimated(cli: Cli) -> None:
    flags = ("--input", "0", "--output", "0", "--unit", "audio_minutes=0.006")
    (await cli("prices", "set", "fake/ear", *flags, "--unit", "images=0.04")).ok()
    estimate = ("prices", "estimate", "fake/ear", "--unit", "audio_minutes=1.5", "--json")
    found = (await cli(*estimate, "--unit", "images:large=2")).ok().json
    assert (found["cost"], found["at_most"]) == ("0.089", "0.089")
    assert found["components"] == {"audio_minutes": "0.009", "images:large": "0.08"}
    assert (await cli(*estimate, "--unit", "cats=2")).code == 6


@pytest.mark.parametrize(
    ("settings", "status", "cost"),
    [
        ({}, 200, "0.00"),
        ({"unknown_price": "refuse"}, 400, None),
        ({"unknown_price": "default", "default_price": "10/20"}, 200, "0.02"),
        ({"unknown_price": "default"}, 400, None),
    ],
)
async def test_what_has_no_price_is_charged_as_the_setting_says(
    tmp_path: Path, fake: FakeUpstream, settings: dict[str, Any], status: int, cost: str | None
) -> None:
    async with running_gateway(tmp_path / "home", **settings) as running:
        provider = {"name": "fake", "type": "openai_compatible", "base_url": fake.base_url}
        await running.admin("POST", "/providers", {**provider, "credential": {"secret": "x" * 20}})
        targets = {"targets": [{"provider": "fake", "model": "fake-m"}]}
        await running.admin("POST", "/mappings", {"alias": "fake-m", **targets})
        own = {**targets, "alias": "mapped", "policy": {"unknown_price": "refuse"}}
        await running.admin("POST", "/mappings", own)
        key = await running.key("k")
        fake.script(Behaviour(raw_body=answer(USAGE)))
        got, body = await ask(running, key)
        assert got == status
        if cost is None:
            assert body["error"]["code"] == "price_unknown"
        else:
            assert (await charged(running))["cost"] == cost
        got, body = await ask(running, key, model="mapped")
        assert (got, body["error"]["code"]) == (400, "price_unknown"), (
            "the mapping has its own word"
        )
        shown = await running.admin("GET", "/price-explanations/fake/fake-m")
        # A default that there is not is none: such calls are refused.
        told = "refuse" if status == 400 else settings.get("unknown_price", "free")
        assert shown["unknown_price"] == told
        warned = (await running.admin("GET", "/status"))["warnings"]
        assert any("fake/fake-m: calls are refused" in each for each in warned)
        is_free = any("fake/fake-m: calls are charged nothing" in each for each in warned)
        assert is_free is (not settings)
        if not settings:
            await running.gateway.notifications.look()
            (told,) = (await running.admin("GET", "/notifications"))["data"]
            assert (told["kind"], told["subject"]["name"]) == ("price_unknown", "fake/fake-m")
