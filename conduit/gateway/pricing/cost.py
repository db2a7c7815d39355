"""What a usage costs, the most that a call may cost, and what an amount affords.

A settlement adds up components; a hold is the dearest component of each side for all tokens of
that side, priced by the same `cost_of_units`, so that it is never below the settlement of the
tokens that it was made for.
"""

from functools import lru_cache
from typing import NamedTuple

import msgspec

from conduit.core.money import UNITS_PER_PRICE, cost_of_units
from conduit.gateway.conversation import Usage
from conduit.gateway.pricing import GRADE_SCALE, Rates
from conduit.gateway.pricing.quantities import Quantities, cost_of_quantities, quantities_bound

UNLIMITED_TOKENS = 2**63 - 1
"""What any amount affords of a model whose output is free."""


def cost_of(usage: Usage, rates: Rates) -> int:
    """Nano-dollars for a usage. Each component is rounded up once."""
    pieces = cost_of_quantities(usage.units, rates.units) if usage.units else 0
    if usage.service_tier is not None:
        rates = _of_grade(rates, usage.service_tier)
    if rates.tiers:
        rates = _rates_in_force(rates, usage.total_input_tokens)
    # The two that every call has, as `cost_of_units` prices them: a call of it costs as much.
    cost = -(-usage.input_tokens * rates.input // UNITS_PER_PRICE) - (
        -usage.output_tokens * rates.output // UNITS_PER_PRICE
    )
    if usage.cache_read_tokens:
        cost += cost_of_units(usage.cache_read_tokens, _or(rates.cache_read, rates.input))
    if usage.cache_write_5m_tokens:
        cost += cost_of_units(usage.cache_write_5m_tokens, _or(rates.cache_write_5m, rates.input))
    if usage.cache_write_1h_tokens:
        cost += cost_of_units(usage.cache_write_1h_tokens, _or(rates.cache_write_1h, rates.input))
    if usage.input_audio_tokens:
        cost += cost_of_units(usage.input_audio_tokens, _or(rates.input_audio, rates.input))
    if usage.reasoning_tokens:
        cost += cost_of_units(usage.reasoning_tokens, _or(rates.reasoning, rates.output))
    if usage.output_audio_tokens:
        cost += cost_of_units(usage.output_audio_tokens, _or(rates.output_audio, rates.output))
    return cost + usage.requests * rates.per_request + pieces


def rates_for_usage(usage: Usage, rates: Rates) -> Rates:
    """The rates of the grade of service and of the tier that a usage is priced by."""
    if usage.service_tier is not None:
        rates = _of_grade(rates, usage.service_tier)
    return _rates_in_force(rates, usage.total_input_tokens)


def upper_bound(
    input_tokens: int,
    output_tokens: int,
    rates: Rates,
    *,
    requests: int = 1,
    units: Quantities = (),
    service_tier: str | None = None,
) -> int:
    """The most that at most these tokens can cost, however they fall into buckets and tiers.

    It is additive: the bound of both sides is that of the input plus that of the output, for the
    same `input_tokens`, so that an output may be topped up apart from its input. `units` are the
    most that is bought by the piece, `service_tier` is the grade of service that was asked for.
    """
    pieces = quantities_bound(units, rates.units) if units else 0
    rates = dearest_grade(rates, service_tier)
    if not rates.tiers:
        ceiling = _ceiling(rates)
        return (
            _side_bound(input_tokens, ceiling.input)
            + _side_bound(output_tokens, ceiling.output)
            + rates.per_request * requests
            + pieces
        )
    reachable = [_ceiling(each) for each in _reachable(rates, input_tokens)]
    return (
        max([_side_bound(input_tokens, each.input) for each in reachable])
        + max([_side_bound(output_tokens, each.output) for each in reachable])
        + max([each.per_request for each in reachable]) * requests
        + pieces
    )


def dearest_grade(rates: Rates, service_tier: str | None) -> Rates:
    """The rates by which a call is held that asks for a grade of service: it may get a lesser one.

    "auto" leaves the choice to the provider, and so is the dearest. A call that asks for none is
    held at the ordinary rates.
    """
    if service_tier is None or not rates.grades:
        return rates
    asked = [each for each in rates.grades if service_tier in (each.name, "auto")]
    dearest = max(asked, key=lambda each: each.multiplier, default=None)
    return rates if dearest is None or dearest.multiplier <= GRADE_SCALE else dearest.rates


def prices_grade(rates: Rates, service_tier: str) -> bool:
    """Whether a grade of service has a price of its own."""
    return any(each.name == service_tier for each in rates.grades)


def worst_output_rate(rates: Rates, input_tokens: int = 0) -> int:
    """The highest price of a million output tokens after an input of that many tokens."""
    return max([_ceiling(each).output.rate for each in _reachable(rates, input_tokens)])


class Bounds(msgspec.Struct, frozen=True, gc=False):
    """The most that a call can cost, what of it is for its input, and the dearest output rate."""

    whole: int
    input: int
    output_rate: int


class Bound:
    """`upper_bound` and `worst_output_rate` of one model, prepared for being asked all day."""

    __slots__ = ("_plain", "_rates")

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        ceiling = _ceiling(rates)
        # Where the dearest bucket of each side is priced in whole nano-dollars, nothing rounds.
        rounds = ceiling.input.rounding_buckets or ceiling.output.rounding_buckets
        self._plain = (
            None
            if rates.tiers or rounds
            else (ceiling.input.rate, ceiling.output.rate, ceiling.per_request)
        )

    def __call__(self, input_tokens: int, output_tokens: int) -> Bounds:
        plain = self._plain
        if plain is None:
            rates = self._rates
            return Bounds(
                upper_bound(input_tokens, output_tokens, rates),
                upper_bound(input_tokens, 0, rates),
                worst_output_rate(rates, input_tokens),
            )
        input_rate, output_rate, per_request = plain
        cost = -(-input_tokens * input_rate // UNITS_PER_PRICE) + per_request
        return Bounds(cost - (-output_tokens * output_rate // UNITS_PER_PRICE), cost, output_rate)


def output_tokens_for(nanodollars: int, rates: Rates, *, input_tokens: int = 0) -> int:
    """How many output tokens an amount surely affords, input and request paid apart.

    `UNLIMITED_TOKENS` where output costs nothing, 0 where the amount is not positive.
    """
    rate = worst_output_rate(rates, input_tokens)
    if rate == 0:
        return UNLIMITED_TOKENS
    reachable = _reachable(rates, input_tokens)
    roundings = max([_roundings(_ceiling(each).output, UNLIMITED_TOKENS) for each in reachable])
    return max(0, nanodollars - roundings) * UNITS_PER_PRICE // rate


class _Side(NamedTuple):
    """The dearest bucket of one side, and how many of its buckets can round."""

    rate: int
    rounding_buckets: int


class _Ceiling(NamedTuple):
    """The dearest that the tokens of a call can be at one set of rates, tiers left aside."""

    input: _Side
    output: _Side
    per_request: int


@lru_cache(maxsize=4096)
def _ceiling(rates: Rates) -> _Ceiling:
    return _Ceiling(_side(_input_rates(rates)), _side(_output_rates(rates)), rates.per_request)


def _side(bucket_rates: tuple[int, ...]) -> _Side:
    return _Side(max(bucket_rates), len([rate for rate in bucket_rates if rate % UNITS_PER_PRICE]))


def _or(rate: int | None, plain: int) -> int:
    return plain if rate is None else rate


def _of_grade(rates: Rates, service_tier: str) -> Rates:
    for grade in rates.grades:
        if grade.name == service_tier:
            return grade.rates
    return rates


def _rates_in_force(rates: Rates, total_input_tokens: int) -> Rates:
    for tier in reversed(rates.tiers):
        if total_input_tokens > tier.over_tokens:
            return tier.rates
    return rates


def _reachable(rates: Rates, input_tokens: int) -> tuple[Rates, ...]:
    """The rates that a call may be priced by if its input has at most that many tokens."""
    if not rates.tiers:
        return (rates,)
    return (rates, *(tier.rates for tier in rates.tiers if input_tokens > tier.over_tokens))


def _input_rates(rates: Rates) -> tuple[int, int, int, int, int]:
    plain = rates.input
    read, short, long = rates.cache_read, rates.cache_write_5m, rates.cache_write_1h
    audio = rates.input_audio
    return (
        plain,
        plain if read is None else read,
        plain if short is None else short,
        plain if long is None else long,
        plain if audio is None else audio,
    )


def _output_rates(rates: Rates) -> tuple[int, int, int]:
    plain, reasoning, audio = rates.output, rates.reasoning, rates.output_audio
    return (
        plain,
        plain if reasoning is None else reasoning,
        plain if audio is None else audio,
    )


def _side_bound(tokens: int, side: _Side) -> int:
    """The most that these tokens can cost, spread over the buckets of one side."""
    cost = -(-tokens * side.rate // UNITS_PER_PRICE)
    return cost + _roundings(side, tokens) if side.rounding_buckets else cost


def _roundings(side: _Side, tokens: int) -> int:
    """How many nano-dollars rounding adds if the tokens of one bucket are spread over several.

    A rate of whole nano-dollars a token never rounds, and almost every real price is one, so this
    is 0 but for a handful of models.
    """
    return max(0, min(side.rounding_buckets, tokens) - 1)
