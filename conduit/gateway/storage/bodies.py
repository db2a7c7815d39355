"""Kept bodies on disk: one SQLite file a day, so that deleting a day is deleting a file.

They lie apart from the database, in the data folder of the gateway, whatever the database is. The
file of a day is in WAL mode: what has been committed is there after the process was killed. All
functions here block, and are called from a thread of their own.
"""

import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import msgspec

from conduit.core.ids import at_ms_of, first_id

_SUFFIX: Final = ".db"
_BESIDE: Final = ("-wal", "-shm")  # deleted first: without its file they would be orphans
_WAIT_S: Final = 2.0
_ID_PREFIX: Final = "req"
_SCHEMA: Final = (
    "PRAGMA auto_vacuum=FULL",  # so that the file shrinks by what is deleted from it
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",
    "PRAGMA secure_delete=ON",
    "CREATE TABLE IF NOT EXISTS bodies (request_id TEXT PRIMARY KEY, content BLOB NOT NULL)",
)
_BY_AGE: Final = "SELECT request_id, length(content) FROM bodies ORDER BY request_id"


class BodyStoreError(Exception):
    """The kept bodies cannot be read or written; the message says why."""


class StoredMessage(msgspec.Struct, frozen=True, array_like=True):
    """`body` is an index into the bodies of the call, `size` the bytes that there were."""

    headers: Mapping[str, str]
    body: int
    size: int
    truncated: bool


class StoredAttempt(msgspec.Struct, frozen=True, array_like=True):
    id: str
    provider: str
    model: str
    url: str
    request: StoredMessage
    status: int | None
    response: StoredMessage | None


class StoredCall(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of one request. A body that several messages have in common is there once."""

    id: str
    key_id: str
    path: str
    request: StoredMessage
    attempts: Sequence[StoredAttempt]
    status: int
    response: StoredMessage | None
    bodies: Sequence[bytes]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(StoredCall).decode


def day_of(request_id: str) -> date:
    """The day (UTC) that a request belongs to. Raises ValueError for what is no id."""
    return day_at(at_ms_of(request_id))


def day_at(at_ms: int) -> date:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()


class DayFiles:
    """The files of all days; the one that was written to last is kept open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: tuple[date, sqlite3.Connection] | None = None

    def days(self) -> list[date]:
        """The days that something is kept of, the oldest first."""
        found = []
        for path in self._files():
            try:
                found.append(date.fromisoformat(path.name.removesuffix(_SUFFIX)))
            except ValueError:
                continue  # not one of ours
        return sorted(found)

    def size(self) -> int:
        """The bytes that all days take on disk."""
        total = 0
        for path in self._files(beside=True):
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                continue  # SQLite has taken its log away meanwhile
        return total

    def write(self, day: date, calls: Iterable[StoredCall]) -> None:
        """Add calls of one day in one transaction. Raises BodyStoreError."""
        rows = [(call.id, zlib.compress(_encode(call))) for call in calls]
        with _told(), self._connection(day) as connection:
            connection.executemany("INSERT OR REPLACE INTO bodies VALUES (?, ?)", rows)

    def read(self, request_id: str) -> StoredCall | None:
        """What is kept of a request, on a connection of its own. Raises BodyStoreError."""
        with _told():
            path = self._path(day_of(request_id))
            if not path.exists():
                return None
            with closing(_connected(path)) as connection:
                row = connection.execute(
                    "SELECT content FROM bodies WHERE request_id = ?", (request_id,)
                ).fetchone()
            return None if row is None else _decode(zlib.decompress(row[0]))

    def delete_day(self, day: date) -> int:
        """Delete all of a day; how many calls that were. Raises BodyStoreError."""
        with _told():
            path = self._path(day)
            try:
                with closing(_connected(path)) as connection:
                    deleted = _counted(connection)
            except sqlite3.Error:  # it is to go all the same
                deleted = 0
            if self._open is not None and self._open[0] == day:
                self.close()
            for suffix in (*_BESIDE, ""):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        return deleted

    def delete_before(self, day: date, at_ms: int) -> int:
        """Delete what is of a day and older than a moment; how many calls that were."""
        lowest = first_id(_ID_PREFIX, at_ms)
        with _told(), self._connection(day) as connection:
            deleted = connection.execute("DELETE FROM bodies WHERE request_id < ?", (lowest,))
        self._shrink()
        return deleted.rowcount

    def delete_oldest(self, day: date, wanted_bytes: int) -> int:
        """Delete the oldest of a day until that many bytes are free; how many calls that were."""
        with _told(), self._connection(day) as connection:
            last, freed = "", 0
            # A cursor that has not come to its end would keep the file from being made smaller.
            with closing(connection.execute(_BY_AGE)) as sizes:
                for request_id, size in sizes:
                    last, freed = request_id, freed + size
                    if freed >= wanted_bytes:
                        break
            deleted = connection.execute("DELETE FROM bodies WHERE request_id <= ?", (last,))
        self._shrink()
        return deleted.rowcount

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _files(self, *, beside: bool = False) -> Iterator[Path]:
        endings = tuple(_SUFFIX + end for end in ("", *_BESIDE)) if beside else (_SUFFIX,)
        try:
            paths = list(self._folder.iterdir())
        except FileNotFoundError:
            return
        yield from (path for path in paths if path.name.endswith(endings))

    def _path(self, day: date) -> Path:
        return self._folder / f"{day.isoformat()}{_SUFFIX}"

    @contextmanager
    def _connection(self, day: date) -> Iterator[sqlite3.Connection]:
        """The connection that writes to a day, in a transaction."""
        if self._open is not None and self._open[0] != day:
            self.close()
        if self._open is None:
            self._open = day, self._made(day)
        connection = self._open[1]
        with connection:
            yield connection

    def _made(self, day: date) -> sqlite3.Connection:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(day)
        # Made here for the sake of its mode, which SQLite gives to the files beside it as well.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = _connected(path)
        for statement in _SCHEMA:
            connection.execute(statement)
        return connection

    def _shrink(self) -> None:
        """Give what was deleted back to the disk."""
        if self._open is not None:
            with _told():
                self._open[1].execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _connected(path: Path) -> sqlite3.Connection:
    """A connection to a file that is there already."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_WAIT_S)


def _counted(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM bodies").fetchone()[0])


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong below, as a BodyStoreError."""
    try:
        yield
    except (OSError, sqlite3.Error, zlib.error, msgspec.MsgspecError) as error:
        raise BodyStoreError(f"kept bodies: {error}") from error
