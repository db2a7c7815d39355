"""Counts for one limit each; pure, with the moment given by the caller.

Limits a minute are token buckets in the form of GCRA, the generic cell rate algorithm (ITU-T I.371,
annex A, as a continuous-state leaky bucket): a level that rises by what is taken and falls evenly
with time. There is no window with an edge at which twice the limit passes. All is counted in
integers of amount times nanoseconds, so that nothing is rounded.
"""

from typing import Final, Protocol

import msgspec

from conduit.core.limits import Limit
from conduit.core.periods import period_end_ms, period_start_ms

_MINUTE_NS: Final = 60 * 10**9
_SLOT_SOON_S: Final = 1.0
"""When to come again where requests at once are limited: nobody knows when one ends."""


class Now(msgspec.Struct, frozen=True, gc=False):
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

    @property
    def is_known(self) -> bool:
        """Whether it counts; if not it is to be read from the books first."""
        ...

    def wait_s(self, amount: int, now: Now) -> float:
        """In how many seconds there is room for so much; 0 where there is room now."""
        ...

    def take(self, amount: int, now: Now) -> None: ...

    def took(self, amount: int, now: Now) -> int:
        """Take so much if there is room now, and tell for how much there is room still; below 0
        where there was none, and nothing is taken.
        """
        ...

    def untake(self, amount: int) -> None:
        """Undo what was taken last, in the same moment."""
        ...

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

    is_known = True

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.exceeded = 0
        self._level = 0  # of a bucket that holds `burst` × one minute, and loses `limit` a ns
        self._at_ns = 0

    def wait_s(self, amount: int, now: Now) -> float:
        if now.mono_ns > self._at_ns:
            self._drain(now)
        limit = self.limit
        over = self._level + (amount - limit.most_at_once) * _MINUTE_NS
        return -(-over // limit.limit) / 1e9 if over > 0 else 0.0

    def take(self, amount: int, now: Now) -> None:
        if now.mono_ns > self._at_ns:
            self._drain(now)
        self._level += amount * _MINUTE_NS

    def took(self, amount: int, now: Now) -> int:
        limit, level = self.limit, self._level
        passed_ns = now.mono_ns - self._at_ns
        if passed_ns > 0:  # as `_drain`, in the place of a call of it
            self._at_ns = now.mono_ns
            level -= passed_ns * limit.limit
            if level < 0:
                level = 0
        taken = level + amount * _MINUTE_NS
        left = limit.most_at_once * _MINUTE_NS - taken
        self._level = taken if left >= 0 else level
        return left // _MINUTE_NS

    def untake(self, amount: int) -> None:
        self._level -= amount * _MINUTE_NS

    def correct(self, amount: int, now: Now, taken: Now) -> None:
        if now.mono_ns > self._at_ns:
            self._drain(now)
        self._level = max(0, self._level + amount * _MINUTE_NS)

    def end(self) -> None:
        """Nothing is given back: time does that."""

    def stand_at(self, level: int, now: Now) -> None:
        """Begin with a level that was counted elsewhere, in amount times nanoseconds a minute."""
        self._level, self._at_ns = level, now.mono_ns

    def divide(self, parts: int, now: Now) -> None:
        """Keep one of so many parts of what has been taken."""
        self._drain(now)
        self._level //= parts

    def standing(self, now: Now) -> Standing:
        self._drain(now)
        limit, level = self.limit, self._level
        left = max(0, limit.most_at_once * _MINUTE_NS - level) // _MINUTE_NS
        return Standing(limit, left, level / limit.limit / 1e9)

    def is_idle(self, now: Now) -> bool:
        self._drain(now)
        return not self._level and not self.exceeded

    def _drain(self, now: Now) -> None:
        """Have the level stand at this moment; an earlier one changes nothing."""
        passed_ns = now.mono_ns - self._at_ns
        if passed_ns > 0:
            self._at_ns = now.mono_ns
            left = self._level - passed_ns * self.limit.limit
            self._level = left if left > 0 else 0


class DayMeter:
    """Requests or tokens a day of the limit's time zone.

    What the day has used before is read from the books once, so that a restart forgets nothing; the
    days after it begin at 0.
    """

    __slots__ = (
        "_end_ms",
        "_first_ns",
        "_start_ms",
        "_timezone",
        "_used",
        "exceeded",
        "is_known",
        "limit",
    )

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.exceeded = 0
        self.is_known = False
        self._start_ms: int | None = None
        self._end_ms = 0  # of the day that is counted, which is one of this zone
        self._timezone = ""
        self._used = 0
        self._first_ns: int | None = None  # when the day was first taken of, on the steady clock

    def start_ms(self, now: Now) -> int:
        return period_start_ms("day", self.limit.timezone, now.at_ms)

    def load(self, start_ms: int, used: int) -> None:
        """Begin with what the books hold of a day."""
        if start_ms != self._start_ms:
            self._first_ns = None
            self._end_ms = 0
        self._start_ms, self._used, self.is_known = start_ms, used, True

    def used_since(self) -> tuple[int | None, int]:
        """The beginning of the day that is counted, None before one is, and what it has used."""
        return self._start_ms, self._used

    def wait_s(self, amount: int, now: Now) -> float:
        used = self._today(now)
        if used + amount <= self.limit.limit:
            return 0.0
        return max(1, self._end_ms - now.at_ms) / 1000

    def take(self, amount: int, now: Now) -> None:
        self._used = self._today(now) + amount
        # Where Redis decides, answers may come in another order than they were asked for.
        if self._first_ns is None or now.mono_ns < self._first_ns:
            self._first_ns = now.mono_ns

    def took(self, amount: int, now: Now) -> int:
        if now.at_ms >= self._end_ms or self.limit.timezone != self._timezone:
            self._turn_to(now)
        used = self._used + amount
        left = self.limit.limit - used
        if left >= 0:
            self._used = used
            if self._first_ns is None:
                self._first_ns = now.mono_ns
        return left

    def untake(self, amount: int) -> None:
        self._used -= amount

    def correct(self, amount: int, now: Now, taken: Now) -> None:
        used = self._today(now)
        # A call belongs to the day that it was counted in, whatever the wall clock said of it.
        if self._first_ns is not None and taken.mono_ns >= self._first_ns:
            self._used = max(0, used + amount)

    def end(self) -> None:
        """Nothing is given back: the next day does that."""

    def standing(self, now: Now) -> Standing:
        limit = self.limit
        if self._start_ms is None:  # it is still to be loaded
            end_ms, used = next_day_ms(limit.timezone, self.start_ms(now)), 0
        else:
            if now.at_ms >= self._end_ms or limit.timezone != self._timezone:
                self._turn_to(now)
            used, end_ms = self._used, self._end_ms
        return Standing(limit, max(0, limit.limit - used), (end_ms - now.at_ms) / 1000)

    def is_idle(self, now: Now) -> bool:
        return self._start_ms is None or self.start_ms(now) > self._start_ms

    def _today(self, now: Now) -> int:
        if now.at_ms >= self._end_ms or self.limit.timezone != self._timezone:
            self._turn_to(now)
        return self._used

    def _turn_to(self, now: Now) -> None:
        """Begin a new day, if it is one: a clock that was set back does not bring a day back whose
        count is gone.
        """
        start_ms = self.start_ms(now)
        if self._start_ms is None or start_ms > self._start_ms:
            self._start_ms, self._used, self._first_ns = start_ms, 0, None
            self.is_known = True
        self._timezone = self.limit.timezone
        self._end_ms = next_day_ms(self._timezone, self._start_ms)


def next_day_ms(timezone: str, start_ms: int) -> int:
    """When the day after that begins which begins then."""
    end_ms = period_end_ms("day", timezone, start_ms)
    assert end_ms is not None, "a day ends"
    return end_ms


class SlotMeter:
    """Requests at once: those of this process, and those that `elsewhere` was told of."""

    __slots__ = ("_taken", "elsewhere", "exceeded", "limit")

    is_known = True

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

    def took(self, amount: int, now: Now) -> int:
        left = self.limit.limit - self._taken - self.elsewhere - amount
        if left >= 0:
            self._taken += amount
        return left

    def untake(self, amount: int) -> None:
        self._taken -= amount

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
