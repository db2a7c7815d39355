"""Answers of prepared bytes: a whole one in one piece, a streamed one in chunks.

aiohttp builds its answers from header maps, hooks and a writer, which costs more than all that a
gateway does to an answer of ordinary size. These take its place in the few things that the server
asks of a response: `prepare`, `write_eof`, `status` and `keep_alive`. Both are for clients of
HTTP/1.1, and bring the headers that every answer of the client API carries by themselves, as no
hook of an application sees them; `headers` must name their `x-request-id`.
"""

import asyncio
import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter

from conduit.gateway.server.headers import HSTS, SECURE

_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}
_SECURE: Final = "".join(f"{name}: {value}\r\n" for name, value in SECURE)
_HSTS: Final = f"strict-transport-security: {HSTS}\r\n"


class _Prepared(web.StreamResponse):
    """What both have in common."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        # Not the base's: what it makes is what these are there to do without.
        self._given = status, headers
        self._ends = False
        self._stays_open = True

    @property
    def status(self) -> int:
        return self._given[0]

    @property
    def keep_alive(self) -> bool | None:
        return self._stays_open

    def head(self, request: web.BaseRequest, framing: str) -> bytes:
        """The head; `framing` is the header that says where the body ends."""
        self._stays_open = request.keep_alive and not self._ends
        more = _HSTS + framing if request.secure else framing
        if not self._stays_open:
            more += "connection: close\r\n"
        return head_of(*self._given, more)


class WholeAnswer(_Prepared):
    """An answer whose body is small enough to be sent without waiting.

    `ends` is whether the connection is to be closed after it.
    """

    def __init__(
        self, status: int, headers: Mapping[str, str], body: bytes, *, ends: bool = False
    ) -> None:
        super().__init__(status, headers)
        self._content = body
        self._ends = ends

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write the answer; the server calls this once. Raises ConnectionError."""
        self.send(request)
        return None

    def send(self, request: web.BaseRequest) -> None:
        """Write the answer, which nothing has to be waited for. Raises ConnectionError."""
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        body = self._content
        transport.write(self.head(request, f"content-length: {len(body)}\r\n") + body)

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""


class StreamedAnswer(_Prepared):
    """An answer in pieces; the head leaves with the first of them.

    Its pieces are chunks, unless the length of all of them together is known.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        request: web.BaseRequest,
        *,
        status: int = 200,
        length: int | None = None,
    ) -> None:
        super().__init__(status, headers)
        self._request = request
        self._end = b"0\r\n\r\n" if length is None else b""
        framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
        self._pending = self.head(request, framing + "\r\n")

    def write_piece(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Give one piece, which must not be empty, to the connection. It does not wait."""
        chunk = b"%x\r\n%b\r\n" % (len(data), data) if self._end else data
        if self._pending:
            chunk = self._pending + chunk
            self._pending = b""
            # By this the server knows that no other answer can take the place of this one.
            self._request.writer.output_size += len(chunk)
        transport.write(chunk)

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Nothing is left to prepare."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Write the end; the server calls this once."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        if end := self._pending + self._end:
            transport.write(end)


def takes_prepared(request: web.BaseRequest) -> bool:
    """Whether the client speaks the HTTP that these answers are written in, and takes a body."""
    return request.version == HttpVersion11 and request.method != hdrs.METH_HEAD


def head_of(status: int, headers: Mapping[str, str], more: str) -> bytes:
    """The head of an answer, the empty line included. Raises ValueError for a header that is none.

    `more` are further lines of headers with their ends.
    """
    lines = _lines_of(*headers) % (*headers.values(),)
    count = len(headers)
    if lines.count("\n") != count or lines.count("\r") != count or "\0" in lines:
        raise ValueError("a header holds a line end")
    date = _http_date(int(time.time()))
    return f"{_STATUS_LINES[status]}{lines}{_SECURE}date: {date}\r\n{more}\r\n".encode()


@lru_cache(maxsize=256)
def _lines_of(*names: str) -> str:
    """The lines of a set of headers, with a place for each value; few sets are in use."""
    return "".join([name.replace("%", "%%") + ": %s\r\n" for name in names])


@lru_cache(maxsize=1)
def _http_date(second: int) -> str:
    return formatdate(second, usegmt=True)
