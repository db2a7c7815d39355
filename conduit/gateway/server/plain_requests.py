"""Reading plain requests: POSTs to known paths with nothing in their heads that changes how they
are to be read, refused or answered.

A client sends the same head over and over, but for the length of the body. So what a head says is
read once, and found again by its bytes; what handlers make of it is kept beside it.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from multidict import CIMultiDict, CIMultiDictProxy

from conduit.gateway.server.handlers import DirectHandler
from conduit.gateway.server.headers import OPERATORS_HEADERS, tells_json

try:
    import httptools
except ModuleNotFoundError as _missing:  # an extra of the platform: without it all goes to aiohttp
    if _missing.name != "httptools":
        raise
    AVAILABLE = False
else:
    AVAILABLE = True

_LONGEST_LINE: Final = 128
_MOST_HEAD_BYTES: Final = 8 * 1024
_MOST_HEADERS: Final = 64
_MOST_KEPT_HEADS: Final = 256
_LARGEST_KEPT_HEAD: Final = 2 * 1024
_OPEN: Final = b"keep-alive"

_AIOHTTPS: Final = frozenset(
    {
        b"content-encoding",
        b"expect",
        b"proxy-connection",
        b"sec-websocket-key1",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Headers that change how a request is read or answered, or for which it is refused."""

_OPERATORS: Final = frozenset(name.encode() for name in OPERATORS_HEADERS)
"""Headers for which a request is refused, which its handler does on the long way."""

_NOT_PLAIN: Final = _AIOHTTPS | _OPERATORS

_LENGTH: Final = re.compile(rb"(\r\ncontent-length: ?)([0-9]{1,9})(?=\r\n|\Z)", re.IGNORECASE)


class PlainHead:
    """A head that was read, shared by all requests that have the same.

    `noted` is what handlers have made of its headers, under names of their own.
    """

    __slots__ = ("handler", "headers", "noted", "path", "tells_json")

    def __init__(self, handler: DirectHandler, path: str, headers: CIMultiDict[str]) -> None:
        self.handler = handler
        self.path = path
        self.headers = CIMultiDictProxy(headers)
        self.tells_json = tells_json(headers)
        self.noted: dict[str, Any] = {}


class Read(msgspec.Struct, frozen=True, gc=False):
    """What was found in the bytes of a connection: one plain request, or why there is none.

    `missing` are the bytes of a request that have not come: 0 where it is whole, and below 0 where
    that is not known. `is_plain` tells of its head, where the request is not whole.
    """

    head: PlainHead | None
    body: bytes
    missing: int
    is_plain: bool


UNREAD: Final = Read(None, b"", -1, is_plain=False)

_Key = tuple[bytes, bytes, bytes]
"""A head but for the number that is its body's length: what is before it and after it."""


class RequestReader:
    """What all connections read with, one whole request at a time, by the handlers of their paths.

    The parser is kept where it stands between two requests.
    """

    def __init__(self, handlers: Mapping[str, DirectHandler]) -> None:
        self._handlers = {
            b"POST %b HTTP/1.1" % path.encode(): each for path, each in handlers.items()
        }
        self._found = _Found()
        self._parser: httptools.HttpRequestParser | None = None
        self._heads: dict[_Key, PlainHead] = {}

    def read(self, data: bytes) -> Read:
        """The plain request that the data is."""
        head_end = data.find(b"\r\n\r\n", 0, _MOST_HEAD_BYTES)
        if head_end < 0:
            return UNREAD
        parts = _LENGTH.split(data[:head_end], 1)
        if len(parts) == 1:
            return self._parse(data, head_end, None)
        before, name, length, after = parts
        key = before, name, after
        head = self._heads.get(key)
        if head is None:
            return self._parse(data, head_end, key)
        body_at = head_end + 4
        missing = body_at + int(length) - len(data)
        if not missing:
            return Read(head, data[body_at:], 0, is_plain=True)
        if missing < 0:  # more than one request
            return self._parse(data, head_end, None)
        return Read(None, b"", missing, is_plain=True)

    def _parse(self, data: bytes, head_end: int, key: _Key | None) -> Read:
        """Read it all, and keep the head under the key."""
        if not data[:head_end].isascii() or not self._feed(data):
            return UNREAD
        found = self._found
        missing = -1
        if found.ended == found.begun == 1:
            missing = 0
        elif found.begun == 1:
            length = int(found.fields.get(b"content-length", b"0"))
            missing = max(head_end + 4 + length - len(data), 0) or -1
        line_end = data.find(b"\r\n", 0, _LONGEST_LINE)
        handler = self._handlers.get(data[:line_end])
        if handler is None or not _is_plain(found):
            self._parser = None  # one that has seen the end of a connection reads no other
            return Read(None, b"", missing, is_plain=False)
        if missing:
            return Read(None, b"", missing, is_plain=True)
        headers: CIMultiDict[str] = CIMultiDict()
        for name, value in found.fields.items():
            if key is None or name != b"content-length":  # it would be that of the first request
                headers.add(str(name, "ascii"), str(value, "ascii"))
        head = PlainHead(handler, data[5 : line_end - 9].decode(), headers)
        if key is not None and head_end <= _LARGEST_KEPT_HEAD:
            self._keep(key, head)
        return Read(head, found.take_body(), 0, is_plain=True)

    def _keep(self, key: _Key, head: PlainHead) -> None:
        heads = self._heads
        if len(heads) >= _MOST_KEPT_HEADS:
            del heads[next(iter(heads))]  # the oldest: few clients change theirs all the time
        heads[key] = head

    def _feed(self, data: bytes) -> bool:
        """Whether the parser finds nothing wrong with the data, of which `_found` then tells."""
        self._found.reset()
        parser, self._parser = self._parser, None
        if parser is None:
            parser = httptools.HttpRequestParser(self._found)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        if self._found.ended == self._found.begun:
            self._parser = parser
        return True


class _Found:
    """What the parser finds in a request."""

    __slots__ = ("begun", "body", "ended", "fields", "plain")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.fields: dict[bytes, bytes] = {}
        self.plain = True
        self.begun = 0
        self.ended = 0
        self.body = b""

    def take_body(self) -> bytes:
        """The body, of which nothing is left here."""
        body, self.body = self.body, b""
        return body

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in self.fields or name in _NOT_PLAIN:
            self.plain = False
        self.fields[name] = value.rstrip(b" \t")  # the parser leaves it there

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.ended += 1


def _is_plain(found: _Found) -> bool:
    """Whether nothing in a head changes how the request is read, answered or refused."""
    fields = found.fields
    return (
        found.plain
        and len(fields) <= _MOST_HEADERS
        and b"host" in fields  # refused without it
        and fields.get(b"connection", _OPEN).lower() == _OPEN
    )
