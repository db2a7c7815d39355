"""What the small gateway of the command line's tests answers about itself."""

from typing import Any

from conduit import __version__

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
