"""Pieces that are dealt with as they arrive: none is lost, none comes twice, none overtakes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from conduit.gateway.upstream import (
    Deadlines,
    TransportError,
    TransportFault,
    UpstreamResponse,
    Upstreams,
)
from conduit.gateway.upstream.http1 import Http1Upstreams
from tests.fakes.playing import PlayingServer, Scene, until
from tests.gateway.upstream.http1_calls import CHUNKED, PATIENT, endpoint_at, send

NUMBERS = [b"%03d" % number for number in range(40)]


class Pieces:
    """A server of one stream, of which each piece is sent when the test says so."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()

    async def __call__(self, scene: Scene) -> bool:
        scene.writer.write(CHUNKED)
        while piece := await self._queue.get():
            scene.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await scene.writer.drain()
        scene.writer.write(b"0\r\n\r\n")
        return True

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._queue.put_nowait(piece)

    def end(self) -> None:
        self.send(b"")


@asynccontextmanager
async def stream(
    upstreams: Upstreams, pieces: Pieces, deadlines: Deadlines = PATIENT
) -> AsyncIterator[UpstreamResponse]:
    async with PlayingServer(pieces) as server:
        response = await send(endpoint_at(upstreams, server.base_url()), deadlines=deadlines)
        try:
            yield response
        finally:
            response.close()


async def given(response: UpstreamResponse, told: Callable[[bytes], None]) -> None:
    async for piece in response:
        told(piece)


async def test_every_piece_comes_once_and_in_order(upstreams: Upstreams) -> None:
    """Whatever is taken at once, and by every client."""
    pieces, seen = Pieces(), bytearray()

    def take(piece: bytes) -> bool:
        if piece[-1:] in b"37":  # only began: it comes again
            return False
        seen.extend(piece)
        return True

    async with stream(upstreams, pieces) as response:
        response.pipe(take)
        reading = asyncio.create_task(given(response, seen.extend))
        for number in NUMBERS:
            pieces.send(number)
            if int(number) % 3:
                await until(lambda number=number: seen.endswith(number))  # type: ignore[misc]
        pieces.end()
        await reading
    assert bytes(seen) == b"".join(NUMBERS)


async def test_what_is_taken_wakes_nobody(http1: Http1Upstreams) -> None:
    pieces = Pieces()
    taken: list[bytes] = []
    iterated: list[bytes] = []

    def take(piece: bytes) -> bool:
        taken.append(piece)
        return piece != b"no"

    async with stream(http1, pieces) as response:
        pieces.send(b"first")
        assert await anext(aiter(response)) == b"first"
        response.pipe(take)
        reading = asyncio.create_task(given(response, iterated.append))
        for piece in (b"one", b"no", b"two"):
            pieces.send(piece)
            await until(lambda piece=piece: piece in taken)  # type: ignore[misc]
        assert iterated == [b"no"]
        pieces.end()
        await reading
    assert (taken, iterated) == ([b"one", b"no", b"two"], [b"no"])


async def test_a_reader_at_work_gets_the_next_piece_itself(http1: Http1Upstreams) -> None:
    """What it does with an earlier piece has to be done first."""
    pieces, goes_on = Pieces(), asyncio.Event()
    taken: list[bytes] = []
    iterated: list[bytes] = []

    async def read(response: UpstreamResponse) -> None:
        async for piece in response:
            iterated.append(piece)
            await goes_on.wait()

    def take(piece: bytes) -> bool:
        taken.append(piece)
        return True

    async with stream(http1, pieces) as response:
        pieces.send(b"first")
        await anext(aiter(response))
        pieces.send(b"second")
        await until(lambda: bool(response.pieces))  # type: ignore[attr-defined]
        response.pipe(take)
        reading = asyncio.create_task(read(response))
        await until(lambda: iterated == [b"second"])
        pieces.send(b"third")
        await until(lambda: bool(response.pieces))  # type: ignore[attr-defined]
        goes_on.set()
        await until(lambda: iterated == [b"second", b"third"])
        pieces.send(b"fourth")
        await until(lambda: taken == [b"fourth"])
        pieces.end()
        await reading


async def test_a_piece_that_was_only_begun_is_the_next_however_much_has_come_since(
    http1: Http1Upstreams,
) -> None:
    """uvloop reads on at once where a read has filled the buffer, before the reader's turn."""
    text = b"".join(b"%06d" % number for number in range(6_000))
    waits = asyncio.Event()

    async def bulk(scene: Scene) -> bool:
        scene.writer.write(CHUNKED + b"1\r\n.\r\n")
        await waits.wait()
        chunks = [b"1\r\n%c\r\n" % character for character in text]
        scene.writer.write(b"".join(chunks) + b"0\r\n\r\n")
        return True

    begun: list[bytes] = []
    seen = bytearray()

    def take(piece: bytes) -> bool:
        begun.append(piece)
        return False

    async with PlayingServer(bulk) as server:
        response = await send(endpoint_at(http1, server.base_url()))
        assert await anext(aiter(response)) == b"."
        response.pipe(take)
        waits.set()
        async for piece in response:
            if begun:
                assert piece is begun.pop()
            seen.extend(piece)
    assert bytes(seen) == text


async def test_a_silence_after_pieces_that_were_taken_is_too_long(upstreams: Upstreams) -> None:
    pieces, seen = Pieces(), bytearray()

    def take(piece: bytes) -> bool:
        seen.extend(piece)
        return True

    async with stream(upstreams, pieces, Deadlines(gap_s=0.4)) as response:
        pieces.send(b"0")
        seen += await anext(aiter(response))
        response.pipe(take)
        reading = asyncio.create_task(given(response, seen.extend))
        for number in NUMBERS[:6]:  # longer in all than the deadline
            await asyncio.sleep(0.1)
            pieces.send(number)
        with pytest.raises(TransportError) as raised:
            await asyncio.wait_for(reading, 5)
        assert raised.value.fault is TransportFault.GAP_TIMEOUT
    assert bytes(seen) == b"0" + b"".join(NUMBERS[:6])


async def test_a_stream_that_is_cut_tells_its_reader(upstreams: Upstreams) -> None:
    cut, seen = asyncio.Event(), bytearray()

    async def part(scene: Scene) -> bool:
        scene.writer.write(CHUNKED + b"3\r\none\r\n")
        await cut.wait()
        return False

    def take(piece: bytes) -> bool:
        seen.extend(piece)
        return True

    async with PlayingServer(part) as server:
        response = await send(endpoint_at(upstreams, server.base_url()))
        response.pipe(take)
        reading = asyncio.create_task(given(response, seen.extend))
        await until(lambda: seen == b"one")
        cut.set()
        with pytest.raises(TransportError):
            await asyncio.wait_for(reading, 5)
        response.close()
