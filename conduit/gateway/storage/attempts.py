"""Statements over the attempts of the ledger, for those who only read them."""

from sqlalchemy import ColumnElement, func, select, true
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
    """The requests of a scope that were sent to a provider since a moment, and their tokens.

    Of a mapping it is the alias that tells, of a key or a group the id. An alias that ends in `*`
    has those of every model that begins so.
    """
    statement = select(
        func.count(ledger.c.request_id.distinct()), func.coalesce(func.sum(_TOKENS), 0)
    ).where(_is_of(scope_kind, scope_id), ledger.c.held_at_ms >= since_ms)
    requests, tokens = (await connection.execute(statement)).one()
    return int(requests), int(tokens)


def _is_of(scope_kind: str, scope_id: str) -> ColumnElement[bool]:
    match scope_kind:
        case "gateway":
            return true()
        case "group":
            return ledger.c.group_id == scope_id
        case "mapping" if scope_id.endswith("*"):
            return ledger.c.alias.startswith(scope_id[:-1], autoescape=True)
        case "mapping":
            return ledger.c.alias == scope_id
        case _:
            return ledger.c.key_id == scope_id
