"""What keys and groups may do, between the texts of a form and what the admin API takes."""

import ipaddress
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from conduit.core import people
from conduit.core.ids import now_ms
from conduit.core.limits import KINDS, LIMIT_FIELDS, LimitKind, limit_in
from conduit.core.moments import parse_duration, parse_moment
from conduit.core.money import format_usd, parse_usd
from conduit.core.networks import normal_network
from conduit.tui.state.traffic import Record

EVERY_MODEL = "*"
PERIODS = ("total", "day", "week", "month")
"""What the admin API takes as the period of a budget."""
MODES = ("hard", "soft")
NONE = "none"
BODIES: Mapping[str, bool | None] = {"default": None, "on": True, "off": False}
"""Whether the bodies of a key's requests are kept, in the words of `conduit keys --log-bodies`."""
LIMIT_LABELS: Mapping[LimitKind, str] = {
    "rpm": "Requests/min",
    "tpm": "Tokens/min",
    "rpd": "Requests/day",
    "tpd": "Tokens/day",
    "concurrent": "At once",
}
_NOTHING: Mapping[str, Any] = {
    "allowed_models": [EVERY_MODEL],
    "allowed_ips": [],
    "tags": {},
    "metadata": {},
    "allow_direct": False,
    "priority": False,
}
"""What an empty field means."""
_MILLIONS, _THOUSANDS = 1_000_000, 1_000


# What is typed: each returns what the API takes, or raises ValueError


def amount(text: str) -> str:
    """A decimal text in USD. Raises ValueError."""
    return format_usd(parse_usd(text))


def paid(text: str) -> str:
    """A decimal text in USD above nothing. Raises ValueError."""
    nanodollars = parse_usd(text)
    if nanodollars <= 0:
        raise ValueError("more than nothing is expected")
    return format_usd(nanodollars)


def names(text: str) -> list[str]:
    """The parts of `a, b, c`. Raises ValueError where there is none, or a blank in one."""
    found = parts(text)
    if not found:
        raise ValueError("names of models, with commas between")
    blank = next((name for name in found if not name.isprintable() or " " in name), None)
    if blank is not None:
        raise ValueError(f"a comma is needed between names: {blank!r}")
    return found


def parts(text: str) -> list[str]:
    """What stands between commas, without what is empty."""
    return [part.strip() for part in text.split(",") if part.strip()]


def networks(text: str) -> list[str]:
    """Addresses and networks between commas, in their usual form. Raises ValueError."""
    found = []
    for part in parts(text):
        try:
            found.append(normal_network(part))
        except ValueError as error:
            raise ValueError(_network_fault(part)) from error
    return found


def _network_fault(text: str) -> str:
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return f"{text!r} is no address and no network such as 10.0.0.0/8"
    return f"{text} has host bits: {meant} is meant?"


def tags(text: str) -> dict[str, str]:
    """The tags of `team=a, env=ci`. Raises ValueError."""
    found: dict[str, str] = {}
    for part in parts(text):
        name, separator, value = (each.strip() for each in part.partition("="))
        if not separator or not name:
            raise ValueError(f"name=value is expected, not {part!r}")
        if name in found:
            raise ValueError(f"{name} is there twice")
        found[name] = value
    return found


def metadata(text: str) -> dict[str, Any]:
    """A JSON object, or none. Raises ValueError."""
    if text == NONE:
        return {}
    try:
        found = json.loads(text, parse_constant=_no_number)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError('a JSON object is expected, such as {"owner": "Ada"}')
    return found


def _no_number(text: str) -> None:
    """NaN and the like, which are no JSON. Raises ValueError."""
    raise ValueError(f"{text} is no number")


def zone(text: str) -> str:
    """The name of a time zone. Raises ValueError."""
    try:
        ZoneInfo(text)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError("no time zone is called so; such as UTC or Europe/Berlin") from error
    return text


def expiry(text: str) -> str | None:
    """When it ends: a time ahead, a duration from now, or never. Raises ValueError."""
    if text == "never":
        return None
    at = parse_moment(text, ahead=True)
    if datetime.fromisoformat(at).timestamp() * 1000 <= now_ms():
        raise ValueError("that is past already")
    return at


def grace(text: str) -> int:
    """Whole seconds. Raises ValueError."""
    seconds = round(parse_duration(text))
    if not seconds:
        raise ValueError("at least 1s is expected")
    return seconds


def limit_of(kind: LimitKind, text: str) -> Record:
    """A rate limit as `600` or `600,burst=20,shadow,closed` says it. Raises ValueError.

    Its time zone is told only where the text tells it.
    """
    limit = limit_in(kind, text.replace(" ", ""))
    zone = {"timezone": limit.timezone} if "timezone=" in text else {}
    return {
        "kind": kind,
        "limit": limit.limit,
        "burst": limit.burst,
        "shadow": limit.shadow,
        **zone,
        "on_store_down": limit.on_store_down,
    }


# What the API gives, as texts


def models_text(row: Record) -> str:
    """What may be used; nothing where that is every model."""
    return "" if row["allowed_models"] == [EVERY_MODEL] else ", ".join(row["allowed_models"])


def tags_text(given: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in given.items())


def metadata_text(given: Mapping[str, Any]) -> str:
    """The object in one line, and nothing where it is empty."""
    return json.dumps(given, ensure_ascii=False) if given else ""


def bodies_text(kept: bool | None) -> str:
    return next(text for text, value in BODIES.items() if value is kept)


def limit_text(limit: Record) -> str:
    """A rate limit as it is typed: `600,burst=20,shadow,closed`."""
    words = [str(limit["limit"])]
    if limit.get("burst") is not None:
        words.append(f"burst={limit['burst']}")
    if limit.get("shadow"):
        words.append("shadow")
    if limit.get("timezone", "UTC") != "UTC":
        words.append(f"timezone={limit['timezone']}")
    if limit.get("on_store_down", "degrade") != "degrade":
        words.append(limit["on_store_down"])
    return ",".join(words)


def limits_told(limits: Sequence[Record]) -> str:
    """All of them in few cells: `60 rpm, 100k tpm`."""
    return ", ".join(
        f"{short(limit['limit'])} {limit['kind']}{of_model(limit)}" for limit in in_order(limits)
    )


def of_model(limit: Record) -> str:
    """` of gpt-4o`, and nothing where requests for any model count."""
    model = limit.get("model")
    return "" if model is None else f" of {model}"


def in_order(limits: Sequence[Record]) -> list[Record]:
    """As forms show them: requests and tokens a minute, a day, requests at once."""
    ranks = {kind: rank for rank, kind in enumerate(KINDS)}
    # A newer gateway may know more kinds.
    return sorted(
        limits,
        key=lambda limit: (ranks.get(limit["kind"], len(ranks)), limit.get("model") or ""),
    )


def short(number: int) -> str:
    """`60`, `100k`, `1.5M`."""
    for size, sign in ((_MILLIONS, "M"), (_THOUSANDS, "k")):
        if number >= size:
            return f"{number / size:.1f}".removesuffix(".0") + sign
    return str(number)


def period_told(budget: Record) -> str:
    """`in all`, or `a month (Europe/Berlin)`."""
    if budget["period"] == "total":
        return "in all"
    where = "" if budget["timezone"] == "UTC" else f" ({budget['timezone']})"
    return f"a {budget['period']}{where}"


# Bodies


def limits_body(values: Mapping[str, Any], before: Sequence[Record] = ()) -> list[Record]:
    """All limits from now on: as `before`, but for those that `values` names by kind.

    A value is a limit, or None for one that is to go. The zone of a limit that stays is kept, and
    so are limits of one model, which no form has.
    """
    kept = {
        (limit["kind"], limit.get("model")): {
            name: limit[name] for name in LIMIT_FIELDS if name in limit
        }
        for limit in before
    }
    for kind in KINDS:
        if kind not in values:
            continue
        if values[kind] is None:
            kept.pop((kind, None), None)
        else:
            kept[kind, None] = {**kept.get((kind, None), {}), **values[kind]}
    return in_order(list(kept.values()))


def rights_body(values: Mapping[str, Any], before: Record | None = None) -> dict[str, Any]:
    """What the fields of keys and groups say, as far as they were filled in or changed.

    `before` is the record that is changed; without one, what is empty is left out.
    """
    body: dict[str, Any] = {}
    for name in ("name", "description", "expires_at", "group"):
        if name in values and (before is not None or values[name]):
            body[name] = values[name]
    for name, nothing in _NOTHING.items():
        if name in values and (before is not None or values[name]):
            body[name] = values[name] or nothing
    if "log_bodies" in values:
        kept = BODIES[values["log_bodies"]]
        if before is not None or kept is not None:
            body["log_bodies"] = kept
    if "description" in body:
        body["description"] = body["description"] or ""
    limits = [] if before is None else before.get("limits", ())
    if any(kind in values for kind in KINDS):
        wanted = limits_body(values, limits)
        if before is not None or wanted:
            body["limits"] = wanted
    return body


def budget_body(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the fields of a budget say; None where no limit was given."""
    if not values.get("limit"):
        return None
    told = {name: values.get(name) for name in ("limit", "period", "timezone", "mode")}
    return {name: value for name, value in told.items() if value is not None}


def used_by(budgets: Sequence[Record]) -> Iterator[str]:
    """`$41.00 of $50.00 a month` for each."""
    for budget in budgets:
        spent, limit = people.money(budget["spent"]), people.money(budget["limit"])
        yield f"{spent} of {limit} {period_told(budget)}"
