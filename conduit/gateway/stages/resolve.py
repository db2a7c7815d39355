"""Which targets may serve the request, and the row in which they are tried."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from conduit.core.errors import (
    ConduitError,
    ModelNotFoundError,
    NoTargetError,
    PermissionDeniedError,
    PriceUnknownError,
    UnsupportedParameterError,
    UpstreamFailure,
    UpstreamRejectedError,
)
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.exchange import Attempt, Decision, Exchange, WhyNot
from conduit.gateway.routing.allowed import may_use
from conduit.gateway.routing.lacking import lack_of, refusal_of
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
        question = Question(alias, exchange.operation, must_be_priced)
        decision = self._decide(exchange.snapshot, question)
        if decision is None:
            raise ModelNotFoundError(f"there is no model {alias!r}", param="model")
        if not decision.candidates:
            raise _nothing_left(decision, must_be_priced=must_be_priced)
        if not exchange.call.plain:  # which needs nothing but text
            decision = _able(decision, exchange.call)
        exchange.decision = decision
        self._started(exchange)

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
    lacks = [(each, lack_of(call, each)) for each in decision.candidates]
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


class Attempts:
    """The row of attempts of one exchange.

    The next candidate gets its turn only after a failure that allows it and before any byte of an
    answer has left. When nothing is left to try, the last error is raised.
    """

    def __init__(self, max_attempts: int) -> None:
        self._max_attempts = max_attempts

    def __call__(self, exchange: Exchange) -> Iterator[Attempt]:
        decision = exchange.decision
        if decision is None:
            raise AssertionError("the pipeline resolves first")
        waiting = list(decision.candidates)
        unsure = again = 0
        while waiting:
            attempt = Attempt(waiting.pop(0), number=len(exchange.attempts) + 1)
            yield attempt
            error = attempt.error
            if error is None or attempt.answering:
                return
            unsure += attempt.is_unsure
            if attempt.ask_again:  # over a field of ours, so it does not count against the limit
                again += 1
                waiting.insert(0, attempt.candidate)
                continue
            if attempt.number - again >= self._max_attempts:
                # Another round by the client's SDK would only repeat what was tried here.
                error.should_retry = False if error.status >= 500 else error.should_retry
                raise error
            if not waiting or not self._may_move_on(error, unsure):
                raise error

    @staticmethod
    def _may_move_on(error: ConduitError, unsure: int) -> bool:
        if isinstance(error, UnsupportedParameterError):
            return True  # nothing was sent; another provider's format may be able to say it
        if not isinstance(error, UpstreamFailure) or isinstance(error, UpstreamRejectedError):
            return False
        # A call that may be running still is repeated once, no more: each copy may be billed.
        return unsure <= 1
