"""Admin operations on mappings."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from conduit.core.aliases import taken_by
from conduit.core.errors import ConflictError, ValidationFailedError
from conduit.core.events import EventKind
from conduit.core.ids import new_id, now_ms
from conduit.core.resources.fields import Page, time_text
from conduit.core.resources.mappings import (
    FallbackView,
    MappingPatch,
    MappingPolicy,
    MappingView,
    NewMapping,
    TargetView,
)
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.keys import limit_views
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.wire import ListQuery, changes_of, page
from conduit.gateway.capabilities import check_overrides
from conduit.gateway.limits.limiter import Scope, Standings
from conduit.gateway.limits.scopes import limits_of, mapping_scope
from conduit.gateway.storage import mappings, providers
from conduit.gateway.storage.engine import reading, writing
from conduit.gateway.storage.mappings import StoredMapping

_PATH = "/admin/mappings"
_ONE = _PATH + "/{alias:.+}"  # an alias may hold slashes


async def _list(call: Call[None, ListQuery]) -> Page[MappingView]:
    admin = call.admin
    async with reading(admin.database) as connection:
        found = await mappings.page(connection, call.query.window())
    return page(found, await _views(admin, found.rows))


async def _create(call: Call[NewMapping, None]) -> MappingView:
    admin, wanted = call.admin, call.body
    at_ms = now_ms()
    mapping = StoredMapping(
        id=new_id("map", at_ms),
        alias=wanted.alias,
        strategy=wanted.strategy,
        targets=[target.model_dump() for target in wanted.targets],
        fallbacks=[fallback.model_dump() for fallback in wanted.fallbacks],
        enabled=wanted.enabled,
        created_at_ms=at_ms,
        updated_at_ms=at_ms,
        version=1,
        policy=wanted.policy.model_dump(exclude_defaults=True),
        limits=[limit.model_dump() for limit in wanted.limits],
    )
    async with writing(admin.database, by=call.by) as connection:
        known = {provider.name for provider in await providers.everything(connection)}
        check_targets(mapping.targets, known)
        if mapping.fallbacks:
            stored = await mappings.everything(connection)
            _check_fallbacks(mapping, stored, known)
        await mappings.insert(connection, mapping)
    await admin.announce(EventKind.MAPPING_CREATED, facts(mapping))
    [view] = await _views(admin, [mapping])
    return view


async def _show(call: Call[None, None]) -> MappingView:
    admin = call.admin
    async with reading(admin.database) as connection:
        mapping = await mappings.find(connection, call.names["alias"])
    [view] = await _views(admin, [mapping])
    return view


async def _update(call: Call[MappingPatch, None]) -> MappingView:
    admin, patch = call.admin, call.body
    changes = changes_of(patch)
    for name in ("targets", "fallbacks", "limits"):
        if name in changes:
            changes[name] = [each.model_dump() for each in changes[name]]
    async with writing(admin.database, by=call.by) as connection:
        mapping = await mappings.find(connection, call.names["alias"])
        known = {provider.name for provider in await providers.everything(connection)}
        if "targets" in changes:
            check_targets(changes["targets"], known)
        if "fallbacks" in changes:
            stored = await mappings.everything(connection)
            _check_fallbacks(replace(mapping, fallbacks=changes["fallbacks"]), stored, known)
        if patch.policy is not None:
            changes["policy"] = _policy(mapping, patch.policy)
        mapping = await mappings.change(
            connection, mapping, {**changes, "updated_at_ms": now_ms()}, version=patch.version
        )
    await admin.announce(EventKind.MAPPING_UPDATED, facts(mapping))
    [view] = await _views(admin, [mapping])
    return view


async def _delete(call: Call[None, None]) -> None:
    admin = call.admin
    async with writing(admin.database, by=call.by) as connection:
        mapping = await mappings.find(connection, call.names["alias"])
        await mappings.remove(connection, mapping)
    await admin.announce(EventKind.MAPPING_DELETED, facts(mapping))


def check_targets(targets: Sequence[Mapping[str, Any]], known: set[str]) -> None:
    """Raises ValidationFailedError for a provider or a capability that there is not."""
    for index, target in enumerate(targets):
        if target["provider"] not in known:
            param = f"targets.{index}.provider"
            raise ValidationFailedError(
                f"{param}: there is no provider {target['provider']}", param=param
            )
        try:
            check_overrides(target.get("capabilities", {}))
        except ValueError as error:
            param = f"targets.{index}.capabilities"
            raise ValidationFailedError(f"{param}: {error}", param=param) from error


def _check_fallbacks(
    mapping: StoredMapping, stored: Sequence[StoredMapping], providers: Collection[str]
) -> None:
    """Raise ValidationFailedError for a fallback to what nothing takes, and where following them
    leads back to the mapping. A name means here what it means in a request.
    """
    every = {each.alias: each for each in stored} | {mapping.alias: mapping}
    enabled = {alias: each for alias, each in every.items() if each.enabled}
    for index, fallback in enumerate(mapping.fallbacks):
        name = fallback["alias"]
        # `provider/model` is for keys that may name a model directly.
        if taken_by(name, every) is None and name.partition("/")[0] not in providers:
            param = f"fallbacks.{index}.alias"
            raise ValidationFailedError(
                f"{param}: there is no mapping {name}, and no wildcard takes it",
                hint=f"add it first: conduit mappings add {name} --to PROVIDER/MODEL",
                param=param,
            )
    ahead = [fallback["alias"] for fallback in mapping.fallbacks]
    seen: set[str] = set()
    while ahead:
        name = ahead.pop()
        # One that is disabled does not take its name now, and will once it is enabled.
        for own in {taken_by(name, every), taken_by(name, enabled)} - seen:
            if own == mapping.alias:
                by = "" if own == name else f", which takes {name}"
                raise ValidationFailedError(
                    f"fallbacks: they lead back to {own}{by}", param="fallbacks"
                )
            if own is not None:
                seen.add(own)
                ahead.extend(fallback["alias"] for fallback in every[own].fallbacks)


def _policy(mapping: StoredMapping, given: MappingPolicy) -> dict[str, Any]:
    changed = {**mapping.policy, **given.model_dump(exclude_unset=True)}
    return MappingPolicy(**changed).model_dump(exclude_defaults=True)


async def _views(admin: AdminContext, found: Sequence[StoredMapping]) -> list[MappingView]:
    standings = await admin.limiter.look(*(_scope(mapping) for mapping in found))
    return [_view(mapping, standings[mapping.id]) for mapping in found]


def _scope(mapping: StoredMapping) -> Scope:
    return mapping_scope(mapping.id, mapping.alias, limits_of(mapping.limits))


def _view(mapping: StoredMapping, standings: Standings) -> MappingView:
    return MappingView(
        id=mapping.id,
        alias=mapping.alias,
        strategy=mapping.strategy,
        targets=[TargetView(**target) for target in mapping.targets],
        fallbacks=[FallbackView(**fallback) for fallback in mapping.fallbacks],
        enabled=mapping.enabled,
        policy=MappingPolicy(**mapping.policy),
        limits=limit_views(standings),
        created_at=str(time_text(mapping.created_at_ms)),
        updated_at=str(time_text(mapping.updated_at_ms)),
        version=mapping.version,
    )


def facts(mapping: StoredMapping) -> dict[str, Any]:
    return {
        "id": mapping.id,
        "alias": mapping.alias,
        "enabled": mapping.enabled,
        "version": mapping.version,
    }


OPERATIONS = (
    AdminOperation(
        "mappings.list", "GET", _PATH, "List mappings", _list, Page[MappingView], query=ListQuery
    ),
    AdminOperation(
        "mappings.create",
        "POST",
        _PATH,
        "Map an alias to the models that serve it",
        _create,
        MappingView,
        body=NewMapping,
        status=201,
        errors=(ConflictError,),
    ),
    AdminOperation("mappings.show", "GET", _ONE, "Show a mapping", _show, MappingView),
    AdminOperation(
        "mappings.update",
        "PATCH",
        _ONE,
        "Change a mapping",
        _update,
        MappingView,
        body=MappingPatch,
        errors=(ConflictError,),
    ),
    AdminOperation("mappings.delete", "DELETE", _ONE, "Delete a mapping", _delete, None),
)
