"""What the HTTP/1.1 client sends: heads, large bodies, and nothing that somebody slipped in."""

import asyncio
from collections.abc import Mapping

import pytest

from conduit.gateway.upstream import Deadlines, TransportError, TransportFault
from conduit.gateway.upstream.egress import check_base_url
from conduit.gateway.upstream.http1 import Http1Upstreams
from conduit.gateway.upstream.http1_request import RequestHeads
from tests.fakes.playing import PlayingServer, Scene, says, until
from tests.gateway.upstream.http1_calls import (
    LIMIT,
    OK,
    PATIENT,
    endpoint_of,
    is_at_rest,
    pool_of,
    send,
    whole,
)


def heads(base_url: str = "https://api.example/v1") -> RequestHeads:
    return RequestHeads(check_base_url(base_url, allow_private=True))


def fields_of(head: bytes) -> list[str]:
    return head.decode().split("\r\n")[1:-2]


def test_a_given_header_takes_the_place_of_our_own() -> None:
    given = {"user-agent": "mine/1", "CONTENT-TYPE": "text/plain", "x-100%": "100%s %d"}
    fields = fields_of(heads().post("/chat", given, 3))
    assert fields == [
        "Host: api.example",
        "Accept: */*",
        "Accept-Encoding: identity",
        "user-agent: mine/1",
        "CONTENT-TYPE: text/plain",
        "x-100%: 100%s %d",
        "Content-Length: 3",
    ]


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("", "/v1"),
        ("/models/a b:go?alt=sse", "/v1/models/a%20b:go?alt=sse"),
        ("/models/grün", "/v1/models/gr%C3%BCn"),
        ("/a%2Fb%20c", "/v1/a%2Fb%20c"),
    ],
)
def test_a_path_is_sent_as_it_may_stand_in_a_request(path: str, target: str) -> None:
    for _ in range(2):
        line, _, rest = heads().get(path, {}).decode().partition("\r\n")
        assert line == f"GET {target} HTTP/1.1"
        assert "evil" not in rest


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("@evil.example/v1", {}),
        ("chat", {}),
        ("/x\r\nevil: 1", {}),
        ("/x HTTP/1.1\nevil: 1", {}),
        ("/chat", {"x": "a\r\nb: c"}),
        ("/chat", {"x": "a\nb"}),
        ("/chat", {"x": "a\0b"}),
        ("/chat", {"x": "gr\u00fcn\r\nb: c"}),
        ("/chat", {"x": "\ud800"}),
        ("/chat", {"x\r\ny": "a"}),
        ("/chat", {"x y": "a"}),
        ("/chat", {"x:": "a"}),
        ("/chat", {"": "a"}),
        ("/chat", {"Host": "evil.example"}),
        ("/chat", {"Content-Length": "3"}),
        ("/chat", {"transfer-encoding": "chunked"}),
        ("/chat", {"Connection": "close"}),
    ],
)
async def test_what_would_change_the_request_is_refused_before_anything_is_sent(
    http1: Http1Upstreams, path: str, headers: Mapping[str, str]
) -> None:
    async with PlayingServer(says(OK)) as server:
        endpoint = endpoint_of(http1, server.base_url())
        for call in (
            endpoint.send(path, b"{}", headers, PATIENT),
            endpoint.get(path, headers, PATIENT),
        ):
            with pytest.raises(TransportError) as raised:
                await call
            assert raised.value.fault is TransportFault.PROTOCOL
            assert (raised.value.sent, raised.value.reused) == (False, False)
            assert "evil" not in str(raised.value)
        assert server.connections == 0


@pytest.mark.parametrize("size", [0, 1, 32_768, 32_769, 1 << 18, (1 << 18) + 1, 32 << 20])
async def test_a_body_of_any_size_arrives_whole_and_the_connection_serves_again(
    http1: Http1Upstreams, size: int
) -> None:
    bodies: list[bytes] = []

    async def part(scene: Scene) -> bool:
        bodies.append(scene.body)
        scene.writer.write(OK)
        return True

    body = bytes(range(256)) * (size // 256 + 1)
    async with PlayingServer(part) as server:
        endpoint = endpoint_of(http1, server.base_url())
        for _ in range(2):
            assert await whole(endpoint, body[:size]) == b"ok"
        assert bodies[0] == bodies[1] == body[:size]
        assert server.connections == 1


async def test_an_upload_goes_no_faster_than_the_server_reads(http1: Http1Upstreams) -> None:
    gate = asyncio.Event()

    async def part(scene: Scene) -> bool:
        await gate.wait()
        await scene.reader.readexactly(20 << 20)
        scene.writer.write(OK)
        return True

    async with PlayingServer(part, reads_body=False) as server:
        endpoint = endpoint_of(http1, server.base_url())
        task = asyncio.create_task(whole(endpoint, b"x" * (20 << 20)))
        await until(lambda: server.requests == 1)
        (connection,) = pool_of(endpoint)._all
        await until(lambda: connection._writing_paused)
        assert connection._transport is not None
        assert 0 < connection._transport.get_write_buffer_size() <= 1 << 20
        gate.set()
        assert await task == b"ok"
        await until(lambda: is_at_rest(endpoint))


async def test_an_upload_that_stands_still_meets_the_deadline(http1: Http1Upstreams) -> None:
    async def part(scene: Scene) -> bool:
        await asyncio.Event().wait()
        return False

    async with PlayingServer(part, reads_body=False) as server:
        endpoint = endpoint_of(http1, server.base_url())
        with pytest.raises(TransportError) as raised:
            await whole(endpoint, b"x" * (32 << 20), deadlines=Deadlines(first_event_s=0.2))
        assert raised.value.fault is TransportFault.HEAD_TIMEOUT
        assert raised.value.sent
        await until(lambda: pool_of(endpoint).places == 0)


async def test_a_refusal_in_the_middle_of_an_upload_ends_it(http1: Http1Upstreams) -> None:
    async def part(scene: Scene) -> bool:
        scene.writer.write(b"HTTP/1.1 413 Large\r\ncontent-length: 2\r\n\r\nno")
        await asyncio.Event().wait()
        return False

    async with PlayingServer(part, reads_body=False) as server:
        endpoint = endpoint_of(http1, server.base_url())
        response = await send(endpoint, b"x" * (32 << 20))
        assert (response.status, await response.read(LIMIT)) == (413, b"no")
        await until(lambda: pool_of(endpoint).places == 0)


async def test_a_good_answer_in_the_middle_of_an_upload_waits_for_its_end(
    http1: Http1Upstreams,
) -> None:
    size = 16 << 20

    async def part(scene: Scene) -> bool:
        scene.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n")
        await scene.writer.drain()
        await asyncio.sleep(0)
        body = await scene.reader.readexactly(size)
        scene.writer.write(b"%08d" % body.count(b"x"))
        return True

    async with PlayingServer(part, reads_body=False) as server:
        endpoint = endpoint_of(http1, server.base_url())
        assert await whole(endpoint, b"x" * size) == b"%08d" % size
        await until(lambda: is_at_rest(endpoint))


async def test_a_connection_lost_in_the_middle_of_an_upload_is_an_error(
    http1: Http1Upstreams,
) -> None:
    async def part(scene: Scene) -> bool:
        await scene.reader.readexactly(1 << 20)
        scene.writer.transport.abort()
        return False

    async with PlayingServer(part, reads_body=False) as server:
        endpoint = endpoint_of(http1, server.base_url())
        with pytest.raises(TransportError) as raised:
            await whole(endpoint, b"x" * (32 << 20))
        assert raised.value.fault is TransportFault.RESET
        assert raised.value.sent
        await until(lambda: pool_of(endpoint).places == 0)


async def test_a_cancelled_upload_closes_the_connection_at_once(http1: Http1Upstreams) -> None:
    left = asyncio.Event()

    async def part(scene: Scene) -> bool:
        while await scene.reader.read(1 << 16):
            await asyncio.sleep(0.001)
        left.set()
        return False

    async with PlayingServer(part, reads_body=False) as server:
        endpoint = endpoint_of(http1, server.base_url())
        task = asyncio.create_task(whole(endpoint, b"x" * (32 << 20)))
        await until(lambda: server.requests == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: pool_of(endpoint).places == 0)
        assert not left.is_set() or server.open <= 1


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_stalled_reader_holds_little_and_loses_nothing(
    http1: Http1Upstreams, chunked: bool
) -> None:
    size = 30 << 20
    piece = b"x" * 100_000
    sent = 0

    async def part(scene: Scene) -> bool:
        nonlocal sent
        head = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % size
        scene.writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
        while sent < size:
            part_ = piece[: size - sent]
            scene.writer.write(b"%x\r\n%b\r\n" % (len(part_), part_) if chunked else part_)
            await scene.writer.drain()
            sent += len(part_)
        if chunked:
            scene.writer.write(b"0\r\n\r\n")
        return True

    async with PlayingServer(part) as server:
        endpoint = endpoint_of(http1, server.base_url())
        response = await send(endpoint, deadlines=Deadlines(gap_s=0.2))
        (connection,) = pool_of(endpoint)._all
        await until(lambda: connection._reading_paused)
        before = -1
        while sent != before:  # until the server is stopped by what lies between
            before = sent
            await asyncio.sleep(0.3)  # longer than a gap may be: the silence is our own
        assert sent < size
        taken = len(await anext(aiter(response)))
        assert taken <= 32 << 10
        async for each in response:
            taken += len(each)
        assert taken == size
        await until(lambda: is_at_rest(endpoint))
