"""The options that commands share, and the call that their values make.

Options come in groups: those of every command, of output, of lists, of changes. A command that
declares one of the same name or flag itself has that in place of the shared one.
"""

import inspect
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, cast, get_args

import typer
from typer._click.globals import get_current_context

from conduit.cli.call import CallOptions, Listing
from conduit.cli.console import ColorChoice
from conduit.cli.failures import Failure
from conduit.cli.inputs import count, duration_s, names
from conduit.cli.output import FORMATS, Format, Shape
from conduit.client.contexts import Choice

Group = Literal["output", "listing", "change", "danger", "listing or change"]

_COLORS = get_args(ColorChoice)

_CONNECTION: Mapping[str, tuple[Any, Any]] = {
    "context": (
        Annotated[
            str | None,
            typer.Option("--context", "-C", metavar="NAME", help="Context to use for this call."),
        ],
        None,
    ),
    "url": (
        Annotated[
            str | None, typer.Option("--url", metavar="URL", help="Gateway to use for this call.")
        ],
        None,
    ),
    "timeout": (
        Annotated[
            str | None,
            typer.Option("--timeout", metavar="TIME", help="Give up after this time (exit 124)."),
        ],
        None,
    ),
    "color": (
        Annotated[
            str | None, typer.Option("--color", metavar="WHEN", help="auto, always or never.")
        ],
        None,
    ),
    "no_input": (Annotated[bool, typer.Option("--no-input", help="Never ask.")], False),
    "debug": (
        Annotated[bool, typer.Option("--debug", help="Show the trace of an unexpected error.")],
        False,
    ),
}
_OUTPUT: Mapping[str, tuple[Any, Any]] = {
    "output": (
        Annotated[
            str | None,
            typer.Option("--output", "-o", metavar="FORMAT", help=f"{', '.join(FORMATS)}."),
        ],
        None,
    ),
    "json": (Annotated[bool, typer.Option("--json", help="Same as -o json.")], False),
    "quiet": (
        Annotated[bool, typer.Option("--quiet", "-q", help="Only ids, or only the key just made.")],
        False,
    ),
    "fields": (
        Annotated[
            str | None,
            typer.Option("--fields", metavar="A,B.C", help="Only these fields, in this order."),
        ],
        None,
    ),
    "query": (
        Annotated[
            str | None,
            typer.Option("--query", metavar="EXPR", help="JMESPath over the JSON form."),
        ],
        None,
    ),
    "format": (
        Annotated[
            str | None,
            typer.Option("--format", metavar="TEXT", help="A line a record: '{id} {name}'."),
        ],
        None,
    ),
}
# `prices set --output 10` is a price: there the format has its short name only.
_SHORT_OUTPUT = (
    Annotated[str | None, typer.Option("-o", metavar="FORMAT", help=f"{', '.join(FORMATS)}.")],
    None,
)
_LISTING: Mapping[str, tuple[Any, Any]] = {
    "limit": (
        Annotated[
            str | None,
            typer.Option("--limit", metavar="N", help="Most records to show.  [default: 50]"),
        ],
        None,
    ),
    "cursor": (
        Annotated[str | None, typer.Option("--cursor", metavar="C", help="Go on from here.")],
        None,
    ),
    "all": (Annotated[bool, typer.Option("--all", help="All pages.")], False),
    "sort": (
        Annotated[
            str | None,
            typer.Option("--sort", metavar="FIELD[:desc]", help="Order of what is shown."),
        ],
        None,
    ),
    "filter": (
        Annotated[
            str | None,
            typer.Option("--filter", metavar="EXPR", help="Such as 'name:ci-* -enabled:false'."),
        ],
        None,
    ),
}
_CHANGE: Mapping[str, tuple[Any, Any]] = {
    "dry_run": (
        Annotated[bool, typer.Option("--dry-run", help="Print the request; send nothing.")],
        False,
    ),
}
_DANGER: Mapping[str, tuple[Any, Any]] = {
    "yes": (Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")], False),
    "confirm": (
        Annotated[
            str | None,
            typer.Option(
                "--confirm", metavar="NAME", help="The name to type where a y is not enough."
            ),
        ],
        None,
    ),
}
_BULK: Mapping[str, tuple[Any, Any]] = {
    **_DANGER,
    "filter": (
        Annotated[
            str | None,
            typer.Option("--filter", metavar="EXPR", help="All that it holds for: 'name:ci-*'."),
        ],
        None,
    ),
}
_UNASKED: Mapping[str, tuple[Any, Any]] = {
    "yes": (Annotated[bool, typer.Option("--yes", "-y", help="For scripts: asks nothing.")], False)
}
_PAGED: Mapping[str, tuple[Any, Any]] = {
    "no_pager": (
        Annotated[bool, typer.Option("--no-pager", help="Print long output in one go.")],
        False,
    ),
}
_GROUPS: Mapping[Group, Mapping[str, tuple[Any, Any]]] = {
    "output": _OUTPUT,
    "listing": {**_OUTPUT, **_LISTING},
    "change": {**_OUTPUT, **_CHANGE},
    "danger": {**_OUTPUT, **_CHANGE, **_DANGER},
    # A list that an option of the verb turns into a change of what it shows.
    "listing or change": {**_OUTPUT, **_LISTING, **_CHANGE},
}


SHARED_OPTIONS: Mapping[str, frozenset[str]] = {
    name: frozenset(get_args(annotation)[-1].help for annotation, _ in declared.values())
    for name, declared in (
        ("connection", _CONNECTION),
        ("output", {**_OUTPUT, "short": _SHORT_OUTPUT}),
        ("change", _CHANGE),
        ("danger", _DANGER),
        ("listing", _LISTING),
        ("bulk", _BULK),
        ("paged", _PAGED),
    )
}
"""What the options of each group say of themselves, which tells them from a command's own."""


def shared_options(
    own: Sequence[inspect.Parameter],
    group: Group | None,
    *,
    bulk: bool = False,
    paged: bool = False,
    unasked: bool = False,
) -> dict[str, tuple[Any, Any]]:
    """The options that a command has beside its own."""
    shared = {
        **_CONNECTION,
        **(_GROUPS[group] if group is not None else {}),
        **(_BULK if bulk else {}),
        **(_PAGED if paged else {}),
        **(_UNASKED if unasked else {}),
    }
    taken = {flag for parameter in own for flag in _flags(parameter)}
    if "output" in shared and "--output" in taken:
        shared["output"] = _SHORT_OUTPUT
    names = {parameter.name for parameter in own}
    return {
        option: declared
        for option, declared in shared.items()
        if option not in names
        and (option == "output" or not taken & {*_flags_of(declared[0])} - {""})
    }


def _flags_of(annotation: Any) -> tuple[str, ...]:
    declared = get_args(annotation)[-1]
    return (getattr(declared, "default", ""), *(getattr(declared, "param_decls", None) or ()))


def _flags(parameter: inspect.Parameter) -> tuple[str, ...]:
    return _flags_of(parameter.annotation)


def root_options() -> list[inspect.Parameter]:
    """The options that may also stand before the noun."""
    return [
        inspect.Parameter(
            option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )
        for option, (annotation, default) in _CONNECTION.items()
    ]


def call_options(given: Mapping[str, Any]) -> CallOptions:
    """The options of a call from what stood on the command line. Raises Failure."""
    before = _values_before()
    merged = {**before, **{name: value or before.get(name) for name, value in given.items()}}
    color = merged.get("color") or "auto"
    if color not in _COLORS:
        raise Failure(f"--color: {', '.join(_COLORS)} is expected, not {color!r}")
    timeout = merged.get("timeout")
    limit = count(str(merged["limit"]), "--limit") if merged.get("limit") is not None else None
    if limit is not None and limit < 1:
        raise Failure("--limit: at least 1 is expected")
    return CallOptions(
        choice=Choice(merged.get("url"), merged.get("context")),
        timeout_s=duration_s(timeout, "--timeout") if timeout else None,
        color=cast(ColorChoice, color),
        no_input=bool(merged.get("no_input")),
        debug=bool(merged.get("debug")),
        quiet=bool(merged.get("quiet")),
        dry_run=bool(merged.get("dry_run")),
        yes=bool(merged.get("yes")),
        confirm=merged.get("confirm"),
        filter=merged.get("filter"),
        no_pager=bool(merged.get("no_pager")),
        shape=_shape(merged, os.environ) if "output" in given else Shape(),
        listing=Listing(limit, merged.get("cursor"), bool(merged.get("all")), merged.get("sort")),
    )


def _values_before() -> Mapping[str, Any]:
    """What stood before the verb: `conduit -C prod keys --json list`; the nearest counts."""
    values: dict[str, Any] = {}
    context = get_current_context(silent=True)
    while context is not None and context.parent is not None:
        context = context.parent
        values = {**{name: value for name, value in context.params.items() if value}, **values}
    return values


def _shape(given: Mapping[str, Any], environ: Mapping[str, str]) -> Shape:
    wanted = given.get("output") or environ.get("CONDUIT_OUTPUT") or None
    if given.get("json"):
        if given.get("output") not in (None, "json"):
            raise Failure(f"--json and --output {given['output']} exclude each other")
        wanted = "json"
    elif given.get("quiet") and given.get("output") is None:
        wanted = "id"
    if wanted is not None and wanted not in FORMATS:
        is_file = "." in wanted or "/" in wanted
        raise Failure(
            f"--output: {', '.join(FORMATS)} is expected, not {wanted!r}",
            hint="commands that write a file take --out FILE" if is_file else None,
        )
    if given.get("query") is not None and given.get("format") is not None:
        raise Failure("--query and --format exclude each other")
    fields = tuple(names(given["fields"])) if given.get("fields") else ()
    return Shape(
        cast(Format | None, wanted),
        fields,
        given.get("query"),
        given.get("format"),
        named=given.get("output") is not None or bool(given.get("json")),
    )
