"""`conduit chat`, through real sockets."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conduit.cli.chat.markdown import blocks
from conduit.client.chat_answer import GATEWAY_CODES
from conduit.client.errors import ClientError
from conduit.core.errors import ConduitError, UpstreamFailure
from tests.cli.conftest import Conduit, Shell
from tests.cli.fake_gateway import (
    MASTER_KEY,
    VIRTUAL_KEY,
    FakeGateway,
    Handler,
    Refusal,
    delta,
    stream_hello,
)

PROVIDERS = {"x-conduit-error-source": "provider"}
GATEWAYS = {"x-conduit-error-source": "gateway"}


def test_only_the_text_goes_to_stdout(shell: Shell, gateway: FakeGateway) -> None:
    gateway.chat = stream_hello
    outcome = shell("chat", "-m", "m", "-s", "Be brief.", "-p", "temperature=0.2", "say", "hi")
    assert (outcome.code, outcome.out, outcome.err) == (0, "Hello, world\n", "")
    seen = gateway.seen[-1]
    assert seen.headers["authorization"] == f"Bearer {VIRTUAL_KEY}"
    assert seen.body == {
        "temperature": 0.2,
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "say hi"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_the_prompt_is_arguments_stdin_or_both(shell: Shell, gateway: FakeGateway) -> None:
    gateway.chat = stream_hello
    shell("chat", "-m", "m", "Summarise:", stdin="the text\n")
    assert gateway.seen[-1].body["messages"][0]["content"] == "Summarise:\n\nthe text"
    shell("chat", "-m", "m", stdin="only this")
    assert gateway.seen[-1].body["messages"][0]["content"] == "only this"
    assert shell("chat", "-m", "m").code == 2


def test_usage_is_one_line_on_stderr_with_the_recorded_cost(
    shell: Shell, gateway: FakeGateway
) -> None:
    gateway.chat = stream_hello
    gateway.add("requests", id="req_TEST")
    outcome = shell("chat", "-m", "m", "--usage", "hi")
    assert outcome.err.startswith("12 in / 3 out  $0.0041  ")
    assert "tok/s" in outcome.err


def test_the_model_may_be_left_out_where_there_is_only_one(
    shell: Shell, gateway: FakeGateway
) -> None:
    gateway.chat = stream_hello
    gateway.add("mappings", alias="only", targets=[])
    assert shell("chat", "hi").code == 0
    assert gateway.seen[-1].body["model"] == "only"
    gateway.add("mappings", alias="second", targets=[])
    outcome = shell("chat", "hi")
    assert outcome.code == 2
    assert "only, second" in outcome.err


def test_an_answer_that_is_not_streamed_is_printed_too(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    whole = {
        "choices": [{"message": {"role": "assistant", "content": "All at once"}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
    gateway.chat = lambda handler: handler.answer(200, whole)
    assert conduit("chat", "-m", "m", "--no-stream", "hi").out == "All at once\n"
    assert json.loads(conduit("chat", "-m", "m", "--json", "hi").out) == whole


def test_a_simulated_answer_says_so(shell: Shell, gateway: FakeGateway) -> None:
    def simulated(handler: Handler) -> None:
        handler.start_stream({"x-conduit-simulated": "true"})
        handler.event(delta("x"))
        handler.event("[DONE]")
        handler.end_stream()

    gateway.chat = simulated
    assert "simulated" in shell("chat", "-m", "m", "hi").err


@pytest.mark.parametrize("ending", ["cut", "no_done", "error", "garbage"])
def test_an_answer_that_breaks_keeps_its_text_and_is_7(
    shell: Shell, gateway: FakeGateway, ending: str
) -> None:
    def broken(handler: Handler) -> None:
        handler.start_stream()
        handler.event(delta("so far"))
        match ending:
            case "cut":
                handler.cut()
            case "no_done":
                handler.end_stream()
            case "error":
                handler.event({"error": {"message": "it broke", "code": "upstream_error"}})
                handler.end_stream()
            case _:
                handler.event("{not json")
                handler.end_stream()

    gateway.chat = broken
    outcome = shell("chat", "-m", "m", "hi")
    assert (outcome.code, outcome.out) == (7, "so far\n")
    assert outcome.err.startswith("error: ")
    assert "request: req_TEST" in outcome.err


@pytest.mark.parametrize(
    ("refusal", "headers", "code"),
    [
        (Refusal(429, "insufficient_quota", "spent"), {}, 6),
        (Refusal(404, "model_not_found", "no such model"), {}, 5),
        (Refusal(400, "invalid_request", "bad"), {}, 1),
        (Refusal(502, "upstream_error", "it failed"), {}, 7),
        (Refusal(400, "context_length_exceeded", "long"), {"x-conduit-provider": "openai"}, 7),
        (Refusal(401, "invalid_api_key", "no"), {}, 4),
        (Refusal(404, "no_such_deployment", "of the provider's own"), {}, 7),
        (Refusal(401, "unsupported_parameter", "no"), {}, 4),
        (Refusal(404, "model_not_found", "of the provider's own"), PROVIDERS, 7),
        (Refusal(401, "invalid_api_key", "of the provider's own"), PROVIDERS, 7),
        (Refusal(404, "a_code_of_a_later_gateway", "gone"), GATEWAYS, 5),
    ],
)
def test_a_refused_chat_has_the_code_of_its_cause(
    conduit: Conduit,
    gateway: FakeGateway,
    refusal: Refusal,
    headers: dict[str, str],
    code: int,
) -> None:
    error = {"message": refusal.message, "code": refusal.code, "type": "x", "param": None}
    gateway.chat = lambda handler: handler.answer(refusal.status, {"error": error}, headers)
    outcome = conduit("chat", "-m", "m", "hi")
    assert (outcome.code, outcome.out) == (code, "")


@pytest.mark.parametrize(
    ("error_code", "exit_code"),
    [
        ("budget_exceeded", 1),
        ("request_cancelled", 1),
        ("server_shutting_down", 1),
        ("model_not_found", 7),
        ("internal_error", 7),
    ],
)
def test_an_error_in_a_stream_has_the_code_of_its_cause(
    conduit: Conduit, gateway: FakeGateway, error_code: str, exit_code: int
) -> None:
    def failing(handler: Handler) -> None:
        handler.start_stream()
        handler.event(delta("so far"))
        handler.event({"error": {"message": "it ended", "code": error_code}})
        handler.end_stream()

    gateway.chat = failing
    outcome = conduit("chat", "-m", "m", "hi")
    assert (outcome.code, outcome.out) == (exit_code, "so far\n")
    assert f"[{error_code}]" in outcome.err


def test_every_code_of_the_gateway_is_known_as_its_own() -> None:
    def below(kind: type[ConduitError]) -> Iterator[type[ConduitError]]:
        yield kind
        for each in kind.__subclasses__():
            yield from below(each)

    own = [kind for kind in below(ConduitError) if kind.__module__ == ConduitError.__module__]
    codes = {kind.code for kind in own if not issubclass(kind, UpstreamFailure)}
    assert codes <= GATEWAY_CODES


def test_no_virtual_key_is_not_authenticated(shell: Shell, gateway: FakeGateway) -> None:
    del shell.environment["CONDUIT_API_KEY"]
    assert shell("chat", "-m", "m", "hi").code == 4
    assert gateway.seen == []


def test_a_master_key_is_never_sent_to_the_client_side(shell: Shell, gateway: FakeGateway) -> None:
    gateway.chat = stream_hello
    shell("chat", "-m", "m", "hi")
    assert all(MASTER_KEY not in str(seen.headers) for seen in gateway.seen)


def test_a_terminal_gets_markdown_and_raw_gets_text(shell: Shell, gateway: FakeGateway) -> None:
    def markdown(handler: Handler) -> None:
        handler.start_stream()
        for piece in ("# Ti", "tle\n\nSome **bo", "ld** text\n"):
            handler.event(delta(piece))
        handler.event("[DONE]")
        handler.end_stream()

    gateway.chat = markdown
    rendered = shell("chat", "-m", "m", "hi", CONDUIT_FORCE_TTY="80")
    assert "**" not in rendered.out
    assert "bold" in rendered.out
    raw = shell("chat", "-m", "m", "--raw", "hi", CONDUIT_FORCE_TTY="80")
    assert raw.out == "# Title\n\nSome **bold** text\n"


def test_blocks_end_at_blank_lines_outside_of_fences() -> None:
    pieces = iter(["a\nb\n", "\n```py\nx\n\ny\n```\n\nla", "st"])
    assert list(blocks(pieces)) == ["a\nb", "```py\nx\n\ny\n```", "last"]


def test_blocks_give_what_has_come_before_they_break() -> None:
    def broken() -> "object":
        yield "some text"
        raise ClientError("it broke")

    found = []
    with pytest.raises(ClientError):  # noqa: PT012  # what came before matters
        for block in blocks(broken()):  # type: ignore[arg-type]
            found.append(block)
    assert found == ["some text"]


def saying(text: str) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.start_stream()
        handler.event(delta(text))
        handler.event("[DONE]")
        handler.end_stream()

    return answer


def test_only_the_first_code_block_is_printed_when_code_is_wanted(
    shell: Shell, gateway: FakeGateway
) -> None:
    gateway.chat = saying("Here:\n\n```py\nprint(1)\n```\n\nand\n\n```\nno\n```\n")
    assert shell("chat", "-m", "m", "--code", "hi").out == "print(1)\n"
    gateway.chat = saying("no fence")
    assert shell("chat", "-m", "m", "--code", "hi").out == "no fence\n"


@pytest.mark.parametrize(
    ("answer", "code"),
    [('{"n": 1}', 0), ('{"n": "1"}', 1), ("{}", 1), ("Sure! {}", 1), ('{"n": 1, "m": 2}', 1)],
)
def test_an_answer_has_to_fit_the_schema(
    shell: Shell, gateway: FakeGateway, tmp_path: Path, answer: str, code: int
) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(schema))
    gateway.chat = saying(answer)
    outcome = shell("chat", "-m", "m", "--schema", str(file), "a number, please")
    assert (outcome.code, outcome.out) == (code, answer + "\n")
    assert ("[schema_mismatch]" in outcome.err) is bool(code)
    wanted = gateway.requests("POST")[-1].body["response_format"]
    assert wanted["json_schema"] == {"name": "answer", "schema": schema, "strict": True}


def test_what_of_a_schema_is_not_checked_is_told(
    shell: Shell, gateway: FakeGateway, tmp_path: Path
) -> None:
    file = tmp_path / "schema.json"
    file.write_text('{"properties": {"n": {"pattern": "^a", "format": "date"}}}')
    gateway.chat = saying('{"n": "b"}')
    outcome = shell("chat", "-m", "m", "--schema", str(file), "a date, please")
    assert (outcome.code, outcome.out) == (0, '{"n": "b"}\n')
    assert outcome.err == "not checked: format, pattern\n"


def test_a_schema_that_is_none_is_refused_before_anything_is_asked(
    shell: Shell, gateway: FakeGateway, tmp_path: Path
) -> None:
    (tmp_path / "bad").write_text("{")
    for file in (tmp_path / "bad", tmp_path / "nowhere"):
        assert shell("chat", "-m", "m", "--schema", str(file), "x").code == 2
    assert gateway.seen == []


def test_files_and_addresses_go_along_with_the_question(
    shell: Shell, gateway: FakeGateway, tmp_path: Path
) -> None:
    gateway.chat = stream_hello
    png, pdf, text = tmp_path / "p.txt", tmp_path / "d.pdf", tmp_path / "n.md"
    png.write_bytes(b"\x89PNG\r\n\x1a\nrest")
    pdf.write_bytes(b"%PDF-1.7")
    text.write_text("# Notes")
    given = [str(png), str(pdf), str(text), "https://example.org/cat.jpg"]
    flags = [word for each in given for word in ("-a", each)]
    assert shell("chat", "-m", "m", "look", *flags).code == 0
    encoded = base64.b64encode(png.read_bytes()).decode()
    assert gateway.seen[-1].body["messages"][0]["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}},
        {
            "type": "file",
            "file": {"filename": "d.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjc="},
        },
        {"type": "text", "text": "n.md:\n\n# Notes"},
        {"type": "image_url", "image_url": {"url": "https://example.org/cat.jpg"}},
    ]


def test_what_cannot_go_along_is_refused_before_anything_is_asked(
    shell: Shell, gateway: FakeGateway, tmp_path: Path
) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with open(tmp_path / "large", "wb") as file:
        file.truncate(21 * 1024 * 1024)
    for given in ("binary", "large", "nowhere"):
        outcome = shell("chat", "-m", "m", "look", "-a", str(tmp_path / given))
        assert (outcome.code, outcome.out) == (2, ""), outcome.err
    assert shell("chat", "-m", "m", "look", "-a", "https://example.org/a.pdf").code == 2
    assert gateway.seen == []


def test_a_query_and_a_format_pick_from_the_whole_answer(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    whole = {"id": "chatcmpl-1", "choices": [{"message": {"content": "Yes"}}]}
    gateway.chat = lambda handler: handler.answer(200, whole)
    query = ("--query", "choices[0].message.content")
    assert conduit("chat", "-m", "m", *query, "hi").out == "Yes\n"
    assert conduit("chat", "-m", "m", "--format", "{id}", "hi").out == "chatcmpl-1\n"
    assert gateway.seen[-1].body.get("stream") is None


def test_a_terminal_is_not_driven_by_an_answer(shell: Shell, gateway: FakeGateway) -> None:
    gateway.chat = saying("a\x1b]0;owned\x07b")
    for environment in ({}, {"NO_COLOR": "1"}):
        outcome = shell("chat", "-m", "m", "hi", CONDUIT_FORCE_TTY="80", **environment)
        assert "\x1b]" not in outcome.out
    assert shell("chat", "-m", "m", "hi").out == "a\x1b]0;owned\x07b\n"
