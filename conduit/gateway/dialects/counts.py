"""Numbers in a provider's usage, read so that no odd value breaks an answer."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

LARGEST_COUNT: Final = 2**53


def read_count(value: Any) -> int:
    """A count that a provider reported; 0 for what is none (negative, NaN, text, absent)."""
    if type(value) is int:  # nearly always, where there is one
        return value if 0 <= value <= LARGEST_COUNT else 0
    if value is None:
        return 0
    number = _number(value)
    return 0 if number is None else int(number)


def count_told(value: Any) -> int | None:
    """The same, a part of one as a whole; None for what is none, which zero is not."""
    number = _number(value)
    return None if number is None else math.ceil(number)


def is_distorted(usage: Mapping[str, Any], names: Iterable[str]) -> bool:
    """Whether one of these counts is told but is none: below nothing, say, or a text.

    What was used is not known then, and it is estimated; to read nothing out of it would make it
    free. `null` tells nothing.
    """
    for name in names:
        value = usage.get(name)
        if type(value) is int:  # nearly always; a subclass would be a truth value
            if not 0 <= value <= LARGEST_COUNT:
                return True
        elif value is not None and _number(value) is None:
            return True
    return False


_ORDINARY: Final = frozenset({"default", "standard", "auto", "on_demand", "standard_only", ""})
_LONGEST_GRADE: Final = 32


def grade_told(value: Any) -> str | None:
    """The grade of service that a provider says it gave; None for its ordinary one."""
    if not isinstance(value, str) or value in _ORDINARY or len(value) > _LONGEST_GRADE:
        return None
    return value


def searches_told(count: int) -> tuple[tuple[str, int], ...]:
    """Searches as the units of a usage."""
    return (("searches", count),) if count else ()


def _number(value: Any) -> int | float | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value <= LARGEST_COUNT else None  # NaN fails both comparisons
