"""The exit code of every kind of end, as a process tells it."""

import json
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from tests.cli.conftest import Shell
from tests.cli.fake_gateway import FakeGateway, Handler, Refusal, delta


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("keys", "list"), 0),
        (("--help",), 0),
        (("keys", "create", "--help"), 0),
        (("help", "exit-codes"), 0),
        (("kyes",), 2),
        (("keys", "lst"), 2),
        (("keys", "li"), 2),
        (("keys", "list", "--nonsense"), 2),
        (("keys", "list", "-o", "xml"), 2),
        (("keys", "show"), 2),
        (("keys",), 2),
        ((), 2),
        (("-C", "nowhere", "keys", "list"), 2),
        (("--url", "ftp://x", "keys", "list"), 2),
        (("keys", "delete", "ci"), 2),
        (("keys", "show", "nobody"), 5),
        (("keys", "create", "ci"), 6),
        (("keys", "create", "bad name"), 6),
        (("keys", "delete", "ci", "nobody", "--yes"), 8),
        (("keys", "disable", "nobody", "noone"), 5),
        (("keys", "create", ""), 2),  # a script's variable that was never set
        (("keys", "delete", "", "--yes"), 2),
        (("keys", "show", "\udcff"), 2),
        (("keys", "create", "a", "--tags", "b=\udcff"), 2),
    ],
)
def test_each_end_has_its_code(
    shell: Shell, gateway: FakeGateway, arguments: tuple[str, ...], code: int
) -> None:
    gateway.add("keys", name="ci")
    outcome = shell(*arguments)
    assert outcome.code == code, outcome.err


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (500, "internal_error", 1),
        (503, "not_ready", 1),
        (401, "invalid_api_key", 4),
        (403, "permission_denied", 4),
        (404, "not_found", 5),
        (402, "payment_required", 6),
        (409, "conflict", 6),
        (422, "validation_failed", 6),
        (429, "rate_limit_exceeded", 6),
        (502, "upstream_error", 7),
        (504, "upstream_timeout", 7),
        (429, "upstream_rate_limited", 7),
    ],
)
def test_each_error_of_the_gateway_has_its_code(
    shell: Shell, gateway: FakeGateway, status: int, error: str, code: int
) -> None:
    gateway.failing = [Refusal(status, error, "so it is", "do this")] * 3
    outcome = shell("keys", "list", "--json")
    assert outcome.code == code
    assert outcome.out == ""
    assert json.loads(outcome.err)["error"] == {
        "code": error,
        "message": "so it is",
        "param": "name",
        "hint": "do this",
        "request_id": "req_TEST",
        "status": status,
        "retryable": status in (429, 503),
    }


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize(("name", "code"), [("list", 0), ("nobody", 5)])
def test_a_command_that_can_tell_nobody_has_its_code_all_the_same(
    shell: Shell, closed: str, name: str, code: int
) -> None:
    words = ("keys", "list") if name == "list" else ("keys", "show", name)
    script = f'exec "$0" "$@" {closed}'
    finished = subprocess.run(
        ["sh", "-c", script, *shell.command(*words)],
        env=shell.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert finished.returncode == code
    assert b"Traceback" not in finished.stdout + finished.stderr


def test_no_gateway_is_unreachable(lonely_shell: Shell) -> None:
    outcome = lonely_shell(
        "--url", "http://127.0.0.1:9", "keys", "list", CONDUIT_MASTER_KEY="condt_mk_none"
    )
    assert outcome.code == 3
    assert outcome.err.startswith("error: no answer from the gateway at http://127.0.0.1:9:")


@pytest.mark.parametrize("variable", ["CONDUIT_MASTER_KEY", "CONDUIT_MASTER_KEY_FILE"])
def test_a_key_that_cannot_be_one_is_a_clear_line_that_does_not_show_it(
    shell: Shell, tmp_path: Path, variable: str
) -> None:
    key = "condt_mk_geheim\nschlüssel"
    file = tmp_path / "key"
    file.write_text(key, encoding="utf-8")
    given = {variable: str(file) if variable.endswith("FILE") else key}
    outcome = shell("keys", "list", **{"CONDUIT_MASTER_KEY": "", **given})
    assert outcome.code == 2
    assert outcome.out == ""
    assert "a key is one line" in outcome.err
    assert "geheim" not in outcome.err


def test_no_key_is_not_authenticated(lonely_shell: Shell) -> None:
    outcome = lonely_shell("keys", "list")
    assert outcome.code == 4
    assert "conduit auth login" in outcome.err


def test_a_timeout_is_124(shell: Shell, gateway: FakeGateway) -> None:
    gateway.hold = threading.Event()
    for arguments in (
        ("keys", "list", "--timeout", "300ms"),
        ("--timeout", "300ms", "keys", "list"),
        ("--timeout=300ms", "keys", "list"),
    ):
        outcome = shell(*arguments)
        assert outcome.code == 124, arguments


def test_an_interrupt_is_130(shell: Shell, gateway: FakeGateway) -> None:
    gateway.hold = threading.Event()
    with shell.start("keys", "list") as process:
        _wait_for_request(gateway)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert b"Traceback" not in process.stderr.read()  # type: ignore[union-attr]


def test_an_interrupted_chat_is_130_and_closes_its_connection(
    shell: Shell, gateway: FakeGateway
) -> None:
    closed = threading.Event()

    def endless(handler: Handler) -> None:
        handler.start_stream()
        try:
            while True:
                handler.event(delta("more "))
                threading.Event().wait(0.02)
        except OSError:
            closed.set()

    gateway.chat = endless
    with shell.start("chat", "-m", "m", "hello") as process:
        assert process.stdout is not None
        assert process.stdout.read(5) == b"more "
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
    assert closed.wait(10)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("status", "--check"), 9),
        (("doctor",), 9),
        (("doctor", "ledger"), 9),
        (("providers", "test", "main"), 9),
        (("providers", "add", "simulator", "--name", "sim"), 7),
    ],
)
def test_a_negative_check_is_9_and_a_provider_that_fails_its_first_test_7(
    shell: Shell, gateway: FakeGateway, arguments: tuple[str, ...], code: int
) -> None:
    gateway.ready = gateway.tested_ok = gateway.ledger_ok = False
    gateway.add("providers", name="main", type="openai")
    assert shell(*arguments).code == code


def test_checks_that_pass_are_0(shell: Shell) -> None:
    assert shell("status", "--check").code == 0
    assert shell("doctor").code == 0
    assert shell("doctor", "ledger").code == 0


def test_an_unexpected_error_is_one_line_and_a_trace_in_a_private_file(
    shell: Shell, gateway: FakeGateway
) -> None:
    gateway.tables["keys"] = [{"nonsense": True}]
    outcome = shell("keys", "list", CONDUIT_FORCE_TTY="100")
    assert outcome.code == 1
    first, hint, *rest = outcome.err.splitlines()
    assert first.startswith("error: unexpected KeyError")
    assert rest == []
    trace = Path(hint.partition("trace: ")[2])
    assert "Traceback" in trace.read_text()
    assert trace.stat().st_mode & 0o777 == 0o600
    assert "Traceback" in shell("keys", "list", "--debug", CONDUIT_FORCE_TTY="100").err
    assert "Traceback" in shell("--debug", "keys", "list", CONDUIT_FORCE_TTY="100").err


def test_a_typing_error_names_what_may_have_been_meant(shell: Shell) -> None:
    assert "did you mean: keys?" in shell("kyes").err
    assert "did you mean: list?" in shell("keys", "lst").err


def _wait_for_request(gateway: FakeGateway) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if gateway.seen:
            return
        pause.wait(0.01)
    raise AssertionError("no request came")


@pytest.mark.parametrize("begun", [False, True])
def test_a_chat_that_takes_longer_than_it_may_is_124(
    shell: Shell, gateway: FakeGateway, begun: bool
) -> None:
    done = threading.Event()

    def slow(handler: Handler) -> None:
        if begun:
            handler.start_stream()
            handler.event(delta("so far"))
        done.wait(20)

    gateway.chat = slow
    outcome = shell("chat", "-m", "m", "hi", "--timeout", "700ms")
    done.set()
    assert outcome.code == 124
    assert outcome.out == ("so far\n" if begun else "")


def test_a_timeout_counts_for_all_pages_together(shell: Shell, gateway: FakeGateway) -> None:
    gateway.delay_s = 0.2
    for number in range(20):
        gateway.add("keys", name=f"k{number}")
    assert shell("keys", "list", "--all", "--limit", "1", "--timeout", "1s").code == 124


def test_errors_are_json_where_the_environment_wants_json(shell: Shell) -> None:
    outcome = shell("keys", "show", "nobody", CONDUIT_OUTPUT="json")
    assert json.loads(outcome.err)["error"]["code"] == "not_found"


def test_help_on_a_command_is_that_command_s_help(shell: Shell) -> None:
    assert shell("help", "keys", "create").out == shell("keys", "create", "--help").out
    assert shell("help", "nonsense").code == 2
    assert "124" in shell("help", "exit-codes").out
