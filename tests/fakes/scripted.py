"""A server that answers every request with given bytes, for what no well-behaved server sends."""

import asyncio
import socket
import ssl
import struct
from enum import StrEnum
from types import TracebackType
from typing import Self


class End(StrEnum):
    """What follows an answer."""

    KEEP = "keep"
    FIN = "fin"
    RST = "rst"
    HANG = "hang"


class ScriptedServer:
    """Counts connections and requests, and keeps what it was sent."""

    def __init__(
        self,
        answer: bytes,
        end: End = End.KEEP,
        *,
        piece: int = 0,
        tls: ssl.SSLContext | None = None,
        reads_body: bool = True,
    ) -> None:
        self.connections = 0
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.left = asyncio.Event()
        self._answer = answer
        self._end = end
        self._piece = piece or len(answer) or 1
        self._tls = tls
        self._reads_body = reads_body
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
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
        await asyncio.gather(*self._tasks)

    def base_url(self, scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}/v1"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self.left.set()
            self._writers.discard(writer)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:") and self._reads_body:
                self.bodies.append(await reader.readexactly(int(line.split(b":")[1])))
        for start in range(0, len(self._answer), self._piece):
            writer.write(self._answer[start : start + self._piece])
            await writer.drain()
            await asyncio.sleep(0)
        if self._end is End.HANG:
            await reader.read()
        if self._end is End.RST:
            await asyncio.sleep(0.03)  # the client is to see the answer before the reset
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        return self._end is End.KEEP
