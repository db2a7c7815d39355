"""Statements for master keys: two slots, so that a rotation can overlap."""

from dataclasses import dataclass, field, replace

from sqlalchemy import delete, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.gateway.storage.schema import master_keys

FIRST_SLOT, SECOND_SLOT = 1, 2


@dataclass(frozen=True, slots=True)
class StoredMasterKey:
    """The digest of a master key; the key itself is stored nowhere."""

    slot: int
    digest: bytes = field(repr=False)
    created_at_ms: int
    expires_at_ms: int | None


async def usable(connection: AsyncConnection, now_ms: int) -> tuple[StoredMasterKey, ...]:
    """The master keys that have not expired."""
    found = await connection.execute(
        select(master_keys)
        .where(or_(master_keys.c.expires_at_ms.is_(None), master_keys.c.expires_at_ms > now_ms))
        .order_by(master_keys.c.slot)
    )
    return tuple(StoredMasterKey(**row._mapping) for row in found)


async def rotate(
    connection: AsyncConnection, digest: bytes, at_ms: int, ends_at_ms: int | None
) -> tuple[StoredMasterKey, ...]:
    """Store a new key beside the newest one, which ends then, or at once where that is None.

    A key of an earlier rotation that has not ended yet makes room. What is stored afterwards.
    """
    before = await usable(connection, at_ms)
    newest = max(before, key=_standing, default=None)
    slot = SECOND_SLOT if newest is not None and newest.slot == FIRST_SLOT else FIRST_SLOT
    stored = [StoredMasterKey(slot, digest, at_ms, None)]
    if newest is not None and ends_at_ms is not None:
        ends_at_ms = min(ends_at_ms, newest.expires_at_ms or ends_at_ms)
        stored.append(replace(newest, expires_at_ms=ends_at_ms))
    await connection.execute(delete(master_keys))
    for key in stored:
        await put(connection, key)
    return tuple(stored)


def _standing(key: StoredMasterKey) -> tuple[bool, int, int]:
    return key.expires_at_ms is None, key.created_at_ms, key.slot


async def put(connection: AsyncConnection, key: StoredMasterKey) -> None:
    """Fill a slot, in place of what it held."""
    await connection.execute(delete(master_keys).where(master_keys.c.slot == key.slot))
    await connection.execute(
        insert(master_keys).values(
            slot=key.slot,
            digest=key.digest,
            created_at_ms=key.created_at_ms,
            expires_at_ms=key.expires_at_ms,
        )
    )
