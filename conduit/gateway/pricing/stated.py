"""Prices as an operator states them: as stored, as requests know them, and as shown."""

from collections.abc import Mapping
from typing import Any, Final

from conduit.core.money import format_multiplier, format_usd, parse_multiplier, parse_usd
from conduit.core.resources.fields import time_text
from conduit.core.resources.prices import PriceFields, PriceTier, PriceView
from conduit.core.units import UNITS, base_of
from conduit.gateway.pricing import TOKEN_RATES, Rates, Tier, with_grades
from conduit.gateway.storage.prices import StoredPrice

OVERRIDE: Final = "override"


def version_of(price: StoredPrice) -> str:
    """What the charges that are made by a price remember of it."""
    return f"{OVERRIDE}-{price.set_at_ms}"


def rates_of(price: StoredPrice) -> Rates:
    """The price that an operator set, as the request path knows it."""
    shared: dict[str, Any] = {
        "per_request": price.per_request,
        "max_output_tokens": price.max_output_tokens,
        "context_tokens": price.context_tokens,
        "version": version_of(price),
        "source": OVERRIDE,
        "units": tuple(price.units.items()),
    }
    plain = {name: getattr(price, name) for name in TOKEN_RATES}
    tiers = tuple(
        Tier(each["over_tokens"], Rates(**{**plain, **_rates_in(each)}, **shared))
        for each in price.tiers
    )
    return with_grades(Rates(**plain, **shared, tiers=tiers), tuple(price.service_tiers.items()))


def _rates_in(tier: Mapping[str, int]) -> dict[str, int]:
    return {name: tier[name] for name in TOKEN_RATES if name in tier}


def stored(
    named: tuple[str, str], wanted: PriceFields, *, set_at_ms: int, effective_from_ms: int
) -> StoredPrice:
    """The price of a provider and model as it is stored. Amounts that were checked are taken."""
    return StoredPrice(
        *named,
        set_at_ms=set_at_ms,
        effective_from_ms=effective_from_ms,
        **_parsed(wanted),
        per_request=parse_usd(wanted.request),
        max_output_tokens=wanted.max_output_tokens,
        context_tokens=wanted.context_tokens,
        tiers=[_stored_tier(each) for each in wanted.tiers],
        service_tiers={name: parse_multiplier(x) for name, x in wanted.service_tiers.items()},
        units={name: parse_usd(x) for name, x in wanted.units.items()},
    )


def _stored_tier(tier: PriceTier) -> dict[str, int]:
    given = {name: rate for name, rate in _parsed(tier).items() if rate is not None}
    return {"over_tokens": tier.over_tokens, **given}


def _parsed(amounts: PriceFields | PriceTier) -> dict[str, Any]:
    return {
        name: None if (text := getattr(amounts, name)) is None else parse_usd(text)
        for name in TOKEN_RATES
    }


def view(
    provider: str,
    model: str,
    rates: Rates,
    *,
    since_ms: int | None = None,
    set_for: str | None = None,
) -> PriceView:
    """Rates as they are shown; `since_ms` is from when on they count."""
    return PriceView(
        provider=provider,
        model=model,
        **_formatted(rates),
        request=format_usd(rates.per_request),
        max_output_tokens=rates.max_output_tokens,
        context_tokens=rates.context_tokens,
        tiers=[_tier_view(each, rates) for each in rates.tiers],
        service_tiers={each.name: format_multiplier(each.multiplier) for each in rates.grades},
        units={name: format_usd(price) for name, price in rates.units},
        source=rates.source,
        price_version=rates.version,
        effective_from=time_text(since_ms),
        set_for=set_for,
    )


def _tier_view(tier: Tier, base: Rates) -> PriceTier:
    """What a tier changes of the rates that it is a tier of."""
    changed = {
        name: format_usd(rate)
        for name in TOKEN_RATES
        if (rate := getattr(tier.rates, name)) is not None and rate != getattr(base, name)
    }
    return PriceTier(over_tokens=tier.over_tokens, **changed)


def _formatted(rates: Rates) -> dict[str, Any]:
    return {
        name: None if (rate := getattr(rates, name)) is None else format_usd(rate)
        for name in TOKEN_RATES
    }


def sold_by(rates: Rates) -> dict[str, str]:
    """What each price of these rates is for, in words."""
    known = [name for name in TOKEN_RATES if getattr(rates, name) is not None]
    told = dict.fromkeys(known, "USD per million tokens")
    if rates.per_request:
        told["request"] = "USD per call, or search unit of a ranking"
    return told | {name: f"USD per {UNITS[base_of(name)].told}" for name, _ in rates.units}
