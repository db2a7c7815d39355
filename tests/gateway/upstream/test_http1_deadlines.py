"""Deadlines of calls that follow one another on one connection, over its one timer."""

import asyncio

import pytest

from conduit.gateway.upstream import Deadlines, TransportError, TransportFault
from conduit.gateway.upstream.http1 import Http1Upstreams
from tests.fakes.playing import PlayingServer, Scene, until
from tests.gateway.upstream.http1_calls import CHUNKED, OK, endpoint_of, pool_of, send, whole


async def answers_the_first_call_alone(scene: Scene) -> bool:
    if scene.turn > 1:
        if b"body" in scene.body:
            scene.writer.write(CHUNKED + b"2\r\nok\r\n")
        await asyncio.Event().wait()
    scene.writer.write(OK)
    return True


@pytest.mark.parametrize(
    ("body", "deadlines", "fault"),
    [
        (b"head", Deadlines(first_event_s=0.2), TransportFault.HEAD_TIMEOUT),
        (b"head", Deadlines(total_s=0.2), TransportFault.TOTAL_TIMEOUT),
        (b"body", Deadlines(gap_s=0.2), TransportFault.GAP_TIMEOUT),
        (b"body", Deadlines(total_s=0.2), TransportFault.TOTAL_TIMEOUT),
    ],
)
async def test_a_shorter_deadline_after_a_longer_one_is_kept(
    http1: Http1Upstreams, body: bytes, deadlines: Deadlines, fault: TransportFault
) -> None:
    """A timer armed for a minute once let a silence of 0.3 s pass."""
    async with PlayingServer(answers_the_first_call_alone) as server:
        endpoint = endpoint_of(http1, server.base_url())
        assert await whole(endpoint) == b"ok"
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(TransportError) as raised:
            await asyncio.wait_for(whole(endpoint, body, deadlines=deadlines), 5)
        assert 0.19 <= loop.time() - began < 2
        assert raised.value.fault is fault
        assert (raised.value.sent, raised.value.reused) == (True, True)
        await until(lambda: pool_of(endpoint).places == 0)


async def test_a_timer_left_over_from_a_call_does_not_end_the_next(http1: Http1Upstreams) -> None:
    async def part(scene: Scene) -> bool:
        await asyncio.sleep(0.0 if scene.turn == 1 else 0.3)
        scene.writer.write(OK)
        return True

    async with PlayingServer(part) as server:
        endpoint = endpoint_of(http1, server.base_url())
        assert await whole(endpoint, deadlines=Deadlines(first_event_s=0.15)) == b"ok"
        assert await whole(endpoint) == b"ok"
        assert server.connections == 1


async def test_what_stands_between_chunks_does_not_put_the_gap_off(http1: Http1Upstreams) -> None:
    async def part(scene: Scene) -> bool:
        scene.writer.write(CHUNKED + b"2\r\nok\r\n2;")
        while True:
            await scene.writer.drain()
            await asyncio.sleep(0.02)
            scene.writer.write(b"e")

    async with PlayingServer(part) as server:
        endpoint = endpoint_of(http1, server.base_url())
        with pytest.raises(TransportError) as raised:
            await asyncio.wait_for(whole(endpoint, deadlines=Deadlines(gap_s=0.2)), 2)
        assert raised.value.fault is TransportFault.GAP_TIMEOUT


async def test_the_whole_runs_on_while_nobody_reads(http1: Http1Upstreams) -> None:
    async with PlayingServer(answers_the_first_call_alone) as server:
        endpoint = endpoint_of(http1, server.base_url())
        await whole(endpoint)
        response = await send(endpoint, b"body", deadlines=Deadlines(total_s=0.2))
        await until(lambda: pool_of(endpoint).places == 0)
        pieces = aiter(response)
        assert await anext(pieces) == b"ok"
        with pytest.raises(TransportError) as raised:
            await anext(pieces)
        assert raised.value.fault is TransportFault.TOTAL_TIMEOUT
