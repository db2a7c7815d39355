"""Answers as the HTTP/1.1 client takes them, and those it refuses."""

import asyncio

import pytest

from conduit.gateway.upstream import Deadlines, TransportError, TransportFault
from conduit.gateway.upstream.http1 import Http1Upstreams
from tests.fakes.playing import PlayingServer, Scene, says, until
from tests.fakes.scripted import End, ScriptedServer
from tests.gateway.upstream.http1_calls import (
    CHUNKED,
    LIMIT,
    OK,
    endpoint_of,
    is_at_rest,
    pool_of,
    send,
    whole,
)


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        (OK, 1),
        (b"HTTP/1.1 304 No\r\ncontent-length: 9\r\n\r\n", 1),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", 3),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok", 1),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", 3),
        (CHUNKED + b"2\r\nok\r\n0\r\n\r\n", 1),
        (CHUNKED + b"2\r\nok\r\n0\r\nx-trailer: 1\r\n\r\n", 1),
        (OK + b"SSH-2.0-noise\r\n", 3),
    ],
)
async def test_a_connection_is_kept_exactly_when_it_may_be(
    http1: Http1Upstreams, answer: bytes, connections: int
) -> None:
    """Whether it may be kept was once asked too late, and none was kept."""
    async with PlayingServer(says(answer)) as server:
        endpoint = endpoint_of(http1, server.base_url())
        for _ in range(3):
            assert await whole(endpoint) == (b"" if b"304" in answer else b"ok")
        assert server.connections == connections


async def test_headers_ignore_case_and_fields_of_one_name_are_joined(
    http1: Http1Upstreams,
) -> None:
    head = b"HTTP/1.1 200 OK\r\nX-One: 1 \r\nx-one:\t2\r\nX-Two: gr\xc3\xbcn\r\ncontent-length: 0"
    async with PlayingServer(says(head + b"\r\n\r\n")) as server:
        response = await send(endpoint_of(http1, server.base_url()))
        assert response.headers["x-ONE"] == "1, 2"
        assert response.headers.get("X-TWO") == "grün"
        assert response.headers.get("x-three") is None
        assert "Content-Length" in response.headers
        assert [*response.headers] == ["x-one", "x-two", "content-length"]
        assert len(response.headers) == 3


async def test_interim_answers_are_passed_over_and_their_fields_forgotten(
    http1: Http1Upstreams,
) -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n"
    async with ScriptedServer(early + OK, piece=1) as server:
        response = await send(endpoint_of(http1, server.base_url()))
        assert (response.status, dict(response.headers)) == (200, {"content-length": "2"})
        assert await response.read(LIMIT) == b"ok"


@pytest.mark.parametrize("end", [End.FIN, End.RST])
@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"", TransportFault.RESET),
        (b"HTTP/1.1 200 OK\r\ncont", TransportFault.RESET),
        (b"HTTP/1.1 100 Continue\r\n\r\n", TransportFault.RESET),
        (CHUNKED, TransportFault.CUT),
        (CHUNKED + b"2\r\nok\r\n", TransportFault.CUT),
        (CHUNKED + b"2\r\nok\r\n0\r\n", TransportFault.CUT),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", TransportFault.CUT),
    ],
)
async def test_a_cut_is_told_wherever_it_comes(
    http1: Http1Upstreams, answer: bytes, fault: TransportFault, end: End
) -> None:
    async with ScriptedServer(answer, end) as server:
        endpoint = endpoint_of(http1, server.base_url())
        with pytest.raises(TransportError) as raised:
            await whole(endpoint)
        assert raised.value.fault is fault
        assert (raised.value.sent, raised.value.reused) == (True, False)
        await until(lambda: is_at_rest(endpoint))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/9.9 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, identity\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2x\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-encoding: gzip\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\ncontent-length: 0\r\n\r\n",
        CHUNKED + b"-2\r\nok\r\n",
        CHUNKED + b"2\r\nokay\r\n0\r\n\r\n",
        CHUNKED + b"ffffffffffffffffff\r\nok\r\n",
    ],
)
@pytest.mark.parametrize("piece", [0, 1])
async def test_what_could_be_read_in_two_ways_is_refused(
    http1: Http1Upstreams, answer: bytes, piece: int
) -> None:
    async with ScriptedServer(answer, piece=piece) as server:
        with pytest.raises(TransportError) as raised:
            await whole(endpoint_of(http1, server.base_url()), deadlines=Deadlines(gap_s=3))
        assert raised.value.fault is TransportFault.PROTOCOL
        await asyncio.wait_for(server.left.wait(), 2)


async def test_a_large_head_that_trickles_is_counted_once(http1: Http1Upstreams) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + b"x-filling: %b\r\n" % (b"f" * 300) * 90
    async with ScriptedServer(head + b"content-length: 2\r\n\r\nok", piece=5000) as server:
        assert await whole(endpoint_of(http1, server.base_url())) == b"ok"


@pytest.mark.parametrize("piece", [0, 1000])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 " + b"a" * 300_000,
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 300_000,
        b"HTTP/1.1 200 OK\r\n" + b"a" * 300_000,
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"content-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 40_000 + b"\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000,
        CHUNKED + b"2;" + b"e" * 300_000,
        CHUNKED + b"2\r\nok\r\n0\r\n" + b"t: y\r\n" * 100_000 + b"\r\n",
        CHUNKED + b"2\r\nok\r\n0\r\n" + b"t: y\r\n" * 200 + b"\r\n",
        CHUNKED + b"2\r\nok\r\n0\r\nt: " + b"y" * 300_000,
    ],
)
async def test_heads_and_trailers_do_not_go_on_for_ever(
    http1: Http1Upstreams, answer: bytes, piece: int
) -> None:
    """Trailers were once not limited."""
    async with ScriptedServer(answer, End.HANG, piece=piece) as server:
        with pytest.raises(TransportError) as raised:
            await whole(endpoint_of(http1, server.base_url()), deadlines=Deadlines(gap_s=3))
        assert raised.value.fault is TransportFault.PROTOCOL
        assert "too large" in str(raised.value)


async def test_bytes_on_an_idle_connection_end_it(http1: Http1Upstreams) -> None:
    late = asyncio.Event()

    async def part(scene: Scene) -> bool:
        scene.writer.write(OK)
        await scene.writer.drain()
        await late.wait()
        scene.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
        return True

    async with PlayingServer(part) as server:
        endpoint = endpoint_of(http1, server.base_url())
        assert await whole(endpoint) == b"ok"
        late.set()
        await until(lambda: pool_of(endpoint).places == 0)
        assert await whole(endpoint) == b"ok"
        assert server.connections == 2


async def test_a_body_that_came_with_its_head_is_read_without_waiting(
    http1: Http1Upstreams,
) -> None:
    async with PlayingServer(says(OK)) as server:
        response = await send(endpoint_of(http1, server.base_url()))
        with pytest.raises(StopIteration) as stopped:
            response.read(LIMIT).send(None)
        assert stopped.value.value == b"ok"
        assert await response.read(LIMIT) == b""
        assert [piece async for piece in response] == []


async def test_what_has_come_before_a_cut_can_be_read(http1: Http1Upstreams) -> None:
    async with ScriptedServer(CHUNKED + b"4\r\nsome\r\n", End.FIN) as server:
        endpoint = endpoint_of(http1, server.base_url())
        response = await send(endpoint)
        await until(lambda: pool_of(endpoint).places == 0)
        pieces = aiter(response)
        assert await anext(pieces) == b"some"
        for _ in range(2):
            with pytest.raises(TransportError) as raised:
                await anext(pieces)
            assert raised.value.fault is TransportFault.CUT
