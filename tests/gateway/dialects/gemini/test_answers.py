"""Answers of a provider in Gemini's format, whole and streamed."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conduit.core.errors import UpstreamFailure
from conduit.gateway.conversation import (
    ArgumentsDelta,
    Audio,
    Choice,
    Citation,
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
    Unplaced,
    Usage,
    Used,
    WholePart,
)
from conduit.gateway.dialects.collect import collect
from conduit.gateway.dialects.gemini.dialect import StreamDecoder, decode_response

USAGE = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
HEAD = {"modelVersion": "g", "responseId": "r"}
ERROR = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
OVERLOADED = Failed("UNAVAILABLE", "The provider reported an error: overloaded")


def chunk(*parts: Any, **candidate: Any) -> dict[str, Any]:
    content = {"parts": list(parts), "role": "model"}
    return {"candidates": [{"content": content, "index": 0, **candidate}], **HEAD}


def sse(*chunks: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(item).encode() + b"\r\n\r\n" for item in chunks)


def decoded(body: bytes, step: int = 0, answer_tool: str | None = None) -> list[StreamEvent]:
    decoder = StreamDecoder(answer_tool=answer_tool)
    pieces = [body[at : at + step] for at in range(0, len(body), step)] if step else [body]
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.finish()


def choice_of(*chunks: Any, **how: Any) -> Choice:
    (choice,) = collect(decoded(sse(*chunks), **how)).choices
    return choice


def whole(*parts: Any, **candidate: Any) -> Choice:
    (choice,) = decode_response(json.dumps(chunk(*parts, **candidate)).encode()).choices
    return choice


def signed(of: str | None = None, signature: str = "c2ln") -> Thinking:
    return Thinking("", signature, signed_by="gemini", extras={"of": of} if of else {})


def test_a_stream_is_told_part_by_part() -> None:
    events = decoded(
        sse(
            chunk({"text": "I ", "thought": True}),
            chunk({"text": "think", "thought": True, "thoughtSignature": "c2ln"}),
            chunk({"text": "a"}),
            chunk({"text": "b", "thoughtSignature": "dGV4"}),
            {**chunk({"functionCall": {"name": "f", "id": "c", "args": {"x": 1.5}}})},
            {**chunk({"text": ""}, finishReason="STOP", finishMessage="m"), "usageMetadata": USAGE},
        )
    )
    assert events == [
        Started("r", "g", 0, {}, "gemini"),
        PartStarted(0, "thinking", signed_by="gemini"),
        ThinkingDelta(0, "I "),
        ThinkingDelta(0, "think"),
        SignatureDelta(0, "c2ln", signed_by="gemini"),
        PartFinished(0),
        PartStarted(1, "text"),
        TextDelta(1, "a"),
        TextDelta(1, "b"),
        PartFinished(1),
        PartStarted(2, "thinking", signed_by="gemini", extras={"of": "text"}),
        SignatureDelta(2, "dGV4", signed_by="gemini"),
        PartFinished(2),
        PartStarted(3, "tool_call", tool_call_id="c", tool_name="f"),
        ArgumentsDelta(3, '{"x":1.5}'),
        PartFinished(3),
        Unplaced({"finishMessage": "m"}, 0),
        Finished(FinishReason.TOOL_CALLS, raw_reason="STOP"),
        Used(Usage(3, output_tokens=2, raw=USAGE)),
    ]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([{"text": "a"}, {"text": "b"}], (Text("ab"),)),
        (
            [{"text": "a", "thoughtSignature": "c2ln"}, {"text": "b"}],
            (Text("a"), signed("text"), Text("b")),
        ),
        (
            [{"text": "a", "thoughtSignature": "c2ln"}, {"text": "", "thoughtSignature": "dGV4"}],
            (Text("a"), signed("text"), signed(signature="dGV4")),
        ),
        ([{"text": "", "thoughtSignature": "c2ln"}], (signed(),)),
        (
            [{"thought": True, "thoughtSignature": "c2ln"}],
            (Thinking("", "c2ln", signed_by="gemini", extras={"thought": True}),),
        ),
        (
            [{"text": "a", "thought": True}, {"text": "", "thought": True}, {"text": "b"}],
            (Thinking("a", signed_by="gemini"), Text("b")),
        ),
        (
            [{"text": "a", "thoughtSignature": "c2ln"}, {"text": "b", "thought": True}],
            (Text("a"), signed("text"), Thinking("b", signed_by="gemini")),
        ),
        (
            [{"inlineData": {"mimeType": "image/png", "data": "_-8="}, "thoughtSignature": "c2ln"}],
            (Image("data:image/png;base64,/+8="), signed("inlineData")),
        ),
        (
            [{"inlineData": {"mimeType": "audio/L16;rate=24000", "data": "AA"}}],
            (Audio("AA==", "L16;rate=24000"),),
        ),
        (
            [{"inlineData": {"mimeType": "text/csv", "data": ""}}],
            (File(data="data:text/csv;base64,"),),
        ),
    ],
)
def test_parts_of_an_answer(parts: list[Any], expected: tuple[Part, ...]) -> None:
    assert whole(*parts, finishReason="STOP").parts == expected
    assert choice_of(chunk(*parts, finishReason="STOP")).parts == expected


@pytest.mark.parametrize(
    "part",
    [
        {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "c2ln"},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        {"toolCall": {"toolType": "GOOGLE_SEARCH"}},
        {"fileData": {"fileUri": "gs://x"}},
        {"inlineData": {"mimeType": "image/png", "data": "AA"}, "thought": True},
        {"inlineData": {"mimeType": "image/png", "data": "AA"}, "videoMetadata": {}},
        {"inlineData": {"mimeType": 5}},
        {"inlineData": "x"},
        {"functionCall": {"name": "f", "partialArgs": []}},
        {"functionCall": {"name": "f", "args": {}, "willContinue": True}},
        {"functionCall": {"args": {}}},
        {"functionCall": {"name": "f", "args": []}},
        {"functionCall": 5},
        {"text": "a", "partMetadata": {}},
    ],
)
def test_a_part_without_a_place_is_whole(part: dict[str, Any]) -> None:
    events = decoded(sse(chunk({"text": "t"}, part, {"text": "u"})))
    assert WholePart(1, Opaque("gemini", "parts", part)) in events
    assert PartStarted(2, "text") in events


def test_parallel_calls_without_ids_get_ids_of_their_own() -> None:
    call = {"functionCall": {"name": "f", "args": {}}}
    first, second = whole(call, {**call, "thoughtSignature": "c2ln"}, finishReason="STOP").parts
    assert isinstance(first, ToolCall)
    assert isinstance(second, ToolCall)
    assert first.id.startswith("gemini_")
    assert first.id != second.id
    assert (second.signature, second.signed_by) == ("c2ln", "gemini")
    again = {**chunk(call), "responseId": "other"}
    (other,) = choice_of(again).parts
    nameless = choice_of({"candidates": chunk({"functionCall": {"name": "f"}})["candidates"]})
    (unknown,) = nameless.parts
    assert isinstance(other, ToolCall)
    assert isinstance(unknown, ToolCall)
    assert len({first.id, other.id, unknown.id}) == 3
    assert unknown.arguments == "{}"


def test_fields_of_a_call_that_are_new_are_kept() -> None:
    (call,) = whole({"functionCall": {"name": "f", "args": None, "future": 1}}).parts
    assert isinstance(call, ToolCall)
    assert (call.arguments, call.extras) == ("{}", {"future": 1})


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("STOP", FinishReason.STOP),
        ("MAX_TOKENS", FinishReason.LENGTH),
        ("SAFETY", FinishReason.CONTENT_FILTER),
        ("RECITATION", FinishReason.CONTENT_FILTER),
        ("PROHIBITED_CONTENT", FinishReason.CONTENT_FILTER),
        ("MALFORMED_FUNCTION_CALL", FinishReason.CONTENT_FILTER),
        ("OTHER", FinishReason.STOP),
        ("A_NEW_WORD", FinishReason.STOP),
    ],
)
def test_finish_reasons(raw: str, reason: FinishReason) -> None:
    choice = whole({"text": "a"}, finishReason=raw)
    assert (choice.finish_reason, choice.raw_reason) == (reason, raw)


def test_the_first_finish_reason_counts() -> None:
    events = decoded(
        sse(chunk({"text": "a"}, finishReason="MAX_TOKENS"), chunk(finishReason="STOP"))
    )
    assert [event.raw_reason for event in events if isinstance(event, Finished)] == ["MAX_TOKENS"]


def test_an_answer_that_stands_for_a_schema_is_text() -> None:
    call = {"functionCall": {"name": "json_answer", "args": {"a": 1}}}
    body = json.dumps(chunk(call, call, finishReason="STOP")).encode()
    (choice,) = decode_response(body, answer_tool="json_answer").choices
    assert choice.parts == (Text('{"a":1}'),)
    assert choice.finish_reason is FinishReason.STOP
    other = {"functionCall": {"name": "f", "args": {}, "id": "c"}}
    mixed = choice_of(chunk(other, finishReason="STOP"), answer_tool="json_answer")
    assert mixed.finish_reason is FinishReason.TOOL_CALLS


@pytest.mark.parametrize(
    ("feedback", "text"),
    [
        ({"blockReason": "SAFETY"}, "The provider blocked the prompt: SAFETY"),
        ({"blockReason": "OTHER", "blockReasonMessage": "why"}, "why"),
    ],
)
def test_a_blocked_prompt_is_a_refusal(feedback: dict[str, Any], text: str) -> None:
    body = {"promptFeedback": feedback, "usageMetadata": USAGE, **HEAD}
    response = decode_response(json.dumps(body).encode())
    assert response.choices == (
        Choice(
            0, (Refusal(text),), FinishReason.CONTENT_FILTER, raw_reason=feedback["blockReason"]
        ),
    )
    assert response.extras == {"promptFeedback": feedback}
    assert response.usage is not None
    decoder = StreamDecoder()
    decoder.feed(sse(body))
    assert decoder.complete


def test_feedback_without_a_block_refuses_nothing() -> None:
    feedbacks: list[Any] = [{"safetyRatings": []}, "x", {"blockReason": "SAFETY"}]
    for feedback in feedbacks:
        body = {**chunk({"text": "a"}, finishReason="STOP"), "promptFeedback": feedback}
        (choice,) = decode_response(json.dumps(body).encode()).choices
        assert choice.parts == (Text("a"),)


def test_candidates_are_told_apart() -> None:
    def piece(index: int | None, text: str, **more: Any) -> dict[str, Any]:
        candidate = {"content": {"parts": [{"text": text}]}, **more}
        return candidate if index is None else {**candidate, "index": index}

    decoder = StreamDecoder()
    events = decoder.feed(
        sse({"candidates": [piece(None, "a"), piece(1, "b", finishReason="STOP")]})
    )
    seen = [decoder.complete]
    events += decoder.feed(sse({"candidates": [piece(None, "c", finishReason="MAX_TOKENS")]}))
    assert [*seen, decoder.complete, decoder.done] == [False, True, False]
    response = collect(events + decoder.finish())
    assert [choice.parts for choice in response.choices] == [(Text("ac"),), (Text("b"),)]


def test_usage_is_known_on_the_way_and_told_once() -> None:
    decoder = StreamDecoder()
    events = decoder.feed(sse({**chunk({"text": "a"}), "usageMetadata": {"totalTokenCount": 1}}))
    assert decoder.usage is not None
    assert not any(isinstance(event, Used) for event in events)
    events += decoder.feed(sse({**chunk(finishReason="STOP"), "usageMetadata": USAGE}))
    events += decoder.finish()
    assert [event for event in events if isinstance(event, Used)] == [
        Used(Usage(3, output_tokens=2, raw=USAGE))
    ]


def test_heads_are_told_once_and_what_is_new_later() -> None:
    first = {**chunk({"text": "a"}), "createTime": "2025-11-28T18:30:00.123456Z", "x": 1}
    events = decoded(sse(first, {**first, "y": 2}, {}))
    assert events[0] == Started(
        "r", "g", 1764354600, {"createTime": first["createTime"], "x": 1}, "gemini"
    )
    assert [event for event in events if isinstance(event, Unplaced)] == [Unplaced({"y": 2})]
    assert isinstance(decoded(sse({**first, "createTime": "x"}))[0], Started)


def test_grounding_is_citations_in_characters() -> None:
    text = "Größe: 5 m. Höhe: 6 m."
    size, height = "Größe: 5 m.", "Höhe: 6 m."
    supports = [
        {"segment": {"endIndex": 13, "text": size}, "groundingChunkIndices": [0, 1, 7, "x"]},
        {
            "segment": {"startIndex": 99, "endIndex": 100, "text": height},
            "groundingChunkIndices": [2],
        },
        {"segment": {"partIndex": 1, "endIndex": 4, "text": "gone"}, "groundingChunkIndices": [3]},
        {"groundingChunkIndices": [0]},
        {"segment": {}},
    ]
    chunks = [
        {"web": {"uri": "https://a", "title": "A"}},
        {"retrievedContext": {"title": "B"}},
        {"maps": {"uri": "https://c"}},
        {"odd": 1},
        5,
    ]
    metadata = {"groundingChunks": chunks, "groundingSupports": supports}
    choice = whole({"text": text}, finishReason="STOP", groundingMetadata=metadata)
    (part,) = choice.parts
    assert isinstance(part, Text)
    assert [
        (found.url, found.title, found.cited_text, found.start, found.end)
        for found in part.citations
    ] == [
        ("https://a", "A", size, 0, 11),
        (None, "B", size, 0, 11),
        ("https://c", None, height, 12, 22),
        (None, None, "gone", None, None),
        ("https://a", "A", None, None, None),
    ]
    assert choice.extras == {"groundingMetadata": metadata}


def test_citation_metadata_is_citations() -> None:
    source = {"startIndex": 1, "endIndex": 3, "uri": "https://a", "license": "mit"}
    for name in ("citationSources", "citations"):
        choice = whole({"text": "abcd"}, citationMetadata={name: [source, {"endIndex": -1}]})
        (part,) = choice.parts
        assert isinstance(part, Text)
        assert part.citations == (
            Citation("gemini", source, url="https://a", start=1, end=3),
            Citation("gemini", {"endIndex": -1}),
        )


def test_grounding_of_a_signed_text_still_finds_it() -> None:
    metadata = {
        "groundingChunks": [{"web": {"uri": "https://a"}}],
        "groundingSupports": [{"segment": {"endIndex": 1}, "groundingChunkIndices": [0]}],
    }
    part = {"text": "abc", "thoughtSignature": "c2ln"}
    choice = whole(part, groundingMetadata=metadata, finishReason="STOP")
    text = choice.parts[0]
    assert isinstance(text, Text)
    assert (text.citations[0].start, text.citations[0].end) == (0, 1)


@pytest.mark.parametrize(
    "metadata",
    [{}, {"groundingChunks": 5, "groundingSupports": [{"groundingChunkIndices": [0]}]}, 5],
)
def test_empty_grounding_cites_nothing(metadata: Any) -> None:
    (part,) = whole({"text": "a"}, groundingMetadata=metadata).parts
    assert part == Text("a")
    assert whole({"text": "a"}, citationMetadata=metadata).parts == (part,)


def test_log_probabilities_are_in_openai_s_form() -> None:
    result = {
        "chosenCandidates": [
            {"token": "ä", "tokenId": 1, "logProbability": -0.5},
            {"token": "b"},
            {"token": 5},
        ],
        "topCandidates": [{"candidates": [{"token": "c", "logProbability": -1}]}, {}],
    }
    found = {
        "content": [
            {
                "token": "ä",
                "logprob": -0.5,
                "bytes": [195, 164],
                "top_logprobs": [{"token": "c", "logprob": -1, "bytes": [99]}],
            },
            {"token": "b", "logprob": 0.0, "bytes": [98], "top_logprobs": []},
            {"token": "", "logprob": 0.0, "bytes": [], "top_logprobs": []},
        ],
        "refusal": None,
    }
    choice = whole({"text": "äb"}, logprobsResult=result, avgLogprobs=-0.2)
    assert choice.logprobs == found
    assert choice.extras == {"avgLogprobs": -0.2}
    late = decoded(sse(chunk({"text": "äb"}), chunk({"text": ""}, logprobsResult=result)))
    assert TextDelta(0, "", logprobs=found) in late
    call = {"functionCall": {"name": "f"}}
    assert whole({"text": "äb"}, call, logprobsResult=result).logprobs == found
    textless = decoded(sse(chunk(logprobsResult=result)))
    assert Unplaced({"logprobsResult": result}, 0) in textless
    assert whole({"text": "a"}, logprobsResult={"topCandidates": []}).logprobs is None
    assert whole({"text": "a"}, logprobsResult=5).logprobs is None


@pytest.mark.parametrize(
    "tail",
    [
        sse(ERROR),
        sse([ERROR]),
        json.dumps(ERROR).encode(),
        json.dumps(ERROR, indent=2).encode() + b"\n",
        json.dumps([ERROR], indent=2).encode() + b"\n\n",
        b'{"error": {"message": "overloaded", "status": "UNAVAILABLE", "x": "data: y"}}\n\n',
    ],
)
@pytest.mark.parametrize("step", [0, 1])
def test_an_error_inside_a_stream_ends_it(tail: bytes, step: int) -> None:
    head = sse({**chunk({"text": "a"}), "usageMetadata": USAGE})
    events = decoded(head + tail, step)
    assert events[-2:] == [Used(Usage(3, output_tokens=2, raw=USAGE)), OVERLOADED]


def test_nothing_follows_a_failure() -> None:
    decoder = StreamDecoder()
    assert decoder.feed(sse(ERROR)) == [OVERLOADED]
    assert decoder.feed(sse(chunk({"text": "b"}), ERROR) + b"data: {broken\n\n") == []
    assert decoder.finish() == []
    assert not decoder.complete


def test_a_body_without_events_is_read_as_an_array() -> None:
    chunks = [chunk({"text": "a"}), chunk({"text": "b"}, finishReason="STOP")]
    body = json.dumps(chunks, indent=2).encode()
    for step in (0, 7):
        (choice,) = collect(decoded(body, step)).choices
        assert choice.parts == (Text("ab"),)
    assert decode_response(body).choices == (choice,)


def test_comments_and_unknown_fields_are_passed_over() -> None:
    noise = (
        b": ping\n\nevent: ping\n\nretry: 5\n\ndata\n\ndata: null\n\ndata: 5\n\ndata: [DONE]\n\n"
    )
    body = noise + b"id: 7\nevent: x\n" + sse(chunk({"text": "a"}, finishReason="STOP")) + noise
    for step in (0, 1):
        assert collect(decoded(body, step)).choices[0].parts == (Text("a"),)


def test_an_event_that_is_no_json_is_a_failure_but_not_half_an_event() -> None:
    assert decoded(b"data: {broken\n\n") == [
        Failed("unreadable_event", "The provider sent an event that is not JSON")
    ]
    decoder = StreamDecoder()
    events = decoder.feed(sse(chunk({"text": "a"})) + b'data: {"candid')
    events += decoder.finish()
    assert not decoder.complete
    assert not any(isinstance(event, Failed) for event in events)
    assert PartFinished(0) in events


def test_an_event_without_end_is_the_provider_s_failure() -> None:
    (failed,) = decoded(b"data: " + b"x" * (9 * 1024 * 1024))
    assert isinstance(failed, Failed)


@pytest.mark.parametrize(
    "body", [b"", b"x", b"[]", b"5", b"{}", json.dumps(HEAD).encode(), json.dumps(ERROR).encode()]
)
def test_what_is_no_answer_is_the_provider_s_failure(body: bytes) -> None:
    with pytest.raises(UpstreamFailure):
        decode_response(body)


def test_half_a_surrogate_pair_gets_through() -> None:
    half = "\ud83d"
    text, call = whole({"text": half}, {"functionCall": {"name": "f", "args": {"a": half}}}).parts
    assert text == Text("\ud83d")
    assert isinstance(call, ToolCall)
    assert json.loads(call.arguments) == {"a": "\ud83d"}


@given(st.lists(st.integers(1, 40), max_size=30))
@settings(max_examples=50)
def test_a_stream_cut_anywhere_gives_the_same_events(steps: list[int]) -> None:
    body = (
        sse(
            chunk({"text": "Grüße 🙂", "thought": True}),
            chunk({"text": "🙂", "thoughtSignature": "c2ln"}, {"functionCall": {"name": "f"}}),
            {**chunk({"text": ""}, finishReason="STOP"), "usageMetadata": USAGE},
        )
        + json.dumps(ERROR, indent=1).encode()
    )
    decoder = StreamDecoder()
    events: list[StreamEvent] = []
    at = 0
    for step in [*steps, len(body)]:
        events += decoder.feed(body[at : at + step])
        at += step
    assert events + decoder.finish() == decoded(body)


WORDS = (
    *("candidates", "content", "parts", "text", "thought", "thoughtSignature", "functionCall"),
    *("name", "args", "inlineData", "mimeType", "data", "finishReason", "index", "segment"),
    *("logprobsResult", "chosenCandidates", "topCandidates", "startIndex", "endIndex"),
    *("groundingMetadata", "groundingSupports", "groundingChunks", "groundingChunkIndices"),
    *("citationMetadata", "citationSources", "usageMetadata", "promptTokenCount"),
    *("promptFeedback", "blockReason", "responseId"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "candidates",
                    "content",
                    "parts",
                    "text",
                    "thought",
                    "thoughtSignature",
                    "functionCall",
                    "name",
                    "args",
                    "inlineData",
                    "mimeType",
                    "data",
                    "finishReason",
                    "index",
                    "logprobsResult",
                    "chosenCandidates",
                    "topCandidates",
                    "groundingMetadata",
                    "groundingSupports",
                    "groundingChunks",
                    "segment",
                    "startIndex",
                    "endIndex",
                    "groundingChunkIndices",
                    "citationMetadata",
                    "citationSources",
                    "usageMetadata",
                    "promptTokenCount",
                    "promptFeedback",
                    "blockReason",
                    "responseId",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(JSON)
@settings(max_examples=150)
def test_no_shape_breaks_the_decoder(value: Any) -> None:
    body = json.dumps({"candidates": [value, {"content": {"parts": [value]}}], "x": value}).encode()
    for whole_body in (body, json.dumps(value).encode()):
        with suppress(UpstreamFailure):
            decode_response(whole_body)
    decoded(b"data: " + body + b"\n\n")


@given(st.binary(max_size=80))
@settings(max_examples=100)
def test_no_bytes_break_the_decoder(body: bytes) -> None:
    decoded(body)
    decoded(b"data: " + body)
    with suppress(UpstreamFailure):
        decode_response(body)
