"""Long output on a terminal goes through a pager, and nothing else does."""

from pathlib import Path

import pytest

from conduit.client.pager import pager_of
from tests.cli.conftest import Shell
from tests.cli.fake_gateway import FakeGateway


@pytest.fixture
def pager(tmp_path: Path) -> str:
    """A pager that says that it has been here."""
    script = tmp_path / "pager"
    script.write_text('#!/bin/sh\necho "paged $1"\ncat\n')
    script.chmod(0o755)
    return f"{script} with-an-argument"


@pytest.mark.parametrize("arguments", [("keys", "show", "ci"), ("help", "keys", "create")])
def test_what_is_taller_than_the_terminal_is_paged(
    shell: Shell, gateway: FakeGateway, pager: str, arguments: tuple[str, ...]
) -> None:
    gateway.add("keys", name="ci")
    terminal = {"CONDUIT_FORCE_TTY": "80", "NO_COLOR": "1"}
    tall = shell(*arguments, CONDUIT_PAGER=pager, LINES="5", **terminal)
    assert tall.out.startswith("paged with-an-argument\n")
    direct = shell(*arguments, "--no-pager", CONDUIT_PAGER=pager, LINES="5", **terminal)
    assert direct.out == tall.out.partition("\n")[2]
    for environment in ({"LINES": "500"}, {"LINES": "5", "CONDUIT_PAGER": ""}):
        assert shell(*arguments, **{"CONDUIT_PAGER": pager, **environment}, **terminal).out == (
            direct.out
        )


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (("keys", "show", "ci"), {}),
        (("keys", "show", "ci", "--json"), {"CONDUIT_FORCE_TTY": "80"}),
        (("keys", "list"), {"CONDUIT_FORCE_TTY": "80"}),
    ],
)
def test_data_for_programs_and_lists_are_not_paged(
    shell: Shell,
    gateway: FakeGateway,
    pager: str,
    arguments: tuple[str, ...],
    environment: dict[str, str],
) -> None:
    gateway.add("keys", name="ci")
    outcome = shell(*arguments, CONDUIT_PAGER=pager, LINES="2", **environment)
    assert outcome.code == 0
    assert "paged" not in outcome.out


def test_a_pager_that_does_not_exist_costs_nothing(shell: Shell, gateway: FakeGateway) -> None:
    gateway.add("keys", name="ci")
    environment = {"CONDUIT_FORCE_TTY": "80", "LINES": "2", "CONDUIT_PAGER": "/nowhere/pager"}
    assert "ci" in shell("keys", "show", "ci", **environment).out


def test_a_pager_left_early_is_no_failure(shell: Shell, gateway: FakeGateway) -> None:
    gateway.add("keys", name="ci", allowed_models=["m" * 1000] * 1000)
    environment = {"CONDUIT_FORCE_TTY": "80", "LINES": "2", "CONDUIT_PAGER": "true"}
    outcome = shell("keys", "show", "ci", **environment)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


@pytest.mark.parametrize(
    ("environment", "command"),
    [
        ({"CONDUIT_PAGER": "a -b", "PAGER": "c"}, ["a", "-b"]),
        ({"PAGER": "c"}, ["c"]),
        ({"CONDUIT_PAGER": "", "PAGER": "c"}, []),
        ({"PAGER": "cat"}, []),
        ({"PAGER": "c", "TERM": "dumb"}, []),
    ],
)
def test_the_pager_is_the_reader_s_choice(environment: dict[str, str], command: list[str]) -> None:
    assert pager_of(environment) == command
