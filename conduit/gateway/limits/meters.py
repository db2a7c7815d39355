"""Counts for one limit each; pure, with the moment given by the caller.

Limits a minute are token buckets in the form of GCRA, the generic cell rate algorithm (ITU-T I.371,
annex A, as a continuous-state leaky bucket): a level that rises by what is taken and falls evenly
with time. There is no window with an edge at which twice the limit passes. All is counted in
integers of amount times nanoseconds, so that nothing is rounded.
"""

from typing import Final, NamedTuple, Protocol

import msgspec

from conduit.core.limits import Limit
from conduit.core.periods import period_start_ms

_MINUTE_NS: Final = 60 * 10**9
_MS_NS: Final = 10**6
_DAY_MS: Final = 86_400_000
_SLOT_SOON_S: Final = 1.0
"""When to come again where requests at once are limited: nobody knows when one ends."""


class Now(NamedTuple):
    """One moment on two clocks: monotonic nanoseconds, and epoch milliseconds for calendar days."""

    mono_ns: int
    at_ms: int


class Standing(msgspec.Struct, frozen=True):
    """How a limit stands: what is left of it, and in how many seconds all of it is free again."""

    limit: Limit
    remaining: int
    reset_s: float


class Meter(Protocol):
    """What has been taken of one limit. Amounts are requests or tokens."""

    limit: Limit
    exceeded: int
    """How often there was no room, refused or not, since the start."""

    def wait_s(self, amount: int, now: Now) -> float:
        """In how many seconds there is room for so much; 0 where there is room now."""
        ...

    def take(self, amount: int, now: Now) -> None: ...

    def correct(self, amount: int, now: Now, taken: Now) -> None:
        """So much more (or less, below 0) was used than was taken then; may go beyond the limit."""
        ...

    def end(self) -> None:
        """The call that took of it has ended."""
        ...

    def standing(self, now: Now) -> Standing: ...

    def is_idle(self, now: Now) -> bool:
        """Whether it can be forgotten without anything being different."""
        ...


class MinuteMeter:
    """Requests or tokens a minute."""

    __slots__ = ("_at_ns", "_level", "exceeded", "limit")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.exceeded = 0
        self._level = 0  # of a bucket that holds `burst` × one minute, and loses `limit` a ns
        self._at_ns = 0

    def wait_s(self, amount: int, now: Now) -> float:
        over = self._drained(now) + amount * _MINUTE_NS - self._capacity
        return -(-over // self.limit.limit) / 1e9 if over > 0 else 0.0

    def take(self, amount: int, now: Now) -> None:
        self._level = self._drained(now) + amount * _MINUTE_NS
        self._at_ns = now.mono_ns

    def correct(self, amount: int, now: Now, taken: Now) -> None:
        self._level = max(0, self._drained(now) + amount * _MINUTE_NS)
        self._at_ns = now.mono_ns

    def end(self) -> None:
        """Nothing is given back: time does that."""

    def stand_at(self, level: int, now: Now) -> None:
        """Begin with a level that was counted elsewhere, in amount times nanoseconds a minute."""
        self._level, self._at_ns = level, now.mono_ns

    def divide(self, parts: int, now: Now) -> None:
        """Keep one of so many parts of what has been taken."""
        self.stand_at(self._drained(now) // parts, now)

    def standing(self, now: Now) -> Standing:
        level = self._drained(now)
        left = max(0, self._capacity - level) // _MINUTE_NS
        return Standing(self.limit, left, level / self.limit.limit / 1e9)

    def is_idle(self, now: Now) -> bool:
        return not self._drained(now) and not self.exceeded

    @property
    def _capacity(self) -> int:
        limit = self.limit
        return (limit.limit if limit.burst is None else limit.burst) * _MINUTE_NS

    def _drained(self, now: Now) -> int:
        return max(0, self._level - max(0, now.mono_ns - self._at_ns) * self.limit.limit)


class DayMeter:
    """Requests or tokens a day of the limit's time zone.

    `counted` is what the books hold of the present day; it is asked for at every new day, so that a
    restart forgets nothing.
    """

    __slots__ = ("_first_ns", "_start_ms", "_used", "exceeded", "limit")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.exceeded = 0
        self._start_ms: int | None = None
        self._used = 0
        self._first_ns: int | None = None  # when the day was first taken of, on the steady clock

    def start_ms(self, now: Now) -> int:
        return period_start_ms("day", self.limit.timezone, now.at_ms)

    def is_loaded(self) -> bool:
        return self._start_ms is not None

    def load(self, start_ms: int, used: int) -> None:
        """Begin with what the books hold of a day."""
        if start_ms != self._start_ms:
            self._first_ns = None
        self._start_ms, self._used = start_ms, used

    def used_since(self) -> tuple[int | None, int]:
        """The beginning of the day that is counted, None before one is, and what it has used."""
        return self._start_ms, self._used

    def wait_s(self, amount: int, now: Now) -> float:
        used = self._today(now)
        if used + amount <= self.limit.limit:
            return 0.0
        return max(1, self._next_ms(now) - now.at_ms) / 1000

    def take(self, amount: int, now: Now) -> None:
        self._used = self._today(now) + amount
        # Where Redis decides, answers may come in another order than they were asked for.
        if self._first_ns is None or now.mono_ns < self._first_ns:
            self._first_ns = now.mono_ns

    def correct(self, amount: int, now: Now, taken: Now) -> None:
        used = self._today(now)
        # A call belongs to the day that it was counted in, whatever the wall clock said of it.
        if self._first_ns is not None and taken.mono_ns >= self._first_ns:
            self._used = max(0, used + amount)

    def end(self) -> None:
        """Nothing is given back: the next day does that."""

    def standing(self, now: Now) -> Standing:
        used = self._today(now) if self.is_loaded() else 0  # which is still to be loaded then
        left = max(0, self.limit.limit - used)
        return Standing(self.limit, left, (self._next_ms(now) - now.at_ms) / 1000)

    def is_idle(self, now: Now) -> bool:
        return self._start_ms is None or self.start_ms(now) > self._start_ms

    def _today(self, now: Now) -> int:
        start_ms = self.start_ms(now)
        # A clock that was set back does not bring a day back whose count is gone.
        if self._start_ms is None or start_ms > self._start_ms:
            self._start_ms, self._used, self._first_ns = start_ms, 0, None
        return self._used

    def _next_ms(self, now: Now) -> int:
        start_ms = self.start_ms(now)
        if self._start_ms is not None:  # the day that is counted, where the clock was set back
            start_ms = max(start_ms, self._start_ms)
        return next_day_ms(self.limit.timezone, start_ms)


def next_day_ms(timezone: str, start_ms: int) -> int:
    """When the day after that begins which begins then."""
    # The longest day has 25 hours, the shortest 23: an hour into the 26th is the next one.
    return period_start_ms("day", timezone, start_ms + _DAY_MS + 7_200_000)


class SlotMeter:
    """Requests at once: those of this process, and those that `elsewhere` was told of."""

    __slots__ = ("_taken", "elsewhere", "exceeded", "limit")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.exceeded = 0
        self._taken = 0
        self.elsewhere = 0

    @property
    def taken(self) -> int:
        """How many of this process run."""
        return self._taken

    def wait_s(self, amount: int, now: Now) -> float:
        running = self._taken + self.elsewhere
        return _SLOT_SOON_S if running + amount > self.limit.limit else 0.0

    def take(self, amount: int, now: Now) -> None:
        self._taken += amount

    def correct(self, amount: int, now: Now, taken: Now) -> None:
        """A request stays one, whatever it used."""

    def end(self) -> None:
        self._taken -= 1

    def standing(self, now: Now) -> Standing:
        running = self._taken + self.elsewhere
        return Standing(self.limit, max(0, self.limit.limit - running), 0.0)

    def is_idle(self, now: Now) -> bool:
        return not self._taken and not self.exceeded


def meter_of(limit: Limit) -> Meter:
    """A fresh meter for a limit of any kind."""
    match limit.kind:
        case "rpm" | "tpm":
            return MinuteMeter(limit)
        case "rpd" | "tpd":
            return DayMeter(limit)
        case "concurrent":
            return SlotMeter(limit)
