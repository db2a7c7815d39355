"""Admin operations that tell where a request would go, and why."""

import asyncio
from dataclasses import asdict
from random import random

from conduit.core.errors import (
    InvalidRequestError,
    ModelNotFoundError,
    NotFoundError,
    PermissionDeniedError,
)
from conduit.core.money import format_usd
from conduit.core.resources.models import ModelCapabilities
from conduit.core.resources.routes import (
    RouteCandidate,
    RouteDistribution,
    RouteExplanation,
    RouteLeg,
    RouteQuestion,
    RouteShare,
    RouteSimulation,
    RouteTarget,
    RouteWay,
)
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.health import deployment_view
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.keys.grants import grants_of
from conduit.gateway.provider import Operation
from conduit.gateway.routing.allowed import may_use, who_may_not
from conduit.gateway.routing.explain import ExplainedCandidate, ExplainedLeg, Explainer, Supposed
from conduit.gateway.routing.lacking import Needs
from conduit.gateway.routing.resolve import Question
from conduit.gateway.storage import keys
from conduit.gateway.storage.engine import reading

_PATH = "/admin/routes"


async def _explain(call: Call[RouteQuestion, None]) -> RouteExplanation:
    admin, asked = call.admin, call.body
    supposed = await _supposed(admin, asked)
    explained = _explainer(admin).explain(supposed, random)
    if explained is None:
        raise _no_such_model(asked.alias)
    return RouteExplanation(
        alias=asked.alias,
        chosen=_target(explained.chosen),
        by_chance=explained.by_chance,
        legs=[_leg(leg) for leg in explained.legs],
    )


async def _simulate(call: Call[RouteSimulation, None]) -> RouteDistribution:
    admin, asked = call.admin, call.body
    supposed = await _supposed(admin, asked)
    # Thousands of draws take a while; other requests go on.
    simulated = await asyncio.to_thread(_explainer(admin).simulate, supposed, asked.n, random)
    if simulated is None:
        raise _no_such_model(asked.alias)
    return RouteDistribution(
        alias=asked.alias,
        strategy=simulated.strategy,
        n=asked.n,
        unserved=asked.n - sum(simulated.counts.values()),
        shares=[
            RouteShare(provider=provider, model=model, count=count, share=count / asked.n)
            for (provider, model), count in simulated.counts.items()
        ],
    )


def _explainer(admin: AdminContext) -> Explainer:
    return Explainer(
        admin.configuration.snapshot,
        admin.health,
        admin.price_of,
        admin.unknown_price(),
        rotation=admin.rotation,
        max_attempts=admin.max_attempts(),
    )


async def _supposed(admin: AdminContext, asked: RouteQuestion) -> Supposed:
    """Raises NotFoundError for a key that there is not, PermissionDeniedError for one that may
    not use the alias, and InvalidRequestError where a provider is taken as down that there is not.
    """
    for name in asked.if_down:
        if name not in admin.configuration.snapshot.upstreams:
            raise InvalidRequestError(
                f"there is no provider {name!r}", param="if_down", hint="conduit providers list"
            )
    must_be_priced = admin.ledger.is_bounded(asked.alias)
    direct = False
    session = asked.session
    if asked.key is not None:
        async with reading(admin.database) as connection:
            key = await keys.find(connection, asked.key)
            [(_, granted), *_] = await grants_of(connection, [key])
        if not may_use(granted, asked.alias):
            who = who_may_not(granted, asked.alias)
            raise PermissionDeniedError(
                f"{who} may not use the model {asked.alias!r}", param="alias"
            )
        must_be_priced = must_be_priced or granted.has_hard_budget
        direct = key.allow_direct
        session = session and f"{key.id}/{session}"
    question = Question(asked.alias, Operation(asked.operation), must_be_priced, direct)
    needs = Needs(
        question.operation,
        None,
        *("caps" if name in asked.caps else None for name in ("vision", "tools", "schema")),
    )
    down = frozenset(asked.if_down)
    return Supposed(question, needs, asked.tokens, down, session, asked.max_tokens)


def _no_such_model(alias: str) -> ModelNotFoundError:
    return ModelNotFoundError(f"there is no model {alias!r}", param="alias")


def _target(chosen: tuple[str, str] | None) -> RouteTarget | None:
    if chosen is None:
        return None
    provider, model = chosen
    return RouteTarget(provider=provider, model=model)


def _leg(leg: ExplainedLeg) -> RouteLeg:
    return RouteLeg(
        alias=leg.alias,
        strategy=leg.strategy,
        sticky=leg.sticky,
        because=[RouteWay(alias=way.alias, on=way.on) for way in leg.because],
        chosen=_target(leg.chosen),
        by_chance=leg.by_chance,
        cuts=leg.cuts,
        candidates=[_candidate(each) for each in leg.candidates],
    )


def _candidate(candidate: ExplainedCandidate) -> RouteCandidate:
    return RouteCandidate(
        provider=candidate.provider,
        model=candidate.model,
        order=candidate.order,
        weight=candidate.weight,
        rank=candidate.rank,
        score=candidate.score,
        state=candidate.state,
        reason=candidate.reason,
        cost=None if candidate.cost is None else format_usd(candidate.cost),
        deployments=[deployment_view(each) for each in candidate.deployments],
        capabilities=None if candidate.can is None else ModelCapabilities(**asdict(candidate.can)),
    )


OPERATIONS = (
    AdminOperation(
        "routes.explain",
        "POST",
        _PATH + "/explain",
        "Tell where a request would go and why, without sending anything",
        _explain,
        RouteExplanation,
        body=RouteQuestion,
        errors=(InvalidRequestError, NotFoundError, PermissionDeniedError),
    ),
    AdminOperation(
        "routes.simulate",
        "POST",
        _PATH + "/simulate",
        "Tell how many of many requests would go to each target",
        _simulate,
        RouteDistribution,
        body=RouteSimulation,
        errors=(InvalidRequestError, NotFoundError, PermissionDeniedError),
    ),
)
