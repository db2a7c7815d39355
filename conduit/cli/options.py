"""Arguments and options that several commands declare."""

from typing import Annotated

import typer

Names = Annotated[
    list[str], typer.Argument(metavar="NAME...", help="Names, ids or prefixes; - reads stdin.")
]
SomeNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]...", help="Names, ids or prefixes; - reads stdin; else --filter."
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name, id or unambiguous prefix.")]
KeyFile = Annotated[
    str | None,
    typer.Option("--key-file", metavar="PATH", help="Read the key from a file; - is stdin."),
]
KeyStdin = Annotated[bool, typer.Option("--key-stdin", help="Read the key from stdin.")]
KeyEnv = Annotated[
    str | None,
    typer.Option("--key-env", metavar="NAME", help="Read the key from this variable."),
]
SECRET_FLAGS = "--key-file, --key-stdin or --key-env"
Operation = Annotated[
    str,
    typer.Option("--operation", metavar="NAME", help="chat, completion or embedding."),
]
File = Annotated[
    str, typer.Argument(metavar="FILE", help="TOML, or JSON where it ends so; - is stdin.")
]
Out = Annotated[
    str | None, typer.Option("--out", metavar="FILE", help="Write to this file, for you alone.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]
