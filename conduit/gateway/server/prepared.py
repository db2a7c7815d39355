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

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
_SECURE: Final = "".join(f"{name}: {value}\r\n" for name, value in SECURE)
_HSTS: Final = f"strict-transport-security: {HSTS}\r\n"
_CLOSE: Final = "connection: close\r\n"
_LENGTH: Final = "content-length: %d\r\n"
_CHUNKED: Final = "transfer-encoding: chunked\r\n"


class _Prepared(web.StreamResponse):
    """What both have in common."""

    # The makers of both are not the base's: what it makes is what these are there to do without.
    _given_status: int
    _stays_open: bool

    @property
    def status(self) -> int:
        return self._given_status

    @property
    def keep_alive(self) -> bool | None:
        return self._stays_open


class WholeAnswer(_Prepared):
    """An answer whose body is small enough to be sent without waiting.

    `ends` is whether the connection is to be closed after it.
    """

    def __init__(
        self, status: int, headers: Mapping[str, str], body: bytes, *, ends: bool = False
    ) -> None:
        self._given_status = status
        self._given_headers = headers
        self._content = body
        self._stays_open = not ends

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write the answer; the server calls this once. Raises ConnectionError."""
        self.send(request)
        return None

    def send(self, request: web.BaseRequest) -> bool:
        """Write the answer, which nothing has to be waited for. Raises ConnectionError.

        Whether the connection stays open.
        """
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        body = self._content
        self._stays_open = stays_open = self._stays_open and request.keep_alive
        usual = stays_open and not request.secure
        more = _LENGTH if usual else _more(request, _LENGTH, stays_open=stays_open)
        head = head_of(self._given_status, self._given_headers, more, len(body))
        transport.write(head + body)
        return stays_open

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
        self._given_status = status
        self._stays_open = request.keep_alive
        self._request = request
        if length is None:
            self._end = b"0\r\n\r\n"
            more = _more(request, _CHUNKED, stays_open=self._stays_open)
            self._pending = head_of(status, headers, more)
        else:
            self._end = b""
            more = _more(request, _LENGTH, stays_open=self._stays_open)
            self._pending = head_of(status, headers, more, length)

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


def _more(request: web.BaseRequest, framing: str, *, stays_open: bool) -> str:
    """The lines that end a head; `framing` is the one that says where the body ends."""
    more = _HSTS + framing if request.secure else framing
    return more if stays_open else more + _CLOSE


def head_of(status: int, headers: Mapping[str, str], more: str, *lengths: int) -> bytes:
    """The head of an answer, the empty line included. Raises ValueError for a header that is none.

    `more` are further lines of headers with their ends, in which %d stands for a length.
    """
    values = (*headers.values(),)
    text = "".join(values)  # looked at together, as nearly all are plain
    if not text.isprintable():
        _check(text)
    date = _http_date(int(time.time()))
    return (_template(status, more, *headers) % (*values, date, *lengths)).encode()


@lru_cache(maxsize=256)
def _template(status: int, more: str, *names: str) -> str:
    """A head with a place for each value, the date and the lengths; few sets are in use."""
    _check("".join(names))
    lines = "".join([name.replace("%", "%%") + ": %s\r\n" for name in names])
    phrase = _PHRASES.get(status, "")  # a provider's status, which we pass on, may be any
    return f"HTTP/1.1 {status} {phrase}\r\n{lines}{_SECURE}date: %s\r\n{more}\r\n"


def _check(text: str) -> None:
    if "\n" in text or "\r" in text or "\0" in text:
        raise ValueError("a header holds a line end")


@lru_cache(maxsize=1)
def _http_date(second: int) -> str:
    return formatdate(second, usegmt=True)
