"""Rate limits that several gateways keep together in Redis, exact over all of them.

The decision is that of the script, by the numbers that stand in Redis; this gateway's own meters
are set to the same numbers, so that what they say of it (how long to wait, what remains) comes from
one place. While Redis does not answer, each gateway goes on with these meters and its share of
every limit.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from conduit.core.errors import ConduitError
from conduit.core.ids import new_ulid
from conduit.core.limits import Limit
from conduit.gateway.limits.alone import Alone, refuse_closed
from conduit.gateway.limits.counters import MINUTE_NS, USUAL_PLACE, Counters, Ending, SharedPlace
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
    MinuteMeter,
    Now,
    SlotMeter,
    Standing,
)
from conduit.gateway.limits.presence import Presence
from conduit.gateway.limits.store import Answer, Store, StoreDownError

_MINUTE_US: Final = 60_000_000


@dataclass(frozen=True, slots=True)
class _Part:
    """What a call has taken of one limit, and where that is counted."""

    id: MeterKey
    key: str
    limit: Limit
    amount: int


class SharedLimiter(Limiter):
    """The limits of all gateways that use the same Redis and the same database."""

    def __init__(
        self,
        store: Store,
        count_since: CountSince,
        *,
        clock: Callable[[], Now] = present,
        exceeded: Exceeded = lambda _limit, _refused: None,
        place: SharedPlace = USUAL_PLACE,
    ) -> None:
        super().__init__(count_since, clock=clock, exceeded=exceeded)
        self.alone = Alone()
        self._counters = Counters(store, count_since, self.alone, clock=clock, place=place)
        self._presence = Presence(self._counters, self.alone)

    async def take(self, scopes: Sequence[Scope], tokens: int, guessed: int = 0) -> Permit:
        """As `Limiter.take`; raises LimiterUnavailableError too, for a limit that is `closed`."""
        wanted = self._wanted(scopes, tokens, guessed)
        slot = new_ulid()
        try:
            answer, sent = await self._counters.ask(wanted, slot)
        except StoreDownError:
            try:
                return await self._take_alone(scopes, tokens, guessed, slot)
            except ConduitError:
                self._counters.end_slots_of(wanted, slot)
                raise
        except asyncio.CancelledError:
            # It may have been taken, and nobody would give it back.
            self._counters.end_slots_of(wanted, slot)
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
            answer, sent = await self._counters.ask(wanted, "", take=False)
        except StoreDownError:
            return await super().look(*scopes)
        for (scope, meter, _), (start_ms, _, unknown) in zip(wanted, answer[2], strict=True):
            if isinstance(meter, DayMeter) and unknown:
                meter.load(start_ms, await self._counters.counted(scope, meter.limit, start_ms))
        now = self._set(wanted, answer, sent)
        found: dict[str, list[tuple[Standing, int]]] = {scope.id: [] for scope in scopes}
        for scope, meter, _ in wanted:
            found[scope.id].append((meter.standing(now), meter.exceeded))
        _forget_elsewhere(wanted)
        return found

    def state(self) -> LimiterState:
        return LimiterState("up" if self.store.up else "down", self.alone.nodes, self.store.failed)

    async def run(self) -> None:
        """What is to be done beside the calls, until it is cancelled."""
        await self._presence.run()

    async def close(self) -> None:
        """Give back what is left to give back, and be no gateway any more."""
        await self._presence.close()

    @property
    def store(self) -> Store:
        return self._counters.store

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
                meter.stand_at((first * _MINUTE_US + second) * (MINUTE_NS // _MINUTE_US), now)
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
            key = f"{self._counters.prefix}{scopes[id(meter)].id}:{meter.limit.name}"
            if isinstance(meter, DayMeter):
                key = f"{key}:{meter.used_since()[0]}"
            parts.append(_Part((scopes[id(meter)].id, meter.limit.name), key, meter.limit, amount))
        slots = [part.key for part in parts if part.limit.kind == "concurrent"]
        if slots:
            self._counters.leases[slot] = slots

        def ended(tokens: int, fate: Fate) -> None:
            for part in parts:
                more = used_beyond(part.limit, part.amount, tokens, fate)
                self._give_back(part, more, alone=alone)
            self._counters.end_slots(slots, slot)

        return _SharedPermit(self._clock, taken, now, ended)

    def _give_back(self, part: _Part, amount: int, *, alone: bool) -> None:
        """Tell Redis what a call used more or less than was taken there."""
        if not amount:
            return
        if part.limit.of_a_day:
            if part.id not in self.alone.limits:  # which tells all of it at its end
                self._counters.end(Ending("day", part.key, amount, None, 0))
        elif not alone:
            at_ns = self._clock().mono_ns
            self._counters.end(Ending("minute", part.key, part.limit.limit, amount, at_ns))

    async def _take_alone(
        self, scopes: Sequence[Scope], tokens: int, guessed: int, slot: str
    ) -> Permit:
        """Take of this gateway's share of each limit."""
        refuse_closed(scopes)
        for scope, day in self._of(scopes).days:
            if not day.is_known:
                await self._load(scope, day)
        wanted = []
        now = self._clock()
        for scope, meter, amount in self._wanted(scopes, tokens, guessed):
            self.alone.begin(scope, meter, now)
            self._full.add(scope.id)
            meter.limit = self.alone.part_of(scope, meter, amount, now)
            wanted.append((scope, meter, amount))
        self._forget_in_force()  # the limits themselves are, from the next call on
        return self._permit(wanted, self._take(wanted, now), now, slot, alone=True)


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


def _forget_elsewhere(wanted: Sequence[Wanted]) -> None:
    """How many run elsewhere is known of this moment alone."""
    for _, meter, _ in wanted:
        if isinstance(meter, SlotMeter):
            meter.elsewhere = 0
