"""What the commands share that follow something until they are stopped."""

from typing import Annotated

import typer

from conduit.cli.call import Call
from conduit.cli.failures import Failure

MaxOffline = Annotated[
    str, typer.Option("--max-offline", metavar="TIME", help="Without a connection, exit 3 then.")
]


def refuse_an_end(call: Call) -> None:
    """Raise Failure for what can be written only once everything is there."""
    if call.printer.format == "csv" or call.options.shape.query is not None:
        raise Failure("a tail has no end: it is written as table, tsv, jsonl, id or --format")
