"""`conduit notifications`: what an operator should know."""

from typing import Annotated

import typer

from conduit.cli import inputs
from conduit.cli.call import Call
from conduit.cli.console import Tone
from conduit.cli.failures import Failure
from conduit.cli.output import Column, View
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.core import people

noun = Noun("Notifications: budgets that are being spent, keys that expire, refused credentials.")
_STATES = ("open", "acknowledged", "all")
_KINDS = (
    "budget_threshold",
    "key_expiring",
    "credential_failed",
    "price_unknown",
    "unusual_spend",
)


def _tone(notification: Record) -> Tone:
    return {"critical": "bad", "warning": "warn"}.get(notification["severity"], "good")  # type: ignore[return-value]  # of the two


def _acknowledged_at(notification: Record) -> str:
    return people.moment(notification["acknowledged_at"])


def _settings_of(rule: Record) -> str:
    return ", ".join(f"{name}={value}" for name, value in rule["settings"].items()) or "-"


VIEW = View(
    columns=(
        Column("time", "at", lambda row: people.moment(row["at"]), firm=True),
        Column("severity", "severity", tone=_tone),
        Column("kind", "kind", spare=1),
        Column("message", "message", firm=True),
        Column("about", "subject.name", wide=True),
        Column("about id", "subject.id", wide=True),
        Column("acknowledged", "acknowledged_at", _acknowledged_at, wide=True),
        Column("by", "acknowledged_by", wide=True),
        Column("id", "id", firm=True),
    ),
    empty="nothing is open; what was acknowledged: conduit notifications list --state all",
)
RULES = View(
    columns=(
        Column("kind", "id", firm=True),
        Column("severities", "severities", spare=1),
        Column("when", "when", firm=True),
        Column("settings", "settings", _settings_of, spare=2),
    ),
)
Id = Annotated[str, typer.Argument(metavar="ID", help="Id, or its beginning.")]
Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]...", help="Ids; - reads stdin; else --filter or --all."),
]


@verb(noun, "list", "listing")
def list_notifications(
    call: Call,
    state: Annotated[
        str | None,
        typer.Option("--state", metavar="STATE", help="open, acknowledged or all.  [open]"),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help=f"Only {', '.join(_KINDS[:-1])} or {_KINDS[-1]}.",
        ),
    ] = None,
) -> None:
    """List what is open, the newest first."""
    inputs.require_one_of(state, _STATES, "--state")
    inputs.require_one_of(kind, _KINDS, "--kind")
    call.show_list("notifications.list", VIEW, query={"state": state, "kind": kind})


@verb(noun, "show", "output")
def show(call: Call, notification: Id) -> None:
    """Show a notification."""
    call.printer.record(call.find("notifications", notification), VIEW)


@verb(noun, "rules", "listing")
def rules(call: Call) -> None:
    """List when notifications are raised, and the settings that change it."""
    call.show_list("notifications.rules", RULES, whole=True)


@verb(noun, "ack", "change", bulk=True)
def acknowledge(
    call: Call,
    ids: Ids = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Acknowledge all that are open.")
    ] = False,
) -> None:
    """Acknowledge notifications: they are open no more."""
    if not everything:
        call.each(ids, lambda given: _acknowledge(call, given), noun="notifications")
        return
    if ids or call.options.filter is not None:
        raise Failure("--all excludes ids and --filter")
    answer = call.change("notifications.acknowledge_all")
    if answer is not None:
        count = people.counted(answer["acknowledged"], "notification")
        view = View((Column("acknowledged", "acknowledged"),), "acknowledged")
        call.show_changed(answer, view, f"acknowledged {count}")


def _acknowledge(call: Call, given: str) -> None:
    before = call.find("notifications", given)
    changed = call.change("notifications.acknowledge", before["id"])
    if changed is not None:
        call.show_changed(changed, VIEW, f"acknowledged {changed['id']}")
