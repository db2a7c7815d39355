"""The states of the connection, as row 1 shows them."""

import pytest

from conduit.tui.state.connectivity import OFFLINE_AFTER_FAILURES, Connectivity, Shown, duration
from tests.tui.support import FrozenClock


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def connectivity(clock: FrozenClock) -> Connectivity:
    return Connectivity(clock)


def test_before_the_first_answer_it_is_connecting_and_nothing_may_be_changed(
    connectivity: Connectivity,
) -> None:
    assert connectivity.shown() == Shown("CONNECTING", "dim")
    assert connectivity.why_no_change() == "the gateway has not answered yet"
    assert not connectivity.is_live


def test_live_shows_how_far_away_the_gateway_is(connectivity: Connectivity) -> None:
    connectivity.connected()
    assert connectivity.shown() == Shown("LIVE", "good")
    connectivity.measured(41)
    assert connectivity.shown() == Shown("LIVE 41ms", "good")
    assert connectivity.why_no_change() is None


def test_a_silence_longer_than_a_heartbeat_is_stale_until_something_is_heard(
    connectivity: Connectivity, clock: FrozenClock
) -> None:
    connectivity.connected()
    clock.seconds += 9
    assert connectivity.shown() == Shown("STALE 9s", "warn")
    assert connectivity.why_no_change() == "no sign of life from the gateway for 9 s"
    connectivity.heard()
    assert connectivity.is_live


def test_a_lost_connection_counts_its_tries_and_the_seconds_to_the_next(
    connectivity: Connectivity, clock: FrozenClock
) -> None:
    connectivity.connected()
    for delay in (0.5, 1.0, 4.0):
        connectivity.lost("connection refused", delay)
    assert connectivity.shown() == Shown("RETRY 3 (4s)", "warn")
    clock.seconds += 3
    assert connectivity.shown() == Shown("RETRY 3 (1s)", "warn")
    assert connectivity.why_no_change() == "not connected to the gateway for 3s"


def test_after_many_tries_it_is_offline_for_as_long_as_that_has_lasted(
    connectivity: Connectivity, clock: FrozenClock
) -> None:
    connectivity.connected()
    for _ in range(OFFLINE_AFTER_FAILURES):
        connectivity.lost("connection refused", 2)
        clock.seconds += 30
    assert connectivity.shown() == Shown("OFFLINE 3m", "bad")
    connectivity.connected()
    assert connectivity.shown().word == "LIVE"
    assert connectivity.failures == 0


def test_a_refused_key_is_its_own_state(connectivity: Connectivity) -> None:
    connectivity.connected()
    connectivity.refused("no such key")
    assert connectivity.shown() == Shown("AUTH FAILED", "bad")
    assert connectivity.why_no_change() == "the gateway refused the master key"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (9.9, "9s"), (119, "119s"), (120, "2m"), (3600, "1h"), (86_400 * 12, "12d")],
)
def test_a_duration_is_told_in_its_largest_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text
