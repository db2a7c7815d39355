"""The overview's figures between two runs: what the first frame shows until the gateway answers.

A file for each gateway in the state folder, for its owner alone: counts, money, and the names of
providers and of what has a budget. No key, request or text is in it.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

from conduit import __version__
from conduit.client.contexts import write_private
from conduit.core.paths import state_folder
from conduit.tui.state.traffic import Record

MOST_ROWS = 100
"""Of each list."""
MOST_BYTES = 256_000
_LONGEST_NAME = 120
_COUNTS = (
    "requests",
    "errors",
    "client_errors",
    "rate_limited",
    "in_flight",
    "requests_per_s_milli",
    "tokens_per_s_milli",
    "cost_nanodollars_per_min",
)
_UNREADABLE = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError),
    RecursionError,
)
_LATENCIES = ("latency_p50_ms", "latency_p95_ms", "latency_p99_ms")


@dataclass(slots=True)
class Spent:
    """Money by the day, and today's by provider, as decimal texts."""

    by_day: dict[str, str] = field(default_factory=dict)
    by_provider: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Recalled:
    """What was known at `at_ms`. A part that the gateway has told anew since is taken out."""

    at_ms: int
    figures: Record | None = None
    spent: Spent | None = None
    tables: dict[str, list[Record]] = field(default_factory=dict)

    @property
    def is_used_up(self) -> bool:
        return self.figures is None and self.spent is None and not self.tables


def file_of(url: str) -> Path:
    """Where the figures of the gateway at this URL are."""
    return state_folder() / "overview" / f"{quote(url, safe='')[:_LONGEST_NAME]}.json"


def recall(url: str) -> Recalled | None:
    """What was kept of a gateway; None where nothing was, or nothing that can be read."""
    path = file_of(url)
    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["version"] != __version__ or kept["url"] != url:
            return None
        return _recalled(kept)
    except _UNREADABLE:
        return None  # a cache: the gateway is about to tell all of it


def keep(url: str, recalled: Recalled) -> None:
    """Write it down; a disk that is full or read-only costs the next start nothing but this."""
    text = json.dumps(
        {
            "version": __version__,
            "url": url,
            "at_ms": recalled.at_ms,
            "figures": recalled.figures,
            "days": recalled.spent.by_day if recalled.spent else None,
            "by_provider": recalled.spent.by_provider if recalled.spent else None,
            "tables": recalled.tables,
        }
    )
    if len(text) <= MOST_BYTES:
        with suppress(OSError):
            write_private(file_of(url), text)


def gathered(
    at_ms: int, figures: Record | None, spent: Spent | None, tables: Mapping[str, list[Record]]
) -> Recalled:
    """Of what is known, that which is kept."""
    found = {
        name: [_ROWS[name](row) for row in rows[:MOST_ROWS]]
        for name, rows in tables.items()
        if name in _ROWS and rows
    }
    return Recalled(at_ms, _figures(figures), spent, found)


def _recalled(kept: Any) -> Recalled:
    """Raises one of many errors where it is not what `keep` wrote."""
    days = kept["days"]
    spent = None if days is None else Spent(_amounts(days), _amounts(kept["by_provider"]))
    tables = {name: [row(each) for each in kept["tables"].get(name, ())] for name, row in ROWS_OF}
    found = {name: rows for name, rows in tables.items() if rows}
    return Recalled(int(kept["at_ms"]), _figures(kept["figures"]), spent, found)


def _figures(figures: Any) -> Record | None:
    if figures is None:
        return None
    providers = sorted(figures["providers"].items())[:MOST_ROWS]
    return {
        **{name: int(figures.get(name, 0)) for name in _COUNTS},
        **{name: _whole(figures[name]) for name in _LATENCIES},
        "statuses": {str(name): int(count) for name, count in figures["statuses"].items()},
        "providers": {
            str(name): {"requests": int(seen["requests"]), "errors": int(seen["errors"])}
            for name, seen in providers
        },
    }


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _amounts(amounts: Any) -> dict[str, str]:
    return {str(name): _amount(amount) for name, amount in amounts.items()}


def _amount(amount: Any) -> str:
    found = Decimal(str(amount))
    if not found.is_finite():
        raise ValueError("no amount of money")
    return str(amount)


def _provider(row: Any) -> Record:
    return {
        **{name: str(row[name]) for name in ("id", "name", "type")},
        **{name: bool(row[name]) for name in ("enabled", "simulated")},
        "credentials": [{"state": str(each["state"])} for each in row["credentials"]],
    }


def _deployment(row: Any) -> Record:
    # Until when it is open, which is a time of then, is left out.
    return {"provider": str(row["provider"]), "breaker": str(row["breaker"]), "until": None}


def _budget(row: Any) -> Record:
    name = row.get("scope_name")
    return {
        "scope": {"kind": str(row["scope"]["kind"]), "id": str(row["scope"]["id"])},
        "scope_name": None if name is None else str(name),
        **{amount: _amount(row[amount]) for amount in ("limit", "spent", "held")},
    }


_ROWS: Mapping[str, Callable[[Any], Record]] = {
    "providers": _provider,
    "deployments": _deployment,
    "budgets": _budget,
}
ROWS_OF = tuple(_ROWS.items())
TABLES = frozenset(_ROWS)
