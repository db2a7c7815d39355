"""Providers that bill calls in full which are broken off: their answers are read to the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from conduit.core.errors import ShuttingDownError
from tests.e2e.conftest import (
    UPSTREAM_SECRET,
    Running,
    connect_fake,
    running_gateway,
    with_every_upstream_client,
)
from tests.e2e.test_streams_that_end_badly import read_first, stream, until
from tests.fakes.behaviour import Behaviour, Fault
from tests.fakes.upstream import FakeUpstream

# 12 tokens in and 34 out, as the fake tells at the end of each answer, at its price.
TOLD = (12, 34, "0.00008")


@asynccontextmanager
async def draining(
    folder: Path, fake: FakeUpstream, **settings: object
) -> AsyncIterator[tuple[Running, str]]:
    async with running_gateway(folder, **settings) as running:
        await connect_fake(running, fake)
        changed = await running.admin("PATCH", "/providers/fake", {"on_hang_up": "drain"})
        assert changed["on_hang_up"] == "drain"
        yield running, await running.key()


async def hang_up_unanswered(running: Running, key: str, fake: FakeUpstream) -> None:
    calling = asyncio.create_task(stream(running, key, "fake", stream=False))
    await until(lambda: fake.in_flight == 1)
    calling.cancel()


async def ended(running: Running) -> tuple[dict[str, Any], dict[str, Any]]:
    await until(lambda: not len(running.gateway.live))
    record = await running.last_record()
    (attempt,) = await running.attempts(record["id"])
    await running.ledger_holds()
    return record, attempt


def told(attempt: dict[str, Any]) -> tuple[int, int, str]:
    return attempt["input_tokens"], attempt["output_tokens"], attempt["cost"]


async def states(running: Running) -> list[str]:
    page = await running.admin("GET", "/requests/in-flight")
    return [each["state"] for each in page["data"]]


async def until_drained(running: Running, count: int = 1) -> None:
    async with asyncio.timeout(30):
        while (await states(running)).count("draining") < count:
            await asyncio.sleep(0.01)


@with_every_upstream_client
async def test_a_stream_is_settled_by_what_its_provider_tells_at_the_end(
    tmp_path: Path, fake: FakeUpstream, upstream_client: str
) -> None:
    async with draining(tmp_path, fake, upstream_client=upstream_client) as (running, key):
        gate = asyncio.Event()
        fake.script(Behaviour(chunks=50, gate=gate))
        await read_first(running, key)
        await until_drained(running)
        assert fake.in_flight == 1
        gate.set()
        record, attempt = await ended(running)
        assert not fake.requests[0].aborted.is_set()
        assert (record["status"], record["outcome"]) == (499, "client_gone")
        assert (attempt["outcome"], attempt["usage_source"]) == ("client_gone", "provider")
        assert told(attempt) == TOLD
        assert attempt["billed"] == attempt["cost"]  # a part of it was delivered
        assert not attempt["ambiguous"]


@with_every_upstream_client
async def test_a_whole_answer_is_settled_by_what_its_provider_tells(
    tmp_path: Path, fake: FakeUpstream, upstream_client: str
) -> None:
    async with draining(tmp_path, fake, upstream_client=upstream_client) as (running, key):
        gate = asyncio.Event()
        fake.script(Behaviour(gate=gate))
        await hang_up_unanswered(running, key, fake)
        await until_drained(running)
        gate.set()
        record, attempt = await ended(running)
        assert (record["status"], record["outcome"]) == (499, "client_gone")
        assert (attempt["outcome"], attempt["usage_source"]) == ("client_gone", "provider")
        assert told(attempt) == TOLD
        assert attempt["billed"] == "0.00"  # nothing was delivered
        assert not attempt["ambiguous"]


async def test_what_breaks_off_meanwhile_is_not_tried_elsewhere(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    async with draining(tmp_path, fake) as (running, key):
        gate = asyncio.Event()
        fake.script(Behaviour(fault=Fault.CUT_FIN, at=3, gate=gate))
        await read_first(running, key)
        await until_drained(running)
        gate.set()
        record, attempt = await ended(running)
        assert len(fake.requests) == 1
        assert record["status"] == 200  # which had been sent
        assert attempt["usage_source"] == "estimated"


async def test_no_more_than_so_many_are_drained_at_a_time(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    async with draining(tmp_path, fake, hang_up_drains=1) as (running, key):
        gate = asyncio.Event()
        fake.script(*(Behaviour(chunks=50, gate=gate) for _ in range(2)))
        await read_first(running, key)
        await until_drained(running)
        await read_first(running, key)
        await until(lambda: fake.requests[1].aborted.is_set())
        assert await states(running) == ["draining"]
        gate.set()
        await until(lambda: not len(running.gateway.live))
        assert not fake.requests[0].aborted.is_set()
        fake.script(Behaviour(chunks=5))  # there is room again
        await read_first(running, key)
        await until(lambda: not len(running.gateway.live))
        assert not fake.requests[2].aborted.is_set()
        await running.ledger_holds()


async def test_none_is_drained_for_ever(tmp_path: Path, fake: FakeUpstream) -> None:
    async with draining(tmp_path, fake, hang_up_drain_s=0.1) as (running, key):
        fake.script(Behaviour(chunks=50, gate=asyncio.Event()), Behaviour(gate=asyncio.Event()))
        await read_first(running, key)
        record, attempt = await ended(running)
        assert fake.requests[0].aborted.is_set()
        assert record["outcome"] == "client_gone"
        assert (attempt["outcome"], attempt["usage_source"]) == ("client_gone", "estimated")
        await hang_up_unanswered(running, key, fake)
        record, attempt = await ended(running)
        assert (attempt["outcome"], attempt["ambiguous"]) == ("client_gone", True)
        assert attempt["cost"] == attempt["hold"]


async def test_a_stop_ends_what_is_drained(tmp_path: Path, fake: FakeUpstream) -> None:
    async with draining(tmp_path, fake) as (running, key):
        fake.script(Behaviour(chunks=50, gate=asyncio.Event()))
        await read_first(running, key)
        await until_drained(running)
        running.gateway.live.stop_all(ShuttingDownError("the gateway is shutting down"))
        _, attempt = await ended(running)
        assert fake.requests[0].aborted.is_set()
        assert attempt["outcome"] == "stopped"


async def test_clients_that_stay_get_what_others_give_them(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    async with draining(tmp_path, fake) as (running, key):
        status, text = await stream(running, key, "fake-n5")
        assert (status, text.endswith("data: [DONE]\n\n")) == (200, True)
        status, text = await stream(running, key, "fake-status400", stream=False)
        assert (status, "fake error 400" in text) == (400, True)
        record, _ = await ended(running)
        assert record["outcome"] == "failed"


async def test_bedrock_is_drained_unless_an_operator_says_otherwise(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    async with running_gateway(tmp_path) as running:
        made = [
            await running.admin(
                "POST",
                "/providers",
                {"name": name, "type": kind, "credential": {"secret": UPSTREAM_SECRET}, **said},
            )
            for name, kind, said in (
                ("a", "bedrock", {}),
                ("b", "bedrock", {"on_hang_up": "cancel"}),
                ("c", "openai", {}),
            )
        ]
        assert [each["on_hang_up"] for each in made] == ["drain", "cancel", "cancel"]
        upstreams = running.gateway.configuration.snapshot.upstreams
        assert [upstreams[name].drains for name in "abc"] == [True, False, False]
