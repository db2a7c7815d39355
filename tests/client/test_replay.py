"""What is sent again of a kept request, and the text of answers."""

import json
from base64 import b64encode
from typing import Any

import pytest

from conduit.client.answer_text import lines_of, text_of_answer
from conduit.client.replay import NotReplayableError, replay_of


def kept(body: str, path: str = "/v1/chat/completions", **changes: Any) -> dict[str, Any]:
    request = {
        "headers": {"authorization": "[redacted]", "anthropic-version": "2023-06-01"},
        "body": body,
        "encoding": "utf-8",
        "bytes": len(body),
        "truncated": False,
        **changes,
    }
    return {"id": "req_1", "path": path, "request": request}


def test_a_request_goes_again_as_it_was_to_the_byte() -> None:
    body = '{"model": "a",  "x":1.0}'
    again = replay_of(kept(body), None)
    assert (again.path, again.body, again.model) == ("/v1/chat/completions", body.encode(), "a")
    assert again.headers == {"anthropic-version": "2023-06-01"}
    assert not again.is_scrubbed
    assert replay_of(kept(body), "a").body == body.encode()
    raw = kept(b64encode(body.encode()).decode(), encoding="base64")
    assert replay_of(raw, None).body == body.encode()


def test_another_model_stands_where_the_dialect_has_it() -> None:
    assert json.loads(replay_of(kept('{"model": "a", "n": 1}'), "b").body) == {"model": "b", "n": 1}
    gemini = kept('{"contents": []}', "/v1beta/models/team/a:generateContent")
    assert replay_of(gemini, None).model == "team/a"
    assert replay_of(gemini, "b").path == "/v1beta/models/b:generateContent"
    assert replay_of(gemini, None).path == "/v1beta/models/team%2Fa:generateContent"
    stream = kept("{}", "/v1beta/models/a:streamGenerateContent")
    assert replay_of(stream, None).path == "/v1beta/models/a:streamGenerateContent?alt=sse"


@pytest.mark.parametrize(
    ("model", "quoted"),
    [
        ("a b", "a%20b"),
        ("a/b:free", "a%2Fb%3Afree"),
        ("50%?#", "50%25%3F%23"),
        ("ü", "%C3%BC"),
        ("\ud83d", "%ED%A0%BD"),
    ],
)
def test_a_model_is_quoted_where_it_stands_in_the_path(model: str, quoted: str) -> None:
    path = f"/v1beta/models/{model}:generateContent"
    same = replay_of(kept("{}", path), None)
    assert (same.path, same.model) == (f"/v1beta/models/{quoted}:generateContent", model)
    other = replay_of(kept("{}", "/v1/models/m:countTokens"), model)
    assert (other.path, other.model) == (f"/v1/models/{quoted}:countTokens", model)


def test_half_a_surrogate_pair_is_sent_with_another_model_too() -> None:
    body = '{"model": "a", "x": "\\ud83d", "y": "ü"}'
    assert replay_of(kept(body), None).body == body.encode()
    assert (
        replay_of(kept('{"model": "a", "x": "\ud83d"}'), None).body
        == b'{"model": "a", "x": "\\ud83d"}'
    )
    raw = kept(b64encode(b'{"model": "a", "x": "\xed\xa0\xbd"}').decode(), encoding="base64")
    assert json.loads(replay_of(raw, "b").body)["x"] == "\ud83d"
    assert json.loads(replay_of(kept(body), "b").body) == {"model": "b", "x": "\ud83d", "y": "ü"}
    assert "ü".encode() in replay_of(kept('{"model": "a", "y": "ü"}'), "b").body


@pytest.mark.parametrize(
    ("bodies", "reason"),
    [
        (kept('{"model"', truncated=True), "only the beginning"),
        (kept("model=a"), "not JSON"),
        (kept("[]"), "no JSON object"),
        (kept("{}", ""), "where it was sent"),
    ],
)
def test_what_is_not_kept_whole_is_not_sent(bodies: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotReplayableError, match=reason):
        replay_of(bodies, None)


def test_a_body_that_something_was_taken_out_of_is_known() -> None:
    assert replay_of(kept('{"model": "a", "x": "[redacted]"}'), None).is_scrubbed


def events(*objects: dict[str, Any]) -> bytes:
    return "".join(f"data: {json.dumps(each)}\n\n" for each in objects).encode()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b'{"choices": [{"message": {"content": "hi"}}]}', "hi"),
        (b'{"choices": [{"text": "hi"}]}', "hi"),
        (events({"choices": [{"delta": {"content": "h"}}]}, {"choices": []},
                {"choices": [{"delta": {"content": "i"}}]}) + b"data: [DONE]\n\n", "hi"),
        (b'{"content": [{"type": "thinking", "thinking": "?"}, {"type": "text", "text": "hi"}]}',
         "hi"),
        (events({"type": "message_start", "message": {"content": []}},
                {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hi"}}),
         "hi"),
        (b'{"output": [{"content": [{"type": "output_text", "text": "hi"}]}]}', "hi"),
        (events({"type": "response.output_text.delta", "delta": "hi"},
                {"type": "response.function_call_arguments.delta", "delta": "{}"},
                {"type": "response.completed", "response": {"output": []}}), "hi"),
        (b'[{"candidates": [{"content": {"parts": [{"text": "?", "thought": true},'
         b' {"text": "hi"}]}}]}]', "hi"),
        (b'{"choices": [{"message": {"reasoning_content": "?", "reasoning": "?",'
         b' "content": "hi"}}]}', "hi"),
        (b'{"choices": [{"message": {"content": [{"type": "thinking", "thinking": [{"type": "text",'
         b' "text": "?"}]}, {"type": "reasoning", "text": "?"},'
         b' {"type": "text", "text": "hi"}]}}]}', "hi"),
        (b'{"content": [{"type": "redacted_thinking", "data": "?"}, {"type": "tool_result",'
         b' "content": [{"type": "text", "text": "?"}]}, {"type": "text", "text": "hi"}]}', "hi"),
        (b'{"output": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "?"}],'
         b' "content": [{"type": "reasoning_text", "text": "?"}]}, {"type": "message", "content":'
         b' [{"type": "output_text", "text": "hi"}]}]}', "hi"),
        (b'{"candidates": [{"content": {"parts": [{"text": "?", "thought": true},'
         b' {"text": "hi"}]}}]}', "hi"),
        (b'{"choices": [{"message": {"reasoning_content": "?", "content": null}}]}', None),
        (b'{"data": [{"embedding": [1]}]}', None),
        (b"\xff", None),
    ],
)  # fmt: skip
def test_the_text_of_an_answer_is_found_in_every_dialect(content: bytes, text: str | None) -> None:
    assert text_of_answer(content) == text


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("text", ["a\u2028b\u2029c", "a\x85b", "a\x0bb\x0cc\x1cd"])
def test_lines_of_events_end_at_their_own_line_ends_alone(end: str, text: str) -> None:
    event = json.dumps({"choices": [{"delta": {"content": text}}]}, ensure_ascii=False)
    lines = ("event: x", f"data: {event}", "", f"data:{event}", "", "data: [DONE]", "", "")
    assert text_of_answer(end.join(lines).encode()) == text * 2


def test_an_event_may_have_several_lines_and_no_end() -> None:
    content = b'data: {"choices": [{"delta":\ndata: {"content": "hi"}}]}'
    assert text_of_answer(content) == "hi"
    assert list(lines_of("a\u2028\rb\r\n\nc\n")) == ["a\u2028", "b", "", "c"]
    assert list(lines_of("")) == []
