"""Where periods begin and end."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core import periods
from conduit.core.periods import PERIODS, period_end_ms, period_start_ms


def ms(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("period", "zone", "at", "start"),
    [
        ("day", "UTC", "2026-11-20T13:00", "2026-11-20T00:00"),
        ("day", "Europe/Berlin", "2026-03-29T12:00", "2026-03-29T00:00"),  # 23 hours long
        ("day", "America/New_York", "2026-11-01T23:30", "2026-11-01T00:00"),  # 25 hours long
        ("week", "UTC", "2026-11-20T13:00", "2026-11-16T00:00"),
        ("week", "Asia/Tokyo", "2026-11-16T00:00", "2026-11-16T00:00"),
        ("week", "Europe/Berlin", "2026-03-29T23:59", "2026-03-23T00:00"),
        ("month", "America/New_York", "2026-03-31T23:59", "2026-03-01T00:00"),
        ("month", "UTC", "2024-02-29T00:00", "2024-02-01T00:00"),
    ],
)
def test_a_period_begins_at_midnight_of_its_zone(
    period: str, zone: str, at: str, start: str
) -> None:
    assert period_start_ms(period, zone, ms(at, zone)) == ms(start, zone)


def test_total_has_one_period_from_the_beginning_of_time() -> None:
    assert period_start_ms("total", "nowhere", 123) == 0


def test_a_day_whose_midnight_does_not_exist_begins_an_hour_later() -> None:
    # Santiago's clocks went from 2026-09-05 24:00 straight to 01:00.
    zone = "America/Santiago"
    start = period_start_ms("day", zone, ms("2026-09-06T12:00", zone))
    before = datetime.fromtimestamp(start / 1000 - 1, UTC).astimezone(ZoneInfo(zone))
    assert datetime.fromtimestamp(start / 1000, UTC).astimezone(ZoneInfo(zone)).day == 6
    assert before.day == 5


def test_an_unknown_period_and_an_unknown_zone_are_refused() -> None:
    with pytest.raises(ValueError, match="fortnight"):
        period_start_ms("fortnight", "UTC", 0)
    with pytest.raises(ZoneInfoNotFoundError):
        period_start_ms("day", "Mars/Olympus", 0)


@given(
    st.sampled_from(PERIODS),
    st.sampled_from(["UTC", "Europe/Berlin", "America/Santiago", "Asia/Kathmandu"]),
    st.integers(0, 4_000_000_000_000),
)
def test_a_start_lies_in_its_own_period_and_never_ahead(period: str, zone: str, at_ms: int) -> None:
    start_ms = period_start_ms(period, zone, at_ms)
    assert start_ms <= at_ms
    assert period_start_ms(period, zone, start_ms) == start_ms


@given(
    st.sampled_from(PERIODS),
    st.sampled_from(["UTC", "Europe/Berlin", "America/Santiago", "Asia/Kathmandu"]),
    st.integers(0, 4_000_000_000_000),
)
def test_a_period_ends_where_the_next_one_begins(period: str, zone: str, at_ms: int) -> None:
    end_ms = period_end_ms(period, zone, at_ms)
    if period == "total":
        assert end_ms is None
        return
    assert end_ms is not None
    assert end_ms > at_ms
    assert period_start_ms(period, zone, end_ms) == end_ms
    assert period_start_ms(period, zone, end_ms - 1) == period_start_ms(period, zone, at_ms)


@given(
    st.sampled_from(PERIODS),
    st.sampled_from(
        [
            "UTC",
            "Europe/Berlin",
            "America/Santiago",
            "America/Havana",
            "Pacific/Apia",
            "Asia/Beirut",
        ]
    ),
    st.integers(0, 4_000_000_000_000),
    st.lists(st.integers(-3 * 86_400_000, 3 * 86_400_000), max_size=6),
)
def test_what_was_asked_before_changes_no_answer(
    period: str, zone: str, at_ms: int, others: list[int]
) -> None:
    for apart_ms in others:
        period_start_ms(period, zone, max(0, at_ms + apart_ms))
    found = period_start_ms(period, zone, at_ms), period_end_ms(period, zone, at_ms)
    periods._latest.clear()
    assert found == (period_start_ms(period, zone, at_ms), period_end_ms(period, zone, at_ms))
