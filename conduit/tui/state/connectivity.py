"""How the connection to the gateway stands, as a state machine that can be shown."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Tone = Literal["good", "warn", "bad", "dim"]

STALE_AFTER_S = 7.5
"""Heartbeats come every 5 s: after one and a half of them the link is suspect."""

OFFLINE_AFTER_FAILURES = 6


class Phase(StrEnum):
    CONNECTING = "connecting"
    LIVE = "live"
    LOST = "lost"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Shown:
    """A state as row 1 shows it: never by its colour alone."""

    word: str
    tone: Tone


class Connectivity:
    """Fed by the link, read by the frame. Times are seconds of `clock`.

    `changed` is called when something else may have to be shown; not for what time alone changes.
    """

    def __init__(
        self, clock: Callable[[], float], changed: Callable[[], None] = lambda: None
    ) -> None:
        self._clock = clock
        self._changed = changed
        self.begin()

    def begin(self) -> None:
        """Nothing is known yet: a new gateway."""
        self.phase = Phase.CONNECTING
        self.since_s = self._clock()
        self.heard_s = self._clock()
        self.retry_s = 0.0
        self.failures = 0
        self.latency_ms: int | None = None
        self.reason = ""
        self._changed()

    def connected(self) -> None:
        self._enter(Phase.LIVE)
        self.failures = 0
        self.reason = ""
        self.heard()
        self._changed()

    def heard(self) -> None:
        """A sign of life came."""
        self.heard_s = self._clock()

    def lost(self, reason: str, retry_in_s: float) -> None:
        self._enter(Phase.LOST)
        self.failures += 1
        self.retry_s = self._clock() + retry_in_s
        self.reason = reason
        self.latency_ms = None
        self._changed()

    def refused(self, reason: str) -> None:
        """The gateway does not take our key: trying again with the same one cannot help."""
        self._enter(Phase.REFUSED)
        self.reason = reason
        self.latency_ms = None
        self._changed()

    def measured(self, latency_ms: int) -> None:
        self.latency_ms = latency_ms
        self._changed()

    @property
    def is_live(self) -> bool:
        return self.phase is Phase.LIVE and not self.is_stale

    @property
    def is_stale(self) -> bool:
        return self.phase is Phase.LIVE and self.silence_s > STALE_AFTER_S

    @property
    def silence_s(self) -> float:
        return self._clock() - self.heard_s

    @property
    def age_s(self) -> float:
        return self._clock() - self.since_s

    def shown(self) -> Shown:
        """The word and tone of this moment."""
        match self.phase:
            case Phase.CONNECTING:
                return Shown("CONNECTING", "dim")
            case Phase.REFUSED:
                return Shown("AUTH FAILED", "bad")
            case Phase.LIVE if self.is_stale:
                return Shown(f"STALE {int(self.silence_s)}s", "warn")
            case Phase.LIVE:
                latency = "" if self.latency_ms is None else f" {self.latency_ms}ms"
                return Shown(f"LIVE{latency}", "good")
            case Phase.LOST if self.failures >= OFFLINE_AFTER_FAILURES:
                return Shown(f"OFFLINE {duration(self.age_s)}", "bad")
            case Phase.LOST:
                left_s = max(0, round(self.retry_s - self._clock()))
                return Shown(f"RETRY {self.failures} ({left_s}s)", "warn")

    def why_no_change(self) -> str | None:
        """Why nothing may be changed now, or None when it may."""
        match self.phase:
            case Phase.LIVE if self.is_stale:
                return f"no sign of life from the gateway for {int(self.silence_s)} s"
            case Phase.LIVE:
                return None
            case Phase.CONNECTING:
                return "the gateway has not answered yet"
            case Phase.REFUSED:
                return "the gateway refused the master key"
            case Phase.LOST:
                return f"not connected to the gateway for {duration(self.age_s)}"

    def _enter(self, phase: Phase) -> None:
        if phase is not self.phase:
            self.since_s = self._clock()
        self.phase = phase


def duration(seconds: float) -> str:
    """A time span in its largest unit: `9s`, `4m`, `3h`, `12d`."""
    whole = max(0, int(seconds))
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if whole >= 2 * size or (whole >= size and unit != "m"):
            return f"{whole // size}{unit}"
    return f"{whole}s"
