"""The last events, kept for front-ends that come back and ask what they missed.

The newest stand as they were published. Older ones are packed, some hundred into one piece: nearly
none of them is ever looked at, and to take an event apart after thousands of others costs more than
all that publishing does, as its objects have left the processor's caches long before. Packed, an
event takes about a fifth of the memory, too.
"""

import pickle
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from conduit.core.events import EventKind

Kept = tuple[int, EventKind, Any]
"""The time of an event in ms, its kind, and what was published."""

_MOST_TOGETHER: Final = 256


class Ring:
    """Events in a row, numbered from 1 on; the last `most` of them can be had."""

    __slots__ = ("_most", "_packed", "_together", "last_seq", "newest")

    def __init__(self, most: int) -> None:
        self._most = most
        self._together = max(1, min(_MOST_TOGETHER, most // 4))
        self._packed: deque[bytes | list[Kept]] = deque()  # of so many events each
        self.newest: list[Kept] = []
        self.last_seq = 0

    @property
    def first_seq(self) -> int:
        """The number of the oldest event that can be had; of the next one while there is none."""
        return self.last_seq - min(self._count(), self._most) + 1

    def add(self, at_ms: int, kind: EventKind, data: object) -> None:
        self.last_seq += 1
        newest = self.newest
        newest.append((at_ms, kind, data))
        if len(newest) >= self._together:
            self._pack()

    def since(self, seq: int, most: int) -> Iterator[tuple[int, Kept]]:
        """At most so many events with their numbers, from one on that can be had."""
        skipped = seq - (self.last_seq - self._count() + 1)
        block, skipped = divmod(skipped, self._together)
        events = islice(self._from_block(block), skipped, skipped + most)
        return enumerate(events, seq)

    def _from_block(self, block: int) -> Iterator[Kept]:
        for packed in islice(self._packed, block, None):
            yield from _unpacked(packed)
        yield from self.newest

    def _count(self) -> int:
        return len(self._packed) * self._together + len(self.newest)

    def _pack(self) -> None:
        full, self.newest = self.newest, []
        self._packed.append(_packed(full))
        while self._count() - self._together >= self._most:
            self._packed.popleft()


def _packed(events: list[Kept]) -> bytes | list[Kept]:
    try:
        return pickle.dumps(events, pickle.HIGHEST_PROTOCOL)
    except Exception:  # noqa: BLE001  # whatever was published, publishing never raises
        return events


def _unpacked(packed: bytes | list[Kept]) -> list[Kept]:
    if isinstance(packed, list):
        return packed
    events: list[Kept] = pickle.loads(packed)  # which was packed here
    return events
