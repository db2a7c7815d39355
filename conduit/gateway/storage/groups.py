"""Statements for groups of keys.

A deleted group keeps its row, because attempts, records and transactions point at it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Row, case, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.errors import NotFoundError
from conduit.gateway.storage.revisions import Change, State, note
from conduit.gateway.storage.rows import (
    Found,
    Window,
    change_row,
    insert_row,
    live,
    read_page,
    refuse_stale,
    refuse_taken_name,
    row_named,
)
from conduit.gateway.storage.schema import groups


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """What the keys in it have in common."""

    id: str
    name: str
    description: str
    enabled: bool
    allowed_models: Sequence[str]
    limits: Sequence[Mapping[str, Any]]
    created_at_ms: int
    updated_at_ms: int
    deleted_at_ms: int | None
    version: int
    allowed_ips: Sequence[str] = field(default_factory=list)


def _group(row: Row[Any]) -> StoredGroup:
    return StoredGroup(**row._mapping)


async def insert(connection: AsyncConnection, group: StoredGroup) -> None:
    """Raises ConflictError where a group that is not deleted has the name."""
    await refuse_taken_name(connection, groups, "group", group.name)
    await insert_row(connection, groups, group, taken="the group exists already")
    note(connection, Change("group", group.name, None, told(group)))


async def page(connection: AsyncConnection, window: Window) -> Found[StoredGroup]:
    """Groups by name."""
    return await read_page(connection, live(groups), groups.c.name, _group, window)


async def find(connection: AsyncConnection, name_or_id: str) -> StoredGroup:
    """Raises NotFoundError, for deleted groups too."""
    row = await row_named(connection, live(groups), groups.c.name, name_or_id)
    if row is None:
        raise NotFoundError(f"there is no group {name_or_id}")
    return _group(row)


async def find_ever(connection: AsyncConnection, name_or_id: str) -> StoredGroup:
    """The group of an id or a name, deleted or not; of several of a name the one that is there,
    else the one that was deleted last. Raises NotFoundError.
    """
    is_id = groups.c.id == name_or_id
    found = await connection.execute(
        select(groups)
        .where(or_(is_id, groups.c.name == name_or_id))
        .order_by(
            case((is_id, 0), (groups.c.deleted_at_ms.is_(None), 1), else_=2),
            groups.c.deleted_at_ms.desc(),
            groups.c.id.desc(),
        )
    )
    if (row := found.first()) is None:
        raise NotFoundError(f"there is no group {name_or_id}, and there was none")
    return _group(row)


async def of_ids(connection: AsyncConnection, ids: Collection[str]) -> Mapping[str, StoredGroup]:
    """Groups by id, deleted ones too."""
    if not ids:
        return {}
    found = await connection.execute(select(groups).where(groups.c.id.in_(ids)))
    return {row.id: _group(row) for row in found}


async def names_of(connection: AsyncConnection, ids: Collection[str]) -> Mapping[str, str]:
    """The names of groups by id, of deleted ones too."""
    return {group.id: group.name for group in (await of_ids(connection, ids)).values()}


async def change(
    connection: AsyncConnection,
    group: StoredGroup,
    changes: Mapping[str, Any],
    *,
    version: int | None,
) -> StoredGroup:
    """Raises ConflictError where `version` is not the present one, or a new name is taken."""
    refuse_stale(f"group {group.name}", group.version, version)
    if (name := changes.get("name", group.name)) != group.name:
        await refuse_taken_name(connection, groups, "group", name)
    await change_row(connection, groups, group.id, changes, expected_version=group.version)
    changed = replace(group, **changes, version=group.version + 1)
    after = told(changed) if changed.deleted_at_ms is None else None
    note(connection, Change("group", group.name, told(group), after))
    return changed


def told(group: StoredGroup) -> State:
    """What the history tells of it."""
    return {
        "name": group.name,
        "description": group.description,
        "enabled": group.enabled,
        "allowed_models": list(group.allowed_models),
        "limits": list(group.limits),
        "allowed_ips": list(group.allowed_ips),
    }
