"""What the interface knows of one gateway; plain Python, which widgets only read.

The link writes here, and whoever draws is woken. Nothing in this module knows of a terminal, so all
of it is tested without one.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from conduit.core.ids import now_ms
from conduit.tui.connectivity import Connectivity, Shown
from conduit.tui.ring import Ring
from conduit.tui.traffic import (
    Finished,
    Happened,
    Mark,
    Record,
    finished_of_event,
    finished_of_record,
)

RING_ENTRIES = 10_000
SAMPLES = 900
MESSAGES = 500
_LATENCIES = 200
_FEW_EVENTS = 3

REQUEST_STARTED = "request.started"
REQUEST_FINISHED = "request.finished"
STATS_SAMPLED = "stats.sampled"


@dataclass(slots=True)
class Table:
    """Records of one noun by id, in the gateway's order. `revision` counts its changes."""

    rows: dict[str, Record] = field(default_factory=dict)
    revision: int = 0
    loaded_ms: int | None = None
    loading: bool = False
    error: str | None = None
    outdated: bool = True
    truncated: bool = False

    @property
    def is_loaded(self) -> bool:
        return self.loaded_ms is not None

    def find(self, name: str) -> Record | None:
        """A record by its id, name or alias."""
        if name in self.rows:
            return self.rows[name]
        return next((row for row in self.rows.values() if label_of(row) == name), None)


@dataclass(frozen=True, slots=True)
class Message:
    """Something the operator was told, kept for `:messages`."""

    at_ms: int
    severity: str
    text: str
    hint: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    at_ms: int
    figures: Record


@dataclass(slots=True)
class ProviderTraffic:
    """What was seen of one provider since the start."""

    latencies_ms: deque[int] = field(default_factory=lambda: deque(maxlen=_LATENCIES))
    last_error: str | None = None
    last_error_ms: int = 0

    def p95_ms(self) -> int | None:
        """Of the last 200 requests."""
        if not self.latencies_ms:
            return None
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)]


class Seen(NamedTuple):
    """What of a store had been seen at one moment."""

    epoch: int
    state: Shown
    revision: int
    events_revision: int
    events: int

    def is_little_after(self, before: "Seen") -> bool:
        """Whether nothing has come since but a few events."""
        if (self.epoch, self.state) != (before.epoch, before.state):
            return False
        others = self.revision - before.revision - (self.events_revision - before.events_revision)
        return not others and self.events - before.events <= _FEW_EVENTS


class Rhythm:
    """Which ticks of a clock draw what has come.

    What comes after a silence is drawn at the next tick. A list that then moves on by a row or two
    at every tick is drawn at every other one: it reads as well, and costs half.
    """

    def __init__(self) -> None:
        self._drawn: Seen | None = None
        self._drew = False

    def is_silent(self, seen: Seen) -> bool:
        """Whether there is nothing to draw at this tick."""
        silent = seen == self._drawn
        if silent:
            self._drew = False
        return silent

    def is_due(self, seen: Seen) -> bool:
        """Whether this tick draws; if so, all that there is to see counts as drawn."""
        can_wait = self._drew and self._drawn is not None and seen.is_little_after(self._drawn)
        self._drew = not can_wait
        if self._drew:
            self._drawn = seen
        return self._drew


class Store:
    """All state of one gateway. `epoch` names the gateway: an answer for another one is dropped.

    `revision` counts all changes, `events_revision` those that events brought, `events_taken` these
    events.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], int] = now_ms,
    ) -> None:
        self.wall_ms = wall_ms
        self._wake: Callable[[], None] = _nobody
        self.connectivity = Connectivity(clock, lambda: self._wake())
        self.epoch = 0
        self.revision = 0
        self.events_revision = 0
        self.events_taken = 0
        self.messages: deque[Message] = deque(maxlen=MESSAGES)
        self._clear()

    def _clear(self) -> None:
        self.tables: dict[str, Table] = {}
        self.status: Record | None = None
        self.boot: str | None = None
        self.seq = 0
        self.traffic: Ring[Finished | Mark] = Ring(RING_ENTRIES)
        self.events: Ring[Happened | Mark] = Ring(RING_ENTRIES)
        self.samples: deque[Sample] = deque(maxlen=SAMPLES)
        self.providers: dict[str, ProviderTraffic] = {}
        self.received: Counter[str] = Counter()

    def seen(self) -> Seen:
        """What there is to see at this moment."""
        return Seen(
            self.epoch,
            self.connectivity.shown(),
            self.revision,
            self.events_revision,
            self.events_taken,
        )

    def wakes(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever something has changed; it must return at once."""
        self._wake = wake

    def begin(self) -> int:
        """Forget everything: another gateway is meant from now on. Returns the new epoch."""
        self.epoch += 1
        self.connectivity.begin()
        self._clear()
        self._changed()
        return self.epoch

    # Tables

    def table(self, name: str) -> Table:
        return self.tables.setdefault(name, Table())

    def loading(self, name: str) -> None:
        self.table(name).loading = True
        self._changed()

    def fill(
        self, name: str, rows: Iterable[Record], *, epoch: int, truncated: bool = False
    ) -> bool:
        """Replace a table's records. False when the answer came too late for this gateway."""
        if epoch != self.epoch:
            return False
        table = self.table(name)
        fresh = {id_of(row): row for row in rows}
        if not table.is_loaded or fresh != table.rows or list(fresh) != list(table.rows):
            table.rows = fresh
            table.revision += 1
        table.loaded_ms = self.wall_ms()
        table.loading = table.outdated = False
        table.error = None
        table.truncated = truncated
        self._changed()
        return True

    def fail(self, name: str, reason: str, *, epoch: int) -> bool:
        """A table could not be loaded; the records it had stay."""
        if epoch != self.epoch:
            return False
        table = self.table(name)
        table.loading = False
        table.error = reason
        self._changed()
        return True

    def put(self, name: str, row: Record, *, epoch: int) -> bool:
        """Add or replace one record, as the gateway answered a change with it."""
        if epoch != self.epoch:
            return False
        table = self.table(name)
        table.rows[id_of(row)] = row
        table.revision += 1
        self._changed()
        return True

    def drop(self, name: str, id: str, *, epoch: int) -> bool:
        if epoch != self.epoch:
            return False
        table = self.table(name)
        if table.rows.pop(id, None) is not None:
            table.revision += 1
            self._changed()
        return True

    def set_status(self, status: Record, *, epoch: int) -> bool:
        if epoch != self.epoch:
            return False
        if status != self.status:
            self.status = status
            self._changed()
        return True

    # Events

    def receive(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take up events in their order, each once."""
        finished: list[Finished] = []
        happened: list[Happened] = []
        for event in events:
            self.boot, self.seq = event["boot"], event["seq"]
            kind, data = event["kind"], event["data"]
            self.received[kind] += 1
            self.events_taken += 1
            if kind == REQUEST_FINISHED:
                finished.append(finished_of_event(data))
            elif kind == STATS_SAMPLED:
                self.samples.append(Sample(event["at_ms"], data))
            elif kind != REQUEST_STARTED:
                key = f"{event['boot']}:{event['seq']}"
                happened.append(Happened(key, event["at_ms"], event["seq"], kind, data))
        self.traffic.append(finished)
        self.events.append(happened)
        for entry in finished:
            self._count(entry)
        self.events_revision += 1
        self._changed()

    def merge_requests(self, records: Iterable[Record], *, epoch: int) -> int:
        """Put in requests that the records know and the events did not bring; says how many."""
        if epoch != self.epoch:
            return 0
        added = self.traffic.merge([finished_of_record(record) for record in records])
        if added:
            self._changed()
        return added

    def mark(self, mark: Mark) -> None:
        """Show in both rings what was lost or came back here."""
        self.traffic.append([mark])
        self.events.append([mark])
        self._changed()

    def _count(self, entry: Finished) -> None:
        if entry.provider is None:
            return
        seen = self.providers.setdefault(entry.provider, ProviderTraffic())
        seen.latencies_ms.append(entry.duration_ms)
        if entry.failed:
            seen.last_error = f"{entry.status} {entry.error_code or entry.outcome}"
            seen.last_error_ms = entry.at_ms

    @property
    def figures(self) -> Record | None:
        """The newest sample of rates and latencies."""
        return self.samples[-1].figures if self.samples else None

    # Messages

    def say(
        self,
        text: str,
        *,
        severity: str = "information",
        hint: str | None = None,
        request_id: str | None = None,
    ) -> Message:
        message = Message(self.wall_ms(), severity, text, hint, request_id)
        self.messages.append(message)
        self._changed()
        return message

    def _changed(self) -> None:
        self.revision += 1
        self._wake()


def _nobody() -> None:
    """Nobody draws yet."""


def id_of(record: Record) -> str:
    """What tells a record from others of its noun; prices and types have no id of their own."""
    found = record.get("id")
    if found is None and "provider" in record:
        found = f"{record['provider']}/{record.get('model', '')}"
    return str(found if found is not None else record.get("name", ""))


def label_of(record: Record) -> str:
    """What people call a record."""
    return str(record.get("name") or record.get("alias") or id_of(record))
