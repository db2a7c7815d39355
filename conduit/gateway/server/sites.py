"""A place to accept connections at, in the clear or under TLS."""

import asyncio
import socket
import ssl
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

BACKLOG: Final = 1024
"""Connections that wait to be accepted."""

_LEAVING_S: Final = 60.0
"""How long a connection may take to end under TLS, what is left to send included."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """How connections begin under TLS, and how long that may take."""

    context: ssl.SSLContext
    timeout_s: float


class Site(web.BaseSite):
    """Accepts at an address, or from a socket that listens already.

    aiohttp's own sites cannot limit the time of a handshake.
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
        assert server is not None, "a site is made for a runner that is set up"
        create = asyncio.get_running_loop().create_server
        options = _options(self._handshake)
        if isinstance(self._at, socket.socket):
            self._server = await create(server, sock=self._at, **options)
        else:
            host, port = self._at
            self._server = await create(server, host, port, reuse_address=True, **options)


def _options(handshake: Handshake | None) -> dict[str, Any]:
    if handshake is None:
        return {"backlog": BACKLOG}
    return {
        "backlog": BACKLOG,
        "ssl": handshake.context,
        "ssl_handshake_timeout": handshake.timeout_s,
        "ssl_shutdown_timeout": _LEAVING_S,
    }
