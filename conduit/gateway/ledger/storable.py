"""Claims, request records and settlements as a database can store them."""

from typing import TypeVar

import msgspec

from conduit.gateway.conversation import Usage
from conduit.gateway.ledger.entries import Hold, Settlement
from conduit.gateway.ledger.records import (
    Claim,
    RequestRecord,
    SettleRecord,
    bounded,
)
from conduit.gateway.pricing.quantities import total_of

Numbered = TypeVar("Numbered", RequestRecord, SettleRecord)

_RANKING = "rerank"  # the operation whose requests are search units


def storable_claim(claim: Claim) -> Claim:
    """The claim with its numbers in 64 bits without a sign."""
    numbers = claim.hold_nanodollars | claim.input_tokens
    numbers |= claim.input_nanodollars | claim.output_rate
    if not numbers >> 63:
        return claim
    return msgspec.structs.replace(
        claim,
        hold_nanodollars=bounded(claim.hold_nanodollars),
        input_tokens=bounded(claim.input_tokens),
        input_nanodollars=bounded(claim.input_nanodollars),
        output_rate=bounded(claim.output_rate),
    )


def storable_record(record: RequestRecord) -> RequestRecord:
    """The record with its numbers in 64 bits without a sign."""
    numbers = record.input_tokens | record.cached_tokens | record.output_tokens
    numbers |= record.reasoning_tokens | record.cost_nanodollars | record.billed_nanodollars
    numbers |= record.cache_write_tokens | record.cache_write_1h_tokens
    numbers |= record.audio_tokens | record.output_audio_tokens
    numbers |= record.tokens_per_s_milli or 0
    return _bounded(record) if numbers >> 63 else record


def settle_record(hold: Hold, settlement: Settlement, cost: int) -> SettleRecord:
    """The record of the end of an attempt that costs so much."""
    claim, usage = hold.claim, settlement.usage
    hourly, spoken = usage.cache_write_1h_tokens, usage.output_audio_tokens
    record = SettleRecord(
        claim.attempt_id,
        str(settlement.outcome),
        settlement.status,
        settlement.error_code,
        settlement.ambiguous,
        cost,
        min(settlement.billed_nanodollars, cost),
        str(settlement.usage_source),
        usage.input_tokens,
        usage.cache_read_tokens,
        usage.cache_write_5m_tokens + hourly,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.input_audio_tokens + spoken,
        settlement.at_ms,
        bounded(usage.requests) if claim.operation == _RANKING else _searches(usage),
        hourly,
        spoken,
    )
    numbers = record.billed_nanodollars | record.input_tokens | record.cache_read_tokens
    numbers |= record.cache_write_tokens | record.output_tokens | record.reasoning_tokens
    numbers |= record.audio_tokens | hourly | spoken
    return _bounded(record) if numbers >> 63 else record


def _bounded(record: Numbered) -> Numbered:
    numbered = {
        name: bounded(value)
        for name, value in msgspec.structs.asdict(record).items()
        if type(value) is int
    }
    return msgspec.structs.replace(record, **numbered)


def _searches(usage: Usage) -> int | None:
    return bounded(total_of(usage.units, "searches")) if usage.units else None
