"""Options that choose attempts and requests: when they were, whose they were, where they went."""

from typing import Annotated

import typer

SinceOrEver = Annotated[
    str, typer.Option("--since", metavar="WHEN", help="Time, or how long ago; or ever.")
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="WHEN", help="Time, or how long ago.")
]
OfKey = Annotated[
    str | None, typer.Option("--key", metavar="NAME", help="Only of this key, deleted or not.")
]
AtProvider = Annotated[
    str | None, typer.Option("--provider", metavar="NAME", help="Only at this provider.")
]
OfModel = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="Only of this model, as providers call it."),
]
OfAlias = Annotated[
    str | None,
    typer.Option("--alias", metavar="NAME", help="Only of this model, as clients call it."),
]
