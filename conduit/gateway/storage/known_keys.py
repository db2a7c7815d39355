"""The file of what keys may do, read while the database does not answer.

It holds digests, never keys, and is made anew by each process: nothing in it outlives a change.
"""

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

_TABLE = (
    "CREATE TABLE grants (digest BLOB PRIMARY KEY, key_id TEXT NOT NULL, granted BLOB NOT NULL)"
    " WITHOUT ROWID"
)
_INDEX = "CREATE INDEX ix_grants_key_id ON grants (key_id)"
# It is lost with the process anyway, so no commit waits for the disk.
_PRAGMAS = ("PRAGMA synchronous = OFF", "PRAGMA journal_mode = MEMORY")
_PUT = (
    "INSERT INTO grants VALUES (?, ?, ?) ON CONFLICT (digest) DO UPDATE"
    " SET key_id = excluded.key_id, granted = excluded.granted"
)
_REMOVE = "DELETE FROM grants WHERE key_id = ?"
_FIND = "SELECT key_id, granted FROM grants WHERE digest = ?"


class KeyCopyError(Exception):
    """The file cannot be read or written; the database has everything that was in it."""


class CopiedGrant(NamedTuple):
    """What the secret of a digest may do, encoded."""

    digest: bytes
    key_id: str
    granted: bytes


class KeyCopyFile:
    """A file for its owner alone; may be used by several threads. All raise KeyCopyError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_suffix(".new")
        self._new: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def begin(self) -> None:
        """Begin a new file beside the present one, which is as it was until `finish`."""
        with self._lock, _told():
            self._give_up()
            os.close(os.open(self._beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            self._new = _opened(self._beside)
            self._new.execute(_TABLE)
            self._new.execute(_INDEX)

    def add(self, grants: Iterable[CopiedGrant]) -> None:
        """Write into what was begun."""
        with self._lock, _told():
            if self._new is None:
                raise KeyCopyError("no file was begun")
            with self._new:
                self._new.executemany(_PUT, grants)

    def finish(self) -> None:
        """Let what was begun take the place of what there was."""
        with self._lock, _told():
            if self._new is None:
                raise KeyCopyError("no file was begun")
            self._new.close()  # Windows renames no file that is open
            self._new = None
            self._close()
            self._beside.replace(self._path)
            self._connection = _opened(self._path)

    def update(self, removed: Iterable[str], put: Iterable[CopiedGrant]) -> None:
        """Forget what keys might do, then write what they may, in one transaction."""
        with self._lock, _told(), self._open() as connection:
            connection.executemany(_REMOVE, [(key_id,) for key_id in removed])
            connection.executemany(_PUT, put)

    def find(self, digest: bytes) -> tuple[str, bytes] | None:
        """The id of the key and what it may do; None where the file does not know the digest."""
        with self._lock, _told(), self._open() as connection:
            found: tuple[str, bytes] | None = connection.execute(_FIND, (digest,)).fetchone()
        return found

    def remove(self) -> None:
        """Close the file and delete it."""
        with self._lock:
            self._close()
            with suppress(OSError):
                self._give_up()
                self._path.unlink(missing_ok=True)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise KeyCopyError("it has not been written yet")
        return self._connection

    def _give_up(self) -> None:
        if self._new is not None:
            self._new.close()
            self._new = None
        self._beside.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False)
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    return connection


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise KeyCopyError(str(error)) from error
