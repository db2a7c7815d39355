"""The table of commands: what it names exists, and `--help` says so without importing it."""

import subprocess
import sys
from typing import Any

import pytest

from conduit.cli.main import root_command
from conduit.cli.table import COMMANDS, HIDDEN
from tests.cli.conftest import Conduit, Shell
from tests.cli.fake_gateway import FakeGateway, stream_hello


def _paths() -> list[tuple[str, ...]]:
    root = root_command()
    found: list[tuple[str, ...]] = []

    def walk(group: Any, path: tuple[str, ...]) -> None:
        for name in group.list_commands(None):
            command = group.get_command(None, name)
            found.append((*path, name))
            if hasattr(command, "list_commands"):
                walk(command, (*path, name))

    walk(root, ())
    return found


PATHS = _paths()


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_command_has_help(conduit: Conduit, path: tuple[str, ...]) -> None:
    outcome = conduit(*path, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"Usage: conduit {' '.join(path)}")
    assert outcome.err == ""


def test_every_name_of_the_table_is_a_command() -> None:
    for name in (*COMMANDS, *HIDDEN):
        assert root_command().get_command(None, name) is not None


@pytest.mark.parametrize("alias", [("keys", "ls"), ("keys", "rm"), ("providers", "rm"), ("costs",)])
def test_hidden_aliases_work(conduit: Conduit, alias: tuple[str, ...]) -> None:
    assert conduit(*alias, "--help").code == 0


def test_the_help_of_the_root_imports_no_command(shell: Shell) -> None:
    loaded = _modules_after(shell, "--help")
    assert not [name for name in loaded if name.startswith("conduit.cli.commands.")]


FORBIDDEN = {
    "PIL",
    "aiohttp",
    "jmespath",
    "openai",
    "plotext",
    "pydantic",
    "rich",
    "rich.markdown",
    "socketio",
    "sqlalchemy",
    "textual",
    "tomlkit",
}


@pytest.mark.parametrize(
    "arguments",
    [
        ("keys", "list", "--json"),
        ("keys", "list"),
        ("keys", "create", "x", "--budget", "5"),
        ("status",),
        ("chat", "-m", "m", "hi"),
        ("logs", "list"),
        ("up", "--help"),
        ("--help",),
    ],
    ids=" ".join,
)
def test_a_one_shot_command_loads_nothing_heavy(
    shell: Shell, gateway: FakeGateway, arguments: tuple[str, ...]
) -> None:
    gateway.chat = stream_hello
    assert not FORBIDDEN & _modules_after(shell, *arguments)


def test_the_version_alone_does_not_even_load_typer(shell: Shell) -> None:
    assert not {"typer", "argparse", "json"} & _modules_after(shell, "--version")


def _modules_after(shell: Shell, *arguments: str) -> set[str]:
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('\\nMODULES', *sys.modules, file=sys.stderr))\n"
        f"sys.argv = ['conduit', *{list(arguments)!r}]\n"
        "from conduit.cli import main\n"
        "main()\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code],
        env=shell.environment,
        input="",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return set(finished.stderr.rpartition("\nMODULES ")[2].split())


def test_completion_offers_nouns_and_verbs(shell: Shell) -> None:
    environment = {"_CONDUIT_COMPLETE": "complete_bash", "COMP_CWORD": "1"}
    assert shell(COMP_WORDS="conduit ke", **environment).out.split() == ["keys"]
    environment["COMP_CWORD"] = "2"
    words = shell(COMP_WORDS="conduit keys ", **environment).out.split()
    assert {"list", "create", "delete"} <= set(words)


@pytest.mark.parametrize("name", ["bash", "zsh", "fish", "powershell"])
def test_completion_prints_a_script(conduit: Conduit, name: str) -> None:
    assert "_CONDUIT_COMPLETE" in conduit("completion", name).out


def test_options_before_the_noun_count_too(conduit: Conduit) -> None:
    assert conduit("--url", "http://127.0.0.1:9", "status").code == 3


def test_options_before_a_verb_with_a_default_count_too(conduit: Conduit) -> None:
    assert '"findings"' in conduit("doctor", "--json", "ledger").out
