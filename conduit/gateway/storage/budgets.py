"""Statements for budgets; what is spent of them is the ledger's matter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.errors import NotFoundError
from conduit.gateway.storage.revisions import Change, State, note
from conduit.gateway.storage.rows import (
    Found,
    Window,
    change_row,
    insert_row,
    read_page,
    refuse_stale,
)
from conduit.gateway.storage.schema import budgets, keys

OF_A_KEY = "key"


@dataclass(frozen=True, slots=True)
class StoredBudget:
    """How much a scope may spend in a period."""

    id: str
    scope_kind: str
    scope_id: str
    period: str
    timezone: str
    limit_nanodollars: int
    mode: str
    created_at_ms: int
    updated_at_ms: int
    version: int


def _budget(row: Row[Any]) -> StoredBudget:
    return StoredBudget(**row._mapping)


def _live() -> Any:  # noqa: ANN401  # the type of a select over a whole table
    """Budgets whose scope still exists: those of a deleted key stay for the ledger alone."""
    of_live_keys = select(keys.c.id).where(keys.c.deleted_at_ms.is_(None))
    return select(budgets).where(
        or_(budgets.c.scope_kind != OF_A_KEY, budgets.c.scope_id.in_(of_live_keys))
    )


async def insert(connection: AsyncConnection, budget: StoredBudget) -> None:
    await insert_row(connection, budgets, budget, taken="the budget exists already")
    note(connection, Change("budget", budget.id, None, await _told(connection, budget)))


async def page(connection: AsyncConnection, window: Window) -> Found[StoredBudget]:
    return await read_page(connection, _live(), budgets.c.id, _budget, window)


async def of_keys(connection: AsyncConnection, key_ids: Sequence[str]) -> tuple[StoredBudget, ...]:
    """The budgets of keys, oldest first."""
    found = await connection.execute(
        select(budgets)
        .where(budgets.c.scope_kind == OF_A_KEY, budgets.c.scope_id.in_(key_ids))
        .order_by(budgets.c.id)
    )
    return tuple(_budget(row) for row in found)


async def find(connection: AsyncConnection, budget_id: str) -> StoredBudget:
    """Raises NotFoundError."""
    row = (await connection.execute(_live().where(budgets.c.id == budget_id))).first()
    if row is None:
        raise NotFoundError(f"there is no budget {budget_id}")
    return _budget(row)


async def change(
    connection: AsyncConnection,
    budget: StoredBudget,
    changes: Mapping[str, Any],
    *,
    version: int | None,
) -> StoredBudget:
    """Raises ConflictError where `version` is not the present one."""
    refuse_stale(f"budget {budget.id}", budget.version, version)
    await change_row(connection, budgets, budget.id, changes, expected_version=budget.version)
    changed = replace(budget, **changes, version=budget.version + 1)
    before, after = await _told(connection, budget), await _told(connection, changed)
    note(connection, Change("budget", budget.id, before, after))
    return changed


async def remove(connection: AsyncConnection, budget: StoredBudget) -> None:
    await connection.execute(delete(budgets).where(budgets.c.id == budget.id))
    note(connection, Change("budget", budget.id, await _told(connection, budget), None))


async def _told(connection: AsyncConnection, budget: StoredBudget) -> State:
    """What the history tells of it; its key by the name that the key has now."""
    found = await connection.execute(select(keys.c.name).where(keys.c.id == budget.scope_id))
    return {
        "scope": f"{budget.scope_kind}:{found.scalar_one_or_none() or budget.scope_id}",
        "period": budget.period,
        "timezone": budget.timezone,
        "limit_nanodollars": budget.limit_nanodollars,
        "mode": budget.mode,
    }
