"""Files that a command reads."""

import json
import sys
from pathlib import Path
from typing import Any

from conduit.cli.failures import Failure


def text_of(file: str, label: str, *, code: str = "bad_file") -> str:
    """The text of a file; `label` is what an error calls it. Raises Failure."""
    try:
        return Path(file).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise Failure(f"{label}: {error.strerror or error}", code=code) from error
    except ValueError as error:
        raise Failure(f"{label}: it is no text in UTF-8", code=code) from error


def text_of_input(file: str) -> str:
    """The text of a FILE argument, of which `-` is stdin. Raises Failure."""
    if file != "-":
        return text_of(file, f"{file} cannot be read")
    if sys.stdin.isatty():
        raise Failure("FILE is -, and standard input is a terminal")
    return sys.stdin.read()


def json_of(file: str, label: str, *, code: str = "bad_file") -> Any:
    """The value of a JSON file. Raises Failure."""
    try:
        return json.loads(text_of(file, label, code=code))
    except ValueError as error:
        raise Failure(f"{label} is not JSON: {error}", code=code) from error
