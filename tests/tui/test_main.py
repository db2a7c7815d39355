"""The command `conduit-tui`: what it takes, and how it says no."""

import asyncio
import json
import os
import pty
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from conduit import __version__
from conduit.core.keys import is_virtual_key, make_master_key
from conduit.tui.main import main
from tests.e2e.conftest import Running, running_gateway
from tests.e2e.processes import free_port

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60
HEAVY = {"aiohttp", "socketio", "pydantic", "sqlalchemy", "openai"}


def test_its_version_is_that_of_the_gateway(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"conduit-tui {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["--dashboard"], ["--theme", "mauve"], ["--screen", "kitchen"]]
)
def test_a_wrong_option_is_a_usage_error(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def loaded_by(statement: str) -> set[str]:
    code = f"import sys, json\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    outcome = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(outcome.stdout))


def test_what_the_store_knows_loads_no_terminal_and_no_network() -> None:
    loaded = loaded_by("import conduit.tui.state.store, conduit.tui.actions")
    assert not loaded & (HEAVY | {"textual"})


def test_the_command_line_is_read_before_anything_heavy_is_loaded() -> None:
    assert not loaded_by("import conduit.tui.main") & (HEAVY | {"textual"})


def test_the_first_frame_needs_no_network_library() -> None:
    loaded = loaded_by(
        "import conduit.tui.app\n"
        "from conduit.tui.places import PLACES\n"
        "next(p for p in PLACES if p.name == 'overview').load()"
    )
    assert "textual" in loaded
    assert not loaded & HEAVY


def run(
    *arguments: str, environment: Mapping[str, str], terminal: bool, stdin: str = ""
) -> tuple[int, str]:
    """The command in a process; its exit code and all that it wrote."""
    command = [sys.executable, "-m", "conduit.tui.main", *arguments]
    if not terminal:
        outcome = subprocess.run(
            command,
            cwd=ROOT,
            env=dict(environment),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert outcome.stdout == ""
        return outcome.returncode, outcome.stderr
    return _run_on_a_terminal(command, environment)


def _run_on_a_terminal(command: list[str], environment: Mapping[str, str]) -> tuple[int, str]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, cwd=ROOT, env=dict(environment), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    written = b""
    try:
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # what Linux says when the other side has closed
                break
            if not part:
                break
            written += part
        return process.wait(PATIENCE_S), written.decode()
    finally:
        os.close(ours)
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a person with a terminal and without any context."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONDUIT_")}
    return {
        **kept,
        "CONDUIT_HOME": str(tmp_path / "client"),
        "CONDUIT_MASTER_KEY": make_master_key(),
        "TERM": "xterm-256color",
        "PYTHONPATH": str(ROOT),
    }


def test_without_a_terminal_it_names_the_commands_that_work_anywhere(
    environment: dict[str, str],
) -> None:
    code, said = run(environment=environment, terminal=False)
    assert code == 2
    assert said.startswith("error: standard input is not a terminal\n")
    assert "conduit status" in said
    assert "\x1b" not in said


def test_a_dumb_terminal_is_refused_without_a_single_escape(environment: dict[str, str]) -> None:
    code, said = run(environment={**environment, "TERM": "dumb"}, terminal=True)
    assert code == 2
    assert "TERM=dumb" in said
    assert "\x1b" not in said


@pytest.mark.parametrize("option", ["-a", "-c"])
def test_no_gateway_is_one_sentence_and_the_exit_code_of_unreachable(
    environment: dict[str, str], option: str
) -> None:
    """The admin API is where clients call the gateway, unless another address is given."""
    url = f"http://127.0.0.1:{free_port()}"
    code, said = run(option, url, environment=environment, terminal=True)
    assert code == 3, said
    assert f"error: no answer from the gateway at {url}" in said
    assert "conduit up" in said


def test_no_key_is_told_before_anything_is_asked(environment: dict[str, str]) -> None:
    del environment["CONDUIT_MASTER_KEY"]
    code, said = run(environment=environment, terminal=True)
    assert code == 4
    assert "no master key is known" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-C", "nowhere"), "there is no context 'nowhere'"),
        (("-a", "ftp://x"), "a gateway's URL begins with http:// or https://"),
        (("-c", "ftp://x"), "a gateway's URL begins with http:// or https://"),
        (("-k", "a", "--master-key-file", "b"), "give one of --master-key and --master-key-file"),
        (("--master-key-file", "/nonexistent/key"), "--master-key-file /nonexistent/key"),
        (("-k", "-"), "standard input holds no single key"),
        (("-k",), "--master-key asks on a terminal"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(
    environment: dict[str, str], arguments: tuple[str, ...], said: str
) -> None:
    terminal = arguments[0] in ("-C", "-a", "-c")
    code, text = run(*arguments, environment=environment, terminal=terminal)
    assert code == 2
    assert said in text


def test_a_key_on_the_command_line_is_taken_with_one_line_of_advice(
    environment: dict[str, str],
) -> None:
    secret = make_master_key()
    url = f"http://127.0.0.1:{free_port()}"
    code, said = run("-k", secret, "-a", url, environment=environment, terminal=True)
    assert code == 3
    assert said.count("hint: other users can read a key in the list of processes") == 1
    assert secret not in said


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_gateway(tmp_path / "home") as found:
        yield found


async def test_a_wrong_key_is_one_sentence_and_the_exit_code_of_not_permitted(
    gateway: Running, environment: dict[str, str]
) -> None:
    code, said = await asyncio.to_thread(
        run, "-a", gateway.url, environment=environment, terminal=True
    )
    assert code == 4, said
    assert "error: " in said
    assert environment["CONDUIT_MASTER_KEY"] not in said


async def test_the_key_of_its_chats_is_printed_with_its_details(
    gateway: Running, environment: dict[str, str]
) -> None:
    environment["CONDUIT_MASTER_KEY"] = gateway.master_key
    outcome = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "conduit.tui.main", "-s", "-a", gateway.url],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert outcome.returncode == 0, outcome.stderr
    assert is_virtual_key(outcome.stdout.removesuffix("\n"))
    assert "name     conduit-tui-" in outcome.stderr
    assert "$0.00 of $5.00, total" in outcome.stderr
    assert outcome.stdout.strip() not in outcome.stderr
    known = {**environment, "CONDUIT_API_KEY": outcome.stdout.strip()}
    again = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "conduit.tui.main", "-s", "-a", gateway.url],
        cwd=ROOT,
        env=known,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert again.stdout == outcome.stdout
    assert outcome.stderr.splitlines()[0] == again.stderr.splitlines()[0]
