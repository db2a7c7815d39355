"""The command tree as data, and as the page of the manual that is made from it."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from conduit import __version__
from conduit.cli.failures import EXIT_MEANINGS
from conduit.cli.main import root_command
from conduit.cli.option_groups import SHARED_OPTIONS
from conduit.cli.table import COMMANDS

Node = dict[str, Any]

_GROUP_TITLES = {
    "connection": "Options of every command",
    "output": "Options of commands that print records",
    "listing": "Options of lists",
    "change": "Options of commands that change something",
    "danger": "Options of commands that cannot be undone",
    "bulk": "Options of commands that take several records",
    "paged": "Options of commands that show one thing",
}


def command_tree() -> Node:
    """Every command with its arguments and options, exit codes and version."""
    root = root_command()
    return {
        "name": "conduit",
        "version": __version__,
        "help": root.help,
        "exit_codes": {str(int(code)): meaning for code, meaning in EXIT_MEANINGS.items()},
        "commands": [_node(root, name, ("conduit",)) for name in COMMANDS],
    }


def _node(group: Any, name: str, above: tuple[str, ...]) -> Node:
    command = group.get_command(None, name)
    path = (*above, name)
    below = command.list_commands(None) if hasattr(command, "list_commands") else []
    return {
        "name": name,
        "path": " ".join(path),
        "help": inspect.cleandoc(command.help or ""),
        "arguments": [_argument(param) for param in _params(command, "argument")],
        "options": [_option(param) for param in _params(command, "option")],
        "commands": [_node(command, each, path) for each in below],
    }


def _params(command: Any, kind: str) -> list[Any]:
    return [
        param
        for param in command.params
        if param.param_type_name == kind and param.name != "help" and not param.hidden
    ]


def _argument(param: Any) -> Node:
    return {
        "name": param.name,
        "metavar": param.metavar or str(param.name).upper(),
        "required": bool(param.required),
        "several": param.nargs == -1,
        "help": param.help or "",
    }


def _option(param: Any) -> Node:
    flags = [*param.opts, *param.secondary_opts]
    return {
        "flags": flags,
        "value": None if param.is_flag else param.metavar or "VALUE",
        "several": bool(param.multiple),
        "default": param.default if isinstance(param.default, str | int | float) else None,
        "help": param.help or "",
        "group": next(
            (name for name, known in SHARED_OPTIONS.items() if param.help in known), None
        ),
    }


def tree_lines(tree: Node) -> Iterator[str]:
    """The names of all commands, each below the one it belongs to."""
    yield str(tree["name"])
    yield from _branches(tree["commands"], "  ")


def _branches(nodes: list[Node], indent: str) -> Iterator[str]:
    for node in nodes:
        summary = node["help"].partition("\n")[0].rstrip(".")
        yield f"{indent}{node['name']:{max(1, 24 - len(indent))}}  {summary}"
        yield from _branches(node["commands"], indent + "  ")


def markdown(tree: Node) -> str:
    """The page for readers."""
    return "\n".join(_page(tree)) + "\n"


def _page(tree: Node) -> Iterator[str]:
    yield "# Command reference"
    yield ""
    yield "Made from `conduit spec`; [Command line](cli.md) explains what all commands share."
    shared: dict[str, dict[str, Node]] = {}
    for node in _all(tree["commands"]):
        for option in node["options"]:
            if option["group"] is not None:
                kept = shared.setdefault(option["group"], {})
                if not any(known["help"] == option["help"] for known in kept.values()):
                    kept[", ".join(option["flags"])] = option
    for name, title in _GROUP_TITLES.items():
        if name in shared:
            yield from ("", f"## {title}", "")
            yield from _options(list(shared[name].values()))
    for node in tree["commands"]:
        yield from ("", f"## {node['path']}", "", *_described(node["help"]))
        yield from _section(node)
        for inner in _all(node["commands"]):
            yield from ("", f"### {inner['path']}", "", *_described(inner["help"]))
            yield from _section(inner)


def _all(nodes: list[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _all(node["commands"])


def _described(text: str) -> Iterator[str]:
    """Prose as it is; a line that is a command, as code."""
    for paragraph in text.split("\n\n"):
        if paragraph.startswith(("conduit ", "KEY=$(", "eval ")):
            yield from ("```", paragraph, "```", "")
        else:
            yield from (_escaped(" ".join(paragraph.split())), "")


def _section(node: Node) -> Iterator[str]:
    own = [option for option in node["options"] if option["group"] is None]
    if not node["commands"] or node["arguments"] or own:
        words = [argument["metavar"] for argument in node["arguments"]]
        yield from ("```", " ".join([node["path"], *words, "[OPTIONS]"]), "```")
    if node["arguments"] or own:
        yield ""
    rows = [
        (f"`{argument['metavar']}`", _escaped(argument["help"])) for argument in node["arguments"]
    ]
    yield from _table("Argument", rows)
    if rows and own:
        yield ""
    yield from _options(own)
    groups = [
        _GROUP_TITLES[name]
        for name in _GROUP_TITLES
        if name != "connection" and any(option["group"] == name for option in node["options"])
    ]
    if groups:
        links = ", ".join(f"[{title.lower()}](#{_anchor(title)})" for title in groups)
        yield from ("", f"Also: {links}.")


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _options(options: list[Node]) -> Iterator[str]:
    rows = []
    for option in options:
        flags = ", ".join(f"`{flag}`" for flag in sorted(option["flags"], key=len))
        value = f" `{option['value']}`" if option["value"] else ""
        again = " May be repeated." if option["several"] else ""
        default = f" Default: `{option['default']}`." if _told(option) else ""
        rows.append((flags + value, _escaped(option["help"]) + again + default))
    yield from _table("Option", rows)


def _told(option: Node) -> bool:
    default = option["default"]
    told = default not in (None, "") and not isinstance(default, bool)
    return told and "[default" not in option["help"]


def _table(title: str, rows: list[tuple[str, str]]) -> Iterator[str]:
    if not rows:
        return
    yield from (f"| {title} | Meaning |", "|---|---|")
    for name, meaning in rows:
        yield f"| {name} | {meaning} |"


def _escaped(text: str) -> str:
    """Text in which Markdown sees no more than text; code in backquotes stays code."""
    parts: Mapping[int, str] = dict(enumerate(text.split("`")))
    return "`".join(
        part.replace("|", "\\|") if index % 2 else _without_marks(part)
        for index, part in parts.items()
    )


def _without_marks(text: str) -> str:
    for mark in ("\\", "|", "*", "_", "<", "[", "]"):
        text = text.replace(mark, f"\\{mark}")
    return text
