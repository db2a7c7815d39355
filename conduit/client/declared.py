"""Declared configuration: what it would change in a gateway, step by step.

A document has the sections `providers`, `mappings`, `prices`, `groups` and `keys`, each a list of
tables. A section that is left out is left alone; so is a field that is left out of a table, but for
a price, which is one value: what is left out of it is not set. No document holds a plain secret:
credentials say `from = "env:NAME"`, `"file:PATH"`, or `"sealed"` where one was entered at the
gateway, and `"sealed:c1.…"` with it where the export was asked for that; a key that is not there
yet has to be made by hand, by whoever is to be shown its secret.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from conduit.client.api import Record
from conduit.client.declared_prices import (
    COLUMNS,
    PRICE_FIELDS,
    SINCE,
    PriceError,
    checked_price,
    declared_price,
)
from conduit.core.aliases import taken_by

Action = Literal["add", "change", "remove", "note"]
Section = Literal["providers", "mappings", "prices", "groups", "keys"]
Document = Mapping[str, Sequence[Mapping[str, Any]]]

SECTIONS: tuple[Section, ...] = ("providers", "mappings", "prices", "groups", "keys")
PROVIDER_FIELDS = ("base_url", "allow_private", "enabled", "on_hang_up")
"""What is to be said of a provider, and edited, beside its name, type and credentials."""
_KEY_FIELDS = (
    "enabled",
    "allowed_models",
    "expires_at",
    "log_bodies",
    "allow_direct",
    "priority",
    "limits",
    "allowed_ips",
    "group",
    "tags",
    "metadata",
)
_GROUP_FIELDS = ("description", "enabled", "allowed_models", "limits", "allowed_ips")
_USUAL_GROUP: Mapping[str, Any] = {"limits": [], "allowed_ips": []}
_USUAL_KEY: Mapping[str, Any] = {"limits": [], "tags": {}, "metadata": {}}
_OF_THE_MOMENT = frozenset({"remaining", "exceeded"})  # how a rate limit stands
_USUAL_RATE = {
    "burst": None,
    "shadow": False,
    "timezone": "UTC",
    "on_store_down": "degrade",
    "model": None,
}
_UNSAID = object()
_CREDENTIAL_LIMITS = ("weight", "max_in_flight", "requests_per_minute")
_USUAL_POLICY = {
    "sticky": "off",
    "breakers": True,
    "long_context": "refuse",
    "cache_scope": "key",
}
_MAPPING_FIELDS = ("strategy", "targets", "fallbacks", "enabled", "policy", "limits")
_UNUSUAL_OF_MAPPINGS = frozenset({"policy", "limits"})
_FIELDS: Mapping[str, frozenset[str]] = {
    "providers": frozenset({"name", "type", "credentials", *PROVIDER_FIELDS}),
    "credentials": frozenset({"name", "from", "enabled", "fingerprint", *_CREDENTIAL_LIMITS}),
    "mappings": frozenset({"alias", *_MAPPING_FIELDS}),
    "prices": frozenset(COLUMNS),
    "groups": frozenset({"name", *_GROUP_FIELDS}),
    "keys": frozenset({"name", *_KEY_FIELDS}),
}
_NAMES: Mapping[str, tuple[str, ...]] = {
    "providers": ("name",),
    "credentials": ("name",),
    "mappings": ("alias",),
    "prices": ("provider", "model"),
    "groups": ("name",),
    "keys": ("name",),
}
TARGET_DEFAULTS = {"order": 0, "weight": 1, "params": {}, "capabilities": {}}
"""What is meant of a target where nothing is said."""
SEALED = "sealed"
"""Where a credential says its secret is, of one that was entered at the gateway."""


class DeclarationError(ValueError):
    """A document that says something that cannot be meant."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change: the operation that makes it, and the old and new value of each field.

    A note has no operation: it tells of what a document cannot bring about.
    """

    action: Action
    noun: str
    name: str
    operation: str = ""
    names: tuple[str, ...] = ()
    body: Mapping[str, Any] | None = None
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    note: str | None = None
    query: Mapping[str, Any] = field(default_factory=dict)


def checked(document: Mapping[str, Any]) -> Document:
    """The document with amounts in their one form. Raises DeclarationError."""
    unknown = [name for name in document if name not in SECTIONS and name != "conduit"]
    if unknown:
        known = ", ".join(SECTIONS)
        raise DeclarationError(f"{unknown[0]}: there is no such section; there are {known}")
    return {
        section: _checked_list(section, document[section])
        for section in SECTIONS
        if section in document
    }


def document_of(rows: Mapping[Section, Iterable[Record]]) -> dict[str, list[dict[str, Any]]]:
    """What a gateway holds, as a document; no secrets, and only prices that were set."""
    makers: Mapping[Section, Callable[[Record], dict[str, Any]]] = {
        "providers": _declared_provider,
        "mappings": _declared_mapping,
        "prices": declared_price,
        "groups": _declared_group,
        "keys": _declared_key,
    }
    return {
        section: [makers[section](row) for row in rows[section] if _was_set(row)]
        for section in SECTIONS
        if section in rows
    }


def _was_set(row: Record) -> bool:
    """Not so a price of the book, nor the one that a model has because all of its provider do."""
    set_for = row.get("set_for")
    return row.get("source") in (None, "override") and set_for in (None, row.get("model"))


def plan(wanted: Document, present: Document, *, prune: bool = False) -> list[Step]:
    """The steps from `present` to `wanted`, in an order that works; `prune` removes the rest.

    Raises DeclarationError.
    """
    makers: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any] | None], Iterator[Step]]]
    makers = {
        "providers": _provider_steps,
        "mappings": _mapping_steps,
        "prices": _price_steps,
        "groups": _group_steps,
        "keys": _key_steps,
    }
    steps: list[Step] = []
    removals: list[Step] = []
    for section in SECTIONS:
        if section not in wanted:
            continue
        held = {_name(section, each): each for each in present.get(section, ())}
        meant = {_name(section, each): each for each in _in_order(section, wanted[section])}
        for name, entry in meant.items():
            steps += makers[section](entry, held.get(name))
        if section == "providers":
            removals += _credential_removals(meant, held)
        removals += [_removal(section, held[name]) for name in held if name not in meant]
    # What refers to others goes before them: prices and mappings before providers.
    return steps + (list(reversed(removals)) if prune else [])


def _checked_list(section: str, entries: Any) -> list[dict[str, Any]]:
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise DeclarationError(f"{section}: a list of tables is expected")
    checked_entries = [_checked_entry(section, each) for each in entries]
    names = [_name(section, each) for each in checked_entries]
    for name in names:
        if names.count(name) > 1:
            raise DeclarationError(f"{section}: {'/'.join(name)} is there more than once")
    return checked_entries


def _checked_entry(section: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    for name in _NAMES[section]:
        if not isinstance(entry.get(name), str) or not entry[name]:
            raise DeclarationError(f"{section}: each needs its {name}, as a text")
    label = f"{section}: {'/'.join(_name(section, entry))}"
    for name in entry:
        if name not in _FIELDS[section]:
            raise DeclarationError(f"{label}: there is no field {name}")
    result = dict(entry)
    if section == "prices":
        try:
            result = checked_price(entry)
        except PriceError as error:
            raise DeclarationError(f"{label}: {error}") from error
    if section == "providers" and "credentials" in entry:
        result["credentials"] = _checked_list("credentials", entry["credentials"])
    if section == "credentials":
        _check_source(label, entry.get("from"))
        if not isinstance(entry.get("fingerprint", ""), str):
            raise DeclarationError(f"{label}: fingerprint is a text")
    if "expires_at" in entry:
        result["expires_at"] = _moment(label, entry["expires_at"])
    if section == "mappings" and "targets" in entry:
        result["targets"] = [_whole_target(label, each) for each in entry["targets"]]
    return result


def _moment(label: str, value: Any) -> str:
    """A time in the form of the API; TOML has times of its own beside texts."""
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("it needs an offset, such as Z")
    except (TypeError, ValueError) as error:
        raise DeclarationError(f"{label}: expires_at: {error}") from error
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _check_source(label: str, source: Any) -> None:
    kind, _, reference = source.partition(":") if isinstance(source, str) else ("", "", "")
    is_sealed = kind == SEALED and reference.startswith("c1.")
    if source != SEALED and not is_sealed and (kind not in ("env", "file") or not reference):
        # The value is not repeated: somebody may have written a key there.
        raise DeclarationError(f'{label}: from is "env:NAME", "file:PATH" or "sealed", no secret')


def _whole_target(label: str, target: Any) -> dict[str, Any]:
    if not isinstance(target, dict) or not {"provider", "model"} <= target.keys():
        raise DeclarationError(f"{label}: each of its targets needs provider and model")
    return {**TARGET_DEFAULTS, **target}


def _name(section: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    """What tells entries of a section apart: a planned price is another one than the present."""
    names = tuple(str(entry[name]) for name in _NAMES[section])
    return (*names, str(entry[SINCE])) if section == "prices" and SINCE in entry else names


def _declared_provider(row: Record) -> dict[str, Any]:
    primary_first = sorted(row["credentials"], key=lambda each: not each.get("primary", False))
    return {
        "name": row["name"],
        "type": row["type"],
        **{name: row[name] for name in PROVIDER_FIELDS if name in row},
        "credentials": [
            {
                "name": each["name"],
                "from": each["source"],
                "enabled": each["enabled"],
                **_unusual_limits(each),
                **_told_apart(each),
            }
            for each in primary_first
        ],
    }


def _unusual_limits(credential: Record) -> dict[str, Any]:
    given = {name: credential.get(name) for name in _CREDENTIAL_LIMITS}
    if given["weight"] == 1:
        del given["weight"]
    return {name: value for name, value in given.items() if value is not None}


def _told_apart(credential: Record) -> dict[str, Any]:
    """What tells a sealed secret from another one."""
    if credential["source"] != SEALED or not credential.get("fingerprint"):
        return {}
    return {"fingerprint": credential["fingerprint"]}


def _declared_mapping(row: Record) -> dict[str, Any]:
    fields = {name: row[name] for name in _MAPPING_FIELDS if name not in _UNUSUAL_OF_MAPPINGS}
    policy = {name: value for name, value in row.get("policy", {}).items() if value is not None}
    if any(policy.get(name) != usual for name, usual in _USUAL_POLICY.items()) or (
        policy.keys() - _USUAL_POLICY.keys()
    ):
        fields["policy"] = policy
    if row.get("limits"):
        fields["limits"] = _unusual_rates(row["limits"])
    return {"alias": row["alias"], **fields}


def _declared_key(row: Record) -> dict[str, Any]:
    given = {name: row[name] for name in _KEY_FIELDS if row.get(name) not in (None, {})}
    given["limits"] = _unusual_rates(given.get("limits", ()))
    return {"name": row["name"], **given}


def _declared_group(row: Record) -> dict[str, Any]:
    given = {name: row[name] for name in _GROUP_FIELDS if name in row}
    return {"name": row["name"], **given, "limits": _unusual_rates(row["limits"])}


def _unusual_rates(limits: Iterable[Record]) -> list[dict[str, Any]]:
    """Rate limits without what is of the moment, and without what is as usual."""
    return [
        {
            name: value
            for name, value in limit.items()
            if name not in _OF_THE_MOMENT and value != _USUAL_RATE.get(name, _UNSAID)
        }
        for limit in limits
    ]


def _differences(
    wanted: Mapping[str, Any], held: Mapping[str, Any], names: Iterable[str]
) -> dict[str, tuple[Any, Any]]:
    return {
        name: (held.get(name), wanted[name])
        for name in names
        if name in wanted and wanted[name] != held.get(name)
    }


def _added(entry: Mapping[str, Any], names: Iterable[str]) -> dict[str, tuple[Any, Any]]:
    return {name: (None, entry[name]) for name in names if name in entry}


def _provider_steps(entry: Mapping[str, Any], held: Mapping[str, Any] | None) -> Iterator[Step]:
    name = entry["name"]
    if held is None:
        if "type" not in entry:
            raise DeclarationError(f"providers: {name} is not there yet, so it needs its type")
        body = {key: entry[key] for key in ("name", "type", *PROVIDER_FIELDS) if key in entry}
        changes = _added(entry, ("type", *PROVIDER_FIELDS))
        yield Step("add", "provider", name, "providers.create", (), body, changes)
        yield from _credential_steps(name, entry.get("credentials", ()), (), moved=False)
        return
    if entry.get("type", held["type"]) != held["type"]:
        said = f"it is of type {held['type']}, which cannot be changed: remove it and add it again"
        yield Step("note", "provider", name, note=said)
        return
    changes = _differences(entry, held, PROVIDER_FIELDS)
    if changes:
        body = {key: new for key, (_, new) in changes.items()}
        yield Step("change", "provider", name, "providers.update", (name,), body, changes)
    if "credentials" in entry:
        moved = "base_url" in changes and _host(entry["base_url"]) != _host(held["base_url"])
        yield from _credential_steps(name, entry["credentials"], held["credentials"], moved=moved)


def _host(base_url: Any) -> str:
    return urlsplit(str(base_url)).netloc.lower()


def _credential_steps(
    provider: str,
    wanted: Sequence[Mapping[str, Any]],
    present: Sequence[Mapping[str, Any]],
    *,
    moved: bool,
) -> Iterator[Step]:
    """`moved`: the provider is at another host now, for which references are entered again."""
    held = {each["name"]: each for each in present}
    for entry in wanted:
        yield from _credential_step(provider, entry, held.get(entry["name"]), moved=moved)
    first = wanted[0]["name"] if wanted else None
    if first in held and first != present[0]["name"]:
        label, changes = f"{provider}/{first}", {"primary": (False, True)}
        body = {"primary": True}
        names = (provider, str(first))
        yield Step("change", "credential", label, "credentials.update", names, body, changes)


def _credential_step(
    provider: str, entry: Mapping[str, Any], held: Mapping[str, Any] | None, *, moved: bool
) -> Iterator[Step]:
    label, source = f"{provider}/{entry['name']}", entry["from"]
    entry = _with_shown_source(entry, held)
    enter = f"conduit providers credentials add {provider} --name {entry['name']}"
    if held is None:
        if source == SEALED:
            note = f"no document holds its secret; enter it with: {enter}"
            yield Step("note", "credential", label, note=note)
            return
        body = {"name": entry["name"], **_reference(source)}
        changes = {"from": (None, entry["from"])}
        yield Step("add", "credential", label, "credentials.create", (provider,), body, changes)
        limits = {name: entry[name] for name in _CREDENTIAL_LIMITS if name in entry}
        if entry.get("enabled", True) and not limits:
            return
        held = {"from": entry["from"], "enabled": True}
    changes = _differences(entry, held, ("from", "enabled", *_CREDENTIAL_LIMITS))
    if source == SEALED and ("from" in changes or moved):
        where = "at the new host" if moved else "at the gateway"
        note = f"its secret has to be entered {where}: remove it, then {enter}"
        yield Step("note", "credential", label, note=note)
        changes.pop("from", None)
    elif moved:
        changes["from"] = (held["from"], entry["from"])
    if changes:
        body = {field_name: new for field_name, (_, new) in changes.items() if field_name != "from"}
        body |= _reference(source) if "from" in changes else {}
        names = (provider, str(entry["name"]))
        yield Step("change", "credential", label, "credentials.update", names, body, changes)


def _with_shown_source(
    entry: Mapping[str, Any], held: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """The credential as a plan tells of it: of a sealed secret only which one it is.

    One that is there already, or that cannot be told from what is there, is the same.
    """
    if not entry["from"].startswith(f"{SEALED}:"):
        return entry
    own = entry.get("fingerprint")
    same = (
        held is not None
        and held["from"] == SEALED
        and (own is None or own == held.get("fingerprint"))
    )
    return {**entry, "from": SEALED if same else f"{SEALED} {own or ''}".rstrip()}


def _reference(source: str) -> dict[str, Any]:
    kind, _, reference = source.partition(":")
    return {kind: reference}


def _in_order(section: str, entries: Sequence[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    """The entries as they stand; a mapping after those that it falls back to, for a gateway takes
    no fallback to what is not there.
    """
    if section != "mappings":
        return entries
    by_alias = {entry["alias"]: entry for entry in entries}
    ordered: dict[str, Mapping[str, Any]] = {}
    begun: set[str] = set()

    def put(alias: str) -> None:
        if alias in begun:  # or they lead in a circle, which the gateway refuses
            return
        begun.add(alias)
        for fallback in _fallbacks_of(by_alias[alias]):
            before = taken_by(fallback, by_alias)
            if before is not None:
                put(before)
        ordered[alias] = by_alias[alias]

    for alias in by_alias:
        put(alias)
    return ordered.values()


def _fallbacks_of(entry: Mapping[str, Any]) -> Iterator[str]:
    """The aliases that a mapping falls back to, of what is formed as the gateway wants it."""
    fallbacks = entry.get("fallbacks")
    for each in fallbacks if isinstance(fallbacks, list) else ():
        if isinstance(each, dict) and isinstance(each.get("alias"), str):
            yield each["alias"]


def _mapping_steps(entry: Mapping[str, Any], held: Mapping[str, Any] | None) -> Iterator[Step]:
    alias = entry["alias"]
    if "limits" in entry:
        entry = {**entry, "limits": _unusual_rates(entry["limits"])}
    if held is None:
        if "targets" not in entry:
            raise DeclarationError(f"mappings: {alias} is not there yet, so it needs its targets")
        changes = _added(entry, _MAPPING_FIELDS)
        yield Step("add", "mapping", alias, "mappings.create", (), dict(entry), changes)
        return
    if "policy" in entry:  # of which a document may say a part
        entry = {**entry, "policy": {**(held.get("policy") or _USUAL_POLICY), **entry["policy"]}}
    changes = _differences(entry, {"policy": _USUAL_POLICY, "limits": [], **held}, _MAPPING_FIELDS)
    if changes:
        body = {name: new for name, (_, new) in changes.items()}
        yield Step("change", "mapping", alias, "mappings.update", (alias,), body, changes)


def _price_steps(entry: Mapping[str, Any], held: Mapping[str, Any] | None) -> Iterator[Step]:
    names = (str(entry["provider"]), str(entry["model"]))
    body = {name: entry[name] for name in (*PRICE_FIELDS, SINCE) if name in entry}
    whole = {"request": "0.00", **body}
    before = {} if held is None else {"request": "0.00", **held}
    changes = {
        name: (before.get(name), whole.get(name))
        for name in PRICE_FIELDS
        if whole.get(name) != before.get(name)
    }
    if changes:
        action: Action = "add" if held is None else "change"
        yield Step(action, "price", _price_label(entry), "prices.set", names, body, changes)


def _price_label(entry: Mapping[str, Any]) -> str:
    since = f" from {entry[SINCE]}" if SINCE in entry else ""
    return f"{entry['provider']}/{entry['model']}{since}"


def _group_steps(entry: Mapping[str, Any], held: Mapping[str, Any] | None) -> Iterator[Step]:
    name = entry["name"]
    if "limits" in entry:
        entry = {**entry, "limits": _unusual_rates(entry["limits"])}
    if held is None:
        made = {key: entry[key] for key in ("name", *_GROUP_FIELDS) if key in entry}
        yield Step("add", "group", name, "groups.create", (), made, _added(entry, _GROUP_FIELDS))
        return
    changes = _differences(entry, {**_USUAL_GROUP, **held}, _GROUP_FIELDS)
    if changes:
        body = {field_name: new for field_name, (_, new) in changes.items()}
        yield Step("change", "group", name, "groups.update", (name,), body, changes)


def _key_steps(entry: Mapping[str, Any], held: Mapping[str, Any] | None) -> Iterator[Step]:
    name = entry["name"]
    if held is None:
        note = f"whoever makes it is shown its secret: conduit keys create {name}"
        yield Step("note", "key", name, note=note)
        return
    if "limits" in entry:
        entry = {**entry, "limits": _unusual_rates(entry["limits"])}
    changes = _differences(entry, {**_USUAL_KEY, **held}, _KEY_FIELDS)
    if changes:
        body = {field_name: new for field_name, (_, new) in changes.items()}
        yield Step("change", "key", name, "keys.update", (name,), body, changes)


def _credential_removals(
    wanted: Mapping[tuple[str, ...], Mapping[str, Any]],
    held: Mapping[tuple[str, ...], Mapping[str, Any]],
) -> Iterator[Step]:
    for name, entry in wanted.items():
        if "credentials" not in entry or name not in held:
            continue
        meant = {each["name"] for each in entry["credentials"]}
        for each in held[name]["credentials"]:
            if each["name"] not in meant:
                names = (entry["name"], str(each["name"]))
                label = "/".join(names)
                yield Step("remove", "credential", label, "credentials.delete", names)


def _removal(section: str, held: Mapping[str, Any]) -> Step:
    names = tuple(str(held[name]) for name in _NAMES[section])
    if section == "prices":
        query = {SINCE: held[SINCE]} if SINCE in held else {}
        label = _price_label(held)
        return Step("remove", "price", label, "prices.delete", names, query=query)
    noun = section.removesuffix("s")
    return Step("remove", noun, "/".join(names), f"{section}.delete", names)
