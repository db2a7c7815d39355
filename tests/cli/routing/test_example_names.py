"""What a command says next works when it is pasted, of an alias with a star too."""

import shlex

import pytest

from tests.cli.conftest import Outcome, Shell


@pytest.mark.parametrize(
    ("alias", "target", "name"),
    [
        ("plain", "simulator/simulated-small", "plain"),
        ("sim/*", "simulator/{*}", "sim/simulated-large"),
        ("one/*", "simulator/simulated-small", "one/simulated-small"),
        ("simulated-l*", "simulator/*", "simulated-large"),
        ("s-*", "simulator/simulated-{*}", "s-large"),
    ],
)
def test_the_next_step_of_a_mapping_can_be_pasted(
    lonely_shell: Shell, started: Outcome, alias: str, target: str, name: str
) -> None:
    added = lonely_shell("mappings", "add", alias, "--to", target)
    assert added.code == 0, added.err
    [step] = [line for line in added.err.splitlines() if line.startswith("  next: ")]
    assert step == f'  next: conduit chat -m {name} "hello"'
    asked = lonely_shell(*shlex.split(step)[2:], "-p", "max_tokens=5")
    assert asked.code == 0, asked.err


def test_an_alias_of_which_no_name_is_known_has_no_next_step(
    lonely_shell: Shell, started: Outcome
) -> None:
    given = ("--name", "away", "--base-url", "http://127.0.0.1:9/v1", "--key-env", "K")
    lonely_shell("providers", "add", "openai_compatible", *given, "--no-test", K="k" * 20)
    added = lonely_shell("mappings", "add", "away/*", "--to", "away/{*}")
    assert added.code == 0, added.err
    assert "next:" not in added.err


def test_a_model_that_does_not_chat_is_an_error_of_usage(
    lonely_shell: Shell, started: Outcome
) -> None:
    asked = lonely_shell("chat", "-m", "simulated-embedding", "hello")
    assert (asked.code, asked.out) == (2, "")
    assert asked.err.startswith("error: simulated-embedding is no chat model: ")
    assert "[not_a_chat_model]" in asked.err
    assert "hint: what there is: conduit models list" in asked.err
