"""What is made from the command tree: the reference, the completions, the tree itself."""

import json
import re
from pathlib import Path
from typing import Any

from conduit.cli.reference import command_tree, markdown, tree_lines
from conduit.cli.table import COMMANDS
from scripts import generate
from tests.cli.conftest import Conduit, Shell

ROOT = Path(__file__).parents[2]


def test_what_is_generated_is_not_stale() -> None:
    assert generate.stale() == [], "make completions writes them anew"


def nodes(tree: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for node in tree["commands"]:
        found += [node, *nodes(node)]
    return found


def test_the_spec_describes_every_command_and_option(conduit: Conduit) -> None:
    spec = json.loads(conduit("spec").out)
    assert [node["name"] for node in spec["commands"]] == list(COMMANDS)
    assert spec["exit_codes"]["130"].startswith("interrupted")
    create = next(node for node in nodes(spec) if node["path"] == "conduit keys create")
    assert create["arguments"][0]["metavar"] == "[NAME]"
    options = {option["flags"][0]: option for option in create["options"]}
    assert options["--budget"]["group"] is None
    assert (options["--context"]["group"], options["--json"]["value"]) == ("connection", None)
    for node in nodes(spec):
        assert node["help"], node["path"]
        for part in (*node["arguments"], *node["options"]):
            assert part["help"], (node["path"], part)


def test_the_tree_has_a_line_for_every_command(conduit: Conduit) -> None:
    lines = conduit("spec", "--tree").out.splitlines()
    assert lines == list(tree_lines(command_tree()))
    assert len(lines) == 1 + len(nodes(command_tree()))


def test_a_query_reaches_into_the_spec(conduit: Conduit) -> None:
    outcome = conduit("spec", "--query", "commands[?name=='keys'].commands[].name")
    assert "create" in outcome.out.split()


def test_the_reference_has_a_heading_for_every_command_and_sound_links() -> None:
    page = markdown(command_tree())
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    assert {node["path"] for node in nodes(command_tree())} <= set(headings)
    assert len(headings) == len(set(headings))


def test_an_ordinary_command_does_not_load_the_reference(shell: Shell) -> None:
    outcome = shell("keys", "list", PYTHONVERBOSE="1")
    assert "conduit.cli.reference" not in outcome.err
