"""Numbers in a provider's usage, read so that no odd value breaks an answer."""

from collections.abc import Mapping
from typing import Any, Final

LARGEST_COUNT: Final = 2**53


def read_count(value: Any) -> int:
    """A count that a provider reported; 0 for what is none (negative, NaN, text, absent)."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    if not 0 <= value <= LARGEST_COUNT:  # NaN fails both comparisons
        return 0
    return int(value)


def object_or_empty(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
