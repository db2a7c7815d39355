"""`--sort`: the order of rows that are all here."""

from collections.abc import Mapping, Sequence
from typing import Any

from conduit.cli.failures import Failure
from conduit.cli.output import unknown_field, value_at
from conduit.client.api import Record


def ordered(rows: Sequence[Record], order: str) -> list[Record]:
    """The rows by FIELD or FIELD:desc; those without a value come last either way.

    Raises Failure for a field that none of them has.
    """
    path, _, direction = order.partition(":")
    if direction not in ("", "asc", "desc"):
        raise Failure(f"--sort: FIELD or FIELD:desc is expected, not {order!r}")
    if rows and not any(_has(row, path.split(".")) for row in rows):
        raise unknown_field("--sort", path, rows[0])
    valued = [row for row in rows if value_at(row, path) is not None]
    rest = [row for row in rows if value_at(row, path) is None]
    return sorted(valued, key=lambda row: _rank(row, path), reverse=direction == "desc") + rest


def _has(value: Any, steps: Sequence[str]) -> bool:
    if not steps or value in (None, []):  # what is not there may have any field
        return True
    if isinstance(value, list):
        return any(_has(inner, steps) for inner in value)
    return isinstance(value, Mapping) and steps[0] in value and _has(value[steps[0]], steps[1:])


def _rank(row: Record, path: str) -> tuple[int, float, str]:
    """Numbers and amounts by their size, before texts."""
    value = value_at(row, path)
    try:
        return (0, float(value), "")
    except (TypeError, ValueError):
        return (1, 0.0, str(value))
