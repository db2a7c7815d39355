"""What a budget will have spent at the end of its period, if it goes on as it has gone so far."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

from conduit.core import people
from conduit.core.money import format_usd
from conduit.core.periods import period_end_ms

LEAST_SHARE = 0.05
"""So much of a period has passed before anything is said of its end."""


@dataclass(frozen=True, slots=True)
class Projection:
    """`spent` is a decimal text in USD, at the end of the period."""

    spent: str
    ends_at_s: float

    @property
    def text(self) -> str:
        """`projected $12.40 by 2026-12-01 00:00:00Z`."""
        end = datetime.fromtimestamp(self.ends_at_s, UTC).isoformat()
        return f"projected {people.money(self.spent)} by {people.moment(end)}"


def period_ends_at_s(budget: Mapping[str, Any]) -> float | None:
    """When the present period of a budget ends, in epoch seconds; None where it never does."""
    if budget["period_start"] is None:
        return None
    start_ms = round(datetime.fromisoformat(budget["period_start"]).timestamp() * 1000)
    ends_at_ms = period_end_ms(budget["period"], budget["timezone"], start_ms)
    return None if ends_at_ms is None else ends_at_ms / 1000


def projection_of(budget: Mapping[str, Any], now_s: float) -> Projection | None:
    """What is spent so far, and in the rest of the period at the rate that it has had.

    The rate is that of all calls of the period, those of before a reset too. None where nothing can
    be said yet: of a budget without a period, of one that has spent nothing, before LEAST_SHARE of
    the period has passed, after its end, and where this machine knows no such zone or period. Days
    are those of the zone, of 23 or 25 hours where its clocks change.
    """
    try:
        ends_at_s = period_ends_at_s(budget)
    except (ZoneInfoNotFoundError, ValueError):
        return None
    spent = Decimal(budget["spent"])
    cost = spent + Decimal(budget.get("reset") or "0")  # which gateways of before do not tell
    if ends_at_s is None or cost <= 0:
        return None
    begins_at_s = datetime.fromisoformat(budget["period_start"]).timestamp()
    share = (now_s - begins_at_s) / (ends_at_s - begins_at_s)
    if not LEAST_SHARE <= share < 1:
        return None
    rest = cost / Decimal(share) - cost
    return Projection(format_usd(round((spent + rest).scaleb(9))), ends_at_s)
