"""A pseudo-terminal around a command: what it shows is read, what a person types is written."""

import os
import select
import signal
import struct
import subprocess
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import pytest

from tests.cli.conftest import Shell

_LONGEST_S = 30.0


class Terminal:
    """A command with stdin, stdout and stderr on one terminal; use it with `with`."""

    def __init__(
        self,
        shell: Shell,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        rows: int = 24,
        columns: int = 80,
    ) -> None:
        pty = pytest.importorskip("pty")
        import fcntl  # noqa: PLC0415  # not on every system
        import termios  # noqa: PLC0415

        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.shown = ""
        self._bytes = b""
        self._seen = 0
        self.process = subprocess.Popen(
            shell.command(*arguments),
            env={**shell.environment, "TERM": "xterm", "NO_COLOR": "1", **(environment or {})},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._ours, text.encode() + b"\r")

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def until(self, text: str) -> str:
        """Read until a text is shown after the one waited for before; all up to its end."""
        deadline = time.monotonic() + _LONGEST_S
        while (at := self.shown.find(text, self._seen)) < 0:
            if not self._read(deadline):
                raise AssertionError(f"{text!r} has not come; there was: {self.shown}")
        before, self._seen = self._seen, at + len(text)
        return self.shown[before : self._seen]

    def end(self) -> int:
        """Read to the end; the exit code."""
        deadline = time.monotonic() + _LONGEST_S
        while self._read(deadline):
            pass
        return self.process.wait(max(deadline - time.monotonic(), 1))

    def interrupt(self) -> None:
        """What Ctrl-C does: the terminal is not the one that signals come from here."""
        self.process.send_signal(signal.SIGINT)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._ours], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            return False
        try:
            part = os.read(self._ours, 65536)
        except OSError:  # Linux says so when the other side is closed
            return False
        self._bytes += part
        self.shown = self._bytes.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(part)
