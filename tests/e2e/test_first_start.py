"""`conduit up` on a machine that has never seen it, as a person's terminal runs it."""

import json
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.processes import ROOT, START_S, free_port

COMMAND = [sys.executable, "-m", "conduit.cli"]
MASTER_KEY = re.compile(r"condt_mk_[0-9A-Za-z]{20,}")
VIRTUAL_KEY = re.compile(r"condt_(?!mk_)[0-9A-Za-z]{20,}")
TIMEOUT_S = 20.0
CANARIES = {
    "OPENAI_API_KEY": "sk-canary-openai-0123456789abcdef",
    "GROQ_API_KEY": "gsk_canarygroq0123456789abcdef",
}


@dataclass(frozen=True, slots=True)
class Machine:
    """A home of its own, and the commands run in it."""

    home: Path
    environment: dict[str, str]

    def run(self, *command: str, status: int = 0, feed: str | None = None) -> str:
        """Standard output of a command that ends by itself."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            input=feed or "",
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return done.stdout

    def conduit(self, *arguments: str, status: int = 0) -> str:
        return self.run(*COMMAND, *arguments, status=status)

    @contextmanager
    def up(self, *arguments: str) -> Iterator["Terminal"]:
        """`conduit up` in the foreground, from the moment it listens until Ctrl-C."""
        terminal = Terminal(self.home.with_suffix(".out"), self.home.with_suffix(".err"))
        with (
            terminal.out_file.open("wb") as out,
            terminal.err_file.open("wb") as err,
            subprocess.Popen(
                [*COMMAND, "up", *arguments],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            ) as process,
        ):
            try:
                terminal.wait_until_it_listens(process)
                yield terminal
                process.send_signal(signal.SIGINT)
                assert process.wait(TIMEOUT_S) == 0, terminal.err
            finally:
                process.kill()


@dataclass(frozen=True, slots=True)
class Terminal:
    """What has been printed."""

    out_file: Path
    err_file: Path

    @property
    def out(self) -> str:
        return self.out_file.read_text()

    @property
    def err(self) -> str:
        return self.err_file.read_text()

    @property
    def url(self) -> str:
        found = re.search(r"is running at (\S+)", self.out)
        assert found, self.out
        return found[1]

    def wait_until_it_listens(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_S
        while "listening on" not in self.err:
            assert process.poll() is None, self.err
            assert time.monotonic() < deadline, self.err
            time.sleep(0.02)


def machine(home: Path, **environment: str) -> Machine:
    return Machine(
        home,
        {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "CONDUIT_HOME": str(home),
            "CONDUIT_PORT": str(free_port()),
            "CONDUIT_DRAIN_ACCEPT_S": "0",
            **environment,
        },
    )


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return machine(tmp_path_factory.mktemp("first") / "home")


@pytest.fixture(scope="module")
def terminal(here: Machine) -> Iterator[Terminal]:
    """The very first start."""
    with here.up() as running:
        yield running


def test_it_says_where_it_is_what_it_found_and_each_key_once(
    here: Machine, terminal: Terminal
) -> None:
    text = terminal.out
    assert terminal.url == f"http://127.0.0.1:{here.environment['CONDUIT_PORT']}"
    assert len(MASTER_KEY.findall(text)) == 1
    # Shown once as such; the two lines that can be pasted need it too.
    assert len(set(VIRTUAL_KEY.findall(text))) == 1
    assert "SIMULATED" in text
    assert not MASTER_KEY.search(terminal.err)
    assert not VIRTUAL_KEY.search(terminal.err)


def test_all_that_it_suggests_works_when_pasted(here: Machine, terminal: Terminal) -> None:
    lines = terminal.out.splitlines()
    (curl,) = (line for line in lines if line.startswith("curl "))
    (chat,) = (line.strip() for line in lines if line.startswith("  conduit chat"))
    snippet = terminal.out[terminal.out.index("from openai import OpenAI") :]
    script = here.home.with_name("snippet.py")
    script.write_text(snippet)
    with ThreadPoolExecutor() as at_once:  # the simulator takes its time, as a model would
        streamed = at_once.submit(here.run, "bash", "-c", curl)
        answers = [
            at_once.submit(here.conduit, *shlex.split(chat)[1:]),
            at_once.submit(here.run, sys.executable, str(script)),
            # The interactive interpreter is where a terminal's text is most often pasted.
            at_once.submit(here.run, sys.executable, "-i", "-q", feed=snippet),
        ]
    *events, end = streamed.result().removesuffix("\n\n").split("\n\n")
    assert end == "data: [DONE]"
    deltas = [json.loads(each.removeprefix("data: "))["choices"][0]["delta"] for each in events]
    texts = ["".join(delta.get("content") or "" for delta in deltas)]
    texts += [answer.result() for answer in answers]
    assert ["simulated" in text.lower() for text in texts] == [True] * 4, texts


def test_everything_it_writes_is_for_its_owner_alone(here: Machine, terminal: Terminal) -> None:
    assert terminal.url
    for path in [here.home, *here.home.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), f"{path} {mode:o}"


def test_a_script_makes_a_key_calls_and_reads_the_cost(here: Machine, terminal: Terminal) -> None:
    here.conduit("prices", "set", "simulator/*", "--input", "1", "--output", "2")
    script = f"""
        set -euo pipefail
        conduit() {{ {sys.executable} -m conduit.cli "$@"; }}
        KEY=$(conduit keys create ci --budget 5 -q)
        curl -fsS {terminal.url}/v1/chat/completions -H "Authorization: Bearer $KEY" \\
            -H 'Content-Type: application/json' \\
            -d '{{"model": "simulated-small", "messages": [{{"role": "user", "content": "Hi"}}]}}'
    """
    answer = json.loads(here.run("bash", "-c", script))
    assert answer["choices"][0]["message"]["content"]
    used = answer["usage"]
    expected = (used["prompt_tokens"] + 2 * used["completion_tokens"]) / 1_000_000
    deadline = time.monotonic() + TIMEOUT_S
    while not (
        rows := json.loads(here.conduit("logs", "list", "--json", "--filter", "key:ci"))["data"]
    ):
        assert time.monotonic() < deadline, "the record never appeared"
    (row,) = rows
    assert (row["key"], row["status"]) == ("ci", 200)
    assert float(row["cost"]) == pytest.approx(expected)


def test_a_second_start_while_one_runs_points_to_it(here: Machine, terminal: Terminal) -> None:
    done = subprocess.run(
        [*COMMAND, "up"], cwd=ROOT, env=here.environment, capture_output=True, text=True, check=True
    )
    assert f"already running at {terminal.url}" in done.stdout + done.stderr


def test_a_gateway_in_the_background_is_found_and_stopped(tmp_path: Path) -> None:
    away = machine(tmp_path / "home")
    text = away.conduit("up", "-d")
    try:
        assert MASTER_KEY.search(text)
        status = json.loads(away.conduit("status", "--json"))
        assert (status["ready"], status["providers"], status["keys"]) == (True, 1, 1)
        log = (away.home / "state" / "gateway.log").read_text()
        assert not MASTER_KEY.search(log)
        assert not VIRTUAL_KEY.search(log)
    finally:
        away.conduit("down", "--yes")
    away.conduit("status", "--json", status=3)
    with away.up() as second:
        assert "simulator: 3 models, stored" in second.out
        assert not MASTER_KEY.search(second.out + second.err)
        assert not VIRTUAL_KEY.search(second.out + second.err)


def test_where_every_alias_is_a_wildcard_it_names_a_model_that_can_be_pasted(
    tmp_path: Path,
) -> None:
    away = machine(tmp_path / "home")
    with away.up():
        names = away.conduit("mappings", "list", "-q").split()
        away.conduit("mappings", "delete", *names, "--yes")
        away.conduit("mappings", "add", "sim/*", "--to", "simulator/{*}")
    for _ in range(2):  # what it found is kept, and a wildcard takes it
        with away.up() as terminal:
            (chat,) = (line.strip() for line in terminal.out.splitlines() if " chat " in line)
            assert "MODEL" not in chat
            assert "simulated" in away.conduit(*shlex.split(chat)[1:])
        context = json.loads(away.conduit("context", "show", "local", "--json"))
        assert context["default_model"] == "sim/simulated-large"


def test_keys_of_providers_are_taken_up_by_reference(tmp_path: Path) -> None:
    # A proxy that is not there: nothing leaves this machine, wherever the tests run.
    away = machine(
        tmp_path / "home",
        **CANARIES,
        CONDUIT_PROXY_FROM_ENVIRONMENT="true",
        HTTPS_PROXY=f"http://127.0.0.1:{free_port()}",
    )
    with away.up() as terminal:
        assert "env OPENAI_API_KEY" in terminal.out
        assert "env GROQ_API_KEY" in terminal.out
        assert "the models of provider openai could not be listed" in terminal.out
        assert "simulator" not in terminal.out
        shown = json.loads(away.conduit("providers", "list", "--json"))
        assert [each["name"] for each in shown["data"]] == ["groq", "openai"]
        written = [path.read_bytes() for path in away.home.rglob("*") if path.is_file()]
        printed = (terminal.out + terminal.err + json.dumps(shown)).encode()
    written += [path.read_bytes() for path in away.home.rglob("*") if path.is_file()]
    for canary in CANARIES.values():
        assert all(canary.encode() not in each for each in [printed, *written])


def test_a_port_that_is_taken_is_left_to_its_owner(tmp_path: Path) -> None:
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        taken = owner.getsockname()[1]
        with machine(tmp_path / "home", CONDUIT_PORT=str(taken)).up() as terminal:
            assert taken < int(terminal.url.rsplit(":", 1)[1]) < taken + 100
            assert f"(port {taken} was taken)" in terminal.out
