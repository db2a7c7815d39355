"""Finished requests, other events and marks of lost time, as the rings hold them."""

import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

from conduit.core.events import ENDED_BY_SOMEBODY
from conduit.core.money import format_usd, parse_usd
from conduit.tui.state.connectivity import Tone

Record = Mapping[str, Any]


class Shape:
    """Where the fields of like records stand: whole numbers packed, everything else in a tuple."""

    __slots__ = ("is_plain", "numbers", "others", "packing", "places")

    def __init__(self, names: tuple[str, ...], kinds: tuple[type, ...]) -> None:
        kept = [(name, kind) for name, kind in zip(names, kinds, strict=True) if name != _KEY]
        self.numbers = tuple(name for name, kind in kept if kind is int)
        self.others = tuple(name for name, kind in kept if kind is not int)
        self.packing = struct.Struct(f"{len(self.numbers)}q")
        self.is_plain = all(kind in _PLAIN for _, kind in kept)
        packed = {name: 8 * place for place, name in enumerate(self.numbers)}
        apart = {name: ~place for place, name in enumerate(self.others)}
        # In the order of the record; not negative: the offset of a number, negative: of another.
        self.places = {name: (packed | apart).get(name, 0) for name in names}


class Finished(Mapping[str, Any]):
    """One request as it was told, with names for what lists show of it.

    Takes a small part of the room that a dictionary does; a ring holds thousands. What is no number
    is the same in many requests, and they share it.
    """

    __slots__ = ("_numbers", "_others", "_shape", "key")

    def __init__(self, record: Record) -> None:
        names = tuple(record)
        shape = _shape_of(names, tuple(map(type, record.values())))
        try:
            self._numbers = shape.packing.pack(*[record[name] for name in shape.numbers])
        except struct.error:  # a number beyond 64 bits: none of them is packed
            shape = _shape_of(names, (object,) * len(names))
            self._numbers = b""
        others = tuple([record[name] for name in shape.others])
        self.key: str = record[_KEY]
        self._shape = shape
        self._others = _shared(others) if shape.is_plain else others

    def __getitem__(self, name: str) -> Any:
        place = self._shape.places[name]
        if name == _KEY:
            return self.key
        return self._others[~place] if place < 0 else _NUMBER.unpack_from(self._numbers, place)[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shape.places)

    def __len__(self) -> int:
        return len(self._shape.places)

    @property
    def record(self) -> Record:
        """All that was told of it."""
        return self

    @property
    def at_ms(self) -> int:
        found: int = self["at_ms"]
        return found

    @property
    def status(self) -> int:
        found: int = self["status"]
        return found

    @property
    def outcome(self) -> str:
        found: str = self["outcome"]
        return found

    @property
    def alias(self) -> str | None:
        found: str | None = self["alias"]
        return found

    @property
    def provider(self) -> str | None:
        found: str | None = self["provider"]
        return found

    @property
    def model(self) -> str | None:
        found: str | None = self["model"]
        return found

    @property
    def duration_ms(self) -> int:
        found: int = self["duration_ms"]
        return found

    @property
    def tokens(self) -> int:
        found: int = self["input_tokens"] + self["output_tokens"]
        return found

    @property
    def cost_nanodollars(self) -> int:
        found: int = self["cost_nanodollars"]
        return found

    @property
    def key_name(self) -> str | None:
        found: str | None = self["key_name"]
        return found

    @property
    def error_code(self) -> str | None:
        found: str | None = self["error_code"]
        return found

    @property
    def failed(self) -> bool:
        """Whether something went wrong; nothing did where its client hung up."""
        return self.status >= 400 and self.outcome not in ENDED_BY_SOMEBODY

    @property
    def tone(self) -> Tone:
        """How its status is shown."""
        if self.failed:
            return "bad"
        return "warn" if self.status >= 400 else "good"

    @property
    def cost_usd(self) -> str:
        return format_usd(self.cost_nanodollars)


_KEY = "id"
_NUMBER = struct.Struct("q")
_PLAIN = frozenset({int, str, bool, type(None)})
_shape_of = lru_cache(maxsize=256)(Shape)


@lru_cache(maxsize=1024)
def _shared(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The first of equal tuples; names of models, keys and providers come again and again."""
    return tuple([sys.intern(value) if type(value) is str else value for value in values])


@dataclass(frozen=True, slots=True)
class Happened:
    """Any other event."""

    key: str
    at_ms: int
    seq: int
    kind: str
    data: Record = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Mark:
    """A line between entries that says what the connection lost or got back there."""

    key: str
    at_ms: int
    kind: Literal["lost", "restarted", "resumed"]
    count: int = 0

    @property
    def text(self) -> str:
        match self.kind:
            case "lost":
                return f"gap: {self.count:,} events lost, refilled from the request records"
            case "restarted":
                return "the gateway was restarted, refilled from the request records"
            case "resumed":
                return f"reconnected, {self.count:,} events recovered"


def finished_of_event(data: Record) -> Finished:
    """A request as `request.finished` tells of it."""
    return Finished(data)


def finished_of_record(record: Record) -> Finished:
    """A request as the admin API lists it, with the names of events, which filters look for."""
    cost_nanodollars = parse_usd(record["cost"])
    told = {"key_name": record["key"], "cost_nanodollars": cost_nanodollars}
    return Finished({**record, **told, "at_ms": epoch_ms(record["at"])})


def epoch_ms(time: str) -> int:
    """Epoch milliseconds of a time as the admin API writes it."""
    return round(datetime.fromisoformat(time).timestamp() * 1000)
