"""Which failures are followed by another attempt, and what is said where nothing can be tried.

The table of what is retried, and where, is in docs/reliability.md.
"""

from typing import Final, NamedTuple

from conduit.core.errors import (
    ConduitError,
    NoTargetError,
    RateLimitedError,
    UnsupportedParameterError,
    UpstreamAuthError,
    UpstreamFailure,
    UpstreamRateLimitedError,
    UpstreamRejectedError,
)
from conduit.gateway.exchange import Leg
from conduit.gateway.health.deployments import Effect
from conduit.gateway.routing.causes import effect_of

SHORTEST_PAUSE_S: Final = 1.0
"""The least that a client is told to wait."""


class RetryRules(NamedTuple):
    """How often, and after how long, a request is tried again.

    All attempts of one request are `max_attempts` at most. Retries in flight are `budget_ratio` of
    all calls in flight at most, and never fewer than `budget_floor`. A deployment that failed is
    tried again after a random part of `base_s`, doubled each time, `cap_s` at most. A provider's
    rate limit is waited for where nothing else is left: by the request that met it for
    `retry_after_most_s`, and `retry_after_share` of the time left to it, by those that come after
    it, `queue_length` of them, for `queue_s`. None is begun with less than `shortest_s` left.
    """

    max_attempts: int = 3
    budget_ratio: float = 0.2
    budget_floor: int = 3
    base_s: float = 0.25
    cap_s: float = 8.0
    retry_after_most_s: float = 10.0
    retry_after_share: float = 0.5
    queue_s: float = 2.0
    queue_length: int = 64
    total_s: float = 600.0
    shortest_s: float = 1.0


def may_move_on(error: ConduitError, unsure: int) -> bool:
    if isinstance(error, UnsupportedParameterError):
        return True  # nothing was sent; another provider's format may be able to say it
    if not isinstance(error, UpstreamFailure) or isinstance(error, UpstreamRejectedError):
        return False
    # A call that may be running still is repeated once, no more: each copy may be billed.
    return unsure <= 1


def may_repeat(error: ConduitError, unsure: int) -> bool:
    """Whether the same deployment may be asked once more."""
    if isinstance(error, UnsupportedParameterError | UpstreamAuthError):
        return False
    return may_move_on(error, unsure) and effect_of(error, None) is not Effect.NO_QUOTA


def nothing_takes_it(leg: Leg, now: float) -> ConduitError:
    """Why no candidate of an alias takes a call, and when one will again."""
    alias = leg.decision.alias
    blocked = [each.blocked for each in leg.ranked if each.blocked is not None]
    soonest = min((each.until for each in blocked), default=now)
    wait_s = max(soonest - now, SHORTEST_PAUSE_S)
    reasons = "; ".join(
        f"{each.candidate.upstream.name}: {each.blocked.reason}"
        for each in leg.ranked
        if each.blocked is not None
    )
    states = {each.state for each in blocked}
    if states == {"full"}:
        return RateLimitedError(
            f"{alias!r} has no room for another call ({reasons})", retry_after_s=wait_s
        )
    if states and states <= {"throttled", "full"}:
        return UpstreamRateLimitedError(
            f"every provider of {alias!r} is at its limit ({reasons})", retry_after_s=wait_s
        )
    if states and states <= {"invalid_key", "no_permission", "no_quota"}:
        return UpstreamAuthError(
            f"no provider of {alias!r} takes the gateway's credential ({reasons})",
            hint="conduit health providers",
        )
    left_out = [f"{each.provider}: {each.reason}" for each in leg.decision.why_nots]
    reasons = "; ".join([reasons, *left_out]) if reasons else "; ".join(left_out)
    return NoTargetError(
        f"no provider can serve the model {alias!r} now ({reasons})", retry_after_s=wait_s
    )
