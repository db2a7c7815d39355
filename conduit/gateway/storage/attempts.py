"""Statements over the attempts of the ledger, for those who only read them."""

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.aliases import fits
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
    connection: AsyncConnection,
    scope_kind: str,
    scope_id: str,
    since_ms: int,
    model: str | None = None,
) -> tuple[int, int]:
    """The requests of a scope that were sent to a provider since a moment, and their tokens.

    Of a mapping it is the alias that tells, of a key or a group the id. An alias that ends in `*`
    has those of every model that begins so. With a `model`, those for the aliases that it means.
    """
    counts = (func.count(ledger.c.request_id.distinct()), func.coalesce(func.sum(_TOKENS), 0))
    meant = (_is_of(scope_kind, scope_id), ledger.c.held_at_ms >= since_ms)
    if model is None:
        requests, tokens = (await connection.execute(select(*counts).where(*meant))).one()
        return int(requests), int(tokens)
    # Patterns are compared here, as they are for requests: LIKE has its own ideas of case.
    by_alias = select(ledger.c.alias, *counts).where(*meant).group_by(ledger.c.alias)
    found = [row for row in await connection.execute(by_alias) if fits(model, row[0])]
    return sum(int(row[1]) for row in found), sum(int(row[2]) for row in found)


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
