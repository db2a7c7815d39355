"""What an explanation says is what happens, in a thousand worlds that chance made."""

from random import Random
from typing import Any

import pytest

from conduit.core.errors import ConduitError
from conduit.gateway.exchange import Exchange
from conduit.gateway.health.deployments import Effect
from conduit.gateway.health.registry import Health, Speed
from conduit.gateway.pricing import Rates
from conduit.gateway.provider import Operation
from conduit.gateway.routing.explain import Explainer, Supposed
from conduit.gateway.routing.ranks import Asked, rank
from conduit.gateway.routing.resolve import Question
from conduit.gateway.routing.strategies import STRATEGIES, Draw
from conduit.gateway.snapshot import AliasMapping, Credential, Fallback, Policy, Snapshot, Target
from conduit.gateway.stages.admit import cost_at
from conduit.gateway.stages.attempts import Attempts, RetryRules
from conduit.gateway.stages.resolve import Resolve
from tests.gateway.exchanges import DOLLAR, exchange, upstream

PROVIDERS = ("p", "q", "r")
MODELS = ("m", "n")


def price_of(overrides: object, provider: str, vendor: str | None, model: str) -> Rates | None:
    if model == "n" and provider == "r":
        return None
    price = DOLLAR * (1 + PROVIDERS.index(provider) + MODELS.index(model))
    return Rates(input=price, output=price, version="test", source="override")


Parts = tuple[list[Target], str, list[Fallback], Policy]
"""Of a mapping: targets, strategy, fallbacks, policy."""

Happened = list[tuple[str, int, str, Effect, int]]
"""Provider, credential, model, how its calls ended, and how many there were."""


def a_mapping(random: Random) -> Parts:
    targets = [
        Target(
            random.choice((*PROVIDERS, "gone")),
            random.choice(MODELS),
            random.randint(0, 2),
            random.randint(0, 3),
        )
        for _ in range(random.randint(1, 5))
    ]
    causes = random.choices(["error", "rate_limit"], k=random.randint(0, 2))
    policy = Policy(
        sticky=random.choice(["off", "user"]), breakers=random.choice([True, True, False])
    )
    fallbacks = [Fallback(cause, "other") for cause in causes]
    return targets, random.choice(sorted(STRATEGIES)), fallbacks, policy


def what_happened(random: Random) -> Happened:
    return [
        (
            random.choice(PROVIDERS),
            random.randint(0, 1),
            random.choice(MODELS),
            random.choice(list(Effect)),
            random.randint(1, 6),
        )
        for _ in range(random.randint(0, 12))
    ]


def world(own: Parts, other: Parts, count: int) -> Snapshot:
    upstreams = {
        name: upstream(
            name,
            enabled=name != "q" or count % 3 > 0,
            credentials=tuple(
                Credential(f"{name}{index}", f"{name}{index}", f"s{index}", weight=index + 1)
                for index in range(1 + count % 2)
            ),
        )
        for name in PROVIDERS
    }
    made = {
        alias: AliasMapping(alias, alias, strategy, tuple(own), tuple(fallbacks), 0, policy)
        for alias, (own, strategy, fallbacks, policy) in (("fast", own), ("other", other))
    }
    return Snapshot(1, upstreams, made, {})


def troubled(snapshot: Snapshot, happened: Happened) -> Health:
    health = Health(clock=lambda: 1000.0, draw=lambda: 0.5)
    for name, index, model, effect, times in happened:
        provider = snapshot.upstreams[name]
        credential = provider.credentials[index % len(provider.credentials)]
        deployment = health.of(provider, credential, model)
        for number in range(times):
            begun = health.begin(deployment, credential, is_retry=False)
            if number % 3 < 2:  # some of them are in flight still
                health.end(begun, effect, speed=Speed(10.0 * times, 5.0), error="x")
    return health


async def test_an_explanation_says_what_happens() -> None:
    for seed in range(1000):
        await one_world(seed)


async def one_world(seed: int) -> None:
    random = Random(seed)
    own, other, happened = a_mapping(random), a_mapping(random), what_happened(random)
    count = random.randint(0, 5)
    snapshot = world(own, other, count)
    health = troubled(snapshot, happened)
    asked = exchange(snapshot, user="ann")
    question = Question("fast", Operation.CHAT, must_be_priced=False)
    tokens = 1000
    legs = Explainer(snapshot, health, price_of).explain(
        Supposed(question, tokens=tokens, session="key_1/ann"), Draw(Random(seed).random, 0)
    )
    assert legs is not None
    real = await happens(snapshot, health, asked, seed)
    chosen = [leg.chosen for leg in legs if leg.chosen is not None]
    if isinstance(real, ConduitError):
        assert legs[0].chosen is None, seed
    elif legs[0].chosen is not None:
        assert real == legs[0].chosen, seed
    else:
        assert real in chosen, seed


async def happens(
    snapshot: Snapshot, health: Health, asked: Exchange, seed: int
) -> tuple[str, str] | ConduitError:
    """Where the request goes first, by the stages that serve requests."""
    resolve = Resolve(price_of, lambda exchange: None)
    attempts = Attempts(
        RetryRules(queue_s=0.0), health, resolve.decide, cost_at, draw=Random(seed).random
    )
    try:
        resolve(asked)
        attempt = await attempts(asked)
    except ConduitError as error:
        return error
    assert attempt is not None
    return attempt.candidate.upstream.name, attempt.candidate.model


def explained(own: Parts, **supposed: Any) -> tuple[str, str] | None:
    snapshot = world(own, own, 1)
    question = Question("fast", Operation.CHAT, must_be_priced=False)
    legs = Explainer(snapshot, Health(clock=lambda: 0.0), price_of).explain(
        Supposed(question, **supposed), Draw(lambda: 0.5, 0)
    )
    assert legs is not None
    return legs[0].chosen


def test_a_provider_taken_as_down_is_passed_over() -> None:
    own: Parts = ([Target("p", "m"), Target("r", "m")], "simple", [], Policy())
    assert explained(own) == ("p", "m")
    assert explained(own, down=frozenset({"p"})) == ("r", "m")
    assert explained(own, down=frozenset(PROVIDERS)) is None


def test_a_simulation_counts_first_places() -> None:
    own: Parts = ([Target("p", "m", weight=3), Target("r", "m")], "weighted", [], Policy())
    question = Question("fast", Operation.CHAT, must_be_priced=False)
    snapshot = world(own, own, 1)
    counts = Explainer(snapshot, Health(clock=lambda: 0.0), price_of).simulate(
        Supposed(question), 10_000, Random(3).random
    )
    assert counts is not None
    assert counts["p", "m"] / 10_000 == pytest.approx(0.75, abs=0.02)
    assert sum(counts.values()) == 10_000


def test_the_cheapest_is_chosen_by_the_prices_of_this_request() -> None:
    cheapest_last = [Target("r", "m"), Target("q", "m"), Target("p", "m")]
    own: Parts = (cheapest_last, "lowest-cost", [], Policy())
    assert explained(own) == ("p", "m")
    decision = Resolve(price_of, lambda exchange: None).decide(exchange(world(own, own, 1)), "fast")
    assert decision is not None
    ranked = rank(Health(), decision, Asked(lambda candidate: 1), Draw(lambda: 0.5, 0))
    assert [each.candidate.upstream.name for each in ranked] == ["r", "q", "p"]


def test_each_cause_is_shown_with_its_own_way() -> None:
    fallbacks = [Fallback("rate_limit", "other"), Fallback("timeout", "other")]
    own: Parts = ([Target("p", "m")], "simple", fallbacks, Policy())
    other: Parts = ([Target("r", "m")], "simple", [Fallback("timeout", "fast")], Policy())
    question = Question("fast", Operation.CHAT, must_be_priced=False)
    legs = Explainer(world(own, other, 1), Health(clock=lambda: 0.0), price_of).explain(
        Supposed(question), Draw(lambda: 0.5, 0)
    )
    assert legs is not None
    assert [(leg.alias, leg.because) for leg in legs] == [
        ("fast", None),
        ("other", "rate_limit"),
        ("other", "timeout"),
    ]
