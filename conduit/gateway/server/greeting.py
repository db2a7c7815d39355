"""Handshakes of TLS, which are waited for as the heads of requests are: for so long, so many."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, cast

from conduit.gateway.server.guard import DeadlineGuard

_LEAVING_S: Final = 60.0
"""How long a connection may take to end under TLS, what is left to send included."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """How connections begin under TLS, and how long that may take."""

    context: ssl.SSLContext
    timeout_s: float


class Greeting(asyncio.Protocol):
    """A connection until its handshake is over; then what `serve` makes takes its place.

    asyncio's own listeners under TLS tell nobody of a connection before that, so that any number of
    them could be open. The guard ends the oldest when there are too many.
    """

    def __init__(
        self, serve: Callable[[], asyncio.Protocol], handshake: Handshake, guard: DeadlineGuard
    ) -> None:
        self._serve = serve
        self._handshake = handshake
        self._guard = guard
        self._first = _First()
        self._wire: asyncio.Transport | None = None
        self._starting: Coroutine[Any, Any, asyncio.Transport | None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake at once.

        A task would begin it a turn later, when uvloop has read the client's first bytes already
        and given them to us. So the coroutine's first step is made here, and its only other one
        when the future that it waits for is done.
        """
        wire = self._wire = cast(asyncio.Transport, transport)
        self._guard.expect(self)
        self._starting = asyncio.get_running_loop().start_tls(
            wire,
            self._first,
            self._handshake.context,
            server_side=True,
            ssl_handshake_timeout=self._handshake.timeout_s,
            ssl_shutdown_timeout=_LEAVING_S,
        )
        waiting: asyncio.Future[None] = self._starting.send(None)
        waiting.add_done_callback(self._shaken)

    def drop(self) -> None:
        """End the connection at once."""
        if self._wire is not None:
            self._wire.abort()

    def _shaken(self, waiting: "asyncio.Future[None]") -> None:
        assert self._starting is not None
        assert self._wire is not None
        self._guard.release(self)
        if waiting.cancelled() or waiting.exception() is not None:
            # It is no TLS, or not in time, or the client has gone: nothing that a log should tell.
            self._starting.close()
            self._wire.abort()
            return
        try:
            self._starting.send(None)
        except StopIteration as started:
            if started.value is not None and not self._first.lost:
                self._first.hand_over(self._serve(), started.value)


class _First(asyncio.Protocol):
    """Keeps what comes with the end of a handshake, before anybody is there to take it."""

    def __init__(self) -> None:
        self.lost = False
        self._ended = False
        self._data: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self._data.append(data)

    def eof_received(self) -> None:
        self._ended = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True

    def hand_over(self, server: asyncio.Protocol, secured: asyncio.Transport) -> None:
        secured.set_protocol(server)
        server.connection_made(secured)
        for data in self._data:
            server.data_received(data)
        if self._ended:
            server.eof_received()
