"""Output that is taller than the terminal goes through the reader's pager."""

import io
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from conduit.cli.console import Console

# Colours as they are, no pager for what fits after all, the text stays on the screen.
_LESS = {"LESS": "FRX", "LESSCHARSET": "utf-8"}


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


@contextmanager
def paged(console: Console) -> Iterator[None]:
    """Hold back what the block prints to a terminal; show it in a pager when it is too tall."""
    command = pager_of(os.environ) if console.out.is_terminal else []
    if not command:
        yield
        return
    kept, held = console.out.file, io.StringIO()
    console.redirect(held)
    try:
        yield
    finally:
        console.redirect(kept)
        text = held.getvalue()
        if text.count("\n") < shutil.get_terminal_size((80, 24)).lines or not _page(text, command):
            kept.write(text)


def _page(text: str, command: list[str]) -> bool:
    """Whether the pager could be started; its reader may leave before the end."""
    sys.stdout.flush()
    environment = {**_LESS, **os.environ}
    try:
        pager = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    except OSError:
        return False
    with suppress(KeyboardInterrupt, BrokenPipeError):
        pager.communicate(text.encode("utf-8", "backslashreplace"))
    with suppress(KeyboardInterrupt):
        pager.wait()
    return True
