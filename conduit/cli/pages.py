"""The call that shows the page after the one that was shown."""

import shlex
from collections.abc import Iterator, Sequence

from typer._click.globals import get_current_context

from conduit.core.redaction import redacted

_CURSOR = "--cursor"


def given_words() -> Sequence[str]:
    """The words of this call, as they were typed after the program's name."""
    context = get_current_context(silent=True)
    return () if context is None else context.find_root().obj or ()


def next_page(words: Sequence[str], cursor: str) -> str:
    """The command with the cursor in the place of the former one, to be pasted into a shell."""
    # A URL among the words may hold a password.
    return redacted(shlex.join(["conduit", *_without_cursor(words), _CURSOR, cursor]))


def _without_cursor(words: Sequence[str]) -> Iterator[str]:
    skipping = False
    for word in words:
        if skipping or word.startswith(f"{_CURSOR}="):
            skipping = False
        elif word == _CURSOR:
            skipping = True
        else:
            yield word
