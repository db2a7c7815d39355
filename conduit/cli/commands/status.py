"""`conduit status`: the state of a gateway."""

import time
from typing import Annotated, NoReturn

import typer

from conduit.cli import inputs
from conduit.cli.allowances import limits_text
from conduit.cli.call import Call
from conduit.cli.console import Tone
from conduit.cli.failures import Exit, Failure
from conduit.cli.output import Column, View
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.client.errors import Unreachable
from conduit.core import people

noun = Noun("State of the gateway.")
_CLEARED = "\x1b[H\x1b[2J"


def _state(status: Record) -> str:
    if status["draining"]:
        return "draining"
    return "ready" if status["ready"] else "not ready"


def _tone(status: Record) -> Tone:
    if status["draining"] or not status["ready"]:
        return "bad"
    return "warn" if status["warnings"] else "good"


def _ledger(status: Record) -> str:
    ledger = status["ledger"]
    if not ledger["available"]:
        return f"unavailable: {ledger['reason']}"
    return f"available, {ledger['open_holds']} holds of {people.money(ledger['held'])}"


def _bodies(status: Record) -> str:
    bodies = status["bodies"]
    kept = "kept" if bodies["log_bodies"] else "kept for some keys" if bodies["days"] else "off"
    if not bodies["days"]:
        return kept
    size, days = people.size(bodies["bytes"]), people.counted(bodies["days"], "day")
    dropped = f", {bodies['dropped']:,} dropped" if bodies["dropped"] else ""
    return f"{kept}, {size} of {days}{dropped}"


VIEW = View(
    columns=(
        Column("state", "ready", _state, tone=_tone),
        Column("version", "version"),
        Column("uptime", "uptime_s", lambda status: people.span(status["uptime_s"])),
        Column("in flight", "in_flight", right=True),
        Column("ledger", "ledger.available", _ledger),
        Column("limits", "limits", limits_text),
        Column("database", "database"),
        Column("providers", "providers", right=True),
        Column("mappings", "mappings", right=True),
        Column("keys", "keys", right=True),
        Column("memory", "rss_bytes", lambda status: people.size(status["rss_bytes"]), right=True),
        Column("bodies", "bodies.bytes", _bodies),
        Column("worker", "worker", lambda status: f"{status['worker']} of {status['workers']}"),
        Column("started", "started_at", lambda status: people.moment(status["started_at"])),
    ),
    id_path="boot",
)


@verb(noun, "", "output")
def status(
    call: Call,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 9 unless the gateway is ready.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again and again; --watch=10s says how often.")
    ] = False,
    every: Annotated[
        str, typer.Option("--every", metavar="TIME", help="How often --watch shows it.")
    ] = "2s",
) -> None:
    """Show the state of the gateway."""
    if watch:
        if check:
            raise Failure("--check and --watch exclude each other")
        _watch(call, inputs.duration_s(every, "--watch"))
    found = call.fetch("status.show")
    _print(call, found)
    if check and (found["draining"] or not found["ready"]):
        raise typer.Exit(Exit.NEGATIVE)


def _print(call: Call, found: Record) -> None:
    call.printer.record(found, VIEW)
    for warning in found["warnings"]:
        call.console.say(f"warning: {warning}", "warn")


def _watch(call: Call, every_s: float) -> NoReturn:
    """Until Ctrl-C or the end of `--timeout`; a gateway that does not answer is asked again."""
    out = call.console.out
    while True:
        try:
            found = call.fetch("status.show")
        except Unreachable as error:
            call.console.say(f"{_clock()}  {error}", "bad")
        else:
            if out.is_terminal and call.printer.format == "table":
                out.file.write(_CLEARED)
                call.console.data(f"{call.gateway_name}  {_clock()}")
            _print(call, found)
        out.file.flush()
        time.sleep(min(every_s, call.left_s(every_s)))
        call.left_s(0)  # raises once no time is left


def _clock() -> str:
    return people.clock(round(time.time() * 1000))
