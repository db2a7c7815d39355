"""`conduit spend`: what attempts were charged in doubt, and corrections of it."""

from dataclasses import replace
from typing import Annotated

import typer

from conduit.cli import inputs
from conduit.cli.call import Call
from conduit.cli.console import Tone
from conduit.cli.failures import Failure
from conduit.cli.output import Column, View
from conduit.cli.records.attempt_filters import AtProvider, OfAlias, OfKey, OfModel, Until
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.core import people

noun = Noun("What attempts were charged in doubt, after crashes and cut answers, and corrections.")
_STATES = ("open", "corrected", "all")
_OUTCOMES = ("recovered", "ambiguous", "cut", "client_gone", "stopped")


def _tone(charge: Record) -> Tone:
    return "good" if charge.get("corrections") else "warn"


def _correction(charge: Record) -> str:
    """What was last corrected, and why."""
    if not charge["corrections"]:
        return "-"
    last = charge["corrections"][-1]
    return f"{last['reason']} ({last['actor']})"


VIEW = View(
    columns=(
        Column("held at", "held_at", lambda row: people.moment(row["held_at"]), firm=True),
        Column("outcome", "outcome", tone=_tone),
        Column("key", "key", spare=3),
        Column("provider", "provider", spare=2),
        Column("model", "model", spare=4),
        Column("hold", "hold", lambda row: people.money(row["hold"]), right=True, spare=5),
        Column("charged", "charged", lambda row: people.money(row["charged"]), right=True),
        Column("cost", "cost", lambda row: people.money(row["cost"]), right=True),
        Column("why", "why", spare=6),
        Column("correction", "corrections", _correction, spare=1),
        Column("id", "id", firm=True),
        Column("request", "request_id", wide=True),
        Column("alias", "alias", wide=True),
        Column("error", "error_code", wide=True),
        Column("usage", "usage_source", wide=True),
        Column("price", "price_version", wide=True),
    ),
    empty="no charge is in doubt; those corrected: conduit spend review --state corrected",
)
DETAIL = replace(VIEW, columns=tuple(replace(column, spare=None) for column in VIEW.columns))
CORRECTIONS = View(
    columns=(
        Column("at", "at", lambda row: people.moment(row["at"])),
        Column("difference", "difference", right=True),
        Column("cost", "cost", lambda row: people.money(row["cost"]), right=True),
        Column("by", "actor"),
        Column("reason", "reason"),
        Column("id", "id", wide=True),
    )
)

Attempt = Annotated[
    str, typer.Argument(metavar="ATTEMPT", help="Id of an attempt, as in logs show.")
]


@verb(noun, "review", "listing")
def review(
    call: Call,
    state: Annotated[
        str | None,
        typer.Option("--state", metavar="STATE", help="open, corrected or all.  [open]"),
    ] = None,
    outcome: Annotated[
        str | None,
        typer.Option("--outcome", metavar="WORD", help=f"Only: {', '.join(_OUTCOMES)}."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="Time, or how long ago: 30d.")
    ] = None,
    until: Until = None,
    key: OfKey = None,
    provider: AtProvider = None,
    model: OfModel = None,
    alias: OfAlias = None,
) -> None:
    """List attempts whose charge is in doubt, the newest first, with what was charged and why.

    They count in budgets all the same: a provider most likely bills them.
    """
    inputs.require_one_of(state, _STATES, "--state")
    inputs.require_one_of(outcome, _OUTCOMES, "--outcome")
    query = {
        "state": state,
        "outcome": outcome,
        "since": None if since is None else inputs.moment(since, "--since", ahead=False),
        "until": None if until is None else inputs.moment(until, "--until", ahead=False),
        "key": key,
        "provider": provider,
        "model": model,
        "alias": alias,
    }
    call.show_list("spend.review", VIEW, query=query)


@verb(noun, "show", "output")
def show(call: Call, attempt: Attempt) -> None:
    """Show what an attempt was charged, with its corrections."""
    charge = call.fetch("spend.show", attempt)
    if call.printer.format not in ("table", "wide") or call.options.shape.is_chosen:
        call.printer.record(charge, DETAIL)
        return
    call.printer.record({k: v for k, v in charge.items() if k != "corrections"}, _alone(DETAIL))
    if charge["corrections"]:
        call.console.data("")
        call.printer.rows(charge["corrections"], CORRECTIONS, next_cursor=lambda: None)


def _alone(view: View) -> View:
    columns = tuple(column for column in view.columns if column.path != "corrections")
    return replace(view, columns=columns)


@verb(noun, "correct", "change")
def correct(
    call: Call,
    attempt: Attempt,
    cost: Annotated[
        str, typer.Option("--cost", metavar="USD", help="What it really cost; 0 for nothing.")
    ],
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="How you know: it stays on the books.")
    ],
    again: Annotated[bool, typer.Option("--again", help="Though it was corrected before.")] = False,
) -> None:
    """Correct what an attempt cost; budgets follow, and the former charge stays on the books.

    conduit spend correct att_01JD... --cost 0.0042 --reason "not on the invoice of November"
    """
    if len(reason.strip()) < 3:
        raise Failure("--reason: a few words are expected")
    amount = inputs.amount(cost, "--cost")
    before = call.fetch("spend.show", attempt)
    body = {"cost": amount, "reason": reason, **({"again": True} if again else {})}
    charge = call.change("spend.correct", attempt, body=body, before=before)
    if charge is None:
        return
    was, now = people.money(before["cost"]), people.money(charge["cost"])
    call.show_changed(charge, VIEW, f"corrected {charge['id']} from {was} to {now}")
