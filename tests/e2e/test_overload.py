"""A gateway with too much to do: who is refused, and who is not."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.conftest import (
    Running,
    connect_fake,
    running_gateway,
    with_every_upstream_client,
)
from tests.fakes.behaviour import Behaviour
from tests.fakes.upstream import FakeUpstream

WITHIN_S = 30.0


@pytest.fixture
async def small(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[Running]:
    """A gateway of five slots, of which four are for applications."""
    async with running_gateway(tmp_path / "home", max_in_flight=5) as running:
        await connect_fake(running, fake)
        yield running


async def chat(running: Running, key: str, *, stream: bool = False) -> aiohttp.ClientResponse:
    body = {
        "model": "fake",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": stream,
    }
    return await running.http.post(
        f"{running.url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}
    )


async def shedding(running: Running) -> dict[str, object]:
    status = await running.admin("GET", "/status")
    found: dict[str, object] = status["shedding"]
    return found


async def until_reasons_are(running: Running, reasons: list[str]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while (await shedding(running))["reasons"] != reasons:
            await asyncio.sleep(0.05)


async def test_beyond_the_slots_requests_are_refused_and_streams_and_administration_go_on(
    small: Running, fake: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "conduit.gateway.shedding")
    key = await small.key()
    gate = asyncio.Event()
    fake.script(*[Behaviour(chunks=4, gate=gate)] * 4)
    streams = [await chat(small, key, stream=True) for _ in range(4)]
    begun = [await stream.content.readany() for stream in streams]
    for path in ("/v1/chat/completions", "/v1/embeddings", "/v1/messages"):
        refused = await small.http.post(
            f"{small.url}{path}", data=b"not even read", headers={"authorization": f"Bearer {key}"}
        )
        assert refused.status == 503
        assert 1 <= int(refused.headers["retry-after"]) <= 5
        assert 1000 <= int(refused.headers["retry-after-ms"]) <= 5000
        assert refused.headers["x-request-id"].startswith("req_")
        assert "too many requests are in flight" in await refused.text()
    assert len(fake.requests) == 4
    # Administration, health and metrics have slots of their own.
    await until_reasons_are(small, ["in_flight"])
    assert (await small.admin("POST", "/keys", {"name": "meanwhile"}))["name"] == "meanwhile"
    async with small.http.get(f"{small.url}/health/ready") as ready:
        told = await ready.json()
        assert (ready.status, told["status"]) == (200, "ready")
        assert "refused as overloaded" in told["degraded"][0]
    async with small.http.get(f"{small.url}/metrics") as metrics:
        text = await metrics.text()
        assert 'conduit_shed_requests_total{reason="in_flight"} 3.0' in text
        assert 'conduit_shedding{reason="in_flight"} 1.0' in text
    state = await shedding(small)
    assert (state["slots"], state["refused"]) == (
        4,
        {"descriptors": 0, "memory": 0, "loop_lag": 0, "in_flight": 3},
    )
    gate.set()
    for stream, text_begun in zip(streams, begun, strict=True):
        assert (text_begun + await stream.content.read()).endswith(b"data: [DONE]\n\n")
    assert (await chat(small, key)).status == 200
    await until_reasons_are(small, [])
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "requests are refused as overloaded",
        "all requests are taken again",
    ]
    page = await small.admin("GET", "/events?after=0")
    told = [e["data"]["reasons"] for e in page["data"] if e["kind"] == "gateway.shedding_changed"]
    assert told == [["in_flight"], []]
    await small.ledger_holds()


async def test_a_priority_key_is_served_from_the_slots_that_are_kept_and_no_further(
    small: Running, fake: FakeUpstream
) -> None:
    key, first = await small.key(), await small.key("first", priority=True)
    gate = asyncio.Event()
    fake.script(*[Behaviour(chunks=4, gate=gate)] * 5)
    streams = [await chat(small, key, stream=True) for _ in range(4)]
    begun = [await stream.content.readany() for stream in streams]
    for path in ("/v1/chat/completions", "/v1/messages/count_tokens"):
        refused = await small.http.post(
            f"{small.url}{path}", data=b"not even read", headers={"authorization": f"Bearer {key}"}
        )
        assert refused.status == 503
        assert "too many requests are in flight" in await refused.text()
    assert (await chat(small, "condt_nobody")).status == 401
    # The fifth slot: nobody without priority gets it, nor does a wrong key hold it.
    streams.append(await chat(small, first, stream=True))
    begun.append(await streams[-1].content.readany())
    assert streams[-1].status == 200
    for secret in (key, first):
        refused = await chat(small, secret)
        assert refused.status == 503
        assert (await refused.json())["error"]["code"] == "overloaded"
        assert 1 <= int(refused.headers["retry-after"]) <= 5
    assert len(fake.requests) == 5
    gate.set()
    for stream, text_begun in zip(streams, begun, strict=True):
        assert (text_begun + await stream.content.read()).endswith(b"data: [DONE]\n\n")
    await small.ledger_holds()
    # As little is done for those refused as can be: they are counted and not recorded.
    records = (await small.admin("GET", "/requests"))["data"]
    assert sorted(record["key"] for record in records) == ["first", *["test"] * 4]
    refused_so_far = (await shedding(small))["refused"]
    assert refused_so_far == {"descriptors": 0, "memory": 0, "loop_lag": 0, "in_flight": 4}


async def test_priority_is_given_and_taken_while_requests_wait_for_a_slot(
    small: Running, fake: FakeUpstream
) -> None:
    key, other = await small.key(), await small.key("other")
    gate = asyncio.Event()
    fake.script(*[Behaviour(chunks=4, gate=gate)] * 4)
    streams = [await chat(small, key, stream=True) for _ in range(4)]
    for stream in streams:
        await stream.content.readany()
    assert (await chat(small, other)).status == 503
    assert (await small.admin("PATCH", "/keys/other", {"priority": True}))["priority"] is True
    assert (await chat(small, other)).status == 200
    await small.admin("PATCH", "/keys/other", {"priority": False})
    assert (await chat(small, other)).status == 503
    gate.set()
    for stream in streams:
        await stream.content.read()
    await small.ledger_holds()


async def test_a_late_loop_refuses_all_but_priority_keys(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    always = {"shed_loop_lag_ms": 0.000001, "shed_loop_lag_for_s": 0}
    async with running_gateway(tmp_path / "home", **always) as running:
        await connect_fake(running, fake)
        key, first = await running.key(), await running.key("first", priority=True)
        await until_reasons_are(running, ["loop_lag"])
        refused = await chat(running, key)
        assert refused.status == 503
        assert "the event loop is late" in await refused.text()
        assert (await chat(running, first)).status == 200
        assert len(fake.requests) == 1


async def test_a_machine_that_is_used_up_refuses_all_requests_and_ends_none(
    running: Running, fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, first = await running.key(), await running.key("first", priority=True)
    gate = asyncio.Event()
    fake.script(Behaviour(chunks=4, gate=gate))
    stream = await chat(running, key, stream=True)
    begun = await stream.content.readany()
    monkeypatch.setattr("conduit.gateway.system.machine.memory_limit_bytes", lambda: 1 << 20)
    await until_reasons_are(running, ["memory"])
    for secret in (key, first):
        refused = await chat(running, secret)
        assert refused.status == 503
        assert (await refused.json())["error"]["code"] == "overloaded"
    gate.set()
    assert (begun + await stream.content.read()).endswith(b"data: [DONE]\n\n")
    # An operator lifts the limit, which counts at once.
    await running.admin("PATCH", "/config", {"values": {"shed_memory_percent": 100}})
    await until_reasons_are(running, [])
    assert (await chat(running, key)).status == 200


@with_every_upstream_client
async def test_a_provider_gets_no_more_connections_than_it_is_said_to_take(
    tmp_path: Path, fake: FakeUpstream, upstream_client: str
) -> None:
    rules = {"upstream_connections": 1, "pool_timeout_s": 0.05, "max_attempts": 1}
    async with running_gateway(tmp_path / "home", upstream_client=upstream_client, **rules) as few:
        await connect_fake(few, fake)
        key = await few.key()
        gate = asyncio.Event()
        fake.script(Behaviour(gate=gate))
        held = asyncio.create_task(chat(few, key, stream=True))
        await fake.request(1)
        refused = await chat(few, key)
        assert (refused.status, (await refused.json())["error"]["code"]) == (503, "upstream_busy")
        gate.set()
        await (await held).read()
        assert (await chat(few, key)).status == 200
        assert fake.connections == 1
