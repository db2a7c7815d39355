"""What a client's own deadline does, and what it does not: it is no word against the provider."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.fakes.behaviour import Behaviour
from tests.fakes.upstream import FakeUpstream

LONG_S = 60.0
HASTY = {"x-conduit-timeout-ms": "1000"}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


@pytest.fixture
async def running(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[Running]:
    """A gateway in which everybody waits for long who may, and two failures open a breaker."""
    rules = {"held_money_wait_s": LONG_S, "throttle_wait_s": LONG_S, "breaker_failures": 2}
    async with running_gateway(tmp_path / "home", **rules) as found:
        await connect_fake(found, fake)
        yield found


async def ask(
    running: Running,
    key: str,
    headers: dict[str, str] | None = None,
    *,
    model: str = "fake",
    content: Any = "hello",
    **fields: Any,
) -> tuple[int, str]:
    """Status and error code, well before anybody else's patience ends."""
    body = {"model": model, "messages": [{"role": "user", "content": content}], **fields}
    own = {"authorization": f"Bearer {key}", **(headers or {})}
    async with (
        asyncio.timeout(LONG_S / 2),
        running.http.post(f"{running.url}/v1/chat/completions", json=body, headers=own) as response,
    ):
        answer = await response.read() if response.status == 200 else await response.json()
        return response.status, "" if isinstance(answer, bytes) else answer["error"]["code"]


@pytest.mark.parametrize("stream", [False, True])
async def test_no_breaker_counts_it(running: Running, fake: FakeUpstream, *, stream: bool) -> None:
    key = await running.key()
    for number in range(1, 4):
        fake.script(Behaviour(delay_s=LONG_S))
        assert await ask(running, key, HASTY, stream=stream) == (504, "deadline_exceeded")
        await fake.request(number)
    assert await ask(running, key, stream=stream) == (200, "")
    [deployment] = (await running.admin("GET", "/health/deployments"))["data"]
    assert (deployment["breaker"], deployment["failures"]) == ("closed", 0)


async def test_a_stream_that_is_not_over_in_time_is_cut_and_no_breaker_counts_it(
    running: Running, fake: FakeUpstream
) -> None:
    key = await running.key()
    for _ in range(3):
        fake.script(Behaviour(gate=asyncio.Event()))
        assert await ask(running, key, HASTY, stream=True) == (200, "")
        assert (await running.last_record())["error_code"] == "deadline_exceeded"
    assert await ask(running, key, stream=True) == (200, "")


async def test_nobody_waits_longer_for_held_money(running: Running, fake: FakeUpstream) -> None:
    gate = asyncio.Event()
    key = await running.key(budget={"limit": "0.0003"})  # affords one call
    fake.script(Behaviour(gate=gate))
    first = asyncio.create_task(ask(running, key, stream=True, max_tokens=100))
    await fake.request(1)
    assert await ask(running, key, HASTY, max_tokens=100) == (429, "budget_held")
    gate.set()
    assert await first == (200, "")
    assert len(fake.requests) == 1


async def test_nobody_waits_longer_for_a_place(running: Running, fake: FakeUpstream) -> None:
    gate = asyncio.Event()
    key = await running.key()
    [credential] = (await running.admin("GET", "/providers/fake/credentials"))["data"]
    place = f"/providers/fake/credentials/{credential['id']}"
    await running.admin("PATCH", place, {"max_in_flight": 1})
    fake.script(Behaviour(gate=gate))
    first = asyncio.create_task(ask(running, key, stream=True))
    await fake.request(1)
    assert await ask(running, key, HASTY) == (504, "deadline_exceeded")
    assert (await running.last_record())["attempts"] == 0
    gate.set()
    assert await first == (200, "")
    assert len(fake.requests) == 1


async def test_an_alias_that_can_do_nothing_for_it_is_passed_over(running: Running) -> None:
    key = await running.key()
    blind = [{"provider": "fake", "model": "fake", "capabilities": {"vision": False}}]
    seeing = [{"provider": "fake", "model": "fake-status500", "capabilities": {"vision": True}}]
    await running.admin("POST", "/mappings", {"alias": "blind", "targets": blind})
    failing = {
        "alias": "seeing",
        "targets": seeing,
        "fallbacks": [{"on": "error", "alias": "blind"}],
    }
    await running.admin("POST", "/mappings", failing)
    status, code = await ask(running, key, model="seeing", content=[PICTURE])
    assert (status, code) == (502, "upstream_error")
    record = await running.last_record()
    route = (await running.admin("GET", f"/requests/{record['id']}"))["route"]
    assert [(leg["alias"], leg["because"]) for leg in route["legs"]] == [
        ("seeing", None),
        ("blind", "error"),
    ]
    assert [each["reason"] for each in route["legs"][1]["left_out"]] == [
        "the model takes no images"
    ]
    assert (await ask(running, key, model="seeing"))[0] == 200
