"""AWS's event stream framing: bytes as they arrive, cut into whole messages.

The format is `application/vnd.amazon.eventstream`, as in the Smithy specification ("Amazon
Event Stream"). Numbers are big-endian. A message is a prelude of twelve bytes (total length, length
of the headers, CRC-32 of these two), headers, a payload, and the CRC-32 of all that stands before.
A header is the length of its name (one byte), the name, the kind of its value (one byte) and the
value; texts and blobs have their length before them (two bytes).
"""

from collections.abc import Callable, Iterator, Mapping
from struct import Struct
from typing import Final
from zlib import crc32

import msgspec

from conduit.core.errors import UpstreamFailure

MAX_MESSAGE_BYTES: Final = 24 * 1024 * 1024
MAX_HEADERS_BYTES: Final = 128 * 1024

_PRELUDE = Struct(">III")
_CRC = Struct(">I")
_OVERHEAD: Final = _PRELUDE.size + _CRC.size
_LENGTH = Struct(">H")

HeaderValue = bool | int | bytes | str


class Message(msgspec.Struct, frozen=True):
    """One message; its headers are shared with others that have the same.

    A timestamp is in milliseconds since 1970, a UUID is its 16 bytes.
    """

    headers: Mapping[str, HeaderValue]
    payload: bytes

    def text(self, name: str) -> str:
        """A header that is a text; empty where there is none."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class MessageSplitter:
    """Holds back the bytes of a message until it is whole."""

    __slots__ = ("_headers", "_headers_block", "_limit", "_needed", "_tail")

    def __init__(self, limit: int = MAX_MESSAGE_BYTES) -> None:
        self._tail = bytearray()
        self._needed = 0  # the length of the message that the tail begins with, once it is known
        self._limit = limit
        # Those of nearly all messages of an answer are the same to the byte.
        self._headers_block = b""
        self._headers: Mapping[str, HeaderValue] = {}

    @property
    def is_holding(self) -> bool:
        """Whether a part of a message waits for its rest."""
        return bool(self._tail)

    def feed(self, piece: bytes) -> Iterator[Message]:
        """The messages that `piece` completes.

        Raises UpstreamFailure at one that is damaged or too large, after those before it; nothing
        that follows it can be read any more.
        """
        if self._tail:
            self._tail += piece
            if len(self._tail) < (self._needed or _PRELUDE.size):
                return
            piece = bytes(self._tail)
            self._tail.clear()
        at = 0
        while len(piece) - at >= _PRELUDE.size:
            end = at + (self._needed or self._length(piece, at))
            if len(piece) < end:
                self._needed = end - at
                break
            self._needed = 0
            yield self._message(piece, at, end)
            at = end
        self._tail += piece[at:]

    def _length(self, piece: bytes, at: int) -> int:
        total, headers, crc = _PRELUDE.unpack_from(piece, at)
        if crc32(piece[at : at + 8]) != crc:
            raise _damaged("the checksum of its prelude is wrong")
        if total > self._limit or headers > MAX_HEADERS_BYTES:
            raise UpstreamFailure(f"The provider sent a message of more than {self._limit:,} bytes")
        if total < headers + _OVERHEAD:
            raise _damaged("its lengths do not fit together")
        return int(total)

    def _message(self, piece: bytes, at: int, end: int) -> Message:
        body_end = end - _CRC.size
        if crc32(piece[at:body_end]) != _CRC.unpack_from(piece, body_end)[0]:
            raise _damaged("its checksum is wrong")
        start = at + _PRELUDE.size
        payload = start + _PRELUDE.unpack_from(piece, at)[1]
        block = piece[start:payload]
        if block != self._headers_block:
            self._headers, self._headers_block = _headers(block), block
        return Message(self._headers, piece[payload:body_end])


def _headers(block: bytes) -> dict[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {}
    at = 0
    while at < len(block):
        try:
            name, at = _sized(block, at + 1, block[at])
            kind = block[at]
            value, at = _READERS[kind](block, at + 1)
            headers[name.decode()] = value
        except (IndexError, KeyError, UnicodeDecodeError) as error:
            raise _damaged("its headers cannot be read") from error
    return headers


def _sized(block: bytes, at: int, length: int) -> tuple[bytes, int]:
    end = at + length
    if end > len(block):
        raise IndexError(end)
    return block[at:end], end


def _blob(block: bytes, at: int) -> tuple[bytes, int]:
    length, at = _sized(block, at, _LENGTH.size)
    return _sized(block, at, _LENGTH.unpack(length)[0])


def _text(block: bytes, at: int) -> tuple[str, int]:
    value, end = _blob(block, at)
    return value.decode(), end


def _number(form: str) -> Callable[[bytes, int], tuple[HeaderValue, int]]:
    number = Struct(form)

    def read(block: bytes, at: int) -> tuple[HeaderValue, int]:
        value, end = _sized(block, at, number.size)
        return number.unpack(value)[0], end

    return read


_READERS: Final[Mapping[int, Callable[[bytes, int], tuple[HeaderValue, int]]]] = {
    0: lambda _, at: (True, at),
    1: lambda _, at: (False, at),
    2: _number(">b"),
    3: _number(">h"),
    4: _number(">i"),
    5: _number(">q"),
    6: _blob,
    7: _text,
    8: _number(">q"),  # a timestamp
    9: lambda block, at: _sized(block, at, 16),  # a UUID
}


def _damaged(detail: str) -> UpstreamFailure:
    return UpstreamFailure(f"The provider sent a damaged message: {detail}")
