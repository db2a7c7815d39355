"""The cost of a usage, and the bounds that holds are made of."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from conduit.gateway.conversation import Usage
from conduit.gateway.pricing import Rates, Tier
from conduit.gateway.pricing.cost import (
    UNLIMITED_TOKENS,
    Bound,
    Bounds,
    cost_of,
    output_tokens_for,
    upper_bound,
    worst_output_rate,
)

DOLLAR = 1_000_000_000
PLAIN = Rates(input=2_500_000_000, output=10_000_000_000)
LONG_CONTEXT = Rates(
    input=2 * DOLLAR,
    output=4 * DOLLAR,
    tiers=(
        Tier(1_000, Rates(input=4 * DOLLAR, output=6 * DOLLAR)),
        Tier(2_000, Rates(input=8 * DOLLAR, output=9 * DOLLAR)),
    ),
)
INPUT_BUCKETS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
)
OUTPUT_BUCKETS = ("output_tokens", "reasoning_tokens", "output_audio_tokens")
BUCKETS = INPUT_BUCKETS + OUTPUT_BUCKETS

# Dollar prices have whole nano-dollars a token, the others make roundings matter.
a_rate = st.one_of(
    st.integers(0, 200_000_000_000),
    st.integers(0, 200_000).map(lambda each: each * 1_000_000),
    st.integers(0, 3_000_000),
)
tokens = st.integers(0, 3_000_000) | st.integers(0, 8)
maybe_rate = st.none() | a_rate


def flat_rates() -> st.SearchStrategy[Rates]:
    return st.builds(
        Rates,
        input=a_rate,
        output=a_rate,
        cache_read=maybe_rate,
        cache_write_5m=maybe_rate,
        cache_write_1h=maybe_rate,
        reasoning=maybe_rate,
        input_audio=maybe_rate,
        output_audio=maybe_rate,
        per_request=st.integers(0, DOLLAR),
    )


@st.composite
def any_rates(draw: st.DrawFn) -> Rates:
    """Rates with up to three tiers, which need not become dearer."""
    base = draw(flat_rates())
    thresholds = draw(st.lists(st.integers(0, 4_000_000), max_size=3, unique=True).map(sorted))
    return replace(base, tiers=tuple(Tier(over, draw(flat_rates())) for over in thresholds))


def usages() -> st.SearchStrategy[Usage]:
    return st.builds(Usage, **dict.fromkeys(BUCKETS, tokens), requests=st.integers(0, 3))


def spread(buckets: tuple[str, ...], count: int) -> Usage:
    """A usage with that many tokens in each bucket."""
    fields: dict[str, Any] = dict.fromkeys(buckets, count)
    return Usage(**fields)


def test_a_usage_costs_the_sum_of_its_components() -> None:
    rates = Rates(
        input=1 * DOLLAR,
        output=2 * DOLLAR,
        cache_read=3 * DOLLAR,
        cache_write_5m=4 * DOLLAR,
        cache_write_1h=5 * DOLLAR,
        reasoning=6 * DOLLAR,
        input_audio=7 * DOLLAR,
        output_audio=8 * DOLLAR,
        per_request=11,
    )
    million = 1_000_000
    for bucket, price in (
        ("input_tokens", 1),
        ("output_tokens", 2),
        ("cache_read_tokens", 3),
        ("cache_write_5m_tokens", 4),
        ("cache_write_1h_tokens", 5),
        ("reasoning_tokens", 6),
        ("input_audio_tokens", 7),
        ("output_audio_tokens", 8),
    ):
        assert cost_of(spread((bucket,), million), rates) == price * DOLLAR + 11
    assert cost_of(spread(BUCKETS, million), rates) == 36 * DOLLAR + 11


def test_a_component_without_a_price_costs_what_its_side_costs() -> None:
    everything_in = spread(INPUT_BUCKETS, 200)
    everything_out = spread(OUTPUT_BUCKETS, 200)
    assert cost_of(everything_in, PLAIN) == cost_of(Usage(input_tokens=1000), PLAIN)
    assert cost_of(everything_out, PLAIN) == cost_of(Usage(output_tokens=600), PLAIN)


def test_a_price_of_zero_is_not_a_missing_price() -> None:
    assert cost_of(Usage(cache_read_tokens=1000), replace(PLAIN, cache_read=0)) == 0


def test_each_component_is_rounded_up_once() -> None:
    third = Rates(input=333_333, output=333_333)
    assert cost_of(Usage(input_tokens=1), third) == 1
    assert cost_of(Usage(input_tokens=3, output_tokens=3), third) == 2
    assert cost_of(Usage(input_tokens=4, output_tokens=4), third) == 4


def test_a_call_that_was_never_made_costs_nothing() -> None:
    assert cost_of(Usage(requests=0), replace(PLAIN, per_request=DOLLAR)) == 0


@pytest.mark.parametrize(
    ("input_tokens", "dollars_in", "dollars_out"),
    [(1_000, 2, 4), (1_001, 4, 6), (2_000, 4, 6), (2_001, 8, 9)],
)
def test_the_whole_call_is_priced_by_the_tier_of_its_whole_input(
    input_tokens: int, dollars_in: int, dollars_out: int
) -> None:
    cached = input_tokens // 2
    usage = Usage(input_tokens=input_tokens - cached, cache_read_tokens=cached, output_tokens=5_000)
    flat = Rates(input=dollars_in * DOLLAR, output=dollars_out * DOLLAR)
    assert cost_of(usage, LONG_CONTEXT) == cost_of(usage, flat)


@given(usages(), any_rates())
def test_cost_is_a_whole_number_and_never_negative(usage: Usage, rates: Rates) -> None:
    cost = cost_of(usage, rates)
    assert type(cost) is int
    assert cost >= 0


@given(usages(), flat_rates(), st.sampled_from(BUCKETS), st.integers(0, 10_000))
def test_more_tokens_never_cost_less(usage: Usage, rates: Rates, bucket: str, more: int) -> None:
    larger = msgspec.structs.replace(usage, **{bucket: getattr(usage, bucket) + more})
    assert cost_of(larger, rates) >= cost_of(usage, rates)


@given(usages(), any_rates(), tokens, tokens)
def test_a_hold_is_never_below_the_cost_of_any_usage_within_it(
    usage: Usage, rates: Rates, spare_input: int, spare_output: int
) -> None:
    bound = upper_bound(
        usage.total_input_tokens + spare_input,
        usage.total_output_tokens + spare_output,
        rates,
        requests=usage.requests,
    )
    assert bound >= cost_of(usage, rates)


@given(tokens, tokens, st.integers(0, 5_000), st.integers(0, 5_000), any_rates())
def test_a_bound_never_falls_when_tokens_are_added(
    input_tokens: int, output_tokens: int, more_input: int, more_output: int, rates: Rates
) -> None:
    bound = upper_bound(input_tokens, output_tokens, rates)
    larger = upper_bound(input_tokens + more_input, output_tokens + more_output, rates)
    assert type(bound) is int
    assert larger >= bound


@given(tokens, tokens, any_rates())
def test_the_bound_of_a_call_is_the_bound_of_its_input_and_that_of_its_output(
    input_tokens: int, output_tokens: int, rates: Rates
) -> None:
    both = upper_bound(input_tokens, output_tokens, rates)
    only_input = upper_bound(input_tokens, 0, rates)
    only_output = both - only_input
    assert only_output >= 0
    assert only_output >= output_tokens * worst_output_rate(rates, input_tokens) // 1_000_000


@given(tokens, tokens, any_rates())
def test_a_prepared_bound_is_the_bound(input_tokens: int, output_tokens: int, rates: Rates) -> None:
    assert Bound(rates)(input_tokens, output_tokens) == Bounds(
        upper_bound(input_tokens, output_tokens, rates),
        upper_bound(input_tokens, 0, rates),
        worst_output_rate(rates, input_tokens),
    )


@given(tokens, tokens, tokens, any_rates())
def test_an_output_held_in_blocks_is_held_at_least_as_high_as_at_once(
    input_tokens: int, first: int, second: int, rates: Rates
) -> None:
    def output_bound(output_tokens: int) -> int:
        both = upper_bound(input_tokens, output_tokens, rates)
        return both - upper_bound(input_tokens, 0, rates)

    # Two blocks may fall into one more bucket each than there are, never more.
    assert output_bound(first) + output_bound(second) >= output_bound(first + second) - 2


@given(tokens, tokens)
def test_a_bound_is_exact_where_every_bucket_has_the_same_price(
    input_tokens: int, output_tokens: int
) -> None:
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    assert upper_bound(input_tokens, output_tokens, PLAIN) == cost_of(usage, PLAIN)


def test_a_bound_holds_the_dearest_bucket_of_each_side() -> None:
    rates = replace(PLAIN, cache_read=DOLLAR, cache_write_1h=5 * DOLLAR, reasoning=20 * DOLLAR)
    million = 1_000_000
    assert upper_bound(million, 0, rates) == 5 * DOLLAR
    assert upper_bound(0, million, rates) == 20 * DOLLAR
    assert worst_output_rate(rates) == 20 * DOLLAR


def test_a_bound_includes_what_each_request_costs() -> None:
    rates = replace(PLAIN, per_request=7)
    assert upper_bound(0, 0, rates) == 7
    assert upper_bound(0, 0, rates, requests=3) == 21


def test_free_models_hold_nothing() -> None:
    assert upper_bound(10**9, 10**9, Rates(input=0, output=0)) == 0


def test_a_bound_takes_a_cheap_tier_into_account_only_as_far_as_it_reaches() -> None:
    assert upper_bound(1_000, 0, LONG_CONTEXT) == 1_000 * 2_000
    assert upper_bound(1_001, 0, LONG_CONTEXT) == 1_001 * 4_000
    assert worst_output_rate(LONG_CONTEXT, 1_000) == 4 * DOLLAR
    assert worst_output_rate(LONG_CONTEXT, 2_001) == 9 * DOLLAR


@given(st.integers(-DOLLAR, 100 * DOLLAR), any_rates(), tokens)
def test_what_an_amount_affords_never_costs_more_than_the_amount(
    nanodollars: int, rates: Rates, input_tokens: int
) -> None:
    assume(worst_output_rate(rates, input_tokens) > 0)
    afforded = output_tokens_for(nanodollars, rates, input_tokens=input_tokens)
    only_input = upper_bound(input_tokens, 0, rates)
    assert afforded >= 0
    assert upper_bound(input_tokens, afforded, rates) - only_input <= max(0, nanodollars)


def test_an_amount_affords_all_that_it_pays_for() -> None:
    assert output_tokens_for(10_000 * 256, PLAIN) == 256
    assert output_tokens_for(10_000 * 256 - 1, PLAIN) == 255
    assert output_tokens_for(-1, PLAIN) == 0
    assert output_tokens_for(9_000 * 100, LONG_CONTEXT, input_tokens=5_000) == 100


def test_any_amount_affords_a_free_output() -> None:
    assert output_tokens_for(0, Rates(input=DOLLAR, output=0)) == UNLIMITED_TOKENS
