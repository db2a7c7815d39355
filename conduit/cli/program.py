"""How this program is called from where the reader stands."""

import os
import shlex
import shutil
import sys
from pathlib import Path

NAME = "conduit"
COMPLETION_VARIABLE = "_CONDUIT_COMPLETE"
"""What a shell sets to ask what may follow, instead of calling a command."""


def invocation() -> str:
    """`conduit` where a shell finds this very program by that name, else the way that works."""
    own = _own_script()
    if own is None:
        return f"{shlex.quote(_shortest(Path(sys.executable)))} -m conduit.cli"
    found = shutil.which(NAME)
    if found is not None and os.path.samefile(found, own):
        return NAME
    return shlex.quote(_shortest(own))


def _own_script() -> Path | None:
    """The installed script: the one that was called, else that of this interpreter's folder."""
    called = Path(sys.argv[0])
    beside = Path(sys.executable).with_name(f"{NAME}.exe" if os.name == "nt" else NAME)
    for script in (called, beside):
        if script.stem == NAME and script.is_file():
            return script.absolute()
    return None


def _shortest(path: Path) -> str:
    """The path from the working folder where it lies below that, else all of it."""
    folder = Path.cwd()
    if not path.is_relative_to(folder):
        return str(path)
    below = path.relative_to(folder)
    # Without a folder in front, a shell would look for the name in its path.
    return str(below) if len(below.parts) > 1 else os.path.join(os.curdir, below)
