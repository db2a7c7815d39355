"""The price book and the cost of a usage, by which holds and settlements alike are priced."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-dollars per million units of one model; None means "priced as the plain bucket".

    A None cache, reasoning or audio rate falls back to the input or output rate of its side.
    `per_request` is nano-dollars for each call, or for each search unit of a ranking. `version`
    names the price book or the override that these rates came from, `source` the layer: "override",
    "book" or "local". `tiers` rise by their threshold and replace these rates for the whole of a
    call with a longer input.
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


@dataclass(frozen=True, slots=True)
class Tier:
    """The rates of calls whose input, caches included, has more than `over_tokens` tokens.

    Vendors bill such a call at these rates from its first token, not from the threshold on. The
    rates have no tiers of their own.
    """

    over_tokens: int
    rates: Rates
