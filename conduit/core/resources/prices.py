"""Prices of models, in USD per million units."""

from typing import Literal

from pydantic import Field

from conduit.core.resources.fields import ModelName, Resource, Usd


class PriceFields(Resource):
    """USD per million tokens of each component; `request` is USD for each call, or for
    each search unit of a ranking: a query over up to 100 documents.
    """

    input: Usd
    output: Usd
    cache_read: Usd | None = None
    cache_write_5m: Usd | None = None
    cache_write_1h: Usd | None = None
    reasoning: Usd | None = None
    input_audio: Usd | None = None
    output_audio: Usd | None = None
    request: Usd = "0"
    max_output_tokens: int | None = Field(default=None, ge=1, le=100_000_000)
    context_tokens: int | None = Field(default=None, ge=1, le=1_000_000_000)


class PriceView(PriceFields):
    """`source` is "override" or "book"; `version` says which one."""

    provider: str
    model: str
    source: str
    price_version: str


class PriceTier(Resource):
    """Prices of a call whose whole input has more than `over_tokens` tokens."""

    over_tokens: int
    input: str
    output: str
    cache_read: str | None


Layer = Literal["model", "provider", "book"]


class PriceLayer(Resource):
    """A place where a price may stand; `price` is null where none does."""

    layer: Layer
    entry: str | None
    price: PriceView | None


class PriceExplanation(Resource):
    """Which price is in force for a model, and why: the first layer that has one counts."""

    provider: str
    model: str
    reason: str
    price: PriceView | None
    tiers: list[PriceTier]
    units: Literal["USD per million tokens"] = "USD per million tokens"
    vendor: str | None
    book_version: str
    layers: list[PriceLayer]


class NewPriceEstimate(Resource):
    """A call to be priced; the cached tokens are among those of the input.

    `requests` is how often a price per request counts: the search units of a ranking.
    """

    provider: str
    model: ModelName
    input_tokens: int = Field(ge=0, le=1_000_000_000)
    output_tokens: int = Field(ge=0, le=1_000_000_000)
    cache_read_tokens: int = Field(default=0, ge=0, le=1_000_000_000)
    requests: int = Field(default=1, ge=1, le=1_000_000)


class PriceEstimate(Resource):
    """`cost` in USD if the tokens are what was said; `at_most` is what a budget would hold."""

    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    requests: int
    cost: str
    at_most: str
    price_version: str
    source: str
