"""`conduit events`: what happens in the gateway, as it happens or as far as it is remembered."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from conduit.cli import inputs
from conduit.cli.call import Call
from conduit.cli.console import plain
from conduit.cli.failures import Failure
from conduit.cli.output import Column, View, cell
from conduit.cli.records.tails import MaxOffline, refuse_an_end
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.core import people
from conduit.core.events import DESCRIPTIONS, EventKind, event_name
from conduit.core.moments import time_of_ms

noun = Noun("Events of the gateway: followed, listed, and which kinds there are.")
_SHOWN_FACTS = 8
# A sample a second, while somebody listens, would leave no room for anything else.
_USUAL_KINDS = tuple(kind.value for kind in DESCRIPTIONS if kind is not EventKind.STATS_SAMPLED)


def _facts(event: Mapping[str, Any]) -> str:
    """The first plain facts of an event: `id=key_01… name=ci`."""
    plain_facts = [
        f"{name}={cell(value)}"
        for name, value in event["data"].items()
        if value is not None and not isinstance(value, (dict, list))
    ]
    return " ".join(plain_facts[:_SHOWN_FACTS])


def _row(event: Mapping[str, Any]) -> Record:
    """An event with its time in the form that every other record has."""
    return {**event, "at": time_of_ms(event["at_ms"])}


VIEW = View(
    columns=(
        Column("seq", "seq", right=True),
        Column("time", "at", lambda event: people.clock(event["at_ms"]), firm=True),
        Column("kind", "kind", firm=True),
        Column("data", "data", _facts),
        Column("boot", "boot", wide=True),
    ),
    id_path="seq",
    empty="no events yet",
)
TYPES_VIEW = View(
    columns=(Column("kind", "kind", firm=True), Column("what it tells of", "description")),
    id_path="kind",
)

Kinds = Annotated[
    str | None,
    typer.Option("--type", metavar="A,B", help="Only these kinds; see conduit events types."),
]
Filter = Annotated[
    str | None,
    typer.Option("--filter", metavar="EXPR", help="Only requests that it holds for, see logs."),
]
After = Annotated[
    int | None,
    typer.Option(
        "--since", metavar="SEQ", min=0, help="Those after this number, the oldest first."
    ),
]
Most = Annotated[
    int, typer.Option("--limit", metavar="N", min=1, max=1000, help="Most events to show.")
]


def _kinds(text: str | None) -> tuple[str, ...] | None:
    """The kinds that are named; `key.*` is all of that noun. Raises Failure."""
    if text is None:
        return None
    known = [kind.value for kind in DESCRIPTIONS]
    chosen: list[str] = []
    for given in inputs.names(text):
        name = event_name(given)
        noun_of = name.removesuffix("*") if name.endswith(".*") else None
        found = [k for k in known if k == name or (noun_of and k.startswith(noun_of))]
        if not found:
            raise Failure(
                f"--type: there is no kind {given!r}", hint="conduit events types lists them"
            )
        chosen += found
    return tuple(dict.fromkeys(chosen))


@verb(noun, "types", "output")
def types(call: Call) -> None:
    """List the kinds of events, each with what it tells of."""
    rows: list[Record] = [
        {"kind": kind.value, "description": sentence} for kind, sentence in DESCRIPTIONS.items()
    ]
    call.printer.rows(rows, TYPES_VIEW, next_cursor=lambda: None)


@verb(noun, "list", "output")
def list_events(
    call: Call,
    kinds: Kinds = None,
    filter: Filter = None,
    since: After = None,
    limit: Most = 50,
) -> None:
    """List events that the gateway still remembers: the last ones, or those after a number.

    Samples of rates are left out unless --type names stats.sampled.
    """
    wanted = inputs.request_filter(filter)
    chosen = _kinds(kinds)
    narrowed = chosen is not None or wanted is not None
    show_remembered(
        call, chosen or _USUAL_KINDS, wanted, since=since, limit=limit, narrowed=narrowed
    )


def show_remembered(  # the words of `events list`
    call: Call,
    kinds: Sequence[str],
    filter: str | None = None,
    *,
    since: int | None,
    limit: int,
    narrowed: bool = True,
) -> None:
    """Print the last events of some kinds, or those after a number, as far as there are any."""
    query = {"after": since, "kinds": ",".join(kinds), "filter": filter, "limit": limit}
    page = call.fetch("events.list", query=query)
    gap = page.get("gap")
    if gap:
        call.console.say(f"-- gap: events {gap['from']} to {gap['to']} are forgotten --", "warn")
    view = replace(VIEW, empty="nothing matches") if narrowed or since is not None else VIEW
    call.printer.rows(map(_row, page["data"]), view, next_cursor=lambda: None)
    if since is not None and len(page["data"]) == limit:
        last = page["data"][-1]["seq"]
        call.console.say(f"{limit} of many - go on with --since {last}", "dim")


@verb(noun, "tail", "output")
def tail(
    call: Call,
    kinds: Kinds = None,
    filter: Filter = None,
    since: Annotated[
        int | None,
        typer.Option(
            "--since", metavar="SEQ", min=0, help="Begin after this number of the same run."
        ),
    ] = None,
    reconnect: Annotated[
        bool,
        typer.Option("--reconnect/--no-reconnect", help="After a lost connection; or exit 3."),
    ] = True,
    max_offline: MaxOffline = "5m",
) -> None:
    """Follow events; -o jsonl gives each as a line of JSON."""
    refuse_an_end(call)
    max_offline_s = inputs.duration_s(max_offline, "--max-offline") if reconnect else 0.0
    from conduit.cli.records.following import (  # noqa: PLC0415  # deferred: loads asyncio
        Wish,
        follow,
    )

    shown = _Shown(call)
    wanted = inputs.request_filter(filter)
    follow(call, Wish(_kinds(kinds), wanted, max_offline_s, since), shown.show, shown.sum_up)


class _Shown:
    """Prints events, and counts them."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._count = 0

    def show(self, events: Sequence[Mapping[str, Any]]) -> None:
        for event in events:
            self._count += 1
            self._line(_row(event))

    def _line(self, event: Record) -> None:
        shape, printer = self._call.options.shape, self._call.printer
        if shape.template is not None:
            printer.record(event, VIEW)
        elif printer.format in ("json", "jsonl"):
            printer.line(event)
        elif printer.format in ("id", "tsv") or shape.fields:
            printer.rows([event], VIEW, next_cursor=lambda: None)
        else:
            line = f"{people.clock(event['at_ms'])}  {event['kind']}  {_facts(event)}"
            self._call.console.data(plain(line))

    def sum_up(self) -> None:
        self._call.console.say(people.counted(self._count, "event"), "dim")
