"""The toxic proxy spoils connections as it is told, and leaves them alone otherwise."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.fakes.toxic import BLACK_HOLE, Side, Toxic, ToxicProxy

WITHIN_S = 30.0
BIG = bytes(range(256)) * 2048


class EchoServer:
    """Sends back what it gets; ends when its client does. `got` is all that came."""

    def __init__(self) -> None:
        self.got = b""
        self.said: asyncio.Queue[bytes] = asyncio.Queue()
        self.ends: asyncio.Queue[str] = asyncio.Queue()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65536):
                self.got += piece
                self.said.put_nowait(piece)
                writer.write(piece)
                await writer.drain()
            self.ends.put_nowait("fin")
            writer.write(b"bye")
        except ConnectionError:
            self.ends.put_nowait("reset")
        writer.close()


@pytest.fixture
async def echo() -> EchoServer:
    return EchoServer()


@pytest.fixture
async def proxy(echo: EchoServer) -> AsyncIterator[ToxicProxy]:
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with ToxicProxy(server.sockets[0].getsockname()) as it, asyncio.timeout(WITHIN_S):
        yield it
    server.close()


@asynccontextmanager
async def connected(
    proxy: ToxicProxy,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def test_without_toxics_every_byte_passes_and_is_counted(
    proxy: ToxicProxy, echo: EchoServer
) -> None:
    async with connected(proxy) as (reader, writer):
        writer.write(BIG)
        assert await reader.readexactly(len(BIG)) == BIG
        writer.write_eof()
        # The client's end alone: the server can still answer.
        assert await reader.read() == b"bye"
    await proxy.until(lambda it: not it.live)
    assert echo.got == BIG
    assert await echo.ends.get() == "fin"
    assert proxy.connections == 1
    assert proxy.passed == {Side.TO_SERVER: len(BIG), Side.TO_CLIENT: len(BIG) + 3}


async def test_one_that_is_down_refuses_and_leaves_open_connections_alone(
    proxy: ToxicProxy,
) -> None:
    async with connected(proxy) as (reader, writer):
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        await proxy.down()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"b")
        assert await reader.readexactly(1) == b"b"
        await proxy.up()
        async with connected(proxy) as (again, other):
            other.write(b"c")
            assert await again.readexactly(1) == b"c"
    assert proxy.connections == 2


async def test_a_reset_strikes_after_so_many_bytes(proxy: ToxicProxy, echo: EchoServer) -> None:
    proxy.poison(to_client=Toxic(reset_after=70_000))
    async with connected(proxy) as (reader, writer):
        writer.write(BIG)
        assert await reader.readexactly(70_000) == BIG[:70_000]
        with pytest.raises(ConnectionResetError):
            await reader.read()
    assert await echo.ends.get() == "reset"


async def test_a_reset_after_nothing_waits_for_the_first_byte(
    proxy: ToxicProxy, echo: EchoServer
) -> None:
    proxy.poison(to_client=Toxic(reset_after=0))
    async with connected(proxy) as (reader, writer):
        writer.write(b"request")
        with pytest.raises(ConnectionResetError):
            await reader.read()
    assert echo.got == b"request"


async def test_a_reset_at_once_reaches_no_server(proxy: ToxicProxy, echo: EchoServer) -> None:
    proxy.resets_at_once = True
    async with connected(proxy) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read()
    assert proxy.connections == 1
    assert echo.ends.empty()


async def test_live_connections_are_reset_on_demand(proxy: ToxicProxy) -> None:
    async with connected(proxy) as (reader, writer):
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await reader.read()
    await proxy.until(lambda it: not it.live)


async def test_a_black_hole_accepts_and_never_answers(proxy: ToxicProxy, echo: EchoServer) -> None:
    proxy.poison(to_server=BLACK_HOLE, to_client=BLACK_HOLE)
    async with connected(proxy) as (_, writer):
        writer.write(b"request")
        await proxy.until(lambda it: it.swallowed[Side.TO_SERVER] == 7)
        assert len(proxy.live) == 1
    assert echo.got == b""


async def test_a_connection_can_fall_silent_and_speak_again(
    proxy: ToxicProxy, echo: EchoServer
) -> None:
    async with connected(proxy) as (reader, writer):
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        proxy.poison(to_client=BLACK_HOLE)
        writer.write(b"lost")
        await proxy.until(lambda it: it.swallowed[Side.TO_CLIENT] == 4)
        proxy.poison()
        writer.write(b"b")
        assert await reader.readexactly(1) == b"b"
    assert echo.got == b"alostb"


async def test_a_limit_of_bytes_ends_both_sides(proxy: ToxicProxy, echo: EchoServer) -> None:
    proxy.poison(to_server=Toxic(close_after=5))
    async with connected(proxy) as (reader, writer):
        writer.write(b"0123456789")
        await reader.read()
    await echo.ends.get()
    assert echo.got == b"01234"


async def test_a_half_close_leaves_the_other_direction_open(
    proxy: ToxicProxy, echo: EchoServer
) -> None:
    proxy.poison(to_client=Toxic(half_close_after=4))
    async with connected(proxy) as (reader, writer):
        writer.write(b"012345")
        assert await reader.read() == b"0123"
        writer.write(b"still here")
        await proxy.until(lambda it: it.passed[Side.TO_SERVER] == 16)
        writer.write_eof()
        assert await echo.ends.get() == "fin"
    assert echo.got == b"012345still here"
    assert proxy.passed[Side.TO_CLIENT] == 4


async def test_an_end_can_be_kept_back(proxy: ToxicProxy, echo: EchoServer) -> None:
    proxy.poison(to_server=Toxic(end_delay_s=600))
    async with connected(proxy) as (reader, writer):
        writer.write(b"a")
        writer.write_eof()
        assert await reader.readexactly(1) == b"a"
        assert echo.ends.empty()
        proxy.poison()
        assert await echo.ends.get() == "fin"


async def test_latency_delays_and_keeps_the_bytes(proxy: ToxicProxy) -> None:
    proxy.poison(to_client=Toxic(latency_s=0.05, jitter_s=0.01))
    async with connected(proxy) as (reader, writer):
        began = time.monotonic()
        writer.write(b"abc")
        assert await reader.readexactly(3) == b"abc"
        assert time.monotonic() - began >= 0.05


async def test_bandwidth_is_kept_below_the_limit(proxy: ToxicProxy) -> None:
    proxy.poison(to_client=Toxic(bytes_per_s=1_000_000))
    async with connected(proxy) as (reader, writer):
        began = time.monotonic()
        writer.write(BIG[:100_000])
        assert await reader.readexactly(100_000) == BIG[:100_000]
        # The last piece is not waited for.
        assert time.monotonic() - began >= 0.07


async def test_slices_arrive_one_by_one(proxy: ToxicProxy) -> None:
    proxy.poison(to_client=Toxic(slice_bytes=3, slice_gap_s=600))
    async with connected(proxy) as (reader, writer):
        writer.write(b"0123456789")
        assert await reader.read(100) == b"012"
        await proxy.until(lambda it: it.passed[Side.TO_CLIENT] == 3)
        proxy.poison()  # what has been sliced is passed on with no more waits
        assert await reader.readexactly(7) == b"3456789"


async def test_a_server_that_is_not_there_resets_the_client(proxy: ToxicProxy) -> None:
    async with ToxicProxy(("127.0.0.1", 9)) as lonely, connected(lonely) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_healed_it_is_a_plain_proxy_without_old_connections(proxy: ToxicProxy) -> None:
    proxy.poison(to_server=BLACK_HOLE)
    async with connected(proxy) as (old, writer):
        writer.write(b"a")
        await proxy.until(lambda it: it.swallowed[Side.TO_SERVER] == 1)
        await proxy.heal()
        with pytest.raises(ConnectionResetError):
            await old.read()
    async with connected(proxy) as (reader, writer):
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
