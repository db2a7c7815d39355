"""Connections that are kept, waited for, given on, found dead, and never lost count of."""

import asyncio
import random
import socket
from contextlib import suppress

import pytest

from conduit.gateway.upstream import Deadlines, TransportError, TransportFault, http1_connection
from conduit.gateway.upstream.http1 import Http1Upstreams
from conduit.gateway.upstream.http1_connection import Connection
from conduit.gateway.upstream.http1_pool import Pool
from conduit.gateway.upstream.options import ClientOptions
from tests.fakes.playing import PlayingServer, Scene, says, until
from tests.gateway.upstream.conftest import OpenHttp1
from tests.gateway.upstream.http1_calls import (
    CHUNKED,
    OK,
    PATIENT,
    QUICK,
    Names,
    endpoint_of,
    is_at_rest,
    pool_of,
    send,
    whole,
)


class Held:
    """A part that answers when it is let go."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.held = 0

    async def __call__(self, scene: Scene) -> bool:
        self.held += 1
        await self.gate.wait()
        scene.writer.write(OK)
        return True


async def dies_at_the_second(scene: Scene) -> bool:
    if scene.turn == 1:
        scene.writer.write(OK)
    return scene.turn == 1


async def test_endpoints_of_one_origin_share_connections(http1: Http1Upstreams) -> None:
    async with PlayingServer(says(OK)) as server:
        for path in ("", "/v1", "/v2"):
            url = server.base_url().removesuffix("/v1") + path
            assert await whole(endpoint_of(http1, url)) == b"ok"
        assert server.connections == 1
        public = http1.endpoint(server.base_url(), allow_private=False)
        assert await whole(public) == b"ok"
        assert server.connections == 2


async def test_no_more_connections_than_the_limit_and_the_first_come_first(
    open_http1: OpenHttp1,
) -> None:
    order: list[bytes] = []

    async def part(scene: Scene) -> bool:
        order.append(scene.body)
        await asyncio.sleep(0)
        close = scene.turn % 3 == 0
        scene.writer.write(OK.replace(b"200 OK", b"200 OK\r\nconnection: close") if close else OK)
        return not close

    async with PlayingServer(part) as server:
        endpoint = endpoint_of(open_http1(ClientOptions(connection_limit=1)), server.base_url())
        bodies = [b"%d" % number for number in range(30)]
        answers = await asyncio.gather(*(whole(endpoint, body) for body in bodies))
        assert set(answers) == {b"ok"}
        assert order == bodies
        assert server.connections == 10
        await until(lambda: is_at_rest(endpoint))


async def test_who_waits_too_long_is_told_and_the_place_is_not_lost(open_http1: OpenHttp1) -> None:
    held = Held()
    async with PlayingServer(held) as server:
        endpoint = endpoint_of(open_http1(ClientOptions(connection_limit=1)), server.base_url())
        first = asyncio.create_task(whole(endpoint))
        await until(lambda: held.held == 1)
        for deadlines, fault in (
            (QUICK, TransportFault.POOL_TIMEOUT),
            (Deadlines(pool_s=5, total_s=0.2), TransportFault.TOTAL_TIMEOUT),
        ):
            with pytest.raises(TransportError) as raised:
                await whole(endpoint, deadlines=deadlines)
            assert raised.value.fault is fault
            assert (raised.value.sent, raised.value.reused) == (False, False)
        held.gate.set()
        assert await first == await whole(endpoint) == b"ok"
        assert server.connections == 1


async def test_a_connection_that_the_server_ends_is_not_used_again(http1: Http1Upstreams) -> None:
    async with PlayingServer(says(OK, keep=False)) as server:
        endpoint = endpoint_of(http1, server.base_url())
        for _ in range(20):
            assert await whole(endpoint) == b"ok"
            await until(lambda: pool_of(endpoint).places == 0)
        assert server.connections == server.requests == 20


@pytest.fixture
def distrust(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection counts as one that has been idle for long."""
    monkeypatch.setattr(http1_connection, "_TRUSTED_IDLE_S", -1.0)


@pytest.mark.usefixtures("distrust")
async def test_an_end_that_the_loop_has_not_seen_is_found_before_the_next_use(
    http1: Http1Upstreams,
) -> None:
    sockets: list[socket.socket] = []

    async def part(scene: Scene) -> bool:
        descriptor = scene.writer.get_extra_info("socket").fileno()
        sockets.append(socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM))
        scene.writer.write(OK)
        return True

    async with PlayingServer(part) as server:
        endpoint = endpoint_of(http1, server.base_url())
        assert await whole(endpoint) == b"ok"
        sockets[0].shutdown(socket.SHUT_RDWR)
        # The loop has not run since: it cannot know.
        assert await whole(endpoint) == b"ok"
        assert server.connections == 2
    for each in sockets:
        each.close()


@pytest.mark.usefixtures("distrust")
async def test_an_idle_connection_that_is_in_order_survives_the_look(http1: Http1Upstreams) -> None:
    async with PlayingServer(says(OK)) as server:
        endpoint = endpoint_of(http1, server.base_url())
        assert await whole(endpoint) == b"ok"
        assert await whole(endpoint) == b"ok"
        assert server.connections == 1


async def test_a_get_is_repeated_once_and_only_if_its_connection_had_been_used(
    http1: Http1Upstreams,
) -> None:
    async with PlayingServer(dies_at_the_second) as server:
        endpoint = endpoint_of(http1, server.base_url())
        assert await whole(endpoint) == b"ok"
        response = await endpoint.get("/models", {}, PATIENT)
        assert await response.read(10) == b"ok"
        assert (server.requests, server.connections) == (3, 2)
    async with PlayingServer(says(b"", keep=False)) as server:
        endpoint = endpoint_of(http1, server.base_url())
        with pytest.raises(TransportError) as raised:
            await endpoint.get("/models", {}, PATIENT)
        assert raised.value.fault is TransportFault.RESET
        assert not raised.value.reused
        assert server.requests == 1


async def test_a_repeated_get_waits_its_turn(open_http1: OpenHttp1) -> None:
    async with PlayingServer(dies_at_the_second) as server:
        endpoint = endpoint_of(open_http1(ClientOptions(connection_limit=2)), server.base_url())
        for _ in range(10):

            async def get() -> bytes:
                return await (await endpoint.get("/models", {}, PATIENT)).read(10)

            ends = await asyncio.gather(*(get() for _ in range(10)), return_exceptions=True)
            assert all(isinstance(end, bytes | TransportError) for end in ends)
        await until(lambda: is_at_rest(endpoint))


async def test_random_cancellations_lose_no_place(open_http1: OpenHttp1) -> None:
    """A place was once counted back twice when a connect was cancelled."""
    chance = random.Random(1)

    async def part(scene: Scene) -> bool:
        await asyncio.sleep(chance.random() * 0.004)
        scene.writer.write(CHUNKED + b"2\r\nok\r\n")
        await asyncio.sleep(chance.random() * 0.002)
        scene.writer.write(b"0\r\n\r\n")
        return chance.random() < 0.8

    async with PlayingServer(part) as server:
        endpoint = endpoint_of(open_http1(ClientOptions(connection_limit=4)), server.base_url())
        pool = pool_of(endpoint)

        async def one() -> None:
            task = asyncio.create_task(whole(endpoint))
            await asyncio.sleep(chance.random() * 0.02)
            task.cancel()
            await asyncio.wait([task])
            assert 0 <= pool.places <= 4

        for _ in range(5):
            await asyncio.gather(*(one() for _ in range(100)))
        await until(lambda: is_at_rest(endpoint))
        assert server.open <= 4 + 4  # those that were cut may not have noticed yet
        ends = await asyncio.gather(*(whole(endpoint) for _ in range(20)), return_exceptions=True)
        assert b"ok" in ends


@pytest.mark.parametrize("moment", ["name", "tls", "queue", "head", "body"])
async def test_a_cancelled_call_gives_back_what_it_holds_at_once(
    open_http1: OpenHttp1, moment: str
) -> None:
    held = Held()
    left = asyncio.Event()

    async def part(scene: Scene) -> bool:
        if moment == "body":
            scene.writer.write(CHUNKED + b"2\r\nok\r\n")
        if moment == "queue":
            return await held(scene)
        held.held += 1
        with suppress(ConnectionResetError):  # where it leaves what was sent unread
            assert await scene.reader.read() == b""
        left.set()
        return False

    loop = asyncio.get_running_loop()
    async with (
        await loop.create_server(asyncio.Protocol, "127.0.0.1", 0) as silent,
        PlayingServer(part) as server,
    ):
        resolver = Names(hangs=True) if moment == "name" else None
        urls = {
            "name": "http://provider.example/v1",
            "tls": f"https://127.0.0.1:{silent.sockets[0].getsockname()[1]}/v1",
        }
        client = open_http1(ClientOptions(connection_limit=1, resolver=resolver))
        endpoint = endpoint_of(client, urls.get(moment, server.base_url()))
        pool = pool_of(endpoint)
        first = asyncio.create_task(whole(endpoint))
        await until(lambda: pool.places == 1)
        await until(lambda: held.held == 1 or moment in urls)
        task = asyncio.create_task(whole(endpoint)) if moment == "queue" else first
        await until(lambda: len(pool._waiting) == (1 if moment == "queue" else 0))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if moment == "queue":
            assert not pool._waiting
            held.gate.set()
            assert await first == b"ok"
        else:
            await until(lambda: pool.places == 0)
            if moment not in urls:
                await asyncio.wait_for(left.wait(), 5)


async def test_an_idle_connection_is_closed_after_a_while(open_http1: OpenHttp1) -> None:
    async with PlayingServer(says(OK)) as server:
        endpoint = endpoint_of(open_http1(ClientOptions(keepalive_s=0.1)), server.base_url())
        await asyncio.gather(*(whole(endpoint) for _ in range(5)))
        await until(lambda: pool_of(endpoint).places == 0 and server.open == 0)
        assert await whole(endpoint) == b"ok"


async def test_a_closed_client_cuts_its_calls_and_makes_no_more(open_http1: OpenHttp1) -> None:
    held = Held()
    async with PlayingServer(held) as server:
        client = open_http1(ClientOptions(connection_limit=1))
        endpoint = endpoint_of(client, server.base_url())
        calls = [asyncio.create_task(whole(endpoint)) for _ in range(2)]
        await until(lambda: held.held == 1)
        await client.close()
        ends = await asyncio.gather(*calls, return_exceptions=True)
        faults = [end.fault for end in ends if isinstance(end, TransportError)]
        assert faults == [TransportFault.CUT, TransportFault.CONNECT]
        with pytest.raises(TransportError) as raised:
            await whole(endpoint)
        assert not raised.value.sent
        await until(lambda: pool_of(endpoint).places == 0)


async def test_a_response_that_nobody_reads_any_more_keeps_no_connection(
    http1: Http1Upstreams,
) -> None:
    async with PlayingServer(Held()) as server:
        endpoint = endpoint_of(http1, server.base_url())
        with pytest.raises(TransportError):
            await send(endpoint, deadlines=QUICK)
        await until(lambda: pool_of(endpoint).places == 0)


async def test_a_connection_that_dies_on_its_way_to_the_next_call_is_not_used(
    open_http1: OpenHttp1,
) -> None:
    """Such a call once waited until the head's deadline."""
    async with PlayingServer(says(OK)) as server:
        endpoint = endpoint_of(open_http1(ClientOptions(connection_limit=1)), server.base_url())
        pool = pool_of(endpoint)
        released = pool.released

        def dying(connection: Connection) -> None:
            released(connection)
            connection.abort()

        pool.released = dying  # type: ignore[method-assign]
        ends = await asyncio.wait_for(asyncio.gather(*(whole(endpoint) for _ in range(5))), 5)
        assert ends == [b"ok"] * 5
        assert server.connections == server.requests == 5
        await until(lambda: pool.places == 0)


@pytest.mark.parametrize("close", [False, True])
async def test_what_was_given_to_a_call_that_is_cancelled_meanwhile_goes_to_the_next(
    open_http1: OpenHttp1, close: bool
) -> None:
    """A connection is given where the last call left one, and else its place."""
    answer = OK.replace(b"200 OK", b"200 OK\r\nconnection: close") if close else OK
    async with PlayingServer(says(answer)) as server:
        endpoint = endpoint_of(open_http1(ClientOptions(connection_limit=1)), server.base_url())
        pool = pool_of(endpoint)
        give = pool._give
        cancelled = 0

        def cancelling(what: Connection | None) -> bool:
            nonlocal cancelled
            given = give(what)
            if given and not cancelled:
                cancelled += 1
                calls[1].cancel()
            return given

        pool._give = cancelling  # type: ignore[method-assign]
        calls = [asyncio.create_task(whole(endpoint)) for _ in range(3)]
        ends = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)
        assert [type(end) for end in ends] == [bytes, asyncio.CancelledError, bytes]
        assert server.requests == 2
        await until(lambda: is_at_rest(endpoint))


async def test_a_connection_lost_before_its_first_call_is_a_failed_connect(
    http1: Http1Upstreams,
) -> None:
    async with PlayingServer(says(OK)) as server:
        endpoint = endpoint_of(http1, server.base_url())
        pool = pool_of(endpoint)
        dial = pool._dial

        async def losing(owner: Pool, until_: float) -> Connection:
            connection = await dial(owner, until_)
            connection.abort()
            return connection

        pool._dial = losing
        with pytest.raises(TransportError) as raised:
            await asyncio.wait_for(whole(endpoint), 5)
        assert raised.value.fault is TransportFault.CONNECT
        assert (raised.value.sent, raised.value.reused) == (False, False)
        await until(lambda: pool.places == 0)
