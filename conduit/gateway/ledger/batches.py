"""Records in a row, and where in the journal they stand."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from conduit.gateway.ledger.records import Record

MOST_KEPT_RECORDS = 4_000
MOST_KEPT_BYTES = 16 << 20
BATCH_BYTES = 8 << 20
"""A transaction takes no more once it has so many: replies are larger than all else by far."""


class Position(NamedTuple):
    """A place between two records: bytes `offset` of journal file `file`."""

    file: int
    offset: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in a row, the position behind them and the bytes they take."""

    records: tuple[Record, ...]
    position: Position
    size: int


class WrittenRecords:
    """The last records of a running journal, for who follows it closely.

    To read them back would cost the event loop more than to write them did. What is not kept any
    more is read from the files, which alone count after a crash.
    """

    def __init__(self, most: int = MOST_KEPT_RECORDS, most_bytes: int = MOST_KEPT_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._writes: deque[tuple[Position, Position, Sequence[Record]]] = deque()
        self._count = 0
        self._bytes = 0

    def add(self, before: Position, behind: Position, records: Sequence[Record]) -> None:
        """One write to a file: what it began and ended at, and all that it held."""
        self._writes.append((before, behind, records))
        self._count += len(records)
        self._bytes += behind.offset - before.offset
        while self._count > self._most or self._bytes > self._most_bytes:
            self._forget_one()

    def after(self, position: Position, limit: int) -> Batch | None:
        """The records behind a position, about `limit` at most; None where they are not kept."""
        self.forget(position)
        writes = self._writes
        if not writes or writes[0][0] != position:
            return None
        taken: list[Record] = []
        size = 0
        for before, behind, records in writes:
            taken += records
            size += behind.offset - before.offset
            position = behind
            if len(taken) >= limit or size >= BATCH_BYTES:
                break
        return Batch(tuple(taken), position, size)

    def forget(self, position: Position) -> None:
        """Nobody will ask for what stands before the position."""
        writes = self._writes
        while writes and writes[0][1] <= position:
            self._forget_one()

    def _forget_one(self) -> None:
        before, behind, records = self._writes.popleft()
        self._count -= len(records)
        self._bytes -= behind.offset - before.offset
