"""`conduit bans`: addresses whose wrong keys are put off."""

from typing import Annotated

import typer

from conduit.cli.call import Call
from conduit.cli.failures import Failure
from conduit.cli.output import Column, View
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.core import people

noun = Noun("Bans: addresses from which too many wrong keys came; a right one is always let in.")
VIEW = View(
    columns=(
        Column("address", "id", firm=True),
        Column("at", "apis"),
        Column("wrong keys", "failures", lambda ban: people.count(ban["failures"]), right=True),
        Column("until", "until", lambda ban: people.moment(ban["until"]), firm=True),
    ),
    empty="nobody's wrong keys are put off; who failed: conduit security events",
)
LIFTED = View(columns=(Column("lifted", "lifted"),), id_path="lifted")
Addresses = Annotated[
    list[str] | None,
    typer.Argument(metavar="[IP]...", help="Addresses; - reads stdin; else --filter or --all."),
]


@verb(noun, "list", "listing")
def list_bans(call: Call) -> None:
    """List the addresses whose wrong keys are put off now."""
    call.show_list("bans.list", VIEW)


@verb(noun, "show", "output")
def show(
    call: Call, address: Annotated[str, typer.Argument(metavar="IP", help="Address.")]
) -> None:
    """Show until when the wrong keys of an address are put off."""
    call.printer.record(call.fetch("bans.show", address), VIEW)


@verb(noun, "remove", "danger", bulk=True)
def remove(
    call: Call,
    addresses: Addresses = None,
    everything: Annotated[bool, typer.Option("--all", help="Every address.")] = False,
) -> None:
    """Begin anew with the wrong keys of addresses: they are told so again, not put off."""
    if not everything:
        question = "Begin anew with the wrong keys of"
        call.each(addresses, lambda given: _remove(call, given), noun="bans", question=question)
        return
    if addresses or call.options.filter is not None:
        raise Failure("--all excludes addresses and --filter")
    call.confirm("Begin anew with the wrong keys of every address?")
    answer = call.change("bans.lift_all")
    if answer is not None:
        count = people.counted(answer["lifted"], "ban")
        call.show_changed(answer, LIFTED, f"lifted {count}")


def _remove(call: Call, given: str) -> None:
    before: Record = call.fetch("bans.show", given)
    if call.change("bans.remove", before["id"], before=before) is not None:
        call.show_deleted("ban", before)
