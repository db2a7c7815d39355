"""Values as people read them: money, moments, durations, counts."""

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

_SIGNIFICANT = 2


def money(text: object) -> str:
    """`$12.34`; below a dollar as many decimals as two significant digits need."""
    if text is None:
        return "-"
    try:
        amount = Decimal(str(text))
    except InvalidOperation:
        return str(text)
    places = 2
    if amount and abs(amount) < 1:
        places = max(2, _SIGNIFICANT - 1 - amount.adjusted())
    return f"{'-' if amount < 0 else ''}${abs(amount):,.{places}f}"


def moment(text: object) -> str:
    """`2026-11-20 14:02:11Z`; always UTC, so that two readers see the same."""
    if not isinstance(text, str):
        return "-"
    try:
        at = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return text
    return at.strftime("%Y-%m-%d %H:%M:%SZ")


def clock(at_ms: int) -> str:
    """`14:02:11`, of this machine's time of day, for lines that scroll by."""
    return datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%H:%M:%S")


def milliseconds(value: object) -> str:
    """`812ms`, `1.9s`, `2m05s`."""
    if not isinstance(value, int | float):
        return "-"
    if value < 1000:
        return f"{value:.0f}ms"
    if value < 60_000:
        return f"{value / 1000:.1f}s"
    minutes, seconds = divmod(round(value / 1000), 60)
    return f"{minutes}m{seconds:02d}s"


def span(seconds: object) -> str:
    """`45s`, `12m`, `3h10m`, `2d4h`."""
    if not isinstance(seconds, int | float):
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours}h"
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m" if minutes else f"{rest}s"


def count(value: object) -> str:
    """`1,204`."""
    return f"{value:,}" if isinstance(value, int) else "-"


def counted(number: int, noun: str) -> str:
    """`1 request`, `1,204 requests`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def size(value: object) -> str:
    """`81 MB`, in powers of 1000."""
    if not isinstance(value, int):
        return "-"
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if value >= factor:
            return f"{value / factor:.1f} {unit}"
    return f"{value} B"
