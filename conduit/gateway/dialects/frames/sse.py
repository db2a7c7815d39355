"""Server-sent events: bytes as they arrive, cut into whole events."""

import re
from typing import Final

from conduit.core.errors import UpstreamFailure

MAX_EVENT_BYTES: Final = 8 * 1024 * 1024

# A line ends in CRLF, LF or CR, and an event in an empty line. The lookahead keeps one CRLF from
# being taken for two line ends.
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventSplitter:
    """Holds back the bytes of an event until it is whole.

    `feed` gives what can be relayed now: the very bytes that were fed where they end with an event.
    """

    __slots__ = ("_limit", "_scanned", "_tail")

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._tail = bytearray()
        self._scanned = 0
        self._limit = limit

    @property
    def is_holding(self) -> bool:
        """Whether a part of an event waits for its rest."""
        return bool(self._tail)

    def feed(self, chunk: bytes) -> bytes:
        """The bytes up to the end of the last whole event; raises past the limit of one."""
        if not self._tail:
            if chunk.endswith((b"\n\n", b"\r\n\r\n")):
                return chunk
            end = _last_end(chunk, 0)
            self._hold(chunk[end:])
            return chunk[:end]
        self._tail += chunk
        end = _last_end(self._tail, self._scanned)
        if not end:
            self._hold(b"")
            return b""
        whole = bytes(self._tail[:end])
        rest = self._tail[end:]
        self._tail = bytearray()
        self._hold(rest)
        return whole

    def finish(self) -> bytes:
        """What never became a whole event."""
        rest = bytes(self._tail)
        self._tail = bytearray()
        return rest

    def _hold(self, rest: bytes | bytearray) -> None:
        self._tail += rest
        # Three bytes of an empty line (CR LF CR) may already be here: look at them again.
        self._scanned = max(0, len(self._tail) - 3)
        if len(self._tail) > self._limit:
            raise UpstreamFailure(f"The provider sent an event of more than {self._limit:,} bytes")


def _last_end(text: bytes | bytearray, start: int) -> int:
    """Where the last empty line ends, 0 where there is none."""
    if text.find(b"\r", start) < 0:
        found = text.rfind(b"\n\n", start)
        return found + 2 if found >= 0 else 0
    end = 0
    for match in _BLANK_LINE.finditer(text, start):
        end = match.end()
    return end


def payloads_of(whole: bytes) -> list[bytes | None]:
    """The data of each event of bytes that `EventSplitter.feed` gave, in order."""
    if b"\r" in whole:
        lines = whole.replace(b"\r", b"")  # as Gemini's end in both
        if len(whole) - len(lines) != whole.count(b"\r\n"):  # some end in CR alone
            return [payload_of(event) for event in split_events(whole)]
        whole = lines
    events = whole.split(b"\n\n")
    events.pop()
    # Nearly every event of nearly every provider is one such line, or has its name before that.
    return [
        event[6:]
        if event.startswith(b"data: ") and b"\n" not in event
        else _named_payload(event) or payload_of(event)
        for event in events
    ]


def _named_payload(event: bytes) -> bytes | None:
    """The data of an event of two lines, its name and its data; None where it has another form."""
    if not event.startswith(b"event: "):
        return None
    end = event.find(b"\n")
    if not event.startswith(b"data: ", end + 1) or event.find(b"\n", end + 1) >= 0:
        return None
    return event[end + 7 :]


def split_events(whole: bytes) -> list[bytes]:
    """The events of bytes that `EventSplitter.feed` gave, each with the empty line that ends it."""
    if b"\r" not in whole:
        events = [event + b"\n\n" for event in whole.split(b"\n\n")]
        events.pop()
        return events
    events = []
    start = 0
    for match in _BLANK_LINE.finditer(whole):
        events.append(whole[start : match.end()])
        start = match.end()
    return events


def payload_of(event: bytes) -> bytes | None:
    """The data of one event, its lines joined; None where it has none (a comment, a bare id)."""
    whole = _LINE_END.split(event.removeprefix(_BYTE_ORDER_MARK))
    lines = [line[5:].removeprefix(b" ") for line in whole if line.startswith(b"data:")] or [
        b"" for line in whole if line == b"data"
    ]
    return b"\n".join(lines) if lines else _reported(whole)


def _reported(lines: list[bytes]) -> bytes | None:
    """The error of an event whose field is called that, as if it were data.

    llama.cpp's server sent errors so until September 2025 (its pull request 16109), and servers
    that are made of it still do; `[DONE]` may follow as if all were well.
    """
    for line in lines:
        if line.startswith(b"error:"):
            said = line[6:].strip()
            return said if b'"error"' in said else b'{"error":%b}' % (said or b'""')
    return None


def event_of(payload: bytes) -> bytes:
    """One event that carries `payload`, which must be a single line."""
    return b"data: " + payload + b"\n\n"
