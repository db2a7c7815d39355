"""Why a request would go where it would go, with nothing sent.

The order is that of `ranks.rank`, by which real requests go, and so is the choice.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from conduit.gateway.exchange import Candidate, Decision, WhyNot
from conduit.gateway.health.facts import DeploymentFacts, facts_of
from conduit.gateway.health.registry import Health
from conduit.gateway.pricing.unknown import FREE, UnknownPrice
from conduit.gateway.routing.lacking import Needs, lack_of
from conduit.gateway.routing.ranks import Asked, places_of, rank
from conduit.gateway.routing.resolve import PriceOf, Question, resolve
from conduit.gateway.routing.strategies import NOMINAL_OUTPUT_TOKENS, Draw
from conduit.gateway.snapshot import Snapshot

_LONGEST_CHAIN: Final = 16


class Supposed(NamedTuple):
    """A request that is not sent: how long its prompt is, what it needs, and who is taken as down.

    `session` is what sticky routing would know it by.
    """

    question: Question
    needs: Needs = Needs()
    tokens: int = 1000
    down: frozenset[str] = frozenset()
    session: str | None = None


@dataclass(frozen=True, slots=True)
class ExplainedCandidate:
    """A target with all that speaks for and against it; `rank` 1 is tried first.

    `cost` is the most in nano-dollars that the request would cost there, None without a price.
    """

    provider: str
    model: str
    order: int
    weight: int
    rank: int | None
    score: float | None
    state: str
    reason: str | None
    cost: int | None
    deployments: Sequence[DeploymentFacts]


@dataclass(frozen=True, slots=True)
class ExplainedLeg:
    """An alias on the way: the one asked for, or one that it falls back to for a cause."""

    alias: str
    strategy: str
    sticky: str
    because: str | None
    chosen: tuple[str, str] | None
    candidates: Sequence[ExplainedCandidate]


class Explainer:
    """Asks the same parts that route real requests."""

    def __init__(
        self,
        snapshot: Snapshot,
        health: Health,
        price_of: PriceOf,
        unknown: UnknownPrice = FREE,
    ) -> None:
        self._unknown = unknown
        self._snapshot = snapshot
        self._health = health
        self._price_of = price_of

    def explain(self, supposed: Supposed, draw: Draw) -> list[ExplainedLeg] | None:
        """The alias and its fallbacks in the order in which they come; None where nothing fits."""
        decision = self._decide(supposed)
        if decision is None:
            return None
        legs = [self._leg(decision, supposed, draw, None)]
        ahead = list(decision.mapping.fallbacks) if decision.mapping is not None else []
        seen: set[tuple[str, str]] = set()
        while ahead and len(legs) < _LONGEST_CHAIN:
            fallback = ahead.pop(0)
            way = (fallback.on, fallback.alias)
            if way in seen or fallback.alias == decision.alias:
                continue
            seen.add(way)
            question = supposed.question._replace(alias=fallback.alias)
            next_one = self._decide(supposed._replace(question=question))
            if next_one is None:
                continue
            legs.append(self._leg(next_one, supposed, draw, fallback.on))
            if next_one.mapping is not None:
                ahead += [each for each in next_one.mapping.fallbacks if each.on == fallback.on]
        return legs

    def simulate(
        self, supposed: Supposed, count: int, random: Callable[[], float]
    ) -> dict[tuple[str, str], int] | None:
        """How often each target would be tried first, all being as it is now."""
        decision = self._decide(supposed)
        if decision is None:
            return None
        asked = self._asked(supposed)
        firsts: Counter[tuple[str, str]] = Counter()
        for turn in range(count):
            ranked = rank(self._health, decision, asked, Draw(random, turn))
            if ranked and ranked[0].blocked is None:
                candidate = ranked[0].candidate
                firsts[candidate.upstream.name, candidate.model] += 1
        names = [(each.upstream.name, each.model) for each in decision.candidates]
        return {name: firsts[name] for name in names}

    def _decide(self, supposed: Supposed) -> Decision | None:
        decision = resolve(self._snapshot, supposed.question, self._price_of, self._unknown)
        if decision is None:
            return None
        able: list[Candidate] = []
        why_nots = list(decision.why_nots)
        for candidate in decision.candidates:
            lack = lack_of(supposed.needs, candidate)
            if lack is None:
                able.append(candidate)
            else:
                reason = f"the model {lack.reason}"
                why_nots.append(WhyNot(candidate.upstream.name, candidate.model, reason))
        return Decision(decision.alias, tuple(able), tuple(why_nots), decision.mapping)

    def _asked(self, supposed: Supposed) -> Asked:
        def cost_of(candidate: Candidate) -> int | None:
            if candidate.rates.source == "none":
                return None
            return candidate.bound(supposed.tokens, NOMINAL_OUTPUT_TOKENS).whole

        return Asked(cost_of, supposed.session, supposed.down)

    def _leg(
        self, decision: Decision, supposed: Supposed, draw: Draw, because: str | None
    ) -> ExplainedLeg:
        asked = self._asked(supposed)
        ranked = rank(self._health, decision, asked, draw)
        first = ranked[0].candidate if ranked and ranked[0].blocked is None else None
        shown = []
        for number, each in enumerate(ranked, 1):
            blocked, candidate = each.blocked, each.candidate
            shown.append(
                self._candidate(
                    candidate,
                    asked.cost_of(candidate),
                    rank=number if blocked is None else None,
                    score=each.score if blocked is None else None,
                    state="ready" if blocked is None else blocked.state,
                    reason=None if blocked is None else blocked.reason,
                )
            )
        shown += map(_left_out, decision.why_nots)
        return ExplainedLeg(
            decision.alias,
            decision.strategy,
            decision.policy.sticky,
            because,
            None if first is None else (first.upstream.name, first.model),
            shown,
        )

    def _candidate(
        self,
        candidate: Candidate,
        cost: int | None,
        *,
        rank: int | None,
        score: float | None,
        state: str,
        reason: str | None,
    ) -> ExplainedCandidate:
        facts = [
            facts_of(self._health, each.deployment, each.credential)
            for each in places_of(self._health, candidate)
        ]
        return ExplainedCandidate(
            candidate.upstream.name,
            candidate.model,
            candidate.order,
            candidate.weight,
            rank,
            score,
            state,
            reason,
            cost,
            facts,
        )


def _left_out(why: WhyNot) -> ExplainedCandidate:
    return ExplainedCandidate(
        why.provider, why.model, 0, 0, None, None, "left_out", why.reason, None, ()
    )
