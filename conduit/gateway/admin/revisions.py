"""Admin operations on the history of the configuration."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from conduit.core.errors import ConflictError, NotFoundError
from conduit.core.money import format_multiplier, format_usd
from conduit.core.resources.fields import Page, time_text
from conduit.core.resources.revisions import (
    Action,
    ChangeView,
    NewRollback,
    RevisionDetail,
    RevisionView,
    RollbackView,
    Unrestorable,
)
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.rollback import Plan, Told, carry_out, plan, read_present
from conduit.gateway.admin.wire import ListQuery, page
from conduit.gateway.pricing import TOKEN_RATES
from conduit.gateway.storage import installation, revisions
from conduit.gateway.storage.engine import Transaction, reading, writing
from conduit.gateway.storage.revisions import Change, State, StoredRevision

_PATH = "/admin/config/revisions"
_MOST_DIGITS = 18
_NAMED = 5
_AMOUNTS = frozenset({*TOKEN_RATES, "per_request"})


async def _list(call: Call[None, ListQuery]) -> Page[RevisionView]:
    async with reading(call.admin.database) as connection:
        found = await revisions.page(connection, call.query.window())
    return page(found, [RevisionView(**_facts(each)) for each in found.rows])


async def _show(call: Call[None, None]) -> RevisionDetail:
    given = call.names["revision"]
    if not (given.isascii() and given.isdecimal() and len(given) <= _MOST_DIGITS):
        raise NotFoundError(f"there is no revision {given}: one is a number")
    async with reading(call.admin.database) as connection:
        found = await revisions.find(connection, int(given))
    return RevisionDetail(**_facts(found), changes=[_view(each) for each in found.changes])


async def _rollback(call: Call[NewRollback, None]) -> RollbackView:
    """One transaction, and one snapshot in the place of another: whatever runs goes on."""
    admin, wanted = call.admin, call.body
    if wanted.dry_run:
        async with reading(admin.database) as connection:
            planned = await _planned(connection, wanted)
            revision = await installation.revision(connection)
        return _answer(wanted, planned, revision)
    told: list[Told] = []
    async with writing(
        admin.database, by=replace(call.by, rolled_back_to=wanted.revision)
    ) as connection:
        planned = await _planned(connection, wanted)
        if planned.left and not wanted.partial:
            raise _refusal(wanted, planned.left)
        told = await carry_out(connection, planned.changes)
    await admin.announce_all(told)
    return _answer(wanted, planned, admin.configuration.snapshot.revision)


async def _planned(connection: Transaction, wanted: NewRollback) -> Plan:
    """Raises NotFoundError, and ConflictError where what was looked at is no longer there."""
    undone = await revisions.restorable_since(connection, wanted.revision)
    if wanted.expected is not None and undone and undone[0].number > wanted.expected:
        raise ConflictError(
            f"the configuration is at revision {undone[0].number}, not {wanted.expected}: "
            "somebody changed it meanwhile",
            hint="look at the plan again: conduit config rollback REV --dry-run",
        )
    return plan(undone, await read_present(connection), prune=wanted.prune)


def _refusal(wanted: NewRollback, left: tuple[Unrestorable, ...]) -> ConflictError:
    """Every thing that is in the way, by name."""
    said = [f"{each.kind} {each.name}: {each.reason}" for each in left[:_NAMED]]
    if len(left) > _NAMED:
        said.append(f"and {len(left) - _NAMED} more")
    return ConflictError(
        f"revision {wanted.revision} cannot be brought back whole: {'; '.join(said)}",
        hint="conduit config rollback --partial brings back the rest",
    )


def _answer(wanted: NewRollback, planned: Plan, revision: int) -> RollbackView:
    return RollbackView(
        revision=revision,
        rolled_back_to=wanted.revision,
        dry_run=wanted.dry_run,
        changes=[_view(each) for each in planned.changes],
        left=list(planned.left),
    )


def _facts(revision: StoredRevision) -> dict[str, Any]:
    return {
        "revision": revision.number,
        "at": str(time_text(revision.at_ms)),
        "actor": revision.actor,
        "client": revision.client,
        "address": revision.address,
        "operation": revision.operation,
        "kind": revision.kind,
        "name": revision.name,
        "change_count": revision.change_count,
        "restorable": revision.restorable,
        "rolled_back_to": revision.rolled_back_to,
    }


def _view(change: Change) -> ChangeView:
    action: Action = "change"
    if change.before is None:
        action = "add"
    elif change.after is None:
        action = "remove"
    old, new = _shown(change.kind, change.before), _shown(change.kind, change.after)
    return ChangeView(
        action=action,
        kind=change.kind,
        name=change.name,
        changes={
            field: (old.get(field), new.get(field))
            for field in dict.fromkeys((*old, *new))
            if old.get(field) != new.get(field)
        },
        note=change.note,
    )


def _shown_price(state: State) -> Mapping[str, Any]:
    shown = {
        "request" if name == "per_request" else name: format_usd(value)
        if name in _AMOUNTS
        else value
        for name, value in state.items()
    }
    if "units" in state:
        shown["units"] = {name: format_usd(each) for name, each in state["units"].items()}
    if "service_tiers" in state:
        factors = state["service_tiers"]
        shown["service_tiers"] = {name: format_multiplier(each) for name, each in factors.items()}
    if "tiers" in state:
        shown["tiers"] = [
            {name: format_usd(each) if name in _AMOUNTS else each for name, each in tier.items()}
            for tier in state["tiers"]
        ]
    return shown


def _shown(kind: str, state: State | None) -> Mapping[str, Any]:
    """A state with its fields as the resources of the API have them."""
    if state is None:
        return {}
    match kind:
        case "price" | "planned_price":
            return _shown_price(state)
        case "credential":
            sealed = state["kind"] == "sealed"
            source = "sealed" if sealed else f"{state['kind']}:{state['reference']}"
            kept = ("host", "enabled", "position", "id")
            return {"source": source, **{name: state[name] for name in kept}}
        case "key":
            rest = {name: value for name, value in state.items() if name != "expires_at_ms"}
            return {**rest, "expires_at": time_text(state["expires_at_ms"])}
        case "budget":
            rest = {name: value for name, value in state.items() if name != "limit_nanodollars"}
            return {**rest, "limit": format_usd(state["limit_nanodollars"])}
        case _:
            return state


OPERATIONS = (
    AdminOperation(
        "revisions.list",
        "GET",
        _PATH,
        "List the changes of the configuration, the newest first",
        _list,
        Page[RevisionView],
        query=ListQuery,
    ),
    AdminOperation(
        "revisions.show",
        "GET",
        _PATH + "/{revision}",
        "Show what a change of the configuration was",
        _show,
        RevisionDetail,
    ),
    AdminOperation(
        "config.rollback",
        "POST",
        "/admin/config/rollback",
        "Make the configuration what it was at a revision",
        _rollback,
        RollbackView,
        body=NewRollback,
        errors=(NotFoundError, ConflictError),
    ),
)
