"""Statements for what was paid into the balances of groups, and taken out; append-only."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.gateway.storage.revisions import Change, note
from conduit.gateway.storage.rows import Found, Window, cut, insert_row
from conduit.gateway.storage.schema import group_transactions as transactions

ID_PREFIX = "gtx"


@dataclass(frozen=True, slots=True)
class StoredTransaction:
    """One change of a prepaid balance by hand: `amount_nanodollars` is below 0 for what was taken
    out, `balance_nanodollars` what was left after it, running calls not counted.
    """

    id: str
    group_id: str
    at_ms: int
    kind: str
    amount_nanodollars: int
    balance_nanodollars: int
    reason: str
    actor: str
    client: str | None
    address: str | None
    idempotency_key: str | None


def _transaction(row: Row[Any]) -> StoredTransaction:
    return StoredTransaction(**row._mapping)


async def insert(
    connection: AsyncConnection, made: StoredTransaction, group_name: str, paid_in: int
) -> None:
    """Add one that makes `paid_in` nano-dollars what all of them add up to.

    Raises ConflictError where there is one of its idempotency key.
    """
    await insert_row(connection, transactions, made, taken="the transaction was made already")
    before = {"paid_in_nanodollars": paid_in - made.amount_nanodollars}
    after = {"paid_in_nanodollars": paid_in}
    said = f"{made.kind}: {made.reason}" if made.reason else made.kind
    note(connection, Change("group", group_name, before, after, said))


async def page(
    connection: AsyncConnection, group_id: str, window: Window
) -> Found[StoredTransaction]:
    """Those of a group, newest first."""
    statement = select(transactions).where(transactions.c.group_id == group_id)
    if (before := window.after()) is not None:
        statement = statement.where(transactions.c.id < before)
    newest_first = statement.order_by(transactions.c.id.desc()).limit(window.limit + 1)
    found = await connection.execute(newest_first)
    return cut(found.all(), _transaction, window, "id")


async def of_key(
    connection: AsyncConnection, group_id: str, idempotency_key: str
) -> StoredTransaction | None:
    """The one that was made under an idempotency key."""
    found = await connection.execute(
        select(transactions).where(
            transactions.c.group_id == group_id,
            transactions.c.idempotency_key == idempotency_key,
        )
    )
    row = found.first()
    return None if row is None else _transaction(row)
