"""What the statements of all resources share: pages, names that are taken, versions, dialects."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Dialect,
    Row,
    Select,
    Table,
    TableClause,
    case,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.errors import ConflictError, ValidationFailedError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")

_MOST_DIGITS = 18
# What PostgreSQL cannot store as text, and SQLite can; as the journal's records have it.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is wanted: at most `limit` rows after `cursor`."""

    limit: int = 50
    cursor: str | None = None

    def after(self) -> str | None:
        """The key of the last row that was seen. Raises ValidationFailedError."""
        return None if self.cursor is None else _opened(self.cursor)

    def after_number(self) -> int | None:
        """The same where rows are told apart by a number. Raises ValidationFailedError."""
        if (after := self.after()) is None:
            return None
        if not (after.isascii() and after.isdecimal() and len(after) <= _MOST_DIGITS):
            raise _foreign_cursor()
        return int(after)


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """A part of a list; `next_cursor` is None at its end."""

    rows: tuple[T, ...]
    next_cursor: str | None


def cursor_after(key: str) -> str:
    """An opaque cursor: callers hand it back and know nothing of what is in it."""
    return base64.urlsafe_b64encode(key.encode()).rstrip(b"=").decode("ascii")


def _opened(cursor: str) -> str:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError) as error:
        raise _foreign_cursor() from error


def _foreign_cursor() -> ValidationFailedError:
    return ValidationFailedError("cursor: not one that this gateway gave", param="cursor")


async def read_page(
    connection: AsyncConnection,
    statement: Select[Any],
    by: ColumnElement[str],
    make: Callable[[Row[Any]], T],
    window: Window,
) -> Found[T]:
    """One page in ascending order of a unique column, named by the cursor rather than counted."""
    if (after := window.after()) is not None:
        statement = statement.where(by > after)
    # One row more than asked for tells whether there is a next page.
    found = await connection.execute(statement.order_by(by).limit(window.limit + 1))
    return cut(found.all(), make, window, str(by.key))


def cut(
    rows: Sequence[Row[Any]],
    make: Callable[[Row[Any]], T],
    window: Window,
    key: str,
) -> Found[T]:
    """The page out of rows of which one more than asked for was read."""
    shown = rows[: window.limit]
    more = len(rows) > window.limit
    return Found(
        rows=tuple(make(row) for row in shown),
        next_cursor=cursor_after(str(shown[-1]._mapping[key])) if more else None,
    )


def live(table: Table) -> Select[Any]:
    """Its rows that are not deleted."""
    return select(table).where(table.c.deleted_at_ms.is_(None))


async def refuse_taken_name(
    connection: AsyncConnection, table: Table, what: str, name: str
) -> None:
    """Raise ConflictError where a row that is not deleted has the name.

    Not a unique index, as the names of deleted ones are free again.
    """
    if (await connection.execute(live(table).where(table.c.name == name))).first() is not None:
        raise ConflictError(f"there is a {what} named {name} already", param="name")


async def row_named(
    connection: AsyncConnection,
    statement: Select[Any],
    name: Column[str],
    given: str,
) -> Row[Any] | None:
    """The row that has what was given as its id, else the one that has it as its name."""
    is_id = name.table.c.id == given
    found = await connection.execute(
        statement.where(or_(is_id, name == given)).order_by(case((is_id, 0), else_=1))
    )
    row: Row[Any] | None = found.first()
    return row


async def count_rows(connection: AsyncConnection, table: Table) -> int:
    found = await connection.execute(select(func.count()).select_from(table))
    return int(found.scalar_one())


async def insert_row(
    connection: AsyncConnection,
    table: Table,
    record: "DataclassInstance",
    *,
    taken: str,
    param: str | None = None,
) -> None:
    """Add a record of the configuration.

    `taken` says what is in the way of its unique name, and `param` which field that is.
    """
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    try:
        await connection.execute(insert(table).values(values))
    except IntegrityError as error:
        raise ConflictError(taken, param=param) from error


async def change_row(
    connection: AsyncConnection,
    table: Table,
    record_id: str,
    changes: Mapping[str, Any],
    *,
    expected_version: int,
) -> None:
    """Change a record of the configuration, provided it is still at the version that was read."""
    statement = (
        update(table)
        .where(table.c.id == record_id, table.c.version == expected_version)
        .values({**changes, "version": table.c.version + 1})
    )
    result = await connection.execute(statement)
    if result.rowcount == 0:
        raise ConflictError("the record was changed by somebody else meanwhile: read it again")


def refuse_stale(what: str, version: int, claimed: int | None) -> None:
    """Raise ConflictError where a caller changes a version that is no longer the present one."""
    if claimed is not None and claimed != version:
        raise ConflictError(
            f"{what} is at version {version}, not {claimed}: somebody changed it meanwhile",
            hint="read it again and repeat the change",
        )


def page_of(everything: Sequence[T], key: Callable[[T], str], window: Window) -> Found[T]:
    """One page of what is in memory, in ascending order of a unique key already."""
    after = window.after()
    rest = everything if after is None else [each for each in everything if key(each) > after]
    shown = tuple(rest[: window.limit])
    more = len(rest) > window.limit
    return Found(rows=shown, next_cursor=cursor_after(key(shown[-1])) if more else None)


def insert_of(dialect: Dialect) -> Callable[[TableClause], Any]:
    """The dialect's own insert, which knows what to do about a row that is there already."""
    if dialect.name != "postgresql":
        return sqlite.insert
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415  # deferred: few have that database

    return postgresql.insert


def storable(text: str) -> str:
    """The text with U+FFFD in the place of what a database cannot store."""
    return _UNSTORABLE.sub("\ufffd", text)
