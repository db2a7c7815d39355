"""Lines that a person types, with editing and a history where the terminal can do it."""

import contextlib
import sys
from pathlib import Path
from types import ModuleType

from conduit.client.contexts import make_private_folder
from conduit.core.paths import state_folder

_MOST_LINES = 1000


class LineReader:
    """Reads logical lines; a backslash at the end of a line goes on in the next one.

    Prompts stay off stdout unless that is the terminal. Use it with `with`: leaving it writes the
    history, readable by its owner alone.
    """

    def __init__(self) -> None:
        self._history = state_folder() / "chat_history"
        self._readline = _readline() if sys.stdin.isatty() and sys.stdout.isatty() else None

    def __enter__(self) -> "LineReader":
        if self._readline is not None:
            with contextlib.suppress(OSError):
                self._readline.read_history_file(self._history)
            self._readline.set_history_length(_MOST_LINES)
        return self

    def __exit__(self, *_: object) -> None:
        if self._readline is not None:
            with contextlib.suppress(OSError):
                _make_private(self._history)
                self._readline.write_history_file(self._history)

    def read(self) -> str:
        """One logical line. Raises EOFError at the end, KeyboardInterrupt at Ctrl-C."""
        line = self._line("> ")
        parts = []
        while line.endswith("\\"):
            parts.append(line[:-1])
            line = self._line("... ")
        return "\n".join([*parts, line])

    def _line(self, prompt: str) -> str:
        if self._readline is not None:
            return input(prompt)
        sys.stderr.write(prompt)
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\r\n")


def _readline() -> ModuleType | None:
    try:
        import readline  # noqa: PLC0415  # deferred: only a conversation edits lines
    except ImportError:  # not on every system
        return None
    return readline


def _make_private(path: Path) -> None:
    """An empty file for its owner alone, where there is none yet."""
    make_private_folder(path.parent)
    path.touch(mode=0o600)
