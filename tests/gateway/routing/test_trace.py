"""A trace says in which order a request's candidates stood, however it was put together."""

import math
from collections.abc import Sequence

import msgspec
import pytest

from conduit.gateway.config.snapshot import AliasMapping, Credential, Policy, Snapshot, Target
from conduit.gateway.exchange import Exchange
from conduit.gateway.health.deployments import Effect
from conduit.gateway.health.registry import Health, Speed
from conduit.gateway.pricing import Rates
from conduit.gateway.routing.strategies import STRATEGIES
from conduit.gateway.routing.trace import TracedAttempt, _written, read_trace, trace_of
from conduit.gateway.stages.admit import cost_at
from conduit.gateway.stages.attempts import Attempts
from conduit.gateway.stages.resolve import Resolve
from conduit.gateway.stages.retries import RetryRules
from tests.gateway.exchanges import exchange, upstream

MODELS = ("m", 'a"score":0.5', "ü{}")


def price_of(overrides: object, provider: str, vendor: str | None, model: str) -> Rates | None:
    return None if model == "ü{}" else Rates(input=1, output=1, version="t", source="override")


class World:
    """One alias over all models of one provider."""

    def __init__(self, strategy: str, credentials: int = 1, models: Sequence[str] = MODELS) -> None:
        keys = tuple(Credential(f"c{index}", f'"c{index}"', "s") for index in range(credentials))
        targets = tuple(Target("p", model) for model in models)
        mapping = AliasMapping("1", "fast", strategy, targets, (), 0, Policy())
        self.snapshot = Snapshot(1, {"p": upstream("p", credentials=keys)}, {"fast": mapping}, {})
        self.health = Health()
        self.resolve = Resolve(price_of, lambda exchange: None)
        self.attempts = Attempts(RetryRules(), self.health, self.resolve.decide, cost_at)

    async def served(self) -> Exchange:
        """A request that was served at the first try."""
        asked = exchange(self.snapshot)
        self.resolve(asked)
        attempt = await self.attempts(asked)
        assert attempt is not None
        assert attempt.deployment is not None
        call = self.health.begin(attempt.deployment, attempt.credential, is_retry=False)
        self.health.end(call, Effect.WELL, speed=Speed(None, 50.0))
        asked.attempts.append(attempt)
        return asked


def checked(asked: Exchange) -> str:
    """The trace, which holds what the course of the exchange holds."""
    text = trace_of(asked)
    assert text is not None
    trace = read_trace(text)
    assert msgspec.json.decode(text) == msgspec.to_builtins(trace)
    course = asked.course
    assert course is not None
    (leg,) = trace.legs
    assert [(each.provider, each.model, each.score) for each in leg.candidates] == [
        (ranked.candidate.upstream.name, ranked.candidate.model, finite(ranked.score))
        for ranked in course.legs[0].ranked
    ]
    attempt = asked.attempts[0]
    assert attempt.credential is not None
    assert trace.attempts == [
        TracedAttempt("p", attempt.candidate.model, attempt.credential.name),
    ]
    return text


def finite(score: float) -> float | None:
    return None if score == math.inf else score


@pytest.mark.parametrize("credentials", [1, 2])
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
async def test_each_of_many_requests_has_the_trace_of_its_own(
    strategy: str, credentials: int
) -> None:
    world = World(strategy, credentials)
    for _ in range(20):
        checked(await world.served())


async def test_what_was_unusual_is_in_the_trace_behind_usual_ones() -> None:
    world = World("simple")
    usual = checked(await world.served())
    asked = await world.served()
    asked.trimmed = 3
    assert read_trace(trace_of(asked) or "").trimmed == 3
    first = world.health.of(
        world.snapshot.upstreams["p"], world.snapshot.upstreams["p"].credentials[0], "m"
    )
    world.health.open_breaker(first, 60.0)
    asked = await world.served()
    (leg,) = read_trace(trace_of(asked) or "").legs
    assert [each.state for each in leg.candidates] == ["ready", "ready", "breaker_open"]
    world.health.close_breaker(first)
    assert checked(await world.served()) == usual


@pytest.mark.parametrize("credentials", [1, 2])
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
async def test_the_only_target_has_the_same_trace_each_time(
    strategy: str, credentials: int
) -> None:
    world = World(strategy, credentials, models=MODELS[:1])
    for _ in range(3):
        asked = await world.served()
        course = asked.course
        assert course is not None
        assert checked(asked) == _written(asked, course)
