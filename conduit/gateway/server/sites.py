"""A place to accept connections at, in the clear or under TLS."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Final

from aiohttp import web

from conduit.gateway.server.greeting import Greeting, Handshake
from conduit.gateway.server.runner import EdgeServer

BACKLOG: Final = 1024
"""Connections that wait to be accepted."""


class Site(web.BaseSite):
    """Accepts at an address, or from a socket that listens already.

    aiohttp's own sites can limit neither the time nor the number of handshakes.
    """

    def __init__(
        self,
        runner: web.AppRunner,
        at: tuple[str, int] | socket.socket,
        handshake: Handshake | None = None,
    ) -> None:
        super().__init__(runner, backlog=BACKLOG)
        self._at = at
        self._handshake = handshake

    @property
    def name(self) -> str:
        host, port = self._at if isinstance(self._at, tuple) else self._at.getsockname()[:2]
        return f"{'http' if self._handshake is None else 'https'}://{host}:{port}"

    async def start(self) -> None:
        """Raises OSError where the address cannot be had."""
        await super().start()
        server = self._runner.server
        assert isinstance(server, EdgeServer), "a site is made for a runner that is set up"
        create = partial(asyncio.get_running_loop().create_server, backlog=BACKLOG)
        made = _greeting(server, self._handshake)
        if isinstance(self._at, socket.socket):
            self._server = await create(made, sock=self._at)
        else:
            host, port = self._at
            self._server = await create(made, host, port, reuse_address=True)


def _greeting(server: EdgeServer, handshake: Handshake | None) -> Callable[[], asyncio.Protocol]:
    """What is made for each connection."""
    if handshake is None:
        return server
    return partial(Greeting, server, handshake, server.heads)
