"""Reads and writes whole tables, as they are in the database rather than as this release has them.

So a database of an earlier schema can be copied too, and a new column is copied without a change
here. Values are those of JSON and bytes: what one engine gives, the other takes.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    TableClause,
    Text,
    column,
    func,
    inspect,
    select,
    table,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from conduit.gateway.storage.migrate import VERSION_TABLE
from conduit.gateway.storage.rows import storable

Kind = Literal["integer", "text", "boolean", "bytes", "json"]
Row = Sequence[Any]

ROWS_AT_ONCE = 500
POSITIONS = "journal_position"
"""The table that says how far journals have been applied, which are files and not in a copy."""

_TYPES: Mapping[Kind, TypeEngine[Any]] = {
    "integer": BigInteger(),
    "text": Text(),
    "boolean": Boolean(),
    "bytes": LargeBinary(),
    "json": JSON(none_as_null=True),
}
# Sums of many 64-bit numbers are made in two halves: an engine's own sum would overflow.
_BILLION = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Shape:
    """A table: its columns with what they hold, and those that its rows are ordered by."""

    name: str
    columns: tuple[tuple[str, Kind], ...]
    key: tuple[str, ...] = ()

    @property
    def clause(self) -> TableClause:
        return table(self.name, *(column(name, _TYPES[kind]) for name, kind in self.columns))


@dataclass(frozen=True, slots=True)
class Totals:
    """What two copies of a table have in common: rows, and the sum of each whole number."""

    rows: int
    sums: Mapping[str, int]


async def shapes_of(connection: AsyncConnection) -> list[Shape]:
    """All tables but the one of the schema's version, by name."""
    return await connection.run_sync(_reflected)


async def totals_of(connection: AsyncConnection, shape: Shape) -> Totals:
    """Rows and sums as the database counts them."""
    clause = shape.clause
    numbers = [name for name, kind in shape.columns if kind == "integer"]
    halves: list[ColumnElement[Any]] = []
    for name in numbers:
        value = clause.c[name]
        halves += [
            func.coalesce(func.sum(half), 0) for half in (value // _BILLION, value % _BILLION)
        ]
    counted = await connection.execute(select(func.count(), *halves).select_from(clause))
    rows, *sums = (int(each) for each in counted.one())
    return Totals(
        rows, {name: sums[2 * n] * _BILLION + sums[2 * n + 1] for n, name in enumerate(numbers)}
    )


async def rows_of(connection: AsyncConnection, shape: Shape) -> AsyncIterator[Sequence[Row]]:
    """All rows in the order of their key, some at a time."""
    clause = shape.clause
    statement = select(clause).order_by(*(clause.c[name] for name in shape.key))
    stream = await connection.stream(statement.execution_options(yield_per=ROWS_AT_ONCE))
    async for rows in stream.partitions(ROWS_AT_ONCE):
        yield rows


async def insert_rows(connection: AsyncConnection, shape: Shape, rows: Sequence[Row]) -> None:
    names = [name for name, _ in shape.columns]
    texts = [number for number, (_, kind) in enumerate(shape.columns) if kind == "text"]
    values = [dict(zip(names, _storable(row, texts), strict=True)) for row in rows]
    await connection.execute(shape.clause.insert(), values)


async def drop_everything(connection: AsyncConnection) -> None:
    """Drop all tables; only of a database that is known to be ours."""

    def drop(sync: Connection) -> None:
        present = MetaData()
        present.reflect(sync)
        present.drop_all(sync)

    await connection.run_sync(drop)


def _storable(row: Row, texts: Sequence[int]) -> list[Any]:
    values = list(row)
    for number in texts:
        if isinstance(value := values[number], str):
            values[number] = storable(value)
    return values


def _reflected(connection: Connection) -> list[Shape]:
    found = inspect(connection)
    return [
        Shape(
            name,
            tuple((each["name"], _kind_of(each["type"])) for each in found.get_columns(name)),
            tuple(found.get_pk_constraint(name)["constrained_columns"]),
        )
        for name in sorted(found.get_table_names())
        if name != VERSION_TABLE
    ]


def _kind_of(type_: TypeEngine[Any]) -> Kind:
    match type_:
        case Boolean():
            return "boolean"
        case Integer():
            return "integer"
        case LargeBinary():
            return "bytes"
        case JSON():
            return "json"
        case _:
            return "text"
