"""What an explanation says is what happens, in a thousand worlds that chance made."""

from collections import Counter
from itertools import pairwise, product
from random import Random
from typing import Any

import pytest

from conduit.core.errors import ConduitError
from conduit.core.policies import FALLBACK_CAUSES
from conduit.gateway.config.snapshot import AliasMapping, Fallback, Policy, Snapshot, Target
from conduit.gateway.exchange import Exchange, Leg
from conduit.gateway.health.registry import Health
from conduit.gateway.pricing import Rates
from conduit.gateway.provider import Operation
from conduit.gateway.routing.explain import (
    ExplainedLeg,
    Explainer,
    Explanation,
    Supposed,
    Way,
)
from conduit.gateway.routing.lacking import Needs
from conduit.gateway.routing.resolve import Question
from conduit.gateway.routing.rotation import Rotation
from conduit.gateway.stages.resolve import Resolve
from tests.conftest import SOAKING
from tests.gateway.exchanges import DOLLAR, exchange, upstream
from tests.gateway.routing.worlds import ALIASES, ERRORS, World, a_world

WORLDS = 1000 if SOAKING else 150


@pytest.mark.soak
async def test_an_explanation_says_what_happens() -> None:
    for seed in range(WORLDS):
        await first_call(a_world(seed), seed)


def test_the_worlds_have_what_makes_a_difference() -> None:
    seen: Counter[str] = Counter()
    for seed in range(WORLDS):
        world = a_world(seed)
        told = world.explainer().explain(world.supposed, Random(seed).random)
        assert told is not None
        chosen = told.chosen
        seen["by chance"] += told.by_chance
        seen["nowhere"] += chosen is None
        seen["elsewhere"] += chosen is not None and told.legs[0].chosen is None
        for leg in told.legs:
            seen.update(way.on for way in leg.because)
            seen["from another"] += any(way.alias != "fast" for way in leg.because)
            reasons = " ".join(each.reason or "" for each in leg.candidates)
            seen.update(words for words in DIFFERENCES if words in reasons)
    expected = {"by chance", "nowhere", "elsewhere", "from another", *DIFFERENCES, *FALLBACK_CAUSES}
    assert {words for words in expected if not seen[words]} == set()


DIFFERENCES = ("does not fit", "hard budget", "calls no tools", "takes no images", "breaker")


async def first_call(world: World, seed: int) -> None:
    explained = world.explainer().explain(world.supposed, Random(seed).random)
    assert explained is not None
    real = await world.reality(Random(seed).random).first(world.asked())
    asked_for = explained.legs[0]
    if isinstance(real, ConduitError):
        assert explained.chosen is None, (seed, real)
    elif asked_for.chosen is not None or not explained.by_chance:
        assert real == explained.chosen, seed
    else:
        taking = next(leg for leg in explained.legs if leg.chosen == explained.chosen)
        assert real in ready(taking), seed


def ready(leg: ExplainedLeg) -> list[tuple[str, str]]:
    return [(each.provider, each.model) for each in leg.candidates if each.rank is not None]


@pytest.mark.soak
async def test_chance_decides_where_it_is_said_to_and_nowhere_else() -> None:
    for seed in range(WORLDS // 2):
        world = a_world(seed)
        explained = world.explainer().explain(world.supposed, Random(seed).random)
        assert explained is not None
        draw = Random(seed).random
        seen = {str(await world.reality(draw).first(world.asked())) for _ in range(40)}
        assert (len(seen) > 1) == explained.by_chance, seed


@pytest.mark.soak
async def test_a_simulation_goes_on_from_the_turn_of_the_next_request() -> None:
    for seed in range(WORLDS // 2):
        world = a_world(seed)
        explained = world.explainer().explain(world.supposed, Random(seed).random)
        assert explained is not None
        if explained.by_chance:
            continue
        simulated = world.explainer().simulate(world.supposed, 7, Random(seed).random)
        assert simulated is not None
        reality = world.reality(Random(seed).random)
        real = [await reality.first(world.asked()) for _ in range(7)]
        firsts = Counter(each for each in real if not isinstance(each, ConduitError))
        assert Counter(simulated.counts) == firsts, seed  # a count of 0 is as none


@pytest.mark.soak
async def test_a_request_that_fails_goes_ways_that_are_told() -> None:
    """Each call fails for a cause of chance: the whole course, leg by leg."""
    for seed in range(WORLDS):
        world = a_world(seed)
        explained = world.explainer().explain(world.supposed, Random(seed).random)
        assert explained is not None
        random = Random(seed + 1)
        causes = [*ERRORS]
        asked = await world.reality(Random(seed).random).course(
            world.asked(),
            lambda asked: random.choice(causes),  # noqa: B023  # used at once
        )
        check_course(explained, asked, seed)


def check_course(explained: Explanation, asked: Exchange, seed: int) -> None:
    legs = [] if asked.course is None else asked.course.legs
    told = {leg.alias: leg for leg in explained.legs}
    for before, leg in zip([None, *legs], legs, strict=False):
        shown = told[leg.decision.alias]
        if before is not None:
            assert leg.because is not None
            assert Way(before.decision.alias, leg.because) in shown.because, seed
        check_leg(shown, leg, seed)


def check_leg(shown: ExplainedLeg, leg: Leg, seed: int) -> None:
    """The same targets are ready, in the same order but for chance, and the same are left out."""
    real = [
        (each.candidate.upstream.name, each.candidate.model)
        for each in leg.ranked
        if each.blocked is None
    ]
    assert sorted(ready(shown)) == sorted(real), seed
    if real and not shown.by_chance:
        assert shown.chosen == real[0], seed
    left_out = [
        (each.provider, each.model, each.reason)
        for each in shown.candidates
        if each.state == "left_out"
    ]
    assert [words[:2] for words in left_out] == [
        (each.provider, each.model) for each in leg.decision.why_nots
    ], seed


@pytest.mark.soak
async def test_every_way_that_is_told_is_one_that_requests_may_go() -> None:
    for seed in range(WORLDS // 5):
        # With a second credential, a call that was refused for its own may be made again and again.
        world = a_world(seed, credentials=1)
        world.max_attempts = 50  # so that each alias is given up, for each cause
        explained = world.explainer().explain(world.supposed, Random(seed).random)
        assert explained is not None
        real = set()
        for causes in product(FALLBACK_CAUSES, repeat=len(ALIASES) - 1):
            real |= await ways(world, (*causes, ""), seed)
        told = {(way, leg.alias) for leg in explained.legs for way in leg.because}
        assert told == real, seed


async def ways(world: World, causes: tuple[str, ...], seed: int) -> set[tuple[Way, str]]:
    """Those of one request, each of whose aliases fails for a cause of its own."""

    def cause(asked: Exchange) -> str:
        assert asked.course is not None
        return causes[len(asked.course.legs) - 1]

    asked = await world.reality(Random(seed).random).course(world.asked(), cause)
    legs = [] if asked.course is None else asked.course.legs
    return {
        (Way(before.decision.alias, str(leg.because)), leg.decision.alias)
        for before, leg in pairwise(legs)
    }


# One thing at a time.

USUAL = Policy()


def price_of(overrides: object, provider: str, vendor: str | None, model: str) -> Rates | None:
    """At `p` the prompt is cheap and the answer dear, at `q` the other way round."""
    prices = {"p": (1, 20), "q": (5, 5), "r": (9, 9)}
    if provider not in prices:
        return None
    price, price_of_answer = prices[provider]
    return Rates(
        input=price * DOLLAR, output=price_of_answer * DOLLAR, version="test", source="override"
    )


def mapping(
    alias: str, *targets: Target, strategy: str = "simple", policy: Policy = USUAL, **on: str
) -> AliasMapping:
    """`on` is to which alias it falls back, by cause."""
    fallbacks = tuple(Fallback(cause, other) for cause, other in on.items())
    return AliasMapping(alias, alias, strategy, targets, fallbacks, 0, policy)


def explainer(*mappings: AliasMapping, **options: Any) -> Explainer:
    upstreams = {name: upstream(name) for name in ("p", "q", "r", "unpriced")}
    snapshot = Snapshot(1, upstreams, {each.alias: each for each in mappings}, {})
    return Explainer(snapshot, Health(clock=lambda: 0.0), price_of, **options)


def supposed(**fields: Any) -> Supposed:
    return Supposed(Question("fast", Operation.CHAT, must_be_priced=False))._replace(**fields)


def explained(asked: Explainer, **fields: Any) -> Explanation:
    answer = asked.explain(supposed(**fields), lambda: 0.5)
    assert answer is not None
    return answer


P, Q, R = Target("p", "m"), Target("q", "m"), Target("r", "m")


def test_a_provider_taken_as_down_is_passed_over() -> None:
    asked = explainer(mapping("fast", P, R))
    assert explained(asked).chosen == ("p", "m")
    assert explained(asked, down=frozenset({"p"})).chosen == ("r", "m")
    assert explained(asked, down=frozenset({"p", "r"})).chosen is None


def test_a_simulation_counts_first_places() -> None:
    asked = explainer(mapping("fast", Target("p", "m", weight=3), R, strategy="weighted"))
    simulated = asked.simulate(supposed(), 10_000, Random(3).random)
    assert simulated is not None
    assert simulated.counts["p", "m"] / 10_000 == pytest.approx(0.75, abs=0.02)
    assert sum(simulated.counts.values()) == 10_000


def test_a_simulation_follows_a_request_that_its_own_alias_does_not_take() -> None:
    asked = explainer(
        mapping("fast", P, error="other"), mapping("other", Q, R, strategy="round-robin")
    )
    simulated = asked.simulate(supposed(down=frozenset({"p"})), 10, lambda: 0.5)
    assert simulated is not None
    assert simulated.strategy == "round-robin"
    assert simulated.counts == {("p", "m"): 0, ("q", "m"): 5, ("r", "m"): 5}


def test_a_prompt_that_does_not_fit_leaves_a_target_out() -> None:
    small = Target("p", "m", capabilities={"context_tokens": 1000})
    large = Target("q", "m", order=1, capabilities={"context_tokens": 100_000})
    asked = explainer(mapping("fast", small, large))
    answer = explained(asked, tokens=5000)
    assert answer.chosen == ("q", "m")
    left_out = answer.legs[0].candidates[-1]
    assert (left_out.provider, left_out.state) == ("p", "left_out")
    assert left_out.reason == "the prompt of about 5000 tokens does not fit its 1000"
    assert explained(asked, tokens=900).chosen == ("p", "m")
    assert explained(asked, tokens=900, max_tokens=200).chosen == ("q", "m")
    simulated = asked.simulate(supposed(tokens=5000), 10, lambda: 0.5)
    assert simulated is not None
    assert simulated.counts == {("q", "m"): 10}


def test_a_prompt_that_fits_nowhere_goes_on_as_it_would() -> None:
    small = Target("p", "m", capabilities={"context_tokens": 1000})
    elsewhere = explainer(
        mapping("fast", small, error="third", context_window="other"),
        mapping("other", Q),
        mapping("third", R),
    )
    answer = explained(elsewhere, tokens=5000)
    assert answer.chosen == ("q", "m")
    assert [(leg.alias, leg.because) for leg in answer.legs] == [
        ("fast", []),
        ("other", [Way("fast", "context_window")]),
    ]
    provider_decides = explainer(mapping("fast", small))
    assert explained(provider_decides, tokens=5000).chosen == ("p", "m")


def test_a_prompt_that_would_lose_its_oldest_turns_is_said_to() -> None:
    policy = Policy(long_context="drop_oldest")
    targets = [
        Target(name, "m", capabilities={"context_tokens": window})
        for name, window in (("p", 1000), ("q", 2000))
    ]
    asked = explainer(mapping("fast", *targets, policy=policy, strategy="lowest-cost"))
    answer = explained(asked, tokens=5000, max_tokens=100)
    assert (answer.chosen, answer.legs[0].cuts) == (("q", "m"), True)
    assert answer.legs[0].candidates[0].cost == (1900 * 5 + 100 * 5) * 1000
    assert explained(asked, tokens=500).legs[0].cuts is False


def test_the_cheapest_is_chosen_by_the_prices_of_this_request() -> None:
    asked = explainer(mapping("fast", Q, P, strategy="lowest-cost"))
    assert explained(asked, tokens=10_000).chosen == ("p", "m")
    assert explained(asked, tokens=10_000, max_tokens=10_000).chosen == ("q", "m")
    own_cap = Target("p", "m", params={"max_tokens": 10})
    capped = explainer(mapping("fast", Q, own_cap, strategy="lowest-cost"))
    assert explained(capped, tokens=10_000, max_tokens=10_000).chosen == ("p", "m")


def test_a_prompt_costs_no_more_than_a_model_takes_in() -> None:
    small = Rates(DOLLAR, DOLLAR, context_tokens=300, version="test", source="override")
    snapshot = Snapshot(1, {"p": upstream("p")}, {"fast": mapping("fast", P)}, {})
    asked = Explainer(snapshot, Health(), lambda *names: small)
    answer = explained(asked, tokens=5000, max_tokens=100)
    assert (answer.chosen, answer.legs[0].candidates[0].cost) == (("p", "m"), 400_000)


def test_turns_are_looked_at_and_not_taken() -> None:
    rotation = Rotation()
    fast = mapping("fast", P, Q, R, strategy="round-robin")
    asked = [explainer(fast, rotation=rotation) for _ in range(2)]
    assert [explained(each).chosen for each in asked] == [("p", "m")] * 2
    decision = Resolve(price_of, lambda exchange: None).decide(
        exchange(Snapshot(1, {}, {"fast": fast}, {})), "fast"
    )
    assert decision is not None
    assert rotation.take(decision) == 0
    answer = explained(explainer(fast, rotation=rotation))
    assert (answer.chosen, answer.by_chance) == (("q", "m"), False)
    simulated = explainer(fast, rotation=rotation).simulate(supposed(), 4, lambda: 0.5)
    assert simulated is not None
    assert simulated.counts == {("p", "m"): 1, ("q", "m"): 2, ("r", "m"): 1}


@pytest.mark.parametrize("strategy", ["least-used", "lowest-latency", "random", "weighted"])
def test_a_tie_is_said_to_be_broken_by_chance(strategy: str) -> None:
    asked = explainer(mapping("fast", P, Q, strategy=strategy))
    assert explained(asked).by_chance is True
    assert explained(asked, down=frozenset({"p"})).by_chance is False
    alone = explainer(mapping("fast", P, Target("q", "m", order=1), strategy=strategy))
    assert explained(alone).by_chance is False
    sticky = mapping("fast", P, Q, strategy=strategy, policy=Policy(sticky="user"))
    assert explained(explainer(sticky)).by_chance is True
    assert explained(explainer(sticky), session="ann").by_chance is False
    assert explained(asked, session="ann").by_chance is True  # it is not sticky


def test_chance_in_an_alias_that_is_fallen_back_to_is_told() -> None:
    asked = explainer(mapping("fast", P, error="other"), mapping("other", Q, R, strategy="random"))
    assert explained(asked).by_chance is False
    assert explained(asked, down=frozenset({"p"})).by_chance is True


def test_each_alias_goes_on_for_the_cause_of_its_own_failure() -> None:
    asked = explainer(
        mapping("fast", P, error="other", timeout="other"),
        mapping("other", Q, rate_limit="third", error="fast"),
        mapping("third", R, timeout="fast"),
    )
    answer = explained(asked)
    assert [(leg.alias, leg.because) for leg in answer.legs] == [
        ("fast", []),
        ("other", [Way("fast", "error"), Way("fast", "timeout")]),
        ("third", [Way("other", "rate_limit")]),
    ]
    # An alias that takes no call hands the request on for the cause for which it came.
    answer = explained(asked, down=frozenset({"q"}))
    assert [leg.alias for leg in answer.legs] == ["fast", "other"]
    assert answer.chosen == ("p", "m")


def test_no_more_aliases_are_told_than_a_request_may_call() -> None:
    chain = [
        mapping("fast", P, error="other"),
        mapping("other", Q, error="third"),
        mapping("third", R),
    ]
    answer = explained(explainer(*chain, max_attempts=2))
    assert [leg.alias for leg in answer.legs] == ["fast", "other"]
    answer = explained(explainer(*chain, max_attempts=2), down=frozenset({"q"}))
    assert [leg.alias for leg in answer.legs] == ["fast", "other", "third"]


def test_what_nobody_can_do_is_refused_and_not_handed_on() -> None:
    blind = Target("p", "m", capabilities={"vision": False})
    asked = explainer(mapping("fast", blind, error="other"), mapping("other", Q))
    answer = explained(asked, needs=Needs(vision="caps"))
    assert (answer.chosen, [leg.alias for leg in answer.legs]) == (None, ["fast"])
    assert explained(asked).chosen == ("p", "m")


def test_an_alias_that_can_do_nothing_for_the_request_is_passed_over() -> None:
    blind = Target("q", "m", capabilities={"vision": False})
    fast = AliasMapping(
        "fast", "fast", "simple", (P,), (Fallback("error", "other"), Fallback("error", "third")), 0
    )
    asked = explainer(fast, mapping("other", blind), mapping("third", R))
    answer = explained(asked, needs=Needs(vision="caps"))
    assert [leg.alias for leg in answer.legs] == ["fast", "third"]
