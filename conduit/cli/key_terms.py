"""What a key is to be, in the words of the command line: its limits, its tags, its metadata."""

import json
from typing import Any

from conduit.cli.failures import Failure
from conduit.client.api import Record

RATE = "N[,burst=B][,shadow]"


def limits_of(**texts: str | None) -> dict[str, Record | None]:
    """The limits that are named, None for one that is to go. Raises Failure."""
    return {kind: _limit_of(kind, text) for kind, text in texts.items() if text is not None}


def _limit_of(kind: str, text: str) -> Record | None:
    if text == "none":
        return None
    number, *words = text.split(",")
    limit: Record = {"kind": kind, "limit": _whole(kind, number)}
    for word in words:
        name, _, value = word.partition("=")
        if name == "burst" and value:
            limit["burst"] = _whole(kind, value)
        elif word == "shadow":
            limit["shadow"] = True
        else:
            raise Failure(f"--{kind}: {RATE} is expected, not {text!r}")
    return limit


def _whole(kind: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise Failure(f"--{kind}: a whole number above 0 is expected, not {text!r}")
    return int(text)


def changed_limits(key: Record, changes: dict[str, Record | None]) -> list[Record]:
    """All limits of a key: as they are, but for those that are to change."""
    told = ("kind", "limit", "burst", "shadow", "timezone")
    kept = {each["kind"]: {name: each[name] for name in told} for each in key["limits"]}
    return [each for each in (kept | changes).values() if each is not None]


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
