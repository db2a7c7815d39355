"""Admin operations on virtual keys."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import Field

from conduit.core.errors import ConflictError, NotFoundError, ValidationFailedError
from conduit.core.events import EventKind
from conduit.core.ids import new_id, now_ms
from conduit.core.keys import digest_of, displayed_start, make_virtual_key
from conduit.core.resources.fields import Name, Page, Time, time_ms, time_text
from conduit.core.resources.keys import (
    CreatedKey,
    KeyCheck,
    KeyDigest,
    KeyPatch,
    KeyRotation,
    KeyView,
    NewKey,
    SecretState,
)
from conduit.core.resources.limits import RateLimitView
from conduit.core.resources.tags import TAG_NAME
from conduit.gateway.admin import budgets as budget_operations
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.wire import ListQuery, QueryBool, changes_of, page
from conduit.gateway.limits.limiter import Scope, Standings
from conduit.gateway.limits.scopes import limits_of
from conduit.gateway.storage import budgets, groups, keys
from conduit.gateway.storage.budgets import StoredBudget
from conduit.gateway.storage.engine import Transaction, reading, writing
from conduit.gateway.storage.keys import StoredKey, WantedKeys

_PATH = "/admin/keys"
_ONE = _PATH + "/{key}"
_TAG_NAME = re.compile(TAG_NAME)


class KeyQuery(ListQuery):
    """`expires_before` and `expires_after` leave out keys that never expire; of two moments the
    later is no part of the time. `over_budget`: a budget is spent up.

    `group` is the id or the name of the group that they are in.
    `unused_since`: nobody has used the key since then, nor made it. `tags`: it has all of these,
    `team=a,env`, where `env` is one of any value.
    """

    expires_before: Time | None = None
    expires_after: Time | None = None
    over_budget: QueryBool = False
    group: Name | None = None
    unused_since: Time | None = None
    tags: str | None = Field(default=None, max_length=2000, examples=["team=a,env"])

    def wanted_tags(self) -> dict[str, str | None]:
        """By name, None for any value. Raises ValidationFailedError."""
        found: dict[str, str | None] = {}
        for text in self.tags.split(",") if self.tags else ():
            name, separator, value = text.partition("=")
            if not _TAG_NAME.fullmatch(name):
                raise ValidationFailedError(f"tags: no name of a tag: {name!r}", param="tags")
            if name in found and found[name] != (value if separator else None):
                raise ValidationFailedError(f"tags: {name} is named twice", param="tags")
            found[name] = value if separator else None
        return found


async def _list(call: Call[None, KeyQuery]) -> Page[KeyView]:
    admin, query = call.admin, call.query
    async with reading(admin.database) as connection:
        group = None if query.group is None else await groups.find(connection, query.group)
        wanted = WantedKeys(
            expires_before_ms=_moment(query.expires_before),
            expires_after_ms=_moment(query.expires_after),
            unused_since_ms=_moment(query.unused_since),
            among=admin.ledger.overspent_keys() if query.over_budget else None,
            tags=query.wanted_tags(),
            group_id=None if group is None else group.id,
        )
        found = await keys.page(connection, query.window(), wanted)
        beside = await _beside(connection, found.rows)
    return page(found, await _views(admin, found.rows, beside))


async def _create(call: Call[NewKey, None]) -> CreatedKey:
    admin, wanted = call.admin, call.body
    secret = make_virtual_key()
    key = _new_key(wanted, secret)
    own: list[StoredBudget] = []
    if wanted.budget is not None:
        own = [budget_operations.new_budget("key", key.id, wanted.budget)]
        budget_operations.refuse_without_ledger(admin)
    async with admin.budget_changes:
        async with writing(admin.database, by=call.by) as connection:
            if wanted.group is not None:
                key = replace(key, group_id=await _group_id_of(connection, wanted.group))
            await keys.insert(connection, key)
            for budget in own:
                await budgets.insert(connection, budget)
            beside = await _beside(connection, [key])
        for budget in own:
            await budget_operations.open_budget(admin, budget, key.name)
    admin.keyring.add(key.digest)
    await admin.announce_of_keys(EventKind.KEY_CREATED, _facts(key))
    for budget in own:
        admin.bus.publish(EventKind.BUDGET_CREATED, budget_operations.facts(budget))
    [view] = await _views(admin, [key], beside)
    return CreatedKey(**dict(view), secret=secret)


async def _show(call: Call[None, None]) -> KeyView:
    admin = call.admin
    async with reading(admin.database) as connection:
        key = await keys.find(connection, call.names["key"])
        beside = await _beside(connection, [key])
    [view] = await _views(admin, [key], beside)
    return view


async def _update(call: Call[KeyPatch, None]) -> KeyView:
    admin, patch = call.admin, call.body
    changes = changes_of(patch)
    if "expires_at" in changes:
        expires_at = changes.pop("expires_at")
        changes["expires_at_ms"] = None if expires_at is None else time_ms(expires_at)
    if patch.limits is not None:
        changes["limits"] = [limit.model_dump() for limit in patch.limits]
    async with admin.budget_changes:
        key = await _change(call, changes, version=patch.version)
        async with reading(admin.database) as connection:
            beside = await _beside(connection, [key])
        if "name" in changes:
            for budget in beside.budgets:  # the ledger's refusals name the key
                admin.ledger.change_budget(budget_operations.terms_of(budget, key.name))
    await admin.announce_of_keys(EventKind.KEY_UPDATED, _facts(key))
    [view] = await _views(admin, [key], beside)
    return view


async def _rotate(call: Call[KeyRotation, None]) -> CreatedKey:
    """The former secret is good until the grace is over; one before it ends at once."""
    admin, grace_ms = call.admin, call.body.grace_s * 1000
    secret, at_ms = make_virtual_key(), now_ms()
    async with writing(admin.database, by=call.by) as connection:
        key = await keys.find(connection, call.names["key"])
        changes = {
            "digest": digest_of(secret),
            "start": displayed_start(secret),
            "former_digest": key.digest if grace_ms else None,
            "former_expires_at_ms": at_ms + grace_ms if grace_ms else None,
            "updated_at_ms": at_ms,
        }
        key = await keys.change(connection, key, changes, version=None)
        beside = await _beside(connection, [key])
    admin.keyring.drop(key.id)
    admin.keyring.add(key.digest)
    facts = {**_facts(key), "former_expires_at_ms": key.former_expires_at_ms}
    await admin.announce_of_keys(EventKind.KEY_ROTATED, facts)
    [view] = await _views(admin, [key], beside)
    return CreatedKey(**dict(view), secret=secret)


async def _check(call: Call[KeyDigest, None]) -> KeyCheck:
    admin, digest = call.admin, bytes.fromhex(call.body.digest)
    async with reading(admin.database) as connection:
        key = await keys.find_by_digest(connection, digest)
        if key is None:
            raise NotFoundError("there is no key of this digest")
        beside = await _beside(connection, [key])
    [view] = await _views(admin, [key], beside)
    secret_state: SecretState = "former" if view.former_expires_at is not None else "ended"
    if digest == key.digest:
        secret_state = "current"
    usable = view.state == "active" and secret_state != "ended"
    return KeyCheck(**dict(view), secret_state=secret_state, usable=usable)


async def _delete(call: Call[None, None]) -> None:
    """The row stays, for the records that point at it; the name is free again."""
    admin = call.admin
    changes = {"enabled": False, "deleted_at_ms": now_ms()}
    key = await _change(call, changes, version=None)
    await admin.announce_of_keys(EventKind.KEY_DELETED, _facts(key))


async def _change(
    call: Call[Any, None], changes: dict[str, Any], *, version: int | None
) -> StoredKey:
    admin = call.admin
    async with writing(admin.database, by=call.by) as connection:
        key = await keys.find(connection, call.names["key"])
        if "group" in changes:
            group = changes.pop("group")
            changes["group_id"] = None if group is None else await _group_id_of(connection, group)
        key = await keys.change(
            connection, key, {**changes, "updated_at_ms": now_ms()}, version=version
        )
    # Before anything is awaited: a key that was revoked stops at once.
    admin.keyring.drop(key.id)
    return key


def _new_key(wanted: NewKey, secret: str) -> StoredKey:
    at_ms = now_ms()
    expires_at_ms = None if wanted.expires_at is None else time_ms(wanted.expires_at)
    if expires_at_ms is not None and expires_at_ms <= at_ms:
        raise ValidationFailedError("expires_at: is in the past", param="expires_at")
    return StoredKey(
        id=new_id("key", at_ms),
        name=wanted.name,
        digest=digest_of(secret),
        start=displayed_start(secret),
        allowed_models=wanted.allowed_models,
        enabled=True,
        expires_at_ms=expires_at_ms,
        created_at_ms=at_ms,
        updated_at_ms=at_ms,
        deleted_at_ms=None,
        last_used_at_ms=None,
        version=1,
        log_bodies=wanted.log_bodies,
        allow_direct=wanted.allow_direct,
        limits=[limit.model_dump() for limit in wanted.limits],
        allowed_ips=wanted.allowed_ips,
        priority=wanted.priority,
        tags=wanted.tags,
        metadata=wanted.metadata,
    )


async def _group_id_of(connection: Transaction, name_or_id: str) -> str:
    """The id of the group that a body names. Raises ValidationFailedError."""
    try:
        return (await groups.find(connection, name_or_id)).id
    except NotFoundError as error:
        raise ValidationFailedError(f"group: {error.message}", param="group") from error


def _moment(text: str | None) -> int | None:
    return None if text is None else time_ms(text)


def _state(key: StoredKey) -> str:
    if not key.enabled:
        return "disabled"
    expired = key.expires_at_ms is not None and key.expires_at_ms <= now_ms()
    return "expired" if expired else "active"


def _former_end(key: StoredKey) -> str | None:
    """Until when the former secret is good, None where it is not."""
    end_ms = key.former_expires_at_ms
    return time_text(end_ms) if end_ms is not None and end_ms > now_ms() else None


@dataclass(frozen=True, slots=True)
class _Beside:
    """What is shown with keys: their budgets, and the names of their groups by id."""

    budgets: Sequence[StoredBudget]
    groups: Mapping[str, str]


async def _beside(connection: Transaction, found: Sequence[StoredKey]) -> _Beside:
    own = await budgets.of_keys(connection, [key.id for key in found])
    group_ids = {key.group_id for key in found if key.group_id is not None}
    return _Beside(own, await groups.names_of(connection, group_ids))


async def _views(admin: AdminContext, found: Sequence[StoredKey], beside: _Beside) -> list[KeyView]:
    standings = await admin.limiter.look(*(Scope(k.id, k.name, limits_of(k.limits)) for k in found))
    resets = await budget_operations.resets_of(admin, beside.budgets)
    return [_view(admin, key, beside, resets, standings[key.id]) for key in found]


def _view(
    admin: AdminContext,
    key: StoredKey,
    beside: _Beside,
    resets: budget_operations.Resets,
    standings: Standings,
) -> KeyView:
    """The key with those of the budgets that are its own."""
    return KeyView(
        id=key.id,
        name=key.name,
        start=key.start,
        enabled=key.enabled,
        state=_state(key),
        allowed_models=list(key.allowed_models),
        budgets=[
            budget_operations.view(admin, each, key.name, resets)
            for each in beside.budgets
            if each.scope_id == key.id
        ],
        expires_at=time_text(key.expires_at_ms),
        log_bodies=key.log_bodies,
        allow_direct=key.allow_direct,
        limits=limit_views(standings),
        allowed_ips=list(key.allowed_ips),
        priority=key.priority,
        group=None if key.group_id is None else beside.groups.get(key.group_id),
        group_id=key.group_id,
        tags=dict(key.tags),
        metadata=dict(key.metadata),
        last_used_at=time_text(key.last_used_at_ms),
        former_expires_at=_former_end(key),
        created_at=str(time_text(key.created_at_ms)),
        updated_at=str(time_text(key.updated_at_ms)),
        version=key.version,
    )


def limit_views(standings: Standings) -> list[RateLimitView]:
    """The limits of a key, or of what else has some, as they stand."""
    return [
        RateLimitView(**asdict(each.limit), remaining=each.remaining, exceeded=exceeded)
        for each, exceeded in standings
    ]


def _facts(key: StoredKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "enabled": key.enabled,
        "version": key.version,
        "group_id": key.group_id,
    }


OPERATIONS = (
    AdminOperation(
        "keys.list",
        "GET",
        _PATH,
        "List keys",
        _list,
        Page[KeyView],
        query=KeyQuery,
        errors=(NotFoundError,),
    ),
    AdminOperation(
        "keys.create",
        "POST",
        _PATH,
        "Make a key; its secret is in this answer alone",
        _create,
        CreatedKey,
        body=NewKey,
        status=201,
        secret=True,
        errors=(ConflictError,),
    ),
    AdminOperation(
        "keys.check",
        "POST",
        _PATH + "/check",
        "Find the key that a digest belongs to",
        _check,
        KeyCheck,
        body=KeyDigest,
        errors=(NotFoundError,),
    ),
    AdminOperation("keys.show", "GET", _ONE, "Show a key", _show, KeyView),
    AdminOperation(
        "keys.update",
        "PATCH",
        _ONE,
        "Change a key",
        _update,
        KeyView,
        body=KeyPatch,
        errors=(ConflictError,),
    ),
    AdminOperation(
        "keys.rotate",
        "POST",
        _ONE + "/rotate",
        "Give a key a new secret, which is in this answer alone",
        _rotate,
        CreatedKey,
        body=KeyRotation,
        secret=True,
        errors=(ConflictError,),
    ),
    AdminOperation("keys.delete", "DELETE", _ONE, "Delete a key; its records stay", _delete, None),
)
