"""Statements for the history of the health of providers."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import Select, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.ids import first_id
from conduit.gateway.storage.rows import Window, insert_of
from conduit.gateway.storage.schema import health_changes

ID_PREFIX: Final = "hch"
_DELETED_A_TRANSACTION: Final = 1_000


@dataclass(frozen=True, slots=True)
class StoredHealthChange:
    """A transition of a breaker, or of a credential: then `model` is None unless it is of one.

    The id is of the same moment as `at_ms`.
    """

    id: str
    at_ms: int
    provider: str
    model: str | None
    credential: str
    before: str
    after: str
    reason: str | None
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class WantedChanges:
    """Changes of a provider, or of all, from a moment on."""

    provider: str | None = None
    since_ms: int = 0

    def hold(self, change: StoredHealthChange) -> bool:
        """Whether a change is one of them."""
        return self.provider in (None, change.provider) and change.at_ms >= self.since_ms


async def add(connection: AsyncConnection, changes: Sequence[StoredHealthChange]) -> None:
    """Those that are there already stay: the news of a commit may have been lost."""
    statement = insert_of(connection.dialect)(health_changes).on_conflict_do_nothing()
    await connection.execute(statement, [asdict(change) for change in changes])


async def newest(
    connection: AsyncConnection, wanted: WantedChanges, window: Window
) -> tuple[StoredHealthChange, ...]:
    """The newest first; one more than asked for tells that there is a next page."""
    statement: Select[Any] = select(health_changes).where(
        health_changes.c.id >= first_id(ID_PREFIX, wanted.since_ms)
    )
    if wanted.provider is not None:
        statement = statement.where(health_changes.c.provider == wanted.provider)
    if (before := window.after()) is not None:
        statement = statement.where(health_changes.c.id < before)
    newest_first = statement.order_by(health_changes.c.id.desc()).limit(window.limit + 1)
    found = await connection.execute(newest_first)
    return tuple(StoredHealthChange(**row._mapping) for row in found)


async def last_surplus(connection: AsyncConnection, before_ms: int, kept: int) -> str | None:
    """The id up to which changes are older than a moment, or not among so many newest ones.

    None where there are none of these.
    """
    too_old = select(func.max(health_changes.c.id)).where(
        health_changes.c.id < first_id(ID_PREFIX, before_ms)
    )
    newest_first = select(health_changes.c.id).order_by(health_changes.c.id.desc())
    too_many = newest_first.offset(kept).limit(1)
    ends = [(await connection.execute(each)).scalar_one_or_none() for each in (too_old, too_many)]
    return max((str(end) for end in ends if end is not None), default=None)


async def delete_up_to(connection: AsyncConnection, last: str) -> int:
    """Delete some of the changes up to an id, the oldest; 0: none is left."""
    oldest = (
        select(health_changes.c.id)
        .where(health_changes.c.id <= last)
        .order_by(health_changes.c.id)
        .limit(_DELETED_A_TRANSACTION)
    )
    result = await connection.execute(delete(health_changes).where(health_changes.c.id.in_(oldest)))
    return int(result.rowcount)
