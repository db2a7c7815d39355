"""Tells when a key, or all together, spends far more in an hour than it usually does.

The rule: what was spent in the last 60 minutes is at least the floor, and more than `factor` times
the mean of an hour in the 7 days before them. Of who has been there for less than 7 days, the mean
is over the hours since its first attempt; of less than a day, nothing is usual yet. Each is told of
at most once an hour. Costs are those of the ledger, by the moment at which money was held.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from conduit.core import people
from conduit.core.money import format_usd
from conduit.gateway.notifications.notices import Notice
from conduit.gateway.storage import hourly, keys
from conduit.gateway.storage.engine import Database, reading
from conduit.gateway.storage.hourly import SpentBefore

HOUR_MS: Final = 3_600_000
USUAL_HOURS: Final = 7 * 24
FEWEST_HOURS: Final = 24
_READING_S: Final = 60.0
_GATEWAY: Final = "gateway"


@dataclass(frozen=True, slots=True)
class UnusualRules:
    """How many times its usual hour is unusual, 0 for never, and from how many nano-dollars on."""

    factor: int = 5
    floor_nanodollars: int = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Usual:
    """What was spent in so many milliseconds."""

    nanodollars: int
    span_ms: int

    def is_exceeded_by(self, spent: int, factor: int) -> bool:
        """Whether an hour's spending is more than `factor` times the mean of an hour."""
        return spent * self.span_ms > factor * self.nanodollars * HOUR_MS

    @property
    def an_hour(self) -> int:
        return self.nanodollars * HOUR_MS // self.span_ms


class UnusualSpend:
    """Remembers for an hour what is usual, and of whom it has told."""

    def __init__(self, database: Database, rules: Callable[[], UnusualRules]) -> None:
        self._database = database
        self._rules = rules
        self._usual: dict[str, tuple[int, Usual | None]] = {}  # with when it was asked
        self._told_ms: dict[str, int] = {}

    async def look(self, at_ms: int) -> list[Notice]:
        """What is to be told now. Raises as reading does."""
        rules = self._rules()
        if not rules.factor:
            return []
        hour_ago_ms = at_ms - HOUR_MS
        self._usual = {w: found for w, found in self._usual.items() if found[0] > hour_ago_ms}
        self._told_ms = {who: ms for who, ms in self._told_ms.items() if ms > hour_ago_ms}
        async with reading(self._database, _READING_S) as connection:
            spent = dict(await hourly.spent_by_key(connection, hour_ago_ms))
            spent[_GATEWAY] = sum(spent.values())
            high = {
                who: amount
                for who, amount in spent.items()
                if amount >= max(rules.floor_nanodollars, 1) and who not in self._told_ms
            }
            for who in high.keys() - self._usual.keys():
                key_id = None if who == _GATEWAY else who
                since_ms = hour_ago_ms - USUAL_HOURS * HOUR_MS
                before = await hourly.spent_before(connection, key_id, since_ms, hour_ago_ms)
                self._usual[who] = (at_ms, _usual_of(before, hour_ago_ms))
            names = await keys.names_of(connection, high.keys()) if high else {}
        notices = []
        for who, amount in high.items():
            usual = self._usual[who][1]
            if usual is not None and usual.is_exceeded_by(amount, rules.factor):
                notices.append(_notice(who, names.get(who, who), amount, usual, at_ms))
        return notices

    def told(self, notices: Iterable[Notice], at_ms: int) -> None:
        """These have been stored: nobody is told of them again for an hour."""
        for notice in notices:
            self._told_ms[notice.subject[1]] = at_ms


def _usual_of(before: SpentBefore, until_ms: int) -> Usual | None:
    """What is usual, None where nothing is yet."""
    if before.first_ms is None:
        return None
    span_ms = min(until_ms - before.first_ms, USUAL_HOURS * HOUR_MS)
    return Usual(before.nanodollars, span_ms) if span_ms >= FEWEST_HOURS * HOUR_MS else None


def _notice(who: str, name: str, spent: int, usual: Usual, at_ms: int) -> Notice:
    of_all = who == _GATEWAY
    hour = at_ms // HOUR_MS
    label = "the gateway" if of_all else f'key "{name}"'
    dollars = people.money(format_usd(spent))
    if usual.an_hour:
        mean = people.money(format_usd(usual.an_hour))
        beside = f"{spent // usual.an_hour:,} times its usual {mean} an hour"
    else:
        beside = "and next to nothing in the 7 days before"
    return Notice(
        kind="unusual_spend",
        severity="warning",
        subject=(_GATEWAY, _GATEWAY, _GATEWAY) if of_all else ("key", who, name),
        message=f"{label} has spent {dollars} in the last hour, {beside}",
        dedupe=f"unusual_spend:{who}:{hour}",
        covered_by=(f"unusual_spend:{who}:{hour - 1}",),  # told before a restart, say
        details={
            "spent_nanodollars": spent,
            "usual_nanodollars": usual.an_hour,
            "since_ms": at_ms - HOUR_MS,
        },
    )
