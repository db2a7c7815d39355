"""JSON lines: bytes as they arrive, cut into whole lines."""

from typing import Final

from conduit.core.errors import UpstreamFailure

MAX_LINE_BYTES: Final = 8 * 1024 * 1024


class LineSplitter:
    """Holds back the bytes of a line until it is whole."""

    __slots__ = ("_limit", "_tail")

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._tail = bytearray()
        self._limit = limit

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that have become whole, empty ones left out; raises past the limit of one."""
        end = piece.rfind(b"\n") + 1
        whole = piece[:end]
        if end and self._tail:
            whole = bytes(self._tail) + whole
            self._tail.clear()
        self._tail += piece[end:]
        if len(self._tail) > self._limit:
            raise UpstreamFailure(f"The provider sent a line of more than {self._limit:,} bytes")
        # Only \n ends a line here: other line ends of Unicode may stand inside a JSON string.
        return [line for raw in whole.split(b"\n") if (line := raw.strip(b" \t\r"))]

    def finish(self) -> bytes:
        """The last line, where none ends it."""
        rest = bytes(self._tail).strip(b" \t\r")
        self._tail.clear()
        return rest
