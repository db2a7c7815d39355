"""Statements for notifications."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import Row, Select, case, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.errors import NotFoundError
from conduit.core.ids import first_id
from conduit.gateway.storage.rows import Found, Window, cut, insert_of
from conduit.gateway.storage.schema import notifications

T = TypeVar("T")

ID_PREFIX: Final = "ntf"
CREDENTIAL_FAILED: Final = "credential_failed"
State = Literal["open", "acknowledged", "all"]

_A_STATEMENT: Final = 500
"""Rows and parameters: databases allow only so many."""


@dataclass(frozen=True, slots=True)
class StoredNotification:
    """Something that an operator should know. The id is of the same moment as `at_ms`.

    `dedupe` names what it tells of: while a notification has it, there is no other of the same.
    """

    id: str
    at_ms: int
    kind: str
    severity: str
    subject_kind: str
    subject_id: str
    subject_name: str
    message: str
    details: Mapping[str, int]
    dedupe: str
    acknowledged_at_ms: int | None = None
    acknowledged_by: str | None = None


@dataclass(frozen=True, slots=True)
class WantedNotifications:
    """Those of a state, of a kind or of all kinds."""

    state: State = "open"
    kind: str | None = None


def _notification(row: Row[Any]) -> StoredNotification:
    return StoredNotification(**row._mapping)


async def add(connection: AsyncConnection, made: Sequence[StoredNotification]) -> set[str]:
    """The ids of those that were added: what has been told of is not told of again."""
    added: set[str] = set()
    for some in _parts(made):
        statement = (
            insert_of(connection.dialect)(notifications)
            .values([asdict(each) for each in some])
            .on_conflict_do_nothing(index_elements=[notifications.c.dedupe])
            .returning(notifications.c.id)
        )
        added |= set((await connection.execute(statement)).scalars())
    return added


async def told(connection: AsyncConnection, dedupes: Collection[str]) -> set[str]:
    """Which of these there are notifications of."""
    found: set[str] = set()
    for some in _parts(list(dedupes)):
        statement = select(notifications.c.dedupe).where(notifications.c.dedupe.in_(some))
        found |= set((await connection.execute(statement)).scalars())
    return found


async def let_go(connection: AsyncConnection, dedupes: Iterable[str]) -> None:
    """Allow these to be told of again; what was told stays."""
    for some in _parts(list(dedupes)):
        await connection.execute(
            update(notifications)
            .where(notifications.c.dedupe.in_(some))
            .values(dedupe=_past_dedupe())
        )


def _past_dedupe() -> Any:  # noqa: ANN401  # an expression over two columns
    return notifications.c.dedupe + "#" + notifications.c.id


async def page(
    connection: AsyncConnection, wanted: WantedNotifications, window: Window
) -> Found[StoredNotification]:
    """The newest first. Raises ValidationFailedError for a cursor that was not given here."""
    statement: Select[Any] = select(notifications)
    acknowledged = notifications.c.acknowledged_at_ms
    match wanted.state:
        case "open":
            statement = statement.where(acknowledged.is_(None))
        case "acknowledged":
            statement = statement.where(acknowledged.is_not(None))
        case "all":
            pass
    if wanted.kind is not None:
        statement = statement.where(notifications.c.kind == wanted.kind)
    if (before := window.after()) is not None:
        statement = statement.where(notifications.c.id < before)
    newest_first = statement.order_by(notifications.c.id.desc()).limit(window.limit + 1)
    found = await connection.execute(newest_first)
    return cut(found.all(), _notification, window, "id")


async def find(connection: AsyncConnection, notification_id: str) -> StoredNotification:
    """Raises NotFoundError."""
    statement = select(notifications).where(notifications.c.id == notification_id)
    if (row := (await connection.execute(statement)).first()) is None:
        raise NotFoundError(f"there is no notification {notification_id}")
    return _notification(row)


async def acknowledge(
    connection: AsyncConnection, at_ms: int, by: str, *, notification_id: str | None = None
) -> int:
    """Acknowledge an open notification, or all of them; how many were open.

    A credential that fails is told of once while that is open, so it may be told of again.
    """
    failed = notifications.c.kind == CREDENTIAL_FAILED
    statement = update(notifications).where(notifications.c.acknowledged_at_ms.is_(None))
    if notification_id is not None:
        statement = statement.where(notifications.c.id == notification_id)
    result = await connection.execute(
        statement.values(
            acknowledged_at_ms=at_ms,
            acknowledged_by=by,
            dedupe=case((failed, _past_dedupe()), else_=notifications.c.dedupe),
        )
    )
    return int(result.rowcount)


async def surplus(
    connection: AsyncConnection, before_ms: int, kept: int, after: str = ""
) -> Sequence[tuple[str, str]]:
    """Some that are older than a moment or not among so many newest ones, the oldest first.

    Ids with what they tell of, from behind the id `after` on.
    """
    newest_first = select(notifications.c.id).order_by(notifications.c.id.desc())
    last = (await connection.execute(newest_first.offset(kept).limit(1))).scalar_one_or_none()
    too_old = notifications.c.id < first_id(ID_PREFIX, before_ms)
    too_many = notifications.c.id <= (last or "")
    found = await connection.execute(
        select(notifications.c.id, notifications.c.dedupe)
        .where(notifications.c.id > after, or_(too_old, too_many))
        .order_by(notifications.c.id)
        .limit(_A_STATEMENT)
    )
    return [(row.id, row.dedupe) for row in found]


async def remove(connection: AsyncConnection, ids: Sequence[str]) -> int:
    """How many there were."""
    result = await connection.execute(delete(notifications).where(notifications.c.id.in_(ids)))
    return int(result.rowcount)


def _parts(whole: Sequence[T]) -> Iterable[Sequence[T]]:
    return (whole[at : at + _A_STATEMENT] for at in range(0, len(whole), _A_STATEMENT))
