"""`conduit translate`: a request in another dialect, offline."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from conduit.cli.main import run
from tests.cli.conftest import Outcome, Shell

MESSAGES: dict[str, Any] = {
    "model": "m",
    "max_tokens": 99,
    "messages": [{"role": "user", "content": "hi"}],
}
OBJECT = {"type": "object", "properties": {}, "additionalProperties": False}


class Translate:
    """The command within this process; `stdin` is a request or text."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, stdin: Any, *arguments: str) -> Outcome:
        text = stdin if isinstance(stdin, str) else json.dumps(stdin)
        stream = io.TextIOWrapper(io.BytesIO(text.encode()))
        self._monkeypatch.setattr(sys, "stdin", stream)
        code = run(("translate", *arguments))
        captured = self._capsys.readouterr()
        return Outcome(code, captured.out, captured.err)


@pytest.fixture
def translate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Translate:
    """Without a gateway and without a key."""
    for name in ("CONDUIT_URL", "CONDUIT_MASTER_KEY", "CONDUIT_API_KEY", "CONDUIT_OUTPUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CONDUIT_HOME", str(tmp_path))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return Translate(monkeypatch, capsys)


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ("chat", "messages"),
        ("responses", "input"),
        ("messages", "messages"),
        ("gemini", "contents"),
        ("cohere", "messages"),
        ("bedrock", "messages"),
        ("ollama", "messages"),
    ],
)
def test_a_request_is_printed_as_it_would_be_sent(
    translate: Translate, target: str, field: str
) -> None:
    printed = translate(MESSAGES, "--from", "messages", "--to", target)
    assert (printed.code, printed.err) == (0, "")
    assert "hi" in json.dumps(json.loads(printed.out)[field])


@pytest.mark.parametrize(
    ("source", "request_"),
    [
        ("chat", {"model": "m", "messages": [{"role": "user", "content": "hi"}]}),
        ("responses", {"model": "m", "input": "hi"}),
        ("messages", MESSAGES),
        ("gemini", {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
    ],
)
def test_every_dialect_of_clients_is_understood(
    translate: Translate, source: str, request_: dict[str, Any]
) -> None:
    printed = translate(request_, "--from", source, "--to", "chat", "--model", "other")
    assert printed.code == 0
    body = json.loads(printed.out)
    assert (body["model"], body["messages"][0]["content"]) == ("other", "hi")


def test_what_is_lost_is_told_beside_the_data(translate: Translate) -> None:
    request = {**MESSAGES, "top_k": 5, "metadata": {"user_id": "u"}}
    printed = translate(request, "--from", "messages", "--to", "chat")
    assert printed.err == "dropped: top_k\n"
    json.loads(printed.out)
    in_json = translate(request, "--from", "messages", "--to", "chat", "--json")
    told = json.loads(in_json.out)
    assert list(told) == ["body", "dropped", "emulated"]
    assert (told["dropped"], told["emulated"]) == (["top_k"], [])
    assert told["body"] == json.loads(printed.out)


def test_what_is_emulated_is_told_as_such(translate: Translate) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": OBJECT}}
    request = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    printed = translate(
        {**request, "response_format": schema},
        "--from",
        "chat",
        "--to",
        "messages",
        "--model",
        "claude-3-5-sonnet-20241022",
    )
    assert printed.err == "emulated: response_format\n"
    assert json.loads(printed.out)["tool_choice"]["type"] == "tool"


@pytest.mark.parametrize(
    ("request_", "arguments", "said", "code"),
    [
        (
            {"model": "m", "messages": [{"role": "user", "content": "hi"}], "n": 2},
            ("chat", "messages"),
            "n: ",
            "unsupported_parameter",
        ),
        (
            {
                "model": "gpt-3.5-turbo",
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "https://a.b/c"}}],
                    }
                ],
            },
            ("chat", "chat"),
            "takes no images",
            "unsupported_parameter",
        ),
        ({"model": "m", "messages": []}, ("messages", "chat"), "max_tokens", "invalid_request"),
        ("{", ("chat", "chat"), "JSON", "invalid_request"),
    ],
)
def test_what_cannot_be_said_is_refused(
    translate: Translate, request_: Any, arguments: tuple[str, str], said: str, code: str
) -> None:
    source, target = arguments
    refused = translate(request_, "--from", source, "--to", target)
    assert (refused.code, refused.out) == (6, "")
    assert said in refused.err
    assert code in refused.err
    in_json = translate(request_, "--from", source, "--to", target, "--json")
    assert in_json.out == ""
    assert json.loads(in_json.err)["error"]["code"] == code


@pytest.mark.parametrize(
    ("stdin", "arguments", "said"),
    [
        (MESSAGES, ("--from", "cohere", "--to", "chat"), "--from: chat, responses, messages, gem"),
        (MESSAGES, ("--from", "messages", "--to", "smoke"), "--to: chat, responses"),
        (MESSAGES, ("--from", "messages"), "--to"),
        ("", ("--from", "messages", "--to", "chat"), "standard input is empty"),
        ({"contents": []}, ("--from", "gemini", "--to", "chat"), "--model M is needed"),
    ],
)
def test_what_is_missing_is_a_mistake_of_usage(
    translate: Translate, stdin: Any, arguments: tuple[str, ...], said: str
) -> None:
    refused = translate(stdin, *arguments)
    assert (refused.code, refused.out) == (2, "")
    assert said in refused.err


def test_a_terminal_as_input_is_told_what_is_expected(
    translate: Translate, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(io, "TextIOWrapper", Terminal)
    refused = translate(MESSAGES, "--from", "messages", "--to", "chat")
    assert refused.code == 2
    assert "standard input" in refused.err


def test_it_runs_as_a_process_without_anything_around_it(lonely_shell: Shell) -> None:
    printed = lonely_shell(
        "translate", "--from", "messages", "--to", "gemini", stdin=json.dumps(MESSAGES)
    )
    assert (printed.code, printed.err) == (0, "")
    assert json.loads(printed.out)["generationConfig"] == {"maxOutputTokens": 99}
