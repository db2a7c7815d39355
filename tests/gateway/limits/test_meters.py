"""Single limits, on a clock of the test's own."""

from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.limits import Limit, LimitKind
from conduit.gateway.limits.headers import go_duration, rate_limit_headers
from conduit.gateway.limits.meters import (
    DayMeter,
    Meter,
    MinuteMeter,
    Now,
    SlotMeter,
    Standing,
    meter_of,
)

SECOND_NS = 10**9
MINUTE_NS = 60 * SECOND_NS


def at(nanoseconds: int) -> Now:
    return Now(nanoseconds, nanoseconds // 10**6)


def on(text: str) -> Now:
    return Now(0, int(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000))


def test_a_limit_a_minute_is_all_there_at_first_and_comes_back_evenly() -> None:
    meter = MinuteMeter(Limit("rpm", 60))
    for _ in range(60):
        assert meter.wait_s(1, at(5)) == 0
        meter.take(1, at(5))
    assert meter.wait_s(1, at(5)) == 1.0
    assert meter.wait_s(1, at(5 + SECOND_NS)) == 0
    assert meter.standing(at(5 + 10 * SECOND_NS)) == Standing(meter.limit, 10, 50.0)


def test_a_burst_bounds_what_comes_at_once() -> None:
    meter = MinuteMeter(Limit("rpm", 600, burst=20))
    for _ in range(20):
        meter.take(1, at(0))
    assert meter.wait_s(1, at(0)) == pytest.approx(0.1)


@given(
    limit=st.integers(1, 5_000),
    share=st.integers(1, 100),
    gaps_ms=st.lists(st.integers(0, 3_000), min_size=1, max_size=200),
    amounts=st.lists(st.integers(1, 40), min_size=200, max_size=200),
)
def test_no_stretch_of_time_lets_more_by_than_the_burst_and_its_share(
    limit: int, share: int, gaps_ms: list[int], amounts: list[int]
) -> None:
    burst = max(1, limit * share // 100)
    meter = MinuteMeter(Limit("tpm", limit, burst=burst))
    now_ns, taken = 0, []
    for gap_ms, amount in zip(gaps_ms, amounts, strict=False):
        now_ns += gap_ms * 10**6
        if not meter.wait_s(amount, at(now_ns)):
            meter.take(amount, at(now_ns))
            taken.append((now_ns, amount))
    for first, (since_ns, _) in enumerate(taken):
        passed = 0
        for until_ns, amount in taken[first:]:
            passed += amount
            assert passed <= burst + Fraction(limit * (until_ns - since_ns), MINUTE_NS)


@given(limit=st.integers(1, 5_000), over=st.integers(1, 200))
def test_the_wait_that_is_told_is_enough_and_not_more(limit: int, over: int) -> None:
    meter = MinuteMeter(Limit("rpm", limit))
    meter.take(limit, at(0))
    amount = min(over, limit)
    wait_ns = round(meter.wait_s(amount, at(0)) * SECOND_NS)
    assert meter.wait_s(amount, at(wait_ns - 2)) > 0
    assert meter.wait_s(amount, at(wait_ns)) == 0


def test_what_was_not_used_comes_back_and_what_was_used_beyond_is_owed() -> None:
    meter = MinuteMeter(Limit("tpm", 1_000))
    meter.take(900, at(0))
    meter.correct(-800, at(0), at(0))
    assert meter.standing(at(0)).remaining == 900
    meter.correct(1_400, at(0), at(0))  # more than there ever is
    assert meter.standing(at(0)).remaining == 0
    assert meter.wait_s(1, at(30 * SECOND_NS)) > 0
    assert meter.wait_s(1, at(31 * SECOND_NS)) == 0
    meter.correct(-10_000, at(31 * SECOND_NS), at(0))
    assert meter.standing(at(31 * SECOND_NS)).remaining == 1_000


def test_a_limit_that_is_raised_counts_what_was_taken() -> None:
    meter = MinuteMeter(Limit("rpm", 10))
    meter.take(10, at(0))
    meter.limit = Limit("rpm", 30)
    assert meter.standing(at(0)).remaining == 20


def test_a_clock_that_goes_back_gives_nothing() -> None:
    meter = MinuteMeter(Limit("rpm", 1))
    meter.take(1, at(MINUTE_NS))
    assert meter.wait_s(1, at(0)) > 0


def test_a_day_ends_at_midnight_of_its_zone() -> None:
    meter = DayMeter(Limit("rpd", 2, timezone="Europe/Berlin"))
    late, early = on("2026-11-29T23:59:00+01:00"), on("2026-11-30T00:00:00+01:00")
    meter.load(meter.start_ms(late), 1)
    meter.take(1, late)
    assert meter.wait_s(1, late) == 60
    assert meter.wait_s(1, early) == 0
    assert meter.standing(early).remaining == 2


@pytest.mark.parametrize(
    ("noon", "hours"),
    [("2026-03-29T12:00:00+02:00", 12), ("2026-10-25T12:00:00+01:00", 12)],
)
def test_days_of_23_and_25_hours_end_at_midnight_too(noon: str, hours: int) -> None:
    meter = DayMeter(Limit("rpd", 1, timezone="Europe/Berlin"))
    meter.take(1, on(noon))
    assert meter.wait_s(1, on(noon)) == hours * 3600


def test_a_day_that_has_been_counted_is_not_brought_back_by_a_clock() -> None:
    meter = DayMeter(Limit("rpd", 1))
    meter.take(1, on("2026-11-30T00:00:01+00:00"))
    assert meter.wait_s(1, on("2026-11-29T23:59:59+00:00")) > 0


def moment(text: str, mono_s: int) -> Now:
    return Now(mono_s * SECOND_NS, on(text).at_ms)


def test_a_wait_after_the_clock_was_set_back_is_for_the_end_of_the_day_that_is_counted() -> None:
    meter = DayMeter(Limit("rpd", 1))
    meter.take(1, on("2026-11-30T00:00:01+00:00"))
    before = on("2026-11-29T23:00:00+00:00")
    assert meter.wait_s(1, before) == 25 * 3600
    assert meter.standing(before).reset_s == 25 * 3600


def test_tokens_of_a_call_count_in_the_day_that_it_was_counted_in_whatever_the_clock_said() -> None:
    meter = DayMeter(Limit("tpd", 100))
    early = moment("2026-11-29T23:59:58+00:00", 1)
    meter.take(10, early)
    meter.take(10, moment("2026-11-30T00:00:01+00:00", 2))
    set_back = moment("2026-11-29T23:59:59+00:00", 3)
    meter.take(10, set_back)
    meter.correct(50, moment("2026-11-30T00:00:02+00:00", 6), set_back)
    assert meter.standing(moment("2026-11-30T00:00:02+00:00", 6)).remaining == 30
    meter.correct(50, moment("2026-11-30T00:00:03+00:00", 7), early)  # of the day before
    assert meter.standing(moment("2026-11-30T00:00:03+00:00", 7)).remaining == 30


def test_calls_that_are_counted_in_another_order_than_they_were_asked_for_are_corrected_all() -> (
    None
):
    meter = DayMeter(Limit("tpd", 100))
    first, second = moment("2026-11-29T12:00:00+00:00", 1), moment("2026-11-29T12:00:00+00:00", 2)
    meter.take(40, second)
    meter.take(40, first)
    for taken in (first, second):
        meter.correct(-30, moment("2026-11-29T12:00:05+00:00", 7), taken)
    assert meter.standing(second).remaining == 80


def test_requests_at_once_are_free_again_when_they_end() -> None:
    meter = SlotMeter(Limit("concurrent", 1))
    meter.take(1, at(0))
    assert meter.wait_s(1, at(0)) > 0
    meter.end()
    assert meter.wait_s(1, at(0)) == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0005, "1ms"),
        (0.12, "120ms"),
        (1, "1s"),
        (1.5, "1.5s"),
        (59.9996, "1m0s"),
        (90, "1m30s"),
        (360, "6m0s"),
        (86_400, "24h0m0s"),
        (90.001, "1m31s"),
        (3_661.25, "1h1m2s"),
    ],
)
def test_durations_are_written_as_go_writes_them(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


def taken(kind: LimitKind, limit: int, amount: int, *, shadow: bool = False) -> Meter:
    meter = meter_of(Limit(kind, limit, shadow=shadow))
    if isinstance(meter, DayMeter):
        meter.load(on("2026-03-28T00:00+00:00").at_ms, 0)
    meter.take(amount, on("2026-03-28T23:59:54+00:00"))
    return meter


def test_headers_are_those_of_the_tightest_limits_that_are_enforced() -> None:
    found = rate_limit_headers(
        [
            taken("rpm", 60, 1),
            taken("rpd", 1_000, 997),
            taken("tpm", 9_000, 1_000),
            taken("tpd", 10, 9, shadow=True),
            taken("concurrent", 5, 5),
        ],
        on("2026-03-28T23:59:54+00:00"),
    )
    assert found == {
        "x-ratelimit-limit-requests": "1000",
        "x-ratelimit-remaining-requests": "3",
        "x-ratelimit-reset-requests": "6s",
        "x-ratelimit-limit-tokens": "9000",
        "x-ratelimit-remaining-tokens": "8000",
        "x-ratelimit-reset-tokens": "6.667s",
    }
    assert rate_limit_headers([], on("2026-03-28T00:00+00:00")) == {}
