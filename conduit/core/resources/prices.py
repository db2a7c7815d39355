"""Prices of models, in USD per million units."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema, field_validator

from conduit.core.money import format_multiplier, parse_multiplier
from conduit.core.resources.fields import ModelName, Resource, Time, Usd
from conduit.core.units import check_unit

_UNIT = r"^(images|audio_minutes|characters|video_seconds|searches)(:[A-Za-z0-9._-]{1,32})*$"
_MULTIPLIER = r"^[0-9]{1,4}(\.[0-9]{1,6})?$"


def _canonical_multiplier(text: str) -> str:
    return format_multiplier(parse_multiplier(text))


UnitName = Annotated[
    str,
    AfterValidator(check_unit),
    WithJsonSchema({"type": "string", "pattern": _UNIT, "examples": ["images:1024x1024:high"]}),
]
Multiplier = Annotated[
    str,
    AfterValidator(_canonical_multiplier),
    WithJsonSchema({"type": "string", "pattern": _MULTIPLIER, "examples": ["0.5"]}),
]
ServiceTier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")]


class PriceTier(Resource):
    """Prices of a call whose whole input has more than `over_tokens` tokens.

    What is left out is as for a shorter one.
    """

    over_tokens: int = Field(ge=1, le=1_000_000_000)
    input: Usd | None = None
    output: Usd | None = None
    cache_read: Usd | None = None
    cache_write_5m: Usd | None = None
    cache_write_1h: Usd | None = None
    reasoning: Usd | None = None
    input_audio: Usd | None = None
    output_audio: Usd | None = None


class PriceFields(Resource):
    """USD per million tokens of each component; `request` is USD for each call, or for
    each search unit of a ranking: a query over up to 100 documents.

    - `tiers`: prices of calls with a longer input.
    - `service_tiers`: what the prices of tokens are multiplied by for a grade of service, by the
      name that the provider has for it in its answers.
    - `units`: USD for what is sold by the piece: an image, a minute of audio, a million characters,
      a second of video, a thousand searches. A name may say what its price depends on.
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
    tiers: list[PriceTier] = Field(default_factory=list, max_length=16)
    service_tiers: dict[ServiceTier, Multiplier] = Field(default_factory=dict, max_length=16)
    units: dict[UnitName, Usd] = Field(default_factory=dict, max_length=64)

    @field_validator("tiers")
    @classmethod
    def _ascend(cls, tiers: list[PriceTier]) -> list[PriceTier]:
        ordered = sorted(tiers, key=lambda tier: tier.over_tokens)
        if len({tier.over_tokens for tier in ordered}) < len(ordered):
            raise ValueError("two of them are over the same number of tokens")
        return ordered


class NewPrice(PriceFields):
    """A price to be set: for at once, or from a moment that is still to come."""

    effective_from: Time | None = None


class PriceView(PriceFields):
    """`source` is "override" or "book"; `version` says which one.

    `effective_from` is since when a price that was set counts, and `set_for` the model that it was
    set for, `*` where that is all of the provider; null for one of the book.
    """

    provider: str
    model: str
    source: str
    price_version: str
    effective_from: Time | None = None
    set_for: str | None = None


PriceState = Literal["planned", "in_force", "past"]


class PastPrice(PriceView):
    """A price that was set, with when it counts: until `effective_until`, null where it has no end.

    One that was replaced, or taken back, before it ever counted is not kept.
    """

    state: PriceState
    set_at: Time
    effective_until: Time | None = None


Layer = Literal["model", "provider", "book", "default"]


class PriceLayer(Resource):
    """A place where a price may stand; `price` is null where none does. `reason` is why it counts,
    or why not.
    """

    layer: Layer
    entry: str | None
    price: PriceView | None
    wins: bool
    reason: str


class PriceExplanation(Resource):
    """Which price is in force for a model, and why: the first layer that has one counts.

    `sold_by` is what each price is for, by the name of its component. `next` is a price that is
    planned to take its place. With a version asked for, `price` is the one of that version.
    """

    provider: str
    model: str
    reason: str
    price: PriceView | None
    tiers: list[PriceTier]
    units: Literal["USD per million tokens"] = "USD per million tokens"
    sold_by: dict[str, str] = Field(default_factory=dict)
    vendor: str | None
    book_version: str
    layers: list[PriceLayer]
    next: PriceView | None = None
    unknown_price: str = ""


Quantity = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{1,15}(\.[0-9]{1,6})?$"), Field(examples=["1.5"])
]


class NewPriceEstimate(Resource):
    """A call to be priced; the cached, the written and the audio tokens are among those of the
    input, the reasoning and the spoken ones among those of the output.

    `requests` is how often a price per request counts: the search units of a ranking. `units` are
    what else is used: so many images, minutes, characters, seconds or searches.
    """

    provider: str
    model: ModelName
    input_tokens: int = Field(ge=0, le=1_000_000_000)
    output_tokens: int = Field(ge=0, le=1_000_000_000)
    cache_read_tokens: int = Field(default=0, ge=0, le=1_000_000_000)
    cache_write_5m_tokens: int = Field(default=0, ge=0, le=1_000_000_000)
    cache_write_1h_tokens: int = Field(default=0, ge=0, le=1_000_000_000)
    input_audio_tokens: int = Field(default=0, ge=0, le=1_000_000_000)
    reasoning_tokens: int = Field(default=0, ge=0, le=1_000_000_000)
    output_audio_tokens: int = Field(default=0, ge=0, le=1_000_000_000)
    requests: int = Field(default=1, ge=1, le=1_000_000)
    units: dict[UnitName, Quantity] = Field(default_factory=dict, max_length=64)
    service_tier: ServiceTier | None = None


class PriceEstimate(Resource):
    """`cost` in USD if the tokens are what was said; `at_most` is what a budget would hold.

    `components` are the parts of the cost.
    """

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
    components: dict[str, str] = Field(default_factory=dict)
