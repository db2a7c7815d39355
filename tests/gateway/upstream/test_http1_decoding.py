"""Answers that come compressed although nobody asked for it."""

import gzip
import zlib

import pytest

from conduit.gateway.upstream import TransportError, TransportFault, Upstreams
from conduit.gateway.upstream.http1 import Http1Upstreams
from tests.fakes.playing import PlayingServer, Scene, says, until
from tests.gateway.upstream.http1_calls import (
    LIMIT,
    PATIENT,
    endpoint_of,
    is_at_rest,
    pool_of,
    send,
    whole,
)

TEXT = b"the quick brown fox jumps over the lazy dog. " * 1000


def answer(encoding: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\ncontent-length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def raw_deflate(text: bytes) -> bytes:
    return zlib.compress(text)[2:-4]


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("GZIP", gzip.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
        ("identity", TEXT),
    ],
)
async def test_every_client_undoes_what_it_can(
    upstreams: Upstreams, encoding: str, body: bytes
) -> None:
    async with PlayingServer(says(answer(encoding, body))) as server:
        endpoint = upstreams.endpoint(server.base_url(), allow_private=True)
        response = await endpoint.send("/chat", b"{}", {}, PATIENT)
        assert await response.read(LIMIT) == TEXT
        response.close()
        response = await endpoint.send("/chat", b"{}", {}, PATIENT)
        assert b"".join([piece async for piece in response]) == TEXT
        response.close()


async def test_the_old_name_of_gzip_is_known(http1: Http1Upstreams) -> None:
    async with PlayingServer(says(answer("x-gzip", gzip.compress(TEXT)))) as server:
        assert await whole(endpoint_of(http1, server.base_url())) == TEXT


async def test_gzip_in_several_members_and_in_single_bytes(http1: Http1Upstreams) -> None:
    body = gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:300])

    async def part(scene: Scene) -> bool:
        head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n"
        scene.writer.write(head)
        for byte in body:
            scene.writer.write(b"1\r\n%c\r\n" % byte)
            await scene.writer.drain()
        scene.writer.write(b"0\r\n\r\n")
        return True

    async with PlayingServer(part) as server:
        endpoint = endpoint_of(http1, server.base_url())
        assert await whole(endpoint) == TEXT[:300]
        await until(lambda: is_at_rest(endpoint))


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (gzip.compress(TEXT)[:-20], TransportFault.CUT),
        (b"not compressed at all", TransportFault.PROTOCOL),
        (gzip.compress(TEXT) + b"noise", TransportFault.PROTOCOL),
        (gzip.compress(TEXT)[:-8] + bytes(8), TransportFault.PROTOCOL),
    ],
)
async def test_what_cannot_be_undone_is_an_error(
    http1: Http1Upstreams, body: bytes, fault: TransportFault
) -> None:
    async with PlayingServer(says(answer("gzip", body))) as server:
        with pytest.raises(TransportError) as raised:
            await whole(endpoint_of(http1, server.base_url()))
        assert raised.value.fault is fault


async def test_an_empty_body_is_empty_whatever_its_encoding(http1: Http1Upstreams) -> None:
    async with PlayingServer(says(answer("gzip", b""))) as server:
        assert await whole(endpoint_of(http1, server.base_url())) == b""


async def test_a_small_answer_that_becomes_a_huge_one_is_refused_in_time(
    http1: Http1Upstreams,
) -> None:
    async with PlayingServer(says(answer("gzip", gzip.compress(bytes(200 << 20))))) as server:
        endpoint = endpoint_of(http1, server.base_url())
        response = await send(endpoint)
        assert len(await anext(aiter(response))) <= 1 << 17
        with pytest.raises(TransportError) as raised:
            await response.read(1 << 20)
        assert raised.value.fault is TransportFault.TOO_LARGE
        response.close()
        await until(lambda: pool_of(endpoint).places == pool_of(endpoint).idle)
