"""How every client gets, keeps, shares and gives up its connections."""

import asyncio
import random
import socket
import time

import pytest

from conduit.gateway.upstream import Deadlines, Endpoint, TransportError, TransportFault, Upstreams
from conduit.gateway.upstream.options import ClientOptions
from tests.fakes.playing import PlayingServer, Scene, says, until
from tests.gateway.upstream.conftest import OpenClient
from tests.gateway.upstream.http1_calls import (
    CHUNKED,
    OK,
    PATIENT,
    QUICK,
    Names,
    endpoint_at,
    send,
    whole,
)

HOST = "provider.example"
CLOSING = OK.replace(b"200 OK", b"200 OK\r\nconnection: close")


async def seen() -> None:
    """Let the loop see what has arrived on its sockets."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_of_fifty_calls_none_meets_the_end_of_the_connection_before(
    upstreams: Upstreams,
) -> None:
    async with PlayingServer(says(OK, keep=False)) as server:
        endpoint = endpoint_at(upstreams, server.base_url())
        for _ in range(50):
            assert await whole(endpoint) == b"ok"
            await until(lambda: server.open == 0)
            await seen()
        assert server.connections == server.requests == 50


async def test_bytes_that_come_while_nobody_asks_reach_no_call(upstreams: Upstreams) -> None:
    """aiohttp gives them to the next call as its answer, unless it is kept from it."""
    late = asyncio.Event()
    said = asyncio.Event()

    async def part(scene: Scene) -> bool:
        scene.writer.write(OK)
        await scene.writer.drain()
        await late.wait()
        scene.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
        said.set()
        return True

    async with PlayingServer(part) as server:
        endpoint = endpoint_at(upstreams, server.base_url())
        for number in range(1, 4):
            late.clear()
            said.clear()
            assert await whole(endpoint) == b"ok"
            late.set()
            await said.wait()
            await seen()
            assert server.connections == server.requests == number


async def dies_at_the_second(scene: Scene) -> bool:
    if scene.turn == 1:
        scene.writer.write(OK)
    return scene.turn == 1


async def test_a_post_is_sent_once_whatever_becomes_of_its_connection(
    upstreams: Upstreams,
) -> None:
    async with PlayingServer(dies_at_the_second) as server:
        endpoint = endpoint_at(upstreams, server.base_url())
        assert await whole(endpoint) == b"ok"
        with pytest.raises(TransportError) as raised:
            await whole(endpoint)
        assert raised.value.fault is TransportFault.RESET
        assert (raised.value.sent, raised.value.reused) == (True, True)
        assert server.requests == 2


async def test_a_get_is_repeated_once_where_its_connection_turns_out_to_be_lost(
    upstreams: Upstreams,
) -> None:
    async with PlayingServer(dies_at_the_second) as server:
        endpoint = endpoint_at(upstreams, server.base_url())
        assert await whole(endpoint) == b"ok"
        response = await endpoint.get("/models", {}, PATIENT)
        assert await response.read(10) == b"ok"
        assert (server.requests, server.connections) == (3, 2)


async def test_no_more_connections_than_the_limit_and_the_first_come_first(
    open_client: OpenClient,
) -> None:
    order: list[bytes] = []

    async def part(scene: Scene) -> bool:
        order.append(scene.body)
        await asyncio.sleep(0)
        close = scene.turn % 3 == 0
        scene.writer.write(CLOSING if close else OK)
        return not close

    async with PlayingServer(part) as server:
        endpoint = endpoint_at(open_client(ClientOptions(connection_limit=1)), server.base_url())
        bodies = [b"%d" % number for number in range(30)]
        answers = await asyncio.gather(*(whole(endpoint, body) for body in bodies))
        assert set(answers) == {b"ok"}
        assert order == bodies
        assert server.connections == 10


async def test_a_server_that_ends_connections_unannounced_under_a_queue_hangs_nobody(
    open_client: OpenClient,
) -> None:
    """A connection that died between two calls once hung until the head's deadline."""

    async def part(scene: Scene) -> bool:
        scene.writer.write(OK)
        return scene.turn < 3

    async with PlayingServer(part) as server:
        endpoint = endpoint_at(open_client(ClientOptions(connection_limit=3)), server.base_url())
        deadlines = Deadlines(pool_s=30)
        began = time.monotonic()
        ends = await asyncio.gather(
            *(whole(endpoint, deadlines=deadlines) for _ in range(300)), return_exceptions=True
        )
        assert time.monotonic() - began < 10
        for end in ends:
            if isinstance(end, TransportError):
                assert (end.fault, end.reused) == (TransportFault.RESET, True)
            else:
                assert end == b"ok"
        assert b"ok" in ends
        # No place is lost: three calls at once are served, none by a place that is gone.
        async with asyncio.timeout(5):
            while not all(each == b"ok" for each in ends[-3:]):
                ends = await asyncio.gather(
                    *(whole(endpoint) for _ in range(3)), return_exceptions=True
                )


async def test_an_idle_connection_is_closed_after_a_while(open_client: OpenClient) -> None:
    async with PlayingServer(says(OK)) as server:
        endpoint = endpoint_at(open_client(ClientOptions(keepalive_s=0.1)), server.base_url())
        await asyncio.gather(*(whole(endpoint) for _ in range(5)))
        await until(lambda: server.open == 0)
        assert await whole(endpoint) == b"ok"


@pytest.mark.parametrize("moment", ["name", "handshake"])
async def test_a_call_cancelled_while_it_connects_loses_no_place(
    open_client: OpenClient, moment: str
) -> None:
    spoken = asyncio.Event()
    loop = asyncio.get_running_loop()
    silent = await loop.create_server(lambda: Touched(spoken), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    names = Names("127.0.0.1", hangs=moment == "name")
    client = open_client(ClientOptions(connection_limit=1, resolver=names))
    call = asyncio.create_task(whole(endpoint_at(client, f"https://{HOST}:{port}/v1")))
    await until(lambda: bool(names.asked))
    if moment == "handshake":
        await spoken.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    silent.close()
    async with PlayingServer(says(OK)) as server:
        assert await whole(endpoint_at(client, server.base_url()), deadlines=QUICK) == b"ok"


async def test_a_call_cancelled_in_the_queue_loses_no_place(open_client: OpenClient) -> None:
    gate = asyncio.Event()

    async def part(scene: Scene) -> bool:
        await gate.wait()
        scene.writer.write(OK)
        return True

    async with PlayingServer(part) as server:
        endpoint = endpoint_at(open_client(ClientOptions(connection_limit=1)), server.base_url())
        calls = [asyncio.create_task(whole(endpoint)) for _ in range(3)]
        await until(lambda: server.requests == 1)
        await seen()
        calls[1].cancel()
        gate.set()
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(end) for end in ends] == [bytes, asyncio.CancelledError, bytes]
        assert (server.requests, server.connections) == (2, 1)


@pytest.mark.parametrize("moment", ["head", "body"])
async def test_a_call_cancelled_under_way_is_closed_at_once_and_loses_no_place(
    open_client: OpenClient, moment: str
) -> None:
    left = asyncio.Event()
    begun = asyncio.Event()

    async def part(scene: Scene) -> bool:
        if scene.request > 1:
            scene.writer.write(OK)
            return True
        if moment == "body":
            scene.writer.write(CHUNKED + b"2\r\nok\r\n")
        else:
            begun.set()
        assert await scene.reader.read() == b""
        left.set()
        return False

    async def call(endpoint: Endpoint) -> None:
        response = await send(endpoint)
        try:
            async for _ in response:
                begun.set()
        finally:
            response.close()

    async with PlayingServer(part) as server:
        endpoint = endpoint_at(open_client(ClientOptions(connection_limit=1)), server.base_url())
        task = asyncio.create_task(call(endpoint))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(left.wait(), 1)
        assert await whole(endpoint) == b"ok"


class Touched(asyncio.Protocol):
    """Says nothing, and tells that somebody has spoken."""

    def __init__(self, spoken: asyncio.Event) -> None:
        self._spoken = spoken

    def data_received(self, data: bytes) -> None:
        self._spoken.set()


# aiohttp leaves a socket whose connecting was cancelled to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_five_hundred_random_cancellations_lose_no_place(open_client: OpenClient) -> None:
    chance = random.Random(1)

    async def part(scene: Scene) -> bool:
        await asyncio.sleep(chance.random() * 0.004)
        scene.writer.write(CHUNKED + b"2\r\nok\r\n")
        await asyncio.sleep(chance.random() * 0.002)
        scene.writer.write(b"0\r\n\r\n")
        return chance.random() < 0.8

    async with PlayingServer(part) as server:
        endpoint = endpoint_at(open_client(ClientOptions(connection_limit=4)), server.base_url())

        async def one() -> None:
            task = asyncio.create_task(whole(endpoint))
            await asyncio.sleep(chance.random() * 0.02)
            task.cancel()
            await asyncio.wait([task])

        for _ in range(5):
            await asyncio.gather(*(one() for _ in range(100)))
        ends = await asyncio.gather(*(whole(endpoint) for _ in range(20)), return_exceptions=True)
        assert {end.fault for end in ends if isinstance(end, TransportError)} <= {
            TransportFault.RESET
        }
        assert b"ok" in ends
        await until(lambda: server.open <= 4)


async def test_of_fifty_answers_left_in_their_middle_none_goes_on(upstreams: Upstreams) -> None:
    async def part(scene: Scene) -> bool:
        scene.writer.write(CHUNKED + b"2\r\nok\r\n")
        assert await scene.reader.read() == b""
        return False

    async with PlayingServer(part) as server:
        endpoint = endpoint_at(upstreams, server.base_url())
        responses = await asyncio.gather(*(send(endpoint) for _ in range(50)))
        for response in responses:
            assert await anext(aiter(response)) == b"ok"
        assert server.open == 50
        for response in responses:
            response.close()
        await until(lambda: server.open == 0, 1)


async def test_the_next_address_is_tried_where_one_refuses(open_client: OpenClient) -> None:
    async with PlayingServer(says(OK)) as server:
        url = server.base_url(host=HOST)
        client = open_client(ClientOptions(resolver=Names("127.0.0.2", "127.0.0.3", "127.0.0.1")))
        assert await whole(endpoint_at(client, url)) == b"ok"
        client = open_client(ClientOptions(resolver=Names("127.0.0.2", "127.0.0.3")))
        with pytest.raises(TransportError) as raised:
            await whole(endpoint_at(client, url))
        assert raised.value.fault is TransportFault.CONNECT
        assert (raised.value.sent, raised.value.reused) == (False, False)


async def test_a_name_that_is_not_found_in_time_meets_the_deadline(open_client: OpenClient) -> None:
    client = open_client(ClientOptions(resolver=Names(hangs=True)))
    with pytest.raises(TransportError) as raised:
        await whole(endpoint_at(client, f"https://{HOST}/v1"), deadlines=QUICK)
    assert raised.value.fault is TransportFault.CONNECT_TIMEOUT
    assert not raised.value.sent


async def test_a_failed_look_up_is_a_failed_call_that_was_not_sent(open_client: OpenClient) -> None:
    error = socket.gaierror(socket.EAI_NONAME, "unknown")
    client = open_client(ClientOptions(resolver=Names(error=error)))
    with pytest.raises(TransportError) as raised:
        await whole(endpoint_at(client, f"https://{HOST}/v1"))
    assert (raised.value.fault, raised.value.sent) == (TransportFault.NAME, False)
