"""The command line, `conduit`."""

import sys


def main() -> None:
    """Run the command line and exit with its code; `--version` alone imports nothing more."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from conduit import __version__  # noqa: PLC0415  # deferred: kept beside its use

        print(f"conduit {__version__}")
        return
    from conduit.cli.main import run  # noqa: PLC0415  # deferred: Typer takes 50 ms to import

    sys.exit(run(sys.argv[1:]))
