"""Questions on a terminal: asked of a person, never of a script."""

import os
import subprocess

import pytest

from tests.cli.conftest import Shell
from tests.cli.fake_gateway import FakeGateway

pty = pytest.importorskip("pty")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1000)
    except OSError:  # Linux says so when the other side is closed
        return b""


def _converse(shell: Shell, answer: str, *arguments: str) -> tuple[int, str]:
    """Run with stdin and stderr on a pseudo-terminal, answer the first question."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        shell.command(*arguments),
        env=shell.environment,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    shown = part = _read(ours)
    while part and b"? Type y to confirm: " not in shown and b"API key: " not in shown:
        part = _read(ours)
        shown += part
    if part:
        os.write(ours, answer.encode() + b"\n")
    while part := _read(ours):
        shown += part
    os.close(ours)
    process.communicate(timeout=30)
    return process.returncode, shown.decode()


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 2), ("", 2)])
def test_deleting_asks_a_person(shell: Shell, gateway: FakeGateway, answer: str, code: int) -> None:
    gateway.add("keys", name="ci")
    returned, shown = _converse(shell, answer, "keys", "delete", "ci")
    assert returned == code
    assert "Delete key ci?" in shown
    assert (gateway.tables["keys"] == []) is (code == 0)


def test_a_provider_key_is_typed_unseen(shell: Shell, gateway: FakeGateway) -> None:
    secret = "sk-typed-by-hand-000000000000001"
    returned, shown = _converse(shell, secret, "providers", "add", "openai", "--no-test")
    assert returned == 0
    assert secret not in shown
    assert gateway.requests("POST")[0].body["credential"] == {"secret": secret}


@pytest.mark.parametrize("flag", ["--no-input", "--json"])
def test_a_terminal_alone_does_not_make_it_ask(
    shell: Shell, gateway: FakeGateway, flag: str
) -> None:
    gateway.add("keys", name="ci")
    returned, shown = _converse(shell, "y", "keys", "delete", "ci", flag)
    assert returned == 2
    assert "--yes" in shown
    assert len(gateway.tables["keys"]) == 1
