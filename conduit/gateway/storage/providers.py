"""Statements for providers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.errors import NotFoundError
from conduit.gateway.storage import credentials, prices
from conduit.gateway.storage.revisions import Change, State, note
from conduit.gateway.storage.rows import (
    Found,
    Window,
    change_row,
    count_rows,
    insert_row,
    read_page,
    refuse_stale,
    row_named,
)
from conduit.gateway.storage.schema import providers


@dataclass(frozen=True, slots=True)
class StoredProvider:
    id: str
    name: str
    type: str
    base_url: str
    allow_private: bool
    enabled: bool
    created_at_ms: int
    updated_at_ms: int
    version: int
    on_hang_up: str = "cancel"


def _provider(row: Row[Any]) -> StoredProvider:
    return StoredProvider(**row._mapping)


async def insert(connection: AsyncConnection, provider: StoredProvider) -> None:
    """Raises ConflictError where the name is taken."""
    taken = f"there is a provider named {provider.name} already"
    await insert_row(connection, providers, provider, taken=taken, param="name")
    note(connection, Change("provider", provider.name, None, told(provider)))


async def page(connection: AsyncConnection, window: Window) -> Found[StoredProvider]:
    return await read_page(connection, select(providers), providers.c.name, _provider, window)


async def everything(connection: AsyncConnection) -> tuple[StoredProvider, ...]:
    found = await connection.execute(select(providers).order_by(providers.c.name))
    return tuple(_provider(row) for row in found)


async def count(connection: AsyncConnection) -> int:
    return await count_rows(connection, providers)


async def find(connection: AsyncConnection, name_or_id: str) -> StoredProvider:
    """Raises NotFoundError."""
    row = await row_named(connection, select(providers), providers.c.name, name_or_id)
    if row is None:
        raise NotFoundError(f"there is no provider {name_or_id}")
    return _provider(row)


async def change(
    connection: AsyncConnection,
    provider: StoredProvider,
    changes: Mapping[str, Any],
    *,
    version: int | None,
) -> StoredProvider:
    """The provider with `changes`. Raises ConflictError where `version` is not its present one."""
    refuse_stale(f"provider {provider.name}", provider.version, version)
    await change_row(connection, providers, provider.id, changes, expected_version=provider.version)
    changed = replace(provider, **changes, version=provider.version + 1)
    note(connection, Change("provider", provider.name, told(provider), told(changed)))
    return changed


async def remove(connection: AsyncConnection, provider: StoredProvider) -> None:
    """Delete a provider with its credentials and the prices that were set for it."""
    for credential in await credentials.of_providers(connection, [provider.id]):
        await credentials.remove(connection, credential)
    for model in await prices.models_of(connection, provider.name):
        await prices.remove(connection, provider.name, model)
    await connection.execute(delete(providers).where(providers.c.id == provider.id))
    note(connection, Change("provider", provider.name, told(provider), None))


def told(provider: StoredProvider) -> State:
    """What the history tells of it."""
    return {
        "type": provider.type,
        "base_url": provider.base_url,
        "allow_private": provider.allow_private,
        "enabled": provider.enabled,
        "on_hang_up": provider.on_hang_up,
    }
