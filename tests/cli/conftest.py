"""Running the command line, as a process of its own or within this one."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from conduit.cli.main import run
from tests import loaded
from tests.cli.fake_gateway import MASTER_KEY, VIRTUAL_KEY, FakeGateway, running

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Outcome:
    code: int
    out: str
    err: str


class Shell:
    """Runs `conduit` as a process, with an environment of its own."""

    def __init__(self, home: Path, url: str | None) -> None:
        self.home = home
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "CONDUIT_HOME": str(home / "conduit"),
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error",
            "LC_ALL": "C.UTF-8",
        }
        if url is not None:
            self.environment |= {
                "CONDUIT_URL": url,
                "CONDUIT_MASTER_KEY": MASTER_KEY,
                "CONDUIT_API_KEY": VIRTUAL_KEY,
            }

    def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> Outcome:
        finished = loaded.call(
            arguments, env={**self.environment, **environment}, stdin=stdin.encode()
        )
        return Outcome(finished.returncode, finished.stdout.decode(), finished.stderr.decode())

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "conduit.cli", *arguments]

    def start(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with running() as fake:
        yield fake


@pytest.fixture
def shell(gateway: FakeGateway, tmp_path: Path) -> Shell:
    """`conduit` with a fake gateway."""
    return Shell(tmp_path, gateway.url)


@pytest.fixture
def lonely_shell(tmp_path: Path) -> Shell:
    """`conduit` with no gateway and no settings."""
    return Shell(tmp_path, None)


@pytest.fixture
def started(lonely_shell: Shell) -> Iterator[Outcome]:
    """What `conduit up -d` said; the gateway runs until the test ends."""
    outcome = lonely_shell("up", "-d", "--port", "0")
    assert outcome.code == 0, outcome.err
    yield outcome
    lonely_shell("down", "--yes")


Conduit = Callable[..., Outcome]


@pytest.fixture
def conduit(
    gateway: FakeGateway,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Conduit:
    """`conduit` within this process, for tests of what a command does."""
    monkeypatch.setenv("CONDUIT_HOME", str(tmp_path / "conduit"))
    monkeypatch.setenv("CONDUIT_URL", gateway.url)
    monkeypatch.setenv("CONDUIT_MASTER_KEY", MASTER_KEY)
    monkeypatch.setenv("CONDUIT_API_KEY", VIRTUAL_KEY)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def call(*arguments: str) -> Outcome:
        code = run(arguments)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call
