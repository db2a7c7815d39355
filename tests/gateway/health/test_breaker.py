"""When a breaker opens, for how long, and when it closes again: by a clock of the test's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.gateway.health.breaker import Breaker, BreakerRules, BreakerState

RULES = BreakerRules(jitter=0.0)
FAILED, WELL, NEITHER = False, True, None


def call(breaker: Breaker, now: float, ok: bool | None, **told: bool) -> bool:
    """A call that begins and ends at once; whether the state changed."""
    assert breaker.admits(now)
    probe = breaker.begin(now)
    before = breaker.end(ok, now, probe=probe, may_open=lambda: told.get("may_open", True))
    return before is not None


def opened(now: float = 100.0) -> Breaker:
    breaker = Breaker(RULES, lambda: 0.5)
    for _ in range(RULES.consecutive):
        call(breaker, now, FAILED)
    assert breaker.state(now) is BreakerState.OPEN
    return breaker


def test_it_opens_on_the_fifth_failure_in_a_row_and_not_before() -> None:
    breaker = Breaker(RULES, lambda: 0.5)
    assert [call(breaker, 1.0, FAILED) for _ in range(5)] == [False] * 4 + [True]
    assert not breaker.admits(1.0)


def test_a_success_in_between_begins_the_row_anew() -> None:
    breaker = Breaker(RULES, lambda: 0.5)
    for ok in (*[FAILED] * 4, WELL, *[FAILED] * 4):
        assert not call(breaker, 1.0, ok)


def test_what_says_nothing_neither_counts_nor_breaks_a_row() -> None:
    breaker = Breaker(RULES, lambda: 0.5)
    for ok in (*[FAILED] * 4, NEITHER):
        assert not call(breaker, 1.0, ok)
    assert call(breaker, 1.0, FAILED)


def test_half_of_twenty_calls_open_it_though_no_five_failed_in_a_row() -> None:
    breaker = Breaker(RULES, lambda: 0.5)
    changes = [call(breaker, 1.0, ok) for ok in (WELL, FAILED) * 10]
    assert changes == [False] * 19 + [True]


def test_a_share_of_failures_does_not_open_it_where_too_few_others_are_left() -> None:
    breaker = Breaker(RULES, lambda: 0.5)
    assert not any(call(breaker, 1.0, ok, may_open=False) for ok in (WELL, FAILED) * 30)
    # In a row they do, however many others are left: nothing answers there.
    assert [call(breaker, 1.0, FAILED, may_open=False) for _ in range(4)][-1]


def test_failures_that_are_older_than_the_window_are_forgotten() -> None:
    breaker = Breaker(RULES, lambda: 0.5)
    for ok in (FAILED, WELL) * 9:
        call(breaker, 1.0, ok)
    assert not any(call(breaker, 32.0, ok) for ok in (FAILED, WELL))
    assert breaker.counts(32.0) == (1, 1)


def test_it_lets_one_probe_through_at_a_time_and_closes_after_three_good_ones() -> None:
    breaker = opened(100.0)
    assert not breaker.admits(129.9)
    assert breaker.state(130.0) is BreakerState.HALF_OPEN
    assert breaker.begin(130.0)
    assert not breaker.admits(130.0)
    assert breaker.end(WELL, 131.0, probe=True) is None
    assert not call(breaker, 131.0, WELL)
    assert call(breaker, 131.0, WELL)
    assert breaker.state(131.0) is BreakerState.CLOSED


def test_a_probe_that_says_nothing_makes_room_for_the_next_one() -> None:
    breaker = opened(100.0)
    assert not call(breaker, 130.0, NEITHER)
    assert breaker.admits(130.0)


def test_it_stays_open_for_longer_each_time_in_a_row_five_minutes_at_most() -> None:
    breaker = opened(0.0)
    pauses = []
    for _ in range(12):
        now = breaker.reopens_at
        assert call(breaker, now, FAILED)
        pauses.append(breaker.reopens_at - now)
    assert pauses == [60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300, 300]


def test_a_long_good_time_begins_the_pauses_anew() -> None:
    breaker = opened(0.0)
    for _ in range(3):
        call(breaker, 30.0, WELL)
    for _ in range(5):
        call(breaker, 331.0, FAILED)
    assert breaker.reopens_at - 331.0 == 30


@pytest.mark.parametrize(("drawn", "pause"), [(0.0, 27.0), (0.5, 30.0), (1.0, 33.0)])
def test_pauses_differ_by_a_tenth_either_way(drawn: float, pause: float) -> None:
    breaker = Breaker(BreakerRules(), lambda: drawn)
    for _ in range(5):
        call(breaker, 0.0, FAILED)
    assert breaker.reopens_at == pytest.approx(pause)


def test_calls_that_were_in_flight_when_it_opened_change_nothing() -> None:
    breaker = Breaker(RULES, lambda: 0.5)
    late = breaker.begin(1.0)
    for _ in range(5):
        call(breaker, 1.0, FAILED)
    assert breaker.end(WELL, 2.0, probe=late) is None
    assert breaker.state(2.0) is BreakerState.OPEN


def test_an_operator_opens_closes_and_resets_it() -> None:
    breaker = Breaker(RULES, lambda: 0.5)
    breaker.open_until(50.0)
    assert not breaker.admits(49.0)
    assert breaker.admits(50.0)
    breaker.close(10.0)
    assert breaker.state(10.0) is BreakerState.CLOSED
    breaker = opened()
    breaker.reset()
    assert (breaker.admits(100.0), breaker.opened_in_a_row) == (True, 0)


@pytest.mark.parametrize("ok", [FAILED, WELL, NEITHER])
@pytest.mark.parametrize("successes", [1, 3])
def test_a_probe_in_flight_does_not_undo_an_operators_word(ok: bool | None, successes: int) -> None:
    breaker = Breaker(RULES._replace(successes=successes), lambda: 0.5)
    for _ in range(RULES.consecutive):
        call(breaker, 0.0, FAILED)
    assert breaker.begin(32.0)
    breaker.open_until(632.0)
    assert breaker.end(ok, 33.0, probe=True) is None
    assert (breaker.is_held, breaker.reopens_at) == (True, 632.0)
    assert not breaker.admits(631.9)
    # Its time over, probes decide as ever, and all of them are new ones.
    changes = [call(breaker, 632.0, WELL) for _ in range(successes)]
    assert changes == [False] * (successes - 1) + [True]


def test_a_probe_of_before_that_lasts_longer_than_an_operators_word_is_the_only_one() -> None:
    breaker = opened(100.0)
    assert breaker.begin(130.0)
    breaker.open_until(140.0)
    assert not breaker.admits(140.0)
    assert breaker.end(FAILED, 141.0, probe=True) is BreakerState.HALF_OPEN
    assert not breaker.is_held


@given(
    st.lists(
        st.tuples(st.sampled_from([FAILED, WELL, NEITHER]), st.floats(0, 40), st.booleans()),
        max_size=200,
    )
)
def test_whatever_happens_there_is_never_more_than_one_probe_and_it_always_opens_again(
    steps: list[tuple[bool | None, float, bool]],
) -> None:
    breaker, now = Breaker(BreakerRules(), lambda: 0.7), 0.0
    probing: list[bool] = []
    for ok, pause, ends_now in steps:
        now += pause
        if breaker.admits(now):
            probe = breaker.begin(now)
            assert not (probe and any(probing))
            if ends_now:
                breaker.end(ok, now, probe=probe)
            else:
                probing.append(probe)
        elif probing:
            breaker.end(ok, now, probe=probing.pop())
    while probing:
        breaker.end(FAILED, now, probe=probing.pop())
    assert breaker.admits(now + 330.0)
