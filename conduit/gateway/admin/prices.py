"""Admin operations on prices: those an operator set, over those of the shipped book."""

from collections.abc import Iterator
from typing import Any

from conduit.core.errors import NotFoundError
from conduit.core.events import EventKind
from conduit.core.ids import now_ms
from conduit.core.money import format_usd, parse_usd
from conduit.core.resources.fields import ModelName, Page, Resource
from conduit.core.resources.prices import PriceFields, PriceView
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.probes import rates_in_force
from conduit.gateway.admin.wire import ListQuery, QueryBool, page, validated
from conduit.gateway.configuration import rates_of
from conduit.gateway.pricing import Rates
from conduit.gateway.storage import prices, providers
from conduit.gateway.storage.engine import reading, writing
from conduit.gateway.storage.prices import StoredPrice
from conduit.gateway.storage.rows import page_of

_ONE = "/admin/prices/{provider}/{model:.+}"  # a model may hold slashes
_AMOUNTS = (
    "input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "reasoning",
    "input_audio",
    "output_audio",
)


class PriceQuery(ListQuery):
    """`all` lists the whole book instead of what is mapped."""

    provider: str | None = None
    model: ModelName | None = None
    all: QueryBool = False


class _Priced(Resource):
    """What a path names."""

    model: ModelName


async def _list(call: Call[None, PriceQuery]) -> Page[PriceView]:
    admin, query = call.admin, call.query
    snapshot = admin.configuration.snapshot
    rows = dict(_whole_book(admin)) if query.all else dict(_mapped(admin))
    rows.update({_key(*named): rates for named, rates in snapshot.rates.items()})
    wanted = sorted(
        (key, rates)
        for key, rates in rows.items()
        if query.provider in (None, _named(key)[0]) and query.model in (None, _named(key)[1])
    )
    found = page_of(wanted, lambda row: row[0], query.window())
    return page(found, [view(*_named(key), rates) for key, rates in found.rows])


async def _show(call: Call[None, None]) -> PriceView:
    admin, model = call.admin, call.names["model"]
    async with reading(admin.database) as connection:
        provider = (await providers.find(connection, call.names["provider"])).name
    rates = rates_in_force(admin, provider, model)
    if rates is None:
        raise no_price(provider, model)
    return view(provider, model, rates)


async def _set(call: Call[PriceFields, None]) -> PriceView:
    admin, wanted = call.admin, call.body
    model = validated(_Priced, {"model": call.names["model"]}).model
    async with writing(admin.database, by=call.by) as connection:
        provider = await providers.find(connection, call.names["provider"])
        price = _stored(provider.name, model, wanted)
        price = await prices.put(connection, price)
    await admin.announce(EventKind.PRICE_SET, _facts(price.provider, price.model))
    return view(price.provider, price.model, rates_of(price))


async def _delete(call: Call[None, None]) -> None:
    admin, model = call.admin, call.names["model"]
    async with writing(admin.database, by=call.by) as connection:
        provider = await providers.find(connection, call.names["provider"])
        await prices.remove(connection, provider.name, model)
    await admin.announce(EventKind.PRICE_REMOVED, _facts(provider.name, model))


def _mapped(admin: AdminContext) -> Iterator[tuple[str, Rates]]:
    """The book's prices of all models that mappings name."""
    for mapping in admin.configuration.snapshot.mappings.values():
        for target in mapping.targets:
            rates = rates_in_force(admin, target.provider, target.model)
            if rates is not None:
                yield _key(target.provider, target.model), rates


def _whole_book(admin: AdminContext) -> Iterator[tuple[str, Rates]]:
    """Every row, under the name that the vendor has in the book."""
    for vendor, model, rates in admin.book.rows():
        yield _key(vendor, model), rates


def _key(provider: str, model: str) -> str:
    """What prices are sorted by; neither name can hold a tab."""
    return f"{provider}\t{model}"


def _named(key: str) -> tuple[str, str]:
    provider, _, model = key.partition("\t")
    return provider, model


def _stored(provider: str, model: str, wanted: PriceFields) -> StoredPrice:
    amounts: dict[str, Any] = {
        name: None if (amount := getattr(wanted, name)) is None else parse_usd(amount)
        for name in _AMOUNTS
    }
    return StoredPrice(
        provider=provider,
        model=model,
        **amounts,
        per_request=parse_usd(wanted.request),
        max_output_tokens=wanted.max_output_tokens,
        context_tokens=wanted.context_tokens,
        updated_at_ms=now_ms(),
    )


def no_price(provider: str, model: str) -> NotFoundError:
    return NotFoundError(
        f"no price is known for {provider}/{model}",
        hint=f"set one with conduit prices set {provider}/{model}",
    )


def view(provider: str, model: str, rates: Rates) -> PriceView:
    amounts: dict[str, Any] = {
        name: None if (amount := getattr(rates, name)) is None else format_usd(amount)
        for name in _AMOUNTS
    }
    return PriceView(
        provider=provider,
        model=model,
        **amounts,
        request=format_usd(rates.per_request),
        max_output_tokens=rates.max_output_tokens,
        context_tokens=rates.context_tokens,
        source=rates.source,
        price_version=rates.version,
    )


def _facts(provider: str, model: str) -> dict[str, Any]:
    return {"provider": provider, "model": model}


OPERATIONS = (
    AdminOperation(
        "prices.list",
        "GET",
        "/admin/prices",
        "List the prices of mapped models, or the whole book",
        _list,
        Page[PriceView],
        query=PriceQuery,
    ),
    AdminOperation(
        "prices.show", "GET", _ONE, "Show the price in force of a model", _show, PriceView
    ),
    AdminOperation(
        "prices.set", "PUT", _ONE, "Set the price of a model", _set, PriceView, body=PriceFields
    ),
    AdminOperation(
        "prices.delete", "DELETE", _ONE, "Take a price back that was set", _delete, None
    ),
)
