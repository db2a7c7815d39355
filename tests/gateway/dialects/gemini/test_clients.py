"""Answers for Gemini's clients, whole and streamed."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from conduit.core.errors import RateLimitedError, UpstreamTimeoutError
from conduit.gateway.conversation import (
    ArgumentsDelta,
    Audio,
    ChatResponse,
    Choice,
    Citation,
    CitationDelta,
    Failed,
    File,
    Finished,
    FinishReason,
    Image,
    Opaque,
    Part,
    PartFinished,
    PartStarted,
    Refusal,
    SignatureDelta,
    Started,
    StreamEvent,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolResult,
    Unplaced,
    Usage,
    Used,
    WholePart,
)
from conduit.gateway.dialects.collect import collect
from conduit.gateway.dialects.frames.sse import payloads_of
from conduit.gateway.dialects.gemini.dialect import (
    StreamDecoder,
    StreamEncoder,
    decode_response,
    encode_response,
)
from conduit.gateway.dialects.gemini.signatures import write_redacted, write_signature

OTHER = "anthropic_messages"
USAGE = Usage(5, output_tokens=2)
WRITTEN_USAGE = {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7}
CALL = ToolCall("toolu_1", "f", '{"a":1}')


def answer(*parts: Part, dialect: str = OTHER, **choice: Any) -> ChatResponse:
    fields = {"finish_reason": FinishReason.STOP} | choice
    return ChatResponse("id", "m", 5, (Choice(0, parts, **fields),), USAGE, dialect=dialect)


def written(response: ChatResponse) -> Any:
    return json.loads(encode_response(response))


def candidate(*parts: Part, **how: Any) -> Any:
    return written(answer(*parts, **how))["candidates"][0]


def parts_of(*parts: Part, **how: Any) -> Any:
    return candidate(*parts, **how)["content"]["parts"]


def chunks(*events: StreamEvent, dialect: str = OTHER, **how: Any) -> list[Any]:
    encoder = StreamEncoder(**how)
    started = Started("id", "m", 5, dialect=dialect)
    body = b"".join(encoder.encode(event) for event in (started, *events)) + encoder.finish()
    return [json.loads(payload or b"") for payload in payloads_of(body)]


def pieces(*events: StreamEvent, **how: Any) -> list[Any]:
    """The parts of each piece but the last."""
    return [
        part
        for chunk in chunks(*events, **how)[:-1]
        for found in chunk["candidates"]
        for part in found["content"]["parts"]
    ]


def test_an_answer_of_another_provider_is_put_in_these_words() -> None:
    assert written(answer(Text("hi"), extras={"x": 1})) == {
        "candidates": [
            {
                "content": {"parts": [{"text": "hi"}], "role": "model"},
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "usageMetadata": WRITTEN_USAGE,
        "modelVersion": "m",
        "responseId": "id",
    }
    assert "usageMetadata" not in written(replace(answer(), usage=None))


@pytest.mark.parametrize(
    ("reason", "raw", "word"),
    [
        (FinishReason.STOP, None, "STOP"),
        (FinishReason.TOOL_CALLS, "tool_use", "STOP"),
        (FinishReason.LENGTH, None, "MAX_TOKENS"),
        (FinishReason.CONTENT_FILTER, None, "SAFETY"),
        (FinishReason.REFUSAL, "refusal", "SAFETY"),
        (None, None, "STOP"),
    ],
)
def test_finish_reasons(reason: FinishReason | None, raw: str | None, word: str) -> None:
    assert candidate(Text("a"), finish_reason=reason, raw_reason=raw)["finishReason"] == word
    if reason is not None:
        (last,) = chunks(Finished(reason, raw_reason=raw))
        assert last["candidates"][0]["finishReason"] == word


def test_the_own_finish_reason_passes() -> None:
    how = {"finish_reason": FinishReason.STOP, "raw_reason": "OTHER", "dialect": "gemini"}
    assert candidate(Text("a"), **how)["finishReason"] == "OTHER"
    (last,) = chunks(Finished(FinishReason.STOP, raw_reason="OTHER"), dialect="gemini")
    assert last["candidates"][0]["finishReason"] == "OTHER"


def test_every_kind_of_part_has_a_form() -> None:
    opaque = Opaque("gemini", "parts", {"executableCode": {}})
    assert parts_of(
        Thinking("hm", "s", signed_by=OTHER),
        Thinking(redacted="r", signed_by=OTHER),
        Thinking("plain"),
        Text("a"),
        Refusal("no"),
        replace(CALL, signature="c2ln", signed_by="gemini", extras={"x": 1}),
        replace(CALL, id="gemini_0123456789abcdef", arguments=""),
        Image("data:image/png;base64,AA=="),
        Image("https://x/y.png"),
        Audio("AAAA", "mp3"),
        File(data="data:text/csv;base64,AA==", filename="a.csv"),
        File(file_id="lost"),
        opaque,
        Opaque("openai_chat", "content", {}),
        ToolResult("c", ()),
    ) == [
        {"text": "hm", "thought": True, "thoughtSignature": write_signature("s", OTHER)},
        {"text": "", "thought": True, "thoughtSignature": write_redacted("r", OTHER)},
        {"text": "plain", "thought": True},
        {"text": "a"},
        {"text": "no"},
        {
            "functionCall": {"id": "toolu_1", "name": "f", "args": {"a": 1}},
            "thoughtSignature": "c2ln",
        },
        {"functionCall": {"name": "f", "args": {}}},
        {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
        {"fileData": {"mimeType": "image/png", "fileUri": "https://x/y.png"}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "AAAA"}},
        {"inlineData": {"mimeType": "text/csv", "data": "AA==", "displayName": "a.csv"}},
        {"executableCode": {}},
    ]
    assert parts_of() == [{"text": ""}]


def test_a_call_that_is_no_json_is_told_as_the_format_does() -> None:
    broken = replace(CALL, arguments='{"a": ')
    found = candidate(Text("a"), broken, finish_reason=FinishReason.TOOL_CALLS)
    assert found["content"]["parts"] == [{"text": "a"}]
    assert found["finishReason"] == "MALFORMED_FUNCTION_CALL"
    assert found["finishMessage"] == 'Malformed function call: f({"a": )'
    (last,) = chunks(
        PartStarted(0, "tool_call", tool_call_id="c", tool_name="f"),
        ArgumentsDelta(0, '{"a": '),
        PartFinished(0),
        Finished(FinishReason.TOOL_CALLS),
    )
    assert last["candidates"][0]["finishReason"] == "MALFORMED_FUNCTION_CALL"


def test_sources_of_another_provider_are_grounding() -> None:
    web = Citation(OTHER, {}, url="https://a", title="A", start=1, end=3)
    file = Citation(OTHER, {}, title="B", cited_text="quoted")
    found = candidate(Text("ä"), Text("bäcd", citations=(web, file, web)))
    metadata = {
        "groundingChunks": [
            {"web": {"uri": "https://a", "title": "A"}},
            {"retrievedContext": {"title": "B", "text": "quoted"}},
        ],
        "groundingSupports": [
            {
                "segment": {"partIndex": 1, "startIndex": 1, "endIndex": 4, "text": "äc"},
                "groundingChunkIndices": [0],
            },
            {
                "segment": {"partIndex": 1, "startIndex": 0, "endIndex": 5, "text": "bäcd"},
                "groundingChunkIndices": [1],
            },
            {
                "segment": {"partIndex": 1, "startIndex": 1, "endIndex": 4, "text": "äc"},
                "groundingChunkIndices": [0],
            },
        ],
    }
    assert found["groundingMetadata"] == metadata
    last = chunks(
        PartStarted(0, "text"),
        TextDelta(0, "ä"),
        PartFinished(0),
        PartStarted(1, "text"),
        TextDelta(1, "bä"),
        TextDelta(1, "cd"),
        CitationDelta(1, web),
        PartFinished(1),
        Finished(FinishReason.STOP),
    )[-1]
    # The pieces of a stream are one part to its reader.
    assert last["candidates"][0]["groundingMetadata"]["groundingSupports"] == [
        {
            "segment": {"startIndex": 3, "endIndex": 6, "text": "äc"},
            "groundingChunkIndices": [0],
        }
    ]


def test_log_probabilities_are_in_gemini_s_form() -> None:
    entry = {"token": "a", "logprob": -0.5, "bytes": [97]}
    logprobs = {"content": [{**entry, "top_logprobs": [entry]}, {"token": "b"}]}
    result = {
        "chosenCandidates": [
            {"token": "a", "logProbability": -0.5},
            {"token": "b", "logProbability": 0.0},
        ],
        "topCandidates": [
            {"candidates": [{"token": "a", "logProbability": -0.5}]},
            {"candidates": []},
        ],
    }
    assert candidate(Text("ab"), logprobs=logprobs)["logprobsResult"] == result
    streamed = chunks(TextDelta(0, "ab", logprobs=logprobs), Finished(FinishReason.STOP))
    assert streamed[0]["candidates"][0]["logprobsResult"] == result
    plain = candidate(Text("a"), logprobs={"content": [{"token": "a", "logprob": -1}]})
    assert plain["logprobsResult"] == {"chosenCandidates": [{"token": "a", "logProbability": -1}]}
    nothings: tuple[Any, ...] = ({"content": []}, "x")
    for nothing in nothings:
        assert "logprobsResult" not in candidate(Text("a"), logprobs=nothing)


OWN: dict[str, Any] = {
    "candidates": [
        {
            "content": {
                "parts": [
                    {"text": "hm", "thought": True},
                    {"text": "", "thought": True, "thoughtSignature": "c2ln"},
                    {"text": "a", "thoughtSignature": "dGV4"},
                    {"text": "", "thoughtSignature": "dGV5"},
                    {
                        "functionCall": {"id": "c", "name": "f", "args": {}, "future": 1},
                        "thoughtSignature": "Y2Fs",
                    },
                    {"codeExecutionResult": {"outcome": "OUTCOME_OK"}},
                    {
                        "inlineData": {"mimeType": "image/png", "data": "AA=="},
                        "thoughtSignature": "aW1n",
                    },
                ],
                "role": "model",
            },
            "finishReason": "STOP",
            "index": 0,
            "safetyRatings": [{"category": "x"}],
            "avgLogprobs": -0.5,
        }
    ],
    "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3, "trafficType": "ON_DEMAND"},
    "modelVersion": "g",
    "responseId": "r",
    "modelStatus": {"x": 1},
}


def test_nothing_of_an_own_answer_is_lost() -> None:
    found = written(decode_response(json.dumps(OWN).encode()))
    first, signed, *rest = OWN["candidates"][0]["content"]["parts"]
    merged = {**first, "thoughtSignature": signed["thoughtSignature"]}
    assert found["candidates"][0]["content"]["parts"] == [merged, *rest]
    found["candidates"][0]["content"]["parts"] = OWN["candidates"][0]["content"]["parts"]
    assert found == OWN


def test_nothing_of_an_own_stream_is_lost() -> None:
    decoder = StreamDecoder()
    events = decoder.feed(b"data: " + json.dumps(OWN).encode() + b"\n\n") + decoder.finish()
    encoder = StreamEncoder()
    body = b"".join(encoder.encode(event) for event in events) + encoder.finish()
    *found, last = [json.loads(payload or b"") for payload in payloads_of(body)]
    parts = [chunk["candidates"][0]["content"]["parts"][0] for chunk in found]
    assert parts == [
        {"text": "hm", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": "c2ln"},
        {"text": "a"},
        {"text": "", "thoughtSignature": "dGV4"},
        {"text": "", "thoughtSignature": "dGV5"},
        *OWN["candidates"][0]["content"]["parts"][4:6],
        {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
        {"text": "", "thoughtSignature": "aW1n"},
    ]
    assert {**last, "candidates": OWN["candidates"]} == OWN
    (end,) = last["candidates"]
    assert (end["finishReason"], end["avgLogprobs"]) == ("STOP", -0.5)


def test_a_thought_that_is_a_signature_alone_comes_back() -> None:
    part = {"text": "", "thought": True, "thoughtSignature": "c2ln"}
    body = {"candidates": [{"content": {"parts": [part]}}]}
    assert parts_of(*decode_response(json.dumps(body).encode()).choices[0].parts) == [part]
    assert parts_of(Thinking("", signed_by="gemini")) == [{"text": ""}]
    assert pieces(
        PartStarted(0, "thinking", signed_by="gemini", extras={"thought": True}),
        SignatureDelta(0, "c2ln", signed_by="gemini"),
        PartFinished(0),
    ) == [part]


def test_a_blocked_prompt_has_no_candidates() -> None:
    body = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3},
        "modelVersion": "g",
        "responseId": "r",
    }
    text = json.dumps(body).encode()
    assert written(decode_response(text)) == body
    decoder = StreamDecoder()
    events = decoder.feed(b"data: " + text + b"\n\n") + decoder.finish()
    encoder = StreamEncoder()
    streamed = b"".join(map(encoder.encode, events)) + encoder.finish()
    assert [json.loads(payload or b"") for payload in payloads_of(streamed)] == [body]


def test_every_piece_of_a_stream_has_a_candidate_with_parts_and_the_last_the_end() -> None:
    found = chunks(
        PartStarted(0, "thinking"),
        ThinkingDelta(0, "h"),
        ThinkingDelta(0, "m"),
        SignatureDelta(0, "s", signed_by=OTHER),
        SignatureDelta(0, ":1", signed_by=OTHER),
        PartFinished(0),
        PartStarted(1, "thinking", redacted="r", signed_by=OTHER),
        PartFinished(1),
        PartStarted(2, "text"),
        TextDelta(2, "a"),
        PartFinished(2),
        PartStarted(3, "tool_call", tool_call_id="c", tool_name="f", signature="t"),
        ArgumentsDelta(3, '{"a":'),
        ArgumentsDelta(3, "1}"),
        PartFinished(3),
        WholePart(4, Image("data:image/png;base64,AA==")),
        WholePart(5, Opaque("openai_chat", "content", {})),
        Unplaced({"x": 1}, 0),
        Unplaced({"y": 1}),
        Finished(FinishReason.TOOL_CALLS),
        Used(USAGE),
    )
    head = {"modelVersion": "m", "responseId": "id"}
    parts = [
        {"text": "h", "thought": True},
        {"text": "m", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": write_signature("s:1", OTHER)},
        {"text": "", "thought": True, "thoughtSignature": write_redacted("r", OTHER)},
        {"text": "a"},
        {
            "functionCall": {"id": "c", "name": "f", "args": {"a": 1}},
            "thoughtSignature": write_signature("t", ""),
        },
        {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
        {"text": ""},
    ]
    expected: list[Any] = [
        {"candidates": [{"content": {"parts": [part], "role": "model"}, "index": 0}], **head}
        for part in parts
    ]
    expected[-1]["candidates"][0]["finishReason"] = "STOP"
    expected[-1]["usageMetadata"] = WRITTEN_USAGE
    assert found == expected


def test_the_choices_of_a_stream_end_together() -> None:
    found = chunks(
        Used(USAGE),
        PartStarted(0, "text", 1),
        TextDelta(0, "b", 1),
        TextDelta(0, "a", 0),
        Finished(FinishReason.STOP, 1),
        Finished(FinishReason.LENGTH, 0),
        include_usage=False,
    )
    assert [chunk["candidates"][0]["index"] for chunk in found] == [1, 0, 1]
    ends = {end["index"]: end["finishReason"] for end in found[-1]["candidates"]}
    assert ends == {1: "STOP", 0: "MAX_TOKENS"}
    assert "usageMetadata" not in found[-1]


def test_what_was_not_finished_is_written_at_the_end() -> None:
    found = pieces(
        PartStarted(0, "tool_call", tool_call_id="c", tool_name="f"),
        ArgumentsDelta(0, "{}"),
        PartStarted(1, "thinking"),
        PartStarted(2, "text"),
        TextDelta(2, "a"),
        PartFinished(9),
    )
    assert found == [{"text": "a"}, {"functionCall": {"id": "c", "name": "f", "args": {}}}]


def test_sound_comes_in_pieces() -> None:
    assert pieces(PartStarted(0, "audio"), TextDelta(0, "AAAA"), PartFinished(0)) == [
        {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": "AAAA"}}
    ]


def test_what_an_own_answer_tells_late_is_in_the_last_piece() -> None:
    (last,) = chunks(Unplaced({"modelStatus": 1}), dialect="gemini")
    assert last == {"modelVersion": "m", "responseId": "id", "modelStatus": 1}


def test_a_stream_that_says_nothing_is_empty() -> None:
    assert chunks() == []
    assert StreamEncoder().finish() == b""
    assert StreamEncoder(array=True).finish() == b"[]"


EVENTS: tuple[StreamEvent, ...] = (
    Started("id", "m", 5),
    PartStarted(0, "text"),
    TextDelta(0, "a"),
    PartFinished(0),
)


def test_a_stream_can_be_one_array() -> None:
    encoder = StreamEncoder(array=True)
    frames = [encoder.encode(event) for event in (*EVENTS, Finished(FinishReason.STOP))]
    body = b"".join(frames) + encoder.finish()
    assert frames[2].startswith(b'[{"candidates"')
    assert len(json.loads(body)) == 2
    decoder = StreamDecoder()
    (choice,) = collect(decoder.feed(body) + decoder.finish()).choices
    assert choice.parts == (Text("a"),)


@pytest.mark.parametrize(
    ("failed", "code", "word"),
    [
        (Failed("RESOURCE_EXHAUSTED", "m"), 429, "RESOURCE_EXHAUSTED"),
        (Failed("overloaded_error", "m"), 502, "UNAVAILABLE"),
    ],
)
def test_a_failure_of_the_provider_is_bare_json(failed: Failed, code: int, word: str) -> None:
    encoder = StreamEncoder()
    for event in EVENTS:
        encoder.encode(event)
    frame = encoder.encode(failed)
    assert frame.startswith(b'{"error":')
    assert json.loads(frame) == {"error": {"code": code, "message": "m", "status": word}}
    assert encoder.failed
    assert encoder.finish() == b""
    assert encoder.fail(UpstreamTimeoutError("late")) == b""


def test_a_failure_of_ours_is_bare_json_or_the_last_element() -> None:
    encoder = StreamEncoder()
    frame = encoder.fail(UpstreamTimeoutError("late"))
    assert json.loads(frame)["error"]["status"] == "DEADLINE_EXCEEDED"
    array = StreamEncoder(array=True)
    body = b"".join(array.encode(event) for event in EVENTS)
    body += array.fail(RateLimitedError("slow")) + array.finish()
    first, last = json.loads(body)
    assert first["candidates"]
    assert last["error"]["code"] == 429
    alone = StreamEncoder(array=True)
    assert len(json.loads(alone.fail(RateLimitedError("slow")))) == 1


def test_a_stream_of_ours_is_read_as_it_was_written() -> None:
    call = PartStarted(1, "tool_call", tool_call_id="c", tool_name="f")
    events: tuple[StreamEvent, ...] = (
        Started("id", "m", 0, dialect="gemini"),
        PartStarted(0, "text"),
        TextDelta(0, "a"),
        PartFinished(0),
        call,
        ArgumentsDelta(1, '{"a":1}'),
        PartFinished(1),
        Finished(FinishReason.TOOL_CALLS, raw_reason="STOP"),
        Used(Usage(5, output_tokens=2, raw=WRITTEN_USAGE)),
    )
    encoder, decoder = StreamEncoder(), StreamDecoder()
    body = b"".join(map(encoder.encode, events)) + encoder.finish()
    assert decoder.feed(body) + decoder.finish() == list(events)
