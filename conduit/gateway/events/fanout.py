"""Who listens to which events, and the batches that each of them gets.

A listener is a position in the bus's ring, not a queue of its own: a thousand slow listeners hold
no event twice. Those that keep pace share a channel per selection, one position, one encoding and
one emit; one that falls behind keeps its own position and comes back to its channel when its
connection takes packets again, with one gap for what it missed.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from conduit.core.events import Event
from conduit.gateway.events.bus import Bus, Gap
from conduit.gateway.events.selection import Selection


@dataclass(frozen=True, slots=True)
class FanoutLimits:
    """A listener that is `waiting_packets` behind gets nothing more until it has read some.

    Batches and backfills are parts that the loop can stop between: a part takes about a
    millisecond, so that nobody's request waits longer for a front-end that comes back.
    """

    batch_events: int = 250
    backfill_events: int = 1_000
    batch_bytes: int = 256 * 1024
    queue_events: int = 1_000
    waiting_packets: int = 4


class Wire(Protocol):
    """What carries batches to listeners."""

    async def emit(self, name: str, content: object, to: str, skip: Sequence[str] = ()) -> None:
        """Send to a listener or a room, without those in `skip`."""
        ...

    async def enter(self, sid: str, room: str) -> None: ...

    async def leave(self, sid: str, room: str) -> None: ...

    def waiting(self, sid: str) -> int:
        """Packets that the listener's connection has not taken yet."""
        ...


@dataclass(slots=True, eq=False)
class _Listener:
    """`position` is None while it shares its channel's."""

    sid: str
    channel: "_Channel"
    position: int | None
    boot: str | None
    backfilling: bool


@dataclass(slots=True, eq=False)
class _Channel:
    room: str
    selection: Selection
    position: int
    listeners: dict[str, _Listener] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Missed:
    """Events after one number up to another, and the gap before them."""

    gap: Gap | None
    after_seq: int
    events: list[Event]
    until_seq: int


@dataclass(frozen=True, slots=True)
class Subscribed:
    """What a subscription begins with: the newest number, and what is coming from the ring."""

    boot: str
    seq: int
    recovered: int
    gap: Gap | None

    def as_json(self) -> dict[str, object]:
        return {
            "boot": self.boot,
            "seq": self.seq,
            "recovered": self.recovered,
            "gap": self.gap.as_json() if self.gap else None,
        }


class Fanout:
    """Subscriptions and their delivery; `flush` is called by one task only."""

    def __init__(self, bus: Bus, wire: Wire, limits: FanoutLimits) -> None:
        self._bus = bus
        self._wire = wire
        self._limits = limits
        self._listeners: dict[str, _Listener] = {}
        self._channels: dict[str, _Channel] = {}
        self._encoded: dict[int, msgspec.Raw] = {}
        self.flushed_seq = bus.last_seq
        """Whoever is not behind has been sent all that it asked for up to this number."""

    def __len__(self) -> int:
        return len(self._listeners)

    async def subscribe(
        self, sid: str, selection: Selection, after_seq: int | None, boot: str | None
    ) -> Subscribed:
        """Deliver to `sid` from now on, beginning after a number where one is given."""
        await self.unsubscribe(sid)
        now = self._bus.last_seq
        room = f"events {selection.name}"
        channel = self._channels.setdefault(room, _Channel(room, selection, now))
        backlog = None if after_seq is None else self._bus.after(after_seq, boot)
        listener = _Listener(
            sid, channel, now if after_seq is None else after_seq, boot, after_seq is not None
        )
        self._listeners[sid] = channel.listeners[sid] = listener
        await self._wire.enter(sid, room)
        recovered = sum(map(selection.admits, backlog.events)) if backlog else 0
        return Subscribed(self._bus.boot, now, recovered, backlog.gap if backlog else None)

    async def unsubscribe(self, sid: str) -> None:
        listener = self._listeners.pop(sid, None)
        if listener is None:
            return
        channel = listener.channel
        del channel.listeners[sid]
        if not channel.listeners:
            del self._channels[channel.room]
        await self._wire.leave(sid, channel.room)

    async def flush(self) -> None:
        """Send what has happened since the last flush."""
        self.flushed_seq = self._bus.last_seq
        for channel in list(self._channels.values()):
            await self._flush_channel(channel)
        self._encoded.clear()

    def behind(self) -> list[str]:
        """The listeners that have not been sent everything yet."""
        return [sid for sid, listener in self._listeners.items() if self._is_behind(listener)]

    async def _flush_channel(self, channel: _Channel) -> None:
        behind = [each for each in channel.listeners.values() if self._is_behind(each)]
        for listener in behind:
            if listener.position is None:
                listener.position = channel.position
        backlog = self._bus.after(channel.position)
        channel.position = self._bus.last_seq
        if len(behind) < len(channel.listeners):
            skip = [listener.sid for listener in behind]
            if backlog.gap:
                await self._wire.emit("gap", backlog.gap.as_json(), channel.room, skip)
            admitted = list(filter(channel.selection.admits, backlog.events))
            for _, batch in self._batches(admitted):
                await self._wire.emit("events", batch, channel.room, skip)
        for listener in behind:
            await self._catch_up(listener)

    def _is_behind(self, listener: _Listener) -> bool:
        return listener.position is not None or self._is_full(listener)

    def _is_full(self, listener: _Listener) -> bool:
        return self._wire.waiting(listener.sid) >= self._limits.waiting_packets

    async def _catch_up(self, listener: _Listener) -> None:
        if self._is_full(listener):
            return
        missed = self._missed(listener)
        if missed.gap:
            await self._wire.emit("gap", missed.gap.as_json(), listener.sid)
            # It must not be announced again with the next part.
            listener.position = missed.after_seq
        listener.boot = None
        for last_seq, batch in self._batches(missed.events):
            # What does not fit now waits in the ring; the queue's bound is applied later.
            if self._is_full(listener):
                return
            await self._wire.emit("events", batch, listener.sid)
            listener.position = last_seq
        listener.position = missed.until_seq
        if missed.until_seq >= listener.channel.position:
            listener.position = None
            listener.backfilling = False

    def _missed(self, listener: _Listener) -> _Missed:
        """The next part of what a listener lacks up to its channel's position."""
        position, channel = listener.position or 0, listener.channel
        limit = self._limits.backfill_events if listener.backfilling else None
        backlog = self._bus.after(position, listener.boot, limit=limit)
        seen = [event for event in backlog.events if event.seq <= channel.position]
        events = list(filter(channel.selection.admits, seen))
        after_seq = self._bus.first_seq - 1 if backlog.gap else position
        until_seq = seen[-1].seq if seen else channel.position
        excess = len(events) - self._limits.queue_events
        if listener.backfilling or excess <= 0:
            return _Missed(backlog.gap, after_seq, events, until_seq)
        kept = events[excess:]
        after_seq = kept[0].seq - 1
        return _Missed(Gap(position + 1, after_seq), after_seq, kept, until_seq)

    def _batches(self, events: list[Event]) -> Iterator[tuple[int, list[msgspec.Raw]]]:
        """Batches within both limits, each with the number of its last event."""
        batch: list[msgspec.Raw] = []
        size = last_seq = 0
        for event in events:
            raw = self._encode(event)
            length = len(memoryview(raw))
            is_full = len(batch) >= self._limits.batch_events
            if batch and (is_full or size + length > self._limits.batch_bytes):
                yield last_seq, batch
                batch, size = [], 0
            batch.append(raw)
            size += length
            last_seq = event.seq
        if batch:
            yield last_seq, batch

    def _encode(self, event: Event) -> msgspec.Raw:
        """The event as JSON, encoded once for all channels of a flush."""
        raw = self._encoded.get(event.seq)
        if raw is None:
            encoded = self._bus.scrub(encode_event(event))
            raw = self._encoded[event.seq] = msgspec.Raw(encoded)
        return raw


def encode_event(event: Event) -> bytes:
    """The event as JSON, whatever its data holds."""
    try:
        return msgspec.json.encode(event.as_json())
    except (TypeError, ValueError):
        # A lone surrogate (a user agent may hold one), or a type that JSON does not know.
        return json.dumps(event.as_json(), default=str).encode("ascii")
