"""Admin operations on the credentials of providers."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from conduit.core.errors import ConflictError, UnavailableError, ValidationFailedError
from conduit.core.events import EventKind
from conduit.core.ids import new_id, now_ms
from conduit.core.resources.fields import Page, time_text
from conduit.core.resources.providers import (
    CredentialPatch,
    CredentialView,
    LeftOut,
    NewCredential,
    SealedCredential,
)
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.wire import ListQuery, changes_of, page
from conduit.gateway.config.configuration import (
    Standing,
    hint_of,
    host_of,
    place_of,
    secret_in,
    source_of,
)
from conduit.gateway.config.sealing import Place, SealedError, SealingKey
from conduit.gateway.health.facts import LeftOutFacts, credentials_left_out
from conduit.gateway.storage import credentials, providers
from conduit.gateway.storage.credentials import StoredCredential
from conduit.gateway.storage.engine import reading, writing
from conduit.gateway.storage.providers import StoredProvider

_PATH = "/admin/providers/{provider}/credentials"
_ONE = _PATH + "/{credential}"
_EXPORT_VERSION = 1


async def _list(call: Call[None, ListQuery]) -> Page[CredentialView]:
    admin = call.admin
    async with reading(admin.database) as connection:
        provider = await providers.find(connection, call.names["provider"])
        found = await credentials.page(connection, provider.id, call.query.window())
    out = left_out(admin)
    return page(found, [view(admin, each, out) for each in found.rows])


async def _create(call: Call[NewCredential, None]) -> CredentialView:
    admin, wanted = call.admin, call.body
    async with writing(admin.database, by=call.by) as connection:
        provider = await providers.find(connection, call.names["provider"])
        credential = new_credential(admin, provider, wanted)
        await credentials.insert(connection, credential)
    await admin.announce(EventKind.CREDENTIAL_CREATED, facts(provider, credential))
    return view(admin, credential, left_out(admin))


async def _show(call: Call[None, None]) -> CredentialView:
    admin = call.admin
    async with reading(admin.database) as connection:
        provider = await providers.find(connection, call.names["provider"])
        credential = await credentials.find(connection, provider.id, call.names["credential"])
    return view(admin, credential, left_out(admin))


async def _update(call: Call[CredentialPatch, None]) -> CredentialView:
    admin, patch = call.admin, call.body
    wanted = changes_of(patch)
    async with writing(admin.database, by=call.by) as connection:
        provider = await providers.find(connection, call.names["provider"])
        credential = await credentials.find(connection, provider.id, call.names["credential"])
        changes = _changes(admin, provider, credential, patch, wanted)
        if changes.pop("primary", False):
            own = await credentials.of_providers(connection, [provider.id])
            changes["position"] = _first_position(credential, own)
        credential = await credentials.change(
            connection, credential, changes, version=patch.version
        )
    await admin.announce(EventKind.CREDENTIAL_UPDATED, facts(provider, credential))
    return view(admin, credential, left_out(admin))


async def _delete(call: Call[None, None]) -> None:
    admin = call.admin
    async with writing(admin.database, by=call.by) as connection:
        provider = await providers.find(connection, call.names["provider"])
        credential = await credentials.find(connection, provider.id, call.names["credential"])
        await credentials.remove(connection, credential)
    await admin.announce(EventKind.CREDENTIAL_DELETED, facts(provider, credential))


async def _sealed(call: Call[None, None]) -> SealedCredential:
    admin = call.admin
    async with reading(admin.database) as connection:
        provider = await providers.find(connection, call.names["provider"])
        credential = await credentials.find(connection, provider.id, call.names["credential"])
    if credential.kind != "sealed":
        raise ConflictError(
            f"credential {credential.name} refers to {source_of(credential)}: nothing is sealed"
        )
    key = _sealing_key(admin)
    try:
        secret = key.open(credential.sealed or "", place_of(credential.id))
    except SealedError as error:
        raise ConflictError(f"credential {credential.name} cannot be opened: {error}") from error
    standing = admin.configuration.standings.get(credential.id, Standing("missing"))
    return SealedCredential(
        sealed=key.seal(secret, _export_place(credential.host), _EXPORT_VERSION),
        host=credential.host,
        fingerprint=standing.fingerprint,
    )


def _export_place(host: str) -> Place:
    """Where an exported secret may be opened: wherever it is for the host it was entered for."""
    return Place("export", host, "secret")


def _opened(admin: AdminContext, provider: StoredProvider, sealed: str, under: str = "") -> str:
    """The secret of an export. Raises ValidationFailedError and UnavailableError."""
    host = host_of(provider.base_url)
    try:
        return _sealing_key(admin).open(sealed, _export_place(host))
    except SealedError as error:
        raise ValidationFailedError(
            f"{under}sealed: it does not open here for {host}: {error}",
            param=f"{under}sealed",
            hint="it needs the sealing key of the gateway that exported it, and the same host",
        ) from error


def new_credential(
    admin: AdminContext, provider: StoredProvider, wanted: NewCredential, *, under: str = ""
) -> StoredCredential:
    """What to store. `under` is the name of the field that holds it. Raises ValidationFailedError.

    The credential is bound to the host that the provider has now.
    """
    if len(_sources(wanted)) != 1:
        raise ValidationFailedError(
            f"{under}secret: give exactly one of secret, sealed, env and file",
            param=f"{under}secret",
        )
    _refuse_relative(wanted.file, under)
    at_ms = now_ms()
    credential_id = new_id("cred", at_ms)
    sealed = hint = None
    secret = _given(admin, provider, wanted, under)
    if secret is not None:
        sealed, hint = _seal(admin, secret, credential_id, version=1), hint_of(secret)
    return StoredCredential(
        id=credential_id,
        provider_id=provider.id,
        name=wanted.name,
        kind="env" if wanted.env is not None else "file" if wanted.file is not None else "sealed",
        reference=wanted.env or wanted.file,
        sealed=sealed,
        hint=hint,
        host=host_of(provider.base_url),
        enabled=True,
        created_at_ms=at_ms,
        updated_at_ms=at_ms,
        version=1,
        weight=wanted.weight,
        max_in_flight=wanted.max_in_flight,
        requests_per_minute=wanted.requests_per_minute,
    )


def _given(
    admin: AdminContext,
    provider: StoredProvider,
    given: NewCredential | CredentialPatch,
    under: str = "",
) -> str | None:
    """The secret that was given, itself or sealed; None for a reference."""
    if given.secret is not None:
        return _checked(given.secret.get_secret_value(), under)
    return None if given.sealed is None else _opened(admin, provider, given.sealed, under)


def _sources(given: NewCredential | CredentialPatch) -> list[str]:
    """The fields that say where the secret is."""
    return [
        name for name in ("secret", "sealed", "env", "file") if getattr(given, name) is not None
    ]


def _refuse_relative(file: str | None, under: str = "") -> None:
    if file is not None and not PurePath(file).is_absolute():
        raise ValidationFailedError(f"{under}file: give the whole path", param=f"{under}file")


def _first_position(credential: StoredCredential, own: Sequence[StoredCredential]) -> int:
    """A position before those of the others, the present one where that is the case already."""
    if own[0].id == credential.id:
        return credential.position
    return min(each.position for each in own) - 1


def _changes(
    admin: AdminContext,
    provider: StoredProvider,
    credential: StoredCredential,
    patch: CredentialPatch,
    wanted: dict[str, Any],
) -> dict[str, Any]:
    """What is entered takes the place of what was, and is bound to the present host."""
    changes = {**wanted, "updated_at_ms": now_ms()}
    if len(_sources(patch)) > 1:
        raise ValidationFailedError(
            "secret: give one of secret, sealed, env and file", param="secret"
        )
    _refuse_relative(patch.file)
    for kind in ("env", "file"):
        if kind in changes:
            changes |= {
                "kind": kind,
                "reference": changes.pop(kind),
                "sealed": None,
                "hint": None,
                "host": host_of(provider.base_url),
            }
    secret = _given(admin, provider, patch)
    if secret is not None:
        changes.pop("secret", None)
        changes |= {
            "kind": "sealed",
            "reference": None,
            "sealed": _seal(admin, secret, credential.id, version=credential.version + 1),
            "hint": hint_of(secret),
            "host": host_of(provider.base_url),
        }
    return changes


def _checked(text: str, under: str = "") -> str:
    secret = secret_in(text)
    if secret is None:
        raise ValidationFailedError(
            f"{under}secret: must be visible ASCII characters without spaces, or a JSON object; "
            "16 KiB at most",
            param=f"{under}secret",
        )
    return secret


def _sealing_key(admin: AdminContext) -> SealingKey:
    key = admin.configuration.sealing_key
    if key is None:
        raise UnavailableError(
            "there is no sealing key, so no secret can be stored",
            hint="restore the sealing key, or give the credential as env or file",
        )
    return key


def _seal(admin: AdminContext, secret: str, credential_id: str, *, version: int) -> str:
    return _sealing_key(admin).seal(secret, place_of(credential_id), version)


LeftOutById = Mapping[str, Sequence[LeftOutFacts]]


def left_out(admin: AdminContext) -> LeftOutById:
    """What is held against credentials at this moment, by their ids."""
    return credentials_left_out(admin.health, admin.configuration.snapshot.upstreams)


def view(admin: AdminContext, credential: StoredCredential, out: LeftOutById) -> CredentialView:
    # One that a reload has not seen yet is not usable yet either.
    standing = admin.configuration.standings.get(credential.id, Standing("missing"))
    return CredentialView(
        id=credential.id,
        name=credential.name,
        source=source_of(credential),
        hint=standing.hint,
        fingerprint=standing.fingerprint,
        host=credential.host,
        enabled=credential.enabled,
        primary=standing.primary,
        weight=credential.weight,
        max_in_flight=credential.max_in_flight,
        requests_per_minute=credential.requests_per_minute,
        state=standing.state,
        left_out=[_left_out(each) for each in out.get(credential.id, ())],
        created_at=str(time_text(credential.created_at_ms)),
        version=credential.version,
    )


def _left_out(facts: LeftOutFacts) -> LeftOut:
    until = str(time_text(facts.until_ms))
    return LeftOut(state=facts.state, reason=facts.reason, model=facts.model, until=until)


def facts(provider: StoredProvider, credential: StoredCredential) -> dict[str, Any]:
    """What an event tells."""
    return {
        "id": credential.id,
        "name": credential.name,
        "provider": provider.name,
        "version": credential.version,
    }


OPERATIONS = (
    AdminOperation(
        "credentials.list",
        "GET",
        _PATH,
        "List the credentials of a provider",
        _list,
        Page[CredentialView],
        query=ListQuery,
    ),
    AdminOperation(
        "credentials.create",
        "POST",
        _PATH,
        "Add a credential to a provider",
        _create,
        CredentialView,
        body=NewCredential,
        status=201,
        errors=(ConflictError,),
    ),
    AdminOperation(
        "credentials.show", "GET", _ONE, "Show a credential of a provider", _show, CredentialView
    ),
    AdminOperation(
        "credentials.sealed",
        "GET",
        _ONE + "/sealed",
        "Give a credential's secret sealed, for gateways with the same sealing key",
        _sealed,
        SealedCredential,
        secret=True,
        errors=(ConflictError, UnavailableError),
    ),
    AdminOperation(
        "credentials.update",
        "PATCH",
        _ONE,
        "Change a credential or enter its secret anew",
        _update,
        CredentialView,
        body=CredentialPatch,
        errors=(ConflictError,),
    ),
    AdminOperation("credentials.delete", "DELETE", _ONE, "Delete a credential", _delete, None),
)
