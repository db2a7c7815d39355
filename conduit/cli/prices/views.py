"""How prices, what explains them and what they come to are shown."""

from collections.abc import Mapping
from typing import Any

from conduit.cli.output import Column, View
from conduit.client.api import Record
from conduit.core import people

NOTHING: tuple[Any, ...] = ("0", "0.00", [], {})


def _price_column(title: str, path: str, *, wide: bool = False) -> Column:
    def text(price: Record) -> str:
        return people.money(price.get(path))

    return Column(title, path, text, wide=wide, right=True)


VIEW = View(
    columns=(
        Column("provider", "provider"),
        Column("model", "model"),
        _price_column("input", "input"),
        _price_column("output", "output"),
        _price_column("cache read", "cache_read"),
        _price_column("a call", "request"),
        Column("source", "source"),
        _price_column("cache write", "cache_write_5m", wide=True),
        _price_column("reasoning", "reasoning", wide=True),
        Column("by the piece", "units", lambda row: _pairs(row.get("units")), wide=True),
        Column("service tiers", "service_tiers", lambda row: _factors(row), wide=True),
        Column("largest output", "max_output_tokens", wide=True, right=True),
        Column("context", "context_tokens", wide=True, right=True),
        Column("since", "effective_from", lambda row: _since(row), wide=True),
        Column("version", "price_version", wide=True),
    ),
    id_path="model",
    empty="no prices to show; all that are known: conduit prices list --book",
)
HISTORY = View(
    columns=(
        Column("state", "state"),
        Column("from", "effective_from", lambda row: people.moment(row["effective_from"])),
        Column("until", "effective_until", lambda row: people.moment(row["effective_until"])),
        _price_column("input", "input"),
        _price_column("output", "output"),
        _price_column("cache read", "cache_read"),
        _price_column("a call", "request"),
        Column("set", "set_at", lambda row: people.moment(row["set_at"]), wide=True),
        Column("by the piece", "units", lambda row: _pairs(row["units"]), wide=True),
        Column("service tiers", "service_tiers", lambda row: _factors(row), wide=True),
        Column("version", "price_version"),
    ),
    id_path="price_version",
    empty="no price was ever set for it",
)
EXPLAINED = View(
    columns=(
        Column("provider", "provider"),
        Column("model", "model"),
        Column("reason", "reason"),
        Column("price", "price", lambda row: _price_line(row["price"])),
        Column("tiers", "tiers", lambda row: "; ".join(map(_tier_line, row["tiers"]))),
        Column("units", "units"),
        Column("sold by", "sold_by", lambda row: _sold_by(row.get("sold_by"))),
        Column("vendor", "vendor"),
        Column("book", "book_version"),
        Column("layers", "layers", lambda row: "; ".join(map(_layer_line, row["layers"]))),
        Column("next", "next", lambda row: _next_line(row.get("next"))),
    ),
    id_path="model",
)
ESTIMATED = View(
    columns=(
        Column("provider", "provider"),
        Column("model", "model"),
        Column("cost", "cost", lambda row: people.money(row["cost"]), right=True),
        Column("at most", "at_most", lambda row: people.money(row["at_most"]), right=True),
        Column("in", "input_tokens", right=True),
        Column("out", "output_tokens", right=True),
        Column("parts", "components", lambda row: _pairs(row.get("components"))),
        Column("source", "source"),
        Column("version", "price_version", wide=True),
    ),
    id_path="cost",
)

_LABELS = {
    "input": "in",
    "output": "out",
    "cache_read": "cache read",
    "cache_write_5m": "cache write 5 min",
    "cache_write_1h": "cache write 1 h",
    "reasoning": "reasoning",
    "input_audio": "audio in",
    "output_audio": "audio out",
}


def _pairs(amounts: Mapping[str, str] | None) -> str:
    """Amounts by their names, in a line."""
    return ", ".join(f"{people.money(each)} {name}" for name, each in (amounts or {}).items())


def _factors(row: Record) -> str:
    return ", ".join(f"{name} x{each}" for name, each in (row.get("service_tiers") or {}).items())


def _since(row: Record) -> str:
    since = row.get("effective_from")
    return "" if since is None else people.moment(since)


def _amounts(price: Record) -> str:
    return ", ".join(
        f"{people.money(price[field])} {label}"
        for field, label in _LABELS.items()
        if price.get(field) is not None
    )


def _price_line(price: Record | None) -> str:
    """A price in a line; unknown where there is none."""
    if price is None:
        return "none"
    parts = [_amounts(price)]
    if price["request"] not in NOTHING:
        parts.append(f"{people.money(price['request'])} a call or search unit")
    parts += [each for each in (_pairs(price.get("units")), _factors(price)) if each]
    return f"{', '.join(parts)} ({price['source']} {price['price_version']})"


def _tier_line(tier: Record) -> str:
    return f"over {tier['over_tokens']:,} input tokens: {_amounts(tier)}"


def _sold_by(units: Mapping[str, str] | None) -> str:
    """What else than tokens has a price, and for how many it is."""
    others = {name: each for name, each in (units or {}).items() if name not in _LABELS}
    return ", ".join(f"{name}: {each}" for name, each in others.items())


def _layer_line(layer: Record) -> str:
    entry = layer["entry"] or "no entry"
    reason = layer.get("reason", "")
    if layer["price"] is None:
        return f"{layer['layer']}: none ({reason})"
    mark = "wins" if layer.get("wins") else "loses"
    amount = people.money(layer["price"]["input"])
    return f"{layer['layer']} {mark}: {amount} in ({entry}: {reason})"


def _next_line(price: Record | None) -> str:
    if price is None:
        return "none is planned"
    return f"{_amounts(price)}, from {people.moment(price['effective_from'])} on"
