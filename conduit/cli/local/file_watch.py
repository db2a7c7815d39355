"""`serve --reload`: the signal that has settings read again, sent when their files change."""

import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

_LOOKS_EVERY_S = 0.5

State = tuple[tuple[int, int] | None, ...]


def watch_settings(files: Sequence[Path]) -> None:
    """Look at the files in a thread of its own, for as long as the process lives."""
    before = _state(files)
    arguments = (files, before, threading.Event())
    threading.Thread(target=_watch, args=arguments, name="settings files", daemon=True).start()


def _watch(files: Sequence[Path], before: State, never: threading.Event) -> None:
    while not never.wait(_LOOKS_EVERY_S):
        now = _state(files)
        # Before a gateway listens to the signal it would end by it.
        if now != before and callable(signal.getsignal(signal.SIGHUP)):
            before = now
            os.kill(os.getpid(), signal.SIGHUP)


def _state(files: Sequence[Path]) -> State:
    """When each was written last and how long it is; None for one that is not there."""
    return tuple(map(_state_of, files))


def _state_of(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
