"""The command line as a process of its own, against a gateway that runs in the test."""

import asyncio
import json
import os
import pty
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import loaded

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def ok(self) -> "Outcome":
        """The outcome, which has to be a success."""
        assert self.code == 0, (self.code, self.out, self.err)
        return self


class Cli:
    """Runs `conduit` for the holder of a master key and, where one is given, of a virtual key."""

    def __init__(self, home: Path, url: str, master_key: str, virtual_key: str = "") -> None:
        self.home = home
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "CONDUIT_HOME": str(home / "client"),
            "CONDUIT_URL": url,
            "CONDUIT_MASTER_KEY": master_key,
            "CONDUIT_API_KEY": virtual_key,
            "PYTHONPATH": str(ROOT),
            "LC_ALL": "C.UTF-8",
        }

    async def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> Outcome:
        env = {**self._environment, **environment}
        finished = await asyncio.to_thread(
            loaded.call, arguments, env=env, stdin=stdin.encode(), timeout_s=PATIENCE_S
        )
        return Outcome(finished.returncode, finished.stdout.decode(), finished.stderr.decode())

    async def converse(
        self, *arguments: str, answers: Sequence[tuple[str, str]] = (), **environment: str
    ) -> Outcome:
        """Run on a pseudo-terminal; each answer is typed once its question has been shown.

        What the terminal shows, stdout and stderr together, is `out`.
        """
        ours, theirs = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *_command(arguments),
            env={**self._environment, "TERM": "dumb", **environment},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        try:
            async with asyncio.timeout(PATIENCE_S):
                shown = await asyncio.to_thread(_talk, ours, list(answers))
                await process.wait()
        finally:
            if process.returncode is None:  # its end is what a thread that still reads waits for
                process.kill()
                await process.wait()
            os.close(ours)
        return Outcome(process.returncode or 0, shown, "")


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "conduit.cli", *arguments]


def _talk(terminal: int, answers: list[tuple[str, str]]) -> str:
    shown, read_up_to = "", 0
    while part := _read(terminal):
        shown += part
        while answers and answers[0][0] in shown[read_up_to:]:
            question, answer = answers.pop(0)
            read_up_to = shown.index(question, read_up_to) + len(question)
            os.write(terminal, answer.encode() + b"\n")
    assert not answers, f"never asked: {answers[0][0]!r} in {shown!r}"
    return shown.replace("\r\n", "\n")


def _read(terminal: int) -> str:
    try:
        return os.read(terminal, 4096).decode("utf-8", "replace")
    except OSError:  # Linux says so when the other side is closed
        return ""


def editor(folder: Path, script: str) -> str:
    """The command that makes a Python script the editor; `path` names the file to edit."""
    program = folder / "editor.py"
    program.write_text(f"import pathlib, sys\npath = pathlib.Path(sys.argv[1])\n{script}\n")
    return f"{sys.executable} {program}"
