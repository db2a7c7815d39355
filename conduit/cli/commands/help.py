"""`conduit help`: the help of a command, and topics."""

import io
from contextlib import redirect_stdout, suppress
from typing import Annotated

import typer

from conduit.cli.call import Call
from conduit.cli.failures import EXIT_MEANINGS
from conduit.cli.output import Column, View
from conduit.cli.verbs import Noun, verb

noun = Noun("Help on a command, or on exit-codes.")
EXIT_CODES = View((Column("code", "code", right=True), Column("meaning", "meaning")), "code")


@verb(noun, "", "listing", paged=True)
def help_on(
    call: Call,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND...]", help="Or: exit-codes.")
    ] = None,
) -> None:
    """Show the help of a command, such as `conduit help keys create`, or of exit-codes."""
    if words == ["exit-codes"]:
        rows = [{"code": int(code), "meaning": meaning} for code, meaning in EXIT_MEANINGS.items()]
        call.show_rows(rows, EXIT_CODES)
        return
    call.allow_forms("help on a command")
    call.console.data(_help_of(words or []))


def _help_of(words: list[str]) -> str:
    """What the command itself prints. Raises Failure where there is none."""
    from conduit.cli.main import root_command  # noqa: PLC0415  # deferred: the root imports us

    text = io.StringIO()
    arguments = [*words, "--help"]
    with (
        redirect_stdout(text),
        suppress(typer.Exit),
        root_command().make_context("conduit", arguments) as context,
    ):
        context.command.invoke(context)
    return text.getvalue()
