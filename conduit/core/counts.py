"""Counts as people write them."""

import re

_COUNT = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)([km]?)")
_THOUSANDS = {"": 1, "k": 1_000, "m": 1_000_000}


def parse_count(text: str) -> int:
    """A whole number of `50`, `100k` or `1M`, in powers of 1000. Raises ValueError."""
    match = _COUNT.fullmatch(text.strip().lower()) if text.isascii() else None
    number = float(match[1]) * _THOUSANDS[match[2]] if match is not None else 0.5
    if not number.is_integer():
        raise ValueError(f"a whole number such as 50, 100k or 1M is expected, not {text!r}")
    return int(number)
