"""Files that a message names as `@path`, and the signs that take their place."""

import re
from pathlib import Path

_NAMED = re.compile(r"(?<!\S)@(\S+)")


def named_files(text: str) -> list[str]:
    """The paths after an `@` at which there is a file; of others nobody can know what they are."""
    return [given for given in _NAMED.findall(text) if _is_file(given)]


def with_sign(text: str, given: str, sign: str) -> str:
    """The text with a sign in place of the first naming of a file."""
    return re.sub(rf"(?<!\S)@{re.escape(given)}(?!\S)", lambda _: sign, text, count=1)


def _is_file(given: str) -> bool:
    try:
        return Path(given).expanduser().is_file()
    except (OSError, RuntimeError):
        return False
