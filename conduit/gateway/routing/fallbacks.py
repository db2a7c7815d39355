"""To which other alias a request goes on, and for which cause.

What a real request follows and what an explanation shows both come from here.
"""

from collections.abc import Container, Iterable

from conduit.gateway.config.snapshot import AliasMapping
from conduit.gateway.exchange import Decision, Ranked
from conduit.gateway.health.registry import Blocked


def falls_back_on(decision: Decision, cause: str) -> bool:
    """Whether the alias names another one for a cause."""
    mapping = decision.mapping
    return mapping is not None and any(each.on == cause for each in mapping.fallbacks)


def next_alias(mapping: AliasMapping | None, cause: str, taken: Container[str]) -> str | None:
    """The alias to fall back to for a cause, of those that the request has not been at."""
    if mapping is None or not cause:
        return None
    for fallback in mapping.fallbacks:
        if fallback.on == cause and fallback.alias not in taken:
            return fallback.alias
    return None


def cause_of_none(decision: Decision, ranked: Iterable[Ranked]) -> str:
    """For which cause a request falls back that no candidate of its alias takes now."""
    if decision.too_long:
        return "context_window"
    blocked = soonest(ranked)
    return "rate_limit" if blocked is not None and blocked.can_wait else "error"


def soonest(ranked: Iterable[Ranked]) -> Blocked | None:
    """What is in the way of the candidate that takes a call soonest, waiting allowed first."""
    found = [each.blocked for each in ranked if each.blocked is not None]
    return min(found, key=lambda each: (not each.can_wait, each.until), default=None)
