"""Which targets may serve the request, and the row in which they are tried."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from conduit.core.errors import (
    ConduitError,
    ModelNotFoundError,
    NoTargetError,
    PermissionDeniedError,
    PriceUnknownError,
)
from conduit.core.limits import Limit
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.prompt import Prompt, surely_fits
from conduit.gateway.exchange import Decision, Exchange, WhyNot
from conduit.gateway.limits.limiter import Scope
from conduit.gateway.limits.scopes import gateway_scope, mapping_scope
from conduit.gateway.pricing import UNPRICED
from conduit.gateway.pricing.cost import prices_grade
from conduit.gateway.pricing.unknown import FREE, UnknownPrice
from conduit.gateway.provider import Operation
from conduit.gateway.routing.allowed import may_use, who_may_not
from conduit.gateway.routing.lacking import lack_of, needs_of, refusal_of
from conduit.gateway.routing.resolve import PriceOf, Question, resolve
from conduit.gateway.snapshot import KeyGrant, Snapshot

_DEARER_TIERS = frozenset({"priority", "fast"})
"""Grades of service that providers bill above the price of the model."""

_REMEMBERED_DECISIONS = 4096
_TOO_LONG = "context_window"


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
        if not decision.candidates and not _falls_back(decision):
            raise _nothing_left(decision)
        exchange.decision = decision
        exchange.caching = decision.caching
        exchange.scopes = decision.scopes
        self._started(exchange)

    def decide(self, exchange: Exchange, alias: str) -> Decision | None:
        """The candidates of an alias for a request; None where nothing fits it.

        Raises UnsupportedParameterError where none of them can do what the request needs.
        """
        key = exchange.granted_key
        must_be_priced = self._must_be_priced(key, exchange.call.model)
        question = Question(alias, exchange.operation, must_be_priced, key.allow_direct)
        decision = self._decide(exchange.snapshot, question)
        if decision is None:
            return None
        if must_be_priced and (tier := exchange.call.service_tier) in _DEARER_TIERS:
            decision = _of_known_grade(decision, str(tier))
        if not exchange.call.plain:  # which needs nothing but text
            decision = _able(decision, exchange.call)
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
                decision = replace(decision, scopes=self._scopes_of(decision))
                self._decisions[question] = decision
                self._tell_unpriced(decision)
        return decision

    def _scopes_of(self, decision: Decision) -> tuple[Scope, ...]:
        mapping, gateway = decision.mapping, self.limits
        scopes = []
        if mapping is not None and mapping.limits:
            scopes.append(mapping_scope(mapping.id, mapping.alias, mapping.limits))
        return (*scopes, gateway_scope(gateway)) if gateway else tuple(scopes)

    def _tell_unpriced(self, decision: Decision) -> None:
        for each in decision.candidates:
            if each.rates is UNPRICED and self._costs:
                self._unpriced(each.upstream.name, each.model)


def _of_known_grade(decision: Decision, tier: str) -> Decision:
    """The decision without the candidates that do not say what a dearer grade of service costs.

    Raises PriceUnknownError where none does.
    """
    known = tuple(each for each in decision.candidates if prices_grade(each.rates, tier))
    if len(known) == len(decision.candidates):
        return decision
    if not known:
        raise PriceUnknownError(
            f"the price of service_tier {tier!r} is not known, and a hard budget covers the call",
            hint=f"conduit prices set PROVIDER/MODEL … --service-tier {tier}=2",
            param="service_tier",
        )
    left_out = [
        WhyNot(each.upstream.name, each.model, f"the price of service_tier {tier!r} is not known")
        for each in decision.candidates
        if each not in known
    ]
    return replace(decision, candidates=known, why_nots=(*decision.why_nots, *left_out))


def _able(decision: Decision, call: ClientCall) -> Decision:
    """The decision without the candidates that surely lack what the call needs.

    Raises UnsupportedParameterError where none is left, naming what the first one lacks.
    """
    needs = needs_of(call)
    lacks = [(each, lack_of(needs, each)) for each in decision.candidates]
    if all(lack is None for _, lack in lacks):
        return decision
    able = tuple(candidate for candidate, lack in lacks if lack is None)
    why_nots = [
        WhyNot(candidate.upstream.name, candidate.model, f"the model {lack.reason}")
        for candidate, lack in lacks
        if lack is not None
    ]
    if not able:
        candidate, lack = lacks[0]
        assert lack is not None, "none of them is able"
        raise refusal_of(lack, candidate)
    return replace(decision, candidates=able, why_nots=(*decision.why_nots, *why_nots))


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
    windows = [each.can.context_tokens for each in decision.candidates]
    room = [prompt.fits(window, answer) for window in windows]
    if all(room):
        return decision
    if any(room):
        return _only_with_room(decision, room, prompt)
    mapping = decision.mapping
    if mapping is not None and any(each.on == _TOO_LONG for each in mapping.fallbacks):
        return replace(_only_with_room(decision, room, prompt), too_long=True)
    if decision.policy.long_context != "drop_oldest":
        return decision
    trimmed = prompt.trimmed(max(window or 0 for window in windows), answer)
    if trimmed is None or not trimmed.dropped:
        return decision
    exchange.call, exchange.trimmed = trimmed.call, trimmed.dropped
    prompt = exchange.prompt = Prompt(trimmed.call)
    room = [prompt.fits(window, answer) for window in windows]
    return _only_with_room(decision, room, prompt) if any(room) else decision


def _only_with_room(decision: Decision, room: Sequence[bool], prompt: Prompt) -> Decision:
    pairs = list(zip(decision.candidates, room, strict=True))
    why_nots = [
        WhyNot(
            each.upstream.name,
            each.model,
            f"the prompt of about {prompt.tokens} tokens does not fit its "
            f"{each.can.context_tokens}",
        )
        for each, fits in pairs
        if not fits
    ]
    return replace(
        decision,
        candidates=tuple(each for each, fits in pairs if fits),
        why_nots=(*decision.why_nots, *why_nots),
    )


def _falls_back(decision: Decision) -> bool:
    mapping = decision.mapping
    cause = _TOO_LONG if decision.too_long else "error"
    return mapping is not None and any(each.on == cause for each in mapping.fallbacks)


def _nothing_left(decision: Decision) -> ConduitError:
    reasons = "; ".join(f"{each.provider}: {each.reason}" for each in decision.why_nots)
    if decision.why_nots and all("no price" in each.reason for each in decision.why_nots):
        first = decision.why_nots[0]
        return PriceUnknownError(
            first.reason.replace("the model", f"the model {decision.alias!r}", 1),
            hint=f"conduit prices set {first.provider}/{first.model} --input … --output …",
            param="model",
        )
    return NoTargetError(f"no provider can serve the model {decision.alias!r} now ({reasons})")
