"""A call of a loaded `conduit` is what a process of its own would have been."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import loaded


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "CONDUIT_HOME": str(tmp_path / "conduit"),
        "CONDUIT_URL": "http://127.0.0.1:1",
        "PYTHONPATH": str(loaded.ROOT),
        "PYTHONWARNINGS": "error",
        "LC_ALL": "C.UTF-8",
    }


@pytest.mark.parametrize(
    "arguments",
    [[], ["--help"], ["kyes"], ["context", "list", "--json"], ["chat", "-", "--json"],
     ["db", "stats"], ["translate", "--help"], ["chat", "gr\u00f6\u00dfe \U0001f600", "-m"]],
    ids=" ".join,
)  # fmt: skip
def test_it_says_and_returns_the_same(arguments: list[str], env: dict[str, str]) -> None:
    asked = b"a question\n" * 20_000  # more than a pipe holds, and some read none of it
    fresh = subprocess.run(
        [sys.executable, "-m", "conduit.cli", *arguments],
        env=env,
        input=asked,
        capture_output=True,
        timeout=60,
    )
    called = loaded.call(arguments, env=env, stdin=asked)
    assert (called.returncode, called.stdout, called.stderr) == (
        fresh.returncode,
        fresh.stdout,
        fresh.stderr,
    )


def test_it_has_an_environment_and_a_folder_of_its_own(
    env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for home in ("one", "two"):
        adding = ["context", "add", home, "--url", "http://127.0.0.1:2"]
        assert loaded.call(adding, env=env | {"CONDUIT_HOME": home}).returncode == 0
        assert f"[contexts.{home}]" in (tmp_path / home / "config.toml").read_text()


def test_it_is_ended_when_it_takes_too_long(env: dict[str, str]) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        loaded.call(["serve"], env=env | {"CONDUIT_PORT": "0"}, timeout_s=0.5)
