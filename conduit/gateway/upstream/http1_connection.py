"""One connection to a provider's server: what is sent, and what the parser makes of the answer."""

import asyncio
import select
from enum import Enum, auto
from itertools import chain
from operator import itemgetter
from typing import Final, Protocol, cast

import httptools

from conduit.gateway.upstream import Deadlines, TransportFault
from conduit.gateway.upstream.deadline import CallTimer
from conduit.gateway.upstream.http1_response import READABLE, Http1Response

Fault = TransportFault

_MOST_HEAD_BYTES: Final = 32_768
_MOST_FIELDS: Final = 128
_TRUSTED_IDLE_S: Final = 1.0
_JOINED_BODY: Final = 32_768
_UPLOAD_PIECE: Final = 1 << 18
_TOO_LARGE: Final = "the answer's head is too large"
_NAME_OF: Final = itemgetter(0)
_ENCODING_SIZES: Final = frozenset({len("transfer-encoding"), len("content-encoding")})
# Takes the place of a parser that knows its connection, which would be left to the collector.
_SPENT: Final = httptools.HttpResponseParser(None)


class State(Enum):
    """Where a connection stands: between two calls, or in one."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    OVER = auto()
    CLOSED = auto()


# By names of their own: an enumeration's member is looked up twice each time.
IDLE, HEAD, BODY, OVER, CLOSED = State


class Owner(Protocol):
    """What a connection asks of its pool."""

    where: str
    buffer: memoryview
    buffer_bytes: int
    keepalive_s: float

    def released(self, connection: "Connection") -> None: ...

    def closed(self, connection: "Connection") -> None: ...


class _RefusedAnswer(Exception):
    """An answer that the parser takes and this client does not."""


class Connection(CallTimer):
    """One call after another over one transport, their deadlines over one timer."""

    __slots__ = (
        "_dry_bytes",
        "_extra",
        "_fields",
        "_interim",
        "_keep",
        "_owner",
        "_parser",
        "_reading_paused",
        "_response",
        "_sending",
        "_state",
        "_transport",
        "_used",
        "_writing_paused",
        "idle_since",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Owner) -> None:
        super().__init__(loop, None)
        self._owner = owner
        self._state = IDLE
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._response: Http1Response | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._dry_bytes = 0
        self._used = False
        self._keep = False
        self._extra = False
        self._interim = False
        self._sending = False
        self._reading_paused = False
        self._writing_paused = False
        self.idle_since = 0.0

    # The caller's side

    def ask(self, deadlines: Deadlines, total_at: float) -> Http1Response:
        """A call begins; its request is to be written at once."""
        self._state = HEAD
        self._dry_bytes = 0
        reused, self._used = self._used, True
        self._response = response = Http1Response(
            self._loop, self, self._owner.where, deadlines.gap_s, reused=reused
        )
        self.begin(total_at, Fault.HEAD_TIMEOUT, deadlines.first_event_s)
        return response

    def write(self, head: bytes, body: bytes) -> bool:
        """Write a request; False where its body is too large to be written at once."""
        transport = self._transport
        assert transport is not None
        size = len(body)
        if size <= _JOINED_BODY:
            transport.write(head + body)
        elif size <= _UPLOAD_PIECE:
            transport.writelines((head, body))
        else:
            transport.write(head)
            return False
        return True

    async def upload(self, response: Http1Response, body: bytes, stall_s: float) -> None:
        """Write a large body no faster than the server reads, unless it refuses meanwhile.

        What a server answers before it has read all is not known to be final until its status
        says so, hence the upload goes on under a good one.
        """
        self._sending = True
        view = memoryview(body)
        for start in range(0, len(body), _UPLOAD_PIECE):
            while self._writing_paused and not response.refused:
                self.step(Fault.HEAD_TIMEOUT, stall_s)
                await response.change()
            if response.refused or self._transport is None:
                return
            self._transport.write(view[start : start + _UPLOAD_PIECE])
        self._sending = False
        if not response.status:
            self.step(Fault.HEAD_TIMEOUT, stall_s)

    def usable(self, now: float) -> bool:
        """Whether a call may be made: open, not too old, and with nothing that waits to be read.

        After a pause, an end that has come or bytes that nobody asked for may not have reached
        the event loop yet.
        """
        transport = self._transport
        if self._state is not IDLE or transport is None or transport.is_closing():
            return False
        idle_s = now - self.idle_since
        if idle_s <= _TRUSTED_IDLE_S:
            return True
        return idle_s <= self._owner.keepalive_s and not _is_readable(transport)

    @property
    def is_closed(self) -> bool:
        return self._state is CLOSED

    def taken(self) -> None:
        if self._reading_paused:
            self._resume()

    def abort(self) -> None:
        self._state = CLOSED
        self._response = None
        self.stop()
        if self._transport is not None:
            self._transport.abort()

    def cut(self) -> None:
        """End it whatever it is doing."""
        self._fail(Fault.CUT)

    def expired(self) -> None:
        self._fail(self.fault or Fault.TOTAL_TIMEOUT)

    # The transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not registered as asyncio's.
        self._transport = made = cast(asyncio.Transport, transport)
        made.set_write_buffer_limits(high=_UPLOAD_PIECE)
        if self._state is CLOSED:
            made.abort()

    def connection_lost(self, error: Exception | None) -> None:
        state, self._state = self._state, CLOSED
        response, self._response = self._response, None
        self._parser = _SPENT
        self.stop()
        self._owner.closed(self)
        if response is None:
            return
        if state is BODY and error is None and _ends_with_its_connection(response):
            response.ended()
        else:
            response.failed(Fault.CUT if state is BODY else Fault.RESET)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._response is not None:
            self._response.wake()

    def get_buffer(self, size_hint: int) -> memoryview:
        return self._owner.buffer

    def buffer_updated(self, size: int) -> None:
        self.data_received(self._owner.buffer[:size])

    def data_received(self, data: bytes | memoryview) -> None:
        response = self._response
        if response is None:  # nobody asked
            self.abort()
            return
        buffered = response.buffered
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self._state is not OVER:
                self._fail(Fault.PROTOCOL, _why(error))
                return
            self._extra = True  # the answer is whole, and noise came after it
        if self._state is OVER:
            self._finish(response)
        elif response.buffered != buffered:
            self._body_came(response)
        else:
            self._none_came(response, len(data))

    def _body_came(self, response: Http1Response) -> None:
        self.rest()  # a reader that takes its time is not the provider's silence
        self._dry_bytes = 0
        if response.buffered > self._owner.buffer_bytes:
            self._pause()
        response.came()

    def _none_came(self, response: Http1Response, size: int) -> None:
        # Neither a head nor what stands between and after the chunks may go on for ever. A whole
        # head is judged when it ends, as it may have come with the body.
        self._dry_bytes += size
        if self._dry_bytes > _MOST_HEAD_BYTES:
            self._fail(Fault.PROTOCOL, _TOO_LARGE)
        elif self._state is BODY:
            response.wake()

    def _finish(self, response: Http1Response) -> None:
        """The answer is whole: the connection serves again unless something of it is in doubt."""
        transport = self._transport
        assert transport is not None
        self._response = None
        self.end()
        if (
            self._extra
            or self._sending
            or not self._keep
            or transport.is_closing()
            or transport.get_write_buffer_size()
        ):
            self.abort()
        else:
            self._state = IDLE
            if self._reading_paused:
                self._resume()
            self._owner.released(self)
        response.ended()

    def _fail(self, fault: TransportFault, text: str | None = None) -> None:
        response = self._response
        self.abort()
        if response is not None:
            response.failed(fault, text)

    def _pause(self) -> None:
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        self._reading_paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # The parser's side

    def on_message_begin(self) -> None:
        self._extra = self._state is OVER
        self._fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        response = self._response
        if self._state is not HEAD or response is None:
            return  # of a message that nobody asked for
        status = self._parser.get_status_code()
        if status < 200:
            if status == 101:
                raise _RefusedAnswer("the answer changes the protocol")
            self._interim = True
            return
        self._judge_head(response)
        response.status = status
        response.fields = self._fields
        self._fields = []  # a trailer is given to nobody
        self._state = BODY

    def _judge_head(self, response: Http1Response) -> None:
        parser, fields = self._parser, self._fields
        if parser.get_http_version() not in ("1.1", "1.0"):
            raise _RefusedAnswer("the answer is of another version of HTTP")
        # Without a loop of our own: heads of thirty fields are usual.
        if not _ENCODING_SIZES.isdisjoint(map(len, map(_NAME_OF, fields))):
            _judge_encodings(response, fields)
        total = sum(map(len, chain.from_iterable(fields)))
        if total > _MOST_HEAD_BYTES or len(fields) > _MOST_FIELDS:
            raise _RefusedAnswer(_TOO_LARGE)
        self._keep = parser.should_keep_alive()  # forgotten at the end of the message

    def on_body(self, data: bytes) -> None:
        response = self._response
        if self._state is BODY and response is not None:
            response.pieces.append(data)
            response.buffered += len(data)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        elif self._state is BODY:
            if len(self._fields) > _MOST_FIELDS:
                raise _RefusedAnswer(_TOO_LARGE)
            self._state = OVER


class PlainConnection(Connection, asyncio.Protocol):
    """Takes the bytes that its transport has read."""

    __slots__ = ()


class BufferedConnection(Connection, asyncio.BufferedProtocol):
    """Has its transport read into one buffer that all connections share.

    A read then brings no more than that holds. Otherwise one may bring 256 KB, and under TLS uvloop
    takes as much from the system for each and gives it back.
    It needs a loop that fills the buffer as soon as it has asked for it, as all but Windows'
    proactor do.
    """

    __slots__ = ()


Kind = type[PlainConnection] | type[BufferedConnection]


def _judge_encodings(response: Http1Response, fields: list[tuple[bytes, bytes]]) -> None:
    for name, value in fields:
        lower = name.lower()
        if lower == b"content-encoding":
            response.encoded(value)
        elif lower == b"transfer-encoding" and value.strip().lower() != b"chunked":
            raise _RefusedAnswer("the answer is encoded in a way not asked for")
    if response.encoding is not None and response.encoding not in READABLE:
        raise _RefusedAnswer("the answer is encoded in a way not asked for")


def _ends_with_its_connection(response: Http1Response) -> bool:
    """Whether neither a length nor chunks say where the body ends."""
    headers = response.headers
    return "content-length" not in headers and "transfer-encoding" not in headers


def _is_readable(transport: asyncio.Transport) -> bool:
    descriptor = transport.get_extra_info("socket").fileno()
    if hasattr(select, "poll"):
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(0))
    return bool(select.select([descriptor], [], [], 0)[0])


def _why(error: Exception) -> str | None:
    """What this client refuses is said in its words; the parser's own may quote the answer."""
    cause = error.__context__
    return str(cause) if isinstance(cause, _RefusedAnswer) else None
