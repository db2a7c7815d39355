"""The in-process bus: numbers events, keeps the last of them, hands them to subscribers.

Publishing is on the request path, so it keeps a tuple and makes no object, encodes nothing and
waits for nobody. Readers that can be late (the socket, the backfill) read the ring by number; only
those that count every event subscribe. All of it belongs to the event loop's thread.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from conduit.core.events import Event, EventKind
from conduit.core.ids import now_ms
from conduit.gateway.events.ring import Ring

logger = logging.getLogger(__name__)


class Source(Protocol):
    """What the data of an event is made from once somebody looks at it; it must not change.

    Older ones are packed: one comes back from `pickle` as it was, as structs and dataclasses do.
    """

    def as_event(self) -> Mapping[str, Any]: ...


Data = Mapping[str, Any] | Source
Subscriber = Callable[[EventKind, int, Any], None]
"""Called with the kind, the time in ms and what was published; must return at once."""

RING_EVENTS = 10_000
_FAILURES_UNTIL_DROPPED = 10


@dataclass(frozen=True, slots=True)
class Gap:
    """Events that cannot be had any more, first and last number included.

    `last` is None where they belong to an earlier run of the gateway: nobody knows how many they
    were. What they told of requests is in the request records.
    """

    first: int
    last: int | None

    def as_json(self) -> dict[str, int | None]:
        return {"from": self.first, "to": self.last}


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the ring holds after a number, oldest first, and what it lost."""

    events: list[Event]
    gap: Gap | None = None


@dataclass(slots=True, eq=False)
class _Subscription:
    callback: Subscriber
    failures: int = 0


class Bus:
    """Publishes events of one run of the gateway, which `boot` names."""

    def __init__(
        self,
        boot: str,
        clock: Callable[[], int] = now_ms,
        *,
        ring_events: int = RING_EVENTS,
        scrub: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self.boot = boot
        self.scrub = scrub
        """Takes secrets out of an event's JSON. Whoever lets an event leave applies it: only then
        is there time for it, and most events are never looked at."""
        self._clock = clock
        self._ring = Ring(ring_events)
        self._subscriptions: Mapping[EventKind, tuple[_Subscription, ...]] = {}

    @property
    def first_seq(self) -> int:
        """The number of the oldest event in the ring; of the next one while it is empty."""
        return self._ring.first_seq

    @property
    def last_seq(self) -> int:
        return self._ring.last_seq

    def publish(self, kind: EventKind, data: Data) -> None:
        """Make an event of `data`, which must not change afterwards. Never raises.

        Most events are never looked at, so their data may be made when one is.
        """
        at_ms = self._clock()
        self._ring.add(at_ms, kind, data)
        for subscription in self._subscriptions.get(kind, ()):
            try:
                subscription.callback(kind, at_ms, data)
            except Exception:  # noqa: BLE001  # a subscriber's fault must not become the request's
                self._failed(subscription, kind)
            else:
                subscription.failures = 0

    def subscribe(
        self, callback: Subscriber, kinds: Collection[EventKind] = tuple(EventKind)
    ) -> Callable[[], None]:
        """Call back for every event of these kinds from now on. Returns what ends it."""
        subscription = _Subscription(callback)
        # Replaced, never changed in place: `publish` may be iterating over the old one.
        self._subscriptions = {
            kind: (
                *self._subscriptions.get(kind, ()),
                *((subscription,) if kind in kinds else ()),
            )
            for kind in {*self._subscriptions, *kinds}
        }
        return lambda: self._drop(subscription)

    def after(self, seq: int, boot: str | None = None, *, limit: int | None = None) -> Backlog:
        """The events after `seq` of the run that `boot` names; None stands for the present one.

        Where there are more than `limit`, the oldest of them.
        """
        first = self.first_seq
        if boot is not None and boot != self.boot:
            return Backlog(self._since(first, limit), Gap(seq + 1, None))
        gap = Gap(seq + 1, first - 1) if seq + 1 < first else None
        return Backlog(self._since(max(seq + 1, first), limit), gap)

    def _since(self, seq: int, limit: int | None) -> list[Event]:
        count = max(self.last_seq - seq + 1, 0)
        found = (
            self._ring.since(seq, count if limit is None else min(count, limit)) if count else ()
        )
        return [
            Event(self.boot, seq, at_ms, kind, data if isinstance(data, dict) else _made_of(data))
            for seq, (at_ms, kind, data) in found
        ]

    def _failed(self, subscription: _Subscription, kind: EventKind) -> None:
        """Tell of the exception that is being handled, and drop who goes on raising them."""
        subscription.failures += 1
        logger.exception("a subscriber of %s failed", kind)
        if subscription.failures >= _FAILURES_UNTIL_DROPPED:
            logger.error("a subscriber failed %d times: dropped", subscription.failures)
            self._drop(subscription)

    def _drop(self, subscription: _Subscription) -> None:
        self._subscriptions = {
            kind: tuple(each for each in subscriptions if each is not subscription)
            for kind, subscriptions in self._subscriptions.items()
        }


def _made_of(data: Data) -> Mapping[str, Any]:
    return data if isinstance(data, Mapping) else data.as_event()
