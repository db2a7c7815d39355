"""Where the period of a budget begins."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

PERIODS = ("total", "day", "week", "month")
_MS = 1000


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


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
