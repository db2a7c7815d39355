"""Copying: by a tool of this machine, else by the terminal, else into a file; it says which."""

import base64
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from conduit.client.contexts import write_private
from conduit.core.paths import state_folder

MOST_OSC52_BYTES = 74_994
"""What xterm takes at once; longer texts are cut or dropped by terminals."""
_TOOL_S = 2.0

_TOOLS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    # (variable that says the tool can work, program, arguments)
    ("WAYLAND_DISPLAY", "wl-copy", ()),
    ("DISPLAY", "xclip", ("-selection", "clipboard")),
    ("DISPLAY", "xsel", ("--clipboard", "--input")),
    ("", "pbcopy", ()),
    ("", "clip.exe", ()),
)


@dataclass(frozen=True, slots=True)
class Copied:
    """How a text was copied."""

    way: Literal["native", "osc52", "file", "none"]
    note: str


def copy(
    text: str, send_osc52: Callable[[str], None], environ: Mapping[str, str] = os.environ
) -> Copied:
    """Copy a text the best way there is. Over SSH this machine's clipboard is the wrong one."""
    if not environ.get("SSH_CONNECTION"):
        tool = _copied_by_tool(text, environ)
        if tool is not None:
            return Copied("native", f"copied with {tool}")
    encoded = base64.b64encode(text.encode("utf-8"))
    if len(encoded) <= MOST_OSC52_BYTES:
        send_osc52(text)
        note = "sent to the terminal's clipboard (OSC 52)"
        if environ.get("TMUX"):
            note += "; tmux passes it on with `set -g set-clipboard on`"
        return Copied("osc52", note)
    return _copied_to_file(text)


def _copied_by_tool(text: str, environ: Mapping[str, str]) -> str | None:
    for variable, program, arguments in _TOOLS:
        if (variable and not environ.get(variable)) or shutil.which(program) is None:
            continue
        try:
            subprocess.run(
                [program, *arguments],
                input=text.encode("utf-8"),
                timeout=_TOOL_S,
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except (OSError, subprocess.SubprocessError):
            continue
        return program
    return None


def _copied_to_file(text: str) -> Copied:
    path = copy_file()
    try:
        write_private(path, text)
    except OSError as error:
        return Copied("none", f"not copied: {error}")
    return Copied("file", f"too long for the clipboard: written to {path}")


def copy_file() -> Path:
    return state_folder() / "copied.txt"
