"""From the candidates of an alias to the order in which they are tried, at this moment.

What a real request is served by and what an explanation shows both come from `rank`.
"""

import math
from collections.abc import Callable, Container, Sequence
from typing import Final, NamedTuple

from conduit.gateway.exchange import Candidate, Decision, Ranked
from conduit.gateway.health.deployments import Deployment
from conduit.gateway.health.registry import Blocked, Health
from conduit.gateway.routing.strategies import Draw, Standing, ranking
from conduit.gateway.snapshot import Credential

CostOf = Callable[[Candidate], int | None]


class Asked(NamedTuple):
    """What ranking is told of a request: what it would cost at a candidate, and its session.

    Providers that are `down` take no call, whatever is known of them: for questions of what if.
    """

    cost_of: CostOf
    session: str | None = None
    down: frozenset[str] = frozenset()


_TAKEN_AS_DOWN: Final = Blocked("down", "taken as down, as asked", math.inf)


class Chosen(NamedTuple):
    """Where a call to a candidate goes out."""

    deployment: Deployment
    credential: Credential | None


def rank(health: Health, decision: Decision, asked: Asked, draw: Draw) -> list[Ranked]:
    """All candidates, those that take a call now in the order of the strategy, then the others in
    the order in which they will."""
    breakers = decision.policy.breakers
    ready: list[Candidate] = []
    blocked: list[Ranked] = []
    for candidate in decision.candidates:
        why = _blocked(health, candidate, breakers=breakers)
        if candidate.upstream.name in asked.down:
            why = _TAKEN_AS_DOWN
        if why is None:
            ready.append(candidate)
        else:
            blocked.append(Ranked(candidate, math.inf, why))
    blocked.sort(key=_until)
    if len(ready) == 1:
        return [Ranked(ready[0]), *blocked]
    standings = [_standing(health, each, decision.strategy, asked) for each in ready]
    session = asked.session if decision.policy.sticky != "off" else None
    order = ranking(decision.strategy, standings, draw, session)
    return [*(Ranked(ready[index], score) for index, score in order), *blocked]


def _until(ranked: Ranked) -> float:
    assert ranked.blocked is not None, "only those that are blocked are sorted by it"
    return ranked.blocked.until


def _standing(health: Health, candidate: Candidate, strategy: str, asked: Asked) -> Standing:
    """The candidate by all of its credentials: calls added up, the best of their speeds."""
    now = health.clock()
    in_flight = 0
    ttft_ms = tokens_per_s = None
    for each in deployments_of(health, candidate):
        in_flight += each.deployment.in_flight
        ttft_ms = _known(min, ttft_ms, each.deployment.ttft_ms.at(now))
        tokens_per_s = _known(max, tokens_per_s, each.deployment.tokens_per_s.at(now))
    return Standing(
        f"{candidate.upstream.name}/{candidate.model}",
        candidate.order,
        candidate.weight,
        in_flight,
        asked.cost_of(candidate) if strategy == "lowest-cost" else None,
        ttft_ms,
        tokens_per_s,
    )


def _known(
    best: Callable[[float, float], float], one: float | None, other: float | None
) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return best(one, other)


def deployments_of(health: Health, candidate: Candidate) -> list[Chosen]:
    """The candidate with each credential of its provider."""
    upstream = candidate.upstream
    credentials: Sequence[Credential | None] = upstream.credentials or (None,)
    return [
        Chosen(health.of(upstream, credential, candidate.model), credential)
        for credential in credentials
    ]


def _blocked(health: Health, candidate: Candidate, *, breakers: bool) -> Blocked | None:
    """Why no credential can be used for the candidate now: of the one that can be soonest."""
    now = health.clock()
    soonest: Blocked | None = None
    for deployment, credential in deployments_of(health, candidate):
        why = health.blocked(deployment, credential, now, breakers=breakers)
        if why is None:
            return None
        if soonest is None or (not why.can_wait, why.until) < (
            not soonest.can_wait,
            soonest.until,
        ):
            soonest = why
    return soonest


def choose(
    health: Health,
    candidate: Candidate,
    *,
    breakers: bool,
    draw: Draw,
    session: str | None = None,
    avoided: Container[Deployment | None] = (),
) -> Chosen | Blocked:
    """The credential to call a candidate with.

    Those of the lowest position share the calls by weight, or by session where one is given; the
    next ones are used where none of those can be. One that is `avoided` comes after the others.
    """
    now = health.clock()
    all_of_them = deployments_of(health, candidate)
    if len(all_of_them) == 1:
        only = all_of_them[0]
        return health.blocked(only.deployment, only.credential, now, breakers=breakers) or only
    usable: list[Chosen] = []
    soonest: Blocked | None = None
    for each in all_of_them:
        why = health.blocked(each.deployment, each.credential, now, breakers=breakers)
        if why is None:
            usable.append(each)
        elif soonest is None or why.until < soonest.until:
            soonest = why
    if not usable:
        assert soonest is not None, "a candidate has a credential, or needs none"
        return soonest
    fresh = [each for each in usable if each.deployment not in avoided] or usable
    standings = [_credential_standing(each) for each in fresh]
    return fresh[ranking("weighted", standings, draw, session)[0][0]]


def _credential_standing(chosen: Chosen) -> Standing:
    credential = chosen.credential
    if credential is None:
        return Standing("")
    return Standing(credential.id, credential.position, credential.weight)
