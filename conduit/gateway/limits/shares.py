"""What of a limit one of several processes may give where nothing counts for all of them.

Each counts for itself and takes an equal part, so that all of them together never give the full
limit more than once: but for a limit that is smaller than their number, of which each gives one.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from conduit.core.limits import Limit
from conduit.gateway.limits.limiter import Counted, CountSince, Scope

Share = Callable[[Limit], Limit]

_REMEMBERED = 10_000


def share_of(limit: Limit, workers: int) -> Limit:
    """The part of a limit that one worker of so many gives."""
    burst = None if limit.burst is None else _part(limit.burst, workers)
    return replace(limit, limit=_part(limit.limit, workers), burst=burst)


def shares_among(workers: int) -> Share | None:
    """What `share_of` says, remembered; None for a process that is the only one."""
    if workers == 1:
        return None

    @lru_cache(_REMEMBERED)
    def share(limit: Limit) -> Limit:
        return share_of(limit, workers)

    return share


def counted_among(workers: int, count_since: CountSince) -> CountSince:
    """What one worker takes for its own of what all have sent since a moment."""

    async def part(scope: Scope, since_ms: int, model: str | None) -> Counted:
        counted = await count_since(scope, since_ms, model)
        return Counted(-(-counted.requests // workers), -(-counted.tokens // workers))

    return count_since if workers == 1 else part


def _part(number: int, workers: int) -> int:
    return max(number // workers, min(number, 1))
