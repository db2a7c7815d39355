"""aiohttp's server with our guard before it and our words for its refusals."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from aiohttp import hdrs, web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from conduit.core.errors import (
    ConduitError,
    HeadTooLargeError,
    InvalidRequestError,
    UpstreamTimeoutError,
)
from conduit.gateway.server.bare import BareResponse
from conduit.gateway.server.direct import DirectLine
from conduit.gateway.server.errors import EncodeError, error_headers, forget_trace, unexpected
from conduit.gateway.server.guard import HEAD_DEADLINE_S, DeadlineGuard, Guarded
from conduit.gateway.server.handlers import DirectHandler
from conduit.gateway.server.headers import request_id
from conduit.gateway.server.plain_requests import AVAILABLE, RequestReader
from conduit.gateway.server.progress import bytes_left, hold_little

_log = logging.getLogger(__name__)

AnyHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

DIRECT = web.AppKey("direct", Mapping[str, DirectHandler])
"""An application's handlers, by their paths, that are called past it: those of every request."""

# Put into the queue of requests as the library puts its own; the exception is never raised.
_TOO_LARGE: Final = _ErrInfo(400, LineTooLong(b"", 0), "")
_TOO_MANY: Final = "Too many headers received"
_UNSENT_BYTES: Final = 64 * 1024
_CROWD_LOOK_S: Final = 0.1
_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)
_LIMITS: Final = "the request line and each header may have 8 KiB; 64 headers, 32 KiB in all"


@dataclass(frozen=True, slots=True)
class EdgeOptions:
    """Limits of the connections that the server accepts.

    `stall_s` is asked anew each time: how long a client may take none of the bytes that wait for
    it; one that takes a few is waited for. `max_head_bytes` is for all header lines of a request
    together. Beyond `max_connections` those end that have been idle for longest, between two
    requests; None for any number.
    """

    head_deadline_s: float = HEAD_DEADLINE_S
    keepalive_s: float = 75.0
    max_incomplete_heads: int = 2_000
    max_connections: int | None = None
    max_line_bytes: int = 8 * 1024
    max_field_bytes: int = 8 * 1024
    max_headers: int = 64
    max_head_bytes: int = 32 * 1024
    stall_s: Callable[[], float] = lambda: 60.0


class GatewayRunner(web.AppRunner):
    """Runs an application behind the edge."""

    def __init__(
        self,
        app: web.Application,
        encode_error: EncodeError,
        options: EdgeOptions | None = None,
        *,
        shutdown_timeout: float = 60.0,
    ) -> None:
        super().__init__(app, access_log=None, shutdown_timeout=shutdown_timeout)
        self._encode_error = encode_error
        self._options = options or EdgeOptions()

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        direct = self.app.get(DIRECT, {})
        return EdgeServer(plain, self._encode_error, self._options, direct)


class EdgeServer(web.Server):
    """Makes a guarded handler for each connection."""

    def __init__(
        self,
        plain: web.Server,
        encode_error: EncodeError,
        options: EdgeOptions,
        direct: Mapping[str, DirectHandler],
    ) -> None:
        super().__init__(
            _past_the_application(direct, plain.request_handler),
            request_factory=plain.request_factory,
            # A caller that hangs up cancels its handler: the provider's connection is closed at
            # once. What must not be cancelled (settling, changes of configuration) is synchronous
            # or shielded.
            handler_cancellation=True,
        )
        loop = asyncio.get_running_loop()
        self.reader = RequestReader(direct) if direct and AVAILABLE else None
        self.encode_error = encode_error
        self.max_head_bytes = options.max_head_bytes
        self.crowd = Crowd(loop, options.max_connections)
        self.heads = DeadlineGuard(
            loop, lambda: options.head_deadline_s, most=options.max_incomplete_heads
        )
        self.stalls = DeadlineGuard(loop, options.stall_s, spares=_has_taken_some)
        self.handler_options: dict[str, Any] = {
            "loop": loop,
            "keepalive_timeout": options.keepalive_s,
            "max_line_size": options.max_line_bytes,
            "max_field_size": options.max_field_bytes,
            "max_headers": options.max_headers,
            "access_log": None,
            "auto_decompress": False,  # a compressed body is refused, never inflated
        }

    def __call__(self) -> RequestHandler:
        return EdgeHandler(self)

    async def shutdown(self, timeout: float | None = None) -> None:
        self.heads.close()
        await super().shutdown(timeout)
        self.stalls.close()


class Crowd:
    """All connections there are; where they are too many, some of the idle ones make room."""

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int | None) -> None:
        self._loop = loop
        self._most = most
        self._there: dict[EdgeHandler, None] = {}  # in the order of their coming
        self._looks_at = 0.0

    def enter(self, connection: "EdgeHandler") -> None:
        self._there[connection] = None
        if self._most is not None and len(self._there) > self._most:
            self._make_room()

    def leave(self, connection: "EdgeHandler") -> None:
        self._there.pop(connection, None)

    def _make_room(self) -> None:
        """End those that have been idle for longest: more than are too many, as it takes a look at
        each connection.
        """
        now = self._loop.time()
        if now < self._looks_at:
            return
        self._looks_at = now + _CROWD_LOOK_S
        assert self._most is not None
        wanted = len(self._there) - self._most + self._most // 20
        idle = [each for each in self._there if each.rests()]
        idle.sort(key=EdgeHandler.rests_until)
        for each in idle[:wanted]:
            each.force_close()


def _past_the_application(
    direct: Mapping[str, DirectHandler], application: AnyHandler
) -> AnyHandler:
    """Calls what is asked for all day without routing and middlewares, everything else through."""

    def handle(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        handler = direct.get(request.raw_path)
        # The application knows what to tell other methods, and how to wait for a body.
        if handler is None or request.method != hdrs.METH_POST or hdrs.EXPECT in request.headers:
            return application(request)
        return handler(request)

    return handle


class EdgeHandler(RequestHandler):
    """One connection: tells the guards what it waits for, and answers what is not HTTP."""

    __slots__ = (
        "_awaits_head",
        "_direct",
        "_edge",
        "_ends_next",
        "_ending",
        "_head_bytes",
        "_waiting_bytes",
        "_wire",
    )

    def __init__(self, server: EdgeServer) -> None:
        super().__init__(server, **server.handler_options)
        self._edge = server
        self._awaits_head = False
        self._head_bytes = 0
        self._ending = False
        self._waiting_bytes = 0
        self._wire: asyncio.Transport | None = None
        self._direct: DirectLine | None = None
        self._ends_next = False  # once what is served directly has been

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        super().connection_made(transport)
        if self._edge.reader is not None:
            self._direct = DirectLine(self, transport, self._edge.reader)
        _keep_little_unsent(transport)
        hold_little(self._wire)
        if (serving := self._task_handler) is not None:
            serving.add_done_callback(self._served)
        self._expect_head()
        self._edge.crowd.enter(self)

    def data_received(self, data: bytes) -> None:
        direct = self._direct
        if direct is not None and data:
            if direct.request is not None:
                direct.hold(data)
                return
            # Of most connections aiohttp has had nothing (it counts each request that it is to
            # serve), so that it waits for its first one.
            untouched = not (self._request_count or self._head_bytes or self._close)
            data = direct.left_of(data, idle=untouched or self._is_idle())
            if not data:
                if self._awaits_head:
                    self._awaits_head = False
                    self._edge.heads.release(self)
                return
        self.to_aiohttp(data)

    def _is_idle(self) -> bool:
        """Whether aiohttp waits for a request of which nothing has come."""
        if self._head_bytes or self._messages or self._close:
            return False
        # Before its first request it may not have begun to wait.
        waiter = self._waiter
        return not self._request_count or (waiter is not None and not waiter.done())

    def rests(self) -> bool:
        """Whether it is between two requests, of the next of which nothing has come."""
        serving = self._direct is not None and self._direct.request is not None
        return not (serving or self._awaits_head) and self._is_idle()

    def rests_until(self) -> float:
        """When it would be ended for being idle."""
        return self._next_keepalive_close_time

    def to_aiohttp(self, data: bytes) -> None:
        """See `direct.Carrier`; also what the library had put aside, with nothing new."""
        edge, before = self._edge, self._request_count
        # Heads are small enough if all of what came is. Nothing new means that what the library
        # had put aside is read now.
        suspicious = not data or len(data) + self._head_bytes > edge.max_head_bytes
        super().data_received(data)
        if self._request_count != before:
            if self._awaits_head:
                self._awaits_head = False
                self._head_bytes = 0
                edge.heads.release(self)
            if suspicious:
                self._refuse_large_heads()
        elif self._awaits_head:
            self._head_bytes += len(data)
            if suspicious:
                self._refuse_unfinished_head()
        elif data and (waiter := self._waiter) is not None and not waiter.done():
            self._head_bytes = len(data)
            self._expect_head()  # a part of the next head, on a connection that was idle

    def served_directly(self, held: bytes, *, stays_open: bool) -> None:
        """See `direct.Carrier`."""
        if self.transport is None:
            return
        if self._ends_next or not stays_open:
            self.force_close()  # what is written still leaves
            return
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if held:
            self.data_received(held)

    def close(self) -> None:
        if self._direct is not None and self._direct.request is not None:
            self._ends_next = True
        else:
            super().close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        if self._direct is not None:
            await self._direct.finish(timeout)
        await super().shutdown(timeout)

    def _process_keepalive(self) -> None:
        if self._direct is not None and self._direct.request is not None:
            later = self._loop.call_later(self._keepalive_timeout, self._process_keepalive)
            self._keepalive_handle = later
        else:
            super()._process_keepalive()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self._ending:
            self._edge.stalls.release(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._wire = None
        self._edge.crowd.leave(self)
        if self._direct is not None:
            self._direct.stop()
        self._edge.heads.release(self)
        self._edge.stalls.release(self)
        super().connection_lost(exc)

    def drop(self) -> None:
        """End the connection at once."""
        if self._wire is not None:  # the library forgets its own when it begins to close
            self._wire.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun: no error can take its place")
        error: ConduitError
        if status == 400:
            # Not its text: it repeats the line that the caller sent.
            _log.debug("not HTTP: %s", type(exc).__name__)
            error = _refusal_of(exc)
        elif status == 504:
            error = UpstreamTimeoutError("the request took too long")
        else:
            error = unexpected(request, exc or RuntimeError(f"status {status}"))
        forget_trace(exc)
        response = BareResponse(
            status=error.status,
            body=self._edge.encode_error(error, request.path, request_id(request)),
            content_type="application/json",
            headers=error_headers(error),
        )
        response.force_close()
        return response

    def _expect_head(self) -> None:
        self._awaits_head = True
        self._edge.heads.expect(self)

    def _refuse_unfinished_head(self) -> None:
        """Answer a head that is too large before its end; what still comes is not read."""
        self._awaits_head = False
        self._edge.heads.release(self)
        self._request_count += 1
        self._messages.append((_TOO_LARGE, EMPTY_PAYLOAD))
        if (waiter := self._waiter) is not None and not waiter.done():
            waiter.set_result(None)
        self._close = True

    def _refuse_large_heads(self) -> None:
        """Put a refusal in the place of each waiting request whose head is too large."""
        most = self._edge.max_head_bytes
        for index, (message, _) in enumerate(self._messages):
            if isinstance(message, RawRequestMessage) and _size_of(message) > most:
                self._messages[index] = (_TOO_LARGE, EMPTY_PAYLOAD)

    def _served(self, _: "asyncio.Task[None]") -> None:
        """No more requests are read: what is left to send must not wait for ever."""
        self._ending = True
        if self._wire is not None and self._wire.get_write_buffer_size():
            self._expect_reader()

    def _expect_reader(self) -> None:
        if self._wire is not None:
            self._waiting_bytes = bytes_left(self._wire)
        self._edge.stalls.expect(self)

    def has_taken_some(self) -> bool:
        """Whether fewer bytes wait for the client than when this was asked last."""
        if self._wire is None:
            return False
        before, self._waiting_bytes = self._waiting_bytes, bytes_left(self._wire)
        return self._waiting_bytes < before


def _has_taken_some(connection: Guarded) -> bool:
    return isinstance(connection, EdgeHandler) and connection.has_taken_some()


def _keep_little_unsent(transport: asyncio.BaseTransport) -> None:
    """Let the system hold back little of what a client does not take.

    It would take megabytes, while the gateway reads on for a client that has stopped, and would
    say that bytes are taken only when a third of them are.
    """
    raw = transport.get_extra_info("socket")
    if raw is not None and raw.family in _INTERNET and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)


def _size_of(message: RawRequestMessage) -> int:
    """The bytes of the header lines, with their colons and line ends."""
    return sum(len(name) + len(value) + 4 for name, value in message.raw_headers)


def _refusal_of(error: BaseException | None) -> ConduitError:
    too_many = isinstance(error, BadHttpMessage) and error.message == _TOO_MANY
    if too_many or isinstance(error, LineTooLong):
        return HeadTooLargeError(_LIMITS)
    return InvalidRequestError("the request is not valid HTTP")
