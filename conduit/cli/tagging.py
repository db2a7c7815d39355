"""Tags and metadata of a key, in the words of the command line."""

import json
from typing import Any

from conduit.cli.failures import Failure
from conduit.client.api import Record


def tags_text(row: Record) -> str:
    return ", ".join(f"{name}={value}" for name, value in (row.get("tags") or {}).items()) or "-"


def notes_of(tags: str | None, metadata: str | None) -> dict[str, Any]:
    """The fields `tags` and `metadata`, as far as they are named. Raises Failure."""
    notes: dict[str, Any] = {}
    if tags is not None:
        notes["tags"] = {} if tags == "none" else dict(_tag(text) for text in tags.split(","))
    if metadata is not None:
        notes["metadata"] = {} if metadata == "none" else _object(metadata)
    return notes


def wanted_tags(given: list[str] | None) -> str | None:
    """What a list is asked for: `team=a`, or `team` for any value, several between commas."""
    for text in given or ():
        if not text.partition("=")[0] or "," in text:
            raise Failure(f"--tag: NAME=VALUE or NAME is expected, not {text!r}")
    return ",".join(given) if given else None


def _tag(text: str) -> tuple[str, str]:
    name, separator, value = text.strip().partition("=")
    if not separator or not name:
        raise Failure(f"--tags: NAME=VALUE[,NAME=VALUE] is expected, not {text!r}")
    return name, value


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Failure(f"--metadata: a JSON object is expected, not {text!r}")
    return value
