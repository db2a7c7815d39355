"""Statements for mappings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Row, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.errors import NotFoundError
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
from conduit.gateway.storage.schema import mappings


@dataclass(frozen=True, slots=True)
class StoredMapping:
    """`targets` hold provider, model, order, weight, params; `fallbacks` hold on and alias.

    `policy` holds what is not as by default.
    """

    id: str
    alias: str
    strategy: str
    targets: Sequence[Mapping[str, Any]]
    fallbacks: Sequence[Mapping[str, Any]]
    enabled: bool
    created_at_ms: int
    updated_at_ms: int
    version: int
    policy: Mapping[str, Any] = field(default_factory=dict)
    limits: Sequence[Mapping[str, Any]] = field(default_factory=list)

    def uses(self, provider: str) -> bool:
        return any(target["provider"] == provider for target in self.targets)


def _mapping(row: Row[Any]) -> StoredMapping:
    return StoredMapping(**row._mapping)


async def insert(connection: AsyncConnection, mapping: StoredMapping) -> None:
    """Raises ConflictError where the alias is taken."""
    taken = f"there is a mapping for {mapping.alias} already"
    await insert_row(connection, mappings, mapping, taken=taken, param="alias")
    note(connection, Change("mapping", mapping.alias, None, told(mapping)))


async def page(connection: AsyncConnection, window: Window) -> Found[StoredMapping]:
    return await read_page(connection, select(mappings), mappings.c.alias, _mapping, window)


async def everything(connection: AsyncConnection) -> tuple[StoredMapping, ...]:
    found = await connection.execute(select(mappings).order_by(mappings.c.alias))
    return tuple(_mapping(row) for row in found)


async def count(connection: AsyncConnection) -> int:
    return await count_rows(connection, mappings)


async def find(connection: AsyncConnection, alias_or_id: str) -> StoredMapping:
    """Raises NotFoundError."""
    row = await row_named(connection, select(mappings), mappings.c.alias, alias_or_id)
    if row is None:
        raise NotFoundError(f"there is no mapping for {alias_or_id}")
    return _mapping(row)


async def change(
    connection: AsyncConnection,
    mapping: StoredMapping,
    changes: Mapping[str, Any],
    *,
    version: int | None,
) -> StoredMapping:
    """Raises ConflictError where `version` is not the present one."""
    refuse_stale(f"mapping {mapping.alias}", mapping.version, version)
    await change_row(connection, mappings, mapping.id, changes, expected_version=mapping.version)
    changed = replace(mapping, **changes, version=mapping.version + 1)
    note(connection, Change("mapping", mapping.alias, told(mapping), told(changed)))
    return changed


async def remove(connection: AsyncConnection, mapping: StoredMapping) -> None:
    await connection.execute(delete(mappings).where(mappings.c.id == mapping.id))
    note(connection, Change("mapping", mapping.alias, told(mapping), None))


def told(mapping: StoredMapping) -> State:
    """What the history tells of it."""
    return {
        "strategy": mapping.strategy,
        "targets": list(mapping.targets),
        "fallbacks": list(mapping.fallbacks),
        "enabled": mapping.enabled,
        "policy": dict(mapping.policy),
        "limits": list(mapping.limits),
    }
