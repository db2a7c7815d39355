"""Statements for the history of the configuration: what each change of it was, and whose.

A revision is written by the transaction that makes its changes. It holds both states of each
record as `config export` tells of it, and no secret: a credential is told of by where its secret
is. So a former configuration is the present one with the changes since undone.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import Row, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.errors import NotFoundError
from conduit.core.ids import now_ms
from conduit.gateway.storage import installation
from conduit.gateway.storage.rows import Found, Window, cut
from conduit.gateway.storage.schema import revisions
from conduit.gateway.storage.telling import tell_of_change

Kind = Literal[
    "provider",
    "credential",
    "mapping",
    "price",
    "planned_price",
    "price_book",
    "key",
    "group",
    "budget",
    "setting",
]
State = Mapping[str, Any]

RESTORED: tuple[Kind, ...] = ("provider", "credential", "mapping", "price")
"""What a rollback brings back; keys, groups and budgets are people's access, plans are of the
future, and the others are in files."""

USUALLY_KEPT = 1_000
_NOTED = "conduit_noted_changes"
_BEGINNING = "installed"


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes the configuration, by which operation, and how many revisions are kept.

    `client` is the program's own name for itself, `address` where it called from.
    """

    actor: str
    operation: str
    client: str | None = None
    address: str | None = None
    kept: int = USUALLY_KEPT
    rolled_back_to: int | None = None


GATEWAY = Author("gateway", "start")
"""The program itself."""


@dataclass(frozen=True, slots=True)
class Change:
    """One record before and after; None where it was not there, or is no more.

    `note` tells what two states cannot: that a secret was entered anew.
    """

    kind: Kind
    name: str
    before: State | None
    after: State | None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class StoredRevision:
    """One transaction's changes; `kind` and `name` are of the first of `change_count`."""

    number: int
    at_ms: int
    actor: str
    client: str | None
    address: str | None
    operation: str
    kind: str | None
    name: str | None
    change_count: int
    rolled_back_to: int | None
    restorable: bool
    changes: tuple[Change, ...]


@asynccontextmanager
async def noting(connection: AsyncConnection, author: Author) -> AsyncIterator[None]:
    """Make one revision of what is noted within."""
    noted: list[Change] = []
    connection = await connection.execution_options(**{_NOTED: noted})
    yield
    if noted:
        await _write(connection, author, noted)


def note(connection: AsyncConnection, change: Change) -> None:
    """Note a change that the connection's transaction makes. Raises RuntimeError outside one."""
    sync = connection.sync_connection
    noted = None if sync is None else sync.get_execution_options().get(_NOTED)
    if noted is None:
        raise RuntimeError("the configuration is changed within `writing` alone")
    noted.append(change)


async def page(connection: AsyncConnection, window: Window) -> Found[StoredRevision]:
    """Revisions, newest first."""
    statement = select(revisions)
    if (before := window.after_number()) is not None:
        statement = statement.where(revisions.c.number < before)
    newest_first = statement.order_by(revisions.c.number.desc()).limit(window.limit + 1)
    found = await connection.execute(newest_first)
    return cut(found.all(), _revision, window, "number")


async def find(connection: AsyncConnection, number: int) -> StoredRevision:
    """Raises NotFoundError for one that was never made, or is kept no longer."""
    found = await connection.execute(select(revisions).where(revisions.c.number == number))
    if (row := found.first()) is None:
        raise NotFoundError(
            f"the history has no revision {number}", hint="see: conduit config history"
        )
    return _revision(row)


async def after(connection: AsyncConnection, number: int, most: int) -> tuple[StoredRevision, ...]:
    """The revisions behind one, oldest first; those that are kept no longer are not among them."""
    statement = select(revisions).where(revisions.c.number > number).order_by(revisions.c.number)
    return tuple(_revision(row) for row in await connection.execute(statement.limit(most)))


async def newest_state(connection: AsyncConnection, kind: Kind) -> State | None:
    """What the newest change of a kind led to; None where the history has none."""
    newest = (
        select(revisions.c.changes)
        .where(revisions.c.kind == kind)
        .order_by(revisions.c.number.desc())
        .limit(1)
    )
    changes = (await connection.execute(newest)).scalar_one_or_none()
    return None if changes is None else Change(**changes[0]).after


async def restorable_since(connection: AsyncConnection, number: int) -> tuple[StoredRevision, ...]:
    """What a rollback to a revision undoes, newest first. Raises NotFoundError as `find`."""
    await find(connection, number)
    found = await connection.execute(
        select(revisions)
        .where(revisions.c.number > number, revisions.c.restorable)
        .order_by(revisions.c.number.desc())
    )
    return tuple(_revision(row) for row in found)


async def begin(connection: AsyncConnection, at_ms: int) -> None:
    """Note the state of a new database, to which a rollback can lead."""
    await connection.execute(
        insert(revisions).values(
            number=0,
            at_ms=at_ms,
            actor=GATEWAY.actor,
            operation=_BEGINNING,
            change_count=0,
            restorable=True,
            changes=[],
        )
    )


async def _write(connection: AsyncConnection, author: Author, noted: Sequence[Change]) -> None:
    number = await installation.raise_revision(connection)
    restorable = any(change.kind in RESTORED for change in noted)
    await connection.execute(
        insert(revisions).values(
            number=number,
            at_ms=now_ms(),
            actor=author.actor,
            client=author.client,
            address=author.address,
            operation=author.operation,
            kind=noted[0].kind,
            name=noted[0].name,
            change_count=len(noted),
            rolled_back_to=author.rolled_back_to,
            restorable=restorable,
            changes=[asdict(change) for change in noted],
        )
    )
    await tell_of_change(connection)
    await _forget(connection, author.kept, restorable=restorable)


async def _forget(connection: AsyncConnection, kept: int, *, restorable: bool) -> None:
    """Keep the newest; those a rollback needs are counted apart, as keys are made by thousands."""
    alike = revisions.c.restorable.is_(restorable)
    newest = select(revisions.c.number).where(alike).order_by(revisions.c.number.desc())
    found = await connection.execute(newest.offset(kept).limit(1))
    if (number := found.scalar_one_or_none()) is not None:
        await connection.execute(delete(revisions).where(alike, revisions.c.number <= number))


def _revision(row: Row[Any]) -> StoredRevision:
    values = dict(row._mapping)
    values["changes"] = tuple(Change(**each) for each in values["changes"])
    return StoredRevision(**values)
