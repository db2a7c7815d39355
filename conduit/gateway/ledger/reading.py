"""Reads the records of journal files in order, live and after a crash alike."""

import logging
import os
from pathlib import Path

from conduit.gateway.ledger.batches import BATCH_BYTES, Batch, Position
from conduit.gateway.ledger.journal import journal_numbers, journal_path
from conduit.gateway.ledger.records import BadLineError, Record, decode_line

log = logging.getLogger(__name__)

_CHUNK_BYTES = 256 << 10


class JournalDamagedError(Exception):
    """A record in the midst of a file cannot be read; nothing behind it has been applied."""


class JournalReader:
    """Reads on from a position; `read` returns an empty batch where there is nothing more."""

    def __init__(self, folder: Path, position: Position, *, mend: bool = False) -> None:
        """`mend` cuts a torn last record off a file, which is what a crash leaves there."""
        self._folder = folder
        self._mend = mend
        self._number, self._offset = position
        self._buffer = b""  # a piece of the file, of which
        self._start = 0  # the bytes from here on stand at the offset

    @property
    def position(self) -> Position:
        return Position(self._number, self._offset)

    def read(self, limit: int, end: Position | None = None) -> Batch:
        """At most `limit` records, none of them behind `end`. Raises JournalDamagedError, OSError.

        They are fewer where they are so large that a batch would have far more than BATCH_BYTES.
        `end` is where a running journal has got to: behind it a write may be under way.
        """
        records: list[Record] = []
        size = 0
        while len(records) < limit and (size < BATCH_BYTES or not records):
            before = self._offset
            at_end = self._read_file(records, limit, end, BATCH_BYTES - size)
            size += self._offset - before
            if at_end and not self._next_file(end):
                break
        return Batch(tuple(records), self.position, size)

    def _read_file(
        self, records: list[Record], limit: int, end: Position | None, most_bytes: int
    ) -> bool:
        """Take records from the present file; True: it has no more. False: there are enough."""
        enough = self._offset + most_bytes
        stop = end.offset if end is not None and end.file == self._number else None
        while len(records) < limit and (self._offset < enough or not records):
            newline = self._buffer.find(b"\n", self._start)
            if newline < 0:
                if self._fill(stop):
                    continue
                if self._start < len(self._buffer):
                    self._bad_line(BadLineError("its last record is cut off"), stop)
                return True
            try:
                if newline > self._start:
                    records.append(decode_line(self._buffer[self._start : newline]))
            except BadLineError as error:
                self._bad_line(error, stop)
                return True
            self._offset += newline + 1 - self._start
            self._start = newline + 1
        return False

    def _fill(self, stop: int | None) -> bool:
        """Read on; False at the end of the file."""
        start = self._offset + len(self._buffer) - self._start
        size = _CHUNK_BYTES if stop is None else min(_CHUNK_BYTES, stop - start)
        if size <= 0:
            return False
        try:
            with open(journal_path(self._folder, self._number), "rb") as file:
                file.seek(start)
                chunk = file.read(size)
        except FileNotFoundError:  # wholly applied and deleted, or not there yet
            return False
        self._buffer = self._buffer[self._start :] + chunk
        self._start = 0
        return bool(chunk)

    def _next_file(self, end: Position | None) -> bool:
        if end is not None and self._number >= end.file:
            return False
        following = [n for n in journal_numbers(self._folder) if n > self._number]
        if not following:
            return False
        self._number, self._offset = following[0], 0
        self._buffer, self._start = b"", 0
        return True

    def _bad_line(self, error: BadLineError, stop: int | None) -> None:
        """Cut a torn end off; anything else is damage that only the operator can judge."""
        path = journal_path(self._folder, self._number)
        tail = path.read_bytes()[self._offset :]
        readable = sum(_is_readable(line) for line in tail.split(b"\n")[1:])
        if readable or stop is not None or not self._mend:
            raise JournalDamagedError(
                f"the journal file {path} is damaged at byte {self._offset}: {error}. "
                f"{readable} readable records follow it, and none of them has been applied. "
                "Restore the file from a copy; or, to give up the damaged record alone, delete "
                "its line (one record a line, the file is text) and start again"
            ) from error
        log.warning("%s: a torn record of %d bytes was cut off its end", path, len(tail))
        os.truncate(path, self._offset)
        self._buffer, self._start = b"", 0


def _is_readable(line: bytes) -> bool:
    try:
        decode_line(line)
    except BadLineError:
        return False
    return True
