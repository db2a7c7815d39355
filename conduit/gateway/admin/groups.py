"""Admin operations on groups of virtual keys."""

from collections.abc import Mapping, Sequence
from typing import Any

from conduit.core.errors import ConflictError
from conduit.core.events import EventKind
from conduit.core.ids import new_id, now_ms
from conduit.core.money import format_usd
from conduit.core.people import counted
from conduit.core.resources.fields import Page, time_text
from conduit.core.resources.groups import GroupPatch, GroupView, NewGroup, PrepaidView
from conduit.gateway.admin import budgets as budget_operations
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.keys import limit_views
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.wire import ListQuery, changes_of, page
from conduit.gateway.ledger.budgets import PREPAID
from conduit.gateway.limits.limiter import Scope, Standings
from conduit.gateway.limits.scopes import limits_of
from conduit.gateway.storage import budgets, groups, keys
from conduit.gateway.storage.budgets import StoredBudget
from conduit.gateway.storage.engine import reading, writing
from conduit.gateway.storage.groups import StoredGroup

_PATH = "/admin/groups"
_ONE = _PATH + "/{group}"


async def _list(call: Call[None, ListQuery]) -> Page[GroupView]:
    admin = call.admin
    async with reading(admin.database) as connection:
        found = await groups.page(connection, call.query.window())
        ids = [each.id for each in found.rows]
        own = await budgets.of_groups(connection, ids)
        members = await keys.counts_by_group(connection, ids)
    return page(found, await _views(admin, found.rows, own, members))


async def _create(call: Call[NewGroup, None]) -> GroupView:
    admin, wanted = call.admin, call.body
    group = _new_group(wanted)
    own = []
    if wanted.prepaid:
        budget_operations.refuse_without_ledger(admin)
        own = [new_prepaid(group, 0)]
    async with admin.budget_changes:
        async with writing(admin.database, by=call.by) as connection:
            await groups.insert(connection, group)
            for prepaid in own:
                await budgets.open_prepaid(connection, prepaid)
        for prepaid in own:
            await budget_operations.open_budget(admin, prepaid, group.name)
    await admin.announce_of_keys(EventKind.GROUP_CREATED, facts(group))
    [view] = await _views(admin, [group], own, {})
    return view


async def _show(call: Call[None, None]) -> GroupView:
    async with reading(call.admin.database) as connection:
        group = await groups.find(connection, call.names["group"])
        own = await budgets.of_groups(connection, [group.id])
        members = await keys.counts_by_group(connection, [group.id])
    [view] = await _views(call.admin, [group], own, members)
    return view


async def _update(call: Call[GroupPatch, None]) -> GroupView:
    admin, patch = call.admin, call.body
    changes = changes_of(patch)
    if patch.limits is not None:
        changes["limits"] = [limit.model_dump() for limit in patch.limits]
    async with admin.budget_changes:
        async with writing(admin.database, by=call.by) as connection:
            group = await groups.find(connection, call.names["group"])
            group = await groups.change(
                connection, group, {**changes, "updated_at_ms": now_ms()}, version=patch.version
            )
            own = await budgets.of_groups(connection, [group.id])
            members = await keys.ids_of_group(connection, group.id)
        # Before anything is awaited: what its keys may no longer do stops at once.
        admin.keyring.drop_all(members)
        if "name" in changes:
            for budget in own:  # the ledger's refusals name the group
                admin.ledger.change_budget(budget_operations.terms_of(budget, group.name))
    await admin.announce_of_keys(EventKind.GROUP_UPDATED, facts(group))
    [view] = await _views(admin, [group], own, {group.id: len(members)})
    return view


async def _delete(call: Call[None, None]) -> None:
    """The row stays, for what points at it; the name is free again."""
    admin, at_ms = call.admin, now_ms()
    async with writing(admin.database, by=call.by) as connection:
        group = await groups.find(connection, call.names["group"])
        members = len(await keys.ids_of_group(connection, group.id))
        if members:
            raise ConflictError(
                f"{counted(members, 'key')} of the group {group.name} would be left without it",
                hint="move or delete them first: conduit groups members " + group.name,
            )
        changes = {"enabled": False, "deleted_at_ms": at_ms, "updated_at_ms": at_ms}
        group = await groups.change(connection, group, changes, version=None)
    await admin.announce_of_keys(EventKind.GROUP_DELETED, facts(group))


def _new_group(wanted: NewGroup) -> StoredGroup:
    at_ms = now_ms()
    return StoredGroup(
        id=new_id("grp", at_ms),
        name=wanted.name,
        description=wanted.description,
        enabled=wanted.enabled,
        allowed_models=wanted.allowed_models,
        limits=[limit.model_dump() for limit in wanted.limits],
        allowed_ips=wanted.allowed_ips,
        created_at_ms=at_ms,
        updated_at_ms=at_ms,
        deleted_at_ms=None,
        version=1,
    )


def new_prepaid(group: StoredGroup, paid_in: int) -> StoredBudget:
    """A prepaid balance that counts calls from now on."""
    at_ms = now_ms()
    return StoredBudget(
        id=new_id("bud", at_ms),
        scope_kind=budgets.OF_A_GROUP,
        scope_id=group.id,
        period=PREPAID,
        timezone="UTC",
        limit_nanodollars=paid_in,
        mode="hard",
        created_at_ms=at_ms,
        updated_at_ms=at_ms,
        version=1,
        since_ms=at_ms,
    )


async def _views(
    admin: AdminContext,
    found: Sequence[StoredGroup],
    own: Sequence[StoredBudget],
    members: Mapping[str, int],
) -> list[GroupView]:
    """`members` are how many keys are in each, by its id."""
    standings = await admin.limiter.look(*(_scope(group) for group in found))
    resets = await budget_operations.resets_of(admin, own)
    return [
        _view(admin, group, (own, resets), members.get(group.id, 0), standings[group.id])
        for group in found
    ]


def _scope(group: StoredGroup) -> Scope:
    limits = limits_of(group.limits)
    return Scope(group.id, group.name, limits, "group")


def _view(
    admin: AdminContext,
    group: StoredGroup,
    beside: tuple[Sequence[StoredBudget], budget_operations.Resets],
    members: int,
    standings: Standings,
) -> GroupView:
    """The group with those of the budgets that are its own."""
    own, resets = beside
    of_group = [each for each in own if each.scope_id == group.id]
    prepaid = next((each for each in of_group if each.period == PREPAID), None)
    return GroupView(
        id=group.id,
        name=group.name,
        description=group.description,
        enabled=group.enabled,
        allowed_models=list(group.allowed_models),
        limits=limit_views(standings),
        allowed_ips=list(group.allowed_ips),
        budgets=[
            budget_operations.view(admin, each, group.name, resets)
            for each in of_group
            if each.period != PREPAID
        ],
        prepaid=None if prepaid is None else _prepaid_view(admin, prepaid),
        keys=members,
        created_at=str(time_text(group.created_at_ms)),
        updated_at=str(time_text(group.updated_at_ms)),
        version=group.version,
    )


def _prepaid_view(admin: AdminContext, prepaid: StoredBudget) -> PrepaidView:
    spent, held = taken_of(admin, prepaid)
    return PrepaidView(
        paid_in=format_usd(prepaid.limit_nanodollars),
        spent=format_usd(spent),
        held=format_usd(held),
        balance=format_usd(prepaid.limit_nanodollars - spent),
        since=str(time_text(prepaid.since_ms)),
    )


def taken_of(admin: AdminContext, prepaid: StoredBudget) -> tuple[int, int]:
    """What calls have spent of a prepaid balance, and what they hold of it, in nano-dollars."""
    try:
        spent, held, _ = admin.ledger.balance_of(prepaid.id, now_ms())
    except KeyError:  # somebody else's, about to be opened
        return 0, 0
    return spent, held


def facts(group: StoredGroup) -> Mapping[str, Any]:
    """What an event tells."""
    return {"id": group.id, "name": group.name, "enabled": group.enabled, "version": group.version}


OPERATIONS = (
    AdminOperation(
        "groups.list", "GET", _PATH, "List groups", _list, Page[GroupView], query=ListQuery
    ),
    AdminOperation(
        "groups.create",
        "POST",
        _PATH,
        "Make a group of keys",
        _create,
        GroupView,
        body=NewGroup,
        status=201,
        errors=(ConflictError,),
    ),
    AdminOperation("groups.show", "GET", _ONE, "Show a group", _show, GroupView),
    AdminOperation(
        "groups.update",
        "PATCH",
        _ONE,
        "Change a group",
        _update,
        GroupView,
        body=GroupPatch,
        errors=(ConflictError,),
    ),
    AdminOperation(
        "groups.delete",
        "DELETE",
        _ONE,
        "Delete a group that no key is in; its records stay",
        _delete,
        None,
        errors=(ConflictError,),
    ),
)
