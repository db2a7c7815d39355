"""Rate limits in Redis, through real sockets: shared, and what is served while Redis is away."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.e2e.test_rate_limits import ask
from tests.fakes.upstream import FakeUpstream
from tests.redis_server import RedisServer, be_patient, own_redis


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    async with own_redis() as found:
        yield found


async def test_a_key_is_limited_and_its_counters_are_seen(
    tmp_path: Path, fake: FakeUpstream, server: RedisServer
) -> None:
    async with running_gateway(tmp_path, redis_url=server.url) as running:
        be_patient(running.gateway.limiter)
        await connect_fake(running, fake)
        limits = [
            {"kind": "rpm", "limit": 60, "burst": 2},
            {"kind": "tpd", "limit": 1_000},
            {"kind": "concurrent", "limit": 5},
        ]
        key = await running.key("ci", limits=limits)
        answers = [await ask(running, key, max_tokens=100) for _ in range(3)]
        assert [status for status, _, _ in answers] == [200, 200, 429]
        assert answers[0][2]["x-ratelimit-remaining-requests"] == "1"
        assert answers[2][2]["retry-after"] == "1"
        found: dict[str, int] = {}
        while found.get("concurrent") != 5 or found["tpd"] != 1_000 - 2 * 22:
            shown = (await running.admin("GET", "/keys/ci"))["limits"]
            found = {each["kind"]: each["remaining"] for each in shown}
        (listed,) = (await running.admin("GET", "/keys"))["data"]
        assert [each["kind"] for each in listed["limits"]] == ["rpm", "tpd", "concurrent"]
        status = await running.admin("GET", "/status")
        assert status["limiter"] == {"store": "up", "gateways": 1, "failures": 0}


async def test_redis_that_goes_and_comes_back(
    tmp_path: Path, fake: FakeUpstream, server: RedisServer
) -> None:
    async with running_gateway(tmp_path, redis_url=server.url) as running:
        be_patient(running.gateway.limiter)
        await connect_fake(running, fake)
        key = await running.key("ci", limits=[{"kind": "rpm", "limit": 600}])
        strict = await running.key(
            "strict", limits=[{"kind": "rpm", "limit": 600, "on_store_down": "closed"}]
        )
        assert (await ask(running, strict))[0] == 200
        await server.stop()
        assert (await ask(running, key))[0] == 200
        status, code, headers = await ask(running, strict)
        assert (status, code) == (503, "limiter_unavailable")
        assert headers["retry-after"]
        await _told(running, up=False)
        async with running.http.get(f"{running.url}/health/ready") as ready:
            assert ready.status == 200
            assert "Redis does not answer" in (await ready.json())["degraded"][0]
        async with running.http.get(f"{running.url}/metrics") as metrics:
            assert "conduit_limiter_store_up 0.0" in await metrics.text()
        assert (await ask(running, key))[0] == 200
        await server.start()
        await _told(running, up=True)
        assert (await ask(running, strict))[0] == 200
        assert (await running.admin("GET", "/status"))["limiter"]["store"] == "up"


async def _told(running: Running, *, up: bool) -> None:
    """Until an event has told of it."""
    wanted = {"store": "up" if up else "down", "gateways": 1}
    async with asyncio.timeout(60):
        while True:
            events = (await running.admin("GET", "/events"))["data"]
            told = [each["data"] for each in events if each["kind"] == "gateway.limiter_changed"]
            if told and told[-1] == wanted:
                return
            await asyncio.sleep(0.05)


async def test_a_gateway_that_starts_without_its_redis_serves(
    tmp_path: Path, fake: FakeUpstream, server: RedisServer
) -> None:
    await server.stop()
    async with running_gateway(tmp_path, redis_url=server.url) as running:
        await connect_fake(running, fake)
        key = await running.key("ci", limits=[{"kind": "rpm", "limit": 60, "burst": 1}])
        assert [(await ask(running, key))[0] for _ in range(2)] == [200, 429]


async def test_the_sdk_waits_as_redis_says(
    tmp_path: Path, fake: FakeUpstream, server: RedisServer
) -> None:
    async with running_gateway(tmp_path, redis_url=server.url) as running:
        await connect_fake(running, fake)
        key = await running.key("ci", limits=[{"kind": "rpm", "limit": 120, "burst": 1}])
        client = running.openai(key, max_retries=3)
        for _ in range(3):
            await client.chat.completions.create(
                model="fake", messages=[{"role": "user", "content": "x"}]
            )
        (limit,) = (await running.admin("GET", "/keys/ci"))["limits"]
        assert limit["exceeded"] <= 3
