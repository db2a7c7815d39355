"""Durations and moments as people type them, and as every record has them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

DAY_MS: Final = 86_400_000
"""A day of UTC, which are all as long."""

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)?")
_LONGEST_S = 100 * 365 * 86_400
_EPOCH_DIGITS, _EPOCH_MS_DIGITS = 9, 12


def parse_duration(text: str) -> float:
    """Seconds of `90s`, `15m`, `24h`, `30d`; a bare number is seconds. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip().lower())
    seconds = float(match[1]) * _UNITS[match[2] or "s"] if match is not None else 0.0
    if not 0 < seconds <= _LONGEST_S:
        raise ValueError(f"a duration such as 90s, 15m, 24h or 30d is expected, not {text!r}")
    return seconds


def parse_moment(text: str, *, ahead: bool) -> str:
    """RFC 3339 of an RFC 3339 text, epoch seconds, `yesterday`, or a duration from now.

    `ahead` says whether a duration reaches into the future (an expiry) or the past (since when).
    Raises ValueError.
    """
    try:
        at = _moment(text.strip(), ahead=ahead)
        return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"neither a time nor a duration: {text!r}") from error


def time_of_ms(at_ms: int) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(word: str, *, ahead: bool) -> datetime:
    now = datetime.now(UTC)
    if word == "yesterday":
        return (now - timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    if word.isdigit() and len(word) >= _EPOCH_DIGITS:
        seconds = int(word) / 1000 if len(word) >= _EPOCH_MS_DIGITS else int(word)
        return datetime.fromtimestamp(seconds, UTC)
    if _DURATION.fullmatch(word.lower()):
        delta = timedelta(seconds=parse_duration(word))
        return now + delta if ahead else now - delta
    at = datetime.fromisoformat(word)
    return at if at.tzinfo is not None else at.astimezone()
