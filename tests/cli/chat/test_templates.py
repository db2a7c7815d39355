"""`conduit chat` with a template, and with tools."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Shell
from tests.cli.fake_gateway import FakeGateway, Handler, stream_hello
from tests.cli.test_completion import offered

TRANSLATE = """\
model = "small"
system = "You translate into $language; $$5 a word."
prompt = "Translate:\\n\\n$input"

[params]
temperature = 0.2

[variables]
language = "German"
"""
WEATHER = {"name": "weather", "parameters": {"type": "object"}}


def write_template(shell: Shell, name: str, text: str) -> None:
    path = shell.home / f"conduit/templates/{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_template_gives_prompt_system_model_and_parameters(
    shell: Shell, gateway: FakeGateway
) -> None:
    gateway.chat = stream_hello
    write_template(shell, "translate", TRANSLATE)
    assert shell("chat", "--template", "translate", "hello").code == 0
    body = gateway.seen[-1].body
    assert (body["model"], body["temperature"]) == ("small", 0.2)
    assert [message["content"] for message in body["messages"]] == [
        "You translate into German; $5 a word.",
        "Translate:\n\nhello",
    ]


def test_flags_stand_over_a_template(shell: Shell, gateway: FakeGateway) -> None:
    gateway.chat = stream_hello
    write_template(shell, "translate", TRANSLATE)
    flags = ("-m", "large", "-p", "temperature=1", "--var", "language=Latin")
    assert shell("chat", "--template", "translate", *flags, "hello").code == 0
    body = gateway.seen[-1].body
    assert (body["model"], body["temperature"]) == ("large", 1)
    assert "into Latin" in body["messages"][0]["content"]
    assert shell("chat", "--template", "translate", "-s", "No.", "hello").code == 0
    assert gateway.seen[-1].body["messages"][0]["content"] == "No."


def test_what_is_asked_follows_a_prompt_that_does_not_name_it(
    shell: Shell, gateway: FakeGateway, tmp_path: Path
) -> None:
    gateway.chat = stream_hello
    path = tmp_path / "sum.toml"
    path.write_text('model = "m"\nprompt = "Sum up:"')
    assert shell("chat", "--template", str(path), stdin="a text").code == 0
    assert gateway.seen[-1].body["messages"][-1]["content"] == "Sum up:\n\na text"
    assert shell("chat", "--template", str(path)).code == 0
    assert gateway.seen[-1].body["messages"][-1]["content"] == "Sum up:"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('prompt = "$who"', "$who has no value"),
        ("prompt = [", "is not TOML"),
        ('promt = "x"', "no field promt"),
        ("prompt = 5", "prompt is a text"),
        ('params = "x"', "params is a table"),
        ('prompt = "50$"', "Invalid placeholder"),
        ('[variables]\ninput = "x"', "variables.input"),
        ('system = "$input"', "$input stands in the prompt alone"),
        ("[params]\nsince = 2026-01-02", "params.since is a date or a time"),
        ("[params]\nat = 2026-01-02T03:04:05Z", "params.at is a date or a time"),
        (
            "[params.metadata]\ntimes = [1, {at = 03:04:05}]",
            "params.metadata.times[1].at is a date",
        ),
        ("[params]\ntemperature = nan", "params.temperature is no number"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_before_anything_is_sent(
    shell: Shell, gateway: FakeGateway, text: str, said: str
) -> None:
    gateway.chat = stream_hello
    write_template(shell, "wrong", text)
    outcome = shell("chat", "-m", "m", "--template", "wrong", "hello")
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert gateway.requests("POST") == []


def test_a_value_that_json_has_not_is_told_with_its_file(
    shell: Shell, gateway: FakeGateway
) -> None:
    gateway.chat = stream_hello
    write_template(shell, "wrong", "[params]\nsince = 2026-01-02")
    outcome = shell("chat", "-m", "m", "--template", "wrong", "hello", "--json")
    error = json.loads(outcome.err)["error"]
    assert (outcome.code, error["code"]) == (2, "bad_file")
    assert str(shell.home / "conduit/templates/wrong.toml") in error["hint"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--var", "language=Latin"), "--var goes with --template"),
        (("--template", "translate", "--var", "input=x"), "$input is what is asked"),
        (("--template", "translate", "--var", "langauge=x"), "has no $langauge"),
        (("--template", "empty", "--var", "a=x"), "has no $a"),
    ],
)
def test_values_that_stand_for_nothing_are_refused_before_anything_is_sent(
    shell: Shell, gateway: FakeGateway, flags: tuple[str, ...], said: str
) -> None:
    gateway.chat = stream_hello
    write_template(shell, "translate", TRANSLATE)
    write_template(shell, "empty", "")
    outcome = shell("chat", "-m", "m", *flags, "hello")
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert gateway.requests("POST") == []


def test_a_value_may_be_for_the_system_message_or_for_a_variable_alone(
    shell: Shell, gateway: FakeGateway
) -> None:
    gateway.chat = stream_hello
    write_template(shell, "t", 'system = "$who"\n[variables]\nlater = "x"')
    flags = ("--var", "who=You", "--var", "later=y")
    assert shell("chat", "-m", "m", "--template", "t", *flags, "hello").code == 0
    assert gateway.seen[-1].body["messages"][0]["content"] == "You"


def test_templates_are_offered_by_name(shell: Shell) -> None:
    write_template(shell, "translate", TRANSLATE)
    unknown = shell("chat", "--template", "transalte", "hello")
    assert unknown.code == 2
    assert "there are: translate" in unknown.err
    assert offered(shell, "conduit chat --template tr") == ["translate"]


def call_chunk(index: int | None, arguments: str, **more: Any) -> dict[str, Any]:
    piece = {"index": index, **more, "function": {"arguments": arguments}}
    if "name" in more:
        piece["function"]["name"] = piece.pop("name")
    return {"choices": [{"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": None}]}


def stream_calls(handler: Handler) -> None:
    handler.start_stream()
    handler.event(call_chunk(0, '{"city":', id="call_1", name="weather"))
    handler.event(call_chunk(0, ' "Bonn"}'))
    handler.event(call_chunk(1, "", id="call_2", name="time"))
    handler.event("[DONE]")
    handler.end_stream()


@pytest.mark.parametrize("index", [None, 0], ids=["none", "the same"])
def test_calls_without_an_index_of_their_own_are_kept_apart(
    shell: Shell, gateway: FakeGateway, tmp_path: Path, index: int | None
) -> None:
    def calls(handler: Handler) -> None:
        handler.start_stream()
        handler.event(call_chunk(index, '{"city":', id="call_1", name="weather"))
        handler.event(call_chunk(index, ' "Bonn"}'))
        handler.event(call_chunk(index, "{}", id="call_2", name="time"))
        handler.event("[DONE]")
        handler.end_stream()

    gateway.chat = calls
    (tmp_path / "tools.json").write_text(json.dumps([WEATHER]))
    outcome = shell("chat", "-m", "m", "--tools", str(tmp_path / "tools.json"), "rain?")
    assert [json.loads(line) for line in outcome.out.splitlines()] == [
        {"id": "call_1", "name": "weather", "arguments": {"city": "Bonn"}},
        {"id": "call_2", "name": "time", "arguments": {}},
    ]


def whole_call(handler: Handler) -> None:
    call = {"id": "call_1", "function": {"name": "weather", "arguments": "not JSON"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    handler.answer(200, {"choices": [{"message": message}]})


def test_tools_are_offered_and_calls_are_lines_of_json(
    shell: Shell, gateway: FakeGateway, tmp_path: Path
) -> None:
    gateway.chat = stream_calls
    (tmp_path / "tools.json").write_text(json.dumps([WEATHER, {"type": "custom", "x": 1}]))
    outcome = shell("chat", "-m", "m", "--tools", str(tmp_path / "tools.json"), "rain?")
    assert gateway.seen[-1].body["tools"] == [
        {"type": "function", "function": WEATHER},
        {"type": "custom", "x": 1},
    ]
    assert (outcome.code, outcome.err) == (0, "")
    assert [json.loads(line) for line in outcome.out.splitlines()] == [
        {"id": "call_1", "name": "weather", "arguments": {"city": "Bonn"}},
        {"id": "call_2", "name": "time", "arguments": {}},
    ]


def test_a_call_in_an_answer_that_is_not_streamed_is_told_too(
    shell: Shell, gateway: FakeGateway, tmp_path: Path
) -> None:
    gateway.chat = whole_call
    (tmp_path / "tools.json").write_text(json.dumps({"tools": [WEATHER]}))
    flags = ("--no-stream", "--tools", str(tmp_path / "tools.json"))
    outcome = shell("chat", "-m", "m", *flags, "rain?")
    assert json.loads(outcome.out)["arguments"] == "not JSON"
    assert json.loads(shell("chat", "-m", "m", *flags, "--json", "rain?").out)["choices"]


@pytest.mark.parametrize("content", ["[]", "5", "[5]", '[{"parameters": {}}]', "{"])
def test_a_file_that_holds_no_tools_is_refused(
    shell: Shell, gateway: FakeGateway, tmp_path: Path, content: str
) -> None:
    (tmp_path / "tools.json").write_text(content)
    outcome = shell("chat", "-m", "m", "--tools", str(tmp_path / "tools.json"), "rain?")
    assert outcome.code == 2
    assert "--tools" in outcome.err
    assert gateway.requests("POST") == []
