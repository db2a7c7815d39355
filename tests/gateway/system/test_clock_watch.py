"""A wall clock that is set is noticed, in either direction; one that drifts is not."""

import logging

import pytest

from conduit.gateway.system.clock_watch import LEAST_MS, ClockWatch


class Clocks:
    def __init__(self) -> None:
        self.wall_ms = 1_700_000_000_000
        self.monotonic_s = 1000.0
        self.jumps: list[int] = []
        self.watch = ClockWatch(self.jumps.append, lambda: self.wall_ms, lambda: self.monotonic_s)

    def passes(self, seconds: float, set_by_ms: int = 0) -> list[int]:
        self.monotonic_s += seconds
        self.wall_ms += int(seconds * 1000) + set_by_ms
        self.watch.look()
        told, self.jumps[:] = [*self.jumps], []
        return told


@pytest.mark.parametrize("by_ms", [LEAST_MS + 1, -LEAST_MS - 1, 86_400_000, -3_600_000])
def test_a_jump_is_told_once(by_ms: int, caplog: pytest.LogCaptureFixture) -> None:
    clocks = Clocks()
    assert clocks.passes(5) == []
    with caplog.at_level(logging.WARNING):
        assert clocks.passes(5, by_ms) == [by_ms]
    assert ("ahead" if by_ms > 0 else "back") in caplog.text
    assert clocks.passes(5) == []


def test_time_that_passes_is_no_jump_however_long_nobody_looked() -> None:
    clocks = Clocks()
    assert clocks.passes(86_400) == []
    assert clocks.passes(5, LEAST_MS) == []


def test_a_clock_that_drifts_is_not_told_of() -> None:
    clocks = Clocks()
    assert [told for _ in range(100) for told in clocks.passes(5, 1_000)] == []
