"""`conduit cache`: answers that are kept for the same request."""

from typing import Annotated, Any

import typer

from conduit.cli import inputs
from conduit.cli.call import Call
from conduit.cli.failures import Exit, Failure
from conduit.cli.output import Column, View
from conduit.cli.routing.caching import CacheScope, caching_text, policy_of
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.core import people

_SHOWN_ID = 12
noun = Noun("Answers that are kept for the same request, where a mapping has a --cache-ttl.")


def _share(counts: Record) -> str:
    """Hits among all that was looked for."""
    looked_for = counts["hits"] + counts["misses"]
    return f"{counts['hits'] / looked_for:.0%}" if looked_for else "-"


_COUNTS = (
    Column("entries", "entries", lambda row: people.count(row["entries"]), right=True),
    Column("size", "bytes", lambda row: people.size(row["bytes"]), right=True),
    Column("hits", "hits", lambda row: people.count(row["hits"]), right=True),
    Column("misses", "misses", lambda row: people.count(row["misses"]), right=True),
    Column("bypassed", "bypassed", lambda row: people.count(row["bypassed"]), right=True, spare=1),
    Column("hit rate", "hits", _share, right=True),
    Column("avoided", "avoided", lambda row: people.money(row["avoided"]), right=True),
)
VIEW = View(
    columns=(
        Column("since", "since", lambda row: people.moment(row["since"])),
        *_COUNTS,
        Column("limit", "limit_bytes", lambda row: people.size(row["limit_bytes"])),
        Column("entry limit", "entry_limit_bytes", lambda r: people.size(r["entry_limit_bytes"])),
        Column("most entries", "max_entries", lambda row: people.count(row["max_entries"])),
    ),
    id_path="since",
)
ALIASES = View(
    columns=(Column("alias", "alias", firm=True), *_COUNTS),
    id_path="alias",
    empty="no alias keeps answers; let one: conduit mappings update ALIAS --cache-ttl 10m",
)
POLICY = View(
    columns=(
        Column("alias", "alias"),
        Column("kept", "cache_ttl_s", lambda row: people.span(row["cache_ttl_s"])),
        Column("for", "cache_scope"),
    ),
    id_path="alias",
)
CLEARED = View(columns=(Column("cleared", "cleared"),), id_path="cleared")


ENTRIES = View(
    columns=(
        Column("id", "id", lambda row: row["id"][:_SHOWN_ID], firm=True),
        Column("model", "model", firm=True),
        Column("alias", "alias", spare=1),
        Column("key", "key", lambda row: row["key"] or row["key_id"]),
        Column("size", "bytes", lambda row: people.size(row["bytes"]), right=True),
        Column("avoids", "cost", lambda row: people.money(row["cost"]), right=True),
        Column("age", "age_s", lambda row: people.span(row["age_s"]), right=True),
        Column("until", "expires_at", lambda row: people.moment(row["expires_at"])),
        Column("stored", "stored_at", lambda row: people.moment(row["stored_at"]), wide=True),
        Column("content type", "content_type", wide=True),
        Column("key id", "key_id", wide=True),
    ),
    empty="no answer is kept; let an alias keep some: conduit cache set-ttl ALIAS 10m",
)


@verb(noun, "stats", "output")
def stats(call: Call) -> None:
    """Show what is kept, and what it has avoided since the gateway's start, by alias."""
    shown = call.fetch("cache.show")
    shape = call.options.shape
    for_people = call.printer.format in ("table", "wide")
    if not for_people or shape.fields or shape.query or shape.template:
        call.printer.record(shown, VIEW)
        return
    call.printer.record({name: shown[name] for name in shown if name != "aliases"}, VIEW)
    call.console.data("")
    call.printer.rows(shown["aliases"], ALIASES, next_cursor=lambda: None)


@verb(noun, "keys", "listing")
def list_entries(call: Call) -> None:
    """List the answers that are kept: for whom, how long. What they say is not shown."""
    call.show_list("cache.entries", ENTRIES)


@verb(noun, "get", "output")
def get(
    call: Call,
    entry: Annotated[str, typer.Argument(metavar="ID", help="Id, or its beginning.")],
) -> None:
    """Show of an answer that is kept whose it is and until when it counts, not what it says."""
    call.printer.record(_entry(call, entry), ENTRIES)


def _entry(call: Call, given: str) -> Record:
    """The entry of an id, or of a beginning that fits one alone. Raises Failure."""
    pages = call.gateway.pages("cache.entries", query={"limit": 1000})
    rows: list[Record] = [row for page in pages for row in page["data"]]
    found = [row for row in rows if row["id"].startswith(given)]
    if not found:
        raise Failure("no answer of this id is kept", code="not_found", exit_code=Exit.NOT_FOUND)
    if len(found) > 1:
        ids = ", ".join(row["id"][:_SHOWN_ID] for row in found[:8])
        raise Failure(f"{given!r} fits {len(found)} answers: {ids}", code="ambiguous")
    return found[0]


@verb(noun, "set-ttl", "change")
def set_ttl(
    call: Call,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="Of a mapping.")],
    ttl: Annotated[str, typer.Argument(metavar="TIME", help="How long, 10m; off keeps none.")],
    scope: CacheScope = None,
) -> None:
    """Keep answers of an alias so long, for its own key or shared by all."""
    before = call.find("mappings", alias)
    body = {"policy": policy_of(ttl, scope)}
    changed = call.change("mappings.update", before["id"], body=body, before=before)
    if changed is not None:
        kept = caching_text(changed)
        said = f"answers of {changed['alias']} are kept for {kept}" if kept else "none are kept"
        policy = {name: changed["policy"][name] for name in ("cache_ttl_s", "cache_scope")}
        call.show_changed({"alias": changed["alias"], **policy}, POLICY, said)


@verb(noun, "clear", "danger")
def clear(
    call: Call,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="ALIAS", help="Only of this alias.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="NAME", help="Only what this key has asked.")
    ] = None,
    older: Annotated[
        str | None, typer.Option("--older", metavar="TIME", help="Only those kept so long: 10m.")
    ] = None,
) -> None:
    """Forget answers that are kept: all, or those that all options fit."""
    body: dict[str, Any] = {}
    if model is not None:
        body["alias"] = model
    if key is not None:
        body["key"] = call.find("keys", key)["id"]
    if older is not None:
        body["older_than_s"] = round(inputs.duration_s(older, "--older"))
    some = [f"of {model}"] * (model is not None) + [f"of key {key}"] * (key is not None)
    some += [f"older than {older}"] * (older is not None)
    call.confirm(f"Forget {' '.join(['kept answers', *some]) if some else 'all kept answers'}?")
    cleared = call.change("cache.clear", body=body)
    if cleared is not None:
        count = people.counted(cleared["cleared"], "answer")
        call.show_changed(cleared, CLEARED, f"forgot {count}")
