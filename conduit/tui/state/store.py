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
from conduit.tui.state.connectivity import Connectivity, Shown
from conduit.tui.state.remembering import TABLES as REMEMBERED
from conduit.tui.state.remembering import Recalled, Spent, gathered
from conduit.tui.state.ring import Ring
from conduit.tui.state.traffic import (
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


@dataclass(eq=False)
class Laid:
    """How a record looks with a change that the gateway has not confirmed yet.

    Once sent, it counts for the version that it was sent with alone: a newer one has it already, or
    it will be refused.
    """

    id: str
    looks: Callable[[Record], Record]
    sent: bool = False
    version: object = None

    def over(self, row: Record) -> Record:
        counts = not self.sent or self.version == row.get("version")
        return self.looks(row) if counts else row


@dataclass(slots=True)
class Table:
    """Records of one noun by id, in the gateway's order. `revision` counts its changes.

    `rows` are what is shown: what is `known` from the gateway, with what was `laid` over it.
    """

    rows: dict[str, Record] = field(default_factory=dict)
    known: dict[str, Record] = field(default_factory=dict)
    laid: list[Laid] = field(default_factory=list)
    meanwhile: dict[str, Record | None] = field(default_factory=dict)
    """What changes answered while the table was being loaded; None: it is gone."""
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

    def is_unconfirmed(self, id: str) -> bool:
        """Whether a record is shown as the gateway has not confirmed it yet."""
        return any(change.id == id for change in self.laid)

    def show(self) -> None:
        """Show what is known with what is laid over it."""
        self.rows = dict(self.known)
        for change in self.laid:
            if change.id in self.rows:
                self.rows[change.id] = change.over(self.rows[change.id])
        self.revision += 1

    def keep(self, id: str, row: Record | None) -> None:
        """Take up what a change answered."""
        if self.loading:
            self.meanwhile[id] = row
        if row is None:
            self.known.pop(id, None)
        else:
            self.known[id] = row
        self.show()

    def with_answers(self, listed: dict[str, Record]) -> dict[str, Record]:
        """A list that was asked for, with what changes answered until it came."""
        for key, row in self.meanwhile.items():
            if row is None:
                listed.pop(key, None)
            elif row.get("version", 0) >= listed.get(key, row).get("version", 0):
                listed[key] = row
        self.meanwhile.clear()
        return listed


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
        self.spent: Spent | None = None
        self.recalled: Recalled | None = None

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

    # What was known when the program ended last

    def recall(self, recalled: Recalled | None) -> None:
        """Show this as long as the gateway has told nothing."""
        self.recalled = recalled
        self._changed()

    def remembered(self) -> Recalled | None:
        """What the next start is to show first; None where too little is known."""
        if self.recalled is not None or not self.table("providers").is_loaded:
            return None
        tables = {name: list(self.table(name).known.values()) for name in REMEMBERED}
        return gathered(self.wall_ms(), self.figures, self.spent, tables)

    def rows_of(self, name: str) -> list[Record]:
        """A table's records; before it is loaded, those that it had then."""
        table, recalled = self.table(name), self.recalled
        if recalled is not None and not table.is_loaded and name in recalled.tables:
            return recalled.tables[name]
        return list(table.rows.values())

    def know_spent(self, spent: Spent) -> None:
        """What was spent by the day, as the gateway told it now."""
        self.spent = spent
        if self.recalled is not None:
            self.recalled.spent = None
            self._drop_used_up()

    def _drop_used_up(self) -> None:
        if self.recalled is not None and self.recalled.is_used_up:
            self.recalled = None

    # Tables

    def table(self, name: str) -> Table:
        return self.tables.setdefault(name, Table())

    def loading(self, name: str) -> None:
        table = self.table(name)
        table.loading = True
        table.meanwhile.clear()
        self._changed()

    def fill(
        self, name: str, rows: Iterable[Record], *, epoch: int, truncated: bool = False
    ) -> bool:
        """Replace a table's records. False when the answer came too late for this gateway."""
        if epoch != self.epoch:
            return False
        table = self.table(name)
        fresh = table.with_answers({id_of(row): row for row in rows})
        if not table.is_loaded or fresh != table.known or list(fresh) != list(table.known):
            table.known = fresh
            table.show()
        table.loaded_ms = self.wall_ms()
        table.loading = table.outdated = False
        table.error = None
        table.truncated = truncated
        if self.recalled is not None:
            self.recalled.tables.pop(name, None)
            self._drop_used_up()
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
        self.table(name).keep(id_of(row), row)
        self._changed()
        return True

    def drop(self, name: str, id: str, *, epoch: int) -> bool:
        if epoch != self.epoch:
            return False
        table = self.table(name)
        if id in table.known:
            table.keep(id, None)
            self._changed()
        return True

    def lay(self, table: Table, changes: Iterable[Laid]) -> None:
        """Show changes before the gateway has confirmed them."""
        table.laid += changes
        table.show()
        self._changed()

    def lift(self, table: Table, change: Laid) -> None:
        """Show a record without a change: as it is known."""
        if change in table.laid:
            table.laid.remove(change)
            table.show()
            self._changed()

    @property
    def is_unconfirmed(self) -> bool:
        """Whether anything is shown that the gateway has not confirmed yet."""
        return any(table.laid for table in self.tables.values())

    def set_status(self, status: Record, *, epoch: int) -> bool:
        if epoch != self.epoch:
            return False
        if self.recalled is not None:
            self.recalled.figures = None
            self._drop_used_up()
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

    @property
    def last_figures(self) -> Record | None:
        """The newest sample; before there is one, the last of the run before."""
        if self.samples or self.recalled is None:
            return self.figures
        return self.recalled.figures

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
        credential = f"/{record['credential']}" if "credential" in record else ""
        found = f"{record['provider']}/{record.get('model', '')}{credential}"
    return str(found if found is not None else record.get("name", ""))


def label_of(record: Record) -> str:
    """What people call a record."""
    return str(record.get("name") or record.get("alias") or id_of(record))
