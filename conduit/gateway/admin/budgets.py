"""Admin operations on budgets."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from conduit.core.errors import (
    ConflictError,
    LedgerUnavailableError,
    NotFoundError,
    ValidationFailedError,
)
from conduit.core.events import EventKind
from conduit.core.ids import new_id, now_ms
from conduit.core.money import format_usd, parse_usd
from conduit.core.resources.budgets import (
    BudgetPatch,
    BudgetScope,
    BudgetView,
    NewBudget,
    ScopeKind,
)
from conduit.core.resources.fields import Page, time_text
from conduit.core.resources.keys import KeyBudget
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.wire import ListQuery, changes_of, page
from conduit.gateway.ledger.budgets import BudgetTerms
from conduit.gateway.storage import budgets, groups, keys, mappings
from conduit.gateway.storage.budgets import StoredBudget
from conduit.gateway.storage.engine import Transaction, reading, writing

Resets = Mapping[tuple[str, int], int]
"""What was taken out of spent nano-dollars, by budget and start of the period in ms."""

_PATH = "/admin/budgets"
_ONE = _PATH + "/{budget}"


async def _list(call: Call[None, ListQuery]) -> Page[BudgetView]:
    admin = call.admin
    async with reading(admin.database) as connection:
        found = await budgets.page(connection, call.query.window())
        names = {each.id: await _scope_name(connection, each) for each in found.rows}
    resets = await resets_of(admin, found.rows)
    return page(found, [view(admin, each, names[each.id], resets) for each in found.rows])


async def _create(call: Call[NewBudget, None]) -> BudgetView:
    admin, wanted = call.admin, call.body
    refuse_without_ledger(admin)
    async with admin.budget_changes:
        async with writing(admin.database, by=call.by) as connection:
            scope_id = await _scope_id(connection, wanted.scope)
            budget = new_budget(wanted.scope.kind, scope_id, wanted)
            name = await _scope_name(connection, budget)
            await budgets.insert(connection, budget)
            concerned = await _keys_of(connection, budget)
        await open_budget(admin, budget, name)
    admin.keyring.drop_all(concerned)
    await admin.announce_of_keys(EventKind.BUDGET_CREATED, facts(budget))
    return await _viewed(admin, budget, name)


async def _show(call: Call[None, None]) -> BudgetView:
    admin = call.admin
    async with reading(admin.database) as connection:
        budget = await budgets.find(connection, call.names["budget"])
        name = await _scope_name(connection, budget)
    return await _viewed(admin, budget, name)


async def _update(call: Call[BudgetPatch, None]) -> BudgetView:
    admin, patch = call.admin, call.body
    changes = changes_of(patch)
    if "limit" in changes:
        changes["limit_nanodollars"] = parse_usd(changes.pop("limit"))
    async with admin.budget_changes:
        async with writing(admin.database, by=call.by) as connection:
            budget = await budgets.find(connection, call.names["budget"])
            name = await _scope_name(connection, budget)
            budget = await budgets.change(
                connection, budget, {**changes, "updated_at_ms": now_ms()}, version=patch.version
            )
            concerned = await _keys_of(connection, budget)
        admin.ledger.change_budget(terms_of(budget, name))
    admin.keyring.drop_all(concerned)
    await admin.announce_of_keys(EventKind.BUDGET_UPDATED, facts(budget))
    return await _viewed(admin, budget, name)


async def _reset_spend(call: Call[None, None]) -> BudgetView:
    admin = call.admin
    refuse_without_ledger(admin, "no budget can be reset")
    async with admin.budget_changes:
        async with reading(admin.database) as connection:
            budget = await budgets.find(connection, call.names["budget"])
            name = await _scope_name(connection, budget)
        try:
            spent = await admin.ledger.reset_spent(budget.id)
            _, _, period_start_ms = admin.ledger.balance_of(budget.id, now_ms())
        except KeyError as error:  # it has just been made, or is about to be closed
            raise LedgerUnavailableError(f"budget {budget.id} does not count yet") from error
    admin.notifications.begin_anew(budget.id, period_start_ms)
    told = {**facts(budget), "spent_nanodollars": spent}
    admin.bus.publish(EventKind.BUDGET_SPEND_RESET, told)
    return await _viewed(admin, budget, name)


async def _delete(call: Call[None, None]) -> None:
    admin = call.admin
    async with admin.budget_changes:
        async with writing(admin.database, by=call.by) as connection:
            budget = await budgets.find(connection, call.names["budget"])
            await budgets.remove(connection, budget)
            concerned = await _keys_of(connection, budget)
        admin.ledger.close_budget(budget.id)
    admin.keyring.drop_all(concerned)
    await admin.announce_of_keys(EventKind.BUDGET_DELETED, facts(budget))


async def _scope_name(connection: Transaction, budget: StoredBudget) -> str | None:
    """What people call the scope; None for the gateway, and for what was just deleted."""
    try:
        match budget.scope_kind:
            case budgets.OF_A_KEY:
                return (await keys.find(connection, budget.scope_id)).name
            case budgets.OF_A_GROUP:
                return (await groups.find(connection, budget.scope_id)).name
            case _:
                return budget.scope_id or None
    except NotFoundError:
        return None


async def _keys_of(connection: Transaction, budget: StoredBudget) -> Sequence[str]:
    """The ids of the keys whose grants say whether there is such a budget."""
    match budget.scope_kind:
        case budgets.OF_A_KEY:
            return (budget.scope_id,)
        case budgets.OF_A_GROUP:
            return await keys.ids_of_group(connection, budget.scope_id)
        case _:
            return ()


async def _scope_id(connection: Transaction, scope: BudgetScope) -> str:
    """The id that the ledger knows a scope by. Raises ValidationFailedError."""
    try:
        match scope.kind:
            case "key":
                return (await keys.find(connection, scope.id)).id
            case "group":
                return (await groups.find(connection, scope.id)).id
            case "mapping":
                if "*" in scope.id:
                    raise ValidationFailedError(
                        "scope.id: the budget of a mapping is for one alias, without a star",
                        param="scope.id",
                    )
                return (await mappings.find(connection, scope.id)).alias
            case "gateway":
                return ""
    except NotFoundError as error:
        raise ValidationFailedError(f"scope.id: {error.message}", param="scope.id") from error


def new_budget(scope_kind: str, scope_id: str, wanted: NewBudget | KeyBudget) -> StoredBudget:
    """What to store."""
    at_ms = now_ms()
    return StoredBudget(
        id=new_id("bud", at_ms),
        scope_kind=scope_kind,
        scope_id=scope_id,
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


async def open_budget(admin: AdminContext, budget: StoredBudget, scope_name: str | None) -> None:
    """Have a budget enforced that has been committed."""
    await admin.ledger.open_budget(terms_of(budget, scope_name))


def terms_of(budget: StoredBudget, scope_name: str | None) -> BudgetTerms:
    return BudgetTerms(
        id=budget.id,
        scope_kind=budget.scope_kind,
        scope_id=budget.scope_id,
        period=budget.period,
        timezone=budget.timezone,
        limit_nanodollars=budget.limit_nanodollars,
        mode=budget.mode,
        scope_name=scope_name,
        since_ms=budget.since_ms,
        spent_before=budget.spent_before_nanodollars,
    )


async def resets_of(admin: AdminContext, shown: Sequence[StoredBudget]) -> Resets:
    """What to show budgets with."""
    if not shown:
        return {}
    async with reading(admin.database) as connection:
        return await budgets.resets(connection, [each.id for each in shown])


async def _viewed(admin: AdminContext, budget: StoredBudget, scope_name: str | None) -> BudgetView:
    return view(admin, budget, scope_name, await resets_of(admin, [budget]))


def view(
    admin: AdminContext, budget: StoredBudget, scope_name: str | None, resets: Resets
) -> BudgetView:
    """The budget with what is enforced of it now."""
    try:
        spent, held, period_start_ms = admin.ledger.balance_of(budget.id, now_ms())
    except KeyError:  # somebody else's, about to be opened or just closed
        spent = held = period_start_ms = 0
    return BudgetView(
        id=budget.id,
        scope=BudgetScope(kind=cast("ScopeKind", budget.scope_kind), id=budget.scope_id),
        scope_name=scope_name,
        period=budget.period,
        timezone=budget.timezone,
        limit=format_usd(budget.limit_nanodollars),
        mode=budget.mode,
        spent=format_usd(spent),
        held=format_usd(held),
        reset=format_usd(resets.get((budget.id, period_start_ms), 0)),
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
        "Give a key, a group, a mapping or the gateway a budget",
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
