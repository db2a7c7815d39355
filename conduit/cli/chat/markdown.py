"""Markdown on a terminal, block by block as a stream completes them."""

from collections.abc import Iterator

from rich.console import Console
from rich.markdown import Markdown

from conduit.cli.console import Stream, plain
from conduit.client.errors import ClientError

_FENCES = ("```", "~~~")


def blocks(pieces: Iterator[str]) -> Iterator[str]:
    """Blocks that a blank line outside a code fence ends; what is left over comes last."""
    pending = ""
    lines: list[str] = []
    fenced = False
    broken: ClientError | None = None
    try:
        for piece in pieces:
            *complete, pending = (pending + piece).split("\n")
            for line in complete:
                if line.lstrip().startswith(_FENCES):
                    fenced = not fenced
                if line.strip() or fenced:
                    lines.append(line)
                elif lines:
                    yield "\n".join(lines)
                    lines = []
    except ClientError as error:
        broken = error  # what has come is shown first
    rest = "\n".join([*lines, pending] if pending else lines)
    if rest.strip():
        yield rest
    if broken is not None:
        raise broken


def print_markdown(pieces: Iterator[str], out: Stream) -> None:
    """Render each block once it is whole."""
    console = Console(file=out.file, width=out.columns, force_terminal=True, highlight=False)
    for number, block in enumerate(blocks(pieces)):
        if number:
            console.print()
        console.print(Markdown(plain(block)))
        out.file.flush()
