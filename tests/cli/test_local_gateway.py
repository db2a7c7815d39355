"""`up`, `down`, `serve` and `logs tail` with a real gateway of this machine."""

import json
import re
import shlex
import signal
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest

from conduit.cli.commands import up
from conduit.cli.local.welcome import welcome
from conduit.core.announcement import Announcement
from conduit.core.keys import make_master_key
from conduit.gateway.ledger.records import ProgressRecord, storable_line
from tests.cli.conftest import Outcome, Shell
from tests.fakes.certificates import Authority


def _credentials(shell: Shell) -> dict[str, str]:
    path = shell.home / "conduit/credentials.toml"
    assert path.stat().st_mode & 0o777 == 0o600
    stored: dict[str, str] = tomllib.loads(path.read_text())["contexts"]["local"]
    return stored


def test_a_first_chat_works_right_after_up(lonely_shell: Shell, started: Outcome) -> None:
    outcome = lonely_shell("chat", "-p", "max_tokens=20", "hello", "--usage")
    assert outcome.code == 0
    assert outcome.out.strip()
    assert "simulated" in outcome.err
    assert lonely_shell("status", "--check").code == 0
    assert lonely_shell("doctor").code == 0


def test_the_first_start_shows_each_key_once_and_the_second_none(
    lonely_shell: Shell, started: Outcome
) -> None:
    stored = _credentials(lonely_shell)
    assert started.out.count(stored["master_key"]) == 1
    assert stored["virtual_key"] in started.out
    assert "SIMULATED" in started.out
    state = lonely_shell.home / "conduit/state"
    for path in state.rglob("*"):
        if path.is_file():
            assert stored["master_key"] not in path.read_text()
            assert stored["virtual_key"] not in path.read_text()
    again = lonely_shell("up")
    assert again.code == 0
    assert "already running at http://127.0.0.1:" in again.err
    assert lonely_shell("down", "--yes").code == 0
    second = lonely_shell("up", "-d", "--port", "0")
    assert "simulator" in second.out
    assert stored["virtual_key"] not in second.out + second.err
    assert _credentials(lonely_shell)["virtual_key"] == stored["virtual_key"]
    assert lonely_shell("chat", "-p", "max_tokens=5", "hello").code == 0


def test_what_is_printed_works_when_pasted(lonely_shell: Shell, started: Outcome) -> None:
    lines = started.out.splitlines()
    curl = next(line for line in lines if line.startswith("curl "))
    arguments = shlex.split(curl)
    assert json.loads(arguments[-1])["stream"] is True
    answered = subprocess.run(
        ["curl", "-sS", *arguments[1:]], capture_output=True, text=True, timeout=60, check=True
    )
    assert answered.stdout.rstrip().endswith("data: [DONE]")
    snippet = started.out[started.out.index("from openai import") :]
    spoken = subprocess.run(
        [sys.executable, "-c", snippet], capture_output=True, text=True, timeout=60, check=True
    )
    assert spoken.stdout.strip()


def test_down_needs_yes_and_stops_only_what_runs(lonely_shell: Shell, started: Outcome) -> None:
    assert lonely_shell("down").code == 2
    assert lonely_shell("down", "--yes").code == 0
    idle = lonely_shell("down", "--yes")
    assert idle.code == 0
    assert "no gateway" in idle.err
    assert lonely_shell("status").code == 3


def test_the_books_are_checked_with_and_without_the_gateway(
    lonely_shell: Shell, started: Outcome
) -> None:
    lonely_shell("chat", "-p", "max_tokens=5", "hello")
    online = json.loads(lonely_shell("doctor", "ledger", "--json").out)
    assert online["ok"] is True
    assert lonely_shell("doctor", "ledger", "--offline").code == 2  # the gateway has its lock
    lonely_shell("down", "--yes")
    offline = lonely_shell("doctor", "ledger", "--json")
    assert offline.code == 0
    assert json.loads(offline.out)["ok"] is True


def test_a_tail_shows_requests_as_they_end_and_sums_up(
    lonely_shell: Shell, started: Outcome
) -> None:
    with lonely_shell.start("logs", "tail", "-o", "jsonl") as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        assert b"connected" in tail.stderr.readline()
        lonely_shell("chat", "-p", "max_tokens=5", "hello")
        followed = json.loads(tail.stdout.readline())
        assert followed["status"] == 200
        tail.send_signal(signal.SIGINT)
        assert tail.wait(20) == 130
        assert b"1 request, 0 failed" in tail.stderr.read()
    past = lonely_shell("logs", "tail", "--since", "10m", "--no-follow", "-o", "jsonl").out
    assert json.loads(past.splitlines()[-1]) == followed


def test_a_tail_tells_of_a_lost_gateway_and_gives_up(lonely_shell: Shell, started: Outcome) -> None:
    with lonely_shell.start("logs", "tail", "--max-offline", "2s") as tail:
        assert tail.stderr is not None
        assert b"connected" in tail.stderr.readline()
        lonely_shell("down", "--yes")
        assert b"-- disconnected " in tail.stderr.readline()
        assert tail.wait(30) == 3


def test_up_stays_in_the_foreground_until_ctrl_c(lonely_shell: Shell) -> None:
    with lonely_shell.start("up", "--port", "0") as process:
        assert process.stdout is not None
        first = process.stdout.readline().decode()
        url = re.search(r"http://\S+", first)
        assert url is not None
        reader = threading.Thread(target=process.stdout.read)
        reader.start()
        assert lonely_shell("context", "show", "--query", "url").out.strip() == url[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        reader.join()
    assert not (lonely_shell.home / "conduit/state/gateway.json").exists()


def test_a_start_that_fails_says_why(lonely_shell: Shell) -> None:
    detached = lonely_shell("up", "-d", "--port", "0", CONDUIT_LEDGER_SYNC="sometimes")
    assert detached.code == 2
    assert "ledger_sync" in detached.err.splitlines()[0]
    assert lonely_shell("serve", "--port", "0").code == 2  # there is no master key yet


def test_serve_prints_no_secret_and_stops_on_sigterm(lonely_shell: Shell, tmp_path: Path) -> None:
    key = make_master_key()
    lonely_shell.environment |= {"CONDUIT_MASTER_KEY": key, "CONDUIT_DRAIN_ACCEPT_S": "0"}
    with lonely_shell.start("serve", "--port", "0", "--log-format", "text") as process:
        assert process.stderr is not None
        assert process.stdout is not None
        line = process.stderr.readline().decode()
        url = re.search(r"http://\S+", line)
        assert url is not None, line
        outcome = lonely_shell("--url", url[0], "providers", "add", "simulator")
        assert outcome.code == 0, outcome.err
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert key not in line + process.stderr.read().decode() + process.stdout.read().decode()


def test_serve_reads_settings_again_when_their_file_changes(
    lonely_shell: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('log_level = "info"\n')
    lonely_shell.environment |= {"CONDUIT_MASTER_KEY": make_master_key()}
    serve = ("serve", "--port", "0", "--log-format", "text", "--config", str(file), "--reload")
    with lonely_shell.start(*serve) as process:
        assert process.stderr is not None
        assert b"listening" in process.stderr.readline()
        file.write_text('max_attempts = "many"\n')
        assert b"the settings stay as they are" in process.stderr.readline()
        file.write_text("max_attempts = 5\n")
        assert b"settings read again; changed: max_attempts" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_password_of_redis_is_warned_of_and_never_shown(
    lonely_shell: Shell, tmp_path: Path
) -> None:
    lonely_shell.environment |= {"CONDUIT_MASTER_KEY": make_master_key()}
    for url in ("redis://:s3cret-word@127.0.0.1:9/x", "http://:s3cret-word@127.0.0.1:9"):
        refused = lonely_shell("serve", "--port", "0", "--redis", url)
        assert refused.code == 2
        assert "--redis: a password on the command line can be read" in refused.err
        assert "flag --redis" in refused.err
        assert "s3cret" not in refused.out + refused.err
    serve = ("serve", "--port", "0", "--log-format", "text")
    with lonely_shell.start(*serve, "--redis", "redis://:s3cret-word@127.0.0.1:9/0") as process:
        assert process.stderr is not None
        said = process.stderr.readline() + process.stderr.readline()
        while b"listening" not in said:
            said += process.stderr.readline()
        address = re.search(r"http://\S+", said.decode())
        assert address is not None
        shown = lonely_shell("--url", address[0], "config", "show", "--json")
        assert shown.code == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        told = said.decode() + process.stderr.read().decode() + shown.out + shown.err
        assert "s3cret" not in told


def test_damage_in_what_is_still_to_be_applied_is_found_without_the_gateway(
    lonely_shell: Shell, started: Outcome
) -> None:
    lonely_shell("down", "--yes")
    journal = lonely_shell.home / "conduit/data/journal"
    number = max(int(file.stem) for file in journal.glob("*.log")) + 1
    damaged = journal / f"{number:08d}.log"
    lines = [storable_line(ProgressRecord(f"att_{n}", n))[1] for n in range(3)]
    damaged.write_bytes(lines[0] + lines[1][5:] + lines[2])
    outcome = lonely_shell("doctor", "ledger", "--offline")
    assert outcome.code == 9
    assert f"{damaged} is damaged at byte {len(lines[0])}" in outcome.err
    assert "Restore the file from a copy; or" in outcome.err
    assert f"journal_bytes_unapplied {damaged.stat().st_size}" in outcome.err
    assert lonely_shell("up", "-d", "--port", "0").code == 2
    damaged.write_bytes(lines[0] + lines[2])
    assert lonely_shell("doctor", "ledger", "--offline").code == 0
    assert lonely_shell("up", "-d", "--port", "0").code == 0


@pytest.mark.parametrize(
    ("configured", "value", "origin"),
    [
        (None, 0.0, "default of conduit up"),
        ("conduit/gateway.toml", 7.0, "gateway.toml"),
    ],
)
def test_up_accepts_no_longer_than_it_is_told(
    lonely_shell: Shell, configured: str | None, value: float, origin: str
) -> None:
    if configured is not None:
        path = lonely_shell.home / configured
        path.parent.mkdir()
        path.write_text("drain_accept_s = 7\n")
    assert lonely_shell("up", "-d", "--port", "0", "--log-level", "warning").code == 0
    shown = json.loads(lonely_shell("config", "show", "--origin", "--json").out)["data"]
    rows = {row["name"]: row for row in shown}
    assert rows["drain_accept_s"]["value"] == value
    assert rows["drain_accept_s"]["origin"].endswith(origin)
    assert rows["log_level"]["origin"] == "flag --log-level"
    assert rows["port"]["origin"] == "flag --port"
    lonely_shell("down", "--yes")


def test_what_up_says_to_try_works_where_it_was_called(lonely_shell: Shell) -> None:
    lonely_shell.environment["PATH"] = "/usr/bin:/bin"
    started = lonely_shell("up", "-d", "--port", "0")
    command = next(line for line in started.out.splitlines() if line.endswith(' chat "hello"'))
    answered = subprocess.run(
        f"{command} -p max_tokens=5",
        shell=True,
        env=lonely_shell.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert answered.stdout.strip()
    lonely_shell("down", "--yes")


def test_a_start_keeps_what_the_local_context_says_otherwise(lonely_shell: Shell) -> None:
    add = ("context", "add", "local", "--url", "http://127.0.0.1:9", "--confirm", "typed")
    assert lonely_shell(*add, "--color", "red").code == 0
    assert lonely_shell("up", "-d", "--port", "0").code == 0
    try:
        row = json.loads(lonely_shell("context", "show", "local", "--json").out)
    finally:
        lonely_shell("down", "--confirm", "local", "--yes")
    assert (row["confirm"], row["color"]) == ("typed", "red")
    assert row["url"] != "http://127.0.0.1:9"


def test_a_gateway_with_a_certificate_is_used_by_the_context_of_this_machine(
    lonely_shell: Shell, tmp_path: Path
) -> None:
    certificate, key = Authority(tmp_path).pair("127.0.0.1")
    files = ("--tls-certificate-file", str(certificate), "--tls-key-file", str(key))
    started = lonely_shell("up", "-d", "--port", "0", *files)
    try:
        assert started.code == 0, started.err
        assert "is running at https://127.0.0.1:" in started.out
        for words in (("status", "--check"), ("doctor",), ("keys", "list")):
            assert lonely_shell(*words).code == 0, words
        assert lonely_shell("chat", "-p", "max_tokens=5", "hello").out.strip()
        with lonely_shell.start("logs", "tail", "-o", "jsonl") as tail:
            assert tail.stderr is not None
            assert b"connected" in tail.stderr.readline()
            tail.send_signal(signal.SIGINT)
            assert tail.wait(20) == 130
        shown = json.loads(lonely_shell("context", "show", "local", "--json").out)
        assert shown["ca_file"] == str(certificate)
    finally:
        lonely_shell("down", "--yes")


def test_administration_apart_is_found_by_the_context_of_this_machine(lonely_shell: Shell) -> None:
    started = lonely_shell("up", "-d", "--port", "0", "--admin-port", "0")
    try:
        assert started.code == 0, started.err
        shown = json.loads(lonely_shell("context", "show", "local", "--json").out)
        assert shown["admin_url"] not in (None, shown["url"])
        assert f"and is administered at {shown['admin_url']}" in started.out
        for words in (("status", "--check"), ("doctor",), ("keys", "list"), ("context", "test")):
            assert lonely_shell(*words).code == 0, words
        assert lonely_shell("chat", "-p", "max_tokens=5", "hello").out.strip()
        assert lonely_shell("open", "metrics").out.startswith(shown["admin_url"])
        lonely_shell("down", "--yes")
        again = lonely_shell("up", "-d", "--port", "0")
        assert "administered at" not in again.out
        assert lonely_shell("status", "--check").code == 0
    finally:
        lonely_shell("down", "--yes")


@pytest.mark.parametrize("name", ["config.toml", "credentials.toml"])
@pytest.mark.parametrize("options", [(), ("-d",)])
def test_no_key_is_made_where_what_keeps_it_cannot_be_read(
    lonely_shell: Shell, name: str, options: tuple[str, ...]
) -> None:
    folder = lonely_shell.home / "conduit"
    folder.mkdir(mode=0o700)
    (folder / name).write_text("x = [")
    outcome = lonely_shell("up", *options)
    assert outcome.code == 2
    assert f"{name} cannot be read" in outcome.err
    assert not (folder / "data").exists()


def test_keys_that_cannot_be_kept_are_shown_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CONDUIT_HOME", str(tmp_path / "file" / "home"))
    (tmp_path / "file").touch()
    made = Announcement(
        url="http://127.0.0.1:5000",
        first_start=True,
        providers=(),
        models=(),
        data_folder="",
        database="",
        master_key="condt_mk_secret",
    )
    kept = up._kept(made)
    text = welcome(kept, None, is_current=False)
    assert "condt_mk_secret" in text
    assert "are not kept for this machine" in text
    assert "conduit down will not find this gateway" in text


@pytest.mark.parametrize("command", [("up",), ("up", "-d"), ("serve",)])
def test_a_home_that_cannot_be_made_is_one_clear_line(
    lonely_shell: Shell, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "file").touch()
    outcome = lonely_shell(*command, CONDUIT_HOME=str(tmp_path / "file"))
    assert outcome.code == 2
    assert str(tmp_path / "file") in outcome.err
    assert len(outcome.err.splitlines()) == 1
