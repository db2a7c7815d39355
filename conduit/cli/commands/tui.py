"""`conduit tui`: the terminal user interface."""

from importlib import import_module
from typing import Annotated

import typer

from conduit.cli.call import Call
from conduit.cli.verbs import Noun, verb

noun = Noun("The terminal user interface, same as conduit-tui.")


@verb(noun, passes_on=True)
def tui(
    call: Call,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[ARGS]...", help="Given to conduit-tui.")
    ] = None,
) -> None:
    """Open the terminal user interface; conduit-tui --help tells its arguments."""
    choice = call.options.choice
    words = list(arguments or ())
    words += ["--context", choice.context] if choice.context is not None else []
    words += ["--admin-api", choice.url] if choice.url is not None else []
    # By name: the two front-ends stand side by side and know nothing of each other.
    raise typer.Exit(import_module("conduit.tui.main").main(words) or 0)
