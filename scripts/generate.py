"""Writes what is made from the code: completions, the command reference, tables of the docs."""

import sys
from pathlib import Path

from conduit.cli.commands.completion import script_of
from conduit.cli.reference import command_tree, markdown
from scripts import faults, fidelity

ROOT = Path(__file__).parents[1]


def generated() -> dict[Path, str]:
    """The text of each file, by its path in the repository."""
    return {
        Path("completions/conduit.bash"): script_of("bash") + "\n",
        Path("completions/_conduit"): script_of("zsh") + "\n",
        Path("completions/conduit.fish"): script_of("fish") + "\n",
        Path("docs/cli-reference.md"): markdown(command_tree()),
        fidelity.PAGE: fidelity.markdown(),
        faults.PAGE: faults.markdown(),
    }


def stale() -> list[Path]:
    """The files that say something else than they would if they were made now."""
    return [
        path
        for path, text in generated().items()
        if not (ROOT / path).is_file() or (ROOT / path).read_text(encoding="utf-8") != text
    ]


def main() -> int:
    for path in stale():
        (ROOT / path).parent.mkdir(exist_ok=True)
        (ROOT / path).write_text(generated()[path], encoding="utf-8")
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
