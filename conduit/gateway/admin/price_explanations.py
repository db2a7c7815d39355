"""Admin operations that explain a price, and what a call would cost by it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from conduit.core.aliases import taken_by
from conduit.core.errors import NotFoundError, ValidationFailedError
from conduit.core.money import format_usd
from conduit.core.resources.fields import ModelName, Resource, time_text
from conduit.core.resources.prices import (
    Layer,
    NewPriceEstimate,
    PriceEstimate,
    PriceExplanation,
    PriceLayer,
    PriceView,
)
from conduit.core.units import count_of
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.prices import no_price, shown
from conduit.gateway.admin.probes import rates_in_force
from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.counts import grade_told
from conduit.gateway.pricing import Rates
from conduit.gateway.pricing.components import components_of
from conduit.gateway.pricing.cost import cost_of, upper_bound
from conduit.gateway.pricing.lookup import EVERY_MODEL
from conduit.gateway.pricing.stated import rates_of, sold_by, version_of, view
from conduit.gateway.storage import prices, providers
from conduit.gateway.storage.engine import reading

_POLICIES = {
    "refuse": "a call to it is refused",
    "free": "a call to it is charged nothing, and refused where a hard budget has to hold",
    "default": "a call to it is charged the default price",
}


class ExplanationQuery(Resource):
    """`version` asks for the price of a charge: the `price_version` of an attempt. `alias` is what
    clients ask for, whose mapping may have a policy of its own for what has no price.
    """

    version: str | None = None
    alias: ModelName | None = None


class _Unpriced(NamedTuple):
    """What becomes of a call to a model without a price, and who says so."""

    policy: str
    default: Rates | None  # where the policy is to charge it
    said_by: str


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a price may stand, and what is said where it does, and where it does not."""

    layer: Layer
    entry: str | None
    rates: Rates | None
    told: str
    missing: str


async def _explain(call: Call[None, ExplanationQuery]) -> PriceExplanation:
    admin, model = call.admin, call.names["model"]
    async with reading(admin.database) as connection:
        provider = (await providers.find(connection, call.names["provider"])).name
    unpriced = _unpriced(admin, call.query.alias)
    layers = _layers(admin, provider, model, unpriced)
    winner = next((each for each in layers if each.wins), None)
    rates = rates_in_force(admin, provider, model) or unpriced.default
    price = None if winner is None else winner.price
    reason = _why_none(unpriced) if winner is None else winner.reason
    version = call.query.version
    if version is not None:
        rates, price, reason = await _of_version(admin, (provider, model), version)
    planned = admin.configuration.planned_price(provider, model)
    return PriceExplanation(
        provider=provider,
        model=model,
        reason=reason,
        price=price,
        tiers=[] if price is None else price.tiers,
        sold_by={} if rates is None else sold_by(rates),
        vendor=_vendor(admin, provider),
        book_version=admin.book.version,
        layers=layers,
        next=None
        if planned is None
        else view(provider, model, rates_of(planned), since_ms=planned.effective_from_ms),
        unknown_price=unpriced.policy,
    )


async def _estimate(call: Call[NewPriceEstimate, None]) -> PriceEstimate:
    admin, wanted = call.admin, call.body
    usage = _usage(wanted)
    async with reading(admin.database) as connection:
        provider = (await providers.find(connection, wanted.provider)).name
    rates = rates_in_force(admin, provider, wanted.model) or _unpriced(admin, None).default
    if rates is None:
        raise no_price(provider, wanted.model)
    at_most = upper_bound(
        wanted.input_tokens,
        wanted.output_tokens,
        rates,
        requests=wanted.requests,
        units=usage.units,
        service_tier=wanted.service_tier,
    )
    parts = components_of(usage, rates)
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
        components={name: format_usd(cost) for name, cost in parts.items()},
    )


_INPUT_PARTS = (
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
)
_OUTPUT_PARTS = ("reasoning_tokens", "output_audio_tokens")


def _usage(wanted: NewPriceEstimate) -> Usage:
    """Raises ValidationFailedError where parts are more than what they are parts of."""
    units = []
    for name, text in wanted.units.items():
        try:
            units.append((name, count_of(name, text)))
        except ValueError as error:
            raise ValidationFailedError(f"units: {error}", param="units") from error
    parts = {name: getattr(wanted, name) for name in (*_INPUT_PARTS, *_OUTPUT_PARTS)}
    return Usage(
        input_tokens=_rest(wanted.input_tokens, parts, _INPUT_PARTS, "input"),
        output_tokens=_rest(wanted.output_tokens, parts, _OUTPUT_PARTS, "output"),
        **parts,
        requests=wanted.requests,
        units=tuple(units),
        service_tier=grade_told(wanted.service_tier),
    )


def _rest(total: int, parts: dict[str, int], names: Sequence[str], side: str) -> int:
    rest = total - sum(parts[name] for name in names)
    if rest < 0:
        name = next(name for name in names if parts[name])
        raise ValidationFailedError(
            f"{name}: they are among the {side} tokens, and there are more of them", param=name
        )
    return rest


def _unpriced(admin: AdminContext, alias: str | None) -> _Unpriced:
    """By the mapping that an alias means where it has a word of its own, else by the setting."""
    mappings = admin.configuration.snapshot.mappings
    taken = None if alias is None else taken_by(alias, mappings)
    own = None if taken is None else mappings[taken].policy.unknown_price
    unknown = admin.unknown_price()
    policy = unknown.policy_for(own)
    said_by = (
        "the setting unknown_price" if own is None else f"unknown_price of the mapping {taken}"
    )
    return _Unpriced(policy, unknown.default if policy == "default" else None, said_by)


def _vendor(admin: AdminContext, provider: str) -> str | None:
    """The provider's name in the price book."""
    upstream = admin.configuration.snapshot.upstreams.get(provider)
    return None if upstream is None else upstream.provider.type.prices


def _layers(
    admin: AdminContext, provider: str, model: str, unpriced: _Unpriced
) -> list[PriceLayer]:
    """Where a price may stand, the strongest first, with why each counts or does not."""
    winner: str | None = None
    layers = []
    for place in _places(admin, provider, model, unpriced):
        wins = winner is None and place.rates is not None
        if place.rates is None:
            reason = place.missing
        elif winner is None:
            reason, winner = place.told, place.told.partition(";")[0]
        else:
            reason = f"does not count: {winner}"
        price = None if place.rates is None else shown(admin, provider, model, place.rates)
        layers.append(
            PriceLayer(layer=place.layer, entry=place.entry, price=price, wins=wins, reason=reason)
        )
    return layers


def _places(admin: AdminContext, provider: str, model: str, unpriced: _Unpriced) -> list[_Place]:
    overrides = admin.configuration.snapshot.rates
    vendor = _vendor(admin, provider)
    entry = None if vendor is None else admin.book.entry(vendor, model)
    listed = None if vendor is None else admin.book.rates(vendor, model)
    own, every = (provider, model), (provider, EVERY_MODEL)
    in_book = "/".join(entry) if entry else None
    own_plan, every_plan = _planned(admin, *own), _planned(admin, *every)
    return [
        _Place(
            "model",
            "/".join(own),
            overrides.get(own),
            "a price was set for this model, which counts before the price book" + own_plan,
            "no price was set for this model" + own_plan,
        ),
        _Place(
            "provider",
            "/".join(every),
            overrides.get(every),
            f"a price was set for every model of the provider, as {'/'.join(every)}" + every_plan,
            "no price was set for every model of the provider" + every_plan,
        ),
        _Place(
            "book",
            in_book,
            listed,
            "" if listed is None else f"the price book {listed.version} has it as {in_book}",
            f"the price book {admin.book.version} has no row that the name fits"
            if vendor is not None
            else "the price book has nothing of this provider's type",
        ),
        _Place(
            "default",
            None,
            unpriced.default,
            f"{unpriced.said_by} gives a default price to what has none",
            f"{unpriced.said_by} is {unpriced.policy}: no price is made up",
        ),
    ]


def _planned(admin: AdminContext, provider: str, model: str) -> str:
    planned = admin.configuration.planned_price(provider, model)
    return f"; one is planned from {time_text(planned.effective_from_ms)} on" if planned else ""


def _why_none(unpriced: _Unpriced) -> str:
    told = _POLICIES[unpriced.policy]
    return f"no price is known: none was set, and the price book has none; {told}"


async def _of_version(
    admin: AdminContext, named: tuple[str, str], version: str
) -> tuple[Rates, PriceView, str]:
    """The price that charges of a version were made by. Raises NotFoundError."""
    provider, model = named
    async with reading(admin.database) as connection:
        for each in (model, EVERY_MODEL):
            for price in await prices.history(connection, provider, each):
                if version_of(price) == version:
                    since_ms = price.effective_from_ms
                    rates = rates_of(price)
                    reason = f"it was set for {provider}/{each} at {time_text(price.set_at_ms)}"
                    return rates, view(provider, model, rates, since_ms=since_ms), reason
    vendor = _vendor(admin, provider)
    listed = None if vendor is None else admin.book.rates(vendor, model)
    if listed is not None and listed.version == version:
        entry = admin.book.entry(str(vendor), model)
        reason = f"the price book {version} has it as {'/'.join(entry or (provider, model))}"
        return listed, view(provider, model, listed), reason
    default = admin.unknown_price().default
    if default is not None and default.version == version:
        return default, view(provider, model, default), "it is the setting default_price"
    raise NotFoundError(
        f"no price {version} of {provider}/{model} is known",
        hint=f"the price book in force is {admin.book.version}; "
        f"conduit prices history {provider}/{model} lists what was set",
    )


OPERATIONS = (
    AdminOperation(
        "prices.explain",
        "GET",
        "/admin/price-explanations/{provider}/{model:.+}",
        "Explain which price is in force for a model, and why",
        _explain,
        PriceExplanation,
        query=ExplanationQuery,
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
