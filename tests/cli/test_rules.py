"""Rules for the source of commands, each with a planted violation."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

COMMANDS = sorted((Path(__file__).parents[2] / "conduit/cli/commands").glob("*.py"))


def blind_handlers(tree: ast.AST) -> Iterator[int]:
    """Lines that catch everything, `typer.Exit` too, and do not raise it again."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        names = {getattr(each, "id", "") for each in caught if each is not None}
        last = node.body[-1]
        raised_again = isinstance(last, ast.Raise) and last.exc is None
        if (node.type is None or names & {"Exception", "BaseException"}) and not raised_again:
            yield node.lineno


def suppressions(tree: ast.AST) -> Iterator[int]:
    """Lines that suppress everything."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "suppress":
            continue
        if {getattr(each, "id", "") for each in node.args} & {"Exception", "BaseException"}:
            yield node.lineno


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_no_command_swallows_its_own_exit(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [*blind_handlers(tree), *suppressions(tree)] == []


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    x()\nexcept Exception:\n    pass",
        "try:\n    x()\nexcept:\n    y()",
        "try:\n    x()\nexcept (ValueError, BaseException) as e:\n    print(e)",
        "with suppress(Exception):\n    x()",
    ],
)
def test_a_blind_handler_is_found(source: str) -> None:
    tree = ast.parse(source)
    assert [*blind_handlers(tree), *suppressions(tree)]


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    x()\nexcept ValueError:\n    pass",
        "try:\n    x()\nexcept Exception:\n    y()\n    raise",
        "with suppress(OSError):\n    x()",
    ],
)
def test_other_handlers_are_allowed(source: str) -> None:
    tree = ast.parse(source)
    assert not [*blind_handlers(tree), *suppressions(tree)]
