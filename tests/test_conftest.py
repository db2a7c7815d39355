"""The rules of `conftest.py` themselves."""

import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import NetworkReached

# An address of the range reserved for documentation: no packet to it can matter.
ELSEWHERE = ("192.0.2.1", 9)


def test_a_connection_to_another_machine_is_refused() -> None:
    with socket.socket() as connection, pytest.raises(NetworkReached):
        connection.connect(ELSEWHERE)


def test_a_datagram_to_another_machine_is_refused() -> None:
    datagrams = socket.socket(type=socket.SOCK_DGRAM)
    with datagrams, pytest.raises(NetworkReached):
        datagrams.sendto(b"hello", ELSEWHERE)


def test_a_server_for_other_machines_is_refused() -> None:
    with socket.socket() as listener, pytest.raises(NetworkReached):
        listener.bind(("0.0.0.0", 0))


def test_a_public_name_is_not_looked_up() -> None:
    with pytest.raises(NetworkReached):
        urllib.request.urlopen("http://api.example.com/", timeout=5)


def test_a_name_that_cannot_exist_is_answered_as_a_resolver_would() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("provider.invalid", 443)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_reachable(host: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection((host, listener.getsockname()[1]), timeout=5):
            connection, _ = listener.accept()
            connection.close()


def test_the_environment_holds_no_settings_of_the_person_who_runs_the_tests(
    own_environment: Path,
) -> None:
    assert Path.home() == own_environment
    assert not [name for name in os.environ if name.startswith("CONDUIT_")]
    assert not [name for name in os.environ if name.upper().endswith("_PROXY")]
    assert not {"COLUMNS", "LINES"} & os.environ.keys()


@pytest.mark.parametrize(
    ("required", "exit_code"), [("0", pytest.ExitCode.OK), ("1", pytest.ExitCode.TESTS_FAILED)]
)
def test_a_skip_is_a_failure_where_services_are_required(
    tmp_path: Path, required: str, exit_code: pytest.ExitCode
) -> None:
    test = tmp_path / "test_skipping.py"
    test.write_text("import pytest\n\n\ndef test_skipping():\n    pytest.skip('no node')\n")
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", os.devnull, str(test)],
        cwd=Path(__file__).parents[1],
        env=os.environ
        | {"CONDUIT_REQUIRE_SERVICES": required, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
    )
    assert outcome.returncode == exit_code, outcome.stdout + outcome.stderr
    assert "no node" in outcome.stdout or required == "0"
