"""An egress proxy that tunnels, or refuses to, and keeps the heads of what it was asked."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

_PIECE_BYTES = 1 << 16


class ProxyServer:
    """Tunnels to `target`, a port of this machine, whatever host it is asked for.

    `answer` given, it says that instead and closes; an empty one, it says nothing.
    """

    def __init__(self, target: int, *, answer: bytes | None = None, noise: bytes = b"") -> None:
        self.heads: list[bytes] = []
        self._target = target
        self._answer = answer
        self._noise = noise
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        with suppress(OSError, EOFError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            if self._answer is None:
                await self._tunnel(reader, writer)
            elif self._answer:
                writer.write(self._answer)
            else:
                await reader.read()
        writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(there_writer)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n" + self._noise)
        await asyncio.gather(_pass_on(reader, there_writer), _pass_on(there_reader, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    writer.close()
