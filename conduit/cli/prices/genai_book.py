"""A price book made of the public package genai-prices, where that is installed beside Conduit.

Every number is carried over by Decimal arithmetic into integers. Where the source knows more than
our form, the dearer price is taken, so that a hold is never too low: the dearest of prices that
depend on the hour, the dearest of a side's kinds of tokens that `Usage` does not tell apart
(pictures, video), and of a grade of service (batch, flex, priority) the highest of the factors by
which its prices differ from the ordinary ones. Left out are prices of cached audio, of searches in
files, of pages of documents, of transport by region or route, and those that are announced for a
day after the book's. What the source has no model for is written down here, with where it comes
from.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import ROUND_CEILING, Decimal
from importlib.metadata import distribution, version
from typing import Any

NANODOLLARS = 1_000_000_000

VENDORS = (
    "anthropic",
    "aws",
    "azure",
    "baseten",
    "cerebras",
    "cloudflare",
    "cohere",
    "databricks",
    "deepseek",
    "fireworks",
    "google",
    "groq",
    "meta",
    "minimax",
    "mistral",
    "moonshotai",
    "novita",
    "openai",
    "openrouter",
    "ovhcloud",
    "perplexity",
    "together",
    "voyageai",
    "x-ai",
    "zai",
)
HUGGINGFACE = "huggingface_"

# Our component: its own price in the source, then those of tokens that `Usage` counts with it.
COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "input": ("input_mtok", "input_image_mtok", "input_video_mtok"),
    "output": ("output_mtok", "output_image_mtok", "output_video_mtok", "output_citation_mtok"),
    "cache_read": ("cache_read_mtok",),
    "cache_write_5m": ("cache_write_mtok",),
    "cache_write_1h": ("cache_write_1h_mtok",),
    "reasoning": ("output_reasoning_mtok",),
    "input_audio": ("input_audio_mtok",),
    "output_audio": ("output_audio_mtok",),
}

# Our unit: the source's price, and how many of the unit in which we sell are in the source's.
UNITS: Mapping[str, tuple[tuple[str, int], ...]] = {
    "searches": (("web_searches_kcount", 1),),
    "characters": (("input_mchars", 1),),
    "audio_minutes": (("input_audio_hours", 60), ("audio_hours", 60)),
}
MULTIPLIER_SCALE = 1_000_000

# USD for a search unit, which the source does not price. No price of Cohere's own could be read, so
# these rest on others' listings of 2026 (openrouter.ai's as mirrored, developer.puter.com's): for a
# thousand, 2.50 for Rerank 4 Pro, 2.00 for 4 Fast, 1.00 or 2.00 for 3.5, 2.00 for what is older. Of
# two the dearer is taken: a budget must not be overshot. Rerank 5 is left out: it is said to be
# sold by tokens.
COHERE_SEARCH_UNITS: Mapping[str, str] = {
    "rerank-english-v3.0": "0.002",
    "rerank-multilingual-v3.0": "0.002",
    "rerank-v3.5": "0.002",
    "rerank-v4.0-fast": "0.002",
    "rerank-v4.0-pro": "0.0025",
}

Row = dict[str, Any]


def whole(amount: Decimal) -> int:
    """An amount as an int, rounded up: some prices are thirds, cut off after many digits."""
    return int(amount.to_integral_value(rounding=ROUND_CEILING))


def at_input(price: Any, input_tokens: int) -> Decimal:
    """A price in the tier of a call with that many input tokens."""
    if isinstance(price, Decimal):
        return price
    found: Decimal = price.base
    for tier in price.tiers:
        if input_tokens > tier.start:
            found = tier.price
    return found


def rates(prices: Any, input_tokens: int) -> dict[str, int]:
    """Our components of one price of the source, for a call with that many input tokens."""
    found = {}
    for component, names in COMPONENTS.items():
        known = [getattr(prices, name) for name in names if getattr(prices, name) is not None]
        if known:
            found[component] = whole(
                max(at_input(each, input_tokens) for each in known) * NANODOLLARS
            )
    # The source prices writes of any lifetime by `cache_write` unless it says otherwise.
    if "cache_write_5m" in found:
        found.setdefault("cache_write_1h", found["cache_write_5m"])
    return found


def thresholds(prices: Any) -> list[int]:
    starts: set[int] = set()
    for price in vars(prices).values():
        starts.update(tier.start for tier in getattr(price, "tiers", ()))
    return sorted(starts)


def prices_on(model: Any, day: date) -> list[Any]:
    """The prices that are in force at some hour of that day, the ordinary ones first."""
    if not isinstance(model.prices, list):
        return [model.prices]
    ordinary = model.prices[0].prices
    by_hour = []
    for conditional in model.prices:
        start = getattr(conditional.constraint, "start_date", None)
        if hasattr(conditional.constraint, "start_time"):
            by_hour.append(conditional.prices)
        elif start is None or start <= day:
            # A later price in the list replaces whatever stood before it.
            ordinary, by_hour = conditional.prices, []
    return [ordinary, *by_hour]


def dearest(candidates: list[dict[str, int]]) -> dict[str, int]:
    names = [name for name in COMPONENTS if any(name in each for each in candidates)]
    return {name: max(each[name] for each in candidates if name in each) for name in names}


def row_of(model: Any, day: date) -> Row | None:
    """Our row of a model; None where it is not priced by tokens or requests."""
    prices = prices_on(model, day)
    row: Row = dearest([rates(each, 0) for each in prices])
    per_request = max(each.requests_kcount or Decimal(0) for each in prices) / 1000
    units = units_of(prices)
    if not ({"input", "output"} & row.keys()) and not per_request and not units:
        return None
    row = {"input": 0, "output": 0, **row}
    if per_request:
        row["per_request"] = whole(per_request * NANODOLLARS)
    if model.context_window:
        row["context_tokens"] = model.context_window
    tiers = []
    for start in sorted({start for each in prices for start in thresholds(each)}):
        above = dearest([rates(each, start + 1) for each in prices])
        tiers.append([start, {name: rate for name, rate in above.items() if rate != row.get(name)}])
    if tiers:
        row["tiers"] = tiers
    if grades := service_tiers_of(model, day):
        row["service_tiers"] = grades
    if units:
        row["units"] = units
    return row


def units_of(prices: list[Any]) -> dict[str, int]:
    """What is sold by the piece, at its dearest."""
    found = {}
    for unit, sources in UNITS.items():
        known = [
            at_input(price, 0) / parts
            for name, parts in sources
            for each in prices
            if (price := getattr(each, name, None)) is not None
        ]
        if known:
            found[unit] = whole(max(known) * NANODOLLARS)
    return found


def service_tiers_of(model: Any, day: date) -> dict[str, int]:
    """What each grade of service multiplies the ordinary prices of tokens by, in millionths."""
    found: dict[str, int] = {}
    ordinary = prices_on(model, day)[0]
    for variant in getattr(model, "price_variants", None) or ():
        start = getattr(variant.constraint, "start_date", None)
        if len(variant.when) != 1 or (start is not None and start > day):
            continue
        grade = grade_of(variant.when)
        factors = [
            at_input(price, 0) / base
            for names in COMPONENTS.values()
            for name in names
            if (price := getattr(variant.prices, name, None)) is not None
            and (base := at_input(getattr(ordinary, name, None) or Decimal(0), 0))
        ]
        if grade is not None and factors:
            highest = whole(max(factors) * MULTIPLIER_SCALE)
            found[grade] = max(found.get(grade, 0), highest)
    return found


def grade_of(when: Mapping[str, str]) -> str | None:
    """The grade of service that a variant is of, by the name in the provider's answers."""
    match dict(when):
        case {"service_tier": "default"}:
            return None
        case {"service_tier": name} | {"processing": name} | {"speed": name}:
            return str(name)
        case _:
            return None


def as_regex(rule: Any) -> str:
    """A rule as one regular expression to be searched for, for rules joined by "and"."""
    match type(rule).__name__:
        case "ClauseEquals":
            return f"^{re.escape(rule.equals.lower())}$"
        case "ClauseStartsWith":
            return f"^{re.escape(rule.starts_with.lower())}"
        case "ClauseEndsWith":
            return f"{re.escape(rule.ends_with.lower())}$"
        case "ClauseContains":
            return str(re.escape(rule.contains.lower()))
        case "ClauseRegex":
            return str(rule.regex)
        case "ClauseOr":
            return "|".join(f"(?:{as_regex(each)})" for each in rule.or_)
        case "ClauseAnd":
            return "^" + "".join(f"(?=.*?(?:{as_regex(each)}))" for each in rule.and_)
        case unknown:
            raise ValueError(f"unknown rule: {unknown}")


def clauses(rule: Any) -> Iterator[tuple[str, str]]:
    """The kinds and texts of which any one must fit."""
    match type(rule).__name__:
        case "ClauseEquals":
            yield "equals", rule.equals.lower()
        case "ClauseStartsWith":
            yield "starts_with", rule.starts_with.lower()
        case "ClauseEndsWith":
            yield "ends_with", rule.ends_with.lower()
        case "ClauseContains":
            yield "contains", rule.contains.lower()
        case "ClauseOr":
            for each in rule.or_:
                yield from clauses(each)
        case _:
            yield "regex", as_regex(rule)


def match_of(rule: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for kind, text in clauses(rule):
        texts = found.setdefault(kind, [])
        if text not in texts:
            texts.append(text)
    return found


def vendor_of(provider: Any, day: date) -> Row:
    models = {}
    for model in provider.models:
        row = row_of(model, day)
        if row is not None:
            models[model.id] = {**row, "match": match_of(model.match)}
    vendor: Row = {"models": models}
    fallback = [each for each in provider.fallback_model_providers or () if each in VENDORS]
    if fallback:
        vendor["fallback"] = fallback
    return vendor


def huggingface(providers: Mapping[str, Any], day: date) -> Row:
    """One vendor of the many that its router sends to: `model:provider`, or the dearest of all."""
    models: dict[str, Row] = {}
    offers: dict[str, list[dict[str, int]]] = {}
    for provider_id, provider in providers.items():
        if not provider_id.startswith(HUGGINGFACE):
            continue
        route = provider_id.removeprefix(HUGGINGFACE)
        for model in provider.models:
            row = row_of(model, day)
            if row is None:
                continue
            names = match_of(model.match)["equals"]
            models[f"{model.id}:{route}"] = {
                **row,
                "match": {"equals": [f"{each}:{route}" for each in names]},
            }
            for name in names:
                offers.setdefault(name, []).append({k: row[k] for k in COMPONENTS if k in row})
    for name, rows in offers.items():
        models[name] = {**dearest(rows), "match": {"equals": [name]}}
    return {"models": models}


def cohere_rankings() -> dict[str, Row]:
    """What is paid for search units, a query over so many documents, and for no tokens."""
    return {
        model: {
            "input": 0,
            "output": 0,
            "per_request": whole(Decimal(price) * NANODOLLARS),
            "match": {"equals": [model]},
        }
        for model, price in COHERE_SEARCH_UNITS.items()
    }


def simulator() -> Row:
    """Made-up prices of the built-in simulator, the small model's for any name it does not list."""

    def row(source: str, output: str, **match: list[str]) -> Row:
        return {
            "input": whole(Decimal(source) * NANODOLLARS),
            "output": whole(Decimal(output) * NANODOLLARS),
            "max_output_tokens": 4096,
            "context_tokens": 128_000,
            "match": match,
        }

    return {
        "label": "simulated",
        "models": {
            "simulated-large": row("2.50", "10.00", equals=["simulated-large"]),
            "simulated-embedding": row("0.02", "0", contains=["embed"]),
            "simulated-small": row("0.15", "0.60", starts_with=[""]),
        },
    }


def ollama() -> Row:
    """A local server: nothing is paid for any model."""
    return {
        "source": "local",
        "label": "local",
        "models": {"*": {"input": 0, "output": 0, "match": {"starts_with": [""]}}},
    }


def license_text() -> str:
    """The source's license, which asks to be kept with every copy."""
    text = distribution("genai-prices").read_text("licenses/LICENSE")
    if not text:
        raise FileNotFoundError("the license of genai-prices is not installed with it")
    return " ".join(text.split())


def make_book(day: date) -> Row:
    """The book of the installed package, as of a day. Raises ImportError where there is none."""
    from genai_prices import data  # type: ignore[import-not-found]  # noqa: PLC0415  # may be absent

    providers = {each.id: each for each in data.providers}
    vendors = {name: vendor_of(providers[name], day) for name in VENDORS}
    vendors["cohere"]["models"] |= cohere_rankings()
    vendors["huggingface"] = huggingface(providers, day)
    vendors["simulator"] = simulator()
    vendors["ollama"] = ollama()
    return {
        "version": day.isoformat(),
        "generated_from": f"genai-prices {version('genai-prices')}",
        "license": f"Prices from genai-prices, under this license: {license_text()}",
        "units": "nano-USD per million",
        "vendors": dict(sorted(vendors.items())),
    }


def as_text(book: Row) -> str:
    """One line a model, so that a new book is a readable change; rows keep their order, as the
    first that fits a name has it.
    """
    lines = []
    for name, vendor in book["vendors"].items():
        fields = {key: value for key, value in vendor.items() if key != "models"}
        models = ",\n".join(
            f"{json.dumps(model)}:{json.dumps(row, separators=(',', ':'))}"
            for model, row in vendor["models"].items()
        )
        head = "".join(f"{json.dumps(key)}:{json.dumps(value)}," for key, value in fields.items())
        lines.append(f'{json.dumps(name)}:{{{head}"models":{{\n{models}\n}}}}')
    header = {key: value for key, value in book.items() if key != "vendors"}
    opening = json.dumps(header, indent=0)[:-2]
    vendors = ",\n".join(lines)
    return f'{opening},\n"vendors":{{\n{vendors}\n}}}}\n'
