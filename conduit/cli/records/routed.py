"""Why a request went where it went, by its record: what was ranked, and what was called."""

from collections.abc import Iterator

from conduit.cli.call import Call
from conduit.cli.output import Column, View
from conduit.cli.routing.deployments import state_tone, target_of
from conduit.client.api import Record
from conduit.core import people

RANKED = View(
    columns=(
        Column("rank", "rank", right=True),
        Column("target", "model", target_of, firm=True),
        Column("state", "state", tone=state_tone, firm=True),
        Column(
            "score",
            "score",
            lambda row: "-" if row["score"] is None else f"{row['score']:.4g}",
            right=True,
        ),
        Column("why", "reason"),
        Column("provider", "provider", wide=True, told=True),
    ),
    id_path="model",
    empty="it has no target",
)
CALLED = View(
    columns=(
        Column("attempt", "number", right=True),
        Column("target", "model", target_of, firm=True),
        Column("credential", "credential", spare=1),
        Column("because of", "because"),
        Column(
            "waited", "waited_ms", lambda row: people.milliseconds(row["waited_ms"]), right=True
        ),
        Column("error", "error"),
        Column("provider", "provider", wide=True, told=True),
    ),
    id_path="model",
    empty="nothing was called",
)


def show_route(call: Call, route: Record) -> None:
    """A table for each alias on the way, and one of the calls."""
    for leg in route["legs"]:
        call.console.data("")
        call.console.data(call.console.out.toned(_heading(leg), "bold"))
        call.printer.rows([*_ranked(leg)], RANKED, next_cursor=lambda: None)
    if route["attempts"]:
        call.console.data("")
        rows = [{"number": number, **each} for number, each in enumerate(route["attempts"], 1)]
        call.printer.rows(rows, CALLED, next_cursor=lambda: None)


def _heading(leg: Record) -> str:
    how = f"{leg['strategy']}, sticky by session" if leg["sticky"] else leg["strategy"]
    if leg["because"] is None:
        return f"route of {leg['alias']}: {how}"
    return f"fell back on {leg['because']} to {leg['alias']}: {how}"


def _ranked(leg: Record) -> Iterator[Record]:
    for number, each in enumerate(leg["candidates"], 1):
        yield {**each, "rank": number if each["state"] == "ready" else None}
    for each in leg["left_out"]:
        yield {**each, "rank": None}
