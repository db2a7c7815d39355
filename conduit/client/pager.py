"""The reader's pager: which one it is, and a text shown in it."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress


def pager_of(environ: Mapping[str, str]) -> list[str]:
    """The pager's command: CONDUIT_PAGER, PAGER, else less; empty for none."""
    if environ.get("TERM") == "dumb":
        return []
    chosen = environ.get("CONDUIT_PAGER", environ.get("PAGER"))
    if chosen is None:
        found = shutil.which("less")
        return [found] if found else []
    words = shlex.split(chosen)
    return [] if words == ["cat"] else words


def shown(text: str, command: Sequence[str], *, less: str) -> bool:
    """Whether the pager could be started; its reader may leave before the end.

    `less` are the options of less for this text, unless the environment has others.
    """
    sys.stdout.flush()
    environment = {"LESS": less, "LESSCHARSET": "utf-8", **os.environ}
    try:
        pager = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    except OSError:
        return False
    with suppress(KeyboardInterrupt, BrokenPipeError):
        pager.communicate(text.encode("utf-8", "backslashreplace"))
    with suppress(KeyboardInterrupt):
        pager.wait()
    return True
