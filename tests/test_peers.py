"""The table of what went wrong elsewhere names tests that there are."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_TITLE = "## What users of other gateways complain about\n"
_ROW = re.compile(r"^\| (?P<row>[^|]+) \| `(?P<path>tests/[\w/]+\.py)::(?P<name>\w+)` \|$")


def rows() -> list[str]:
    """The lines of the table, less its head."""
    page = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    part = page.partition(_TITLE)[2].partition("\n## ")[0]
    return [line for line in part.splitlines() if line.startswith("| ")][1:]


@cache
def names_in(path: Path) -> frozenset[str]:
    """What a module of tests has that pytest collects, all at its first level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    for node in tree.body:
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(names)


def test_there_is_a_table() -> None:
    assert len(rows()) > 40


@pytest.mark.parametrize("row", rows())
def test_each_row_names_a_test_that_there_is(row: str) -> None:
    found = _ROW.match(row)
    assert found is not None, row
    path, name = ROOT / found["path"], found["name"]
    assert path.is_file()
    assert name.lower().startswith("test")
    assert name in names_in(path)
