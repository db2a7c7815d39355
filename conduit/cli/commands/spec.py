"""`conduit spec`: the command tree for programs."""

import json
from typing import Annotated

import typer

from conduit.cli.call import Call
from conduit.cli.output import Format, View
from conduit.cli.verbs import Noun, verb

noun = Noun("The command tree, for programs.")


@verb(noun, "", "output")
def spec(
    call: Call,
    tree: Annotated[bool, typer.Option("--tree", help="Names alone, one below the other.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="As the page of the manual.")
    ] = False,
) -> None:
    """Print every command with its arguments and options, as JSON."""
    from conduit.cli import reference  # noqa: PLC0415  # deferred: it imports every command

    described = reference.command_tree()
    forms: tuple[Format, ...] = () if tree or markdown else ("json", "jsonl")
    what = "--tree" if tree else "--markdown" if markdown else "the command tree"
    call.allow_forms(what, *forms, chosen=bool(forms))
    shape = call.options.shape
    if tree:
        for line in reference.tree_lines(described):
            call.console.data(line)
    elif markdown:
        call.console.data(reference.markdown(described))
    elif shape.query is not None or shape.template is not None or shape.fields:
        call.printer.record(described, View(()))
    else:
        indent = None if shape.format == "jsonl" else 2
        call.console.data(json.dumps(described, indent=indent, ensure_ascii=False))
