"""Prices of a document: their fields, their one form, and how they are written as a table."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from conduit.client.api import Record
from conduit.core.money import format_multiplier, format_usd, parse_multiplier, parse_usd

TOKEN_AMOUNTS: Final = (
    "input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "reasoning",
    "input_audio",
    "output_audio",
)
AMOUNTS: Final = (*TOKEN_AMOUNTS, "request")
COUNTS: Final = ("max_output_tokens", "context_tokens")
PARTS: Final = ("tiers", "service_tiers", "units")
PRICE_FIELDS: Final = (*AMOUNTS, *COUNTS, *PARTS)
SINCE: Final = "effective_from"
NAMES: Final = ("provider", "model")
COLUMNS: Final = (*NAMES, SINCE, *PRICE_FIELDS)
"""Of a table of prices, in their order; only the names, `input` and `output` have to be there."""


class PriceError(ValueError):
    """A price that cannot be meant; the message says which field, and why."""


def checked_price(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The price with its amounts in their one form. Raises PriceError."""
    if "input" not in entry or "output" not in entry:
        raise PriceError("a price has input and output")
    result = dict(entry)
    result |= {name: _amount(name, entry[name]) for name in AMOUNTS if name in entry}
    if "units" in entry:
        units = _table("units", entry["units"])
        result["units"] = {name: _amount(f"units.{name}", each) for name, each in units.items()}
    if "service_tiers" in entry:
        tiers = _table("service_tiers", entry["service_tiers"])
        result["service_tiers"] = {name: _multiplier(name, each) for name, each in tiers.items()}
    if "tiers" in entry:
        result["tiers"] = _checked_tiers(entry["tiers"], result)
    if SINCE in entry:
        result[SINCE] = _moment(entry[SINCE])
    # What says nothing is not there: so two that mean the same are the same.
    return {name: each for name, each in result.items() if each not in ({}, [])}


def _checked_tiers(tiers: Any, price: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not isinstance(tiers, list) or not all(isinstance(each, dict) for each in tiers):
        raise PriceError("tiers: a list of tables is expected")
    return sorted((_checked_tier(each, price) for each in tiers), key=lambda each: each[_OVER])


_OVER: Final = "over_tokens"


def _checked_tier(tier: Mapping[str, Any], price: Mapping[str, Any]) -> dict[str, Any]:
    over = tier.get(_OVER)
    if isinstance(over, bool) or not isinstance(over, int):
        raise PriceError(f"tiers: each has {_OVER}, a number of tokens")
    for name in tier:
        if name != _OVER and name not in TOKEN_AMOUNTS:
            raise PriceError(f"tiers: there is no field {name}")
    amounts = {name: _amount(f"tiers.{name}", tier[name]) for name in TOKEN_AMOUNTS if name in tier}
    # What is as for a shorter call need not be said.
    return {
        _OVER: over,
        **{name: each for name, each in amounts.items() if each != price.get(name)},
    }


def _table(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise PriceError(f"{name}: a table of names and values is expected")
    return value


def _amount(name: str, value: Any) -> str:
    # A number of a file is taken as it is written; 0.1 is no sum of binary fractions then.
    text = str(value) if isinstance(value, str | int | float) else ""
    try:
        return format_usd(parse_usd(text))
    except ValueError as error:
        raise PriceError(f"{name}: {error}") from error


def _multiplier(name: str, value: Any) -> str:
    text = str(value) if isinstance(value, str | int | float) else ""
    try:
        return format_multiplier(parse_multiplier(text))
    except ValueError as error:
        raise PriceError(f"service_tiers.{name}: {error}") from error


def _moment(value: Any) -> str:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("it needs an offset, such as Z")
    except (TypeError, ValueError) as error:
        raise PriceError(f"{SINCE}: {error}") from error
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def declared_price(row: Record) -> dict[str, Any]:
    """A price as a document has it. Only one that is planned says from when on it counts."""
    given = {name: row[name] for name in PRICE_FIELDS if row.get(name) not in (None, [], {})}
    if "tiers" in given:
        given["tiers"] = [
            {name: each for name, each in tier.items() if each is not None}
            for tier in given["tiers"]
        ]
    if row.get("planned"):
        given[SINCE] = row[SINCE]
    return {"provider": row["provider"], "model": row["model"], **given}


# As a table: a line a price. What has parts is one cell of `name=value`, with semicolons between.


def as_csv(prices: Sequence[Mapping[str, Any]]) -> str:
    """Prices as comma-separated values with a head, which `from_csv` reads back."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for price in prices:
        writer.writerow([_cell(name, price.get(name)) for name in COLUMNS])
    return out.getvalue()


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "tiers":
        return "; ".join(map(_tier_cell, value))
    if name in PARTS:
        return "; ".join(f"{part}={each}" for part, each in value.items())
    return str(value)


def _tier_cell(tier: Mapping[str, Any]) -> str:
    parts = [f"{name}={each}" for name, each in tier.items() if name != _OVER]
    return " ".join([str(tier[_OVER]), *parts])


def from_csv(text: str) -> list[dict[str, Any]]:
    """The prices of a table, their amounts as they stand. Raises PriceError, with the line."""
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        head = reader.fieldnames or ()
        for name in head:
            if name not in COLUMNS:
                raise PriceError(
                    f"line 1: there is no column {name}; there are {', '.join(COLUMNS)}"
                )
        return list(_rows(reader))
    except csv.Error as error:
        raise PriceError(f"line {reader.line_num}: {error}") from error


def _rows(reader: "csv.DictReader[str]") -> Iterator[dict[str, Any]]:
    for row in reader:
        if None in row or None in row.values():
            raise PriceError(f"line {reader.line_num}: it has not as many cells as the head")
        try:
            yield {name: _value(name, text) for name, text in row.items() if text.strip()}
        except PriceError as error:
            raise PriceError(f"line {reader.line_num}: {error}") from error


def _value(name: str, text: str) -> Any:
    if name in COUNTS:
        return _count(name, text)
    if name == "tiers":
        return [_read_tier(each) for each in text.split(";")]
    if name in PARTS:
        return dict(_pair(name, each) for each in text.split(";"))
    return text


def _read_tier(text: str) -> dict[str, Any]:
    over, *parts = text.split()
    return {_OVER: _count("tiers", over), **dict(_pair("tiers", each) for each in parts)}


def _pair(name: str, text: str) -> tuple[str, str]:
    part, separator, value = text.strip().rpartition("=")
    if not separator or not part:
        raise PriceError(f"{name}: NAME=VALUE is expected, not {text.strip()[:60]!r}")
    return part, value


def _count(name: str, text: str) -> int:
    digits = text.strip()
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 15:
        raise PriceError(f"{name}: a whole number is expected, not {digits[:60]!r}")
    return int(digits)


def tier_of(text: str) -> dict[str, Any]:
    """A tier as people type it: `200000:input=6,output=22.50`. Raises PriceError."""
    over, separator, parts = text.partition(":")
    if not separator:
        raise PriceError(f"TOKENS:NAME=USD,… is expected, not {text[:60]!r}")
    amounts = dict(_pair("tiers", each) for each in parts.split(",") if each.strip())
    return _checked_tier({_OVER: _count("tiers", over), **amounts}, {})
