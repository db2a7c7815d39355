"""What a budget will have spent when its period ends."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from conduit.core.projections import period_ends_at_s, projection_of


def budget(
    period: str, timezone: str, start: str | None, spent: str = "10.00", **fields: str
) -> dict[str, Any]:
    told = {"period": period, "timezone": timezone, "period_start": start, "spent": spent}
    return told | fields


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("given", "now", "spent", "ends"),
    [
        (("month", "UTC", "2026-11-01T00:00:00Z"), "2026-11-16T00:00", "20.00", "2026-12-01"),
        (("month", "UTC", "2026-02-01T00:00:00Z"), "2026-02-08T00:00", "40.00", "2026-03-01"),
        (("month", "UTC", "2026-12-01T00:00:00Z"), "2026-12-16T12:00", "20.00", "2027-01-01"),
        (
            ("week", "Asia/Kolkata", "2026-11-15T18:30:00Z"),
            "2026-11-19T12:00",
            "20.00",
            "2026-11-23",
        ),
        (
            ("day", "America/New_York", "2026-06-01T04:00:00Z"),
            "2026-06-01T06:00",
            "40.00",
            "2026-06-02",
        ),
        # 23 hours: clocks are put forward; 11.5 of them have passed at half past twelve.
        (
            ("day", "Europe/Berlin", "2026-03-28T23:00:00Z"),
            "2026-03-29T12:30",
            "20.00",
            "2026-03-30",
        ),
        # 25 hours: they are put back; 12.5 have passed at half past eleven.
        (
            ("day", "Europe/Berlin", "2026-10-24T22:00:00Z"),
            "2026-10-25T11:30",
            "20.00",
            "2026-10-26",
        ),
        # A day that begins at one: there is no midnight.
        (
            ("day", "America/Santiago", "2026-09-06T04:00:00Z"),
            "2026-09-06T12:30",
            "20.00",
            "2026-09-07",
        ),
    ],
)
def test_it_is_what_was_spent_by_the_share_of_the_period_that_has_passed(
    given: tuple[str, str, str], now: str, spent: str, ends: str
) -> None:
    found = projection_of(budget(*given), at(now, given[1]))
    assert found is not None
    assert found.spent == spent
    assert found.ends_at_s == at(f"{ends}T00:00", given[1])


DAY = ("day", "UTC", "2026-11-20T00:00:00Z")


@pytest.mark.parametrize(
    ("given", "now"),
    [
        (budget("total", "UTC", None), "2026-11-20T12:00"),
        (budget(*DAY, spent="0.00"), "2026-11-20T12:00"),
        (budget(*DAY), "2026-11-20T01:11"),
        (budget(*DAY), "2026-11-19T23:00"),
        (budget(*DAY), "2026-11-21T00:00"),
        (budget("day", "Mars/Olympus", "2026-11-20T00:00:00Z"), "2026-11-20T12:00"),
        (budget("fortnight", "UTC", "2026-11-20T00:00:00Z"), "2026-11-20T12:00"),
    ],
)
def test_nothing_is_said_where_nothing_is_known(given: dict[str, Any], now: str) -> None:
    assert projection_of(given, at(now)) is None


def test_it_is_said_once_a_twentieth_has_passed_and_to_the_nano_dollar() -> None:
    found = projection_of(budget(*DAY, spent="0.000000001"), at("2026-11-20T01:12"))
    assert found is not None
    assert found.spent == "0.00000002"
    assert found.text == "projected $0.000000020 by 2026-11-21 00:00:00Z"


@pytest.mark.parametrize(
    ("spent", "reset", "projected"),
    [
        # $10 in half a day, all of it reset: another $10 in the rest.
        ("0.00", "10.00", "10.00"),
        # Reset at a quarter of the day, and $5 since: the rate of before and after goes on.
        ("5.00", "5.00", "15.00"),
        ("10.00", "0.00", "20.00"),
    ],
)
def test_after_a_reset_the_rate_of_the_whole_period_goes_on(
    spent: str, reset: str, projected: str
) -> None:
    found = projection_of(budget(*DAY, spent=spent, reset=reset), at("2026-11-20T12:00"))
    assert found is not None
    assert found.spent == projected


def test_what_has_no_period_never_ends() -> None:
    assert period_ends_at_s(budget("total", "UTC", None)) is None
