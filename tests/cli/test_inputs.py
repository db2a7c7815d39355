"""What people type: times, durations, counts."""

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.cli.failures import Failure
from conduit.cli.inputs import SecretSource, count, duration_s, moment, read_secret


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("24h", 86_400),
        ("30d", 2_592_000),
        ("2w", 1_209_600),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("45", 45),
        (" 10M ", 600),
    ],
)
def test_a_duration_has_a_unit_or_is_in_seconds(text: str, seconds: float) -> None:
    assert duration_s(text, "--x") == seconds


@pytest.mark.parametrize("text", ["", "0s", "-5m", "5 m", "1y", "h", "1h30m", "9" * 400])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(Failure, match="--x"):
        duration_s(text, "--x")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-11-20T14:02:11Z", "2026-11-20T14:02:11Z"),
        ("2026-11-20T14:02:11+02:00", "2026-11-20T12:02:11Z"),
        ("1763647331", "2025-11-20T14:02:11Z"),
        ("1763647331000", "2025-11-20T14:02:11Z"),
    ],
)
def test_a_time_is_rfc_3339_or_an_epoch_in_seconds_or_milliseconds(text: str, told: str) -> None:
    assert moment(text, "--since", ahead=False) == told


def test_a_duration_reaches_back_or_ahead() -> None:
    now = datetime.now(UTC)
    for ahead, sign in ((True, 1), (False, -1)):
        at = datetime.fromisoformat(moment("10m", "--x", ahead=ahead))
        assert abs(at - now - sign * timedelta(minutes=10)) < timedelta(minutes=1)


def test_yesterday_is_its_midnight() -> None:
    at = datetime.fromisoformat(moment("yesterday", "--since", ahead=False))
    assert (at.hour, at.minute, at.second) == (0, 0, 0)
    assert timedelta(days=1) <= datetime.now(UTC) - at < timedelta(days=2, minutes=1)


def test_a_date_alone_is_its_midnight_here() -> None:
    local = datetime(2026, 11, 20).astimezone()
    told = moment("2026-11-20", "--since", ahead=False)
    assert datetime.fromisoformat(told) == local


@given(st.text() | st.from_regex(r"\d{1,40}[smhdw]?", fullmatch=True))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    with contextlib.suppress(Failure):
        assert datetime.fromisoformat(moment(text, "--since", ahead=True)).tzinfo is not None


@pytest.mark.parametrize(
    ("text", "number"), [("50", 50), ("100k", 100_000), ("1M", 1_000_000), ("1.5k", 1500)]
)
def test_a_count_may_be_in_thousands_or_millions(text: str, number: int) -> None:
    assert count(text, "--limit") == number


@pytest.mark.parametrize("text", ["", "k", "-1", "1.5", "1e3", "ten", "1g"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(Failure, match="--limit"):
        count(text, "--limit")


def test_a_key_file_may_have_lines_and_a_key_may_not(tmp_path: Path) -> None:
    key_file, keys = tmp_path / "account.json", tmp_path / "keys"
    key_file.write_text('{\n  "type": "service_account"\n}\n')
    keys.write_text("one\ntwo\n")
    assert read_secret(SecretSource(str(key_file))) == '{\n  "type": "service_account"\n}'
    with pytest.raises(Failure, match="holds no single key"):
        read_secret(SecretSource(str(keys)))
