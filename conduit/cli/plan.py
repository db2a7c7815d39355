"""What `--dry-run` prints: the request that would be sent and what it would change."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from conduit.cli.console import Console, plain
from conduit.cli.output import Column, View
from conduit.client.api import Record, build_request
from conduit.core.redaction import redacted_fields

PLAN = View(
    (
        Column("method", "method"),
        Column("path", "path"),
        Column("body", "body"),
        Column("changes", "changes"),
    ),
    id_path="path",
)
CHANGES = View((Column("changes", "changes"),), id_path="changes")
Changes = dict[str, list[Any]]
# What a record has that no body of its noun writes: its place, and what the gateway makes of it.
_NEVER_WRITTEN = frozenset(
    {"provider", "model", "source", "price_version", "created_at", "updated_at", "version", "id"}
)
_NOTHING: tuple[Any, ...] = (None, False, "", "0", "0.00", [], {})


def planned(
    name: str,
    names: Sequence[str],
    body: Mapping[str, Any] | None,
    before: Record | None,
    query: Mapping[str, object] | None = None,
) -> Record:
    """The request of an operation without its secrets, and the old and new of what it changes."""
    request = build_request(name, *names, query=query, body=body)
    safe = redacted_fields(body) if body is not None else None
    return {
        "dry_run": True,
        "method": request.method,
        "path": request.target,
        "body": safe,
        "changes": _changes(request.method, safe, before),
    }


def print_plan(console: Console, plan: Record) -> None:
    """The plan for people: the request, its body, then a line for each old and new value."""
    console.data(plain(f"{plan['method']} {plan['path']}"))
    if plan["body"] is not None:
        console.data(plain(json.dumps(plan["body"], indent=2, ensure_ascii=False)))
    print_differences(console, plan["changes"])
    console.say("dry run: nothing was sent", "dim")


def planned_here(before: Record, after: Record) -> Record:
    """The old and new of what would change on this machine, of the fields of `after`."""
    changes = {
        field: [before.get(field), value]
        for field, value in after.items()
        if before.get(field) != value
    }
    return {"dry_run": True, "changes": changes}


def print_differences(console: Console, changes: Mapping[str, Sequence[Any]]) -> None:
    """A line for each old value and each new one."""
    for path, (old, new) in changes.items():
        if old is not None:
            console.data(_line(console, "-", path, old))
        if new is not None or old is None:
            console.data(_line(console, "+", path, new))


def _line(console: Console, sign: str, path: str, value: Any) -> str:
    text = plain(f"{sign} {path}: {json.dumps(value, ensure_ascii=False)}")
    return console.out.toned(text, "bad" if sign == "-" else "good")


def _changes(method: str, body: Mapping[str, Any] | None, before: Record | None) -> Changes:
    if before is None:
        return {}
    if method == "DELETE":
        label = {field: before[field] for field in ("id", "name", "alias") if before.get(field)}
        return {field: [value, None] for field, value in label.items()}
    old = redacted_fields(before)
    changes = dict(_differences(body or {}, old, ""))
    if method == "PUT":  # what is not in the body is there no longer
        dropped = old.keys() - (body or {}).keys() - _NEVER_WRITTEN
        changes |= {
            name: [old[name], None] for name in old if name in dropped and old[name] not in _NOTHING
        }
    return changes


def _differences(
    new: Mapping[str, Any], old: Mapping[str, Any], above: str
) -> Iterator[tuple[str, list[Any]]]:
    for name, value in new.items():
        known, path = old.get(name), f"{above}{name}"
        if isinstance(value, Mapping) and isinstance(known, Mapping):
            yield from _differences(value, known, f"{path}.")
        elif known != value:
            yield path, [known, value]
