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
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.exchange import Decision, Exchange, WhyNot
from conduit.gateway.routing.allowed import may_use
from conduit.gateway.routing.lacking import lack_of, needs_of, refusal_of
from conduit.gateway.routing.resolve import PriceOf, Question, resolve
from conduit.gateway.snapshot import Snapshot

_DEARER_TIERS = frozenset({"priority", "fast"})
"""Grades of service that providers bill above the price of the model."""

_REMEMBERED_DECISIONS = 4096


class Resolve:
    """Checks what the key may use and finds the candidates of the alias."""

    def __init__(
        self, price_of: PriceOf, started: Callable[[Exchange], None], *, costs: bool = True
    ) -> None:
        """`costs` is whether what is resolved has to be paid for."""
        self._costs = costs
        self._price_of = price_of
        self._started = started
        self._snapshot: Snapshot | None = None
        self._decisions: dict[Question, Decision] = {}

    def __call__(self, exchange: Exchange) -> None:
        alias: str = exchange.call.model
        key = exchange.granted_key
        if not may_use(key, alias):
            raise PermissionDeniedError(
                f"the key {key.name!r} may not use the model {alias!r}", param="model"
            )
        must_be_priced = key.has_hard_budget and self._costs
        if must_be_priced and exchange.call.service_tier in _DEARER_TIERS:
            raise PriceUnknownError(
                f"the price of service_tier {exchange.call.service_tier!r} is not known, "
                "and the key has a hard budget",
                param="service_tier",
            )
        decision = self.decide(exchange, alias)
        if decision is None:
            raise ModelNotFoundError(f"there is no model {alias!r}", param="model")
        if not decision.candidates and not _falls_back(decision):
            raise _nothing_left(decision, must_be_priced=must_be_priced)
        exchange.decision = decision
        exchange.caching = decision.caching
        self._started(exchange)

    def decide(self, exchange: Exchange, alias: str) -> Decision | None:
        """The candidates of an alias for a request; None where nothing fits it.

        Raises UnsupportedParameterError where none of them can do what the request needs.
        """
        key = exchange.granted_key
        must_be_priced = key.has_hard_budget and self._costs
        question = Question(alias, exchange.operation, must_be_priced, key.allow_direct)
        decision = self._decide(exchange.snapshot, question)
        if decision is None or exchange.call.plain:  # which needs nothing but text
            return decision
        return _able(decision, exchange.call)

    def _decide(self, snapshot: Snapshot, question: Question) -> Decision | None:
        """The decision is the same for as long as the snapshot is, so it is made once."""
        if snapshot is not self._snapshot or len(self._decisions) >= _REMEMBERED_DECISIONS:
            self._snapshot = snapshot
            self._decisions = {}
        decision = self._decisions.get(question)
        if decision is None:
            decision = resolve(snapshot, question, self._price_of)
            if decision is not None:
                self._decisions[question] = decision
        return decision


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


def _falls_back(decision: Decision) -> bool:
    mapping = decision.mapping
    return mapping is not None and any(each.on == "error" for each in mapping.fallbacks)


def _nothing_left(decision: Decision, *, must_be_priced: bool) -> ConduitError:
    reasons = "; ".join(f"{each.provider}: {each.reason}" for each in decision.why_nots)
    if must_be_priced and all("no price" in each.reason for each in decision.why_nots):
        first = decision.why_nots[0]
        return PriceUnknownError(
            f"the model {decision.alias!r} has no price, and the key has a hard budget",
            hint=f"conduit prices set {first.provider}/{first.model} --input … --output …",
            param="model",
        )
    return NoTargetError(f"no provider can serve the model {decision.alias!r} now ({reasons})")
