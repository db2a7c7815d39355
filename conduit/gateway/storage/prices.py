"""Statements for the prices that an operator has set."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.errors import NotFoundError
from conduit.core.ids import now_ms
from conduit.core.resources.fields import time_text
from conduit.gateway.storage.revisions import Change, State, note
from conduit.gateway.storage.schema import prices


@dataclass(frozen=True, slots=True)
class StoredPrice:
    """Nano-dollars per million units of one model of one provider, which is given by name.

    It counts from `effective_from_ms` until `ended_at_ms`, or until another one counts.
    `set_at_ms` is its own among those of its model. `tiers` are rates by `over_tokens`,
    `service_tiers` multipliers in millionths, `units` nano-dollars by the names of `core/units.py`.
    """

    provider: str
    model: str
    set_at_ms: int
    effective_from_ms: int
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
    tiers: Sequence[Mapping[str, int]] = field(default_factory=list)
    service_tiers: Mapping[str, int] = field(default_factory=dict)
    units: Mapping[str, int] = field(default_factory=dict)
    ended_at_ms: int | None = None

    def is_planned(self, at_ms: int) -> bool:
        """Whether it counts only later. One that was set for at once never does, even where the
        clock stood still meanwhile.
        """
        return self.effective_from_ms > max(at_ms, self.set_at_ms)


_NOT_TOLD = ("provider", "model", "set_at_ms", "effective_from_ms", "ended_at_ms")
_FIELDS = tuple(each.name for each in fields(StoredPrice))
TOLD = tuple(name for name in _FIELDS if name not in _NOT_TOLD)


def in_force(rows: Iterable[StoredPrice], at_ms: int) -> dict[tuple[str, str], StoredPrice]:
    """The price that counts at a moment, by provider and model."""
    found: dict[tuple[str, str], StoredPrice] = {}
    for price in sorted(rows, key=lambda each: (each.effective_from_ms, each.set_at_ms)):
        has_ended = price.ended_at_ms is not None and price.ended_at_ms <= at_ms
        if not price.is_planned(at_ms) and not has_ended:
            found[price.provider, price.model] = price
    return found


async def everything(connection: AsyncConnection) -> tuple[StoredPrice, ...]:
    """All that count now or will, and few that another one has followed."""
    found = await connection.execute(
        select(prices)
        .where(prices.c.ended_at_ms.is_(None))
        .order_by(prices.c.provider, prices.c.model, prices.c.set_at_ms)
    )
    return tuple(map(_price, found))


async def history(
    connection: AsyncConnection, provider: str, model: str
) -> tuple[StoredPrice, ...]:
    """All that were ever set for a model, the last of them first."""
    found = await connection.execute(
        select(prices)
        .where(_of(provider, model))
        .order_by(prices.c.effective_from_ms.desc(), prices.c.set_at_ms.desc())
    )
    return tuple(map(_price, found))


async def models_of(connection: AsyncConnection, provider: str) -> tuple[str, ...]:
    """The models of a provider for which prices count, or are planned."""
    found = await connection.execute(
        select(prices.c.model)
        .where(prices.c.provider == provider, prices.c.ended_at_ms.is_(None))
        .distinct()
        .order_by(prices.c.model)
    )
    return tuple(found.scalars())


async def put(connection: AsyncConnection, price: StoredPrice) -> StoredPrice:
    """Set a price. The one before it stays in the history; a plan for the same moment does not."""
    rows = await history(connection, price.provider, price.model)
    at_once = price.effective_from_ms <= price.set_at_ms
    last = max((each.set_at_ms for each in rows), default=-1)
    if last >= price.set_at_ms:  # a clock may stand still, or go back
        price = replace(price, set_at_ms=last + 1)
    if at_once:
        price = replace(price, effective_from_ms=price.set_at_ms)
    same_moment = [
        each for each in rows if each.effective_from_ms == price.effective_from_ms and not at_once
    ]
    for each in same_moment:
        await _delete(connection, each)
    before = in_force(rows, price.set_at_ms).get((price.provider, price.model))
    if at_once:
        await _end(connection, price.provider, price.model, price.effective_from_ms)
    await connection.execute(insert(prices).values(_values(price)))
    if at_once:
        former = None if before is None else told(before)
        note(connection, Change("price", f"{price.provider}/{price.model}", former, told(price)))
    else:
        replaced = told(same_moment[0]) if same_moment else None
        note(connection, Change("planned_price", _plan_name(price), replaced, told(price)))
    return price


async def remove(connection: AsyncConnection, provider: str, model: str) -> None:
    """Let no price of a model count any more. Raises NotFoundError where none was set."""
    rows = await history(connection, provider, model)
    at_ms = now_ms()
    last = max((each.set_at_ms for each in rows), default=-1)
    at_ms = max(at_ms, last + 1)  # so that what was set a moment ago has counted
    present = in_force(rows, at_ms).get((provider, model))
    planned = [each for each in rows if each.is_planned(at_ms)]
    if present is None and not planned:
        raise NotFoundError(f"no price was set for {provider}/{model}")
    await _end(connection, provider, model, at_ms)
    if present is not None:
        note(connection, Change("price", f"{provider}/{model}", told(present), None))
    for each in planned:
        await _delete(connection, each)
        note(connection, Change("planned_price", _plan_name(each), told(each), None))


async def remove_planned(
    connection: AsyncConnection, provider: str, model: str, effective_from_ms: int
) -> None:
    """Give up a price that has not counted yet. Raises NotFoundError."""
    rows = await history(connection, provider, model)
    at_ms = now_ms()
    for each in rows:
        if each.effective_from_ms == effective_from_ms and each.is_planned(at_ms):
            await _delete(connection, each)
            note(connection, Change("planned_price", _plan_name(each), told(each), None))
            return
    raise NotFoundError(
        f"no price of {provider}/{model} is planned from {time_text(effective_from_ms)} on",
        hint=f"conduit prices history {provider}/{model}",
    )


async def _end(connection: AsyncConnection, provider: str, model: str, at_ms: int) -> None:
    await connection.execute(
        update(prices)
        .where(
            _of(provider, model),
            prices.c.ended_at_ms.is_(None),
            prices.c.effective_from_ms <= at_ms,
        )
        .values(ended_at_ms=at_ms)
    )


async def _delete(connection: AsyncConnection, price: StoredPrice) -> None:
    await connection.execute(
        delete(prices).where(
            _of(price.provider, price.model), prices.c.set_at_ms == price.set_at_ms
        )
    )


def _of(provider: str, model: str) -> ColumnElement[bool]:
    return and_(prices.c.provider == provider, prices.c.model == model)


def _price(row: Row[Any]) -> StoredPrice:
    return StoredPrice(**row._mapping)


def _values(price: StoredPrice) -> dict[str, Any]:
    values = {name: getattr(price, name) for name in _FIELDS}
    return {**values, "tiers": [dict(each) for each in price.tiers]}


def _plan_name(price: StoredPrice) -> str:
    return f"{price.provider}/{price.model} from {time_text(price.effective_from_ms)}"


def told(price: StoredPrice) -> State:
    """What the history of the configuration tells of it."""
    values = {name: getattr(price, name) for name in TOLD}
    values["tiers"] = [dict(each) for each in price.tiers]
    return {name: value for name, value in values.items() if value not in (None, {}, [])}
