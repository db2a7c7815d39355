"""Where periods begin, in the time of a zone."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

PERIODS = ("total", "day", "week", "month")
_MS = 1000
_DAY_S = 86_400


def period_start_ms(period: str, timezone: str, at_ms: int) -> int:
    """The first millisecond of the period that holds `at_ms`; 0 for `total`.

    Days are those of the zone, of 23 or 25 hours where its clocks change; weeks begin on Monday.
    Raises ValueError for an unknown period, KeyError (ZoneInfoNotFoundError) for an unknown zone.
    """
    if period == "total":
        return 0
    zone = _zone(timezone)
    local = datetime.fromtimestamp(at_ms // _MS, UTC).astimezone(zone)
    day = local.date()
    match period:
        case "day":
            first = day
        case "week":
            first = day - timedelta(days=day.weekday())
        case "month":
            first = day.replace(day=1)
        case _:
            raise ValueError(f"not a period: {period!r}")
    # Where midnight does not exist the zone's own arithmetic gives the moment the day begins;
    # where it comes twice, fold=0 is the first of the two.
    midnight = datetime(first.year, first.month, first.day, tzinfo=zone)
    return int(midnight.astimezone(UTC).timestamp()) * _MS


def offsets_ms(timezone: str, first_ms: int, last_ms: int) -> tuple[tuple[int, int], ...]:
    """(from when, milliseconds ahead of UTC) of a zone from one moment to another, oldest first.

    Raises KeyError (ZoneInfoNotFoundError) for an unknown zone.
    """
    zone = _zone(timezone)
    at_s, last_s = first_ms // _MS, last_ms // _MS
    offset_s = _offset_s(zone, at_s)
    found = [(first_ms, offset_s * _MS)]
    while at_s < last_s:
        next_s = min(at_s + _DAY_S, last_s)
        if _offset_s(zone, next_s) != offset_s:  # no zone changes its clocks twice a day
            next_s = _change_s(zone, at_s, next_s)
            offset_s = _offset_s(zone, next_s)
            found.append((next_s * _MS, offset_s * _MS))
        at_s = next_s
    return tuple(found)


def _change_s(zone: ZoneInfo, before_s: int, after_s: int) -> int:
    """The first second of the offset that holds at `after_s`, and not at `before_s`."""
    offset_s = _offset_s(zone, after_s)
    while after_s - before_s > 1:
        middle_s = (before_s + after_s) // 2
        if _offset_s(zone, middle_s) == offset_s:
            after_s = middle_s
        else:
            before_s = middle_s
    return after_s


def _offset_s(zone: ZoneInfo, at_s: int) -> int:
    offset = datetime.fromtimestamp(at_s, zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
