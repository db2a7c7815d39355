"""A bounded, ordered memory of things that happened, without doubles and with marks for gaps."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Generic, Protocol, TypeVar


class Entry(Protocol):
    """What a ring holds: `key` tells entries apart, `at_ms` orders them."""

    @property
    def key(self) -> str: ...

    @property
    def at_ms(self) -> int: ...


E = TypeVar("E", bound=Entry)


class Ring(Generic[E]):
    """The newest entries, the oldest first.

    Every entry has a position, which counts up and stays until a merge puts older entries in
    between; `generation` changes then, and a view finds its place again by key.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.end = 0
        self.generation = 0
        self._entries: deque[E] = deque()
        self._keys: set[str] = set()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[E]:
        return iter(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    @property
    def start(self) -> int:
        """The position of the oldest entry; `end` is that of the next one to come."""
        return self.end - len(self._entries)

    def append(self, entries: Iterable[E]) -> int:
        """Add what is new at the end; says how many that were."""
        added = 0
        for entry in entries:
            if entry.key in self._keys:
                continue
            if len(self._entries) == self.capacity:
                self._keys.discard(self._entries.popleft().key)
            self._entries.append(entry)
            self._keys.add(entry.key)
            added += 1
        self.end += added
        return added

    def merge(self, entries: Iterable[E]) -> int:
        """Put what is missing where it belongs by time; says how many that were."""
        missing: dict[str, E] = {}
        for entry in entries:
            if entry.key not in self._keys:
                missing.setdefault(entry.key, entry)
        if not missing:
            return 0
        # Stable: of one moment, what was here already comes first.
        ordered = sorted([*self._entries, *missing.values()], key=lambda entry: entry.at_ms)
        kept = ordered[-self.capacity :]
        before = len(self._entries)
        self._entries = deque(kept)
        self._keys = {entry.key for entry in kept}
        self.end += len(kept) - before
        self.generation += 1
        return sum(key in self._keys for key in missing)

    def at(self, position: int) -> E | None:
        """The entry at a position; None when it has gone or not come yet."""
        index = position - self.start
        return self._entries[index] if 0 <= index < len(self._entries) else None

    def window(self, position: int, count: int) -> Sequence[E]:
        """Up to `count` entries from a position on."""
        first = max(0, position - self.start)
        return list(islice(self._entries, first, first + count))

    def newest(self, count: int) -> Sequence[E]:
        """The newest entries, the oldest of them first."""
        return self.window(self.end - count, count)

    def position_of(self, key: str) -> int | None:
        """Where the entry with this key stands now."""
        if key not in self._keys:
            return None
        for index, entry in enumerate(self._entries):
            if entry.key == key:
                return self.start + index
        return None

    def clear(self) -> None:
        self._entries.clear()
        self._keys.clear()
        self.generation += 1
