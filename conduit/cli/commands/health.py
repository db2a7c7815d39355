"""`conduit health`: how providers are doing."""

from typing import Annotated

import typer

from conduit.cli import inputs
from conduit.cli.call import Call
from conduit.cli.console import Tone
from conduit.cli.failures import Exit
from conduit.cli.output import Column, View
from conduit.cli.routing.deployments import BREAKERS, CHANGES, CLOSED, VIEW, every_row
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record

noun = Noun("Health: how providers are doing, as far as the calls that went to them tell.")


def _tone(summary: Record) -> Tone:
    return {"ok": "good", "degraded": "warn"}.get(summary["status"], "bad")  # type: ignore[return-value]  # of the two


def _states(summary: Record) -> str:
    return ", ".join(f"{count} {state}" for state, count in summary["by_state"].items())


SUMMARY = View(
    columns=(
        Column("status", "status", tone=_tone),
        Column("targets", "deployments", right=True),
        Column("ready", "ready", right=True),
        Column("states", "by_state", _states),
        Column("in flight", "in_flight", right=True),
        Column("retries", "retries", right=True),
        Column("waiting", "waiting", right=True),
        Column("aliases down", "aliases_down"),
    ),
    id_path="status",
)
Provider = Annotated[
    str | None, typer.Option("--provider", metavar="NAME", help="Only of this provider.")
]
Since = Annotated[
    str | None, typer.Option("--since", metavar="WHEN", help="Time, or how long ago: 1h.")
]


@verb(noun, "summary", "output")
def summary(
    call: Call,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 9 where an alias has no target that takes a call.")
    ] = False,
) -> None:
    """Sum up how providers are doing: ok, degraded or down."""
    found = call.fetch("health.summary")
    call.printer.record(found, SUMMARY)
    down = found["aliases_down"]
    if down:
        call.console.say(f"nothing serves {', '.join(down[:8])}", "bad")
        call.console.next_step(f"conduit route explain {down[0]}")
    if check and found["status"] == "down":
        raise typer.Exit(Exit.NEGATIVE)


@verb(noun, "providers", "listing")
def providers(call: Call, provider: Provider = None) -> None:
    """List the targets of all mappings, by credential, with their health."""
    call.show_list("health.deployments", VIEW, query={"provider": provider})


@verb(noun, "breakers", "listing")
def breakers(call: Call, provider: Provider = None) -> None:
    """List the breakers that are not closed; with --all every one."""
    rows = every_row(call, "health.deployments", {"provider": provider})
    if not call.options.listing.everything:
        rows = [row for row in rows if row["breaker"] != CLOSED]
    call.show_rows(rows, BREAKERS)


@verb(noun, "history", "listing")
def history(call: Call, since: Since = None, provider: Provider = None) -> None:
    """List which breakers opened or closed, and which credentials were left out, newest first."""
    start = None if since is None else inputs.moment(since, "--since", ahead=False)
    call.show_list("health.history", CHANGES, query={"since": start, "provider": provider})
