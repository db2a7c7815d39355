"""A server that gives answers by the byte, one kind at a time, and keeps the requests it got."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tests.fakes.scripted import End

REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 429: "Too Many Requests"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What every request is answered with.

    A body in several pieces goes out piece by piece, without a length; what `end` says follows it.
    With `last_late` the last piece is read by itself.
    """

    status: int = 200
    pieces: tuple[bytes, ...] = (b"{}",)
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    chunked: bool = False
    last_late: bool = False
    end: End = End.KEEP


@dataclass(frozen=True, slots=True)
class Received:
    """One request as its bytes came."""

    line: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class ReplayUpstream:
    """The server; set `reply` before a request is made.

    `refuse` may answer a request itself, as what stands before a model does.
    """

    def __init__(self, refuse: Callable[[Received], Reply | None] = lambda _: None) -> None:
        self.reply = Reply()
        self._refuse = refuse
        self.requests: list[Received] = []
        self.left = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is served in a task"
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            self.left.set()
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.rstrip("\r\n").split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (each.partition(": ") for each in rest)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        received = Received(line, headers, body)
        self.requests.append(received)
        reply = self._refuse(received) or self.reply
        await self._answer(reply, writer)
        if reply.end is End.HANG:
            await reader.read()
        if reply.end is End.RST:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        return reply.end is End.KEEP

    @staticmethod
    async def _answer(reply: Reply, writer: asyncio.StreamWriter) -> None:
        headers = {"content-type": reply.content_type, **reply.headers}
        if reply.chunked:
            headers["transfer-encoding"] = "chunked"
        else:
            headers["content-length"] = str(sum(map(len, reply.pieces)))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        reason = REASONS.get(reply.status, "Whatever")
        writer.write(f"HTTP/1.1 {reply.status} {reason}\r\n{head}\r\n".encode("latin-1"))
        for number, piece in enumerate(reply.pieces, 1):
            if reply.last_late and number == len(reply.pieces):
                await asyncio.sleep(0.02)
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if reply.chunked else piece)
            await writer.drain()
            await asyncio.sleep(0)
        if reply.end is not End.KEEP:
            await asyncio.sleep(0.02)  # what was sent is to be seen before the end
        elif reply.chunked:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
