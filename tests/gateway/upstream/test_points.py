"""The decision on the upstream client names the tests that show each of its points."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs/adr/0011-own-upstream-client.md").read_text(encoding="utf-8")
TABLE = TEXT.partition("<!-- points: begin -->")[2].partition("<!-- points: end -->")[0]
# By what a test asks for, it runs with every client, or with ours.
OF_BOTH = {"upstreams", "open_client"}


def rows() -> Iterator[tuple[str, str, str]]:
    """The client and the test of each line, with its point."""
    point = ""
    for line in TABLE.strip().splitlines()[2:]:
        first, client, tests = (cell.strip() for cell in line.strip("|").split("|"))
        point = first.partition(".")[0] or point
        for test in re.findall(r"`([^`]+)`", tests):
            yield point, client, test


def parameters(test: str) -> set[str]:
    """What a test asks for; it fails where there is no such test."""
    file, _, name = test.partition("::")
    path = ROOT / file if "/" in file else Path(__file__).with_name(file)
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AsyncFunctionDef) and node.name == name:
            return {each.arg for each in node.args.args}
    raise AssertionError(f"{test} is named and does not exist")


def test_every_point_is_shown() -> None:
    assert list(dict.fromkeys(point for point, _, _ in rows())) == [*map(str, range(1, 21))]
    points = {point for point, client, _ in rows() if client == "both"}
    assert points == {*map(str, range(1, 21))}


@pytest.mark.parametrize(("client", "test"), sorted({(client, test) for _, client, test in rows()}))
def test_a_test_that_is_named_exists_and_runs_with_the_clients_it_is_named_for(
    client: str, test: str
) -> None:
    asks = parameters(test)
    if "/" in test:  # the whole gateway, where a module chooses
        assert asks & {"client", "upstream_client", "scene"}
    elif client == "both":
        assert asks & OF_BOTH
    else:
        assert client == "ours"
        assert asks & {"http1", "open_http1"}
