"""The end of an attempt, settled once: what it used and what that costs.

Synchronous throughout, so that nothing can come between.
"""

import asyncio
import time
from types import TracebackType

import msgspec

from conduit.core.ids import now_ms
from conduit.gateway.conversation import Usage
from conduit.gateway.exchange import Assumed, Attempt, ClientGone, Exchange
from conduit.gateway.health.deployments import Effect
from conduit.gateway.health.registry import Call, Health, Speed
from conduit.gateway.ledger.entries import (
    EMPTY_USAGE,
    AttemptOutcome,
    Ledger,
    Settlement,
    UsageSource,
)
from conduit.gateway.pricing.cost import cost_of
from conduit.gateway.routing.causes import effect_of
from conduit.gateway.routing.ranks import places_of

_DELIVERED = frozenset(
    {AttemptOutcome.SUCCEEDED, AttemptOutcome.CUT, AttemptOutcome.CLIENT_GONE}
    | {AttemptOutcome.STOPPED}
)


class Settle:
    """Settles attempts with the usage that is known, or what must be assumed."""

    def __init__(self, ledger: Ledger, health: Health) -> None:
        self._ledger = ledger
        self.health = health

    def settled(self, exchange: Exchange, attempt: Attempt) -> "Settling":
        """Whatever happens inside its block, the attempt is settled when it is left."""
        return Settling(self, exchange, attempt)

    def __call__(self, exchange: Exchange, attempt: Attempt) -> None:
        """Settle now; a second call changes nothing."""
        hold = attempt.hold
        if hold is None or hold.settled:
            return
        if attempt.outcome is None:
            # An error of our own: if the call went out, the provider may be billing it.
            attempt.outcome = AttemptOutcome.AMBIGUOUS if attempt.sent else AttemptOutcome.REFUSED
            attempt.assumed = Assumed.HOLD if attempt.sent else Assumed.NOTHING
        usage, cost = _spent(attempt)
        outcome, error = attempt.outcome, attempt.error
        is_all_assumed = attempt.assumed is Assumed.HOLD
        delivered = outcome in _DELIVERED and not is_all_assumed and not attempt.unread
        billed = cost if delivered else 0
        attempt.usage = usage
        attempt.cost_nanodollars = cost
        attempt.billed_nanodollars = billed
        self._ledger.settle(
            hold,
            Settlement(
                outcome=outcome,
                usage=usage,
                usage_source=attempt.usage_source,
                cost_nanodollars=cost,
                billed_nanodollars=billed,
                at_ms=now_ms(),
                ttft_ms=attempt.ttft_ms,
                status=attempt.status,
                error_code=None if error is None else error.code,
                ambiguous=is_all_assumed or outcome is AttemptOutcome.AMBIGUOUS,
            ),
        )


def observe(health: Health, exchange: Exchange, attempt: Attempt, begun: Call) -> None:
    """Tell what the end of an attempt says of where it went."""
    if attempt.complete:
        health.end(begun, Effect.WELL, speed=_speed(exchange, attempt))
        return
    ended_here = attempt.outcome in (AttemptOutcome.CLIENT_GONE, AttemptOutcome.STOPPED)
    error = attempt.error
    if ended_here or error is None:
        health.end(begun, Effect.NOTHING)
        return
    health.end(
        begun,
        effect_of(error, attempt.status),
        retry_after_s=error.retry_after_s,
        error=f"{error.code}: {error.message}",
        may_open=lambda: _enough_would_be_left(health, attempt),
    )


def _enough_would_be_left(health: Health, attempt: Attempt) -> bool:
    """Whether as many of the alias's candidates would still take calls as the rules ask for."""
    siblings = [
        each.deployment
        for ranked in attempt.siblings
        for each in places_of(health, ranked.candidate)
    ]
    is_open = [each is attempt.deployment or each.breaker.is_open for each in siblings]
    return len(siblings) < 2 or sum(is_open) <= health.rules.pool_ratio * len(is_open)


def _speed(exchange: Exchange, attempt: Attempt) -> Speed:
    """Time to the first token where the answer was streamed, and tokens a second."""
    took_ms = (time.monotonic() - attempt.began) * 1000
    usage = attempt.usage
    tokens = usage.total_output_tokens if usage is not None else attempt.output_tokens
    if not exchange.call.stream or attempt.ttft_ms is None:
        return Speed(None, tokens / took_ms * 1000 if tokens and took_ms > 0 else None)
    ttft_ms = attempt.ttft_ms - (attempt.began - exchange.began) * 1000
    writing_ms = took_ms - ttft_ms
    speed = tokens / writing_ms * 1000 if tokens and writing_ms > 1 else None
    return Speed(max(ttft_ms, 0.0), speed)


class Settling(msgspec.Struct, eq=False):
    """The block of one attempt. A struct for the sake of speed, as `record.Recording`."""

    _settle: Settle
    _exchange: Exchange
    _attempt: Attempt

    __repr__ = object.__repr__  # without the prompt

    def __enter__(self) -> None:
        attempt = self._attempt
        if attempt.deployment is not None:
            attempt.begun = self._settle.health.begin(
                attempt.deployment,
                attempt.credential,
                is_retry=attempt.is_retry,
                breakers=attempt.policy.breakers,
            )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        attempt = self._attempt
        if attempt.outcome is None and isinstance(error, asyncio.CancelledError | ClientGone):
            _left_alone(self._exchange, attempt)
        self._settle(self._exchange, attempt)
        if attempt.begun is not None:
            observe(self._settle.health, self._exchange, attempt, attempt.begun)


def _left_alone(exchange: Exchange, attempt: Attempt) -> None:
    """The caller hung up, or the gateway stops: what has the provider done by now?"""
    attempt.outcome = (
        AttemptOutcome.STOPPED if exchange.stopping is not None else AttemptOutcome.CLIENT_GONE
    )
    if not attempt.sent:
        attempt.assumed = Assumed.NOTHING
    elif exchange.call.stream:
        attempt.assumed = Assumed.COUNTED
        attempt.unread = not attempt.answering
    else:
        attempt.assumed = Assumed.HOLD


def _spent(attempt: Attempt) -> tuple[Usage, int]:
    """Usage and cost in nano-dollars; sets where they came from."""
    rates, told = attempt.candidate.rates, attempt.usage
    if told is not None:
        attempt.usage_source = (
            UsageSource.ESTIMATED
            if told.units_assumed
            else UsageSource.PROVIDER
            if attempt.complete
            else UsageSource.PROVIDER_PARTIAL
        )
        return told, cost_of(told, rates)
    hold = attempt.hold
    if hold is None or attempt.assumed is Assumed.NOTHING:
        attempt.usage_source = UsageSource.NONE
        return EMPTY_USAGE, 0
    attempt.usage_source = UsageSource.ESTIMATED
    # An estimate is never above what was held for it, as an honest provider keeps its limit.
    counted = min(attempt.output_tokens, attempt.held_output_tokens)
    output_tokens = counted if attempt.assumed is Assumed.COUNTED else 0
    usage = Usage(
        input_tokens=attempt.estimated_input_tokens,
        output_tokens=output_tokens,
        requests=attempt.held_requests,
    )
    if attempt.assumed is Assumed.HOLD:
        return usage, hold.nanodollars
    return usage, cost_of(usage, rates)
