"""Bodies of requests: whole, bounded, in time, and in a form that is understood."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader
from aiohttp.test_utils import make_mocked_request

from conduit.core.errors import InvalidRequestError
from conduit.gateway.server.body import BodyLimits, read_body
from tests.gateway.server.edge import PATH, echo, post, serving

SMALL = BodyLimits(max_bytes=100)


@pytest.mark.parametrize(
    "kind",
    [
        (),
        ("content-type: application/json",),
        ("content-type: Application/JSON; charset=utf-8",),
        ("content-encoding: identity",),
    ],
)
async def test_a_json_body_is_read_whole(kind: tuple[str, ...]) -> None:
    async with serving(echo()) as edge:
        answer = await edge.ask(post(b'{"a": 1}', *kind))
        assert (answer.status, answer.body) == (200, b'{"a": 1}')


async def test_a_large_body_in_pieces_is_read_whole() -> None:
    body = b"x" * (3 << 20)
    async with serving(echo()) as edge:
        assert (await edge.ask(post(body))).body == body


async def test_a_chunked_body_is_read_whole() -> None:
    chunked = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    async with serving(echo()) as edge:
        answer = await edge.ask(post(chunked, "transfer-encoding: chunked"))
        assert answer.body == b"abcde"


async def test_an_empty_body_is_empty() -> None:
    async with serving(echo()) as edge:
        assert (await edge.ask(post())).body == b""


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (post(b"x", "content-type: text/plain"), 415),
        (post(b"x", "content-type: multipart/form-data; boundary=x"), 415),
        (post(b"x", "content-encoding: gzip"), 415),
        (post(b"x", "content-encoding: identity, br"), 415),
        (post(b"", length=101), 413),
        (post(b"", length=10**17), 413),
        (post(b"x" * 101), 413),
        (post(b"65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n", "transfer-encoding: chunked"), 413),
    ],
)
async def test_a_body_that_is_not_accepted_is_refused_for_its_reason(
    data: bytes, status: int
) -> None:
    async with serving(echo(SMALL)) as edge:
        answer = await edge.ask(data)
        assert answer.status == status
        assert answer.error["type"] == "invalid_request_error"


async def test_a_body_too_large_is_refused_before_it_is_sent() -> None:
    async with serving(echo(SMALL)) as edge, edge.connect() as client:
        await client.write(post(b"", length=1 << 40))
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")


async def test_a_body_that_does_not_arrive_is_given_up() -> None:
    limits = BodyLimits(grace_s=0.1)
    async with serving(echo(limits)) as edge, edge.connect() as client:
        await client.write(post(b"half", length=100))
        answer = await client.answer()
        assert (answer.status, answer.error["code"]) == (408, "request_timeout")


async def test_a_body_that_arrives_steadily_is_given_more_time() -> None:
    limits = BodyLimits(grace_s=2, bytes_per_s=1)
    async with serving(echo(limits)) as edge, edge.connect() as client:
        await client.write(post(b"", length=10))
        for _ in range(10):
            await asyncio.sleep(0.25)
            await client.write(b"x")
        assert (await client.answer()).status == 200


async def test_a_caller_that_leaves_in_the_middle_of_its_body_cancels_its_handler() -> None:
    cancelled = asyncio.Event()
    reading = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        reading.set()
        try:
            await read_body(request)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return web.Response()

    async with serving(handler) as edge:
        async with edge.connect() as client:
            await client.write(post(b"half", length=100))
            await asyncio.wait_for(reading.wait(), 30)
            client.abort()
        await asyncio.wait_for(cancelled.wait(), 30)


async def test_a_body_that_is_cut_is_never_a_short_one() -> None:
    payload = StreamReader(BaseProtocol(asyncio.get_running_loop()), 1000)
    payload.feed_data(b"half")
    payload.set_exception(ConnectionResetError("Connection lost"))
    request = make_mocked_request("POST", PATH, headers={"content-length": "100"}, payload=payload)
    with pytest.raises(InvalidRequestError):
        await read_body(request)


async def test_a_chunk_that_is_none_is_a_malformed_body() -> None:
    async with serving(echo()) as edge:
        answer = await edge.ask(post(b"zz\r\nx\r\n", "transfer-encoding: chunked"))
        assert answer.status == 400
        assert b"zz" not in answer.body


async def test_aiohttps_own_limit_of_one_mebibyte_does_not_hold() -> None:
    async with serving(echo()) as edge:
        assert (await edge.ask(post(b"x" * (2 << 20)))).status == 200


async def test_the_invitation_to_send_comes_only_when_the_body_is_read() -> None:
    allowed = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        await allowed.wait()
        return web.Response(body=await read_body(request))

    async with serving(handler) as edge, edge.connect() as client:
        await client.write(post(b"", "expect: 100-continue", length=4))
        asked = asyncio.ensure_future(client.answer())
        await asyncio.sleep(0.05)
        assert not asked.done()
        allowed.set()
        assert (await asked).status == 100
        await client.write(b"body")
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"body")


async def test_a_refusal_needs_no_invitation() -> None:
    async with serving(echo(SMALL)) as edge:
        answer = await edge.ask(post(b"", "expect: 100-continue", length=1000))
        assert answer.status == 413


async def test_another_expectation_is_refused() -> None:
    async with serving(echo()) as edge:
        answer = await edge.ask(post(b"", "expect: something", length=4))
        assert (answer.status, answer.error["code"]) == (417, "expectation_failed")
