"""Connections that do not say what they want, or do not take what they asked for."""

import asyncio
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from conduit.gateway.server.body import read_body
from conduit.gateway.server.guard import DeadlineGuard
from conduit.gateway.server.runner import EdgeOptions
from tests.fakes.certificates import Authority
from tests.gateway.server.edge import PATIENCE_S, TLS_NAME, echo, post, serving

QUICK = EdgeOptions(head_deadline_s=1.0)


class Connection:
    def __init__(self) -> None:
        self.dropped = asyncio.Event()

    def drop(self) -> None:
        self.dropped.set()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_connection_that_says_nothing_is_ended() -> None:
    async with serving(echo(), QUICK) as edge, edge.connect() as client:
        assert await client.ended() == b""


async def test_a_head_that_never_ends_is_ended() -> None:
    async with serving(echo(), QUICK) as edge, edge.connect() as client:
        await client.write(b"GET / HTTP/1.1\r\n")
        ended = asyncio.ensure_future(client.ended())
        while not ended.done():
            try:
                await client.write(b"x: y\r\n")
            except ConnectionError:
                break
            await asyncio.sleep(0.05)
        assert await ended == b""


async def test_a_slow_second_head_is_ended_too() -> None:
    async with serving(echo(), QUICK) as edge, edge.connect() as client:
        await client.write(post(b"{}"))
        assert (await client.answer()).status == 200
        await client.write(b"POST ")
        assert await client.ended() == b""


async def test_an_idle_connection_lives_longer_than_a_head_may_take() -> None:
    async with serving(echo(), QUICK) as edge, edge.connect() as client:
        for _ in range(2):
            await client.write(post(b"{}"))
            assert (await client.answer()).status == 200
            await asyncio.sleep(1.5)


async def test_an_idle_connection_does_not_live_for_ever() -> None:
    options = EdgeOptions(keepalive_s=0.2)
    async with serving(echo(), options) as edge, edge.connect() as client:
        await client.write(post(b"{}"))
        assert (await client.answer()).status == 200
        assert await client.ended() == b""


async def test_a_slow_body_and_a_slow_answer_are_none_of_its_business() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        body = await read_body(request)
        await asyncio.sleep(0.8)
        return web.Response(body=body)

    async with serving(handler, QUICK) as edge, edge.connect() as client:
        await client.write(post(b"", length=4))
        for _ in range(4):
            await asyncio.sleep(0.3)
            await client.write(b"x")
        assert (await client.answer()).body == b"xxxx"


async def test_connections_beyond_the_most_end_the_oldest_and_no_other() -> None:
    options = EdgeOptions(max_incomplete_heads=2)
    async with serving(echo(), options) as edge, edge.connect() as first:
        await first.write(b"GET /")
        async with edge.connect() as served:
            await served.write(post(b"{}"))
            assert (await served.answer()).status == 200
            async with edge.connect(), edge.connect():
                assert await first.ended() == b""
                await served.write(post(b"{}"))
                assert (await served.answer()).status == 200


async def test_of_too_many_connections_those_end_that_were_idle_for_longest() -> None:
    release = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        if (await read_body(request)) == b"wait":
            await release.wait()
        return web.Response(body=b"done")

    options = EdgeOptions(max_connections=3, keepalive_s=600)
    async with (
        serving(handler, options) as edge,
        edge.connect() as busy,
        edge.connect() as oldest,
        edge.connect() as idle,
    ):
        await busy.write(post(b"wait"))
        for each in (oldest, idle):
            await each.write(post(b"{}"))
            assert (await each.answer()).status == 200
        async with edge.connect() as fourth:
            assert await oldest.ended() == b""
            await fourth.write(post(b"{}"))
            assert (await fourth.answer()).status == 200
        await idle.write(post(b"{}"))
        assert (await idle.answer()).status == 200
        release.set()
        assert (await busy.answer()).status == 200


async def test_a_client_that_reads_nothing_is_ended_and_its_buffers_with_it() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * (1 << 20))

    options = EdgeOptions(stall_s=lambda: 0.5)
    async with serving(handler, options) as edge, edge.connect() as client:
        await client.write(post(b"{}") * 20)
        server = edge.runner.server
        assert server is not None
        await until(lambda: len(server.connections) == 1)
        await until(lambda: not server.connections)


async def test_a_client_that_reads_slowly_is_left_alone() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * (4 << 20))

    options = EdgeOptions(stall_s=lambda: 20.0)
    async with serving(handler, options) as edge, edge.connect() as client:
        await client.write(post(b"{}"))
        await asyncio.sleep(0.5)
        assert len((await client.answer()).body) == 4 << 20


async def test_a_connection_that_is_closing_does_not_wait_for_ever_for_its_client() -> None:
    # The answers stay below what would be held back, and the last one closes the connection.
    async def handler(request: web.Request) -> web.StreamResponse:
        sending = request.get_extra_info("socket")
        sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return web.Response(body=b"x" * 4000)

    closing = post(b"{}", "connection: close")
    options = EdgeOptions(stall_s=lambda: 0.5)
    async with serving(handler, options) as edge:
        server = edge.runner.server
        assert server is not None
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", edge.port))
            client.sendall(post(b"{}") * 14 + closing)
            await until(lambda: len(server.connections) == 1)
            await until(lambda: not server.connections)


async def test_of_too_many_the_oldest_goes_first() -> None:
    guard = DeadlineGuard(asyncio.get_running_loop(), most=2)
    connections = [Connection() for _ in range(3)]
    for connection in connections:
        guard.expect(connection)
    assert [c.dropped.is_set() for c in connections] == [True, False, False]
    guard.close()
    assert len(guard) == 0


async def test_a_released_connection_is_left_alone() -> None:
    guard = DeadlineGuard(asyncio.get_running_loop(), lambda: 0.05)
    slow, done = Connection(), Connection()
    guard.expect(slow)
    guard.expect(done)
    guard.expect(done)
    guard.release(done)
    await asyncio.wait_for(slow.dropped.wait(), PATIENCE_S)
    assert not done.dropped.is_set()
    assert slow not in guard


async def test_one_that_is_spoken_for_gets_as_much_time_again() -> None:
    words = [True, True, False]
    guard = DeadlineGuard(asyncio.get_running_loop(), lambda: 0.02, spares=lambda _: words.pop(0))
    slow = Connection()
    guard.expect(slow)
    await asyncio.wait_for(slow.dropped.wait(), PATIENCE_S)
    assert not words


async def test_a_client_that_takes_little_at_a_time_is_left_alone() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * (2 << 20))

    options = EdgeOptions(stall_s=lambda: 1.2)
    async with serving(handler, options) as edge:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            client.connect(("127.0.0.1", edge.port))
            client.setblocking(False)
            client.sendall(post(b"{}"))
            got = 0
            while got < 2 << 20:
                await asyncio.sleep(0.02)
                piece = await asyncio.get_running_loop().sock_recv(client, 16384)
                assert piece, f"cut off after {got} bytes"
                got += len(piece)


@pytest.mark.skipif(sys.platform != "linux", reason="no other system tells what was taken")
async def test_a_client_that_takes_little_under_tls_is_left_alone(tmp_path: Path) -> None:
    authority = Authority(tmp_path)

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(64):
            await response.write(b"x" * (32 << 10))
        return response

    def take_slowly(port: int) -> None:
        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            raw.connect(("127.0.0.1", port))
            context = authority.client_context()
            with context.wrap_socket(raw, server_hostname=TLS_NAME) as client:
                client.sendall(post(b"{}"))
                got = 0
                while got < 160 << 10:
                    time.sleep(0.1)
                    piece = client.recv(4096)
                    assert piece, f"cut off after {got} bytes"
                    got += len(piece)

    options = EdgeOptions(stall_s=lambda: 1.2)
    secured = authority.server_context(TLS_NAME)
    async with serving(handler, options, ssl_context=secured) as edge:
        await asyncio.to_thread(take_slowly, edge.port)


async def test_a_client_that_takes_nothing_under_tls_is_ended(tmp_path: Path) -> None:
    authority, ended = Authority(tmp_path), asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * (32 << 10))
        finally:
            ended.set()

    options = EdgeOptions(stall_s=lambda: 0.5)
    secured = authority.server_context(TLS_NAME)
    async with serving(handler, options, ssl_context=secured) as edge:
        trusted = authority.client_context()
        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            raw.connect(("127.0.0.1", edge.port))
            client = await asyncio.to_thread(trusted.wrap_socket, raw, server_hostname=TLS_NAME)
            client.sendall(post(b"{}"))
            await asyncio.wait_for(ended.wait(), PATIENCE_S)
            client.close()
