"""The price book and the cost of a usage, by which holds and settlements alike are priced."""

from dataclasses import dataclass, replace
from typing import Any, Final

GRADE_SCALE: Final = 1_000_000
"""A multiplier of a grade of service is a count of millionths."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-dollars per million units of one model; None means "priced as the plain bucket".

    A None cache, reasoning or audio rate falls back to the input or output rate of its side.
    `per_request` is nano-dollars for each call, or for each search unit of a ranking. `version`
    names the price book or the override that these rates came from, `source` the layer: "override",
    "book", "default" or "local". `tiers` rise by their threshold and replace these rates for the
    whole of a call with a longer input. `units` are the names of what is sold beside tokens, as of
    `core/units.py`, with the nano-dollars for the number that each is sold by; they and
    `per_request` are the same in all tiers and grades. `grades` are the grades of service that
    have a price of their own.
    """

    input: int
    output: int
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    input_audio: int | None = None
    output_audio: int | None = None
    per_request: int = 0
    max_output_tokens: int | None = None
    context_tokens: int | None = None
    version: str = ""
    source: str = ""
    tiers: tuple["Tier", ...] = ()
    units: tuple[tuple[str, int], ...] = ()
    grades: tuple["Grade", ...] = ()


@dataclass(frozen=True, slots=True)
class Tier:
    """The rates of calls whose input, caches included, has more than `over_tokens` tokens.

    Vendors bill such a call at these rates from its first token, not from the threshold on. The
    rates have no tiers of their own.
    """

    over_tokens: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Grade:
    """A grade of service ("flex", "priority", "batch"), as the provider calls it in its answers.

    `multiplier` is what the rates of tokens are multiplied by, in millionths; `rates` are the
    product, tiers included, and have no grades of their own.
    """

    name: str
    multiplier: int
    rates: Rates


UNPRICED: Final = Rates(input=0, output=0, version="none", source="none")
"""What a call is charged by where no price is known."""

TOKEN_RATES: Final = (
    "input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "reasoning",
    "input_audio",
    "output_audio",
)


def with_grades(rates: Rates, multipliers: tuple[tuple[str, int], ...]) -> Rates:
    """The rates with the prices of these grades worked out, each rounded up."""
    if not multipliers:
        return rates
    grades = tuple(Grade(name, each, _multiplied(rates, each)) for name, each in multipliers)
    return replace(rates, grades=grades)


def _multiplied(rates: Rates, multiplier: int) -> Rates:
    values: dict[str, Any] = {
        name: None
        if (rate := getattr(rates, name)) is None
        else -(-rate * multiplier // GRADE_SCALE)
        for name in TOKEN_RATES
    }
    tiers = tuple(
        Tier(each.over_tokens, _multiplied(each.rates, multiplier)) for each in rates.tiers
    )
    return replace(rates, **values, tiers=tiers, grades=())
