"""Plain requests that go past aiohttp's server, and all that must not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.web_protocol import RequestHandler
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conduit.core.errors import AuthenticationError, ConduitError, PayloadTooLargeError
from conduit.gateway.server.body import read_body
from conduit.gateway.server.direct import DirectRequest
from conduit.gateway.server.prepared import StreamedAnswer, WholeAnswer
from conduit.gateway.server.runner import EdgeOptions
from tests.gateway.server.edge import (
    PATH,
    PATIENCE_S,
    Edge,
    Handler,
    RawClient,
    post,
    serving,
)

HEADERS = {"x-request-id": "req_1", "content-type": "application/json"}


async def tell_the_way(request: web.Request) -> web.StreamResponse:
    """Echoes the body, and tells in a header which way the request came."""
    body = await read_body(request)
    way = "direct" if isinstance(request, DirectRequest) else "aiohttp"
    return WholeAnswer(200, HEADERS | {"x-way": way}, body)


async def ways(client: RawClient, count: int = 1) -> list[tuple[str, bytes]]:
    answers = [await client.answer() for _ in range(count)]
    return [(answer.headers["x-way"], answer.body) for answer in answers]


@asynccontextmanager
async def connected() -> AsyncIterator[RawClient]:
    async with serving(tell_the_way, direct=True) as edge, edge.connect() as client:
        yield client


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.001)


async def test_plain_requests_go_the_short_way_one_after_another() -> None:
    async with connected() as client:
        for body in (b"{}", b'{"a": 1}', b""):
            await client.write(post(body, "content-type: application/json"))
            assert await ways(client) == [("direct", body)]


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (post(b"2\r\n{}\r\n0\r\n\r\n", "transfer-encoding: chunked"), b"{}"),
        (post(b"{}", "expect: 100-continue"), b"{}"),
        (post(b"{}", "connection: close"), b"{}"),
        (post(b"{}", "connection: x-hop"), b"{}"),
        (post(b"{}", "proxy-connection: close"), b"{}"),
        (post(b"{}", "x-note: é"), b"{}"),
        (post(b"{}", "x-note: 1", "x-note: 2"), b"{}"),
        (post(b"{}", *[f"x-long-{number}: " + "a" * 5_000 for number in range(2)]), b"{}"),
        (post(b"{}").replace(b"HTTP/1.1", b"HTTP/1.0"), b"{}"),
        (post(b"{}", path=PATH + "?a=1"), b"{}"),
    ],
    ids=lambda value: value[:60] if isinstance(value, bytes) else None,
)
async def test_what_is_not_plain_is_read_by_aiohttp(data: bytes, body: bytes) -> None:
    async with connected() as client:
        await client.write(data)
        assert await ways(client) == [("aiohttp", body)]


@pytest.mark.parametrize(
    "data",
    [
        post(b"{}", "content-length: 2"),
        post(b"{}", "transfer-encoding: chunked", "content-length: 2"),
        post(b"{}", "x note: 1"),
        post(b"{}", " folded: 1"),
        post(b"{}", "content-encoding: gzip"),
        post(b"{}", "content-type: text/plain"),
        post(b"{}", "sec-websocket-key1: 1"),
        post(b"{}").replace(b"host: gateway\r\n", b""),
    ],
)
async def test_what_must_be_refused_is_refused_the_same(data: bytes) -> None:
    async with (
        serving(tell_the_way, direct=True) as direct,
        serving(tell_the_way) as plain,
    ):
        ours, theirs = await direct.ask(data), await plain.ask(data)
    assert 400 <= ours.status < 500
    assert ours.status == theirs.status
    assert ours.error == theirs.error
    assert ours.headers.keys() - {"date"} == theirs.headers.keys() - {"date"}


async def test_the_blanks_around_a_header_are_not_part_of_it() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return WholeAnswer(200, HEADERS, repr(request.headers["x-note"]).encode())

    data = post(b"{}", "x-note: \t a b \t ")
    async with serving(handle, direct=True) as direct, serving(handle) as plain:
        assert (await direct.ask(data)).body == (await plain.ask(data)).body == b"'a b'"


async def test_a_head_and_its_body_that_are_written_apart_go_the_short_way() -> None:
    data = post(b"0123456789")
    async with connected() as client:
        for cut in (len(data) - 10, len(data) - 4):
            await client.write(data[:cut])
            await asyncio.sleep(0)
            await client.write(data[cut:])
            assert (await ways(client))[0][1] == b"0123456789"
            await client.write(post(b"{}"))
            assert await ways(client) == [("direct", b"{}")]


async def test_a_larger_body_that_comes_in_pieces_goes_the_short_way() -> None:
    body = b"0123456789" * 60_000
    data = post(body)
    async with connected() as client:
        for cut in (20_000, 65_536, len(data)):
            for start in range(0, len(data), cut):
                await client.write(data[start : start + cut])
                await asyncio.sleep(0)
            assert (await ways(client)) == [("direct", body)]


@pytest.mark.parametrize("size", [10, 2_000_000], ids=["late", "large"])
async def test_a_body_that_is_late_or_large_goes_to_aiohttp_and_the_next_one_the_short_way(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("conduit.gateway.server.direct._REST_WITHIN_S", 0.0)
    data = post(b"a" * size)
    async with connected() as client:
        await client.write(data[:-size])
        await asyncio.sleep(0.02)
        await client.write(data[-size:])
        assert await ways(client) == [("aiohttp", b"a" * size)]
        await client.write(post(b"{}"))
        assert await ways(client) == [("direct", b"{}")]


async def test_who_may_not_come_in_is_told_so_without_the_body() -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        raise AuthenticationError("who is it?")

    async with serving(refuse, direct=True) as edge:
        assert (await edge.ask(post(b"", length=500))).status == 401


@pytest.mark.parametrize(
    "other",
    [
        f"GET {PATH} HTTP/1.1\r\nhost: gateway\r\n\r\n".encode(),
        post(b"2\r\n{}\r\n0\r\n\r\n", "transfer-encoding: chunked"),
        post(b"{}", "x-note: 1", "x-note: 2"),
    ],
    ids=["get", "chunked", "repeated"],
)
async def test_what_aiohttp_has_had_whole_leaves_the_short_way_open(other: bytes) -> None:
    async with connected() as client:
        await client.write(other)
        assert (await ways(client))[0][0] == "aiohttp"
        await client.write(post(b"{}"))
        assert await ways(client) == [("direct", b"{}")]


@pytest.mark.parametrize(
    "last",
    [post(b"{}", "connection: close"), post(b"{}").replace(b"HTTP/1.1", b"HTTP/1.0")],
    ids=["close", "http-1.0"],
)
async def test_what_one_connection_brings_does_not_close_the_short_way_of_others(
    last: bytes,
) -> None:
    async with serving(tell_the_way, direct=True) as edge:
        async with edge.connect() as client:
            await client.write(last)
            assert await ways(client) == [("aiohttp", b"{}")]
        async with edge.connect() as client:
            await client.write(post(b"{}"))
            assert await ways(client) == [("direct", b"{}")]


async def test_a_request_whose_head_comes_in_parts_leaves_the_connection_to_aiohttp() -> None:
    data = post(b"{}")
    async with serving(tell_the_way, direct=True) as edge, edge.connect() as client:
        await client.write(data[:30])
        async with edge.connect() as later:  # once it is answered, what came before has been read
            await later.write(data)
            assert await ways(later) == [("direct", b"{}")]
        await client.write(data[30:])
        assert await ways(client) == [("aiohttp", b"{}")]
        await client.write(data)
        assert await ways(client) == [("aiohttp", b"{}")]


async def test_requests_that_come_together_are_answered_in_order() -> None:
    async with connected() as client:
        await client.write(post(b"1") + post(b"22") + post(b"333"))
        assert [body for _, body in await ways(client, 3)] == [b"1", b"22", b"333"]


def held_until(released: asyncio.Event) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        body = await read_body(request)
        if body == b"wait":
            await released.wait()
        return WholeAnswer(200, HEADERS, body)

    return handle


async def test_what_comes_while_one_is_served_waits_for_its_turn() -> None:
    released = asyncio.Event()
    async with serving(held_until(released), direct=True) as edge, edge.connect() as client:
        await client.write(post(b"wait"))
        await client.write(post(b"a" * 200_000))  # more than is held: the rest stays in the system
        await client.write(post(b"b")[:40])
        await asyncio.sleep(0.01)
        released.set()
        await client.write(post(b"b")[40:])
        bodies = [(await client.answer()).body for _ in range(3)]
    assert bodies == [b"wait", b"a" * 200_000, b"b"]


async def test_a_client_that_leaves_cancels_what_is_served() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError("never set")

    async with serving(handle, direct=True) as edge, edge.connect() as client:
        await client.write(post(b"{}"))
        await asyncio.wait_for(begun.wait(), PATIENCE_S)
        client.abort()
        await asyncio.wait_for(cancelled.wait(), PATIENCE_S)


async def test_a_long_answer_outlives_the_time_of_an_idle_connection() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        answer = StreamedAnswer(HEADERS, request, length=2)
        assert request.transport is not None
        answer.write_piece(request.transport, b"1")
        await asyncio.sleep(0.3)
        answer.write_piece(request.transport, b"2")
        return answer

    options = EdgeOptions(keepalive_s=0.05)
    async with serving(handle, options, direct=True) as edge, edge.connect() as client:
        await client.write(post(b"{}"))
        assert (await client.answer()).body == b"12"
        assert await client.ended() == b""  # idle now, and ended for it


@pytest.mark.parametrize("held_on", [True, False])
async def test_the_end_of_the_server_waits_for_what_is_served_and_no_longer(
    held_on: bool,
) -> None:
    released, begun = asyncio.Event(), asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        begun.set()
        await released.wait()
        return WholeAnswer(200, HEADERS, b"{}")

    async with serving(handle, direct=True) as edge, edge.connect() as client:
        await client.write(post(b"{}"))
        await asyncio.wait_for(begun.wait(), PATIENCE_S)
        ending = asyncio.create_task(edge.runner.cleanup())
        if held_on:
            assert await client.ended() == b""
        else:
            await asyncio.sleep(0)
            released.set()
            assert (await client.answer()).body == b"{}"
            assert await client.ended() == b""
        await asyncio.wait_for(ending, PATIENCE_S)


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError("who is it?"),
        PayloadTooLargeError("too large"),
        ConduitError("odd", retry_after_s=1.5),
        RuntimeError("unforeseen"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_is_answered_the_same_either_way(error: Exception) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        raise error

    async with serving(handle, direct=True) as direct, serving(handle) as plain:
        ours, theirs = await direct.ask(post(b"{}")), await plain.ask(post(b"{}"))
    assert (ours.status, ours.error["message"]) == (theirs.status, theirs.error["message"])
    changing = ("date", "x-request-id")
    assert {k: v for k, v in ours.headers.items() if k not in changing} == {
        k: v.replace("; charset=utf-8", "") for k, v in theirs.headers.items() if k not in changing
    }


async def test_an_answer_that_breaks_is_cut_off() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        answer = StreamedAnswer(HEADERS, request)
        assert request.transport is not None
        answer.write_piece(request.transport, b"1")
        raise RuntimeError("odd")

    async with serving(handle, direct=True) as edge, edge.connect() as client:
        await client.write(post(b"{}"))
        assert not (await client.ended()).endswith(b"0\r\n\r\n")


PLAIN = post(b"{}")
REQUESTS = st.lists(
    st.sampled_from(
        [
            PLAIN,
            post(b'{"model": "m"}', "content-type: application/json"),
            post(b"2\r\n{}\r\n0\r\n\r\n", "transfer-encoding: chunked"),
            post(b"x" * 300),
            f"GET {PATH} HTTP/1.1\r\nhost: gateway\r\n\r\n".encode(),
        ]
    ),
    min_size=1,
    max_size=5,
)


async def bodies_of(edge: Edge, pieces: list[bytes], count: int) -> list[tuple[int, bytes]]:
    async with edge.connect() as client:
        for piece in pieces:
            await client.write(piece)
            await asyncio.sleep(0)
        answers = [await client.answer() for _ in range(count)]
        return [(answer.status, answer.body) for answer in answers]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(requests=REQUESTS, cuts=st.lists(st.integers(1, 900), max_size=6))
async def test_whatever_is_cut_anywhere_is_answered_as_by_aiohttp_alone(
    requests: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(requests)
    at = sorted({cut % len(data) for cut in cuts} | {0, len(data)})
    pieces = [data[start:end] for start, end in pairwise(at)]

    async def handle(request: web.Request) -> web.StreamResponse:
        return WholeAnswer(200, HEADERS, await read_body(request))

    async with serving(handle, direct=True) as direct, serving(handle) as plain:
        ours = await bodies_of(direct, pieces, len(requests))
        assert ours == await bodies_of(plain, pieces, len(requests))


def test_the_private_parts_of_aiohttp_that_are_relied_on_are_there() -> None:
    """A release that renames one of them must fail here, not on a connection."""
    attributes = {
        "_close",
        "_keepalive_handle",
        "_keepalive_timeout",
        "_messages",
        "_next_keepalive_close_time",
        "_request_count",
        "_task_handler",
        "_waiter",
    }
    assert attributes <= set(RequestHandler.__slots__)
    assert {"_loop", "transport"} <= set(BaseProtocol.__slots__)
    for method in ("_process_keepalive", "_drain_helper", "force_close", "close", "shutdown"):
        assert callable(getattr(RequestHandler, method))
