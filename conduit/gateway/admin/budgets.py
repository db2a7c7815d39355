"""Admin operations on budgets."""

from typing import Any
from zoneinfo import ZoneInfo

from conduit.core.errors import (
    ConflictError,
    LedgerUnavailableError,
    NotFoundError,
    ValidationFailedError,
)
from conduit.core.events import EventKind
from conduit.core.ids import new_id, now_ms
from conduit.core.money import format_usd, parse_usd
from conduit.core.resources.budgets import BudgetPatch, BudgetScope, BudgetView, NewBudget
from conduit.core.resources.fields import Page, time_text
from conduit.core.resources.keys import KeyBudget
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.wire import ListQuery, changes_of, page
from conduit.gateway.ledger.budgets import BudgetTerms
from conduit.gateway.storage import budgets, keys
from conduit.gateway.storage.budgets import StoredBudget
from conduit.gateway.storage.engine import Transaction, reading, writing
from conduit.gateway.storage.keys import StoredKey

_PATH = "/admin/budgets"
_ONE = _PATH + "/{budget}"


async def _list(call: Call[None, ListQuery]) -> Page[BudgetView]:
    admin = call.admin
    async with reading(admin.database) as connection:
        found = await budgets.page(connection, call.query.window())
        scopes = {each.scope_id for each in found.rows}
        names = {scope: await _key_name(connection, scope) for scope in scopes}
    return page(found, [view(admin, each, names[each.scope_id]) for each in found.rows])


async def _create(call: Call[NewBudget, None]) -> BudgetView:
    admin, wanted = call.admin, call.body
    refuse_without_ledger(admin)
    async with admin.budget_changes:
        async with writing(admin.database, by=call.by) as connection:
            key = await _key_named(connection, wanted.scope.id)
            budget = budget_of_key(key.id, wanted)
            await budgets.insert(connection, budget)
        await open_budget(admin, budget, key.name)
    admin.keyring.drop(key.id)
    await admin.announce_of_keys(EventKind.BUDGET_CREATED, facts(budget))
    return view(admin, budget, key.name)


async def _show(call: Call[None, None]) -> BudgetView:
    admin = call.admin
    async with reading(admin.database) as connection:
        budget = await budgets.find(connection, call.names["budget"])
        name = await _key_name(connection, budget.scope_id)
    return view(admin, budget, name)


async def _update(call: Call[BudgetPatch, None]) -> BudgetView:
    admin, patch = call.admin, call.body
    changes = changes_of(patch)
    if "limit" in changes:
        changes["limit_nanodollars"] = parse_usd(changes.pop("limit"))
    async with admin.budget_changes:
        async with writing(admin.database, by=call.by) as connection:
            budget = await budgets.find(connection, call.names["budget"])
            key = await keys.find(connection, budget.scope_id)
            budget = await budgets.change(
                connection, budget, {**changes, "updated_at_ms": now_ms()}, version=patch.version
            )
        admin.ledger.change_budget(terms_of(budget, key.name))
    admin.keyring.drop(budget.scope_id)
    await admin.announce_of_keys(EventKind.BUDGET_UPDATED, facts(budget))
    return view(admin, budget, key.name)


async def _reset_spend(call: Call[None, None]) -> BudgetView:
    admin = call.admin
    refuse_without_ledger(admin, "no budget can be reset")
    async with admin.budget_changes:
        async with reading(admin.database) as connection:
            budget = await budgets.find(connection, call.names["budget"])
            name = await _key_name(connection, budget.scope_id)
        try:
            spent = await admin.ledger.reset_spent(budget.id)
        except KeyError as error:  # it has just been made, or is about to be closed
            raise LedgerUnavailableError(f"budget {budget.id} does not count yet") from error
    told = {**facts(budget), "spent_nanodollars": spent}
    admin.bus.publish(EventKind.BUDGET_SPEND_RESET, told)
    return view(admin, budget, name)


async def _delete(call: Call[None, None]) -> None:
    admin = call.admin
    async with admin.budget_changes:
        async with writing(admin.database, by=call.by) as connection:
            budget = await budgets.find(connection, call.names["budget"])
            await budgets.remove(connection, budget)
        admin.ledger.close_budget(budget.id)
    admin.keyring.drop(budget.scope_id)
    await admin.announce_of_keys(EventKind.BUDGET_DELETED, facts(budget))


async def _key_name(connection: Transaction, key_id: str) -> str | None:
    """What the key is called; None for one that has just been deleted."""
    try:
        return (await keys.find(connection, key_id)).name
    except NotFoundError:
        return None


async def _key_named(connection: Transaction, name_or_id: str) -> StoredKey:
    try:
        return await keys.find(connection, name_or_id)
    except NotFoundError as error:
        raise ValidationFailedError(f"scope.id: {error.message}", param="scope.id") from error


def budget_of_key(key_id: str, wanted: NewBudget | KeyBudget, *, under: str = "") -> StoredBudget:
    """What to store. `under` names the field that holds it. Raises ValidationFailedError."""
    try:
        ZoneInfo(wanted.timezone)
    except (KeyError, ValueError, OSError) as error:
        raise ValidationFailedError(
            f"{under}timezone: there is no time zone of this name", param=f"{under}timezone"
        ) from error
    at_ms = now_ms()
    return StoredBudget(
        id=new_id("bud", at_ms),
        scope_kind=budgets.OF_A_KEY,
        scope_id=key_id,
        period=wanted.period,
        timezone=wanted.timezone,
        limit_nanodollars=parse_usd(wanted.limit),
        mode=wanted.mode,
        created_at_ms=at_ms,
        updated_at_ms=at_ms,
        version=1,
    )


def refuse_without_ledger(admin: AdminContext, refusal: str = "no budget can be opened") -> None:
    """Raise before anything is begun that the ledger could not end."""
    state = admin.ledger.state()
    if not state.available:
        raise LedgerUnavailableError(f"{refusal}: {state.reason}")


async def open_budget(admin: AdminContext, budget: StoredBudget, key_name: str) -> None:
    """Have a budget enforced that has been committed."""
    await admin.ledger.open_budget(terms_of(budget, key_name))


def terms_of(budget: StoredBudget, key_name: str) -> BudgetTerms:
    return BudgetTerms(
        id=budget.id,
        scope_kind=budget.scope_kind,
        scope_id=budget.scope_id,
        period=budget.period,
        timezone=budget.timezone,
        limit_nanodollars=budget.limit_nanodollars,
        mode=budget.mode,
        scope_name=key_name,
    )


def view(admin: AdminContext, budget: StoredBudget, scope_name: str | None) -> BudgetView:
    """The budget with what is enforced of it now."""
    try:
        spent, held, period_start_ms = admin.ledger.balance_of(budget.id, now_ms())
    except KeyError:  # somebody else's, about to be opened or just closed
        spent = held = period_start_ms = 0
    return BudgetView(
        id=budget.id,
        scope=BudgetScope(kind="key", id=budget.scope_id),
        scope_name=scope_name,
        period=budget.period,
        timezone=budget.timezone,
        limit=format_usd(budget.limit_nanodollars),
        mode=budget.mode,
        spent=format_usd(spent),
        held=format_usd(held),
        period_start=None if budget.period == "total" else time_text(period_start_ms),
        created_at=str(time_text(budget.created_at_ms)),
        version=budget.version,
    )


def facts(budget: StoredBudget) -> dict[str, Any]:
    """What an event tells; money in nano-dollars, as in all events."""
    return {
        "id": budget.id,
        "scope": {"kind": budget.scope_kind, "id": budget.scope_id},
        "limit_nanodollars": budget.limit_nanodollars,
        "mode": budget.mode,
        "version": budget.version,
    }


OPERATIONS = (
    AdminOperation(
        "budgets.list", "GET", _PATH, "List budgets", _list, Page[BudgetView], query=ListQuery
    ),
    AdminOperation(
        "budgets.create",
        "POST",
        _PATH,
        "Give a key a budget",
        _create,
        BudgetView,
        body=NewBudget,
        status=201,
        errors=(ConflictError,),
    ),
    AdminOperation("budgets.show", "GET", _ONE, "Show a budget", _show, BudgetView),
    AdminOperation(
        "budgets.update",
        "PATCH",
        _ONE,
        "Change a budget",
        _update,
        BudgetView,
        body=BudgetPatch,
        errors=(ConflictError,),
    ),
    AdminOperation(
        "budgets.reset_spend",
        "POST",
        _ONE + "/reset-spend",
        "Set what a budget has spent in its present period to nothing",
        _reset_spend,
        BudgetView,
    ),
    AdminOperation("budgets.delete", "DELETE", _ONE, "Delete a budget", _delete, None),
)
