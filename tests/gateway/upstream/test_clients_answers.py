"""Answers that every client takes as they are meant, or refuses."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress

import pytest

from conduit.gateway.upstream import Deadlines, TransportError, TransportFault, Upstreams
from conduit.gateway.upstream.http1 import Http1Endpoint
from conduit.gateway.upstream.options import ClientOptions
from tests.fakes.playing import PlayingServer, Scene, until
from tests.fakes.scripted import End, ScriptedServer
from tests.gateway.upstream.conftest import OpenClient
from tests.gateway.upstream.http1_calls import (
    CHUNKED,
    OK,
    Names,
    endpoint_at,
    is_at_rest,
    send,
    whole,
)

Fault = TransportFault

ON_TIME_S = 0.3


@pytest.mark.parametrize("end", [End.FIN, End.RST])
@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\ncont", b"HTTP/1.1 100 Continue\r\n\r\n"]
)
async def test_a_cut_head_is_a_lost_connection(
    upstreams: Upstreams, answer: bytes, end: End
) -> None:
    async with ScriptedServer(answer, end) as server:
        with pytest.raises(TransportError) as raised:
            await whole(endpoint_at(upstreams, server.base_url()))
        assert raised.value.fault is Fault.RESET
        assert (raised.value.sent, raised.value.reused) == (True, False)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2x\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\ncontent-length: 0\r\n\r\n",
        CHUNKED + b"-2\r\nok\r\n",
    ],
)
async def test_what_no_server_may_say_is_refused_and_its_connection_closed(
    upstreams: Upstreams, answer: bytes
) -> None:
    deadlines = Deadlines(first_event_s=3, gap_s=3)
    async with ScriptedServer(answer) as server:
        with pytest.raises(TransportError) as raised:
            await whole(endpoint_at(upstreams, server.base_url()), deadlines=deadlines)
        assert raised.value.fault is Fault.PROTOCOL
        await asyncio.wait_for(server.left.wait(), 2)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 " + b"a" * 300_000,
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 300_000,
        b"HTTP/1.1 200 OK\r\n" + b"a" * 300_000,
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"content-length: 0\r\n\r\n",
        CHUNKED + b"2\r\nok\r\n0\r\n" + b"t: y\r\n" * 100_000 + b"\r\n",
    ],
)
async def test_heads_and_trailers_have_an_end(upstreams: Upstreams, answer: bytes) -> None:
    deadlines = Deadlines(first_event_s=3, gap_s=3)
    async with ScriptedServer(answer, End.HANG, piece=1000) as server:
        with pytest.raises(TransportError) as raised:
            await whole(endpoint_at(upstreams, server.base_url()), deadlines=deadlines)
        assert raised.value.fault is Fault.PROTOCOL
        await asyncio.wait_for(server.left.wait(), 2)


async def interim_for_ever(scene: Scene) -> bool:
    while True:
        scene.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await scene.writer.drain()
        await asyncio.sleep(0.02)


async def trickles_for_ever(scene: Scene) -> bool:
    scene.writer.write(CHUNKED)
    while True:
        scene.writer.write(b"2\r\nok\r\n")
        await scene.writer.drain()
        await asyncio.sleep(0.02)


async def says_nothing(scene: Scene) -> bool:
    assert await scene.reader.read() == b""  # until the client has gone
    return False


async def stops_in_the_body(scene: Scene) -> bool:
    scene.writer.write(CHUNKED + b"2\r\nok\r\n")
    return await says_nothing(scene)


@asynccontextmanager
async def lateness() -> AsyncIterator[Callable[[], float]]:
    """By how many seconds the loop has been late at worst: a busy machine is not the client's."""
    loop = asyncio.get_running_loop()
    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        while True:
            due = loop.time() + 0.01
            await asyncio.sleep(0.01)
            worst += max(0.0, loop.time() - due - 0.005)

    ticking = asyncio.create_task(tick())
    try:
        yield lambda: worst
    finally:
        ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking


@pytest.mark.parametrize(
    ("part", "deadlines", "fault"),
    [
        (says_nothing, Deadlines(first_event_s=0.3), Fault.HEAD_TIMEOUT),
        (interim_for_ever, Deadlines(first_event_s=0.3), Fault.HEAD_TIMEOUT),
        (stops_in_the_body, Deadlines(gap_s=0.3), Fault.GAP_TIMEOUT),
        (trickles_for_ever, Deadlines(gap_s=0.2, total_s=0.3), Fault.TOTAL_TIMEOUT),
        (says_nothing, Deadlines(total_s=0.3), Fault.TOTAL_TIMEOUT),
    ],
)
async def test_a_deadline_is_kept_to_a_third_of_a_second(
    upstreams: Upstreams,
    part: Callable[[Scene], Coroutine[None, None, bool]],
    deadlines: Deadlines,
    fault: TransportFault,
) -> None:
    loop = asyncio.get_running_loop()
    async with PlayingServer(part) as server, lateness() as late:
        endpoint = endpoint_at(upstreams, server.base_url())
        began = loop.time()
        with pytest.raises(TransportError) as raised:
            await asyncio.wait_for(whole(endpoint, deadlines=deadlines), 10)
        took = loop.time() - began
        assert raised.value.fault is fault
        assert 0.29 <= took <= 0.3 + ON_TIME_S + late()
        await until(lambda: server.open == 0, 1)


async def test_looking_up_connecting_and_waiting_are_kept_to_a_third_of_a_second(
    open_client: OpenClient,
) -> None:
    loop = asyncio.get_running_loop()
    names = open_client(ClientOptions(resolver=Names(hangs=True)))
    full = open_client(ClientOptions(connection_limit=1))
    async with PlayingServer(stops_in_the_body) as server, lateness() as late:
        held = await send(endpoint_at(full, server.base_url()))
        silent = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        for client, url, fault in (
            (names, "https://provider.example/v1", Fault.CONNECT_TIMEOUT),
            (open_client(ClientOptions()), f"https://127.0.0.1:{port}/v1", Fault.CONNECT_TIMEOUT),
            (full, server.base_url(), Fault.POOL_TIMEOUT),
        ):
            began = loop.time()
            with pytest.raises(TransportError) as raised:
                await send(endpoint_at(client, url), deadlines=Deadlines(pool_s=0.3, connect_s=0.3))
            assert (raised.value.fault, raised.value.sent) == (fault, False)
            assert 0.29 <= loop.time() - began <= 0.3 + ON_TIME_S + late()
        held.close()
        silent.close()


class Damaging:
    """Answers with one to three random edits, cut in two at a random place."""

    GOOD = (
        OK,
        CHUNKED + b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
        CHUNKED + b"3;x=y\r\nabc\r\n0\r\nx-trailer: 1\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 204 No\r\n\r\n",
    )

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    async def __call__(self, scene: Scene) -> bool:
        answer = self._damaged()
        half = self._chance.randrange(len(answer))
        scene.writer.write(answer[:half])
        await asyncio.sleep(0)
        scene.writer.write(answer[half:])
        return self._chance.random() < 0.5

    def _damaged(self) -> bytes:
        chance = self._chance
        answer = bytearray(chance.choice(self.GOOD))
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(answer))
            match chance.randrange(3):
                case 0:
                    answer[place] = chance.randrange(256)
                case 1:
                    del answer[place]
                case _:
                    answer[place:place] = chance.randbytes(chance.randint(1, 4))
        return bytes(answer)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_damaged_answers_end_in_a_body_or_in_an_error_and_leave_nothing_behind(
    open_client: OpenClient, soaking: bool
) -> None:
    quick = Deadlines(first_event_s=0.1, gap_s=0.1)
    ends: Counter[str] = Counter()
    rounds = 400 if soaking else 12
    async with PlayingServer(Damaging(7)) as server:
        before = descriptors()
        client = open_client(ClientOptions())
        endpoint = endpoint_at(client, server.base_url())

        async def one() -> None:
            try:
                await asyncio.wait_for(whole(endpoint, deadlines=quick), 5)
                ends["a body"] += 1
            except TransportError as error:
                ends[error.fault] += 1

        for _ in range(rounds):
            await asyncio.gather(*(one() for _ in range(25)))
        if isinstance(endpoint, Http1Endpoint):
            await until(lambda: is_at_rest(endpoint))
        await client.close()
        await until(lambda: server.open == 0)
        await until(lambda: descriptors() <= before)
    loop = type(asyncio.get_running_loop()).__module__
    told = dict(ends.most_common())
    print(f"\n{ends.total()} damaged answers, {type(client).__name__} on {loop}: {told}")
    assert ends.total() == rounds * 25
    assert {"a body", Fault.PROTOCOL, Fault.GAP_TIMEOUT} <= set(ends)
