"""Real traffic of OpenAI's responses as golden input, where it lies beside the repository."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from conduit.gateway.conversation import (
    ChatResponse,
    Opaque,
    StreamEvent,
    Text,
    Thinking,
    ToolCall,
)
from conduit.gateway.dialects.collect import collect
from conduit.gateway.dialects.openai_responses.dialect import (
    StreamDecoder,
    StreamEncoder,
    decode_error,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from conduit.gateway.dialects.target import Target

FOLDER = os.environ.get("CONDUIT_RECORDED")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="CONDUIT_RECORDED does not name a folder of recorded provider traffic"
)
FILES = sorted(Path(FOLDER, "openai-responses").glob("*.json")) if FOLDER else []


def recorded(kind: str) -> list[Any]:
    return [
        pytest.param(json.loads(file.read_text()), id=file.stem)
        for file in FILES
        if file.name.startswith(kind)
    ]


def test_there_is_traffic() -> None:
    assert FILES


@pytest.mark.parametrize("exchange", recorded(""))
def test_a_request_passes_unchanged(exchange: Any) -> None:
    request = decode_request(json.dumps(exchange["request"]).encode())
    encoded = encode_request(request, Target(request.model))
    assert (encoded.dropped, encoded.emulated) == ((), ())
    assert json.loads(encoded.body) == plain_request(exchange["request"])
    assert encode_request(request, Target(request.model)).body == encoded.body


def plain_request(request: Any) -> Any:
    """The same request in the words that the encoder prefers."""
    request = {name: value for name, value in request.items() if (name, value) != ("stream", False)}
    for tool in request.get("tools", ()):
        if tool.get("description", "") is None:
            del tool["description"]
    if isinstance(request["input"], str):
        request["input"] = [{"role": "user", "content": request["input"]}]
    for item in request["input"]:
        if "role" in item:
            item.setdefault("type", "message")
        match item.get("content"):
            case [{"type": "output_text" | "input_text", "text": text, **more}] if not more:
                item["content"] = text
    return request


@pytest.mark.parametrize("exchange", recorded("plain"))
def test_a_whole_answer_comes_out_whole(exchange: Any) -> None:
    body = exchange["body"].encode()
    response = decode_response(body)
    check(response, json.loads(body))
    back = json.loads(encode_response(response))
    assert plain_response(back) == plain_response(json.loads(body))


@pytest.mark.parametrize("exchange", recorded("stream"))
def test_a_stream_comes_out_whole_cut_at_any_byte(exchange: Any) -> None:
    body = exchange["body"].encode()
    events = decoded(body, len(body))
    for size in (1, 7, 1021):
        assert decoded(body, size) == events
    last = [json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: {")][-1]
    check(collect(events), last["response"])


def decoded(body: bytes, size: int) -> list[StreamEvent]:
    decoder = StreamDecoder()
    events: list[StreamEvent] = []
    for at in range(0, len(body), size):
        events += decoder.feed(body[at : at + size])
    events += decoder.finish()
    assert (decoder.done, decoder.complete) == (True, True)
    return events


@pytest.mark.parametrize("exchange", recorded("stream"))
def test_a_stream_written_again_says_the_same(exchange: Any) -> None:
    encoder = StreamEncoder()
    events = decoded(exchange["body"].encode(), 4096)
    written = b"".join(map(encoder.encode, events)) + encoder.finish()
    again = collect(decoded(written, 4096))
    assert again == collect(events)


def check(response: ChatResponse, value: Any) -> None:
    (choice,) = response.choices
    items = value["output"]
    assert [part.text for part in choice.parts if isinstance(part, Text)] == [
        part["text"] for item in items for part in item.get("content") or () if "text" in part
    ]
    calls = [part for part in choice.parts if isinstance(part, ToolCall)]
    assert [(call.id, call.name, call.arguments) for call in calls] == [
        (item["call_id"], item["name"], item["arguments"])
        for item in items
        if item["type"] == "function_call"
    ]
    for part in choice.parts:
        if isinstance(part, Thinking):
            assert part.signature
            assert part.signed_by == "openai_responses"
    thoughts = [part for part in choice.parts if isinstance(part, Thinking | Opaque)]
    assert len(thoughts) == len(
        [item for item in items if item["type"] not in ("message", "function_call")]
    )
    citations = [c.raw for part in choice.parts if isinstance(part, Text) for c in part.citations]
    assert citations == [
        raw
        for item in items
        if item["type"] == "message"
        for part in item["content"]
        for raw in part["annotations"]
    ]
    assert choice.finish_reason == ("tool_calls" if calls else "stop")
    usage = response.usage
    assert usage is not None
    assert usage.total_input_tokens == value["usage"]["input_tokens"]
    assert usage.total_output_tokens == value["usage"]["output_tokens"]
    assert usage.cache_read_tokens == value["usage"]["input_tokens_details"]["cached_tokens"]
    assert usage.reasoning_tokens == value["usage"]["output_tokens_details"]["reasoning_tokens"]
    assert usage.raw == value["usage"]
    assert (response.model, response.id) == (value["model"], value["id"])


def plain_response(value: Any) -> Any:
    """An answer without the fields that say nothing, and with one summary for several."""
    value = {name: field for name, field in value.items() if field is not None}
    for item in value["output"]:
        if item["type"] == "reasoning":
            item.pop("content", None)
            item.pop("status", None)
            texts = [part["text"] for part in item["summary"]]
            item["summary"] = "\n\n".join(texts)
        for part in item.get("content") or ():
            part.setdefault("logprobs", [])
    if "store" not in value:
        value["store"] = False
    return value


@pytest.mark.parametrize("exchange", recorded("error"))
def test_an_error_keeps_its_words(exchange: Any) -> None:
    reported = json.loads(exchange["body"])["error"]
    error = decode_error(exchange["status"], {}, exchange["body"].encode())
    if exchange["status"] == 401:
        assert error.status == 502
    else:
        assert (error.status, error.message) == (exchange["status"], reported["message"])
        assert error.param == reported["param"]
