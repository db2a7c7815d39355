"""Clients that hang up before anything of an answer has come: what of it is charged and billed."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from tests.e2e.conftest import (
    UPSTREAM_SECRET,
    Running,
    connect_fake,
    running_gateway,
    with_every_upstream_client,
)
from tests.e2e.test_streams_that_end_badly import stream, until
from tests.fakes.behaviour import Behaviour
from tests.fakes.playing import PlayingServer, Scene
from tests.fakes.upstream import FakeUpstream


async def nothing(_scene: Scene) -> bool:
    raise AssertionError("no request comes through a handshake that is never made")


async def hang_up(running: Running, calling: asyncio.Task[tuple[int, str]]) -> None:
    calling.cancel()
    await until(lambda: not len(running.gateway.live))


@with_every_upstream_client
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_call_that_had_not_left_costs_nothing(
    tmp_path: Path, upstream_client: str, streamed: bool
) -> None:
    """Its provider takes the connection, and says nothing in the handshake of TLS."""
    async with (
        PlayingServer(nothing) as server,
        running_gateway(tmp_path, upstream_client=upstream_client) as running,
    ):
        provider = {
            "name": "mute",
            "type": "openai_compatible",
            "base_url": server.base_url("https"),
            "credential": {"secret": UPSTREAM_SECRET},
            "allow_private": True,
        }
        await running.admin("POST", "/providers", provider)
        targets = [{"provider": "mute", "model": "*"}]
        await running.admin("POST", "/mappings", {"alias": "mute", "targets": targets})
        await running.admin("PUT", "/prices/mute/*", {"input": "1", "output": "2"})
        key = await running.key()
        calling = asyncio.create_task(stream(running, key, "mute", stream=streamed))
        await until(lambda: server.connections == 1)
        await hang_up(running, calling)
        record = await running.last_record()
        (attempt,) = await running.attempts(record["id"])
        assert (record["status"], record["outcome"]) == (499, "client_gone")
        assert (attempt["usage_source"], attempt["ambiguous"]) == ("none", False)
        assert Decimal(attempt["cost"]) == Decimal(attempt["billed"]) == 0
        await running.ledger_holds()


@with_every_upstream_client
async def test_a_stream_of_which_nothing_had_come_is_charged_and_not_billed(
    tmp_path: Path, fake: FakeUpstream, upstream_client: str
) -> None:
    async with running_gateway(tmp_path, upstream_client=upstream_client) as running:
        await connect_fake(running, fake)
        fake.script(Behaviour(delay_s=60.0))
        calling = asyncio.create_task(stream(running, await running.key(), "fake"))
        await until(lambda: fake.in_flight == 1)
        await hang_up(running, calling)
        record = await running.last_record()
        (attempt,) = await running.attempts(record["id"])
        assert (attempt["outcome"], attempt["usage_source"]) == ("client_gone", "estimated")
        assert Decimal(attempt["cost"]) > Decimal(attempt["billed"]) == 0
        await running.ledger_holds()
