"""Names that a shell may complete: asked from the gateway in the background, kept for a minute.

The cache is `completion.json` in the state folder, a table of names by gateway. A shell that waits
is answered from it; when it is older than a minute, a process of its own asks the gateway anew.
`python -m conduit.cli.names [--url URL] [--context NAME]` is that process.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from conduit.cli.chat.templates import template_names
from conduit.client.blocking import Gateway, Target, Timeouts
from conduit.client.contexts import Choice, ContextError, Resolved, load, resolve, write_private
from conduit.client.errors import ClientError
from conduit.core.paths import state_folder

FRESH_S = 60.0
PATIENCE_S = 0.1  # of the 150 ms that a shell waits at most, the rest is our own start
_TRYING_S = 10.0
_POLL_S = 0.01
_MOST = 1000
# What a shell would take for more than a name is left out: it lands on the command line unquoted.
# A colon ends a word in bash.
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/@+=-]*")
_SOURCES: Mapping[str, tuple[str, str]] = {
    "keys": ("keys.list", "name"),
    "groups": ("groups.list", "name"),
    "providers": ("providers.list", "name"),
    "mappings": ("mappings.list", "alias"),
    "budgets": ("budgets.list", "id"),
    "notifications": ("notifications.list", "id"),
    "bans": ("bans.list", "id"),
}


def cache_file() -> Path:
    return state_folder() / "completion.json"


def names_of(kind: str, choice: Choice) -> list[str]:
    """Names of a kind at the gateway of a call, within 150 ms; none where none are known."""
    if kind == "contexts":
        return _safe(load().by_name)
    if kind == "templates":
        return _safe(template_names())
    if kind not in _SOURCES:
        return []
    where = resolve(load(), choice, os.environ)
    entry = _entry(where)
    if _age_s(entry) > FRESH_S:
        if where.master_key is None:
            return []
        _refresh_in_background(choice)
        entry = _awaited(where, entry)
    return _safe(entry.get(kind) or ())


def _safe(names: Any) -> list[str]:
    return sorted(name for name in names if isinstance(name, str) and _SAFE.fullmatch(name))


def _entry(where: Resolved) -> dict[str, Any]:
    entry = _read().get(where.admin)
    return entry if isinstance(entry, dict) else {}


def _read() -> dict[str, Any]:
    try:
        document = json.loads(cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _age_s(entry: Mapping[str, Any]) -> float:
    at = entry.get("at")
    return time.time() - at if isinstance(at, int | float) else float("inf")


def _refresh_in_background(choice: Choice) -> None:
    """Start the process that asks, unless one has been started just now."""
    marker = cache_file().with_suffix(".asking")
    with suppress(OSError):
        if time.time() - marker.stat().st_mtime < _TRYING_S:
            return
    with suppress(OSError):
        write_private(marker, "")
        flags = ["--url", choice.url] if choice.url else []
        flags += ["--context", choice.context] if choice.context else []
        process = subprocess.Popen(
            [sys.executable, "-m", "conduit.cli.names", *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        process.returncode = 0  # it is left to itself, and outlives us without a warning


def _awaited(where: Resolved, old: dict[str, Any]) -> dict[str, Any]:
    """The new entry if it comes in time, else the old one: better than none."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        entry = _entry(where)
        if _age_s(entry) <= FRESH_S:
            return entry
        time.sleep(_POLL_S)
    return old


def refresh(choice: Choice) -> None:
    """Ask the gateway and write the cache. Raises ClientError, ContextError or OSError."""
    where = resolve(load(), choice, os.environ)
    target = Target(where.admin, where.master_key, where.tls)
    gateway = Gateway(target, Timeouts(connect_s=1.0, total_s=5.0, retries=0))
    entry: dict[str, Any] = {"at": time.time()}
    for kind, (operation, field) in _SOURCES.items():
        rows = gateway.call(operation, query={"limit": _MOST})["data"]
        entry[kind] = [str(row[field]) for row in rows]
    write_private(cache_file(), json.dumps({**_read(), where.admin: entry}) + "\n")


def _main(arguments: list[str]) -> int:
    given = dict(zip(arguments[::2], arguments[1::2], strict=False))
    try:
        refresh(Choice(given.get("--url"), given.get("--context")))
    except (ClientError, ContextError, OSError, KeyError, TypeError):
        return 1  # nobody reads a message here; the next key press asks again
    finally:
        cache_file().with_suffix(".asking").unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
