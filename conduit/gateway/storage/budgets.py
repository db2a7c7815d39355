"""Statements for budgets; what is spent of them is the ledger's matter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, delete, func, or_, select
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
from conduit.gateway.storage.schema import adjustments, budgets, groups, keys

OF_A_KEY = "key"
OF_A_GROUP = "group"
_PREPAID = "prepaid"


@dataclass(frozen=True, slots=True)
class StoredBudget:
    """How much a scope may spend in a period; a prepaid balance is one from `since_ms` on."""

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
    since_ms: int = 0
    spent_before_nanodollars: int = 0


def _budget(row: Row[Any]) -> StoredBudget:
    return StoredBudget(**row._mapping)


def _live() -> Any:  # noqa: ANN401  # the type of a select over a whole table
    """Budgets whose scope still exists: those of a deleted key stay for the ledger alone.

    A prepaid balance is not one of them: it is changed by transactions, and shown with its group.
    """
    of_live_keys = select(keys.c.id).where(keys.c.deleted_at_ms.is_(None))
    of_live_groups = select(groups.c.id).where(groups.c.deleted_at_ms.is_(None))
    return select(budgets).where(
        or_(budgets.c.scope_kind != OF_A_KEY, budgets.c.scope_id.in_(of_live_keys)),
        or_(budgets.c.scope_kind != OF_A_GROUP, budgets.c.scope_id.in_(of_live_groups)),
        budgets.c.period != _PREPAID,
    )


async def insert(connection: AsyncConnection, budget: StoredBudget) -> None:
    await insert_row(connection, budgets, budget, taken="the budget exists already")
    note(connection, Change("budget", budget.id, None, await _told(connection, budget)))


async def page(connection: AsyncConnection, window: Window) -> Found[StoredBudget]:
    return await read_page(connection, _live(), budgets.c.id, _budget, window)


async def of_keys(connection: AsyncConnection, key_ids: Sequence[str]) -> tuple[StoredBudget, ...]:
    """The budgets of keys, oldest first."""
    return await _of_scopes(connection, OF_A_KEY, key_ids)


async def of_groups(
    connection: AsyncConnection, group_ids: Sequence[str]
) -> tuple[StoredBudget, ...]:
    """The budgets of groups, oldest first, their prepaid balances too."""
    return await _of_scopes(connection, OF_A_GROUP, group_ids)


async def _of_scopes(
    connection: AsyncConnection, scope_kind: str, scope_ids: Sequence[str]
) -> tuple[StoredBudget, ...]:
    found = await connection.execute(
        select(budgets)
        .where(budgets.c.scope_kind == scope_kind, budgets.c.scope_id.in_(scope_ids))
        .order_by(budgets.c.id)
    )
    return tuple(_budget(row) for row in found)


async def prepaid_of(connection: AsyncConnection, group_id: str) -> StoredBudget | None:
    """The prepaid balance of a group, None where it has none."""
    found = await _of_scopes(connection, OF_A_GROUP, [group_id])
    return next((each for each in found if each.period == _PREPAID), None)


async def open_prepaid(connection: AsyncConnection, prepaid: StoredBudget) -> None:
    """Store a balance that begins; the history tells of the transactions that make it."""
    await insert_row(connection, budgets, prepaid, taken="the group has a prepaid balance already")


async def set_prepaid(
    connection: AsyncConnection, prepaid: StoredBudget, changed: StoredBudget
) -> StoredBudget:
    """What was paid in is another sum now. Raises ConflictError for a change in between."""
    changes = {
        "limit_nanodollars": changed.limit_nanodollars,
        "spent_before_nanodollars": changed.spent_before_nanodollars,
        "updated_at_ms": changed.updated_at_ms,
    }
    await change_row(connection, budgets, prepaid.id, changes, expected_version=prepaid.version)
    return replace(changed, version=prepaid.version + 1)


async def resets(
    connection: AsyncConnection, budget_ids: Sequence[str]
) -> Mapping[tuple[str, int], int]:
    """What resets took out of the spent nano-dollars, by budget and start of the period in ms.

    Only of balances that were reset.
    """
    which = adjustments.c.budget_id, adjustments.c.period_start_ms
    found = await connection.execute(
        select(*which, func.sum(adjustments.c.nanodollars))
        .where(adjustments.c.budget_id.in_(budget_ids))
        .group_by(*which)
    )
    return {(budget_id, start_ms): -int(added) for budget_id, start_ms, added in found}


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
    """What the history tells of it; its key or group by the name that it has now."""
    table = groups if budget.scope_kind == OF_A_GROUP else keys
    found = await connection.execute(select(table.c.name).where(table.c.id == budget.scope_id))
    return {
        "scope": f"{budget.scope_kind}:{found.scalar_one_or_none() or budget.scope_id}",
        "period": budget.period,
        "timezone": budget.timezone,
        "limit_nanodollars": budget.limit_nanodollars,
        "mode": budget.mode,
    }
