"""Statements over the attempts of the ledger, for those who only read them."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.gateway.storage.schema import ledger

_TOKENS = (
    ledger.c.input_tokens
    + ledger.c.cache_read_tokens
    + ledger.c.cache_write_tokens
    + ledger.c.output_tokens
    + ledger.c.reasoning_tokens
    + ledger.c.audio_tokens
)


async def used_since(
    connection: AsyncConnection, scope_kind: str, scope_id: str, since_ms: int
) -> tuple[int, int]:
    """The requests of a key or a group that were sent to a provider since a moment, and their
    tokens.
    """
    column = ledger.c.group_id if scope_kind == "group" else ledger.c.key_id
    statement = select(
        func.count(ledger.c.request_id.distinct()), func.coalesce(func.sum(_TOKENS), 0)
    ).where(column == scope_id, ledger.c.held_at_ms >= since_ms)
    requests, tokens = (await connection.execute(statement)).one()
    return int(requests), int(tokens)
