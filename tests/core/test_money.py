"""Amounts of money: text to nano-dollars and back, and prices times units."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.money import (
    NANODOLLARS_PER_DOLLAR,
    UNITS_PER_PRICE,
    cost_of_units,
    format_usd,
    parse_usd,
)

LARGEST = 2**63 - 1
amounts = st.integers(0, LARGEST)


@pytest.mark.parametrize(
    ("text", "nanodollars"),
    [
        ("0", 0),
        ("5", 5 * NANODOLLARS_PER_DOLLAR),
        ("12.34", 12_340_000_000),
        ("$12.34", 12_340_000_000),
        (" 0.000000001 ", 1),
        (".5", 500_000_000),
        ("1.", NANODOLLARS_PER_DOLLAR),
        ("007", 7 * NANODOLLARS_PER_DOLLAR),
        ("1.0000000000000000000000000000000000", NANODOLLARS_PER_DOLLAR),
        ("9223372036.854775807", LARGEST),
    ],
)
def test_a_decimal_text_is_an_amount(text: str, nanodollars: int) -> None:
    assert parse_usd(text) == nanodollars


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "$",
        ".",
        "-1",
        "+1",
        "1e3",
        "1_000",
        "1,000",
        "1.2.3",
        "0x10",
        "NaN",
        "Infinity",
        "$$1",
        "1 $",
        "٣",
        "²",
        "\uff11",  # a full-width 1
        "five",
        "0.0000000001",
        "1.0000000000000000000000000000001",
        "9223372036.854775808",
        "99999999999",
        "9" * 5000,
        "0." + "0" * 5000 + "1",
    ],
)
def test_anything_else_is_not_an_amount(text: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        parse_usd(text)


@given(amounts, st.integers(0, 9))
def test_an_amount_survives_being_written_and_read(nanodollars: int, places: int) -> None:
    assert parse_usd(format_usd(nanodollars, places=places)) == nanodollars


@given(amounts)
def test_an_amount_is_written_in_one_way(nanodollars: int) -> None:
    text = format_usd(nanodollars)
    assert format_usd(parse_usd(text)) == text


@given(st.text())
def test_any_text_is_an_amount_or_a_value_error(text: str) -> None:
    try:
        nanodollars = parse_usd(text)
    except ValueError:
        return
    assert type(nanodollars) is int
    assert 0 <= nanodollars <= LARGEST


@pytest.mark.parametrize(
    ("nanodollars", "places", "text"),
    [
        (0, 2, "0.00"),
        (0, 0, "0"),
        (4_100_000, 2, "0.0041"),
        (1, 2, "0.000000001"),
        (5 * NANODOLLARS_PER_DOLLAR, 2, "5.00"),
        (5 * NANODOLLARS_PER_DOLLAR, 0, "5"),
        (-1_500_000_000, 2, "-1.50"),
        (-1, 2, "-0.000000001"),
        (1_234_500_000, 4, "1.2345"),
    ],
)
def test_an_amount_is_written_with_no_digit_lost(nanodollars: int, places: int, text: str) -> None:
    assert format_usd(nanodollars, places=places) == text


@given(st.integers(0, 10**12), st.integers(0, 10**13))
def test_a_cost_is_rounded_up_by_less_than_a_nanodollar(units: int, price: int) -> None:
    cost = cost_of_units(units, price)
    exact = Fraction(units * price, UNITS_PER_PRICE)
    assert type(cost) is int
    assert exact <= cost < exact + 1


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**12))
def test_costs_of_parts_are_at_most_one_nanodollar_above_the_whole(
    first: int, second: int, price: int
) -> None:
    whole = cost_of_units(first + second, price)
    parts = cost_of_units(first, price) + cost_of_units(second, price)
    assert whole <= parts <= whole + 1
