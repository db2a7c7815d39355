"""Rate limits that several gateways keep together in Redis, exact over all of them.

The decision is that of the script, by the numbers that stand in Redis; this gateway's own meters
are set to the same numbers, so that what they say of it (how long to wait, what remains) comes from
one place. While Redis does not answer, each gateway goes on with these meters and its share of
every limit.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from conduit.core.errors import ConduitError, LimiterUnavailableError, UnavailableError
from conduit.core.ids import new_ulid
from conduit.core.limits import Limit
from conduit.core.periods import period_start_ms
from conduit.gateway.limits.limiter import (
    CountSince,
    Exceeded,
    Fate,
    Limiter,
    LimiterState,
    MeterKey,
    Permit,
    Scope,
    Standings,
    Taken,
    Wanted,
    present,
    used_beyond,
)
from conduit.gateway.limits.meters import (
    DayMeter,
    Meter,
    MinuteMeter,
    Now,
    SlotMeter,
    Standing,
    next_day_ms,
)
from conduit.gateway.limits.store import Answer, Ask, Asked, Ended, Store, StoreDownError

LEASE_S: Final = 60.0
_RENEWALS: Final = 3
"""How often a lease is renewed within its length."""
_BEAT_S: Final = 5.0
_AGAIN_S: Final = 1.0
_NODE_S: Final = 3 * _BEAT_S
_MINUTE_US: Final = 60_000_000
_MINUTE_NS: Final = 60 * 10**9
_US: Final = 1_000_000
_MOST_ENDS: Final = 20_000
_ENDS_AT_ONCE: Final = 200
_TRIES: Final = 3
_UNKNOWN_DAY: Final = 2
_RETRY_AFTER_S: Final = 5.0


_KINDS: Final[Mapping[type, str]] = {MinuteMeter: "minute", DayMeter: "day", SlotMeter: "slots"}


@dataclass(frozen=True, slots=True)
class _Ending:
    """What is still to be told to Redis of a call that has ended; see `Ended`."""

    kind: str
    key: str
    what: int | str
    amount: int | None
    at_ns: int

    def is_worth_it(self, now_ns: int) -> bool:
        """A minute later a bucket has lost by itself what would be given back to it."""
        given_back = self.kind == "minute" and (self.amount or 0) < 0
        return not given_back or now_ns - self.at_ns < _MINUTE_NS


@dataclass(frozen=True, slots=True)
class _Part:
    """What a call has taken of one limit, and where that is counted."""

    id: MeterKey
    key: str
    limit: Limit
    amount: int


@dataclass(frozen=True, slots=True)
class _Alone:
    """A limit that is counted here alone for a while, and what a day had used before that."""

    meter: Meter
    start_ms: int | None
    used: int
    answered_us: int


@dataclass(frozen=True, slots=True)
class SharedPlace:
    """How the counters are kept: the beginning of their names, and for how long a call is counted
    that nobody says more of.

    `now_us` is for tests: microseconds since 1970 in the place of Redis's own time.
    """

    prefix: str = "conduit:limits:"
    lease_s: float = LEASE_S
    now_us: Callable[[], int] | None = None


class SharedLimiter(Limiter):
    """The limits of all gateways that use the same Redis and the same database."""

    def __init__(
        self,
        store: Store,
        count_since: CountSince,
        *,
        clock: Callable[[], Now] = present,
        exceeded: Exceeded = lambda _limit, _refused: None,
        place: SharedPlace = SharedPlace(),
    ) -> None:
        super().__init__(count_since, clock=clock, exceeded=exceeded)
        self._store = store
        self._prefix = place.prefix
        self._lease_s = place.lease_s
        self._now_us = place.now_us
        self._node = new_ulid()
        self._ends: deque[_Ending] = deque(maxlen=_MOST_ENDS)
        self._ending = asyncio.Event()
        self._leases: dict[str, Sequence[str]] = {}
        self._alone: dict[MeterKey, _Alone] = {}
        self._answered_us = 0
        self.nodes = 1
        """How many gateways share the limits, as far as was last known."""

    async def take(self, scopes: Sequence[Scope], tokens: int, guessed: int = 0) -> Permit:
        """As `Limiter.take`; raises LimiterUnavailableError too, for a limit that is `closed`."""
        wanted = self._wanted(scopes, tokens, guessed)
        slot = new_ulid()
        try:
            answer, sent = await self._ask(wanted, slot)
        except StoreDownError:
            try:
                return await self._take_alone(scopes, tokens, guessed, slot)
            except ConduitError:
                self._end_slots(_slot_keys(self._prefix, wanted), slot)
                raise
        except asyncio.CancelledError:
            # It may have been taken, and nobody would give it back.
            self._end_slots(_slot_keys(self._prefix, wanted), slot)
            raise
        # Again: meters may have been forgotten, or given another limit, while Redis was asked.
        wanted = self._wanted(scopes, tokens, guessed)
        now = self._set(wanted, answer, sent)
        try:
            taken = self._take(wanted, now)
        finally:
            _forget_elsewhere(wanted)
        return self._permit(wanted, taken, now, slot, alone=False)

    async def look(self, *scopes: Scope) -> Mapping[str, Standings]:
        wanted = [(scope, meter, 0) for scope, meter in self._each(scopes)]
        if not wanted:
            return {scope.id: [] for scope in scopes}
        try:
            answer, sent = await self._ask(wanted, "", take=False)
        except StoreDownError:
            return await super().look(*scopes)
        for (scope, meter, _), (start_ms, _, unknown) in zip(wanted, answer[2], strict=True):
            if isinstance(meter, DayMeter) and unknown:
                meter.load(start_ms, await self._counted(scope, meter.limit, start_ms))
        now = self._set(wanted, answer, sent)
        found: dict[str, list[tuple[Standing, int]]] = {scope.id: [] for scope in scopes}
        for scope, meter, _ in wanted:
            found[scope.id].append((meter.standing(now), meter.exceeded))
        _forget_elsewhere(wanted)
        return found

    def state(self) -> LimiterState:
        return LimiterState("up" if self._store.up else "down", self.nodes, self._store.failed)

    async def run(self) -> None:
        """Tell that this gateway is there, give back what calls have not used, and renew leases;
        until it is cancelled.
        """
        loop = asyncio.get_running_loop()
        beat_at = renew_at = loop.time()
        was_up = True
        while True:
            now = loop.time()
            try:
                if now >= beat_at or not was_up:
                    beat_at = now + min(_BEAT_S, self._lease_s / _RENEWALS)
                    await self._beat()
                if now >= renew_at or not was_up:
                    renew_at = now + self._lease_s / _RENEWALS
                    await self._renew()
                while self._ends:
                    await self._send([], [])
                was_up = True
            except StoreDownError:
                was_up = False
            self._ending.clear()
            if self._ends and was_up:
                continue
            if was_up:
                await _set_within(self._ending, max(0.0, beat_at - loop.time()))
            else:
                await asyncio.sleep(min(_AGAIN_S, beat_at - now))

    async def close(self) -> None:
        """Give back what is left to give back, and be no gateway any more."""
        try:
            while self._ends:
                await self._send([], [])
            await self._send([self._prefix + "nodes"], [], Ended("gone", 1, self._node))
        except StoreDownError:
            pass  # what is left ends with its lease
        await self._store.close()

    @property
    def store(self) -> Store:
        return self._store

    async def _ask(
        self, wanted: Sequence[Wanted], slot: str, *, take: bool = True
    ) -> tuple[Answer, Now]:
        """The answer of the script, and when it was asked. Raises StoreDownError, and
        UnavailableError while it cannot be known what a day has used.
        """
        known: dict[MeterKey, tuple[int, int]] = {}
        for _ in range(_TRIES):
            sent = self._clock()
            keys, asked = self._written(wanted, known, sent)
            answer = await self._send(keys, asked, take=take, slot=slot)
            if answer[0] != _UNKNOWN_DAY:
                return answer, sent
            for (scope, meter, _), (start_ms, _, unknown) in zip(wanted, answer[2], strict=True):
                if unknown:
                    used = await self._counted(scope, meter.limit, start_ms)
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
            name = f"{self._prefix}{scope.id}:{limit.name}"
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

    async def _send(
        self,
        keys: list[str],
        asked: Sequence[Asked],
        *more: Ended,
        take: bool = False,
        slot: str = "",
    ) -> Answer:
        """Ask the script, and tell it what has ended before. Raises StoreDownError."""
        sent_ns = self._clock().mono_ns
        endings = [self._ends.popleft() for _ in range(min(_ENDS_AT_ONCE, len(self._ends)))]
        ends = list(more)
        for each in endings:
            if each.is_worth_it(sent_ns):
                keys.append(each.key)
                ends.append(Ended(each.kind, len(keys), each.what, each.amount))
        ask = Ask(
            limits=asked,
            ends=ends,
            lease=int(self._lease_s * _US),
            take=take,
            slot=slot,
            now=None if self._now_us is None else self._now_us(),
        )
        try:
            answer = await self._store.run(keys, ask)
        except StoreDownError as error:
            # What may have been done is not done again, but for what can be.
            again = [each for each in endings if not error.asked or each.kind == "slot"]
            self._ends.extendleft(reversed(again))
            raise
        if self._alone:
            self._tell_days()
        self._answered_us = answer[1]
        return answer

    def _set(self, wanted: Sequence[Wanted], answer: Answer, sent: Now) -> Now:
        """Set the meters to what stood in Redis, and the moment at which it did.

        On our monotonic clock that is when it was asked: so they are at most ahead of Redis, and
        what they have no room for, Redis has none for either.
        """
        _, now_us, states = answer
        now = Now(sent.mono_ns, now_us // 1000)
        for (scope, meter, _), (first, second, unknown) in zip(wanted, states, strict=True):
            self._full.add(scope.id)
            if isinstance(meter, MinuteMeter):
                meter.stand_at((first * _MINUTE_US + second) * (_MINUTE_NS // _MINUTE_US), now)
            elif isinstance(meter, DayMeter) and not unknown:
                meter.load(first, second)
            elif isinstance(meter, SlotMeter):
                meter.elsewhere = first - meter.taken
        return now

    def _permit(
        self,
        wanted: Sequence[Wanted],
        taken: Sequence[Taken],
        now: Now,
        slot: str,
        *,
        alone: bool,
    ) -> Permit:
        scopes = {id(meter): scope for scope, meter, _ in wanted}
        parts = []
        for meter, amount, _ in taken:
            key = f"{self._prefix}{scopes[id(meter)].id}:{meter.limit.name}"
            if isinstance(meter, DayMeter):
                key = f"{key}:{meter.used_since()[0]}"
            parts.append(_Part((scopes[id(meter)].id, meter.limit.name), key, meter.limit, amount))
        slots = [part.key for part in parts if part.limit.kind == "concurrent"]
        if slots:
            self._leases[slot] = slots

        def ended(tokens: int, fate: Fate) -> None:
            for part in parts:
                more = used_beyond(part.limit, part.amount, tokens, fate)
                self._give_back(part, more, alone=alone)
            self._end_slots(slots, slot)

        return _SharedPermit(self._clock, taken, now, ended)

    def _give_back(self, part: "_Part", amount: int, *, alone: bool) -> None:
        """Tell Redis what a call used more or less than was taken there."""
        if not amount:
            return
        if part.limit.of_a_day:
            if part.id not in self._alone:  # which tells all of it at its end
                self._end(_Ending("day", part.key, amount, None, 0))
        elif not alone:
            at_ns = self._clock().mono_ns
            self._end(_Ending("minute", part.key, part.limit.limit, amount, at_ns))

    def _end_slots(self, keys: Sequence[str], slot: str) -> None:
        self._leases.pop(slot, None)
        for key in keys:
            self._end(_Ending("slot", key, slot, None, 0))

    def _end(self, ending: "_Ending") -> None:
        self._ends.append(ending)
        self._ending.set()

    async def _take_alone(
        self, scopes: Sequence[Scope], tokens: int, guessed: int, slot: str
    ) -> Permit:
        """Take of this gateway's share of each limit."""
        for scope in scopes:
            for limit in scope.limits:
                if limit.on_store_down == "closed" and not limit.shadow:
                    raise LimiterUnavailableError(
                        f"the limit of {scope.label}, {limit.text}, cannot be counted at present",
                        hint="the gateways cannot reach the Redis in which they count it",
                        retry_after_s=_RETRY_AFTER_S,
                    )
        for scope, day in self._of(scopes).days:
            if not day.is_known:
                await self._load(scope, day)
        wanted = []
        now = self._clock()
        for scope, meter, amount in self._wanted(scopes, tokens, guessed):
            self._leave_alone(scope, meter, now)
            self._full.add(scope.id)
            meter.limit = self._degraded(scope, meter, amount, now)
            wanted.append((scope, meter, amount))
        self._forget_in_force()  # the limits themselves are, from the next call on
        return self._permit(wanted, self._take(wanted, now), now, slot, alone=True)

    def _leave_alone(self, scope: Scope, meter: Meter, now: Now) -> None:
        """Begin to count by ourselves, with our part of what all gateways have taken."""
        key = (scope.id, meter.limit.name)
        if key in self._alone:
            return
        start_ms, used = meter.used_since() if isinstance(meter, DayMeter) else (None, 0)
        self._alone[key] = _Alone(meter, start_ms, used, self._answered_us)
        if isinstance(meter, MinuteMeter):
            meter.divide(self.nodes, now)

    def _degraded(self, scope: Scope, meter: Meter, amount: int, now: Now) -> Limit:
        """This gateway's part of a limit, and of what is left of a day.

        All parts together are no more than the limit; but of one a minute, or at once, each has
        one at least.
        """
        limit, nodes = meter.limit, self.nodes
        if isinstance(meter, MinuteMeter):
            # A call may be larger than the part; it waits until all of that is free.
            burst = max(limit.most_at_once // nodes, amount)
            return replace(limit, limit=max(1, limit.limit // nodes), burst=burst)
        alone = self._alone[scope.id, limit.name]
        if isinstance(meter, DayMeter) and alone.start_ms == meter.start_ms(now):
            left = max(0, limit.limit - alone.used)
            return replace(limit, limit=alone.used + left // nodes)
        least = 0 if limit.of_a_day else 1
        return replace(limit, limit=max(least, limit.limit // nodes))

    def _tell_days(self) -> None:
        """Redis answers again: tell it what was taken of days meanwhile."""
        for (scope_id, name), alone in self._alone.items():
            if isinstance(alone.meter, DayMeter):
                start_ms, used = alone.meter.used_since()
                before = alone.used if alone.start_ms == start_ms else 0
                if used != before:
                    key = f"{self._prefix}{scope_id}:{name}:{start_ms}"
                    self._end(_Ending("day", key, used - before, alone.answered_us, 0))
        self._alone.clear()

    async def _beat(self) -> None:
        key = self._prefix + "nodes"
        told = Ended("node", 1, self._node, int(_NODE_S * _US))
        asked = Asked(kind="slots", key=1, limit=1, amount=0)
        _, _, [(nodes, _, _)] = await self._send([key], [asked], told)
        self.nodes = max(1, nodes)

    async def _renew(self) -> None:
        """Keep the slots of the calls that run; also of those that Redis does not know of."""
        slots = list(self._leases)
        for first in range(0, len(slots), _ENDS_AT_ONCE):
            keys: list[str] = []
            renewed = []
            for slot in islice(slots, first, first + _ENDS_AT_ONCE):
                for key in self._leases.get(slot, ()):
                    keys.append(key)
                    renewed.append(Ended("renew", len(keys), slot))
            await self._send(keys, [], *renewed)

    async def _counted(self, scope: Scope, limit: Limit, start_ms: int) -> int:
        counted = await self._count_since(scope, start_ms, limit.model)
        return counted.tokens if limit.of_tokens else counted.requests


class _SharedPermit(Permit):
    """A permit whose end is told in Redis too."""

    __slots__ = ("_tell",)

    def __init__(
        self,
        clock: Callable[[], Now],
        taken: Sequence[Taken],
        at: Now,
        ended: Callable[[int, Fate], None],
    ) -> None:
        super().__init__(clock, taken, at)
        self._tell: Callable[[int, Fate], None] | None = ended

    def end(self, tokens: int, fate: Fate = Fate.SENT) -> None:
        super().end(tokens, fate)
        if self._tell is not None:
            self._tell(tokens, fate)
            self._tell = None


def _days_around(timezone: str, at_ms: int) -> tuple[int, int, int]:
    """When the days before, of and after a moment begin: the clocks of gateways differ."""
    start_ms = period_start_ms("day", timezone, at_ms)
    return (
        period_start_ms("day", timezone, start_ms - 1),
        start_ms,
        next_day_ms(timezone, start_ms),
    )


def _slot_keys(prefix: str, wanted: Sequence[Wanted]) -> list[str]:
    return [
        f"{prefix}{scope.id}:{meter.limit.name}"
        for scope, meter, _ in wanted
        if isinstance(meter, SlotMeter)
    ]


def _forget_elsewhere(wanted: Sequence[Wanted]) -> None:
    """How many run elsewhere is known of this moment alone."""
    for _, meter, _ in wanted:
        if isinstance(meter, SlotMeter):
            meter.elsewhere = 0


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
