"""The command line, `conduit`."""

import os
import sys


def main() -> None:
    """Run the command line and exit with its code; `--version` alone imports nothing more."""
    if sys.stdout is None or sys.stderr is None:  # closed by who started it, as some supervisors do
        nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # to the process's end
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    if sys.argv[1:] in (["--version"], ["-V"]):
        from conduit import __version__  # noqa: PLC0415  # deferred: kept beside its use

        print(f"conduit {__version__}")
        return
    from conduit.cli.main import run  # noqa: PLC0415  # deferred: Typer takes 50 ms to import

    sys.exit(run(sys.argv[1:]))
