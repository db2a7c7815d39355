"""What is sold beside tokens: its names, what it is counted in, and for how many a price is.

A price names a unit and may add what it depends on, with colons: `images`, `images:1024x1024`,
`images:1024x1024:high`, `video_seconds:1080p`, `searches:low`.
"""

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Final, NamedTuple


class Unit(NamedTuple):
    """`counted` in one of them is how it is measured, in integers; a price is for `sold_by`.

    `told` is what a price is for, in words.
    """

    counted: int
    sold_by: int
    told: str


UNITS: Final[Mapping[str, Unit]] = {
    "images": Unit(1, 1, "image"),
    "audio_minutes": Unit(60_000, 60_000, "minute of audio"),  # counted in milliseconds
    "characters": Unit(1, 1_000_000, "million characters"),
    "video_seconds": Unit(1_000, 1_000, "second of video"),  # counted in milliseconds
    "searches": Unit(1, 1_000, "thousand searches"),
}

_LONGEST_NAME: Final = 100
_VARIANT: Final = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}(?::[A-Za-z0-9][A-Za-z0-9._-]{0,31})*"
)
_MOST_COUNTED: Final = 10**15


def base_of(name: str) -> str:
    """The unit of a name that may say what its price depends on."""
    return name.partition(":")[0]


def check_unit(name: str) -> str:
    """The name, if it is one. Raises ValueError."""
    base, colon, variant = name.partition(":")
    if base not in UNITS:
        raise ValueError(f"{base[:40]!r} is no unit; there are {', '.join(UNITS)}")
    if len(name) > _LONGEST_NAME or (colon and _VARIANT.fullmatch(variant) is None):
        raise ValueError(
            f"what {base} depend on is letters, digits, points and hyphens, with colons between, "
            f"such as {base}:1080p"
        )
    return name


def count_of(name: str, text: str) -> int:
    """How many are counted of so many: 1.5 `audio_minutes` are 90,000. Raises ValueError."""
    unit = UNITS[base_of(check_unit(name))]
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal(-1)
    if not number.is_finite() or number < 0:
        raise ValueError(f"{name}: a number such as 2 or 1.5 is expected")
    if number > _MOST_COUNTED // unit.counted:
        raise ValueError(f"{name}: that is too many")
    return int((number * unit.counted).to_integral_value(rounding=ROUND_CEILING))
