"""Providers' servers through aiohttp's client, with facts and deadlines of our own."""

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.payload import BytesIOPayload, BytesPayload, Payload
from yarl import URL

from conduit import __version__
from conduit.gateway.upstream import (
    MOST_AT_ONCE,
    Deadlines,
    Departure,
    Take,
    TransportError,
    TransportFault,
)
from conduit.gateway.upstream.aiohttp_faults import (
    fault_before_head,
    is_cut,
    never_left,
)
from conduit.gateway.upstream.deadline import CallTimer
from conduit.gateway.upstream.egress import (
    BaseUrl,
    VettedResolver,
    check_base_url,
)
from conduit.gateway.upstream.faults import transport_error
from conduit.gateway.upstream.options import ClientOptions

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

_HEADERS: Final = {
    "user-agent": f"conduit/{__version__}",
    "accept": "*/*",
    # Compression would hold streamed events back, and cost more than it saves.
    "accept-encoding": "identity",
}
_JSON: Final = "application/json"
_READABLE: Final = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
_NO_TIMEOUTS: Final = aiohttp.ClientTimeout(total=None)
_PATHS_KEPT: Final = 256
# aiohttp warns of larger bodies given as bytes, and writes them without regard to back-pressure.
_LARGE_BODY: Final = 1 << 20
_MAX_LINE: Final = 16_384
_MAX_FIELD: Final = 32_768

Fault = TransportFault


class AiohttpUpstreams:
    """Endpoints that share one connection pool for public addresses and one for private ones."""

    def __init__(self, options: ClientOptions | None = None) -> None:
        self._options = options or ClientOptions()
        self._proxies = getproxies() if self._options.trust_env else {}
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    def endpoint(self, base_url: str, *, allow_private: bool) -> "AiohttpEndpoint":
        """Raises InvalidRequestError for a base URL that may not be called."""
        base = check_base_url(base_url, allow_private=allow_private)
        return AiohttpEndpoint(self._session(allow_private), base, self._proxy(base))

    async def close(self) -> None:
        sessions = list(self._sessions.values())
        self._sessions.clear()
        for session in sessions:
            await session.close()

    def _session(self, allow_private: bool) -> aiohttp.ClientSession:
        session = self._sessions.get(allow_private)
        if session is None:
            session = self._sessions[allow_private] = self._open(allow_private)
        return session

    def _open(self, allow_private: bool) -> aiohttp.ClientSession:
        options = self._options
        proxies = {urlsplit(proxy).hostname or "" for proxy in self._proxies.values()}
        connector = _Connector(
            limit=0,
            limit_per_host=options.connection_limit,
            keepalive_timeout=options.keepalive_s,
            ssl=True if options.ssl_context is None else options.ssl_context,
            resolver=VettedResolver(
                allow_private=allow_private, resolver=options.resolver, exempt=proxies
            ),
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            timeout=_NO_TIMEOUTS,
            read_bufsize=options.buffer_bytes,
            max_line_size=_MAX_LINE,
            max_field_size=_MAX_FIELD,
        )

    def _proxy(self, base: BaseUrl) -> URL | None:
        # Not aiohttp's trust_env: it asks in a thread at every request, and adds netrc's logins.
        proxy = self._proxies.get(urlsplit(base.url).scheme)
        if proxy is None or proxy_bypass(base.host):
            return None
        return URL(proxy)


class AiohttpEndpoint:
    """One provider's base URL on a shared pool."""

    __slots__ = ("_base", "_loop", "_proxy", "_session", "_urls")

    def __init__(
        self, session: aiohttp.ClientSession, base: BaseUrl, proxy: URL | None = None
    ) -> None:
        self._session = session
        self._base = base
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()
        self._urls: dict[str, URL] = {}

    async def send(
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        deadlines: Deadlines,
        departure: Departure | None = None,
    ) -> "AiohttpResponse":
        large = len(body) > _LARGE_BODY
        payload = _upload(body) if large else BytesPayload(body, content_type=_JSON)
        call = _Call(self._loop, deadlines, self._base, large=large)
        call.departure = departure
        return await self._request(call, "POST", path, payload, headers)

    async def get(
        self, path: str, headers: Mapping[str, str], deadlines: Deadlines
    ) -> "AiohttpResponse":
        call = _Call(self._loop, deadlines, self._base, large=False)
        return await self._request(call, "GET", path, None, headers)

    async def _request(
        self,
        call: "_Call",
        method: str,
        path: str,
        payload: Payload | None,
        headers: Mapping[str, str],
    ) -> "AiohttpResponse":
        token = _CALL.set(call)
        try:
            response = await self._session.request(
                method,
                self._url(path),
                data=payload,
                headers=headers,
                proxy=self._proxy,
                allow_redirects=False,
            )
        except BaseException as error:
            failure = call.failure(error)
            if failure is None:
                raise
            raise failure from error
        finally:
            _CALL.reset(token)
        return call.answered(response)

    def _url(self, path: str) -> URL:
        url = self._urls.get(path)
        if url is None:
            if len(self._urls) >= _PATHS_KEPT:
                self._urls.clear()
            text = self._base.url + path
            # As it is written: a signature holds for this very text, and yarl makes %3A a colon.
            url = self._urls[path] = URL(text, encoded=text.isascii())
        return url


class _Call(CallTimer):
    """What is known of one call while it goes on: its deadlines, and how far it came."""

    __slots__ = (
        "_base",
        "_cancels",
        "_deadlines",
        "_large",
        "_stopping",
        "_task",
        "connected",
        "departure",
        "response",
        "reused",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, deadlines: Deadlines, base: BaseUrl, *, large: bool
    ) -> None:
        super().__init__(loop, deadlines.total_s)
        task = asyncio.current_task(loop)
        assert task is not None, "a call is made in a task"
        self._task: asyncio.Task[Any] | None = task
        self._cancels = task.cancelling()
        self._stopping = False
        self._base = base
        self._deadlines = deadlines
        self._large = large
        self.connected = False
        self.departure: Departure | None = None
        self.reused = False
        self.response: AiohttpResponse | None = None
        self.step(Fault.POOL_TIMEOUT, deadlines.pool_s)

    def connecting(self) -> None:
        self.reused = False
        self.step(Fault.CONNECT_TIMEOUT, self._deadlines.connect_s)

    def waiting(self) -> None:
        """The connection is there: from here on bytes may have left."""
        self.connected = True
        if self.departure is not None:
            self.departure.sent = True
        self.step(Fault.HEAD_TIMEOUT, self._deadlines.first_event_s)

    def answered(self, response: aiohttp.ClientResponse) -> "AiohttpResponse":
        task, self._task = self._task, None
        if self._stopping and task is not None:
            # The deadline and the head came in the same turn of the loop.
            task.uncancel()
            _drop(response)
            raise self.error(self.fault or Fault.HEAD_TIMEOUT)
        if (flaw := _flaw(response)) is not None:
            self.stop()
            _drop(response)
            raise self.error(Fault.PROTOCOL, flaw)
        self.response = AiohttpResponse(self, response, self._deadlines.gap_s)
        return self.response

    def failure(self, error: BaseException) -> TransportError | None:
        """What a failed call is to be reported as; None where the error is not the transport's."""
        task, self._task = self._task, None
        self.stop()
        if self._stopping and task is not None:
            # As asyncio.timeout does: ours only if nobody else wants the task to stop.
            if task.uncancel() > self._cancels and isinstance(error, asyncio.CancelledError):
                return None
            return self.error(self.fault or Fault.HEAD_TIMEOUT)
        fault = fault_before_head(error)
        if fault is None:
            return None
        return self.error(fault, unsent=never_left(error, large=self._large))

    def error(
        self, fault: TransportFault, detail: str | None = None, *, unsent: bool = False
    ) -> TransportError:
        where = f"{self._base.host}:{self._base.port}"
        sent = self.connected and not unsent
        return transport_error(where, fault, detail, sent=sent, reused=self.reused)

    def ended(self) -> None:
        self.stop()
        self.response = None  # two objects that know each other would be left to the collector

    def expired(self) -> None:
        if self._task is not None:
            self._stopping = True
            self._task.cancel()
        elif self.response is not None:
            self.response.close()


class AiohttpResponse:
    """A provider's answer; iterating gives what has arrived since, at most 32 KiB at once."""

    __slots__ = (
        "_call",
        "_closed",
        "_content",
        "_ended",
        "_gap_s",
        "_lost",
        "_response",
        "_started",
        "headers",
        "status",
    )

    def __init__(self, call: _Call, response: aiohttp.ClientResponse, gap_s: float) -> None:
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers
        self._call = call
        self._response = response
        self._content = response.content
        self._gap_s = gap_s
        self._started = False
        self._closed = False
        self._ended = False
        self._lost = _end_of_connection(response)

    @property
    def at_end(self) -> bool:
        return self._ended

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._ended:
            raise StopAsyncIteration
        if self._started:
            self._call.step(Fault.GAP_TIMEOUT, self._gap_s)
        try:
            piece = await self._content.read(MOST_AT_ONCE)
        except (aiohttp.ClientError, OSError) as error:
            raise self._failure(error) from error
        if piece:
            self._call.rest()  # a reader that takes its time is not the provider's silence
            self._started = True
            return piece
        self._finish()
        raise StopAsyncIteration

    def pipe(self, take: Take) -> None:
        """All pieces are given by iterating."""

    async def read(self, limit: int) -> bytes:
        length = self.headers.get("content-length")
        if length is not None and int(length) > limit:
            self.close()
            raise self._call.error(Fault.TOO_LARGE)
        content = self._content
        if content.is_eof() and content.exception() is None and self._lost is None:
            body = content.read_nowait(-1)  # it came with the head
            if len(body) <= limit:
                self._finish()
                return body
            self.close()
            raise self._call.error(Fault.TOO_LARGE)
        pieces: list[bytes] = []
        size = 0
        async for piece in self:
            size += len(piece)
            if size > limit:
                self.close()
                raise self._call.error(Fault.TOO_LARGE)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._call.ended()
        if not self._content.is_eof():
            _drop(self._response)

    def _finish(self) -> None:
        self._ended = True
        self._call.ended()
        lost = self._lost
        # aiohttp takes a reset for the end of a body that ends with its connection.
        if lost is not None and lost.done() and lost.exception() is not None:
            self._closed = True
            raise self._call.error(Fault.CUT)

    def _failure(self, error: Exception) -> TransportError:
        fault = self._call.fault
        if fault is None:
            fault = Fault.CUT if is_cut(error) else Fault.PROTOCOL
        self._ended = True
        self.close()
        return self._call.error(fault)


_CALL: ContextVar[_Call] = ContextVar("call")


class _Connector(aiohttp.TCPConnector):
    """Tells a call when it waits for a connection, opens one, or has one."""

    async def connect(
        self, req: "ClientRequest", traces: list["Trace"], timeout: aiohttp.ClientTimeout
    ) -> "Connection":
        call = _CALL.get()
        call.reused = True  # unless one is opened
        connection = await super().connect(req, traces, timeout)
        while call.reused and (protocol := connection.protocol) and protocol.should_close:
            # Bytes came while nobody asked: they would be taken for this call's answer.
            connection.close()
            connection = await super().connect(req, traces, timeout)
        call.waiting()
        return connection

    async def _create_connection(
        self, req: "ClientRequest", traces: list["Trace"], timeout: aiohttp.ClientTimeout
    ) -> "ResponseHandler":
        _CALL.get().connecting()
        return await super()._create_connection(req, traces, timeout)


def _upload(body: bytes) -> Payload:
    """A large body, written in pieces and no faster than the provider reads."""
    return BytesIOPayload(io.BytesIO(body), content_type=_JSON)


def _flaw(response: aiohttp.ClientResponse) -> str | None:
    """What makes an answer that aiohttp takes one that was not asked for."""
    if response.status == 101:
        return "the answer changes the protocol"
    if response.headers.get("content-encoding", "").lower() not in _READABLE:
        return "the answer is encoded in a way not asked for"
    return None


def _drop(response: aiohttp.ClientResponse) -> None:
    """Close the connection at once, so that the provider stops."""
    if response.content.exception() is None:
        # To a reader that waits aiohttp would raise an error that all calls of the process share,
        # whose traceback grows by each reader's frames and so keeps everything they hold.
        response.content.set_exception(aiohttp.ClientConnectionError("Connection closed"))
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()  # a close would first send what is left of the request
    response.close()


def _end_of_connection(response: aiohttp.ClientResponse) -> "asyncio.Future[None] | None":
    """For a body that ends with its connection: how the connection ends."""
    headers = response.headers
    if "content-length" in headers or "transfer-encoding" in headers:
        return None
    connection = response.connection
    if connection is None or connection.protocol is None:
        return None
    return connection.protocol.closed
