"""Passes bytes on to a server, and can fall silent as a broken network does."""

import asyncio
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

_PIECE_BYTES = 64 << 10


class Relay:
    """Listens on a port of its own; belongs to one event loop."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._audible = asyncio.Event()
        self._audible.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._forgotten: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()
        self.cut()
        for writer in self._forgotten:
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def accept(self) -> None:
        """Listen, on the same port each time."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Listen no more; connections that are open stay so."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def instead_of(self, url: str) -> str:
        """The URL with this relay in the place of its host."""
        parts = urlsplit(url)
        user = parts.netloc.rpartition("@")[0]
        host = f"{user}@127.0.0.1:{self.port}" if user else f"127.0.0.1:{self.port}"
        return parts._replace(netloc=host).geturl()

    def hush(self) -> None:
        """Pass nothing on: connections stay open, and nobody is told."""
        self._audible.clear()

    def speak(self) -> None:
        self._audible.set()

    def forget(self) -> None:
        """Leave the present connections as they are for good: nobody is told of their end."""
        self._forgotten += self._writers
        self._writers.clear()
        for task in self._tasks:
            task.cancel()

    def cut(self) -> None:
        """Break every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._audible.wait()
        server_reader, server_writer = await asyncio.open_connection(*self._address)
        for source, target in ((reader, server_writer), (server_reader, writer)):
            self._writers.add(target)
            task = asyncio.create_task(self._pass_on(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await source.read(_PIECE_BYTES):
                await self._audible.wait()
                target.write(piece)
                await target.drain()
        self._writers.discard(target)
        target.close()
