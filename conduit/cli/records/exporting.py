"""A streamed answer on its way to stdout or a file, counted as it passes."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from conduit.cli.writing import NewFile

_QUOTE, _NEWLINE = b'"', b"\n"


class Target(Protocol):
    def write(self, data: bytes, /) -> object: ...


class Counted:
    """Counts records in pieces of JSON lines or of CSV, whose quoted fields may hold line ends."""

    def __init__(self, form: str) -> None:
        self.lines = 0
        self._quoted = form == "csv"
        self._inside = False
        self._heading = form == "csv"

    @property
    def records(self) -> int:
        return max(self.lines - self._heading, 0)

    def add(self, piece: bytes) -> None:
        if not self._quoted or _QUOTE not in piece:
            self.lines += 0 if self._inside else piece.count(_NEWLINE)
            return
        parts = piece.split(_QUOTE)
        self.lines += sum(part.count(_NEWLINE) for part in parts[self._inside :: 2])
        self._inside ^= not len(parts) % 2


@contextmanager
def target(out: str | None, *, force: bool) -> Iterator[Target]:
    """Stdout, or a file that is there only once it is whole. Raises Failure."""
    if out is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with NewFile(out, force=force) as new:
        yield new.file.buffer
        new.keep()


def written(file: Target, form: str, pieces: Iterable[bytes]) -> Iterator[int]:
    """Write pieces; after each, how many records have gone by now."""
    counted = Counted(form)
    for piece in pieces:
        file.write(piece)
        counted.add(piece)
        yield counted.records
