"""Every family of commands in every form, on a terminal and off it; every end and its code."""

import csv
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from conduit.cli.console import width_of
from tests.cli.conftest import Outcome, Shell
from tests.cli.fake_gateway import FakeGateway, Handler, Refusal, delta

LISTS = (
    ("keys", "list"),
    ("budgets", "list"),
    ("providers", "list"),
    ("mappings", "list"),
    ("prices", "list"),
    ("logs", "list"),
    ("context", "list"),
    ("doctor",),
    ("help", "exit-codes"),
)
RECORDS = (
    ("keys", "show", "ci"),
    ("providers", "show", "main"),
    ("mappings", "show", "fast"),
    ("logs", "show", "req_00000001"),
    ("context", "show"),
    ("auth", "whoami"),
    ("status",),
    ("version",),
)
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def filled(shell: Shell, gateway: FakeGateway) -> Shell:
    """`conduit` with a gateway that holds two records of each kind."""
    for name in ("ci", 'web, "the" site'):
        gateway.add("keys", name=name, allowed_models=["a", "b"])
        gateway.add("budgets", scope={"kind": "key", "id": name}, limit="5.00")
    for name in ("main", "spare"):
        gateway.add("providers", name=name, type="openai")
        gateway.add("prices", provider=name, model="m", input="1.00", output="2.00",
                    source="override", price_version="1")  # fmt: skip
    for alias in ("fast", "gro\u00df"):
        target = {"provider": "main", "model": "m", "order": 0, "weight": 1}
        gateway.add("mappings", alias=alias, targets=[target])
    for number in (1, 2):
        gateway.add("requests", id=f"req_0000000{number}")
    config = shell.home / "conduit/config.toml"
    config.parent.mkdir(mode=0o700)
    known = [f'[contexts.{name}]\nurl = "https://{name}.invalid"\n' for name in ("one", "two")]
    config.write_text("\n".join(known))
    return shell


def on_terminal(shell: Shell, *arguments: str) -> Outcome:
    """Run with stdout on a pseudo-terminal of 120 columns."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        shell.command(*arguments),
        env={**shell.environment, "COLUMNS": "120", "TERM": "xterm", "PAGER": "cat"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux says so when the other side is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    _, err = process.communicate(timeout=60)
    shown = b"".join(parts).decode().replace("\r\n", "\n")
    return Outcome(process.returncode, shown, err.decode())


def steady(text: str) -> str:
    """The text without what the doctor measures anew each time."""
    return re.sub(r"\d+(\.\d+)? (?:(?:GB|MB|kB) free|s apart)", "some", text)


@pytest.mark.parametrize("arguments", [*LISTS, *RECORDS], ids=" ".join)
@pytest.mark.parametrize("form", ["json", "csv"])
def test_programs_read_the_same_bytes_on_a_terminal_and_off_it(
    filled: Shell, form: str, arguments: tuple[str, ...]
) -> None:
    piped = filled(*arguments, "-o", form)
    shown = on_terminal(filled, *arguments, "-o", form)
    assert piped.code == shown.code == 0, piped.err
    assert steady(piped.out) == steady(shown.out)
    if form == "json":
        document = json.loads(piped.out)
        assert (set(document) == {"data", "next_cursor"}) is (arguments in LISTS)
    else:
        header, *rows = list(csv.reader(io.StringIO(piped.out)))
        assert rows
        assert all(len(row) == len(header) for row in rows)


@pytest.mark.parametrize("arguments", LISTS, ids=" ".join)
def test_a_list_has_a_line_for_each_record_in_every_other_form(
    filled: Shell, arguments: tuple[str, ...]
) -> None:
    count = len(json.loads(filled(*arguments, "--json").out)["data"])
    assert count
    lines = filled(*arguments, "-o", "jsonl").out.splitlines()
    assert len([json.loads(line) for line in lines]) == count
    assert len(filled(*arguments, "-q").out.splitlines()) == count
    plain = filled(*arguments)
    assert len(plain.out.splitlines()) == count
    assert "\t" in plain.out
    assert steady(filled(*arguments, "-o", "tsv").out) == steady(plain.out)


@pytest.mark.parametrize("arguments", LISTS, ids=" ".join)
def test_a_terminal_gets_a_table_that_fits_it(filled: Shell, arguments: tuple[str, ...]) -> None:
    count = len(json.loads(filled(*arguments, "--json").out)["data"])
    shown = on_terminal(filled, *arguments)
    lines = ESCAPE.sub("", shown.out).splitlines()
    assert len(lines) == count + 1
    assert lines[0] == lines[0].upper()
    assert all(width_of(line) <= 120 for line in lines)
    assert len(filled(*arguments, "-o", "wide").out.splitlines()) == count + 1


@pytest.mark.parametrize("arguments", RECORDS, ids=" ".join)
def test_a_record_has_a_line_for_each_field(filled: Shell, arguments: tuple[str, ...]) -> None:
    record = json.loads(filled(*arguments, "--json").out)
    plain = filled(*arguments)
    assert [line.partition("\t")[0] for line in plain.out.splitlines()] == list(record)
    assert json.loads(filled(*arguments, "-o", "jsonl").out) == record
    assert "\x1b" not in plain.out
    assert len(filled(*arguments, "-q").out.splitlines()) == 1


ENDS = {
    "usage": ((), ("keys", "show"), 2),
    "unknown": ((), ("kyes",), 2),
    "unconfirmed": ((), ("keys", "delete", "ci"), 2),
    "unreachable": ((), ("keys", "list", "--url", "http://127.0.0.1:9"), 3),
    "refused": ((Refusal(401, "invalid_api_key", "no"),), ("keys", "list"), 4),
    "forbidden": ((Refusal(403, "permission_denied", "no"),), ("keys", "list"), 4),
    "missing": ((), ("keys", "show", "nobody"), 5),
    "ambiguous": ((Refusal(409, "ambiguous", "two"),), ("keys", "show", "x"), 5),
    "conflict": ((), ("keys", "create", "ci"), 6),
    "invalid": ((), ("keys", "create", "bad name"), 6),
    "failed": ((Refusal(500, "internal_error", "oh"),), ("keys", "create", "x"), 1),
    "upstream": ((Refusal(502, "upstream_error", "oh"),) * 3, ("keys", "list"), 7),
    "partial": ((), ("keys", "disable", "ci", "nobody"), 8),
}


@pytest.mark.parametrize("end", ENDS)
def test_an_end_has_its_code_and_says_so_on_stderr_alone(
    filled: Shell, gateway: FakeGateway, end: str
) -> None:
    failing, arguments, code = ENDS[end]
    found = []
    for form in ((), ("--json",)):
        for run in (filled, lambda *words: on_terminal(filled, *words)):
            gateway.failing = list(failing)
            found.append(run(*arguments, *form))
    assert [outcome.code for outcome in found] == [code] * 4, found
    plain, terminal, in_json, json_on_terminal = found
    for outcome in (plain, terminal):
        assert re.search(r"^error: .+  \[\w+\]$", outcome.err, re.MULTILINE), outcome
    for outcome in (in_json, json_on_terminal):
        error = json.loads(outcome.err.splitlines()[-1])["error"]
        assert set(error) == {
            "code",
            "message",
            "param",
            "hint",
            "request_id",
            "status",
            "retryable",
        }
        assert (error["status"] is not None) is (error["request_id"] is not None)
    if end != "partial":
        assert [outcome.out for outcome in found] == [""] * 4


@pytest.mark.parametrize(
    "arguments", [("status", "--check"), ("doctor",), ("providers", "test", "main")]
)
def test_a_negative_check_is_9_and_still_prints_what_it_found(
    filled: Shell, gateway: FakeGateway, arguments: tuple[str, ...]
) -> None:
    gateway.ready = gateway.tested_ok = False
    for outcome in (filled(*arguments, "--json"), on_terminal(filled, *arguments, "--json")):
        assert outcome.code == 9
        assert json.loads(outcome.out)


@pytest.mark.parametrize(
    "arguments", [("keys", "list"), ("status",), ("chat", "-m", "m", "hi")], ids=" ".join
)
def test_a_time_that_is_up_is_124(
    filled: Shell, gateway: FakeGateway, arguments: tuple[str, ...]
) -> None:
    gateway.hold = threading.Event()
    outcome = filled(*arguments, "--timeout", "300ms")
    assert (outcome.code, outcome.out) == (124, "")


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize(
    "arguments",
    [
        ("keys", "list", "--all", "--json"),
        ("keys", "list", "--all", "-o", "csv"),
        ("keys", "list", "--all"),
        ("spec",),
        ("help", "keys", "create"),
        ("completion", "bash"),
        ("keys", "list", "--query", "data[].name", "--all"),
    ],
    ids=" ".join,
)
def test_a_reader_that_wants_one_line_ends_the_command_quietly(
    shell: Shell, gateway: FakeGateway, arguments: tuple[str, ...]
) -> None:
    for number in range(2000):
        gateway.add("keys", name=f"key-{number}")
    pipeline = f"set -o pipefail; {shlex.join(shell.command(*arguments))} | head -1"
    finished = subprocess.run(
        ["bash", "--norc", "-c", pipeline],
        env=shell.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0
    assert len(finished.stdout.splitlines()) == 1
    assert finished.stderr == ""


def test_a_check_that_nobody_reads_has_its_code_all_the_same(
    shell: Shell, gateway: FakeGateway
) -> None:
    gateway.add("providers", name="main", type="openai")
    gateway.tested_ok = False
    theirs, ours = os.pipe()
    os.close(theirs)
    environment = {k: v for k, v in shell.environment.items() if k != "PYTHONUNBUFFERED"}
    finished = subprocess.run(
        shell.command("providers", "test", "main"),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=ours,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(ours)
    assert finished.returncode == 9, finished.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("keys", "list"),
        ("keys", "create", "x"),
        ("status", "--watch"),
        ("doctor",),
        ("logs", "list"),
    ],
    ids=" ".join,
)
def test_ctrl_c_ends_whatever_waits_with_130(
    shell: Shell, gateway: FakeGateway, arguments: tuple[str, ...]
) -> None:
    gateway.hold = threading.Event()
    with shell.start(*arguments) as process:
        wait_for_request(gateway)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read() == b""
        assert process.stderr.read().strip() == b""


def test_ctrl_c_in_an_answer_ends_with_130_and_keeps_what_came(
    shell: Shell, gateway: FakeGateway
) -> None:
    def endless(handler: Handler) -> None:
        handler.start_stream()
        handler.event(delta("so far"))
        threading.Event().wait(30)

    gateway.chat = endless
    with shell.start("chat", "-m", "m", "hi") as process:
        assert process.stdout is not None
        assert process.stdout.read(6) == b"so far"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stdout.read() == b"\n"


def test_a_second_ctrl_c_ends_at_once_whatever_is_being_cleaned_up() -> None:
    code = (
        "import os, signal, time\n"
        "from conduit.cli.main import _interrupt_once\n"
        "signal.signal(signal.SIGINT, _interrupt_once)\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT); time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "    os.kill(os.getpid(), signal.SIGINT); time.sleep(60)\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], timeout=50, check=False)
    assert finished.returncode == -signal.SIGINT


def test_a_terminated_command_has_died_of_it(shell: Shell, gateway: FakeGateway) -> None:
    gateway.hold = threading.Event()
    with shell.start("keys", "list") as process:
        wait_for_request(gateway)
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM  # which a shell reports as 143


def wait_for_request(gateway: FakeGateway) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if gateway.seen:
            return
        pause.wait(0.01)
    raise AssertionError("no request came")
