"""Books what the gateway itself asks of models: a probe is a call as any, of the key `system`."""

import time
from collections.abc import Callable

from conduit.core.errors import ConduitError
from conduit.core.ids import new_id, now_ms
from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.openai.wire import answers
from conduit.gateway.ledger.entries import (
    EMPTY_USAGE,
    AttemptOutcome,
    Hold,
    Ledger,
    Settlement,
    UsageSource,
)
from conduit.gateway.ledger.records import Claim, RequestRecord
from conduit.gateway.pricing import UNPRICED, Rates
from conduit.gateway.pricing.cost import Bound, cost_of, dearest_grade
from conduit.gateway.probing.probe import Probed, Question, probe
from conduit.gateway.reach.stored import Reach

SYSTEM = "system"
"""The key in the books that no client has. The budget of the whole gateway covers it too."""

RatesOf = Callable[[str, str], Rates | None]
"""(provider, model) → rates."""


class ProbeBooks:
    """Asks a model as `probe` does, with the most that it may cost held meanwhile."""

    def __init__(self, ledger: Ledger, rates_of: RatesOf) -> None:
        self._ledger = ledger
        self._rates_of = rates_of

    async def ask(self, reach: Reach, question: Question) -> Probed:
        """Where the money cannot be held nothing is asked, and that is the error."""
        rates = self._rates_of(reach.upstream.name, question.model) or UNPRICED
        try:
            hold = await self._ledger.hold(_claim(reach, question, rates))
        except ConduitError as error:
            return Probed(0, error=error.message)
        began, found = time.monotonic(), None
        try:
            found = await probe(reach, question)
        finally:
            self._settle(hold, found, rates, took_ms=round((time.monotonic() - began) * 1000))
        return found

    def _settle(self, hold: Hold, found: Probed | None, rates: Rates, *, took_ms: int) -> None:
        """None stands for a probe that was broken off."""
        settlement = _settlement(hold, found, rates)
        self._ledger.settle(hold, settlement)
        self._ledger.record(_record(hold.claim, settlement, took_ms))


def _claim(reach: Reach, question: Question, rates: Rates) -> Claim:
    call, params = question.call, question.params
    grade = params.get("service_tier")
    rates = dearest_grade(rates, grade if isinstance(grade, str) else None)
    # No tokenizer makes more tokens than there are bytes.
    tokens = len(call.body)
    bounds = Bound(rates)(tokens, question.output_cap * answers(call, params))
    credential = reach.credential or next(iter(reach.upstream.credentials), None)
    return Claim(
        attempt_id=new_id("att"),
        request_id=new_id("req"),
        key_id=SYSTEM,
        alias=f"{reach.upstream.name}/{question.model}",
        provider=reach.upstream.name,
        model=question.model,
        credential_id=None if credential is None else credential.id,
        operation=str(question.operation),
        stream=call.stream,
        at_ms=now_ms(),
        hold_nanodollars=bounds.whole,
        input_tokens=tokens,
        input_nanodollars=bounds.input,
        output_rate=bounds.output_rate,
        price_version=rates.version,
    )


def _settlement(hold: Hold, found: Probed | None, rates: Rates) -> Settlement:
    if found is not None and found.error is None:
        usage, source, cost = found.usage, UsageSource.PROVIDER, 0
        if usage is None:
            usage, source = Usage(input_tokens=hold.claim.input_tokens), UsageSource.ESTIMATED
            cost = hold.nanodollars
        else:
            cost = cost_of(usage, rates)
            source = UsageSource.ESTIMATED if usage.units_assumed else source
        return Settlement(AttemptOutcome.SUCCEEDED, usage, source, cost, cost, now_ms(), status=200)
    if found is not None and not found.unsure:
        none = UsageSource.NONE
        return Settlement(AttemptOutcome.REFUSED, EMPTY_USAGE, none, 0, 0, now_ms())
    return Settlement(
        AttemptOutcome.AMBIGUOUS,
        Usage(input_tokens=hold.claim.input_tokens),
        UsageSource.ESTIMATED,
        hold.nanodollars,
        0,
        now_ms(),
        ambiguous=True,
    )


def _record(claim: Claim, settlement: Settlement, took_ms: int) -> RequestRecord:
    usage, good = settlement.usage, settlement.outcome is AttemptOutcome.SUCCEEDED
    return RequestRecord(
        id=claim.request_id,
        at_ms=claim.at_ms,
        operation=claim.operation,
        stream=claim.stream,
        status=200 if good else 502,
        outcome="succeeded" if good else "failed",
        error_code=None if good else "upstream_error",
        key_id=SYSTEM,
        key_name=SYSTEM,
        alias=claim.alias,
        provider=claim.provider,
        model=claim.model,
        attempts=1,
        duration_ms=took_ms,
        ttft_ms=None,
        input_tokens=usage.total_input_tokens,
        cached_tokens=usage.cache_read_tokens,
        output_tokens=usage.total_output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        usage_source=str(settlement.usage_source),
        cost_nanodollars=settlement.cost_nanodollars,
        billed_nanodollars=settlement.billed_nanodollars,
        tokens_per_s_milli=None,
    )
