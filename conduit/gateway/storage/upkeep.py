"""What a database says of itself: sizes, soundness; and how it gives space back."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.gateway.storage.copying import shapes_of, totals_of
from conduit.gateway.storage.engine import PATIENT_S, Database, failures_told, is_local, reading
from conduit.gateway.storage.migrate import VERSION_TABLE
from conduit.gateway.storage.schema import metadata, requests

_SIZE_OF_TABLES = text(
    "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class"
    " WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
)
_TABLES_BY_SIZE = text(
    "SELECT relname, pg_total_relation_size(oid) FROM pg_class"
    " WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
)
_PAGES_BY_TABLE = text(
    "SELECT m.tbl_name, sum(s.pgsize) FROM dbstat AS s JOIN sqlite_schema AS m ON m.name = s.name"
    " GROUP BY m.tbl_name"
)
_MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class TableSize:
    """`bytes` with the indexes; None where the engine does not tell."""

    name: str
    rows: int
    bytes: int | None


async def size_of(database: Database) -> int:
    """The bytes that the database takes on its disk, our tables of it."""
    if is_local(database):
        path = Path(str(database.url.database))
        files = (path.with_name(path.name + end) for end in ("", "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())
    async with reading(database) as connection:
        return int((await connection.execute(_SIZE_OF_TABLES)).scalar_one())


async def sizes_of_tables(database: Database) -> list[TableSize]:
    """Every table, the largest first."""
    sizes = await _bytes_by_table(database)
    async with reading(database, PATIENT_S) as connection:
        found = [
            TableSize(shape.name, (await totals_of(connection, shape)).rows, sizes.get(shape.name))
            for shape in await shapes_of(connection)
        ]
    return sorted(found, key=lambda each: (-(each.bytes or 0), -each.rows, each.name))


async def span_of_requests(database: Database) -> tuple[int | None, int | None]:
    """When the oldest and the newest request that has a record began, in ms."""
    async with reading(database, PATIENT_S) as connection:
        found = await connection.execute(
            select(func.min(requests.c.at_ms), func.max(requests.c.at_ms))
        )
        oldest, newest = found.one()
    return oldest, newest


async def problems_of(database: Database) -> list[str]:
    """What is wrong with the tables, a line each: damage, or columns that are missing."""
    async with reading(database, PATIENT_S) as connection:
        found = await connection.run_sync(
            lambda sync: {
                name: {each["name"] for each in inspect(sync).get_columns(name)}
                for name in inspect(sync).get_table_names()
            }
        )
        problems = _missing(found)
        if is_local(database):
            problems += await _damage(connection)
    return problems[:_MOST_PROBLEMS]


async def spare_bytes_of(database: Database) -> int | None:
    """The bytes of a file's free pages; None of a server, which does not tell."""
    if not is_local(database):
        return None
    async with reading(database) as connection:
        pages = (await connection.exec_driver_sql("PRAGMA freelist_count")).scalar_one()
        page_bytes = (await connection.exec_driver_sql("PRAGMA page_size")).scalar_one()
    return int(pages) * int(page_bytes)


async def give_space_back(database: Database) -> None:
    """Rewrite a file without its free pages, or let a server do so. Raises DatabaseError."""
    autocommit = database.execution_options(isolation_level="AUTOCOMMIT")
    with failures_told(database):
        async with asyncio.timeout(PATIENT_S), autocommit.connect() as connection:
            if is_local(database):
                await connection.exec_driver_sql("VACUUM")
                await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                return
            for name in (*metadata.tables, VERSION_TABLE):
                await connection.exec_driver_sql(f"VACUUM (ANALYZE) {name}")


def _missing(found: Mapping[str, set[str]]) -> list[str]:
    problems = []
    for name, table in metadata.tables.items():
        if name not in found:
            problems.append(f"the table {name} is missing")
        elif absent := set(table.c.keys()) - found[name]:
            problems.append(f"the table {name} lacks {', '.join(sorted(absent))}")
    return problems


async def _damage(connection: AsyncConnection) -> list[str]:
    found = await connection.exec_driver_sql(f"PRAGMA quick_check({_MOST_PROBLEMS})")
    return [str(line) for line in found.scalars() if line != "ok"]


async def _bytes_by_table(database: Database) -> dict[str, int]:
    statement = _PAGES_BY_TABLE if is_local(database) else _TABLES_BY_SIZE
    try:
        async with reading(database, PATIENT_S) as connection:
            return {name: int(size) for name, size in await connection.execute(statement)}
    except DBAPIError:
        if is_local(database):  # a SQLite without dbstat
            return {}
        raise
