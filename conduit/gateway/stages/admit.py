"""What a request may cost, and holding it before anything is sent."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from conduit.core.errors import InsufficientQuotaError
from conduit.core.ids import now_ms
from conduit.gateway.config.snapshot import KeyGrant
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.hosted_searches import most_searches
from conduit.gateway.dialects.openai.wire import answers, output_cap
from conduit.gateway.dialects.whole_calls import most_requests
from conduit.gateway.exchange import Attempt, Candidate, Exchange
from conduit.gateway.ledger.budgets import BudgetTerms
from conduit.gateway.ledger.entries import Hold, Ledger
from conduit.gateway.ledger.records import Claim
from conduit.gateway.pricing.cost import (
    Bound,
    Bounds,
    dearest_grade,
    output_tokens_for,
    upper_bound,
)
from conduit.gateway.pricing.quantities import Quantities, quantities_bound
from conduit.gateway.provider import Operation
from conduit.gateway.routing.costs import cost_to_compare
from conduit.gateway.stages.decode import input_tokens_of

STREAM_BLOCK_TOKENS = 1024
"""What a stream without an output limit holds at first, and by which it tops up."""

SMALLEST_OUTPUT_CAP = 256
"""An answer is never cut shorter than this to fit what is left of a budget."""


InputTokens = Callable[[ClientCall, Candidate], int]
"""An upper estimate of the tokens of a call's input, for a model."""


@dataclass(frozen=True, slots=True)
class HoldRules:
    """`wait_s` for held money, `default_output_tokens` where the model's largest is unknown.

    `strict` holds never grow: an output that nobody limits is held whole, also of a stream, and
    where the model's largest is unknown what is held becomes its limit.
    """

    wait_s: float
    default_output_tokens: int
    strict: bool = False


class Extent(msgspec.Struct, frozen=True, gc=False):
    """How much an attempt may use: `cap` is the output limit to send, None where none is added.

    `requests` is how often a price per request may be charged.

    Where the client set no limit of its own, an answer `can_be_capped`, and a stream that is not
    `can_top_up`.
    """

    input_tokens: int
    output_tokens: int
    cap: int | None = None
    can_be_capped: bool = False
    can_top_up: bool = False
    requests: int = 1


class Admit:
    """Refuses what cannot be paid, and holds what may be spent."""

    def __init__(
        self,
        ledger: Ledger,
        rules: HoldRules,
        input_tokens_of: InputTokens,
        check_limits: Callable[[KeyGrant], None],
        priced_now: Callable[[Candidate], Candidate] = lambda candidate: candidate,
    ) -> None:
        """`priced_now` gives a candidate the price that has taken effect since it was found."""
        self._priced_now = priced_now
        self._ledger = ledger
        self._rules = rules
        self._input_tokens_of = input_tokens_of
        self._check_limits = check_limits

    def __call__(self, exchange: Exchange) -> None:
        """Refuse a key that is at a rate limit or has spent its budget, before its body is read.

        A request under an `Idempotency-Key` may have been paid for: of it, the budget is asked
        once it is known that it was not.
        """
        key = exchange.granted_key
        group = key.group
        if key.limits or (group is not None and group.limits):
            self._check_limits(key)
        if exchange.idempotency_key is None:
            self.refuse_spent(exchange)

    def refuse_spent(self, exchange: Exchange) -> None:
        """Refuse a key that has spent its budget. Raises InsufficientQuotaError."""
        key = exchange.granted_key
        group = key.group
        spent = self._ledger.exhausted(key.id, None if group is None else group.id)
        if spent is not None:
            raise InsufficientQuotaError(spent.spent_up, hint=_where_to_look(spent))

    async def hold(self, exchange: Exchange, attempt: Attempt) -> None:
        """Hold an attempt's upper bound; when it returns, the journal has it."""
        if exchange.snapshot.prices_until_ms is not None:
            attempt.candidate = self._priced_now(attempt.candidate)
        extent = self._extent(exchange, attempt)
        try:
            wait_s = exchange.waits_s(self._rules.wait_s)
            claim = _claim(exchange, attempt, extent)
            attempt.hold = await self._ledger.hold(claim, wait_s=wait_s)
        except InsufficientQuotaError as error:
            attempt.hold, extent = await self._take_capped(exchange, attempt, extent, error)
        attempt.output_cap = extent.cap
        attempt.held_output_tokens = extent.output_tokens
        attempt.held_requests = extent.requests
        attempt.can_top_up = extent.can_top_up
        attempt.estimated_input_tokens = extent.input_tokens
        exchange.attempts.append(attempt)

    async def _take_capped(
        self, exchange: Exchange, attempt: Attempt, whole: Extent, refusal: InsufficientQuotaError
    ) -> tuple[Hold, Extent]:
        """Hold what is left of the balance, and less where others have spent of it meanwhile."""
        until = time.monotonic() + exchange.waits_s(self._rules.wait_s)
        most = whole.output_tokens
        while True:
            capped = self._capped(exchange, attempt, whole)
            if capped is None or capped.output_tokens >= most:
                raise refusal
            try:
                claim = _claim(exchange, attempt, capped)
                wait_s = until - time.monotonic()
                return await self._ledger.hold(claim, wait_s=wait_s), capped
            except InsufficientQuotaError as error:
                refusal, most = error, capped.output_tokens

    def _extent(self, exchange: Exchange, attempt: Attempt) -> Extent:
        call = exchange.call
        estimate = exchange.estimate
        if estimate is None or estimate[0] is not attempt.candidate or self._rules.strict:
            input_tokens = self._input_tokens_of(call, attempt.candidate)
        else:  # it has been looked at before, for rate limits
            input_tokens = estimate[1]
        rates = attempt.candidate.rates
        operation = exchange.operation
        if operation is not Operation.CHAT and not operation.writes:
            return Extent(input_tokens, 0, requests=most_requests(call))
        params = attempt.candidate.params  # a target's own parameters win
        limit, choices = output_cap(call, params), answers(call, params)
        if limit is not None:
            return Extent(input_tokens, limit * choices)
        rules = self._rules
        if call.stream and not rules.strict:
            block = STREAM_BLOCK_TOKENS * choices
            return Extent(input_tokens, block, can_be_capped=True, can_top_up=True)
        largest = rates.max_output_tokens or rules.default_output_tokens
        cap = largest if rules.strict and rates.max_output_tokens is None else None
        return Extent(input_tokens, largest * choices, cap, can_be_capped=True)

    def _capped(self, exchange: Exchange, attempt: Attempt, whole: Extent) -> Extent | None:
        """What is left of the balance as an output limit; None where that is no answer's worth."""
        key = exchange.granted_key
        group_id = None if key.group is None else key.group.id
        affordable = self._ledger.affordable(key.id, exchange.call.model, group_id)
        if affordable is None or not whole.can_be_capped:
            return None
        rates = attempt.candidate.rates
        pieces = _pieces(exchange, attempt)
        rates = dearest_grade(rates, _grade(exchange, attempt))
        left = affordable - upper_bound(whole.input_tokens, 0, rates, units=pieces)
        tokens = output_tokens_for(left, rates, input_tokens=whole.input_tokens)
        choices = answers(exchange.call, attempt.candidate.params)
        cap = tokens // choices
        if cap < SMALLEST_OUTPUT_CAP:
            return None
        return Extent(whole.input_tokens, cap * choices, cap)


def _claim(exchange: Exchange, attempt: Attempt, extent: Extent) -> Claim:
    candidate = attempt.candidate
    rates = candidate.rates
    key, call = exchange.granted_key, exchange.call
    if (rates.grades and _asks_for_grade(call, candidate)) or (rates.units and not call.plain):
        bounds = _bounds(exchange, attempt, extent)
    else:
        bounds = candidate.bound(extent.input_tokens, extent.output_tokens)
    hold, input_nanodollars = bounds.whole, bounds.input
    if extent.requests > 1:
        further = (extent.requests - 1) * rates.per_request
        hold += further
        input_nanodollars += further
    return Claim(
        attempt_id=attempt.id,
        request_id=exchange.id,
        key_id=key.id,
        alias=call.model,
        provider=candidate.upstream.name,
        model=candidate.model,
        credential_id=attempt.credential.id if attempt.credential else None,
        operation=str(exchange.operation),
        stream=call.stream,
        at_ms=now_ms(),
        hold_nanodollars=hold,
        input_tokens=extent.input_tokens,
        input_nanodollars=input_nanodollars,
        output_rate=bounds.output_rate,
        price_version=rates.version,
        group_id=None if key.group is None else key.group.id,
    )


def _bounds(exchange: Exchange, attempt: Attempt, extent: Extent) -> Bounds:
    """The bounds of an attempt, with what it may buy by the piece among those of its input."""
    candidate = attempt.candidate
    rates, bound = candidate.rates, candidate.bound
    if rates.grades:
        dearest = dearest_grade(rates, _grade(exchange, attempt))
        if dearest is not rates:
            bound = Bound(dearest)
    bounds = bound(extent.input_tokens, extent.output_tokens)
    if rates.units and (pieces := _pieces(exchange, attempt)):
        more = quantities_bound(pieces, rates.units)
        return Bounds(bounds.whole + more, bounds.input + more, bounds.output_rate)
    return bounds


def _asks_for_grade(call: ClientCall, candidate: Candidate) -> bool:
    fields = call.fields
    return "service_tier" in fields or "speed" in fields or "service_tier" in candidate.params


def _grade(exchange: Exchange, attempt: Attempt) -> str | None:
    """The grade of service that is asked for: a target's own word wins over the client's."""
    own = attempt.candidate.params.get("service_tier")
    return own if isinstance(own, str) else exchange.call.service_tier


def _pieces(exchange: Exchange, attempt: Attempt) -> Quantities:
    """The most that is bought by the piece at a provider whose price has such."""
    if not attempt.candidate.rates.units:
        return ()
    searches = most_searches(exchange.call)
    return (("searches", searches),) if searches else ()


def _where_to_look(spent: BudgetTerms) -> str:
    """The command that shows the operator more of it."""
    if spent.prepaid:
        return f"conduit groups show {spent.scope_name or spent.scope_id}"
    return f"conduit budgets show {spent.id}"


def cost_at(exchange: Exchange, candidate: Candidate) -> int | None:
    """What the request costs at a candidate, see `cost_to_compare`."""
    call = exchange.call
    limit = output_cap(call, candidate.params)
    return cost_to_compare(candidate, input_tokens_of(call, candidate), limit)
