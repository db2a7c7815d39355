"""When new requests are refused, from samples and a clock of the test's own."""

from dataclasses import replace

import pytest

from conduit.gateway.shedding import Reason, Shedder, SheddingLimits, Use, told_of

LIMITS = SheddingLimits(in_flight=10, loop_lag_ms=100)
CALM = Use(descriptors_percent=10.0, memory_percent=10.0)


class Watched:
    """A shedder with its own time, and the changes it told of."""

    def __init__(self, limits: SheddingLimits = LIMITS) -> None:
        self.now_s = 0.0
        self.changes: list[tuple[Reason, ...]] = []
        self.shedder = Shedder(limits, self.changes.append, uniform=lambda least, most: most)

    def look(self, use: Use = CALM) -> tuple[Reason, ...]:
        self.shedder.look(self.now_s, use)
        return self.shedder.reasons

    def run(self, seconds: float, lag_s: float, use: Use = CALM) -> None:
        """Tick every 25 ms and look every half second, each tick so late."""
        for tick in range(1, round(seconds / 0.025) + 1):
            self.now_s += 0.025
            self.shedder.note_lag(self.now_s, lag_s)
            if tick % 20 == 0:
                self.look(use)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_ordinary_requests_have_four_fifths_of_the_slots(watched: Watched) -> None:
    assert (watched.shedder.most_ordinary, watched.shedder.most) == (8, 10)
    small = Shedder(replace(LIMITS, in_flight=1))
    assert (small.most_ordinary, small.most) == (1, 1)
    assert Shedder(replace(LIMITS, reserved_percent=0)).most_ordinary == 10


@pytest.mark.parametrize(
    ("use", "reasons"),
    [
        (Use(90.0, 85.0), ()),
        (Use(90.1, 10.0), ("descriptors",)),
        (Use(10.0, 85.1), ("memory",)),
        (Use(99.0, 99.0), ("descriptors", "memory")),
        (Use(None, None), ()),
    ],
)
def test_what_is_used_up_closes_the_door_to_all(
    watched: Watched, use: Use, reasons: tuple[Reason, ...]
) -> None:
    assert watched.look(use) == reasons
    most = (watched.shedder.most_ordinary, watched.shedder.most)
    assert most == ((0, 0) if reasons else (8, 10))
    assert watched.shedder.state().use == use


def test_it_opens_again_five_points_below(watched: Watched) -> None:
    watched.look(Use(memory_percent=86.0))
    assert watched.look(Use(memory_percent=81.0)) == ("memory",)
    assert watched.look(Use(memory_percent=80.0)) == ()
    assert watched.look(Use(memory_percent=84.0)) == ()
    assert watched.changes == [("memory",), ()]


def test_a_loop_that_is_late_for_a_second_lets_priority_pass_and_one_in_time_lets_all(
    watched: Watched,
) -> None:
    watched.run(1.0, 0.3)
    assert watched.changes == []
    watched.run(1.0, 0.3)
    assert watched.changes == [("loop_lag",)]
    assert (watched.shedder.most_ordinary, watched.shedder.most) == (0, 10)
    assert watched.shedder.lag_p99_ms == pytest.approx(300)
    watched.run(1.5, 0.001)
    assert watched.changes == [("loop_lag",)]
    watched.run(1.5, 0.001)
    assert watched.changes == [("loop_lag",), ()]
    assert (watched.shedder.most_ordinary, watched.shedder.most) == (8, 10)


def test_a_single_pause_closes_nothing(watched: Watched) -> None:
    watched.run(3.0, 0.001)
    watched.now_s += 0.5
    watched.shedder.note_lag(watched.now_s, 0.5)
    watched.run(3.0, 0.001)
    assert watched.changes == []


def test_refusals_for_slots_are_told_of_until_there_were_none_for_a_while(watched: Watched) -> None:
    assert watched.look() == ()
    error = watched.shedder.refuse_ordinary()
    assert (error.status, error.code, error.retry_after_s) == (503, "overloaded", 5.0)
    assert "too many requests are in flight" in error.message
    assert watched.look() == ("in_flight",)
    assert (watched.shedder.most_ordinary, watched.shedder.most) == (8, 10)
    watched.now_s = 4.0
    watched.shedder.refuse()
    assert watched.look() == ("in_flight",)
    watched.now_s = 8.9
    assert watched.look() == ("in_flight",)
    watched.now_s = 9.0
    assert watched.look() == ()
    assert watched.shedder.refused["in_flight"] == 2
    assert watched.changes == [("in_flight",), ()]


def test_a_refusal_counts_for_the_first_reason(watched: Watched) -> None:
    watched.look(Use(99.0, 99.0))
    assert "too many files" in watched.shedder.refuse().message
    assert watched.shedder.refused == {
        "descriptors": 1,
        "memory": 0,
        "loop_lag": 0,
        "in_flight": 0,
    }


def test_what_only_priority_passes_is_no_reason_where_all_are_refused(watched: Watched) -> None:
    watched.run(2.0, 0.3)
    assert "event loop is late" in watched.shedder.refuse_ordinary().message
    assert "too many requests are in flight" in watched.shedder.refuse().message
    assert watched.shedder.refused["loop_lag"] == watched.shedder.refused["in_flight"] == 1


def test_callers_are_told_different_times_to_come_again() -> None:
    shedder = Shedder(LIMITS)
    times = {shedder.refuse().retry_after_s for _ in range(50)}
    assert len(times) > 40
    assert all(time_s is not None and 1 <= time_s <= 5 for time_s in times)


def test_limits_can_be_lifted_and_changed_while_it_runs(watched: Watched) -> None:
    watched.shedder.limits = SheddingLimits(
        descriptors_percent=100, memory_percent=100, loop_lag_ms=0, in_flight=100
    )
    assert (watched.shedder.most_ordinary, watched.shedder.most) == (80, 100)
    watched.run(4.0, 5.0, Use(100.0, 100.0))
    assert watched.changes == []
    watched.shedder.limits = replace(LIMITS, memory_percent=50)
    assert watched.look(Use(memory_percent=60.0)) == ("memory",)
    watched.shedder.limits = replace(LIMITS, memory_percent=50, in_flight=20)
    assert (watched.shedder.most_ordinary, watched.shedder.most) == (0, 0)


def test_changes_are_told_in_words() -> None:
    assert told_of(()) == "all requests are taken again"
    assert told_of(("memory", "loop_lag")) == (
        "requests are refused as overloaded: too little memory is left, the event loop is late"
    )
