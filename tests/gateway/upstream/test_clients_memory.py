"""What a call that failed held is let go."""

import gc
from collections import Counter

import pytest

from conduit.gateway.upstream import Deadlines, TransportError, TransportFault, Upstreams
from tests.fakes.playing import Part, PlayingServer, Scene, until
from tests.gateway.upstream.http1_calls import CHUNKED, endpoint_at, whole

Fault = TransportFault

CALLS = 12
QUICK = Deadlines(first_event_s=0.05, gap_s=0.05)
OF_CALLS = ("aiohttp.", "conduit.gateway.upstream.")


async def silent(scene: Scene) -> bool:
    await scene.reader.read()  # until the client has gone
    return False


async def stops_in_the_body(scene: Scene) -> bool:
    scene.writer.write(CHUNKED + b"2\r\nok\r\n")
    return await silent(scene)


async def cut_in_the_body(scene: Scene) -> bool:
    scene.writer.write(CHUNKED + b"2\r\nok\r\n")
    return False


async def reset_in_the_body(scene: Scene) -> bool:
    scene.writer.write(CHUNKED + b"2\r\nok\r\n")
    await scene.writer.drain()
    scene.writer.transport.abort()
    return False


async def damaged_in_the_body(scene: Scene) -> bool:
    scene.writer.write(CHUNKED + b"2\r\nok\r\nno length\r\n")
    return await silent(scene)


async def cut_in_the_head(scene: Scene) -> bool:
    scene.writer.write(b"HTTP/1.1 200 OK\r\n")
    return False


def objects_of_calls() -> Counter[str]:
    gc.collect()
    kinds = (type(each) for each in gc.get_objects())
    return Counter(kind.__qualname__ for kind in kinds if kind.__module__.startswith(OF_CALLS))


@pytest.mark.parametrize(
    ("part", "faults"),
    [
        (silent, {Fault.HEAD_TIMEOUT}),
        (cut_in_the_head, {Fault.RESET}),
        (stops_in_the_body, {Fault.GAP_TIMEOUT}),
        (cut_in_the_body, {Fault.CUT}),
        (reset_in_the_body, {Fault.CUT, Fault.RESET}),
        (damaged_in_the_body, {Fault.PROTOCOL}),
    ],
)
async def test_calls_that_fail_one_after_another_leave_nothing_behind(
    upstreams: Upstreams, part: Part, faults: set[TransportFault]
) -> None:
    async with PlayingServer(part) as server:
        endpoint = endpoint_at(upstreams, server.base_url())

        async def fail() -> None:
            with pytest.raises(TransportError) as raised:
                await whole(endpoint, deadlines=QUICK)
            assert raised.value.fault in faults

        await fail()  # which also makes what every later call shares
        await until(lambda: server.open == 0)
        before = objects_of_calls()
        for _ in range(CALLS):
            await fail()
        await until(lambda: server.open == 0)
        assert not objects_of_calls() - before
