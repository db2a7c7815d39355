"""Statements for the one row that says what this database is."""

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.gateway.storage.schema import installation

_ONLY_ROW = 1


async def establish(connection: AsyncConnection, at_ms: int) -> bool:
    """Write the row of a new database, and say so; an existing one stays as it is."""
    if (await connection.execute(select(installation.c.id))).first() is not None:
        return False
    await connection.execute(
        insert(installation).values(id=_ONLY_ROW, created_at_ms=at_ms, revision=0)
    )
    return True


async def become_another(connection: AsyncConnection, after_ms: int, at_ms: int) -> int:
    """Note that the tables were filled anew; when, which is later than whatever they were.

    `after_ms` is the moment of what was replaced: a clock that was set back makes no two alike.
    """
    created_at_ms = installation.c.created_at_ms
    found = await connection.execute(select(created_at_ms).where(installation.c.id == _ONLY_ROW))
    made_ms = max(at_ms, after_ms + 1, int(found.scalar_one()) + 1)
    await connection.execute(
        update(installation).where(installation.c.id == _ONLY_ROW).values(created_at_ms=made_ms)
    )
    return made_ms


async def revision(connection: AsyncConnection) -> int:
    """The revision of the configuration: raised by every change of it."""
    found = await connection.execute(
        select(installation.c.revision).where(installation.c.id == _ONLY_ROW)
    )
    return int(found.scalar_one())


async def raise_revision(connection: AsyncConnection) -> int:
    """Count a change of the configuration, in the transaction that makes it; the new revision."""
    await connection.execute(
        update(installation)
        .where(installation.c.id == _ONLY_ROW)
        .values(revision=installation.c.revision + 1)
    )
    return await revision(connection)


async def note_purge_of_requests(connection: AsyncConnection, before_ms: int) -> None:
    """Note that records of requests that began before a moment are no more."""
    column = installation.c.requests_purged_before_ms
    await connection.execute(
        update(installation)
        .where(installation.c.id == _ONLY_ROW, func.coalesce(column, 0) < before_ms)
        .values(requests_purged_before_ms=before_ms)
    )
