"""Where periods begin and end, in the time of a zone."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

PERIODS = ("total", "day", "week", "month")
_MS = 1000
_DAY_S = 86_400

_MOST_KNOWN = 1000
_latest: dict[tuple[str, str], tuple[int, int]] = {}
"""By period and zone the bounds that were asked for last."""


def period_start_ms(period: str, timezone: str, at_ms: int) -> int:
    """The first millisecond of the period that holds `at_ms`; 0 for `total`.

    Days are those of the zone, of 23 or 25 hours where its clocks change; weeks begin on Monday.
    Raises ValueError for an unknown period, KeyError (ZoneInfoNotFoundError) for an unknown zone.
    """
    if period == "total":
        return 0
    known = _latest.get((period, timezone))
    if known is not None and known[0] <= at_ms < known[1]:
        return known[0]  # as `_bounds_ms` would, a call less: every request asks several times
    return _bounds_ms(period, timezone, at_ms)[0]


def period_end_ms(period: str, timezone: str, at_ms: int) -> int | None:
    """The first millisecond of the period after that; None for `total`. Raises what that raises."""
    return None if period == "total" else _bounds_ms(period, timezone, at_ms)[1]


def _bounds_ms(period: str, timezone: str, at_ms: int) -> tuple[int, int]:
    """From when to when. Every request asks for its budgets and limits, nearly always of the same
    periods as the request before: those are remembered.
    """
    known = _latest.get((period, timezone))
    if known is not None and known[0] <= at_ms < known[1]:
        return known
    found = _found_bounds_ms(period, _zone(timezone), at_ms)
    if len(_latest) >= _MOST_KNOWN:
        _latest.clear()
    _latest[period, timezone] = found
    return found


def _found_bounds_ms(period: str, zone: ZoneInfo, at_ms: int) -> tuple[int, int]:
    first = _first_day(period, _day(at_ms, zone))
    match period:
        case "day":
            after = first + timedelta(days=1)
        case "week":
            after = first + timedelta(days=7)
        case _:
            after = (first + timedelta(days=31)).replace(day=1)
    return _midnight_ms(first, zone), _midnight_ms(after, zone)


def _day(at_ms: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(at_ms // _MS, UTC).astimezone(zone).date()


def _first_day(period: str, day: date) -> date:
    match period:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case _:
            raise ValueError(f"not a period: {period!r}")


def _midnight_ms(day: date, zone: ZoneInfo) -> int:
    # Where midnight does not exist the zone's own arithmetic gives the moment the day begins;
    # where it comes twice, fold=0 is the first of the two.
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
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


def known_zone(name: str) -> str:
    """The name of a time zone. Raises ValueError for what is none."""
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{name!r} is no time zone of the IANA database") from error
    return name


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
