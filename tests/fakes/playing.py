"""A server that plays a part written by the test, for answers whose timing matters."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(eq=False)
class Scene:
    """One request: which it is of its connection and of the server, both counted from 1."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: bytes
    body: bytes
    connection: int
    request: int
    turn: int


Part = Callable[[Scene], Awaitable[bool]]
"""Answers a request; True keeps the connection."""


class PlayingServer:
    """Counts connections and requests; `reads_body` False leaves the bodies to the part."""

    def __init__(
        self, part: Part, *, tls: ssl.SSLContext | None = None, reads_body: bool = True
    ) -> None:
        self.connections = 0
        self.requests = 0
        self.open = 0
        self.heads: list[bytes] = []
        self._part = part
        self._tls = tls
        self._reads_body = reads_body
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", 0, ssl=self._tls, limit=1 << 20, backlog=1000
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def base_url(self, scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}/v1"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        self.open += 1
        try:
            await self._converse(reader, writer, self.connections)
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # a cancelled one would be told of by asyncio's streams
        finally:
            self.open -= 1
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> None:
        turn = 0
        keep = True
        while keep:
            head = await reader.readuntil(b"\r\n\r\n")
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            body = await reader.readexactly(length) if self._reads_body else b""
            turn += 1
            self.requests += 1
            self.heads.append(head)
            scene = Scene(reader, writer, head, body, connection, self.requests, turn)
            keep = await self._part(scene)
            await writer.drain()


def says(answer: bytes, *, keep: bool = True) -> Part:
    """The part that answers everything alike."""

    async def part(scene: Scene) -> bool:
        scene.writer.write(answer)
        return keep

    return part


async def until(condition: Callable[[], bool], timeout_s: float = 5) -> None:
    """Wait for what nobody announces."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while not condition():
        assert loop.time() < end, "it did not come to pass"
        await asyncio.sleep(0.002)
