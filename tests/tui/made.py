"""Settings, prices, notifications, kept answers and usage as the admin API tells them."""

from collections.abc import Mapping
from typing import Any

Record = dict[str, Any]


def setting(name: str, value: Any, origin: str = "default", **fields: Any) -> Record:
    return {
        "name": name,
        "value": value,
        "origin": origin,
        "description": f"What {name} is for.",
        "settable": True,
        "restart_needed": False,
        **fields,
    }


def price(provider: str, model: str, **fields: Any) -> Record:
    nothing = dict.fromkeys(
        ("cache_read", "cache_write_5m", "cache_write_1h", "reasoning", "input_audio")
    )
    return {
        "provider": provider,
        "model": model,
        "input": "2.50",
        "output": "10.00",
        **nothing,
        "output_audio": None,
        "request": "0",
        "max_output_tokens": 16_384,
        "context_tokens": 128_000,
        "tiers": [],
        "service_tiers": {},
        "units": {},
        "source": "book",
        "price_version": "book-2026-11-01",
        "effective_from": None,
        **fields,
    }


def past_price(state: str, since: str, **fields: Any) -> Record:
    """One of the history."""
    end = {"state": state, "set_at": since, "effective_until": None}
    found = price("openai", "own", source="override", effective_from=since, price_version=since)
    return {**found, **end, **fields}


def notification(number: int, **fields: Any) -> Record:
    return {
        "id": f"ntf_{number}",
        "at": f"2026-11-20T14:0{number}:00Z",
        "kind": "budget_threshold",
        "severity": "warning",
        "subject": {"kind": "key", "id": "key_ci", "name": "ci"},
        "message": f"key ci has spent {80 + number} % of its budget of $50",
        "details": {},
        "acknowledged_at": None,
        "acknowledged_by": None,
        **fields,
    }


def counts(**fields: Any) -> Record:
    none = {"entries": 0, "bytes": 0, "hits": 0, "misses": 0, "bypassed": 0, "avoided": "0"}
    return {**none, **fields}


def cache(*aliases: Record, **fields: Any) -> Record:
    """What `cache.show` answers."""
    return {
        "since": "2026-11-20T00:00:00Z",
        **counts(**fields),
        "limit_bytes": 64_000_000,
        "entry_limit_bytes": 1_000_000,
        "max_entries": 10_000,
        "aliases": list(aliases),
    }


_SUMS = (
    *("requests", "attempts", "input_tokens", "cache_read_tokens", "cache_write_tokens"),
    *("output_tokens", "reasoning_tokens", "audio_tokens"),
    *("cache_write_1h_tokens", "output_audio_tokens"),
)
_DOUBTS = ("estimated", "recovered", "ambiguous", "open_holds")


def sums(**fields: Any) -> Record:
    none = dict.fromkeys((*_SUMS, *_DOUBTS), 0)
    return {**none, "cost": "0.00", "billed": "0.00", "held": "0.00", **fields}


def row(group: str, **fields: Any) -> Record:
    """One group of a usage report."""
    return {"group": group, "key_id": None, "group_id": None, **sums(**fields)}


def report(query: Mapping[str, Any], *rows: Record, **total: Any) -> Record:
    """What `usage.show` answers to a query."""
    return {
        "since": query.get("since"),
        "until": query.get("until"),
        "by": query.get("by"),
        "timezone": "UTC",
        "key_id": None,
        "key": None,
        "group_id": None,
        "group": None,
        "total": sums(**total),
        "groups": list(rows),
        "more": False,
    }
