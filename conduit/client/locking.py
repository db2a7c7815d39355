"""A lock between processes of one machine, where the system has one."""

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_WITHIN_S = 2.0
_AGAIN_S = 0.01


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which is made for it; its folder exists.

    Raises OSError where another process holds it for longer than a write can take.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + _WITHIN_S
        while not _is_taken(descriptor):
            if time.monotonic() >= deadline:
                raise TimeoutError(errno.ETIMEDOUT, "another program holds the lock", str(path))
            time.sleep(_AGAIN_S)
        yield
    finally:
        os.close(descriptor)  # which gives the lock back


if sys.platform == "win32":  # pragma: no cover

    def _is_taken(descriptor: int) -> bool:
        return True

else:
    import fcntl

    def _is_taken(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # some network file systems know no locks
            return True
        return True
