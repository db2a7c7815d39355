"""The lock that makes one process the only writer of a ledger."""

import os
import sys
import time
from pathlib import Path

from conduit.gateway.storage.engine import Database, is_local

FILE_NAME = "ledger.lock"
LOOK_S = 0.5
"""Longer than a look at whether a gateway runs keeps the lock."""

_AGAIN_S = 0.02


class LedgerLockedError(Exception):
    """Another process has this ledger open; the message names the file and that process."""


class LedgerLock:
    """Exclusive locks on files; the system frees them when the process ends, however it ends."""

    def __init__(self, *paths: Path, wait_s: float = 0.0) -> None:
        """Take all of them. Raises LedgerLockedError where one is not free within `wait_s`."""
        self._descriptors: list[int] = []
        deadline = time.monotonic() + wait_s
        try:
            for path in paths:
                self._descriptors.append(_taken(path, deadline))
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give them back; the files stay, as removing one would race with the next owner."""
        while self._descriptors:
            os.close(self._descriptors.pop())


def lock_files_beside(database: Database) -> tuple[Path, ...]:
    """What guards a SQLite database, which several data folders can name, by whatever path.

    None for a server: it has a lock of its own.
    """
    if not is_local(database):
        return ()
    file = Path(str(database.url.database)).resolve()
    return (file.with_name(f"{file.name}.lock"),)


def _taken(path: Path, deadline: float) -> int:
    """The descriptor that has the lock of a file."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _take(descriptor, deadline)
    except OSError as error:
        owner = os.read(descriptor, 20).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise LedgerLockedError(
            f"another gateway (process {owner or 'unknown'}) uses this ledger, and it can have "
            "only one: stop that one, or give this one a data folder and a database of its own "
            f"({path})"
        ) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, b"%d\n" % os.getpid())
    return descriptor


def _take(descriptor: int, deadline: float) -> None:
    while True:
        try:
            _lock(descriptor)
        except OSError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_AGAIN_S)
        else:
            return


if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _lock(descriptor: int) -> None:
        # A byte far behind the process id, which others must be able to read.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
