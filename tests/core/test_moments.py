"""Durations and moments as people type them; the command line's tests show them in full."""

import pytest

from conduit.core.moments import parse_duration, parse_moment


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("24h", 86_400), (" 2W ", 1_209_600)])
def test_a_duration_has_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "-5m", "soon", "9" * 400])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 90s"):
        parse_duration(text)


def test_a_moment_is_told_in_utc() -> None:
    told = parse_moment("2026-11-20T14:02:11+02:00", ahead=True)
    assert told == "2026-11-20T12:02:11Z"


@pytest.mark.parametrize("text", ["soon", "2026-13-01", "9" * 40])
def test_what_is_neither_a_time_nor_a_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither a time nor a duration"):
        parse_moment(text, ahead=False)
