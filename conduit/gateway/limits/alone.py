"""What a gateway counts by itself while Redis does not answer: its part of each limit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from conduit.core.errors import LimiterUnavailableError
from conduit.core.limits import Limit
from conduit.gateway.limits.limiter import MeterKey, Scope
from conduit.gateway.limits.meters import DayMeter, Meter, MinuteMeter, Now

_RETRY_AFTER_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Counted:
    """A limit that is counted here alone for a while, and what a day had used before that."""

    meter: Meter
    start_ms: int | None
    used: int
    answered_us: int


class UsedAlone(NamedTuple):
    """What was taken of a day since Redis answered last; `counter` ends the name of its counter."""

    counter: str
    amount: int
    answered_us: int


class Alone:
    """The limits that are counted here until Redis answers again, by what was known of it last."""

    def __init__(self) -> None:
        self.limits: dict[MeterKey, _Counted] = {}
        self.answered_us = 0
        """When Redis answered last, by its own clock."""
        self.nodes = 1
        """How many gateways share the limits, as far as was last known."""

    def begin(self, scope: Scope, meter: Meter, now: Now) -> None:
        """Begin to count by ourselves, with our part of what all gateways have taken."""
        key = (scope.id, meter.limit.name)
        if key in self.limits:
            return
        start_ms, used = meter.used_since() if isinstance(meter, DayMeter) else (None, 0)
        self.limits[key] = _Counted(meter, start_ms, used, self.answered_us)
        if isinstance(meter, MinuteMeter):
            meter.divide(self.nodes, now)

    def part_of(self, scope: Scope, meter: Meter, amount: int, now: Now) -> Limit:
        """This gateway's part of a limit, and of what is left of a day.

        All parts together are no more than the limit; but of one a minute, or at once, each has
        one at least.
        """
        limit, nodes = meter.limit, self.nodes
        if isinstance(meter, MinuteMeter):
            # A call may be larger than the part; it waits until all of that is free.
            burst = max(limit.most_at_once // nodes, amount)
            return replace(limit, limit=max(1, limit.limit // nodes), burst=burst)
        alone = self.limits[scope.id, limit.name]
        if isinstance(meter, DayMeter) and alone.start_ms == meter.start_ms(now):
            left = max(0, limit.limit - alone.used)
            return replace(limit, limit=alone.used + left // nodes)
        least = 0 if limit.of_a_day else 1
        return replace(limit, limit=max(least, limit.limit // nodes))

    def end(self) -> list[UsedAlone]:
        """Redis answers again: what was taken of days meanwhile."""
        found = []
        for (scope_id, name), alone in self.limits.items():
            if isinstance(alone.meter, DayMeter):
                start_ms, used = alone.meter.used_since()
                before = alone.used if alone.start_ms == start_ms else 0
                if used != before:
                    counter = f"{scope_id}:{name}:{start_ms}"
                    found.append(UsedAlone(counter, used - before, alone.answered_us))
        self.limits.clear()
        return found


def refuse_closed(scopes: Sequence[Scope]) -> None:
    """Raise LimiterUnavailableError where a limit is not to be counted by gateways alone."""
    for scope in scopes:
        for limit in scope.limits:
            if limit.on_store_down == "closed" and not limit.shadow:
                raise LimiterUnavailableError(
                    f"the limit of {scope.label}, {limit.text}, cannot be counted at present",
                    hint="the gateways cannot reach the Redis in which they count it",
                    retry_after_s=_RETRY_AFTER_S,
                )
