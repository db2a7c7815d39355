"""Real traffic of Gemini as golden input, where it lies beside the repository."""

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from conduit.core.errors import (
    UpstreamAuthError,
    UpstreamRateLimitedError,
    UpstreamRejectedError,
)
from conduit.gateway.conversation import (
    ChatResponse,
    FinishReason,
    Opaque,
    StreamEvent,
    Text,
    Thinking,
    ToolCall,
)
from conduit.gateway.dialects.collect import collect
from conduit.gateway.dialects.gemini.dialect import (
    StreamDecoder,
    StreamEncoder,
    decode_error,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from conduit.gateway.dialects.gemini.words import camel
from conduit.gateway.dialects.target import Target

FOLDER = os.environ.get("CONDUIT_RECORDED")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="CONDUIT_RECORDED does not name a folder of recorded provider traffic"
)
FILES = sorted(Path(FOLDER, "gemini").glob("*.json")) if FOLDER else []


def recorded(kind: str) -> list[Any]:
    return [
        pytest.param(json.loads(file.read_text()), id=file.stem)
        for file in FILES
        if file.name.startswith(kind)
    ]


def chunks_of(body: str) -> list[Any]:
    if not body.startswith("data:"):
        return [json.loads(body)]
    return [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: ")]


def parts_of(chunks: list[Any]) -> list[Any]:
    return [
        part
        for chunk in chunks
        for candidate in chunk["candidates"]
        for part in candidate["content"]["parts"]
    ]


def model_of(exchange: Any) -> str:
    model: str = exchange["path"].rsplit("/", 1)[1].partition(":")[0]
    return model


def decoded(body: bytes, cuts: list[int]) -> list[StreamEvent]:
    decoder = StreamDecoder()
    edges = [0, *cuts, len(body)]
    events = [event for start, end in pairwise(edges) for event in decoder.feed(body[start:end])]
    events += decoder.finish()
    assert decoder.complete
    return events


def test_there_is_traffic() -> None:
    assert FILES


def check(response: ChatResponse, chunks: list[Any]) -> None:
    (choice,) = response.choices
    parts = parts_of(chunks)
    assert response.id == chunks[0]["responseId"]
    assert response.model == chunks[0]["modelVersion"]

    def said(*, thought: bool) -> str:
        return "".join(
            part.get("text", "") for part in parts if part.get("thought", False) == thought
        )

    assert "".join(p.text for p in choice.parts if isinstance(p, Text)) == said(thought=False)
    assert "".join(p.text for p in choice.parts if isinstance(p, Thinking)) == said(thought=True)
    calls = [part for part in parts if "functionCall" in part]
    found = [part for part in choice.parts if isinstance(part, ToolCall)]
    assert [(call.name, json.loads(call.arguments), call.signature) for call in found] == [
        (call["functionCall"]["name"], call["functionCall"]["args"], call.get("thoughtSignature"))
        for call in calls
    ]
    assert all(call.id for call in found)
    signatures = [part["thoughtSignature"] for part in parts if "thoughtSignature" in part]
    kept: list[str | None] = []
    for part in choice.parts:
        if isinstance(part, Thinking | ToolCall) and part.signature:
            kept.append(part.signature)
        elif isinstance(part, Opaque) and "thoughtSignature" in part.value:
            kept.append(part.value["thoughtSignature"])
    assert kept == signatures
    check_end(response, chunks, has_calls=bool(calls))


def check_end(response: ChatResponse, chunks: list[Any], *, has_calls: bool) -> None:
    (choice,) = response.choices
    reported = chunks[-1]["usageMetadata"]
    assert response.usage is not None
    assert response.usage.raw == reported
    assert (
        response.usage.total_input_tokens + response.usage.total_output_tokens
        == reported["totalTokenCount"]
    )
    assert choice.raw_reason == chunks[-1]["candidates"][0]["finishReason"] == "STOP"
    assert choice.finish_reason is (FinishReason.TOOL_CALLS if has_calls else FinishReason.STOP)


@pytest.mark.parametrize("exchange", recorded("plain"))
def test_a_whole_answer_comes_out_whole(exchange: Any) -> None:
    value = json.loads(exchange["body"])
    response = decode_response(exchange["body"].encode())
    check(response, [value])
    value["candidates"][0].setdefault("index", 0)
    assert json.loads(encode_response(response)) == value


@pytest.mark.parametrize("exchange", recorded("stream"))
def test_a_stream_comes_out_whole_cut_at_any_byte(exchange: Any) -> None:
    body = exchange["body"].encode()
    whole = decoded(body, [])
    check(collect(whole), chunks_of(exchange["body"]))
    for at in range(0, len(body), 97):
        assert decoded(body, [at]) == whole
    assert decoded(body, list(range(1, len(body)))) == whole


@pytest.mark.parametrize("exchange", recorded("stream"))
def test_a_stream_that_is_written_again_says_the_same(exchange: Any) -> None:
    events = decoded(exchange["body"].encode(), [])
    encoder = StreamEncoder()
    body = b"".join(encoder.encode(event) for event in events) + encoder.finish()
    again = decoded(body, [])
    assert without_places(again) == without_places(events)
    check(collect(again), chunks_of(exchange["body"]))


def without_places(events: list[StreamEvent]) -> ChatResponse:
    """The answer without what its signatures were of: in a stream they come after it, alone."""
    response = collect(events)
    choices = [
        replace(
            choice,
            parts=tuple(
                replace(part, extras={}) if isinstance(part, Thinking) else part
                for part in choice.parts
            ),
        )
        for choice in response.choices
    ]
    return replace(response, choices=tuple(choices))


@pytest.mark.parametrize("exchange", recorded(""))
def test_a_request_says_the_same_again(exchange: Any) -> None:
    body = json.dumps(exchange["request"]).encode()
    model = model_of(exchange)
    request = decode_request(body, model=model, stream=exchange["stream"])
    sent = encode_request(request, Target(model))
    assert (sent.dropped, sent.emulated) == ((), ())
    assert sent.body == encode_request(request, Target(model)).body
    assert decode_request(sent.body, model=model, stream=exchange["stream"]) == request
    found, given = json.loads(sent.body), exchange["request"]
    assert texts_of(found) == texts_of(given)
    given.get("systemInstruction", {}).pop("role", None)
    assert found.get("systemInstruction") == given.get("systemInstruction")
    assert found.get("generationConfig", {}) == given.get("generationConfig", {})
    assert names_of(found) == names_of(given)


def texts_of(request: Any) -> list[Any]:
    parts = [camel(part) for content in request["contents"] for part in content["parts"]]
    for part in parts:
        if "thought" in part:
            part.setdefault("text", "")
    return [{**part, "functionResponse": None, "inlineData": None} for part in parts]


def names_of(request: Any) -> list[str]:
    return [
        tool["name"]
        for item in request.get("tools", [])
        for tool in item.get("functionDeclarations", [])
    ]


@pytest.mark.parametrize("exchange", recorded("error"))
def test_an_error_keeps_its_words(exchange: Any) -> None:
    reported = json.loads(exchange["body"])["error"]
    error = decode_error(exchange["status"], {}, exchange["body"].encode())
    assert reported["message"][:40] in f"{error.message} {error.hint}"
    match exchange["status"]:
        case 400:  # which stands for a bad key here
            assert isinstance(error, UpstreamAuthError)
        case 404:
            assert isinstance(error, UpstreamRejectedError)
            assert error.status == 404
        case status:
            assert status == 429
            assert isinstance(error, UpstreamRateLimitedError)
            assert error.retry_after_s == 48
