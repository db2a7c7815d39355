"""Rules for source text that no linter knows."""

import ast
import re
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "conduit"

LONG_LINES = 600
MOST_LINES = 1000

# The patterns are spelt so that they do not match themselves. A PRAGMA takes no bound values, so it
# is no statement here.
REGISTRY = re.compile(
    r"\b(?:pypi|pythonhosted|npmjs|yarnpkg|golang|crates|docker)\.(?:org|com|io)\b"
)
MACHINE_PATH = re.compile(r"(?<![\w.:$}/~-])/(?:work|root|home/\w+|Users/\w+)/")
SQL = re.compile(
    r"\s*(select\b.*\bfrom|insert\s+(or\s+\w+\s+)?into|update\b.*\bset|delete\s+from"
    r"|(create|drop|alter)\s+(unique\s+)?(table|index|view)|attach|vacuum\s+into)\b",
    re.IGNORECASE | re.DOTALL,
)


def tracked() -> list[Path]:
    """Files that are in the repository, or would be with the next commit."""
    listed = subprocess.run(
        # A checkout may belong to another account than the one that runs the tests.
        [
            "git",
            "-c",
            "safe.directory=*",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = (ROOT / name for name in sorted(set(listed.stdout.split("\0"))) if name)
    return [path for path in paths if path.is_file()]


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def named(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def text_of(path: Path) -> str:
    """The file as text; bytes that are none do not matter to any rule here."""
    return path.read_text(encoding="utf-8", errors="replace")


def opens_with_a_sentence(docstring: str | None) -> bool:
    """Whether the first paragraph is exactly one sentence."""
    paragraph = " ".join((docstring or "").strip().split("\n\n")[0].split())
    return paragraph.endswith((".", ":")) and not re.search(r"[a-z)`][.!?] [A-Z]", paragraph)


def lines_of_built_sql(tree: ast.AST) -> Iterator[int]:
    """Lines where a statement is put together from text: f-string, %, + or format."""
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr(values=[ast.Constant(value=str(text)), _, *_]):
                pass
            case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Mod() | ast.Add()):
                pass
            case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="format")):
                pass
            case _:
                continue
        if SQL.match(text):
            yield node.lineno


def lines_of_returned_exits(tree: ast.AST) -> Iterator[int]:
    """Lines that return `typer.Exit(...)`, which Typer discards: the command would exit 0."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Return) and node.value is not None:
            value = node.value.func if isinstance(node.value, ast.Call) else node.value
            name = value.attr if isinstance(value, ast.Attribute) else getattr(value, "id", "")
            if name == "Exit":
                yield node.lineno


@pytest.mark.filterwarnings("default:.*lines:UserWarning")
def test_no_file_is_too_long() -> None:
    counts = {path: text_of(path).count("\n") for path in tracked() if path.suffix == ".py"}
    for path, count in counts.items():
        if LONG_LINES < count <= MOST_LINES:
            warnings.warn(f"{path.relative_to(ROOT)} has {count} lines", stacklevel=1)
    too_long = {str(path): count for path, count in counts.items() if count > MOST_LINES}
    assert not too_long


def test_every_module_opens_with_one_sentence() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in modules()
        if not opens_with_a_sentence(ast.get_docstring(ast.parse(text_of(path))))
    ]
    assert not silent


def test_no_statement_is_put_together_from_text() -> None:
    found = [
        named(path, line)
        for path in modules()
        for line in lines_of_built_sql(ast.parse(text_of(path)))
    ]
    assert not found


def test_no_command_returns_its_exit() -> None:
    found = [
        named(path, line)
        for path in modules()
        for line in lines_of_returned_exits(ast.parse(text_of(path)))
    ]
    assert not found


@pytest.mark.parametrize("forbidden", [REGISTRY, MACHINE_PATH], ids=["registry", "machine-path"])
def test_no_file_names_a_registry_or_a_path_of_one_machine(forbidden: re.Pattern[str]) -> None:
    found = [
        named(path, number)
        for path in tracked()
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if forbidden.search(line)
    ]
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        'f"SELECT id FROM keys WHERE name = {name}"',
        'f"insert or ignore into keys values ({row})"',
        '"DELETE FROM %s" % table',
        '"UPDATE keys SET name = " + name',
        '"CREATE TABLE {}".format(table)',
    ],
)
def test_a_built_statement_is_found(source: str) -> None:
    assert list(lines_of_built_sql(ast.parse(source)))


@pytest.mark.parametrize(
    "source", ['f"{count} keys"', '"SELECT 1 FROM keys"', 'f"Update {name}?"', '"a" + "b"']
)
def test_other_text_is_not_taken_for_a_statement(source: str) -> None:
    assert not list(lines_of_built_sql(ast.parse(source)))


@pytest.mark.parametrize("returned", ["typer.Exit(1)", "typer.Exit", "Exit(code=2)"])
def test_a_returned_exit_is_found(returned: str) -> None:
    assert list(lines_of_returned_exits(ast.parse(f"def run():\n    return {returned}")))


def test_a_raised_exit_is_allowed() -> None:
    assert not list(lines_of_returned_exits(ast.parse("def run():\n    raise typer.Exit(1)")))


@pytest.mark.parametrize(
    ("docstring", "passes"),
    [
        ("Statements for virtual keys.", True),
        ("Answers that go\nover two lines.\n\nMore. And more.", True),
        (None, False),
        ("", False),
        ("Statements for keys", False),
        ("Keys. And budgets.", False),
    ],
)
def test_a_module_sentence_is_told_from_others(docstring: str | None, passes: bool) -> None:
    assert opens_with_a_sentence(docstring) is passes


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (REGISTRY, "index-url = https://" + "pypi" + ".org/simple"),
        (REGISTRY, "https://files." + "pythonhosted" + ".org/packages"),
        (REGISTRY, '"resolved": "https://registry.' + "npmjs" + '.org/openai"'),
        (MACHINE_PATH, "see /" + "home/ada/notes"),
        (MACHINE_PATH, '"/' + 'root/.config"'),
    ],
)
def test_a_registry_or_a_machine_path_is_found(pattern: re.Pattern[str], line: str) -> None:
    assert pattern.search(line)
