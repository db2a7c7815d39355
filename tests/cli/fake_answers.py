"""What the small gateway of the command line's tests answers about itself."""

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from conduit import __version__
from conduit.cli.output import cell
from conduit.client.records import FIELDS

AT = "2026-11-20T12:00:00.000Z"
Row = dict[str, Any]


def status(*, ready: bool) -> Row:
    ledger = {
        "available": True,
        "reason": None,
        "sync": "interval",
        "open_holds": 0,
        "held": "0",
        "waiting": 0,
        "journal_bytes_unapplied": 0,
    }
    bodies = {
        "log_bodies": True,
        "retention_days": 7,
        "bytes": 3_000_000,
        "days": 2,
        "oldest": "2026-11-27",
        "written": 40,
        "dropped": 0,
        "waiting": 0,
        "failure": None,
    }
    return {
        "version": __version__,
        "boot": "01BOOT",
        "started_at": AT,
        "uptime_s": 5,
        "ready": ready,
        "draining": False,
        "revision": 1,
        "database": "sqlite",
        "providers": 1,
        "mappings": 1,
        "keys": 1,
        "in_flight": 0,
        "event_seq": 0,
        "worker": 1,
        "workers": 1,
        "ledger": ledger,
        "bodies": bodies,
        "rss_bytes": 81_000_000,
        "warnings": [],
    }


def ledger_check(*, ok: bool) -> Row:
    finding = {
        "invariant": "I1",
        "title": "sums agree",
        "ok": ok,
        "detail": "3 attempts checked",
        "violations": [] if ok else ["budget bud_1 is off by 5"],
    }
    return {"ok": ok, "findings": [finding], "counts": {"attempts": 3}}


_ATTEMPTS: Row = {
    "requests": 3,
    "attempts": 4,
    "input_tokens": 1000,
    "cache_read_tokens": 50,
    "cache_write_tokens": 7,
    "output_tokens": 204,
    "reasoning_tokens": 9,
    "audio_tokens": 0,
    "cache_write_1h_tokens": 2,
    "output_audio_tokens": 0,
    "cost": "0.0041",
    "billed": "0.004",
    "estimated": 1,
    "recovered": 0,
    "ambiguous": 2,
    "open_holds": 1,
    "held": "0.01",
}
_GROUPS = {
    "day": ("2026-11-18", "2026-11-20"),
    "hour": ("2026-11-20T12:00:00Z", "2026-11-20T14:00:00Z"),
    "key": ("ci", "old"),
}


_STEPS_OF: Mapping[str, Any] = {
    "day": (
        [{"at": "2026-11-18", "cost": "0.001"}, {"at": "2026-11-20", "cost": "0.002075"}],
        [{"at": "2026-11-19", "cost": "0.001025"}],
    ),
    "hour": (
        [{"at": "2026-11-20T12:00:00Z", "cost": "0.003075"}],
        [{"at": "2026-11-20T13:00:00Z", "cost": "0.001025"}],
    ),
}


def usage(query: Mapping[str, list[str]]) -> Row:
    """Two groups, of which the second cost a third of the first."""
    by = query.get("by", [None])[0]
    first, second = _GROUPS.get(by or "", ("gpt-4o", "gpt-4o-mini"))
    rest = {"key_id": None, "group_id": None, **_ATTEMPTS}
    steps = _STEPS_OF.get(query.get("series", [""])[0], (None, None))
    groups = [
        {"group": first, **rest, "cost": "0.003075", "series": steps[0]},
        {"group": second, **rest, "cost": "0.001025", "series": steps[1]},
    ]
    return {
        "since": query.get("since", [None])[0],
        "until": query.get("until", [None])[0],
        "by": by,
        "timezone": "UTC",
        "key_id": None,
        "key": None,
        "total": _ATTEMPTS,
        "groups": groups if by is not None else [],
        "more": by == "model",
    }


def exported(rows: list[Row], form: str) -> list[bytes]:
    """The lines of an export."""
    if form == "jsonl":
        return [json.dumps(row).encode() + b"\n" for row in rows]
    lines = []
    for cells in (FIELDS, *([cell(row.get(name)) for name in FIELDS] for row in rows)):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        lines.append(text.getvalue().encode())
    return lines
