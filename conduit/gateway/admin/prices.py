"""Admin operations on prices: those an operator set, over those of the shipped book."""

from collections.abc import Iterator
from typing import Any

from conduit.core.errors import NotFoundError, ValidationFailedError
from conduit.core.events import EventKind
from conduit.core.ids import now_ms
from conduit.core.resources.fields import ModelName, Page, Resource, Time, time_ms, time_text
from conduit.core.resources.prices import NewPrice, PastPrice, PriceState, PriceView
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.probes import rates_in_force
from conduit.gateway.admin.wire import ListQuery, QueryBool, page, validated
from conduit.gateway.pricing import Rates
from conduit.gateway.pricing.lookup import EVERY_MODEL
from conduit.gateway.pricing.stated import OVERRIDE, rates_of, stored, view
from conduit.gateway.storage import prices, providers
from conduit.gateway.storage.engine import reading, writing
from conduit.gateway.storage.prices import StoredPrice
from conduit.gateway.storage.rows import page_of

_ONE = "/admin/prices/{provider}/{model:.+}"  # a model may hold slashes


class PriceQuery(ListQuery):
    """`all` lists the whole book instead of what is mapped, `planned` what is to take effect."""

    provider: str | None = None
    model: ModelName | None = None
    all: QueryBool = False
    planned: QueryBool = False


class PlanQuery(Resource):
    """`effective_from` names one price that is planned; without it, all of a model are meant."""

    effective_from: Time | None = None


class _Priced(Resource):
    """What a path names."""

    model: ModelName


async def _list(call: Call[None, PriceQuery]) -> Page[PriceView]:
    admin, query = call.admin, call.query
    if query.planned:
        return _planned(admin, query)
    snapshot = admin.configuration.snapshot
    rows = dict(_whole_book(admin)) if query.all else dict(_mapped(admin))
    rows.update({_key(*named): rates for named, rates in snapshot.rates.items()})
    wanted = sorted(
        (key, rates)
        for key, rates in rows.items()
        if query.provider in (None, _named(key)[0]) and query.model in (None, _named(key)[1])
    )
    found = page_of(wanted, lambda row: row[0], query.window())
    return page(found, [shown(admin, *_named(key), rates) for key, rates in found.rows])


def _planned(admin: AdminContext, query: PriceQuery) -> Page[PriceView]:
    wanted = sorted(
        (f"{_key(each.provider, each.model)}\t{each.effective_from_ms:020d}", each)
        for each in admin.configuration.planned_prices()
        if query.provider in (None, each.provider) and query.model in (None, each.model)
    )
    found = page_of(wanted, lambda row: row[0], query.window())
    return page(found, [_as_set(each) for _, each in found.rows])


def _as_set(price: StoredPrice) -> PriceView:
    since_ms = price.effective_from_ms
    rates = rates_of(price)
    return view(price.provider, price.model, rates, since_ms=since_ms, set_for=price.model)


async def _show(call: Call[None, None]) -> PriceView:
    admin, model = call.admin, call.names["model"]
    async with reading(admin.database) as connection:
        provider = (await providers.find(connection, call.names["provider"])).name
    rates = rates_in_force(admin, provider, model)
    if rates is None:
        raise no_price(provider, model)
    return shown(admin, provider, model, rates)


async def _set(call: Call[NewPrice, None]) -> PriceView:
    admin, wanted = call.admin, call.body
    model = validated(_Priced, {"model": call.names["model"]}).model
    at_ms = now_ms()
    since_ms = _since(wanted, at_ms)
    async with writing(admin.database, by=call.by) as connection:
        provider = await providers.find(connection, call.names["provider"])
        price = stored((provider.name, model), wanted, set_at_ms=at_ms, effective_from_ms=since_ms)
        price = await prices.put(connection, price)
    planned = price.is_planned(at_ms)
    await admin.announce(
        EventKind.PRICE_SET,
        {
            **_facts(price.provider, price.model),
            "effective_from_ms": price.effective_from_ms if planned else None,
        },
    )
    return _as_set(price)


def _since(wanted: NewPrice, at_ms: int) -> int:
    """From when a price is to count. Raises ValidationFailedError for the past: what was charged
    stays charged.
    """
    if wanted.effective_from is None:
        return at_ms
    since_ms = time_ms(wanted.effective_from)
    if since_ms <= at_ms:
        raise ValidationFailedError(
            f"effective_from: {wanted.effective_from} is past, and calls have been charged since; "
            "leave it out for a price that counts from now on",
            param="effective_from",
        )
    return since_ms


async def _delete(call: Call[None, PlanQuery]) -> None:
    admin, model = call.admin, call.names["model"]
    planned = call.query.effective_from
    since_ms = None if planned is None else time_ms(planned)
    async with writing(admin.database, by=call.by) as connection:
        provider = await providers.find(connection, call.names["provider"])
        if since_ms is None:
            await prices.remove(connection, provider.name, model)
        else:
            await prices.remove_planned(connection, provider.name, model, since_ms)
    await admin.announce(
        EventKind.PRICE_REMOVED,
        {**_facts(provider.name, model), "effective_from_ms": since_ms},
    )


async def _history(call: Call[None, ListQuery]) -> Page[PastPrice]:
    """The last price first."""
    admin, query = call.admin, call.query
    provider, model = call.names["provider"], call.names["model"]
    async with reading(admin.database) as connection:
        rows = await prices.history(connection, provider, model)
        if not rows:
            await providers.find(connection, provider)
    numbered = list(zip(map(_place, range(len(rows))), _periods(rows), strict=True))
    found = page_of(numbered, lambda row: row[0], query.window())
    return page(found, [_past(each, until_ms) for _, (each, until_ms) in found.rows])


def _place(number: int) -> str:
    """What rows are paged by: text that sorts as the numbers do."""
    return f"{number:09d}"


def _periods(rows: tuple[StoredPrice, ...]) -> Iterator[tuple[StoredPrice, int | None]]:
    """Each price, the last first, with when it stops to count: None where nothing says."""
    next_ms: int | None = None
    for price in rows:
        ends = [each for each in (price.ended_at_ms, next_ms) if each is not None]
        yield price, min(ends, default=None)
        next_ms = price.effective_from_ms


def _past(price: StoredPrice, until_ms: int | None) -> PastPrice:
    at_ms = now_ms()
    state: PriceState = "in_force"
    if price.is_planned(at_ms):
        state = "planned"
    elif until_ms is not None and until_ms <= max(at_ms, price.set_at_ms):
        state = "past"
    return PastPrice(
        **_as_set(price).model_dump(),
        state=state,
        set_at=str(time_text(price.set_at_ms)),
        effective_until=time_text(until_ms),
    )


def shown(admin: AdminContext, provider: str, model: str, rates: Rates) -> PriceView:
    """A price in force, with since when it counts where it was set."""
    price = None
    if rates.source == OVERRIDE:
        counting = admin.configuration.prices_in_force()
        price = counting.get((provider, model)) or counting.get((provider, EVERY_MODEL))
    if price is None:
        return view(provider, model, rates)
    since_ms = price.effective_from_ms
    return view(provider, model, rates, since_ms=since_ms, set_for=price.model)


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


def no_price(provider: str, model: str) -> NotFoundError:
    return NotFoundError(
        f"no price is known for {provider}/{model}",
        hint=f"set one with conduit prices set {provider}/{model}",
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
        "prices.set", "PUT", _ONE, "Set the price of a model", _set, PriceView, body=NewPrice
    ),
    AdminOperation(
        "prices.delete",
        "DELETE",
        _ONE,
        "Take back the price of a model that was set, or one that is planned",
        _delete,
        None,
        query=PlanQuery,
    ),
    AdminOperation(
        "prices.history",
        "GET",
        "/admin/price-history/{provider}/{model:.+}",
        "List the prices that were set for a model, and those that are planned",
        _history,
        Page[PastPrice],
        query=ListQuery,
    ),
)
