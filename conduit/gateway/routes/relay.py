"""The client's side of a request over aiohttp: its head and body, and the way back to it."""

import asyncio
from collections.abc import Awaitable, Mapping

import msgspec
from aiohttp import web

from conduit.core.errors import UnknownParameterError
from conduit.gateway.exchange import ClientGone
from conduit.gateway.server.bare import BareStream
from conduit.gateway.server.body import BodyLimits, body_of, read_body
from conduit.gateway.server.direct import DirectRequest
from conduit.gateway.server.headers import OPERATORS_HEADERS
from conduit.gateway.server.prepared import StreamedAnswer, WholeAnswer, takes_prepared
from conduit.gateway.server.progress import bytes_left

_READ_AHEAD_BYTES = 64 * 1024
"""What may wait for a client before its provider is read more slowly."""


def refuse_operators_headers(request: web.Request) -> None:
    """Raise UnknownParameterError for a header that wants to send the request elsewhere."""
    headers = request.headers
    name = next((name for name in OPERATORS_HEADERS if name in headers), None)
    if name is not None:
        raise UnknownParameterError(
            f'the header "{name}" cannot be set by a client: where a request goes belongs to the '
            "gateway's configuration",
            param=name,
        )


class HttpIncoming(msgspec.Struct, eq=False):
    """A client's request whose body is read only when the pipeline asks for it."""

    _request: web.Request
    headers: Mapping[str, str]
    bearer: str | None
    _limits: BodyLimits

    __repr__ = object.__repr__  # without the key

    @property
    def path(self) -> str:
        return self._request.path

    async def body(self) -> bytes:
        request = self._request
        if isinstance(request, DirectRequest):  # which has no operator's headers
            return body_of(request, self._limits)
        refuse_operators_headers(request)
        return await read_body(request, self._limits)


class HttpRelay(msgspec.Struct, eq=False):
    """Writes an answer or a stream to the client; notices that nobody reads any more."""

    _request: web.Request
    stall_timeout_s: float
    _transport: asyncio.WriteTransport | None = None
    _streamed: StreamedAnswer | None = None
    response: web.StreamResponse | None = None

    __repr__ = object.__repr__

    async def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        prepared = takes_prepared(self._request)
        if prepared and len(body) <= _READ_AHEAD_BYTES:
            # The server sends it once the handler returns it; the connection takes it all at once.
            self.response = WholeAnswer(status, headers, body)
            return
        if prepared:
            self._begin(StreamedAnswer(headers, self._request, status=status, length=len(body)))
        else:
            response = BareStream(status=status, headers=headers)
            response.content_length = len(body)
            await self._prepare(response)
        for start in range(0, len(body), _READ_AHEAD_BYTES):
            await self.write(body[start : start + _READ_AHEAD_BYTES])

    async def start(self, headers: Mapping[str, str]) -> None:
        if takes_prepared(self._request):
            self._begin(StreamedAnswer(headers, self._request))
        else:
            await self._prepare(BareStream(headers=headers))

    def _begin(self, streamed: StreamedAnswer) -> None:
        self._transport = self._request.transport
        self.response = self._streamed = streamed

    async def write(self, data: bytes) -> None:
        """Write one piece of a stream."""
        if not data:
            return  # an empty chunk would end the answer
        streamed, transport = self._streamed, self._transport
        if streamed is None or transport is None:
            await self._write_by(self.response, data)
            return
        if transport.is_closing():
            raise ClientGone  # writes to a lost client are dropped in silence
        streamed.write_piece(transport, data)
        if transport.get_write_buffer_size() > _READ_AHEAD_BYTES:
            await self._wait_for_reader(transport, self._request.writer.drain())

    def push(self, data: bytes) -> bool:
        """Write one piece of a stream, unless it has to be waited for, or the client has gone.

        A piece after which there is no room left is for `write`, which waits at once.
        """
        streamed, transport = self._streamed, self._transport
        if (
            streamed is None
            or transport is None
            or transport.is_closing()
            or transport.get_write_buffer_size() + len(data) > _READ_AHEAD_BYTES
        ):
            return False
        streamed.write_piece(transport, data)
        return True

    async def _wait_for_reader(
        self, transport: asyncio.WriteTransport, waiting: Awaitable[None]
    ) -> None:
        """Wait until there is room for more, for as long as the client takes anything at all."""
        before = bytes_left(transport)
        while True:
            try:
                async with asyncio.timeout(self.stall_timeout_s):
                    await waiting
                return
            except TimeoutError as error:
                left = bytes_left(transport)
                if left >= before:
                    transport.abort()
                    raise ClientGone from error
                before, waiting = left, self._request.writer.drain()
            except OSError as error:
                transport.abort()
                raise ClientGone from error

    async def _prepare(self, response: web.StreamResponse) -> None:
        self.response = response
        try:
            await response.prepare(self._request)
        except OSError as error:
            raise ClientGone from error

    async def _write_by(self, response: web.StreamResponse | None, data: bytes) -> None:
        """Through aiohttp, for what it alone knows to frame."""
        transport = self._request.transport
        if response is None or transport is None or transport.is_closing():
            raise ClientGone
        await self._wait_for_reader(transport, response.write(data))
