"""Statements for what was replied under an Idempotency-Key; the ledger's applier writes it."""

from typing import Final, NamedTuple

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.gateway.storage.schema import idempotent_replies

_DELETED_A_TRANSACTION: Final = 200


class StoredReply(NamedTuple):
    """`content` is sealed; `at_ms` is when it was replied."""

    at_ms: int
    content: bytes


async def find(connection: AsyncConnection, digest: bytes) -> StoredReply | None:
    """The reply of a digest, however old it is."""
    row = idempotent_replies.c
    found = await connection.execute(select(row.at_ms, row.content).where(row.digest == digest))
    stored = found.first()
    return None if stored is None else StoredReply(stored.at_ms, bytes(stored.content))


async def oldest_ms(connection: AsyncConnection) -> int | None:
    """When the oldest was replied, None where there is none."""
    found = await connection.execute(select(func.min(idempotent_replies.c.at_ms)))
    oldest: int | None = found.scalar()
    return oldest


async def delete_some(connection: AsyncConnection, before_ms: int) -> int:
    """Delete some of the replies up to a moment, the oldest; 0: none is left."""
    row = idempotent_replies.c
    oldest = (
        select(row.digest)
        .where(row.at_ms <= before_ms)
        .order_by(row.at_ms)
        .limit(_DELETED_A_TRANSACTION)
    )
    result = await connection.execute(delete(idempotent_replies).where(row.digest.in_(oldest)))
    return int(result.rowcount)
