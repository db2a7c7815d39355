"""Admin operations on providers."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from conduit.core.errors import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    ValidationFailedError,
)
from conduit.core.events import EventKind
from conduit.core.ids import new_id, now_ms
from conduit.core.resources.fields import Page, time_text
from conduit.core.resources.providers import (
    NewProvider,
    OnHangUp,
    ProviderPatch,
    ProviderView,
)
from conduit.gateway.admin import credentials as credential_operations
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.credentials import LeftOutById
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.wire import ListQuery, changes_of, page
from conduit.gateway.config.configuration import host_of
from conduit.gateway.provider import ProviderType
from conduit.gateway.providers import registry
from conduit.gateway.storage import credentials, mappings, providers
from conduit.gateway.storage.credentials import StoredCredential
from conduit.gateway.storage.engine import reading, writing
from conduit.gateway.storage.providers import StoredProvider
from conduit.gateway.upstream.egress import check_base_url

SIMULATOR_URL = "simulator:"
_PATH = "/admin/providers"
_ONE = _PATH + "/{provider}"


async def _list(call: Call[None, ListQuery]) -> Page[ProviderView]:
    admin = call.admin
    async with reading(admin.database) as connection:
        found = await providers.page(connection, call.query.window())
        own = await credentials.of_providers(connection, [each.id for each in found.rows])
    out = credential_operations.left_out(admin)
    return page(found, [_view(admin, each, own, out) for each in found.rows])


async def _create(call: Call[NewProvider, None]) -> ProviderView:
    admin, wanted = call.admin, call.body
    provider = _new_provider(wanted)
    own = []
    if wanted.credential is not None:
        own = [
            credential_operations.new_credential(
                admin, provider, wanted.credential, under="credential."
            )
        ]
    async with writing(admin.database, by=call.by) as connection:
        await providers.insert(connection, provider)
        for credential in own:
            await credentials.insert(connection, credential)
    await admin.announce(EventKind.PROVIDER_CREATED, facts(provider))
    return view(admin, provider, own)


async def _show(call: Call[None, None]) -> ProviderView:
    admin = call.admin
    async with reading(admin.database) as connection:
        provider = await providers.find(connection, call.names["provider"])
        own = await credentials.of_providers(connection, [provider.id])
    return view(admin, provider, own)


async def _update(call: Call[ProviderPatch, None]) -> ProviderView:
    admin, patch = call.admin, call.body
    changes = changes_of(patch)
    async with writing(admin.database, by=call.by) as connection:
        provider = await providers.find(connection, call.names["provider"])
        own = await credentials.of_providers(connection, [provider.id])
        if "base_url" in changes or "allow_private" in changes:
            base_url, allow_private = _checked_url(
                _type_named(provider.type),
                changes.get("base_url", provider.base_url),
                allow_private=changes.get("allow_private", _said_for(provider, changes)),
            )
            changes |= {"base_url": base_url, "allow_private": allow_private}
        provider = await providers.change(
            connection, provider, {**changes, "updated_at_ms": now_ms()}, version=patch.version
        )
    await admin.announce(EventKind.PROVIDER_UPDATED, facts(provider))
    return view(admin, provider, own)


async def _delete(call: Call[None, None]) -> None:
    admin = call.admin
    async with writing(admin.database, by=call.by) as connection:
        provider = await providers.find(connection, call.names["provider"])
        stored = await mappings.everything(connection)
        if using := [mapping.alias for mapping in stored if mapping.uses(provider.name)]:
            raise ConflictError(
                f"provider {provider.name} serves {', '.join(using)}",
                hint="delete or change these mappings first",
            )
        await providers.remove(connection, provider)
    await admin.announce(EventKind.PROVIDER_DELETED, facts(provider))


def _new_provider(wanted: NewProvider) -> StoredProvider:
    kind = _type_named(wanted.type)
    base_url, allow_private = _checked_url(
        kind, wanted.base_url, allow_private=wanted.allow_private
    )
    at_ms = now_ms()
    return StoredProvider(
        id=new_id("prov", at_ms),
        name=wanted.name,
        type=wanted.type,
        base_url=base_url,
        allow_private=allow_private,
        enabled=wanted.enabled,
        created_at_ms=at_ms,
        updated_at_ms=at_ms,
        version=1,
        on_hang_up=wanted.on_hang_up or ("drain" if kind.bills_cancelled else "cancel"),
    )


def _type_named(name: str) -> ProviderType:
    try:
        return registry.provider_of(name).type
    except NotFoundError:
        known = ", ".join(kind.name for kind in registry.types())
        raise ValidationFailedError(
            f"type: there is no provider type {name}; there are {known}", param="type"
        ) from None


def _checked_url(
    kind: ProviderType, base_url: str | None, *, allow_private: bool
) -> tuple[str, bool]:
    """The base URL in its one form, and whether private addresses are allowed: loopback says so."""
    if kind.simulated:
        if base_url not in (None, SIMULATOR_URL):
            raise ValidationFailedError(
                "base_url: the simulator runs inside the gateway and has none", param="base_url"
            )
        return SIMULATOR_URL, False
    if (given := base_url or kind.default_base_url) is None:
        form = kind.base_url_form
        raise ValidationFailedError(
            f"base_url: providers of type {kind.name} need one",
            hint=None if form is None else f"it looks like {form}",
            param="base_url",
        )
    try:
        checked = check_base_url(given, allow_private=allow_private)
    except InvalidRequestError as error:
        raise ValidationFailedError(error.message, hint=error.hint, param="base_url") from error
    return checked.url, allow_private or checked.is_loopback


def refuse_unusable(state: Mapping[str, Any]) -> None:
    """Raise ValidationFailedError for what no provider can be, by the rules of now."""
    kind = _type_named(state["type"])
    _checked_url(kind, state["base_url"], allow_private=state["allow_private"])


def _said_for(provider: StoredProvider, changes: Mapping[str, Any]) -> bool:
    """What was said of private addresses holds for the host it was said of, and no other."""
    if "base_url" not in changes:
        return provider.allow_private
    try:
        same = host_of(changes["base_url"]) == host_of(provider.base_url)
    except ValueError:  # no URL at all, which the check will say
        return False
    return provider.allow_private and same


def view(
    admin: AdminContext, provider: StoredProvider, own: Sequence[StoredCredential]
) -> ProviderView:
    """The provider with those of the credentials that are its own."""
    return _view(admin, provider, own, credential_operations.left_out(admin))


def _view(
    admin: AdminContext,
    provider: StoredProvider,
    own: Sequence[StoredCredential],
    out: LeftOutById,
) -> ProviderView:
    upstream = admin.configuration.snapshot.upstreams.get(provider.name)
    return ProviderView(
        id=provider.id,
        name=provider.name,
        type=provider.type,
        base_url=provider.base_url,
        allow_private=provider.allow_private,
        enabled=provider.enabled,
        simulated=upstream is not None and upstream.provider.type.simulated,
        credentials=[
            credential_operations.view(admin, each, out)
            for each in own
            if each.provider_id == provider.id
        ],
        created_at=str(time_text(provider.created_at_ms)),
        updated_at=str(time_text(provider.updated_at_ms)),
        version=provider.version,
        on_hang_up=cast(OnHangUp, provider.on_hang_up),
    )


def facts(provider: StoredProvider) -> dict[str, Any]:
    """What an event tells."""
    return {
        "id": provider.id,
        "name": provider.name,
        "type": provider.type,
        "enabled": provider.enabled,
        "version": provider.version,
    }


OPERATIONS = (
    AdminOperation(
        "providers.list",
        "GET",
        _PATH,
        "List providers",
        _list,
        Page[ProviderView],
        query=ListQuery,
    ),
    AdminOperation(
        "providers.create",
        "POST",
        _PATH,
        "Add a provider",
        _create,
        ProviderView,
        body=NewProvider,
        status=201,
        errors=(ConflictError,),
    ),
    AdminOperation("providers.show", "GET", _ONE, "Show a provider", _show, ProviderView),
    AdminOperation(
        "providers.update",
        "PATCH",
        _ONE,
        "Change a provider",
        _update,
        ProviderView,
        body=ProviderPatch,
        errors=(ConflictError,),
    ),
    AdminOperation(
        "providers.delete",
        "DELETE",
        _ONE,
        "Delete a provider that no mapping names",
        _delete,
        None,
        errors=(ConflictError,),
    ),
)
