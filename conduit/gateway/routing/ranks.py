"""From the candidates of an alias to the order in which they are tried, at this moment.

What a real request is served by and what an explanation shows both come from `rank`.
"""

import math
from collections.abc import Callable, Container, Sequence
from typing import Final, NamedTuple

from conduit.gateway.config.snapshot import Credential
from conduit.gateway.exchange import Candidate, Decision, Place, Ranked
from conduit.gateway.health.deployments import Deployment
from conduit.gateway.health.registry import Blocked, Health
from conduit.gateway.routing.strategies import Draw, Standing, in_tiers, ranking

CostOf = Callable[[Candidate], int | None]


class Asked(NamedTuple):
    """What ranking is told of a request: what it would cost at a candidate, and its session.

    Providers that are `down` take no call, whatever is known of them: for questions of what if.
    """

    cost_of: CostOf
    session: str | None = None
    down: frozenset[str] = frozenset()


_TAKEN_AS_DOWN: Final = Blocked("down", "taken as down, as asked", math.inf)


def rank(health: Health, decision: Decision, asked: Asked, draw: Draw) -> list[Ranked]:
    """All candidates, those that take a call now in the order of the strategy, then the others in
    the order in which they will."""
    breakers, down = decision.policy.breakers, asked.down
    if len(decision.candidates) == 1 and not down:
        return [only(health, decision.candidates[0], breakers=breakers)]
    now = health.clock()
    ready: list[Ranked] = []
    blocked: list[Ranked] = []
    for candidate in decision.candidates:
        if down and candidate.upstream.name in down:
            blocked.append(Ranked(candidate, math.inf, _TAKEN_AS_DOWN))
            continue
        usable = usable_places(health, candidate, breakers=breakers, now=now)
        if isinstance(usable, Blocked):
            blocked.append(Ranked(candidate, math.inf, usable))
        else:
            ready.append(Ranked(candidate, 0.0, None, usable))
    if blocked:
        blocked.sort(key=_until)
    if len(ready) < 2:
        return ready + blocked
    session = asked.session if decision.policy.sticky != "off" else None
    strategy = decision.strategy
    if strategy == "simple" and session is None:  # which looks at nothing else
        return [ready[index] for index in in_tiers([each.candidate for each in ready])] + blocked
    cost_of = asked.cost_of if strategy == "lowest-cost" else None
    standings = [_standing(each.candidate, now, cost_of) for each in ready]
    ranked = []
    for index, score in ranking(strategy, standings, draw, session):
        each = ready[index]
        each.score = score
        ranked.append(each)
    return ranked + blocked if blocked else ranked


def only(health: Health, candidate: Candidate, *, breakers: bool) -> Ranked:
    """A candidate by itself, which has not been compared with others."""
    usable = usable_places(health, candidate, breakers=breakers)
    if isinstance(usable, Blocked):
        return Ranked(candidate, math.inf, usable)
    return Ranked(candidate, usable=usable)


def _until(ranked: Ranked) -> float:
    assert ranked.blocked is not None, "only those that are blocked are sorted by it"
    return ranked.blocked.until


def _standing(candidate: Candidate, now: float, cost_of: CostOf | None) -> Standing:
    """The candidate by all of its credentials: calls added up, the best of their speeds.

    Its places have just been looked up, as it takes a call.
    """
    places = candidate.places.found
    deployment, _ = places[0]
    in_flight = deployment.in_flight
    ttft_ms, tokens_per_s = deployment.speeds_at(now)
    if len(places) > 1:
        for each in places[1:]:
            in_flight += each.deployment.in_flight
            ttft_there, tokens_there = each.deployment.speeds_at(now)
            ttft_ms = _known(min, ttft_ms, ttft_there)
            tokens_per_s = _known(max, tokens_per_s, tokens_there)
    return Standing(
        candidate.name,
        candidate.order,
        candidate.weight,
        in_flight,
        None if cost_of is None else cost_of(candidate),
        ttft_ms,
        tokens_per_s,
    )


def _known(
    best: Callable[[float, float], float], one: float | None, other: float | None
) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return best(one, other)


def places_of(health: Health, candidate: Candidate) -> list[Place]:
    """The candidate with each credential of its provider."""
    places = candidate.places
    if places.token is not health.token:
        upstream = candidate.upstream
        credentials: Sequence[Credential | None] = upstream.credentials or (None,)
        places.found = [
            Place(health.of(upstream, credential, candidate.model), credential)
            for credential in credentials
        ]
        places.token = health.token  # last: looking one up may make room for it
    return places.found


def usable_places(
    health: Health, candidate: Candidate, *, breakers: bool, now: float | None = None
) -> list[Place] | Blocked:
    """Where a call to the candidate may go out now, or why nowhere: of the place that is next."""
    if now is None:
        now = health.clock()
    looked_up = candidate.places
    is_fresh = looked_up.token is health.token
    places = looked_up.found if is_fresh else places_of(health, candidate)
    if len(places) == 1:
        deployment, credential = places[0]
        why = health.blocked(deployment, credential, now, breakers=breakers)
        return places if why is None else why
    usable: list[Place] = []
    soonest: Blocked | None = None
    for place in places:
        why = health.blocked(place.deployment, place.credential, now, breakers=breakers)
        if why is None:
            usable.append(place)
        elif soonest is None or _is_sooner(why, soonest):
            soonest = why
    if usable:
        return usable
    assert soonest is not None, "a candidate has a credential, or needs none"
    return soonest


def _is_sooner(one: Blocked, other: Blocked) -> bool:
    return (not one.can_wait, one.until) < (not other.can_wait, other.until)


def choose(
    usable: list[Place],
    random: Callable[[], float],
    session: str | None = None,
    avoided: Container[Deployment | None] = (),
) -> Place:
    """By which credential a candidate is called.

    Those of the lowest position share the calls by weight, or by session where one is given; the
    next ones are used where none of those can be. One that is `avoided` comes after the others.
    """
    if len(usable) == 1:
        return usable[0]
    fresh = [each for each in usable if each.deployment not in avoided] or usable
    standings = [_credential_standing(each) for each in fresh]
    return fresh[ranking("weighted", standings, Draw(random, 0), session)[0][0]]


def _credential_standing(place: Place) -> Standing:
    credential = place.credential
    if credential is None:
        return Standing("")
    return Standing(credential.id, credential.position, credential.weight)
