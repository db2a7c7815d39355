"""Admin operations that explain a price, and what a call would cost by it."""

from conduit.core.errors import NotFoundError, ValidationFailedError
from conduit.core.money import format_usd
from conduit.core.resources.prices import (
    Layer,
    NewPriceEstimate,
    PriceEstimate,
    PriceExplanation,
    PriceLayer,
    PriceTier,
)
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.prices import no_price, view
from conduit.gateway.admin.probes import rates_in_force
from conduit.gateway.conversation import Usage
from conduit.gateway.pricing import Rates, Tier
from conduit.gateway.pricing.cost import cost_of, upper_bound
from conduit.gateway.pricing.lookup import EVERY_MODEL
from conduit.gateway.storage import providers
from conduit.gateway.storage.engine import reading


async def _explain(call: Call[None, None]) -> PriceExplanation:
    admin, model = call.admin, call.names["model"]
    async with reading(admin.database) as connection:
        provider = (await providers.find(connection, call.names["provider"])).name
    rates = rates_in_force(admin, provider, model)
    layers = _layers(admin, provider, model)
    return PriceExplanation(
        provider=provider,
        model=model,
        reason=_reason(layers),
        price=None if rates is None else view(provider, model, rates),
        tiers=[] if rates is None else [_tier(each) for each in rates.tiers],
        vendor=_vendor(admin, provider),
        book_version=admin.book.version,
        layers=layers,
    )


async def _estimate(call: Call[NewPriceEstimate, None]) -> PriceEstimate:
    admin, wanted = call.admin, call.body
    if wanted.cache_read_tokens > wanted.input_tokens:
        raise ValidationFailedError(
            "cache_read_tokens: they are among the input tokens, and there are more of them",
            param="cache_read_tokens",
        )
    async with reading(admin.database) as connection:
        provider = (await providers.find(connection, wanted.provider)).name
    rates = rates_in_force(admin, provider, wanted.model)
    if rates is None:
        raise no_price(provider, wanted.model)
    usage = Usage(
        input_tokens=wanted.input_tokens - wanted.cache_read_tokens,
        cache_read_tokens=wanted.cache_read_tokens,
        output_tokens=wanted.output_tokens,
        requests=wanted.requests,
    )
    at_most = upper_bound(
        wanted.input_tokens, wanted.output_tokens, rates, requests=wanted.requests
    )
    return PriceEstimate(
        provider=provider,
        model=wanted.model,
        input_tokens=wanted.input_tokens,
        output_tokens=wanted.output_tokens,
        cache_read_tokens=wanted.cache_read_tokens,
        requests=wanted.requests,
        cost=format_usd(cost_of(usage, rates)),
        at_most=format_usd(at_most),
        price_version=rates.version,
        source=rates.source,
    )


def _vendor(admin: AdminContext, provider: str) -> str | None:
    """The provider's name in the price book."""
    upstream = admin.configuration.snapshot.upstreams.get(provider)
    return None if upstream is None else upstream.provider.type.prices


def _layers(admin: AdminContext, provider: str, model: str) -> list[PriceLayer]:
    """Where a price may stand, the strongest first."""
    overrides = admin.configuration.snapshot.rates
    vendor = _vendor(admin, provider)
    entry = None if vendor is None else admin.book.entry(vendor, model)
    listed = None if vendor is None else admin.book.rates(vendor, model)

    def layer(name: Layer, entry: str | None, rates: Rates | None) -> PriceLayer:
        price = None if rates is None else view(provider, model, rates)
        return PriceLayer(layer=name, entry=entry, price=price)

    own, every = (provider, model), (provider, EVERY_MODEL)
    return [
        layer("model", "/".join(own), overrides.get(own)),
        layer("provider", "/".join(every), overrides.get(every)),
        layer("book", "/".join(entry) if entry else None, listed),
    ]


def _reason(layers: list[PriceLayer]) -> str:
    """Why the price in force is that one, in a sentence."""
    first = next((each for each in layers if each.price is not None), None)
    if first is None or first.price is None:
        return "no price is known: none was set, and the price book has none"
    match first.layer:
        case "model":
            return "a price was set for this model, which counts before the price book"
        case "provider":
            return f"a price was set for every model of the provider, as {first.entry}"
        case "book":
            return f"the price book {first.price.price_version} has it as {first.entry}"


def _tier(tier: Tier) -> PriceTier:
    cached = tier.rates.cache_read
    return PriceTier(
        over_tokens=tier.over_tokens,
        input=format_usd(tier.rates.input),
        output=format_usd(tier.rates.output),
        cache_read=None if cached is None else format_usd(cached),
    )


OPERATIONS = (
    AdminOperation(
        "prices.explain",
        "GET",
        "/admin/price-explanations/{provider}/{model:.+}",
        "Explain which price is in force for a model, and why",
        _explain,
        PriceExplanation,
    ),
    AdminOperation(
        "prices.estimate",
        "POST",
        "/admin/price-estimates",
        "Work out what a call would cost",
        _estimate,
        PriceEstimate,
        body=NewPriceEstimate,
        errors=(NotFoundError,),
    ),
)
