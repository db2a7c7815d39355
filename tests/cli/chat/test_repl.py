"""The conversation of `conduit chat` on a terminal."""

import base64
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conduit.cli.chat.repl import HELP, copied, edited
from tests.cli.conftest import Shell
from tests.cli.fake_gateway import FakeGateway, Handler, Refusal, delta, stream_hello, usage_chunk
from tests.cli.terminal import Terminal


def answering(text: str) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.start_stream({"x-conduit-cost": "0.0041"})
        handler.event(delta(text))
        handler.event(usage_chunk())
        handler.event("[DONE]")
        handler.end_stream()

    return answer


def left(terminal: Terminal) -> int:
    """Leave with Ctrl-D, which means the end only where a line is being read."""
    terminal.until("> ")
    terminal.press("\x04")
    return terminal.end()


def messages(gateway: FakeGateway) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = gateway.requests("POST")[-1].body["messages"]
    return found


def kept(shell: Shell) -> list[Path]:
    return sorted((shell.home / "conduit/state/conversations").glob("*.jsonl"))


def test_a_conversation_remembers_and_is_kept_privately(shell: Shell, gateway: FakeGateway) -> None:
    gateway.chat = answering("First.")
    with Terminal(shell, "chat", "-m", "m", "-s", "Be brief.") as terminal:
        terminal.until("> ")
        terminal.type("one")
        terminal.until("First.")
        terminal.until("> ")
        gateway.chat = answering("Second.")
        terminal.type("two")
        terminal.until("Second.")
        assert left(terminal) == 0
    assert [message["content"] for message in messages(gateway)] == [
        "Be brief.",
        "one",
        "First.",
        "two",
    ]
    (path,) = kept(shell)
    assert path.stat().st_mode & 0o777 == 0o600
    roles = [json.loads(line).get("role") for line in path.read_text().splitlines()]
    assert roles == [None, "user", "assistant", "user", "assistant"]
    history = shell.home / "conduit/state/chat_history"
    assert history.stat().st_mode & 0o777 == 0o600
    assert "one" in history.read_text()


def test_ctrl_c_stops_the_answer_and_not_the_conversation(
    shell: Shell, gateway: FakeGateway
) -> None:
    gone = threading.Event()

    def endless(handler: Handler) -> None:
        handler.start_stream()
        try:
            while True:
                handler.event(delta("more "))
                threading.Event().wait(0.02)
        except OSError:
            gone.set()

    gateway.chat = endless
    with Terminal(shell, "chat", "-m", "m") as terminal:
        terminal.until("> ")
        for _ in range(2):
            terminal.type("go on")
            terminal.until("more ")
            terminal.interrupt()
            terminal.until("(stopped)")
            terminal.until("> ")
        assert gone.wait(10)
        gateway.chat = stream_hello
        terminal.type("and now?")
        terminal.until("Hello, world")
        assert left(terminal) == 0
    assert messages(gateway)[1]["role"] == "assistant"
    assert "more" in messages(gateway)[1]["content"]


def test_a_line_that_ends_in_a_backslash_goes_on(shell: Shell, gateway: FakeGateway) -> None:
    gateway.chat = stream_hello
    with Terminal(shell, "chat", "-m", "m") as terminal:
        terminal.until("> ")
        terminal.type("first\\")
        terminal.until("... ")
        terminal.type("second")
        terminal.until("Hello, world")
        assert left(terminal) == 0
    assert messages(gateway) == [{"role": "user", "content": "first\nsecond"}]


def test_an_error_is_told_and_the_conversation_goes_on(shell: Shell, gateway: FakeGateway) -> None:
    def refuse(handler: Handler) -> None:
        raise Refusal(429, "rate_limit_exceeded", "slow down", "wait a little")

    gateway.chat = refuse
    with Terminal(shell, "chat", "-m", "m") as terminal:
        terminal.until("> ")
        terminal.type("hello")
        terminal.until("[rate_limit_exceeded]")
        terminal.until("> ")
        gateway.chat = stream_hello
        terminal.type("again")
        terminal.until("Hello, world")
        assert left(terminal) == 0
    assert [message["content"] for message in messages(gateway)] == ["again"]


def test_commands_change_what_is_asked(shell: Shell, gateway: FakeGateway, tmp_path: Path) -> None:
    gateway.add("mappings", alias="m", targets=[])
    gateway.add("mappings", alias="other", targets=[])
    gateway.chat = answering("Yes.")
    notes, saved = tmp_path / "notes.txt", tmp_path / "saved.md"
    notes.write_text("the notes")
    with Terminal(shell, "chat", "-m", "m", "--usage") as terminal:
        terminal.until("> ")
        for line, said in (
            ("/model", "  other"),
            ("/model other", "now asking other"),
            ("/system Be kind.", "system message set"),
            ("/set temperature=0.5", "temperature = 0.5"),
            (f"/attach {notes}", "1 attachment"),
            ("read this", "12 in / 3 out  $0.0041"),
            ("/cost", "12 in / 3 out  $0.0041"),
            ("/retry", "12 in / 3 out"),
            (f"/save {saved}", "written to"),
            ("/nonsense", "there is no command /nonsense"),
            ("/undo", "taken out: read this"),
            ("/undo", "nothing has been asked yet"),
            ("/help", "/quit"),
            ("/new", "a new conversation"),
        ):
            terminal.type(line)
            terminal.until(said)
            terminal.until("> ")
        terminal.type("/quit")
        assert terminal.end() == 0
    body = gateway.requests("POST")[-1].body
    assert (body["model"], body["temperature"]) == ("other", 0.5)
    assert body["messages"] == [
        {"role": "system", "content": "Be kind."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "read this"},
                {"type": "text", "text": "notes.txt:\n\nthe notes"},
            ],
        },
    ]
    assert "## You\n\nread this\n\n*Attached: text notes.txt*\n\n## other" in saved.read_text()
    assert kept(shell) == []


def test_the_editor_writes_a_question_in_place_of_the_last(
    shell: Shell, gateway: FakeGateway, tmp_path: Path
) -> None:
    gateway.chat = stream_hello
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nprintf better > "$1"\n')
    editor.chmod(0o755)
    with Terminal(shell, "chat", "-m", "m", environment={"EDITOR": str(editor)}) as terminal:
        terminal.until("> ")
        terminal.type("good")
        terminal.until("Hello, world")
        terminal.until("> ")
        terminal.type("/edit")
        terminal.until("Hello, world")
        assert left(terminal) == 0
    assert messages(gateway) == [{"role": "user", "content": "better"}]


def test_a_failing_editor_asks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", "false")
    with pytest.raises(Exception, match="nothing was changed"):
        edited("text")


def test_a_clipboard_program_gets_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = tmp_path / "wl-copy"
    board.write_text(f'#!/bin/sh\ncat > "{tmp_path}/board"\n')
    board.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert copied("the answer") == "copied"
    assert (tmp_path / "board").read_text() == "the answer"


def test_without_a_clipboard_program_the_terminal_keeps_the_answer(
    shell: Shell, gateway: FakeGateway
) -> None:
    gateway.chat = answering("Take this.")
    with Terminal(shell, "chat", "-m", "m", environment={"PATH": "/nowhere"}) as terminal:
        terminal.until("> ")
        terminal.type("hi")
        terminal.until("Take this.")
        terminal.until("> ")
        terminal.type("/copy")
        shown = terminal.until("sent to the terminal")
        assert left(terminal) == 0
    assert base64.b64encode(b"Take this.").decode() in shown


def test_every_command_is_in_the_help() -> None:
    assert {usage.split()[0] for usage in HELP} == {
        f"/{name}"
        for name in (
            *("model", "system", "set", "attach", "retry", "other", "undo", "edit", "copy"),
            *("save", "cost", "new", "quit", "help"),
        )
    }


@pytest.mark.parametrize("flag", ["--no-input", "--json"])
def test_there_is_no_conversation_where_nobody_is_to_be_asked(
    shell: Shell, gateway: FakeGateway, flag: str
) -> None:
    with Terminal(shell, "chat", "-m", "m", flag) as terminal:
        terminal.until("nothing to ask")
        assert terminal.end() == 2
    assert gateway.seen == []


def test_the_last_conversation_goes_on(shell: Shell, gateway: FakeGateway) -> None:
    gateway.chat = answering("First.")
    with Terminal(shell, "chat", "-m", "m", "one") as terminal:
        assert terminal.end() == 0
    assert shell("chat", "-c", "two").code == 0
    assert [message["content"] for message in messages(gateway)] == ["one", "First.", "two"]
    rows = json.loads(shell("chat", "--list", "--json").out)["data"]
    assert [(row["title"], row["turns"], row["model"]) for row in rows] == [("one", 4, "m")]
    assert shell("chat", "--cid", rows[0]["id"], "three").code == 0
    assert len(messages(gateway)) == 5
    assert shell("chat", "--cid", "nothing", "x").code == 2
    assert shell("chat", "-c", "--cid", "x", "x").code == 2


def test_a_script_leaves_no_conversation_behind(shell: Shell, gateway: FakeGateway) -> None:
    gateway.chat = stream_hello
    assert shell("chat", "-m", "m", "secret plans").code == 0
    assert kept(shell) == []
    assert shell("chat", "-c", "x").code == 2
