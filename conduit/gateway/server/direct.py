"""The short way of a plain request: from its bytes to its handler, past aiohttp's server.

aiohttp makes a message, a URL, a payload, a writer, a request and a task for each request, which
costs about as much as all that the gateway does to one. Most requests need none of it: a POST to
a known path that has arrived whole, in one piece, with nothing in its head that changes how it is
to be read. Those are served here, on the connection that aiohttp's handler owns; everything else
goes to aiohttp, bytes and all, and is read, refused or answered by it.

What is handed to aiohttp leaves its parser in a state that cannot be seen. So the bytes of a
request that goes there are counted where its length is known, and this way is open again once it
has had exactly those; otherwise the connection stays with aiohttp for good.
"""

import asyncio
import logging
from typing import Any, Final, Protocol, cast

from aiohttp import HttpVersion, HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDictProxy

from conduit.gateway.server.plain_requests import UNREAD, PlainHead, RequestReader
from conduit.gateway.server.prepared import WholeAnswer

_log = logging.getLogger(__name__)

_MOST_HELD_BYTES: Final = 64 * 1024
_MOST_AWAITED_BYTES: Final = 1024 * 1024
_REST_WITHIN_S: Final = 0.05


class Carrier(Protocol):
    """The connection that requests come by: aiohttp's handler, as far as it is needed here."""

    @property
    def transport(self) -> asyncio.Transport | None: ...

    async def _drain_helper(self) -> None: ...

    def to_aiohttp(self, data: bytes) -> None:
        """Have aiohttp read what was put aside."""
        ...

    def served_directly(self, held: bytes, *, stays_open: bool) -> None:
        """The request has been answered; `held` came meanwhile."""
        ...


class DirectRequest(web.BaseRequest):
    """A request that came the short way, its body included. It is its own writer."""

    # Where the base has properties, these are plain attributes: they are asked for often.
    headers: CIMultiDictProxy[str] = cast(CIMultiDictProxy[str], None)
    method: str = hdrs.METH_POST
    version: HttpVersion = HttpVersion11
    remote: str | None = None
    secure: bool = False
    keep_alive: bool = True  # one that is to be closed goes to aiohttp
    output_size: int = 0

    def __init__(self, carrier: Carrier, peer: "Peer", head: PlainHead, body: bytes) -> None:
        # Not the base's: what it makes is what this is there to do without.
        self._carrier = carrier
        self.remote = peer.address
        self.secure = peer.secure
        self.plain_head = head
        self.headers = head.headers
        self._state = {}
        self.whole_body = body

    def __setitem__(self, key: Any, value: Any) -> None:  # noqa: ANN401  # as the base's, unchecked
        self._state[key] = value

    @property
    def path(self) -> str:
        return self.plain_head.path

    @property
    def raw_path(self) -> str:
        return self.plain_head.path

    @property
    def transport(self) -> asyncio.Transport | None:
        return self._carrier.transport

    @property
    def writer(self) -> AbstractStreamWriter:
        return cast(AbstractStreamWriter, self)

    async def drain(self) -> None:
        """Wait until the connection takes more. Raises ConnectionError."""
        await self._carrier._drain_helper()  # aiohttp's own writer calls it


class Peer:
    """The other end of a connection, as every request on it has it."""

    __slots__ = ("address", "secure")

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        name = transport.get_extra_info("peername")
        self.address: str | None = None if name is None else _address_in(name)
        self.secure = transport.get_extra_info("sslcontext") is not None


class DirectLine:
    """The short way on one connection: takes a request at a time and serves it in its own task."""

    __slots__ = (
        "_begun",
        "_carrier",
        "_elsewhere",
        "_ended",
        "_held",
        "_late",
        "_loop",
        "_missing",
        "_peer",
        "_reader",
        "_task",
        "_wake",
        "request",
    )

    def __init__(
        self, carrier: Carrier, transport: asyncio.BaseTransport, reader: RequestReader
    ) -> None:
        self._carrier = carrier
        self._reader = reader
        self._peer = Peer(transport)
        self._loop = asyncio.get_running_loop()
        self._elsewhere = 0  # bytes of a request that aiohttp is to have yet; below 0: for good
        self._begun: list[bytes] = []  # the head of a plain request, and what has come of its body
        self._missing = 0  # bytes of it that have not come
        self._late: asyncio.TimerHandle | None = None  # when they should have
        self.request: DirectRequest | None = None
        """What is served."""
        self._held = b""
        self._wake: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None  # what is served, for one who waits
        self._task: asyncio.Task[None] | None = None

    def left_of(self, data: bytes, *, idle: bool) -> bytes:
        """What aiohttp is to have of what has arrived: nothing where it is one plain request.

        It is told of everything that arrives while nothing is served. `idle` is whether aiohttp
        waits for a request.
        """
        if self._elsewhere:
            # Of what aiohttp was still to have, this is a part; more than that is for good.
            self._elsewhere = self._elsewhere - len(data) if self._elsewhere > 0 else -1
            return data
        if self._late is not None:
            self._begun.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return b""
            self._late.cancel()
            self._late = None
            data, self._begun = b"".join(self._begun), []
        read = self._reader.read(data) if idle else UNREAD
        head = read.head
        if head is None:
            self._elsewhere = read.missing
            if read.is_plain and 0 < read.missing < _MOST_AWAITED_BYTES:
                return self._wait_for_the_rest(data)
            return data
        self.request = DirectRequest(self._carrier, self._peer, head, read.body)
        if self._task is None:
            self._task = self._loop.create_task(self._serve_all())
        elif (wake := self._wake) is not None and not wake.done():
            wake.set_result(None)
        return b""

    def _wait_for_the_rest(self, data: bytes) -> bytes:
        """Many clients write a head and its body apart, and a larger body comes in several reads:
        what is missing is there the next moment.

        If not, aiohttp has the head, so that who may not come in is told so without it.
        """
        self._missing, self._elsewhere = self._elsewhere, 0
        self._begun = [data]
        self._late = self._loop.call_later(_REST_WITHIN_S, self._give_up)
        return b""

    def _give_up(self) -> None:
        begun, self._begun, self._late = b"".join(self._begun), [], None
        self._elsewhere = self._missing
        self._carrier.to_aiohttp(begun)

    def hold(self, data: bytes) -> None:
        """Keep what comes while a request is served."""
        self._held += data
        if len(self._held) > _MOST_HELD_BYTES and self._carrier.transport is not None:
            self._carrier.transport.pause_reading()

    def stop(self) -> None:
        """The connection is gone: so is the caller of what is served."""
        self._elsewhere = -1
        if self._late is not None:
            self._late.cancel()
        if self._task is not None:
            self._task.cancel()

    async def finish(self, timeout_s: float | None) -> None:
        """Wait for what is served to end; after the time it is ended."""
        if self.request is None:
            return
        self._ended = self._loop.create_future()
        await asyncio.wait([self._ended], timeout=timeout_s)
        self.stop()

    async def _serve_all(self) -> None:
        while True:
            request = self.request
            if request is None:
                self._wake = wake = self._loop.create_future()
                await wake
                continue
            stays_open = False
            handler = request.plain_head.handler
            try:
                try:
                    response = await handler.handle(request)
                except Exception as error:  # noqa: BLE001  # the last stop, see errors.error_answers
                    response = handler.answer_error(request, error)
                if isinstance(response, WholeAnswer):
                    stays_open = response.send(request)
                else:
                    await response.prepare(request)
                    await response.write_eof()
                    stays_open = bool(response.keep_alive)
            except ConnectionError:
                pass  # nobody is there to be told
            except Exception:  # noqa: BLE001  # the connection's last stop: the next one must be served
                _log.exception("a request could not be answered")
                if self._carrier.transport is not None:
                    self._carrier.transport.abort()
            self.request = None
            if self._ended is not None and not self._ended.done():
                self._ended.set_result(None)
            if held := self._held:
                self._held = b""
                if self._carrier.transport is not None:
                    self._carrier.transport.resume_reading()
            self._carrier.served_directly(held, stays_open=stays_open)


def _address_in(name: object) -> str:
    return str(name[0]) if isinstance(name, tuple | list) else str(name)
