"""What a shell is offered: commands, words, names of the gateway; in time and without a sound."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Shell
from tests.cli.fake_gateway import FakeGateway


def offered(shell: Shell, line: str, name: str = "bash", **environment: str) -> list[str]:
    outcome = shell(
        _CONDUIT_COMPLETE=f"complete_{name}",
        COMP_WORDS=line,
        COMP_CWORD=str(len(line.split(" ")) - 1),
        _TYPER_COMPLETE_ARGS=line,
        _TYPER_COMPLETE_FISH_ACTION="get-args",
        **environment,
    )
    assert outcome.err == ""
    return [word for word in outcome.out.split("\n") if word]


def cache_of(shell: Shell) -> Path:
    return shell.home / "conduit/state/completion.json"


def write_cache(
    shell: Shell, gateway: FakeGateway, names: dict[str, list[str]], age_s: float = 0
) -> None:
    entry = {"at": time.time() - age_s, **names}
    cache_of(shell).parent.mkdir(parents=True, exist_ok=True)
    cache_of(shell).write_text(json.dumps({gateway.url: entry}))


def wait_until_written(shell: Shell) -> None:
    deadline = time.monotonic() + 30
    while not cache_of(shell).exists():
        assert time.monotonic() < deadline, "the names have not come"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("conduit keys show ", "keys"),
        ("conduit keys delete one ", "keys"),
        ("conduit providers test ", "providers"),
        ("conduit providers credentials list ", "providers"),
        ("conduit mappings show ", "mappings"),
        ("conduit notifications show ", "notifications"),
        ("conduit notifications ack one ", "notifications"),
        ("conduit chat --model ", "mappings"),
        ("conduit logs list --key ", "keys"),
        ("conduit logs list --provider ", "providers"),
        ("conduit usage --key ", "keys"),
        ("conduit groups show ", "groups"),
        ("conduit groups credit ", "groups"),
        ("conduit keys list --group ", "groups"),
        ("conduit usage --alias ", "mappings"),
    ],
)
def test_names_come_from_the_cache(
    shell: Shell, gateway: FakeGateway, line: str, kind: str
) -> None:
    names = {
        each: [f"{each}-b", f"{each}-a"]
        for each in ("keys", "groups", "providers", "mappings", "notifications")
    }
    write_cache(shell, gateway, names)
    assert offered(shell, line) == [f"{kind}-a", f"{kind}-b"]
    assert offered(shell, f"{line}{kind}-b") == [f"{kind}-b"]
    assert gateway.seen == []


@pytest.mark.parametrize("line", ["conduit keys create ", "conduit providers add "])
def test_a_new_thing_is_not_offered_old_names(
    shell: Shell, gateway: FakeGateway, line: str
) -> None:
    write_cache(shell, gateway, {"keys": ["one"], "providers": ["one"]})
    assert "one" not in offered(shell, line)


def test_an_old_cache_is_refreshed_in_the_background(shell: Shell, gateway: FakeGateway) -> None:
    gateway.add("keys", name="new-key")
    gateway.hold = None
    offered(shell, "conduit keys show ")
    wait_until_written(shell)
    assert offered(shell, "conduit keys show ") == ["new-key"]
    assert cache_of(shell).stat().st_mode & 0o777 == 0o600


def test_a_gateway_that_does_not_answer_keeps_nobody_waiting(
    shell: Shell, gateway: FakeGateway
) -> None:
    write_cache(shell, gateway, {"keys": ["old-key"]}, age_s=3600)
    gateway.delay_s = 60
    assert offered(shell, "conduit keys show ") == ["old-key"]


@pytest.mark.parametrize(
    "environment",
    [
        {"CONDUIT_URL": "not a url"},
        {"CONDUIT_CONTEXT": "nowhere"},
        {"CONDUIT_MASTER_KEY_FILE": "/nowhere", "CONDUIT_MASTER_KEY": ""},
        {"COMP_CWORD": "x"},
    ],
)
def test_nothing_is_ever_said(shell: Shell, environment: dict[str, str]) -> None:
    outcome = shell(
        **{
            "_CONDUIT_COMPLETE": "complete_bash",
            "COMP_WORDS": "conduit keys show ",
            "COMP_CWORD": "3",
            **environment,
        }
    )
    assert (outcome.out.strip(), outcome.err) == ("", "")


def test_a_damaged_cache_is_no_cache(shell: Shell, gateway: FakeGateway) -> None:
    for text in ("", "[]", "{}", f'{{"{gateway.url}": 5}}'):
        cache_of(shell).parent.mkdir(parents=True, exist_ok=True)
        cache_of(shell).write_text(text)
        gateway.delay_s = 60
        assert offered(shell, "conduit keys show ") == []


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_no_name_reaches_the_command_line_that_a_shell_would_run(
    shell: Shell, gateway: FakeGateway, name: str
) -> None:
    bad = ["$(touch owned)", "`id`", "a;b", "a b", "a'b", "--yes", "a\nb", "a|b", "~x", "*"]
    write_cache(shell, gateway, {"keys": [*bad, "good"]})
    text = "\n".join(offered(shell, "conduit keys show ", name))
    assert "good" in text
    for each in ("touch", "`", ";", "a b", "--yes", "a|b", "~x"):
        assert each not in text


def test_words_are_offered_for_options_that_have_them(shell: Shell) -> None:
    assert offered(shell, "conduit keys list --output js") == ["json", "jsonl"]
    assert offered(shell, "conduit --color ") == ["auto", "always", "never"]
    assert "create" in offered(shell, "conduit help keys ")
    assert offered(shell, "conduit completion f") == ["fish"]
    assert "--filter" in offered(shell, "conduit keys list --f")


def test_contexts_are_offered_without_any_gateway(lonely_shell: Shell) -> None:
    lonely_shell("context", "add", "prod", "--url", "https://gw.invalid")
    assert offered(lonely_shell, "conduit context use ") == ["prod"]
    assert offered(lonely_shell, "conduit -C p") == ["prod"]


def test_descriptions_stand_beside_commands(shell: Shell) -> None:
    assert "keys\tVirtual keys" in offered(shell, "conduit ke", "fish")
    assert '"keys":"Virtual keys"' in "".join(offered(shell, "conduit ke", "zsh"))


def test_completing_loads_nothing_heavy(shell: Shell) -> None:
    for name in ("bash", "zsh", "fish"):
        code = (
            "import atexit, sys\n"
            "atexit.register(lambda: print('MODULES', *sys.modules, file=sys.stderr))\n"
            "sys.argv = ['conduit']\n"
            "from conduit.cli import main\nmain()\n"
        )
        line = "conduit keys list --"
        finished = subprocess.run(
            [sys.executable, "-c", code],
            env={
                **shell.environment,
                "_CONDUIT_COMPLETE": f"complete_{name}",
                "COMP_WORDS": line,
                "COMP_CWORD": "3",
                "_TYPER_COMPLETE_ARGS": line,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        loaded = set(finished.stderr.rpartition("MODULES ")[2].split())
        assert not {"rich", "pydantic", "aiohttp", "textual"} & loaded, name


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_completes_with_the_script(shell: Shell, gateway: FakeGateway, tmp_path: Path) -> None:
    write_cache(shell, gateway, {"keys": ["alpha", "beta"]})
    program = tmp_path / "bin" / "conduit"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m conduit.cli "$@"\n')
    program.chmod(0o755)
    script = shell("completion", "bash").out
    line = (
        f"{script}\nCOMP_WORDS=(conduit keys show al)\nCOMP_CWORD=3\n"
        '_conduit_completion conduit\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    finished = subprocess.run(
        ["bash", "--norc", "-c", line],
        env={**shell.environment, "PATH": f"{program.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (finished.stdout, finished.stderr) == ("alpha\n", "")


def test_it_is_installed_where_the_shell_looks(shell: Shell, tmp_path: Path) -> None:
    assert shell("completion", "--install", SHELL="/bin/bash").code == 0
    (script,) = tmp_path.glob(".bash_completions/*")
    assert "_CONDUIT_COMPLETE" in script.read_text()
    assert str(script) in (tmp_path / ".bashrc").read_text()
    assert shell("completion", "--install", SHELL="/bin/ksh").code == 2
