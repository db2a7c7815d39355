"""`conduit completion`: scripts that teach a shell the command line."""

import os
from pathlib import PurePath
from typing import Annotated

import typer
from typer._completion_shared import get_completion_script, install

from conduit.cli.call import Call
from conduit.cli.failures import Failure
from conduit.cli.program import COMPLETION_VARIABLE
from conduit.cli.verbs import Noun, verb

noun = Noun("Shell completion.")
SHELLS = ("bash", "zsh", "fish", "powershell")


def script_of(shell: str) -> str:
    """The text that a shell loads."""
    return get_completion_script(prog_name="conduit", complete_var=COMPLETION_VARIABLE, shell=shell)


@verb(noun)
def completion(
    call: Call,
    shell: Annotated[
        str | None,
        typer.Argument(metavar="[SHELL]", help=f"{', '.join(SHELLS)}.  [default: your own]"),
    ] = None,
    install_it: Annotated[
        bool, typer.Option("--install", help="Write it where the shell looks.")
    ] = False,
) -> None:
    """Print the completion script of a shell: eval "$(conduit completion bash)".

    It offers names of keys, providers and aliases too, as they were at most a minute ago.
    """
    name = shell or PurePath(os.environ.get("SHELL", "")).name
    if name not in SHELLS:
        raise Failure(f"SHELL: {', '.join(SHELLS)} is expected, not {name!r}")
    if not install_it:
        call.console.data(script_of(name))
        return
    try:
        _, path = install(shell=name, prog_name="conduit", complete_var=COMPLETION_VARIABLE)
    except OSError as error:
        raise Failure(f"--install: {error}", code="local_config") from error
    call.console.say(f"installed in {path}; it takes effect in the next shell")
