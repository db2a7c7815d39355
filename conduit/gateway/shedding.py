"""Refuses new requests while there is too much to do, before any work is done for them.

A timer looks at what the process uses; a request looks at one number, or at two where it is among
the last. Requests that run are never ended for it, and the admin API and health probes are never
refused: a share of the slots is theirs, and of the keys that have priority.
"""

import asyncio
import logging
import math
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from conduit.core.errors import OverloadedError

_log = logging.getLogger(__name__)

Reason = Literal["descriptors", "memory", "loop_lag", "in_flight"]

REASONS: Final[tuple[Reason, ...]] = ("descriptors", "memory", "loop_lag", "in_flight")
_USED_UP: Final[frozenset[Reason]] = frozenset({"descriptors", "memory"})
"""What nobody passes; the others are passed by who has priority."""

_WORDS: Final[Mapping[Reason, str]] = {
    "descriptors": "too many files and connections are open",
    "memory": "too little memory is left",
    "loop_lag": "the event loop is late",
    "in_flight": "too many requests are in flight",
}
_RETRY_LEAST_S: Final = 1.0
_LAG_WINDOW_S: Final = 1.0
_TICK_S: Final = 0.025
_LOOKED_EVERY_TICKS: Final = 20
_CALM_POINTS: Final = 5.0
"""By how many points of a hundred a share must have fallen until requests are taken again."""

_QUIET_S: Final = 5.0
"""How long nothing was refused for its slot until that is called over."""


@dataclass(frozen=True, slots=True)
class SheddingLimits:
    """`descriptors_percent` and `memory_percent` of 100, and `loop_lag_ms` of 0, are no limit.

    `reserved_percent` of the `in_flight` slots are for priority keys alone, which a late loop does
    not hold up either.
    """

    descriptors_percent: float = 90.0
    memory_percent: float = 85.0
    loop_lag_ms: float = 1000.0
    loop_lag_for_s: float = 1.0
    in_flight: int = 12_500
    reserved_percent: float = 20.0
    retry_most_s: float = 5.0

    @property
    def ordinary_slots(self) -> int:
        """How many ordinary requests may be in flight; one at least."""
        return max(1, math.floor(self.in_flight * (100 - self.reserved_percent) / 100))


@dataclass(frozen=True, slots=True)
class Use:
    """What is used of what there is, in percent; None where the system does not tell."""

    descriptors_percent: float | None = None
    memory_percent: float | None = None


@dataclass(frozen=True, slots=True)
class SheddingState:
    """Why requests are refused now, how many were, and what was measured last.

    `slots` is how many ordinary requests may be in flight.
    """

    reasons: tuple[Reason, ...]
    refused: Mapping[Reason, int]
    slots: int
    loop_lag_p99_ms: float
    use: Use


class Shedder:
    """Decides from samples; times are seconds of any clock that only goes forward.

    `on_change` gets the reasons each time that they change, none when all is well.
    """

    def __init__(
        self,
        limits: SheddingLimits,
        on_change: Callable[[tuple[Reason, ...]], None] = lambda _: None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.most_ordinary = limits.ordinary_slots
        """With so many in flight the next one is served only if its key has priority."""
        self.most = limits.in_flight
        """With so many in flight the next one is refused, whosever it is; never the lesser."""
        self.refused: dict[Reason, int] = dict.fromkeys(REASONS, 0)
        """How many were refused since the start, each for the first of the reasons then."""
        self.lag_p99_ms = 0.0
        self._limits = limits
        self._on_change = on_change
        self._uniform = uniform
        self._reasons: tuple[Reason, ...] = ()
        self._use = Use()
        self._lags: deque[tuple[float, float]] = deque()
        self._late_since_s: float | None = None
        self._refused_before = 0
        self._cap_hit_at_s: float | None = None

    @property
    def limits(self) -> SheddingLimits:
        return self._limits

    @limits.setter
    def limits(self, limits: SheddingLimits) -> None:
        self._limits = limits
        self._decide(self._reasons)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why requests are refused, or were a moment ago; none where all are taken."""
        return self._reasons

    def state(self) -> SheddingState:
        return SheddingState(
            reasons=self._reasons,
            refused=dict(self.refused),
            slots=self._limits.ordinary_slots,
            loop_lag_p99_ms=self.lag_p99_ms,
            use=self._use,
        )

    def refuse(self) -> OverloadedError:
        """Count a request for which no slot at all is left; what its caller is told."""
        return self._refuse(beyond=self.most)

    def refuse_ordinary(self) -> OverloadedError:
        """Count a request for which no ordinary slot is left; what its caller is told."""
        return self._refuse(beyond=self.most_ordinary)

    def _refuse(self, *, beyond: int) -> OverloadedError:
        # They come in the order of REASONS: what closes more is before what closes less.
        reason: Reason = self._reasons[0] if beyond == 0 else "in_flight"
        self.refused[reason] += 1
        return OverloadedError(
            f"the gateway is overloaded: {_WORDS[reason]}",
            # Not all at the same moment.
            retry_after_s=self._uniform(_RETRY_LEAST_S, self._limits.retry_most_s),
        )

    def note_lag(self, at_s: float, lag_s: float) -> None:
        """The loop came so much later to a timer than it was due."""
        self._lags.append((at_s, lag_s))
        while self._lags[0][0] <= at_s - _LAG_WINDOW_S:
            self._lags.popleft()

    def look(self, at_s: float, use: Use) -> None:
        """Decide anew."""
        limits, before = self._limits, self._reasons
        self._use = use
        over = {
            "descriptors": _is_over(
                use.descriptors_percent, limits.descriptors_percent, "descriptors" in before
            ),
            "memory": _is_over(use.memory_percent, limits.memory_percent, "memory" in before),
            "loop_lag": self._is_late(at_s),
            "in_flight": self._is_full(at_s),
        }
        self._decide(tuple(reason for reason in REASONS if over[reason]))

    def _decide(self, reasons: tuple[Reason, ...]) -> None:
        used_up = not _USED_UP.isdisjoint(reasons)
        self.most = 0 if used_up else self._limits.in_flight
        late = used_up or "loop_lag" in reasons
        self.most_ordinary = 0 if late else self._limits.ordinary_slots
        if reasons != self._reasons:
            self._reasons = reasons
            self._on_change(reasons)

    def _is_late(self, at_s: float) -> bool:
        """Once the lag was high for so long; and until it was not for as long."""
        self.lag_p99_ms = _p99([lag for _, lag in self._lags]) * 1000
        high = 0 < self._limits.loop_lag_ms < self.lag_p99_ms
        shed = "loop_lag" in self._reasons
        if high == shed:
            self._late_since_s = None
            return shed
        if self._late_since_s is None:
            self._late_since_s = at_s
        return shed != (at_s - self._late_since_s >= self._limits.loop_lag_for_s)

    def _is_full(self, at_s: float) -> bool:
        refused = self.refused["in_flight"]
        if refused > self._refused_before:
            self._refused_before = refused
            self._cap_hit_at_s = at_s
        hit_at_s = self._cap_hit_at_s
        return hit_at_s is not None and at_s - hit_at_s < _QUIET_S


async def watch(shedder: Shedder, use: Callable[[], Use]) -> None:
    """Feed it from this loop, for as long as it runs."""
    loop = asyncio.get_running_loop()
    while True:
        for _ in range(_LOOKED_EVERY_TICKS):
            due = loop.time() + _TICK_S
            await asyncio.sleep(_TICK_S)
            now = loop.time()
            shedder.note_lag(now, max(0.0, now - due))
        shedder.look(loop.time(), use())


def told_of(reasons: tuple[Reason, ...]) -> str:
    """One line for the log."""
    if not reasons:
        return "all requests are taken again"
    return f"requests are refused as overloaded: {', '.join(_WORDS[each] for each in reasons)}"


def log_change(reasons: tuple[Reason, ...]) -> None:
    _log.warning("%s", told_of(reasons))


def _is_over(percent: float | None, limit: float, was_over: bool) -> bool:
    if percent is None or limit >= 100:
        return False
    return percent > (limit - _CALM_POINTS if was_over else limit)


def _p99(values: list[float]) -> float:
    """By nearest rank; 0 of none."""
    if not values:
        return 0.0
    return sorted(values)[math.ceil(len(values) * 0.99) - 1]
