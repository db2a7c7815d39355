"""`conduit cache`: answers that are kept for the same request."""

from typing import Annotated, Any

import typer

from conduit.cli import inputs
from conduit.cli.call import Call
from conduit.cli.output import Column, View
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.core import people

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
CLEARED = View(columns=(Column("cleared", "cleared"),), id_path="cleared")


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
