"""A circuit breaker: leaves a deployment that fails alone for a while, then tries it carefully.

The numbers are Envoy's for outlier detection, with a half-open state of one probe at a time in the
place of its sweep. Times are seconds of a monotonic clock that the caller reads.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple


class BreakerRules(NamedTuple):
    """When a breaker opens, for how long, and when it closes again.

    It opens on so many `consecutive` failures, or where at least `ratio` of at least `ratio_calls`
    calls within `window_s` failed. It stays open for `open_s` times how often it has opened in a
    row, `open_most_s` at most, give or take `jitter`. Then it lets one call through at a time, and
    closes after so many `successes`.
    """

    consecutive: int = 5
    ratio: float = 0.5
    ratio_calls: int = 20
    window_s: int = 30
    open_s: float = 30.0
    open_most_s: float = 300.0
    jitter: float = 0.1
    successes: int = 3


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """One deployment's breaker. Every call that begins here has to end here."""

    __slots__ = (
        "_bad",
        "_closed_at",
        "_consecutive",
        "_draw",
        "_good",
        "_probing",
        "_rules",
        "_seconds",
        "_successes",
        "is_held",
        "is_open",
        "opened_in_a_row",
        "reopens_at",
    )

    def __init__(self, rules: BreakerRules, draw: Callable[[], float]) -> None:
        """`draw` gives a number from 0 up to 1."""
        self._rules = rules
        self._draw = draw
        self._closed_at = 0.0
        self.reset()

    def reset(self) -> None:
        """Close it and forget everything."""
        self.is_open = False
        self.is_held = False  # open by an operator's word, which no probe ends
        self._probing = False
        self._successes = 0
        self._consecutive = 0
        self.opened_in_a_row = 0
        self.reopens_at = 0.0
        self._forget_window()

    def _forget_window(self) -> None:
        size = self._rules.window_s
        self._seconds = [-1] * size
        self._good = [0] * size
        self._bad = [0] * size

    def state(self, now: float) -> BreakerState:
        if not self.is_open:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self.reopens_at else BreakerState.HALF_OPEN

    def admits(self, now: float) -> bool:
        """Whether a call may begin now."""
        return not self.is_open or (now >= self.reopens_at and not self._probing)

    def begin(self, now: float) -> bool:
        """A call begins; whether it is a probe, which `end` is to be told."""
        if not self.is_open or now < self.reopens_at or self._probing:
            return False
        self._probing = True
        return True

    def end(
        self,
        ok: bool | None,
        now: float,
        *,
        probe: bool,
        may_open: Callable[[], bool] = lambda: True,
    ) -> BreakerState | None:
        """A call ended well, badly, or (None) in a way that tells nothing; returns the former state
        where it has changed. `may_open` is asked where a share of failures would open it.
        """
        if self.is_open:
            return self._probed(ok, now) if probe else None
        if ok is None:
            return None
        self._count(now, ok=ok)
        if ok:
            self._consecutive = 0
            return None
        self._consecutive += 1
        if self._consecutive >= self._rules.consecutive or (self._fails_often(now) and may_open()):
            self._open(now)
            return BreakerState.CLOSED
        return None

    def _probed(self, ok: bool | None, now: float) -> BreakerState | None:
        self._probing = False
        if ok is None or (self.is_held and now < self.reopens_at):
            return None  # what went out before an operator opened it does not undo their word
        if not ok:
            self._open(now)
            return BreakerState.HALF_OPEN
        self._successes += 1
        if self._successes < self._rules.successes:
            return None
        self.close(now)
        return BreakerState.HALF_OPEN

    def open_until(self, at: float) -> None:
        """An operator's word: no call until then, and then probes.

        A probe that is in flight keeps its place until it ends, so that there is never another one.
        """
        self.is_open = self.is_held = True
        self._successes = 0
        self.reopens_at = at

    def close(self, now: float) -> None:
        """Let calls through again; how often it has opened of late is kept in mind."""
        self.is_open = self.is_held = False
        self._probing = False
        self._consecutive = 0
        self._closed_at = now
        self._forget_window()

    def counts(self, now: float) -> tuple[int, int]:
        """Calls that ended well and badly within the window, while it was closed."""
        oldest = int(now) - self._rules.window_s
        good = bad = 0
        for index, second in enumerate(self._seconds):
            if second > oldest:
                good += self._good[index]
                bad += self._bad[index]
        return good, bad

    def _count(self, now: float, *, ok: bool) -> None:
        second = int(now)
        index = second % self._rules.window_s
        if self._seconds[index] != second:
            self._seconds[index] = second
            self._good[index] = self._bad[index] = 0
        if ok:
            self._good[index] += 1
        else:
            self._bad[index] += 1

    def _fails_often(self, now: float) -> bool:
        good, bad = self.counts(now)
        return good + bad >= self._rules.ratio_calls and bad >= self._rules.ratio * (good + bad)

    def _open(self, now: float) -> None:
        rules = self._rules
        if not self.is_open and now - self._closed_at > rules.open_most_s:
            self.opened_in_a_row = 0  # it has been well for long
        self.opened_in_a_row += 1
        pause = min(rules.open_s * self.opened_in_a_row, rules.open_most_s)
        self.is_open = True
        self.is_held = False
        self._successes = 0
        self.reopens_at = now + pause * (1 + rules.jitter * (2 * self._draw() - 1))
