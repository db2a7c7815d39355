"""Finished requests, other events and marks of lost time, as the rings hold them."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

from conduit.core.money import format_usd, parse_usd

Record = Mapping[str, Any]


class Told(Mapping[str, Any]):
    """A record in a quarter of the room that a dictionary takes; a ring holds thousands."""

    __slots__ = ("_places", "_values")

    def __init__(self, record: Record) -> None:
        self._places = _places_of(tuple(record))
        self._values = tuple(map(_shared, record.values()))

    def __getitem__(self, name: str) -> Any:
        return self._values[self._places[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@lru_cache(maxsize=64)
def _places_of(names: tuple[str, ...]) -> Mapping[str, int]:
    """Where the fields stand: the same for all records of one kind."""
    return {name: place for place, name in enumerate(names)}


def _shared(value: Any) -> Any:
    """The same names of models, keys and providers come again and again."""
    return sys.intern(value) if type(value) is str else value


@dataclass(frozen=True, slots=True)
class Finished:
    """One request as lists show it; `record` holds all that was told of it."""

    key: str
    at_ms: int
    status: int
    outcome: str
    alias: str | None
    provider: str | None
    model: str | None
    duration_ms: int
    tokens: int
    cost_nanodollars: int
    key_name: str | None
    error_code: str | None
    record: Record = field(repr=False, compare=False)

    @property
    def failed(self) -> bool:
        return self.status >= 400

    @property
    def cost_usd(self) -> str:
        return format_usd(self.cost_nanodollars)


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
    data = Told(data)
    return Finished(
        key=data["id"],
        at_ms=data["at_ms"],
        status=data["status"],
        outcome=data["outcome"],
        alias=data["alias"],
        provider=data["provider"],
        model=data["model"],
        duration_ms=data["duration_ms"],
        tokens=data["input_tokens"] + data["output_tokens"],
        cost_nanodollars=data["cost_nanodollars"],
        key_name=data["key_name"],
        error_code=data["error_code"],
        record=data,
    )


def finished_of_record(record: Record) -> Finished:
    """A request as the admin API lists it."""
    return Finished(
        key=record["id"],
        at_ms=epoch_ms(record["at"]),
        status=record["status"],
        outcome=record["outcome"],
        alias=record["alias"],
        provider=record["provider"],
        model=record["model"],
        duration_ms=record["duration_ms"],
        tokens=record["input_tokens"] + record["output_tokens"],
        cost_nanodollars=parse_usd(record["cost"]),
        key_name=record["key"],
        error_code=record["error_code"],
        # With the names that events have, which are those that a filter looks for.
        record=Told(
            {
                **record,
                "key_name": record["key"],
                "cost_nanodollars": parse_usd(record["cost"]),
            }
        ),
    )


def epoch_ms(time: str) -> int:
    """Epoch milliseconds of a time as the admin API writes it."""
    return round(datetime.fromisoformat(time).timestamp() * 1000)
