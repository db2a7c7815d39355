"""The file that unexpected errors are written to, without secrets."""

import os
import traceback
from datetime import UTC, datetime
from pathlib import Path

from conduit.client.contexts import make_private_folder
from conduit.core.paths import state_folder
from conduit.core.redaction import redacted

_MOST_BYTES = 1_000_000


def journal_file() -> Path:
    return state_folder() / "tui.log"


def write_trace(what: str, error: BaseException) -> Path | None:
    """Write down what went wrong; None where that cannot be written either."""
    path = journal_file()
    trace = "".join(traceback.format_exception(error))
    text = f"{datetime.now(UTC).isoformat(timespec='seconds')} {what}\n{trace}\n"
    try:
        make_private_folder(path.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        if path.exists() and path.stat().st_size > _MOST_BYTES:
            path.replace(path.with_suffix(".log.1"))
        descriptor = os.open(path, flags, 0o600)
        with open(descriptor, "a", encoding="utf-8") as file:
            file.write(redacted(text))
    except OSError:
        return None
    return path
