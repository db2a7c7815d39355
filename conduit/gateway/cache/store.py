"""The answers that are kept: bounded in bytes and number, the least used go first."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

ENTRY_BYTES = 1024
"""What an entry takes beside its body, about: its digest, its names, its place in the order."""

_HEADER_BYTES = 128
"""What a header takes beside its text."""

_SWEPT_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """`entry_bytes` is the most that one entry may take."""

    total_bytes: int
    entry_bytes: int
    entries: int

    @property
    def largest_bytes(self) -> int:
        return min(self.total_bytes, self.entry_bytes)


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer as its client got it; `body` is that of a stream too, from end to end."""

    headers: Mapping[str, str]
    body: bytes
    cost_nanodollars: int

    @property
    def size_bytes(self) -> int:
        texts = sum(len(name) + len(value) for name, value in self.headers.items())
        return ENTRY_BYTES + len(self.headers) * _HEADER_BYTES + texts + len(self.body)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer belongs: `model` is what was asked for, `alias` that of its mapping."""

    digest: bytes
    alias: str
    model: str
    key_id: str
    ttl_s: float


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer in its place; the times are those of the store's clock."""

    place: Place
    answer: Answer
    size_bytes: int
    stored_at: float

    @property
    def expires_at(self) -> float:
        return self.stored_at + self.place.ttl_s


class Store:
    """Finds answers by their digest. `clock` counts seconds and is never set back."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._limits = limits
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()  # the least used first
        self._bytes = 0
        self._sweep_at = clock() + _SWEPT_EVERY_S

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """Every entry, those included whose time is over but that are not swept away yet."""
        return iter(self._entries.values())

    @property
    def size_bytes(self) -> int:
        return self._bytes

    @property
    def limits(self) -> Limits:
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits
        self.remove(lambda entry: entry.size_bytes > limits.largest_bytes)
        self._make_room()

    def find(self, digest: bytes) -> Entry | None:
        """The entry of a digest, which then counts as just used; None once its time is over."""
        entry = self._entries.get(digest)
        if entry is None:
            return None
        if entry.expires_at <= self.clock():
            self._drop(digest)
            return None
        self._entries.move_to_end(digest)
        return entry

    def keep(self, place: Place, answer: Answer) -> Entry:
        """Put an answer in its place, where one of that size may be kept at all."""
        now = self.clock()
        entry = Entry(place, answer, answer.size_bytes, now)
        self._drop(place.digest)
        if entry.size_bytes <= self._limits.largest_bytes:
            self._entries[place.digest] = entry
            self._bytes += entry.size_bytes
            if now >= self._sweep_at:
                self.sweep()
            self._make_room()
        return entry

    def sweep(self) -> None:
        """Forget every answer whose time is over."""
        now = self.clock()
        self._sweep_at = now + _SWEPT_EVERY_S
        self.remove(lambda entry: entry.expires_at <= now)

    def remove(self, unwanted: Callable[[Entry], bool]) -> int:
        """Forget some entries; how many they were."""
        found = [digest for digest, entry in self._entries.items() if unwanted(entry)]
        for digest in found:
            self._drop(digest)
        return len(found)

    def _make_room(self) -> None:
        limits = self._limits
        while len(self._entries) > limits.entries or self._bytes > limits.total_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, digest: bytes) -> None:
        entry = self._entries.pop(digest, None)
        if entry is not None:
            self._bytes -= entry.size_bytes
