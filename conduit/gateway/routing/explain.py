"""Why a request would go where it would go, with nothing sent.

What is left out, the order, the turn and the way from one alias to the next all come from what real
requests go by: `resolve`, `able`, `with_room`, `rank`, `Rotation` and `next_alias`.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from msgspec import structs

from conduit.gateway.capabilities import Capabilities
from conduit.gateway.config.snapshot import Snapshot
from conduit.gateway.dialects.openai.wire import cap_among
from conduit.gateway.exchange import Candidate, Decision, Ranked, WhyNot
from conduit.gateway.health.facts import DeploymentFacts, facts_of
from conduit.gateway.health.registry import Health
from conduit.gateway.pricing.unknown import FREE, UnknownPrice
from conduit.gateway.provider import Operation
from conduit.gateway.routing.costs import cost_to_compare, most_input_tokens
from conduit.gateway.routing.fallbacks import cause_of_none, next_alias
from conduit.gateway.routing.lacking import Needs, able
from conduit.gateway.routing.ranks import Asked, places_of, rank
from conduit.gateway.routing.resolve import PriceOf, Question, resolve
from conduit.gateway.routing.room import may_be_cut, room_in, widest_window, with_room
from conduit.gateway.routing.rotation import Rotation
from conduit.gateway.routing.strategies import TIE_BREAK, Draw

_MOST_WAYS: Final = 1000
"""After so many the mappings are a maze, and what lies further off is not told."""


class Supposed(NamedTuple):
    """A request that is not sent: how long its prompt is, what it needs, and who is taken as down.

    `max_tokens` is the limit that it sets to its answer, and `session` what sticky routing would
    know it by.
    """

    question: Question
    needs: Needs = Needs()
    tokens: int = 1000
    down: frozenset[str] = frozenset()
    session: str | None = None
    max_tokens: int | None = None

    def fits(self, context_tokens: int | None, output_tokens: int = 0) -> bool:
        """Whether a window takes the prompt beside an answer of that length."""
        return context_tokens is None or self.tokens <= context_tokens - output_tokens


@dataclass(frozen=True, slots=True)
class ExplainedCandidate:
    """A target with all that speaks for and against it; `rank` 1 is tried first.

    `cost` is the most in nano-dollars that the request would cost there, None without a price.
    `can` is what the model can do there, None of a target that is left out.
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
    can: Capabilities | None = None


class Way(NamedTuple):
    """How an alias is come to: from which one, and for which cause."""

    alias: str
    on: str


@dataclass(frozen=True, slots=True)
class ExplainedLeg:
    """The alias that is asked for, or one that the request may fall back to.

    `because` is every way to it, of none for the one asked for. With `by_chance`, chance decides
    which target is `chosen`. `cuts` is whether the oldest turns of the prompt would be left out.
    """

    alias: str
    strategy: str
    sticky: str
    because: Sequence[Way]
    chosen: tuple[str, str] | None
    by_chance: bool
    cuts: bool
    candidates: Sequence[ExplainedCandidate]


@dataclass(frozen=True, slots=True)
class Explanation:
    """`chosen` is where the request would go first, None where nothing takes it now."""

    legs: Sequence[ExplainedLeg]
    chosen: tuple[str, str] | None
    by_chance: bool


@dataclass(frozen=True, slots=True)
class Simulation:
    """How often each target would be tried first; `strategy` is of the alias that they are of."""

    strategy: str
    counts: dict[tuple[str, str], int]


class _Found(NamedTuple):
    """What routing makes of an alias; `supposed` is the request as it goes on from there.

    `ranked` is as if chance gave all the same, `draws` whether the strategy asks it at all. With
    `refuses` no candidate can do what the request needs, so that it ends there.
    """

    decision: Decision
    supposed: Supposed
    ranked: Sequence[Ranked]
    draws: bool
    refuses: bool
    cuts: bool

    @property
    def alias(self) -> str:
        return self.decision.alias

    @property
    def takes(self) -> bool:
        """Whether some candidate takes a call now."""
        return bool(self.ranked) and self.ranked[0].blocked is None

    @property
    def by_chance(self) -> bool:
        """Whether chance decides which target is first."""
        return self.draws and self.takes and _is_open(self.ranked)


class _Step(NamedTuple):
    """A request on its way: the alias it is at, those it was at, and why it came.

    `calls` counts those that have failed by then, each of another alias.
    """

    found: _Found
    taken: frozenset[str]
    cause: str = ""
    calls: int = 0


class Explainer:
    """Asks the same parts that route real requests; for one question."""

    def __init__(
        self,
        snapshot: Snapshot,
        health: Health,
        price_of: PriceOf,
        unknown: UnknownPrice = FREE,
        *,
        rotation: Rotation | None = None,
        max_attempts: int = 3,
    ) -> None:
        """`rotation` is that of real requests, `max_attempts` how many calls one may make."""
        self._unknown = unknown
        self._snapshot = snapshot
        self._health = health
        self._price_of = price_of
        self._rotation = Rotation() if rotation is None else rotation
        self._max_attempts = max_attempts
        self._found: dict[Supposed, _Found | None] = {}

    def explain(self, supposed: Supposed, random: Callable[[], float]) -> Explanation | None:
        """The alias and those it may fall back to, the nearest first; None where nothing fits."""
        course = self._course(supposed)
        if not course:
            return None
        ways: dict[str, dict[Way, None]] = {course[0].alias: {}}
        founds: dict[str, _Found] = {course[0].alias: course[0]}
        for way, found in self._reachable(course[0]):
            founds.setdefault(found.alias, found)
            ways.setdefault(found.alias, {})[way] = None
        legs = {
            alias: self._leg(found, random, list(ways[alias])) for alias, found in founds.items()
        }
        last = legs[course[-1].alias]
        return Explanation(list(legs.values()), last.chosen, last.by_chance)

    def simulate(
        self, supposed: Supposed, count: int, random: Callable[[], float]
    ) -> Simulation | None:
        """Where so many requests would go first, one after another and all being as it is now."""
        course = self._course(supposed)
        if not course:
            return None
        last = course[-1]
        decision = last.decision
        firsts: Counter[tuple[str, str]] = Counter()
        if last.takes:
            asked, turn = _asked(last.supposed), self._rotation.upcoming(decision)
            for number in range(count):
                ranked = rank(self._health, decision, asked, Draw(random, turn + number))
                if ranked[0].blocked is None:
                    firsts[_target(ranked[0].candidate)] += 1
        targets = [_target(each) for found in course for each in found.decision.candidates]
        return Simulation(decision.strategy, {target: firsts[target] for target in targets})

    def _course(self, supposed: Supposed) -> list[_Found]:
        """The aliases that the request passes before anything is sent; the last one takes it, if
        any does."""
        course: list[_Found] = []
        found, cause = self._find(supposed), ""
        while found is not None:
            course.append(found)
            if found.refuses or found.takes:
                break
            cause = cause or cause_of_none(found.decision, found.ranked)
            found = self._fallback(found, cause, {each.alias for each in course})
        return course

    def _reachable(self, first: _Found) -> Iterator[tuple[Way, _Found]]:
        """Every way to another alias, as requests may come to fail, the shortest first."""
        ahead = deque([_Step(first, frozenset((first.alias,)))])
        seen: set[tuple[str, frozenset[str], str, int]] = set()
        while ahead and len(seen) < _MOST_WAYS:
            step = ahead.popleft()
            calls = step.calls + step.found.takes
            if calls >= self._max_attempts:
                continue
            for cause in _causes(step):
                found = self._fallback(step.found, cause, step.taken)
                if found is None:
                    continue
                yield Way(step.found.alias, cause), found
                # Why a request came to an alias that takes it does not count any more.
                why = "" if found.takes else cause
                following = _Step(found, step.taken | {found.alias}, why, calls)
                state = (found.alias, following.taken, why, calls)
                if state not in seen:
                    seen.add(state)
                    ahead.append(following)

    def _fallback(
        self, found: _Found, cause: str, taken: frozenset[str] | set[str]
    ) -> _Found | None:
        """One that can do nothing for the request is passed over, as by a request."""
        taken = set(taken)
        while (alias := next_alias(found.decision.mapping, cause, taken)) is not None:
            question = structs.replace(found.supposed.question, alias=alias)
            other = self._find(found.supposed._replace(question=question))
            if other is not None and not other.refuses:
                return other
            taken.add(alias)
        return None

    def _find(self, supposed: Supposed) -> _Found | None:
        if supposed not in self._found:
            self._found[supposed] = self._looked_up(supposed)
        return self._found[supposed]

    def _looked_up(self, supposed: Supposed) -> _Found | None:
        decision = resolve(self._snapshot, supposed.question, self._price_of, self._unknown)
        if decision is None:
            return None
        left = able(decision, supposed.needs)
        refuses = bool(decision.candidates) and not left.candidates
        fitted, cut = _fitted(left, supposed)
        draws = False

        def the_same() -> float:
            nonlocal draws
            draws = True
            return 0.0

        ranked = self._ranked(fitted, cut, the_same)
        return _Found(fitted, cut, ranked, draws, refuses, cuts=cut is not supposed)

    def _ranked(
        self, decision: Decision, supposed: Supposed, random: Callable[[], float]
    ) -> list[Ranked]:
        turn = self._rotation.upcoming(decision)
        return rank(self._health, decision, _asked(supposed), Draw(random, turn))

    def _leg(
        self, found: _Found, random: Callable[[], float], because: Sequence[Way]
    ) -> ExplainedLeg:
        decision, cost_of = found.decision, _asked(found.supposed).cost_of
        ranked = found.ranked
        if found.draws:
            ranked = self._ranked(decision, found.supposed, random)
        first = ranked[0].candidate if ranked and ranked[0].blocked is None else None
        shown = []
        for number, each in enumerate(ranked, 1):
            blocked, candidate = each.blocked, each.candidate
            shown.append(
                self._candidate(
                    candidate,
                    cost_of(candidate),
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
            None if first is None else _target(first),
            found.by_chance,
            found.cuts,
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
            candidate.can,
        )


def _causes(step: _Step) -> list[str]:
    """For which causes a request may go on: for that of its call, if it has made one there."""
    found, mapping = step.found, step.found.decision.mapping
    if found.refuses or mapping is None:
        return []
    if found.takes:
        return list(dict.fromkeys(each.on for each in mapping.fallbacks))
    return [step.cause or cause_of_none(found.decision, found.ranked)]


def _fitted(decision: Decision, supposed: Supposed) -> tuple[Decision, Supposed]:
    """The candidates that have room for the prompt, and the prompt itself.

    Where that would lose its oldest turns, it is taken to have enough of them.
    """
    if supposed.question.operation is not Operation.CHAT:
        return decision, supposed
    answer = supposed.max_tokens or 0
    room = room_in(decision, supposed, answer)
    left = widest_window(decision) - answer
    if decision.candidates and not any(room) and may_be_cut(decision) and left > 0:
        supposed = supposed._replace(tokens=left)
        room = room_in(decision, supposed, answer)
    return with_room(decision, room, supposed.tokens), supposed


def _asked(supposed: Supposed) -> Asked:
    def cost_of(candidate: Candidate) -> int | None:
        operation = supposed.question.operation
        tokens = most_input_tokens(supposed.tokens, candidate, operation)
        cap = cap_among(candidate.params, {"max_tokens": supposed.max_tokens}.get)
        return cost_to_compare(candidate, tokens, cap)

    return Asked(cost_of, supposed.session, supposed.down)


def _is_open(ranked: Sequence[Ranked]) -> bool:
    """Whether chance decides which target is first of those that are ranked without it."""
    first = ranked[0]
    equals = {
        each.candidate.name
        for each in ranked
        if each.blocked is None
        and _tier(each.candidate) == _tier(first.candidate)
        and each.score < first.score + TIE_BREAK
    }
    return len(equals) > 1


def _tier(candidate: Candidate) -> tuple[int, bool]:
    return candidate.order, candidate.weight == 0


def _target(candidate: Candidate) -> tuple[str, str]:
    return candidate.upstream.name, candidate.model


def _left_out(why: WhyNot) -> ExplainedCandidate:
    return ExplainedCandidate(
        why.provider, why.model, 0, 0, None, None, "left_out", why.reason, None, ()
    )
