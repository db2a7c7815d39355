"""Streamed answers of Cohere, taken apart and put together however they are cut."""

import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.errors import UpstreamFailure
from conduit.gateway.conversation import (
    ArgumentsDelta,
    CitationDelta,
    Failed,
    Finished,
    FinishReason,
    Opaque,
    Part,
    PartFinished,
    PartStarted,
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
from conduit.gateway.dialects.cohere.dialect import NAME, StreamDecoder, decode_response
from conduit.gateway.dialects.collect import collect
from tests.gateway.dialects.cohere.answers import CITATION, USAGE


def event(kind: str, index: int | None = None, **message: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"type": kind, "delta": {"message": message}}
    return fields if index is None else fields | {"index": index}


def sse(*events: Any) -> bytes:
    return b"".join(
        f"event: {item['type']}\ndata: {json.dumps(item, ensure_ascii=False)}\n\n".encode()
        for item in events
    )


START = event("message-start", role="assistant", content=[], tool_plan="", tool_calls=[]) | {
    "id": "m1"
}


def end(reason: str = "COMPLETE", **more: Any) -> dict[str, Any]:
    return {"type": "message-end", "delta": {"finish_reason": reason, "usage": USAGE, **more}}


def call(index: int, name: str, *arguments: str, id: str = "c") -> list[dict[str, Any]]:
    function = {"name": name, "arguments": ""}
    return [
        event(
            "tool-call-start",
            index,
            tool_calls={"id": id, "type": "function", "function": function},
        ),
        *(
            event("tool-call-delta", index, tool_calls={"function": {"arguments": text}})
            for text in arguments
        ),
        {"type": "tool-call-end", "index": index},
    ]


def decoded(body: bytes, cuts: list[int] | None = None, **options: Any) -> list[StreamEvent]:
    decoder = StreamDecoder(**options)
    edges = [0, *(cuts or []), len(body)]
    events: list[StreamEvent] = []
    for start, stop in pairwise(edges):
        events += decoder.feed(body[start:stop])
    return events + decoder.finish()


STREAM = sse(
    START,
    event("content-start", 0, content={"type": "thinking", "thinking": ""}),
    event("content-delta", 0, content={"thinking": "hm "}),
    event("content-delta", 0, content={"thinking": "…"}),
    {"type": "content-end", "index": 0},
    event("content-start", 1, content={"type": "text", "text": ""}),
    event("content-delta", 1, content={"text": "24°"})
    | {"logprobs": {"text": "24°", "token_ids": [1, 2], "logprobs": [-0.5, -0.25]}},
    event("citation-start", 0, citations=CITATION),
    {"type": "citation-end", "index": 0},
    {"type": "content-end", "index": 1},
    event("citation-start", 1, citations=CITATION | {"content_index": 1}),
    end(),
)


def test_a_stream_decodes_into_parts_in_order() -> None:
    citation, later = [item.citation for item in decoded(STREAM) if isinstance(item, CitationDelta)]
    assert decoded(STREAM) == [
        Started("m1", "", 0, dialect=NAME),
        PartStarted(0, "thinking"),
        ThinkingDelta(0, "hm "),
        ThinkingDelta(0, "…"),
        PartFinished(0),
        PartStarted(1, "text"),
        TextDelta(
            1,
            "24°",
            logprobs={
                "content": [
                    {
                        "token": "24°",
                        "logprob": -0.75,
                        "bytes": [50, 52, 194, 176],
                        "top_logprobs": [],
                    }
                ]
            },
        ),
        CitationDelta(1, citation),
        CitationDelta(1, later),
        PartFinished(1),
        Finished(FinishReason.STOP, raw_reason="COMPLETE"),
        Used(Usage(input_tokens=37, output_tokens=28, raw=USAGE)),
    ]
    assert (citation.url, citation.title, citation.cited_text) == ("https://x", "T", "it is 24°")
    assert (citation.start, citation.end, citation.raw) == (0, 3, CITATION)
    assert later.raw["content_index"] == 1


@pytest.mark.parametrize("plan", ["I will look.", ""])
def test_calls_come_after_what_was_said_before_them(plan: str) -> None:
    plans = [event("tool-plan-delta", tool_plan=text) for text in (plan[:6], plan[6:])]
    calls = [*call(0, "f", '{"a"', ": 1.0}", id="c0"), *call(1, "g", "{}", id="c1")]
    response = collect(decoded(sse(START, *plans, *calls, end("TOOL_CALL"))))
    (choice,) = response.choices
    said = (Text(plan),) if plan else ()
    assert choice.parts == (*said, ToolCall("c0", "f", '{"a": 1.0}'), ToolCall("c1", "g", "{}"))
    assert (choice.finish_reason, choice.raw_reason) == (FinishReason.TOOL_CALLS, "TOOL_CALL")


def test_an_answer_that_comes_as_a_call_is_text_again() -> None:
    plan = event("tool-plan-delta", tool_plan="I will answer.")
    body = sse(START, plan, *call(0, "answer", '{"n":', "1}"), end("TOOL_CALL"))
    (choice,) = collect(decoded(body, answer_tool="answer")).choices
    assert choice.parts == (Text('{"n":1}'),)
    assert choice.finish_reason is FinishReason.STOP
    both = sse(START, *call(0, "f", "{}"), *call(1, "answer", "{}"), end("TOOL_CALL"))
    (choice,) = collect(decoded(both, answer_tool="answer")).choices
    assert choice.parts == (ToolCall("c", "f", "{}"), Text("{}"))
    assert choice.finish_reason is FinishReason.TOOL_CALLS


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "stop"),
        ("MAX_TOKENS", "length"),
        ("ERROR_TOXIC", "content_filter"),
        ("SOMETHING_NEW", "stop"),
    ],
)
def test_finish_reasons_are_mapped_and_kept(raw: str, reason: str) -> None:
    decoder = StreamDecoder()
    _, finished, _ = decoder.feed(sse(START, end(raw)))
    assert finished == Finished(FinishReason(reason), raw_reason=raw)
    assert decoder.done
    assert decoder.complete
    assert decoder.feed(sse(START, end())) == []


@pytest.mark.parametrize(
    ("last", "failed"),
    [
        (
            end("ERROR"),
            Failed("upstream_error", "The provider reported an error: the answer failed"),
        ),
        (
            end("TIMEOUT"),
            Failed("upstream_timeout", "The provider reported an error: the answer took too long"),
        ),
        (end("ERROR", error="oh"), Failed("upstream_error", "The provider reported an error: oh")),
    ],
)
def test_a_failed_answer_says_what_it_used_and_fails(last: Any, failed: Failed) -> None:
    *_, used, found = decoded(sse(START, last))
    assert isinstance(used, Used)
    assert found == failed
    del last["delta"]["usage"]
    assert decoded(sse(START, last))[1:] == [failed]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'data: {"message":"boom"}\n\n', "boom"),
        (b'data: {"error":"boom"}\n\n', "boom"),
        (b'event: error\ndata: {"type":"error","message":"boom"}\n\n', "boom"),
        (b"data: noise\n\n", "an event that is not JSON"),
    ],
)
def test_an_error_inside_a_stream_is_a_failure(body: bytes, message: str) -> None:
    decoder = StreamDecoder()
    text = f"The provider reported an error: {message}"
    assert decoder.feed(body + STREAM) == [Failed("upstream_error", text)]
    assert not decoder.done


def test_noise_between_events_is_survived() -> None:
    noise = b': ping\r\n\r\ndata:\n\ndata: {"type":"debug","prompt":"x"}\n\ndata: {}\n\n'
    body = noise + STREAM.replace(b"\n", b"\r\n") + noise + b"data: [DONE]\n\n"
    assert decoded(body) == decoded(STREAM)


def test_a_last_event_needs_no_empty_line_but_half_an_event_is_none() -> None:
    assert decoded(STREAM.removesuffix(b"\n\n")) == decoded(STREAM)
    decoder = StreamDecoder()
    events = decoder.feed(STREAM[:-40])
    assert decoder.finish() == []
    assert not decoder.done
    assert not any(isinstance(item, Finished) for item in events)
    assert StreamDecoder().finish() == []


def test_a_stream_that_lacks_its_first_events_is_read_all_the_same() -> None:
    body = sse(
        event("content-delta", 3, content={"text": "a", "thinking": "b"}),
        event("tool-call-delta", 0, tool_calls=[{"id": "c", "function": {"name": "f"}}]),
        event("tool-call-delta", 0, tool_calls=[{"function": {"arguments": {"a": 1}}}]),
        event("tool-call-end", 5),
        START,
        {"type": "message-end"},
    )
    response = collect(decoded(body))
    (choice,) = response.choices
    assert choice.parts == (Thinking("b"), Text("a"), ToolCall("c", "f", '{"a":1}'))
    assert choice.finish_reason is FinishReason.TOOL_CALLS
    assert choice.raw_reason is None
    assert response.usage is None


def test_what_has_no_place_is_kept() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:x"}}
    plan = CITATION | {"type": "PLAN"}
    elsewhere = CITATION | {"content_index": 9}
    logprobs = {"content": [{"token": "a", "logprob": -1, "bytes": [97], "top_logprobs": []}]}
    body = sse(
        START | {"extra": 1, "delta": {"message": {"role": "assistant", "odd": 2, "none": None}}},
        event("content-start", 0, content={"text": "a"}),
        event("content-start", 1, content=picture),
        event("citation-start", 0, citations=CITATION),
        event("content-delta", 2, content={"text": "b"}),
        event("citation-start", 1, citations=[plan]),
        event("citation-start", 2, citations=elsewhere),
        event("citation-start", 3, citations={}),
        event("content-delta", 2) | {"logprobs": {"token": "a", "logprob": -1}},
        end(),
    )
    events = decoded(body)
    assert events[0] == Started("m1", "", 0, {"extra": 1}, dialect=NAME)
    assert events[1] == Unplaced({"odd": 2}, 0)
    assert WholePart(1, Opaque(NAME, "content", picture)) in events
    kept = [item.fields for item in events if isinstance(item, Unplaced)][1:]
    assert kept == [
        {"citations": [CITATION]},
        {"citations": [plan]},
        {"citations": [elsewhere]},
        {"logprobs": logprobs},
    ]


TEXTS = st.text(max_size=6)
PARTS = st.lists(
    st.one_of(
        st.builds(Text, TEXTS.filter(bool)),
        st.builds(Thinking, TEXTS.filter(bool)),
    ),
    max_size=4,
)
CALLS = st.lists(st.builds(ToolCall, TEXTS, TEXTS, TEXTS), max_size=3)


def written(parts: list[Part]) -> bytes:
    """A stream of these parts as Cohere writes it."""
    events: list[Any] = [START]
    for index, part in enumerate(parts):
        match part:
            case Text():
                events.append(event("content-start", index, content={"type": "text", "text": ""}))
                events += [
                    event("content-delta", index, content={"text": char}) for char in part.text
                ]
                events.append({"type": "content-end", "index": index})
            case Thinking():
                events.append(
                    event("content-start", index, content={"type": "thinking", "thinking": ""})
                )
                events.append(event("content-delta", index, content={"thinking": part.text}))
            case ToolCall():
                events += call(index, part.name, *part.arguments, id=part.id)
            case _:
                raise AssertionError(part)
    return sse(*events, end())


@given(PARTS, CALLS, st.data())
def test_any_answer_comes_out_whole_cut_anywhere(
    said: list[Part], calls: list[Part], data: st.DataObject
) -> None:
    body = written([*said, *calls])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    events = decoded(body, cuts)
    assert events == decoded(body)
    assert collect(events).choices[0].parts == (*said, *calls)


def test_bytes_one_by_one_are_the_same_stream() -> None:
    assert decoded(STREAM, list(range(len(STREAM)))) == decoded(STREAM)


NAMES = [
    "type",
    "index",
    "delta",
    "message",
    "content",
    "text",
    "thinking",
    "tool_calls",
    "function",
    "arguments",
    "citations",
    "usage",
    "billed_units",
    "finish_reason",
    "logprobs",
    "sources",
    "error",
    "input_tokens",
    "id",
    "name",
    "content_index",
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
TYPES = st.sampled_from(
    [
        "message-start",
        "content-start",
        "content-delta",
        "tool-plan-delta",
        "tool-call-start",
        "tool-call-delta",
        "tool-call-end",
        "citation-start",
        "message-end",
        "other",
    ]
)


@given(st.lists(st.tuples(TYPES, VALUES, VALUES), max_size=4))
def test_no_event_breaks_the_decoder(parts: list[tuple[str, Any, Any]]) -> None:
    events = [
        {"type": kind, "index": index, "delta": {"message": message, "usage": message}}
        for kind, index, message in parts
    ]
    decoded(b"".join(b"data: " + json.dumps(item).encode() + b"\n\n" for item in events))


@given(st.binary(max_size=60) | VALUES.map(lambda value: json.dumps({"message": value}).encode()))
def test_no_body_breaks_the_decoder(body: bytes) -> None:
    decoded(body)
    with suppress(UpstreamFailure):
        decode_response(body)


def test_arguments_that_go_on_after_their_call_are_not_lost() -> None:
    late = event("tool-call-delta", 0, tool_calls={"function": {"arguments": "}"}})
    events = decoded(sse(START, *call(0, "f", "{"), *call(1, "g"), late, end("TOOL_CALL")))
    assert ArgumentsDelta(0, "}") in events
