"""The counters in Redis as one gateway asks them: what its calls take, and have given back."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from conduit.core.errors import UnavailableError
from conduit.core.limits import Limit
from conduit.core.periods import period_start_ms
from conduit.gateway.limits.alone import Alone
from conduit.gateway.limits.limiter import CountSince, MeterKey, Scope, Wanted
from conduit.gateway.limits.meters import (
    DayMeter,
    MinuteMeter,
    Now,
    SlotMeter,
    next_day_ms,
)
from conduit.gateway.limits.store import Answer, Ask, Asked, Ended, Store, StoreDownError

LEASE_S: Final = 60.0
MINUTE_NS: Final = 60 * 10**9
ENDS_AT_ONCE: Final = 200
_MOST_ENDS: Final = 20_000
_TRIES: Final = 3
_UNKNOWN_DAY: Final = 2
_US: Final = 1_000_000

_KINDS: Final[Mapping[type, str]] = {MinuteMeter: "minute", DayMeter: "day", SlotMeter: "slots"}


@dataclass(frozen=True, slots=True)
class Ending:
    """What is still to be told to Redis of a call that has ended; see `Ended`."""

    kind: str
    key: str
    what: int | str
    amount: int | None
    at_ns: int

    def is_worth_it(self, now_ns: int) -> bool:
        """A minute later a bucket has lost by itself what would be given back to it."""
        given_back = self.kind == "minute" and (self.amount or 0) < 0
        return not given_back or now_ns - self.at_ns < MINUTE_NS


@dataclass(frozen=True, slots=True)
class SharedPlace:
    """How the counters are kept: the beginning of their names, and for how long a call is counted
    that nobody says more of.

    `now_us` is for tests: microseconds since 1970 in the place of Redis's own time.
    """

    prefix: str = "conduit:limits:"
    lease_s: float = LEASE_S
    now_us: Callable[[], int] | None = None


USUAL_PLACE: Final = SharedPlace()


class Counters:
    """What has ended is told along with the next question; once Redis answers, so is what was
    counted `alone`.
    """

    def __init__(
        self,
        store: Store,
        count_since: CountSince,
        alone: Alone,
        *,
        clock: Callable[[], Now],
        place: SharedPlace,
    ) -> None:
        self.store = store
        self.prefix = place.prefix
        self.lease_s = place.lease_s
        self.ends: deque[Ending] = deque(maxlen=_MOST_ENDS)
        self.ending = asyncio.Event()
        """Set once more has ended."""
        self.leases: dict[str, Sequence[str]] = {}
        """Of each call that runs, by the name of its slots: the counters that have one."""
        self._count_since = count_since
        self._alone = alone
        self._clock = clock
        self._now_us = place.now_us

    async def ask(
        self, wanted: Sequence[Wanted], slot: str, *, take: bool = True
    ) -> tuple[Answer, Now]:
        """The answer of the script, and when it was asked. Raises StoreDownError, and
        UnavailableError while it cannot be known what a day has used.
        """
        known: dict[MeterKey, tuple[int, int]] = {}
        for _ in range(_TRIES):
            sent = self._clock()
            keys, asked = self._written(wanted, known, sent)
            answer = await self.send(keys, asked, take=take, slot=slot)
            if answer[0] != _UNKNOWN_DAY:
                return answer, sent
            for (scope, meter, _), (start_ms, _, unknown) in zip(wanted, answer[2], strict=True):
                if unknown:
                    used = await self.counted(scope, meter.limit, start_ms)
                    known[scope.id, meter.limit.name] = (start_ms, used)
        raise UnavailableError("a day began and ended while its requests were counted")

    def _written(
        self, wanted: Sequence[Wanted], known: Mapping[MeterKey, tuple[int, int]], sent: Now
    ) -> tuple[list[str], list[Asked]]:
        """The counters' keys, and what is asked of them."""
        keys: list[str] = []
        asked = []
        for scope, meter, amount in wanted:
            limit = meter.limit
            name = f"{self.prefix}{scope.id}:{limit.name}"
            place = len(keys) + 1
            starts: tuple[int, ...] = ()
            if limit.of_a_day:
                at_ms = sent.at_ms if self._now_us is None else self._now_us() // 1000
                starts = _days_around(limit.timezone, at_ms)
                keys.extend(f"{name}:{start_ms}" for start_ms in starts)
            else:
                keys.append(name)
            asked.append(
                Asked(
                    kind=_KINDS[type(meter)],
                    key=place,
                    limit=limit.limit,
                    amount=amount,
                    most=limit.most_at_once,
                    shadow=limit.shadow,
                    starts=starts,
                    known=known.get((scope.id, limit.name)),
                )
            )
        return keys, asked

    async def send(
        self,
        keys: list[str],
        asked: Sequence[Asked],
        *more: Ended,
        take: bool = False,
        slot: str = "",
    ) -> Answer:
        """Ask the script, and tell it what has ended before. Raises StoreDownError."""
        sent_ns = self._clock().mono_ns
        endings = [self.ends.popleft() for _ in range(min(ENDS_AT_ONCE, len(self.ends)))]
        ends = list(more)
        for each in endings:
            if each.is_worth_it(sent_ns):
                keys.append(each.key)
                ends.append(Ended(each.kind, len(keys), each.what, each.amount))
        ask = Ask(
            limits=asked,
            ends=ends,
            lease=int(self.lease_s * _US),
            take=take,
            slot=slot,
            now=None if self._now_us is None else self._now_us(),
        )
        try:
            answer = await self.store.run(keys, ask)
        except StoreDownError as error:
            # What may have been done is not done again, but for what can be.
            again = [each for each in endings if not error.asked or each.kind == "slot"]
            self.ends.extendleft(reversed(again))
            raise
        if self._alone.limits:
            for used in self._alone.end():
                key = self.prefix + used.counter
                self.end(Ending("day", key, used.amount, used.answered_us, 0))
        self._alone.answered_us = answer[1]
        return answer

    def end_slots_of(self, wanted: Sequence[Wanted], slot: str) -> None:
        """Give back what a call may have got of them, of which nothing was heard."""
        self.end_slots(
            [
                f"{self.prefix}{scope.id}:{meter.limit.name}"
                for scope, meter, _ in wanted
                if isinstance(meter, SlotMeter)
            ],
            slot,
        )

    def end_slots(self, keys: Sequence[str], slot: str) -> None:
        self.leases.pop(slot, None)
        for key in keys:
            self.end(Ending("slot", key, slot, None, 0))

    def end(self, ending: Ending) -> None:
        self.ends.append(ending)
        self.ending.set()

    async def counted(self, scope: Scope, limit: Limit, start_ms: int) -> int:
        """What the books hold of a day."""
        counted = await self._count_since(scope, start_ms, limit.model)
        return counted.tokens if limit.of_tokens else counted.requests


def _days_around(timezone: str, at_ms: int) -> tuple[int, int, int]:
    """When the days before, of and after a moment begin: the clocks of gateways differ."""
    start_ms = period_start_ms("day", timezone, at_ms)
    return (
        period_start_ms("day", timezone, start_ms - 1),
        start_ms,
        next_day_ms(timezone, start_ms),
    )
