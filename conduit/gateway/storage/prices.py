"""Statements for the prices that an operator has set."""

from dataclasses import dataclass, fields, replace
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.errors import NotFoundError
from conduit.gateway.storage.revisions import Change, State, note
from conduit.gateway.storage.schema import prices


@dataclass(frozen=True, slots=True)
class StoredPrice:
    """Nano-dollars per million units of one model of one provider, which is given by name."""

    provider: str
    model: str
    input: int
    output: int
    cache_read: int | None
    cache_write_5m: int | None
    cache_write_1h: int | None
    reasoning: int | None
    input_audio: int | None
    output_audio: int | None
    per_request: int
    max_output_tokens: int | None
    context_tokens: int | None
    updated_at_ms: int
    version: int = 1


TOLD = tuple(
    each.name
    for each in fields(StoredPrice)
    if each.name not in ("provider", "model", "updated_at_ms", "version")
)


def _price(row: Row[Any]) -> StoredPrice:
    return StoredPrice(**row._mapping)


async def everything(connection: AsyncConnection) -> tuple[StoredPrice, ...]:
    found = await connection.execute(select(prices).order_by(prices.c.provider, prices.c.model))
    return tuple(_price(row) for row in found)


async def find(connection: AsyncConnection, provider: str, model: str) -> StoredPrice | None:
    found = await connection.execute(
        select(prices).where(prices.c.provider == provider, prices.c.model == model)
    )
    row = found.first()
    return None if row is None else _price(row)


async def of_provider(connection: AsyncConnection, provider: str) -> tuple[StoredPrice, ...]:
    found = await connection.execute(
        select(prices).where(prices.c.provider == provider).order_by(prices.c.model)
    )
    return tuple(_price(row) for row in found)


async def put(connection: AsyncConnection, price: StoredPrice) -> StoredPrice:
    """Set a price, in place of one that was set before."""
    before = await find(connection, price.provider, price.model)
    if before is None:
        await connection.execute(insert(prices).values(_values(price)))
    else:
        price = replace(price, version=before.version + 1)
        await connection.execute(
            update(prices)
            .where(prices.c.provider == price.provider, prices.c.model == price.model)
            .values(_values(price))
        )
    former = None if before is None else told(before)
    note(connection, Change("price", f"{price.provider}/{price.model}", former, told(price)))
    return price


def _values(price: StoredPrice) -> dict[str, Any]:
    return {field.name: getattr(price, field.name) for field in fields(price)}


async def remove(connection: AsyncConnection, provider: str, model: str) -> None:
    """Raises NotFoundError where no price was set."""
    price = await find(connection, provider, model)
    if price is None:
        raise NotFoundError(f"no price was set for {provider}/{model}")
    await connection.execute(
        delete(prices).where(prices.c.provider == provider, prices.c.model == model)
    )
    note(connection, Change("price", f"{provider}/{model}", told(price), None))


def told(price: StoredPrice) -> State:
    """What the history tells of it."""
    return {name: getattr(price, name) for name in TOLD if getattr(price, name) is not None}
