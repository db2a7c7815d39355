"""Statements for the credentials of providers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sqlalchemy import Row, delete, select
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
    row_named,
)
from conduit.gateway.storage.schema import credentials, providers

Kind = Literal["env", "file", "sealed"]


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """Where a secret is found. `reference` is a variable or path, `sealed` an envelope.

    Of a provider's credentials, the one with the lowest `position` is used first, then the oldest.
    """

    id: str
    provider_id: str
    name: str
    kind: Kind
    reference: str | None
    sealed: str | None = field(repr=False)
    hint: str | None
    host: str
    enabled: bool
    created_at_ms: int
    updated_at_ms: int
    version: int
    position: int = 0
    weight: int = 1
    max_in_flight: int | None = None
    requests_per_minute: int | None = None


def _credential(row: Row[Any]) -> StoredCredential:
    return StoredCredential(**row._mapping)


async def insert(connection: AsyncConnection, credential: StoredCredential) -> None:
    """Raises ConflictError where the provider has a credential of that name."""
    taken = f"the provider has a credential named {credential.name} already"
    await insert_row(connection, credentials, credential, taken=taken, param="name")
    label = await _label(connection, credential)
    note(connection, Change("credential", label, None, told(credential)))


async def page(
    connection: AsyncConnection, provider_id: str, window: Window
) -> Found[StoredCredential]:
    return await read_page(
        connection,
        select(credentials).where(credentials.c.provider_id == provider_id),
        credentials.c.name,
        _credential,
        window,
    )


async def everything(connection: AsyncConnection) -> tuple[StoredCredential, ...]:
    """All credentials, those of one provider in the order in which they are used."""
    found = await connection.execute(
        select(credentials).order_by(
            credentials.c.provider_id, credentials.c.position, credentials.c.id
        )
    )
    return tuple(_credential(row) for row in found)


async def of_providers(
    connection: AsyncConnection, provider_ids: Sequence[str]
) -> tuple[StoredCredential, ...]:
    """Those of these providers, in the order in which they are used."""
    found = await connection.execute(
        select(credentials)
        .where(credentials.c.provider_id.in_(provider_ids))
        .order_by(credentials.c.position, credentials.c.id)
    )
    return tuple(_credential(row) for row in found)


async def find(connection: AsyncConnection, provider_id: str, name_or_id: str) -> StoredCredential:
    """Raises NotFoundError."""
    of_provider = select(credentials).where(credentials.c.provider_id == provider_id)
    row = await row_named(connection, of_provider, credentials.c.name, name_or_id)
    if row is None:
        raise NotFoundError(f"the provider has no credential {name_or_id}")
    return _credential(row)


async def change(
    connection: AsyncConnection,
    credential: StoredCredential,
    changes: Mapping[str, Any],
    *,
    version: int | None,
) -> StoredCredential:
    """Raises ConflictError where `version` is not the present one."""
    refuse_stale(f"credential {credential.name}", credential.version, version)
    await change_row(
        connection, credentials, credential.id, changes, expected_version=credential.version
    )
    changed = replace(credential, **changes, version=credential.version + 1)
    label = await _label(connection, credential)
    entered = "its secret was entered anew" if changes.get("sealed") else None
    note(connection, Change("credential", label, told(credential), told(changed), entered))
    return changed


async def remove(connection: AsyncConnection, credential: StoredCredential) -> None:
    await connection.execute(delete(credentials).where(credentials.c.id == credential.id))
    label = await _label(connection, credential)
    note(connection, Change("credential", label, told(credential), None))


async def _label(connection: AsyncConnection, credential: StoredCredential) -> str:
    """The credential as people know it: `provider/name`."""
    found = await connection.execute(
        select(providers.c.name).where(providers.c.id == credential.provider_id)
    )
    return f"{found.scalar_one_or_none()}/{credential.name}"


def told(credential: StoredCredential) -> State:
    """What the history tells of it: where the secret is, and nothing that is made of it."""
    return {
        "id": credential.id,
        "kind": credential.kind,
        "reference": credential.reference,
        "host": credential.host,
        "enabled": credential.enabled,
        "position": credential.position,
        "weight": credential.weight,
        "max_in_flight": credential.max_in_flight,
        "requests_per_minute": credential.requests_per_minute,
    }
