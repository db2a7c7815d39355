"""Grades of service and what is sold by the piece: one price for the hold and the settlement."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.units import UNITS, base_of, check_unit, count_of
from conduit.gateway.conversation import Usage
from conduit.gateway.pricing import TOKEN_RATES, Rates, Tier, with_grades
from conduit.gateway.pricing.components import components_of
from conduit.gateway.pricing.cost import cost_of, dearest_grade, prices_grade, upper_bound
from conduit.gateway.pricing.quantities import cost_of_quantities, quantities_bound

DOLLAR = 1_000_000_000
BASE = Rates(input=2 * DOLLAR, output=10 * DOLLAR, cache_read=1_000_001)
OPTIONAL = tuple(name for name in TOKEN_RATES if name not in ("input", "output"))
GRADES = ("flex", "priority", "batch")
INPUT = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
OUTPUT = ("output_tokens", "reasoning_tokens", "output_audio_tokens")
BUCKETS = (*INPUT, "input_audio_tokens", *OUTPUT)

a_rate = st.integers(0, 200_000_000_000) | st.integers(0, 3_000_000)
maybe_rate = st.none() | a_rate
tokens = st.integers(0, 3_000_000) | st.integers(0, 8)
variants = st.sampled_from(["", ":low", ":high", ":1024x1024", ":1024x1024:high", ":1080p"])
names = st.builds("{}{}".format, st.sampled_from(sorted(UNITS)), variants)
prices = st.dictionaries(names, st.integers(0, 400 * DOLLAR), max_size=6).map(
    lambda found: tuple(found.items())
)
quantities = st.dictionaries(names, st.integers(0, 500_000) | st.integers(0, 4), max_size=5).map(
    lambda found: tuple(found.items())
)
multipliers = st.dictionaries(st.sampled_from(GRADES), st.integers(0, 4_000_000), max_size=3).map(
    lambda found: tuple(found.items())
)


@st.composite
def any_rates(draw: st.DrawFn) -> Rates:
    """Rates with tiers, grades and units, none of which need be sensible."""
    optional: dict[str, Any] = {name: draw(maybe_rate) for name in OPTIONAL}
    units, per_request = draw(prices), draw(st.integers(0, DOLLAR))
    flat = Rates(
        input=draw(a_rate), output=draw(a_rate), per_request=per_request, units=units, **optional
    )
    thresholds = draw(st.lists(st.integers(0, 4_000_000), max_size=2, unique=True).map(sorted))
    tiers = tuple(
        Tier(over, replace(flat, input=draw(a_rate), output=draw(a_rate))) for over in thresholds
    )
    return with_grades(replace(flat, tiers=tiers), draw(multipliers))


usages = st.builds(
    Usage,
    **dict.fromkeys(BUCKETS, tokens),
    requests=st.integers(0, 3),
    units=quantities,
    service_tier=st.none() | st.sampled_from([*GRADES, "unheard-of"]),
)


def within(usage: Usage) -> tuple[tuple[str, int], ...]:
    """The bound of a usage's pieces: how many of each unit, whatever they depend on."""
    totals: dict[str, int] = {}
    for name, count in usage.units:
        totals[base_of(name)] = totals.get(base_of(name), 0) + count
    return tuple(totals.items())


@given(usages, any_rates(), st.sampled_from([None, "auto", *GRADES]), tokens, tokens)
def test_a_settlement_is_never_above_the_hold_of_what_it_was_held_for(
    usage: Usage, rates: Rates, asked: str | None, more_in: int, more_out: int
) -> None:
    """A provider may give the grade that was asked for, its ordinary one, or a cheaper one."""
    given_tier = usage.service_tier
    if given_tier != asked and not (asked == "auto" and given_tier in GRADES):
        cheaper = [each.name for each in rates.grades if each.multiplier <= 1_000_000]
        if given_tier not in (None, "unheard-of", *cheaper):
            usage = Usage(**{name: getattr(usage, name) for name in BUCKETS}, units=usage.units)
    bound = upper_bound(
        usage.total_input_tokens + more_in,
        usage.total_output_tokens + more_out,
        rates,
        requests=3,
        units=within(usage),
        service_tier=asked,
    )
    assert cost_of(usage, rates) <= bound


@given(usages, any_rates())
def test_the_components_of_a_cost_add_up_to_it(usage: Usage, rates: Rates) -> None:
    assert sum(components_of(usage, rates).values()) == cost_of(usage, rates)


@given(quantities, prices)
def test_pieces_never_cost_more_than_their_bound(
    used: tuple[tuple[str, int], ...], priced: tuple[tuple[str, int], ...]
) -> None:
    totals: dict[str, int] = {}
    for name, count in used:
        totals[base_of(name)] = totals.get(base_of(name), 0) + count
    assert cost_of_quantities(used, priced) <= quantities_bound(tuple(totals.items()), priced)


@pytest.mark.parametrize(
    ("name", "count", "price", "cost"),
    [
        ("images:1024x1024:high", 2, DOLLAR // 6, 333_333_332),
        ("audio_minutes", 90_000, 6_000_000, 9_000_000),  # a minute and a half
        ("audio_minutes", 1, 6_000_000, 100),  # a millisecond
        ("audio_minutes", 1, 6_000_001, 101),  # rounded up, once
        ("characters", 2_500_000, 15 * DOLLAR, 37_500_000_000),
        ("video_seconds:1080p", 8_000, DOLLAR // 2, 4 * DOLLAR),
        ("searches", 3, 10 * DOLLAR, 30_000_000),
    ],
)
def test_each_unit_is_priced_by_what_it_is_sold_by(
    name: str, count: int, price: int, cost: int
) -> None:
    rates = replace(BASE, units=((name, price),))
    assert cost_of(Usage(requests=0, units=((name, count),)), rates) == cost


@pytest.mark.parametrize(
    ("used", "price"),
    [
        ("images", 1),
        ("images:1024x1024", 2),
        ("images:1024x1024:high", 3),
        ("images:1024x1024:low", 2),  # the nearest that says less
        ("images:512x512:low", 1),
    ],
)
def test_a_variant_costs_what_the_nearest_that_is_known_costs(used: str, price: int) -> None:
    known = (("images", 1), ("images:1024x1024", 2), ("images:1024x1024:high", 3))
    assert cost_of_quantities(((used, 1),), known) == price


def test_a_variant_that_nothing_is_known_of_costs_as_the_dearest_and_another_unit_nothing() -> None:
    known = (("images:small", 1), ("images:large", 5))
    assert cost_of_quantities((("images:other", 1), ("searches", 9)), known) == 5


def test_a_grade_multiplies_tokens_and_nothing_else() -> None:
    rates = with_grades(
        replace(BASE, per_request=7, units=(("searches", DOLLAR),)), (("flex", 500_000),)
    )
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000, units=(("searches", 1_000),))
    ordinary = cost_of(usage, rates)
    flex = cost_of(replace_tier(usage, "flex"), rates)
    assert (ordinary, flex) == (13 * DOLLAR + 7, 7 * DOLLAR + 7)
    assert cost_of(replace_tier(usage, "scale"), rates) == ordinary, "it has no price of its own"


def test_a_grade_of_a_long_call_multiplies_the_tier() -> None:
    """litellm#40002 reserved long prompts at the base price; here a tier counts in both."""
    tier = Tier(1_000, replace(BASE, input=4 * DOLLAR))
    rates = with_grades(replace(BASE, tiers=(tier,)), (("priority", 2_000_000),))
    usage = Usage(input_tokens=1_000_000, service_tier="priority")
    assert cost_of(usage, rates) == 8 * DOLLAR
    assert upper_bound(1_000_000, 0, rates, service_tier="priority") == 8 * DOLLAR
    assert upper_bound(1_000_000, 0, rates, service_tier="flex") == 4 * DOLLAR


def test_a_hold_takes_the_dearest_grade_that_a_call_may_get() -> None:
    rates = with_grades(BASE, (("flex", 500_000), ("priority", 2_000_000)))
    inputs = {
        asked: dearest_grade(rates, asked).input // DOLLAR
        for asked in (None, "default", "flex", "priority", "auto")
    }
    assert inputs == {None: 2, "default": 2, "flex": 2, "priority": 4, "auto": 4}
    assert prices_grade(rates, "priority")
    assert not prices_grade(BASE, "priority")


def replace_tier(usage: Usage, tier: str) -> Usage:
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        units=usage.units,
        service_tier=tier,
    )


@pytest.mark.parametrize("name", ["", "image", "images:", "images:a b", "images:" + "x" * 99])
def test_what_is_no_unit_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"unit|depend"):
        check_unit(name)


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [("audio_minutes", "1.5", 90_000), ("video_seconds:720p", "8", 8_000), ("searches", "3", 3)],
)
def test_amounts_of_units_are_counted_exactly(name: str, text: str, count: int) -> None:
    assert count_of(name, text) == count


@pytest.mark.parametrize("text", ["-1", "x", "NaN", "Infinity", "1e40"])
def test_what_is_no_amount_of_a_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="searches"):
        count_of("searches", text)
