"""Records edited as text, in the editor of the person at the terminal."""

import os
import shlex
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conduit.cli.call import Call
from conduit.cli.failures import Failure


@contextmanager
def edited(call: Call, text: str, instead: str) -> Iterator[dict[str, Any] | None]:
    """What a person made of a TOML text; None where it was left as it was.

    When the block fails, the text is kept and its place is told, so that no work is lost.
    Raises Failure where nobody can be asked; `instead` says what to do there.
    """
    if not call.may_ask:
        raise Failure(f"an editor needs a terminal: {instead}", code="input_needed")
    descriptor, name = tempfile.mkstemp(prefix="conduit-", suffix=".toml")
    path = Path(name)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    try:
        run_editor(path)
        yield _parsed(path, text)
    except Exception:
        if path.read_text(encoding="utf-8") != text:
            call.console.say(f"what you wrote is kept in {path}", "warn")
        else:
            path.unlink()
        raise
    path.unlink()


def run_editor(path: Path) -> None:
    """Let the person at the terminal edit a file. Raises Failure when the editor fails."""
    chosen = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    command = chosen or ("notepad" if sys.platform == "win32" else "vi")
    try:
        finished = subprocess.run([*shlex.split(command), str(path)], check=False)
    except (OSError, ValueError) as error:
        raise Failure(
            f"the editor {command!r} cannot be run: {error}",
            code="no_editor",
            hint="name one in the variable EDITOR",
        ) from error
    if finished.returncode != 0:
        raise Failure(f"the editor ended with {finished.returncode}: nothing was changed")


def _parsed(path: Path, before: str) -> dict[str, Any] | None:
    try:
        text = path.read_text(encoding="utf-8")
        return None if text == before else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise Failure(f"what was written is not TOML: {error}", code="bad_file") from error


def toml_lines(values: Mapping[str, Any]) -> str:
    """`name = value` lines of plain values."""
    import tomlkit  # noqa: PLC0415  # deferred: 30 ms that only editing needs

    return "".join(
        f"{name} = {tomlkit.item(value).as_string()}\n" for name, value in values.items()
    )
