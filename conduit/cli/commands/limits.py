"""`conduit limits`: every rate limit there is, whatever it belongs to."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer

from conduit.cli.allowances import GivenLimits, changed_limits
from conduit.cli.call import Call, label_of
from conduit.cli.failures import Failure
from conduit.cli.output import Column, View
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.core import people
from conduit.core.limits import Limit, limits_in, limits_text_of

noun = Noun("Rate limits: of the gateway, of groups, keys and mappings, and towards providers.")
_NOUNS = {"key": "keys", "group": "groups", "mapping": "mappings"}
_SETTING = "rate_limits"
_LARGEST_PAGE = 1000


def _count(name: str) -> Any:
    return lambda row: "-" if row[name] is None else people.count(row[name])


def _of(row: Record) -> str:
    more = [] if row["burst"] is None else [f"burst {row['burst']:,}"]
    more += [] if row["model"] is None else [f"of {row['model']}"]
    more += [] if row["timezone"] == "UTC" else [row["timezone"]]
    more += ["shadow"] if row["shadow"] else []
    return " ".join([*more, *(["closed"] if row["on_store_down"] == "closed" else [])])


VIEW = View(
    columns=(
        Column("scope", "scope", firm=True),
        Column("kind", "kind", firm=True),
        Column("limit", "limit", _count("limit"), right=True),
        Column("remaining", "remaining", _count("remaining"), right=True),
        Column("exceeded", "exceeded", _count("exceeded"), right=True),
        Column("of", "model", _of),
        Column("burst", "burst", wide=True, told=True),
        Column("shadow", "shadow", wide=True, told=True),
        Column("timezone", "timezone", wide=True, told=True),
        Column("store down", "on_store_down", wide=True, told=True),
        Column("id", "id", wide=True),
    ),
    id_path="scope",
    empty="no rate limits; set one with: conduit limits set gateway --rpm 6000",
)
Scope = Annotated[
    str,
    typer.Argument(metavar="SCOPE", help="gateway, key:NAME, group:NAME or mapping:ALIAS."),
]


@verb(noun, "list", "listing")
def list_limits(
    call: Call,
    keys: Annotated[
        bool, typer.Option("--keys", help="Those of every key too, which may be many.")
    ] = False,
) -> None:
    """List the limits of the gateway, of groups and mappings, and towards providers."""
    call.show_rows(list(_everything(call, with_keys=keys)), VIEW)


@verb(noun, "show", "listing", paged=True)
def show(call: Call, scope: Scope) -> None:
    """Show the limits of one scope, as they stand."""
    kind, row = _found(call, scope)
    call.show_rows(list(_rows(kind, row)), VIEW, whole=True)


@verb(noun, "set", "change")
def set_limits(call: Call, scope: Scope, *, limits: GivenLimits) -> None:
    """Set limits of a scope; one that is not named stays, none takes it away."""
    changes = limits.changes()
    if not changes:
        raise Failure("nothing to change: give a limit, such as --rpm 600")
    kind, row = _found(call, scope)
    if kind == "gateway":
        changed = _change_setting(call, changes)
    else:
        body = {"limits": changed_limits(row, changes), "version": row["version"]}
        changed = call.change(f"{_NOUNS[kind]}.update", row["id"], body=body, before=row)
    if changed is None:
        return
    kind, row = _found(call, scope)
    call.show_rows(list(_rows(kind, row)), VIEW, whole=True)
    call.narrate(f"set the limits of {scope}")


def _change_setting(call: Call, changes: dict[str, Record | None]) -> Record | None:
    """Change the gateway's own limits, from the setting as it is and not from those in force."""
    former = {_SETTING: _setting(call)}
    row = {"limits": [asdict(each) for each in limits_in(former[_SETTING])]}
    text = limits_text_of(Limit(**each) for each in changed_limits(row, changes)) or None
    body = {"values": {_SETTING: text}, "expected": former}
    before = {"values": former, "expected": former}
    return call.change("config.update", body=body, before=before)


def _setting(call: Call) -> str | None:
    rows: list[Record] = call.fetch("config.list", query={"limit": _LARGEST_PAGE})["data"]
    return next((row["value"] for row in rows if row["name"] == _SETTING), None)


def _found(call: Call, scope: str) -> tuple[str, Record]:
    """The kind of a scope, and the record that has its limits. Raises Failure."""
    if scope == "gateway":
        return scope, _gateway(call)
    kind, _, name = scope.partition(":")
    if kind == "provider":
        raise Failure(
            "those towards a provider belong to its credentials",
            hint="conduit providers credentials update PROVIDER CREDENTIAL --rpm N",
        )
    if kind not in _NOUNS or not name:
        raise Failure(
            f"SCOPE: gateway, key:NAME, group:NAME or mapping:ALIAS is expected, not {scope!r}"
        )
    return kind, call.find(_NOUNS[kind], name)


def _gateway(call: Call) -> Record:
    return {"id": "gateway", "limits": call.fetch("status.show").get("limits") or []}


def _everything(call: Call, *, with_keys: bool) -> Iterator[Record]:
    yield from _rows("gateway", _gateway(call))
    for kind in ("group", "mapping", *(["key"] if with_keys else [])):
        for row in _all(call, f"{_NOUNS[kind]}.list"):
            yield from _rows(kind, row)
    for provider in _all(call, "providers.list"):
        for credential in provider.get("credentials") or ():
            yield from _towards(provider, credential)


def _all(call: Call, name: str) -> Iterable[Record]:
    for page in call.gateway.pages(name, query={"limit": _LARGEST_PAGE}):
        yield from page["data"]


def _rows(kind: str, row: Record) -> Iterator[Record]:
    """A row for each limit of a record."""
    scope = kind if kind == "gateway" else f"{kind}:{label_of(row)}"
    for limit in row.get("limits") or ():
        yield {"scope": scope, "id": row["id"], **limit}


def _towards(provider: Record, credential: Record) -> Iterator[Record]:
    """What goes out with a credential; how it stands is in the health of its targets."""
    scope = f"provider:{provider['name']}/{credential['name']}"
    caps = {"rpm": "requests_per_minute", "concurrent": "max_in_flight"}
    for kind, name in caps.items():
        if credential.get(name) is not None:
            yield {
                **{"scope": scope, "id": credential["id"], "kind": kind},
                **{"limit": credential[name], "burst": None, "shadow": False, "timezone": "UTC"},
                **{"on_store_down": "degrade", "model": None, "remaining": None, "exceeded": None},
            }
