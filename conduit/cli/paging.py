"""Output that is taller than the terminal goes through the reader's pager."""

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from conduit.cli.console import Console
from conduit.client.pager import pager_of, shown

# Colours as they are, no pager for what fits after all, the text stays on the screen.
_LESS = "FRX"


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
        is_short = text.count("\n") < shutil.get_terminal_size((80, 24)).lines
        if is_short or not shown(text, command, less=_LESS):
            kept.write(text)
