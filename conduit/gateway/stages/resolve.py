"""Which targets may serve the request, and the row in which they are tried."""

from collections.abc import Callable
from dataclasses import replace

from conduit.core.errors import (
    ConduitError,
    ModelNotFoundError,
    NoTargetError,
    PermissionDeniedError,
    PriceUnknownError,
)
from conduit.core.limits import Limit
from conduit.gateway.config.snapshot import KeyGrant, Snapshot
from conduit.gateway.dialects.prompt import Prompt, surely_fits
from conduit.gateway.exchange import Decision, Exchange, WhyNot
from conduit.gateway.limits.limiter import Scope
from conduit.gateway.limits.scopes import gateway_scope, mapping_scope, narrowed
from conduit.gateway.pricing import UNPRICED
from conduit.gateway.pricing.cost import prices_grade
from conduit.gateway.pricing.unknown import FREE, UnknownPrice
from conduit.gateway.provider import Operation
from conduit.gateway.routing.allowed import may_use, who_may_not
from conduit.gateway.routing.fallbacks import cause_of_none, falls_back_on
from conduit.gateway.routing.lacking import able, lack_of, needs_of, refusal_of
from conduit.gateway.routing.resolve import PriceOf, Question, resolve
from conduit.gateway.routing.room import may_be_cut, room_in, widest_window, with_room

_DEARER_TIERS = frozenset({"priority", "fast"})
"""Grades of service that providers bill above the price of the model."""

_REMEMBERED_DECISIONS = 4096
_COME_AGAIN_S = 5.0
"""When an operator may have enabled a provider again."""


class Resolve:
    """Checks what the key may use and finds the candidates of the alias."""

    limits: tuple[Limit, ...] = ()
    """Those of the gateway, which every request is under; set before the first one."""

    def __init__(
        self,
        price_of: PriceOf,
        started: Callable[[Exchange], None],
        *,
        costs: bool = True,
        is_bounded: Callable[[str], bool] = lambda alias: False,
        unknown: UnknownPrice = FREE,
        unpriced: Callable[[str, str], None] = lambda provider, model: None,
    ) -> None:
        """`costs` is whether what is resolved has to be paid for, and `is_bounded` whether a hard
        budget that is not the key's covers the calls of an alias. `unpriced` hears of a provider
        and a model of which calls will be free, because their price is not known.
        """
        self._unknown = unknown if costs else FREE
        self._unpriced = unpriced
        self._costs = costs
        self._is_bounded = is_bounded
        self._price_of = price_of
        self._started = started
        self._snapshot: Snapshot | None = None
        self._decisions: dict[Question, Decision] = {}

    def __call__(self, exchange: Exchange) -> None:
        alias: str = exchange.call.model
        key = exchange.granted_key
        if not may_use(key, alias):
            raise PermissionDeniedError(
                f"{who_may_not(key, alias)} may not use the model {alias!r}", param="model"
            )
        decision = self.decide(exchange, alias)
        if decision is None:
            raise ModelNotFoundError(f"there is no model {alias!r}", param="model")
        exchange.decision = decision
        if decision.refusal is not None:
            raise decision.refusal
        if not decision.candidates and not _falls_back(decision):
            raise _nothing_left(decision)
        exchange.caching = decision.caching
        exchange.scopes = decision.scopes
        self._started(exchange)

    def decide(self, exchange: Exchange, alias: str) -> Decision | None:
        """The candidates of an alias for a request; None where nothing fits it."""
        key = exchange.granted_key
        must_be_priced = self._must_be_priced(key, exchange.call.model)
        question = Question(alias, exchange.operation, must_be_priced, key.allow_direct)
        decision = self._decide(exchange.snapshot, question)
        if decision is None:
            return None
        if must_be_priced and (tier := exchange.call.service_tier) in _DEARER_TIERS:
            graded = _of_known_grade(decision, str(tier))
            if decision.candidates and not graded.candidates:
                return replace(graded, refusal=_unknown_grade(str(tier)))
            decision = graded
        if not exchange.call.plain:  # which needs nothing but text
            needs = needs_of(exchange.call)
            left = able(decision, needs)
            if decision.candidates and not left.candidates:
                first = decision.candidates[0]
                lack = lack_of(needs, first)
                assert lack is not None, "none of them is able"
                return replace(left, refusal=refusal_of(lack, first))
            decision = left
        return _with_room(decision, exchange)

    def _must_be_priced(self, key: KeyGrant, alias: str) -> bool:
        """Whether a hard budget has to hold, which it cannot without a price."""
        return self._costs and (key.has_hard_budget or self._is_bounded(alias))

    def _decide(self, snapshot: Snapshot, question: Question) -> Decision | None:
        """The decision is the same for as long as the snapshot is, so it is made once."""
        if snapshot is not self._snapshot or len(self._decisions) >= _REMEMBERED_DECISIONS:
            self._snapshot = snapshot
            self._decisions = {}
        decision = self._decisions.get(question)
        if decision is None:
            decision = resolve(snapshot, question, self._price_of, self._unknown)
            if decision is not None:
                decision = replace(decision, scopes=self._scopes_of(decision, question.alias))
                self._decisions[question] = decision
                self._tell_unpriced(decision)
        return decision

    def _scopes_of(self, decision: Decision, model: str) -> tuple[Scope, ...]:
        """The alias and the gateway, with their limits that count for a model; none without any."""
        mapping = decision.mapping
        scopes = [gateway_scope(self.limits)]
        if mapping is not None:
            scopes.insert(0, mapping_scope(mapping.id, mapping.alias, mapping.limits))
        counting = [narrowed(each, model) for each in scopes]
        return tuple([each for each in counting if each.limits])

    def _tell_unpriced(self, decision: Decision) -> None:
        for each in decision.candidates:
            if each.rates is UNPRICED and self._costs:
                self._unpriced(each.upstream.name, each.model)


def _unknown_grade(tier: str) -> PriceUnknownError:
    return PriceUnknownError(
        f"the price of service_tier {tier!r} is not known, and a hard budget covers the call",
        hint=f"conduit prices set PROVIDER/MODEL … --service-tier {tier}=2",
        param="service_tier",
    )


def _of_known_grade(decision: Decision, tier: str) -> Decision:
    """The decision without the candidates that do not say what a dearer grade of service costs."""
    known = tuple(each for each in decision.candidates if prices_grade(each.rates, tier))
    if len(known) == len(decision.candidates):
        return decision
    left_out = [
        WhyNot(each.upstream.name, each.model, f"the price of service_tier {tier!r} is not known")
        for each in decision.candidates
        if each not in known
    ]
    return replace(decision, candidates=known, why_nots=(*decision.why_nots, *left_out))


def _with_room(decision: Decision, exchange: Exchange) -> Decision:
    """The decision without the candidates whose window is too small for the prompt.

    Where all are, it is another alias's matter, or the oldest turns are left out if the mapping
    says so, or else the provider has the word: the length is an estimate.
    """
    smallest = decision.smallest_window
    if smallest is None or exchange.operation is not Operation.CHAT:
        return decision
    answer = exchange.call.max_output_tokens or 0
    if surely_fits(exchange.call.units, smallest - answer):
        return decision
    prompt = exchange.prompt = exchange.prompt or Prompt(exchange.call)
    room = room_in(decision, prompt, answer)
    if all(room):
        return decision
    if any(room) or not may_be_cut(decision):
        return with_room(decision, room, prompt.tokens)
    trimmed = prompt.trimmed(widest_window(decision), answer)
    if trimmed is None or not trimmed.dropped:
        return decision
    exchange.call, exchange.trimmed = trimmed.call, trimmed.dropped
    prompt = exchange.prompt = Prompt(trimmed.call)
    return with_room(decision, room_in(decision, prompt, answer), prompt.tokens)


def _falls_back(decision: Decision) -> bool:
    return falls_back_on(decision, cause_of_none(decision, ()))


def _nothing_left(decision: Decision) -> ConduitError:
    reasons = "; ".join(f"{each.provider}: {each.reason}" for each in decision.why_nots)
    if decision.why_nots and all("no price" in each.reason for each in decision.why_nots):
        first = decision.why_nots[0]
        return PriceUnknownError(
            first.reason.replace("the model", f"the model {decision.alias!r}", 1),
            hint=f"conduit prices set {first.provider}/{first.model} --input … --output …",
            param="model",
        )
    return NoTargetError(
        f"no provider can serve the model {decision.alias!r} now ({reasons})",
        retry_after_s=_COME_AGAIN_S,
    )
