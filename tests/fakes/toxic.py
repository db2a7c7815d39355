"""A TCP proxy that spoils connections as bad networks and dying servers do, while they live.

    async with ToxicProxy(("127.0.0.1", fake.port)) as proxy:
        ... connect to proxy.port, or send to proxy.instead_of(fake.base_url) ...
        proxy.poison(to_client=Toxic(reset_after=1000))
        await proxy.until(lambda it: not it.live)

Counts and faults are of bytes; only latency, bandwidth and gaps are of seconds.
"""

import asyncio
import fcntl
import random
import socket
import struct
import termios
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from urllib.parse import urlsplit

_PIECE_BYTES = 64 << 10
_PIECES_A_SECOND = 50
_LINGER_NONE = struct.pack("ii", 1, 0)  # the kernel throws away what is unsent, and resets


class Side(StrEnum):
    """Where bytes go."""

    TO_SERVER = "to_server"
    TO_CLIENT = "to_client"


@dataclass(frozen=True, slots=True)
class Toxic:
    """What becomes of the bytes of one direction. Counts begin anew when it is put on.

    A fault after 0 bytes strikes when the first byte comes, and passes none on.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float | None = None
    slice_bytes: int | None = None
    slice_gap_s: float = 0.0
    swallow: bool = False
    """Bytes vanish, and so does the end of them; the connection stays."""
    reset_after: int | None = None
    """Both sides get a RST."""
    close_after: int | None = None
    """Both sides get a FIN, and nothing more passes."""
    half_close_after: int | None = None
    """This direction gets a FIN and passes no more; the other one goes on."""
    end_delay_s: float = 0.0
    """How long the sender's own FIN is kept back."""


CLEAN = Toxic()
BLACK_HOLE = Toxic(swallow=True)


class _Reset(Exception):
    """The connection ends with a RST."""


class _Closed(Exception):
    """The connection ends with a FIN."""


class ToxicProxy:
    """Listens on a port of its own, the same for its whole life, and connects to `address`."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.connections = 0
        self.live: set[_Link] = set()
        self.passed = dict.fromkeys(Side, 0)
        self.swallowed = dict.fromkeys(Side, 0)
        self.toxics = dict.fromkeys(Side, CLEAN)
        self.resets_at_once = False
        """Whether a connection is reset as soon as it is accepted."""
        self.port = 0
        self.poisoned = asyncio.Event()
        self.chance = random.Random(7)
        self._address = address
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()

    async def up(self) -> None:
        """Accept connections."""
        if self._accepting is None:
            self._bind()
            assert self._socket is not None
            self._socket.listen(1024)
            self._accepting = asyncio.create_task(self._accept(self._socket))

    async def down(self) -> None:
        """Refuse connections; those that are open stay so."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
            self._accepting = None
            self._bind()  # without listening: the port stays ours, and refuses

    def poison(self, *, to_server: Toxic = CLEAN, to_client: Toxic = CLEAN) -> None:
        """Put toxics on connections to come and on those that are open."""
        self.toxics = {Side.TO_SERVER: to_server, Side.TO_CLIENT: to_client}
        self.poisoned.set()
        self.poisoned = asyncio.Event()

    async def heal(self) -> None:
        """Be a plain proxy again, with no connection left over from before."""
        self.resets_at_once = False
        self.poison()
        self.reset()
        await self.until(lambda it: not it.live)
        await self.up()

    def reset(self) -> None:
        """Reset every connection at once."""
        for link in self.live:
            link.end(with_reset=True)

    def instead_of(self, url: str) -> str:
        """The URL with this proxy in the place of its host."""
        return urlsplit(url)._replace(netloc=f"127.0.0.1:{self.port}").geturl()

    async def until(self, condition: Callable[["ToxicProxy"], bool], timeout_s: float = 30) -> None:
        """Wait until `condition` holds; it is asked again whenever a count changes."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _bind(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setblocking(False)
        self._socket.bind(("127.0.0.1", self.port))
        self.port = self._socket.getsockname()[1]

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            client, _ = await asyncio.get_running_loop().sock_accept(listener)
            self.connections += 1
            task = asyncio.create_task(self._serve(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: socket.socket) -> None:
        await self.tell()
        if self.resets_at_once:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
            client.close()
            return
        there = await asyncio.open_connection(sock=client)
        try:
            here = await asyncio.open_connection(*self._address)
        except OSError:
            _end(there[1], with_reset=True)
            return
        link = _Link(self, there, here)
        self.live.add(link)
        try:
            await link.run()
        finally:
            self.live.discard(link)
            await self.tell()


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Link:
    """One connection of a client, and ours to the server for it."""

    def __init__(self, proxy: ToxicProxy, client: _Streams, server: _Streams) -> None:
        self._proxy = proxy
        self._streams = {
            Side.TO_SERVER: (client[0], server[1]),
            Side.TO_CLIENT: (server[0], client[1]),
        }
        for _, writer in self._streams.values():
            writer.transport.set_write_buffer_limits(0)  # so that draining means sent

    def end(self, *, with_reset: bool) -> None:
        for _, writer in self._streams.values():
            _end(writer, with_reset=with_reset)

    async def run(self) -> None:
        with_reset = True
        try:
            async with asyncio.TaskGroup() as directions:
                for side in Side:
                    directions.create_task(self._pass_all(side))
            with_reset = False
        except* _Closed:
            with_reset = False
        except* (_Reset, OSError):
            pass
        finally:
            self.end(with_reset=with_reset)

    async def _pass_all(self, side: Side) -> None:
        reader, writer = self._streams[side]
        toxic, passed, is_open = CLEAN, 0, True
        while piece := await reader.read(_most(self._proxy.toxics[side])):
            if self._proxy.toxics[side] is not toxic:
                toxic, passed = self._proxy.toxics[side], 0
            if toxic.swallow or not is_open:
                self._proxy.swallowed[side] += len(piece)
                await self._proxy.tell()
                continue
            jitter_s = self._proxy.chance.uniform(0, toxic.jitter_s)
            await self._wait(side, toxic, toxic.latency_s + jitter_s)
            fault = _fault(toxic, passed + len(piece))
            piece = piece if fault is None else piece[: fault[0] - passed]
            await self._pass(side, toxic, piece)
            passed += len(piece)
            if fault is not None:
                await _flushed(writer)
                if fault[1] is not None:
                    raise fault[1]
                writer.write_eof()
                is_open = False
        toxic = self._proxy.toxics[side]
        await self._wait(side, toxic, toxic.end_delay_s)
        if is_open and not self._proxy.toxics[side].swallow:
            writer.write_eof()

    async def _pass(self, side: Side, toxic: Toxic, piece: bytes) -> None:
        _, writer = self._streams[side]
        for part in _slices(piece, toxic.slice_bytes):
            writer.write(part)
            await writer.drain()
            self._proxy.passed[side] += len(part)
            await self._proxy.tell()
            await self._wait(side, toxic, toxic.slice_gap_s)
            if toxic.bytes_per_s is not None:
                await self._wait(side, toxic, len(part) / toxic.bytes_per_s)

    async def _wait(self, side: Side, toxic: Toxic, seconds: float) -> None:
        """Wait for as long as this toxic is on."""
        if seconds and self._proxy.toxics[side] is toxic:
            try:
                async with asyncio.timeout(seconds):
                    await self._proxy.poisoned.wait()
            except TimeoutError:
                return


def _most(toxic: Toxic) -> int:
    """How much to take at once: little where it will be passed on slowly."""
    if toxic.bytes_per_s is None:
        return _PIECE_BYTES
    return max(1, min(_PIECE_BYTES, int(toxic.bytes_per_s / _PIECES_A_SECOND)))


def _fault(toxic: Toxic, arrived: int) -> tuple[int, Exception | None] | None:
    """After how many bytes the fault strikes, if it does by now, and how the connection ends."""
    faults: tuple[tuple[int | None, Exception | None], ...] = (
        (toxic.reset_after, _Reset()),
        (toxic.close_after, _Closed()),
        (toxic.half_close_after, None),
    )
    due = [(at, end) for at, end in faults if at is not None and arrived >= at]
    return min(due, key=lambda fault: fault[0]) if due else None


def _slices(piece: bytes, size: int | None) -> Iterator[bytes]:
    step = size or len(piece) or 1
    for start in range(0, len(piece), step):
        yield piece[start : start + step]


def _end(writer: asyncio.StreamWriter, *, with_reset: bool) -> None:
    if with_reset and not writer.transport.is_closing():
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        writer.transport.abort()
    else:
        writer.close()


async def _flushed(writer: asyncio.StreamWriter) -> None:
    """Wait until the other side has got all: a reset would overtake it."""
    raw = writer.get_extra_info("socket")
    while any(fcntl.ioctl(raw.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")):
        await asyncio.sleep(0.001)
