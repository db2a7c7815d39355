"""Answers in the format of Bedrock's Converse, streamed and whole."""

import base64
import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conduit.core.errors import UpstreamFailure
from conduit.gateway.conversation import (
    ArgumentsDelta,
    Audio,
    ChatResponse,
    Choice,
    Citation,
    Failed,
    Finished,
    FinishReason,
    Image,
    Opaque,
    PartFinished,
    PartStarted,
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
)
from conduit.gateway.dialects.bedrock.dialect import NAME, StreamDecoder, decode_response
from conduit.gateway.dialects.collect import collect
from tests.fakes.event_streams import event, exception, message, stream

USAGE = {"inputTokens": 3, "outputTokens": 5, "totalTokens": 8}
BEGIN = Started("", "", 0, dialect=NAME)


def delta(at: int, **fields: Any) -> tuple[str, Any]:
    return "contentBlockDelta", {"contentBlockIndex": at, "delta": fields, "p": "abcd"}


def start(at: int, **fields: Any) -> tuple[str, Any]:
    return "contentBlockStart", {"contentBlockIndex": at, "start": fields, "p": "ab"}


def stop(at: int) -> tuple[str, Any]:
    return "contentBlockStop", {"contentBlockIndex": at, "p": "a"}


def end(reason: str = "end_turn", **more: Any) -> list[tuple[str, Any]]:
    return [
        ("messageStop", {"stopReason": reason, "p": "abc"}),
        ("metadata", {"usage": USAGE, "metrics": {"latencyMs": 7}, "p": "abcdef", **more}),
    ]


HEAD = ("messageStart", {"role": "assistant", "p": "abcdefgh"})
CALLING = [
    HEAD,
    delta(0, reasoningContent={"text": "I "}),
    delta(0, reasoningContent={"text": "think"}),
    delta(0, reasoningContent={"signature": "c2ln"}),
    stop(0),
    delta(1, text="Loo"),
    delta(1, text=""),
    delta(1, text="king € 👋"),
    stop(1),
    start(2, toolUse={"toolUseId": "t1", "name": "weather"}),
    delta(2, toolUse={"input": ""}),
    delta(2, toolUse={"input": '{"city": '}),
    delta(2, toolUse={"input": '"Lyon"}'}),
    stop(2),
    start(3, toolUse={"toolUseId": "t2", "name": "time", "note": 1}),
    stop(3),
    *end("tool_use"),
]
CALLING_EVENTS = [
    BEGIN,
    PartStarted(0, "thinking"),
    ThinkingDelta(0, "I "),
    ThinkingDelta(0, "think"),
    SignatureDelta(0, "c2ln", signed_by=NAME),
    PartFinished(0),
    PartStarted(1, "text"),
    TextDelta(1, "Loo"),
    TextDelta(1, "king € 👋"),
    PartFinished(1),
    PartStarted(2, "tool_call", tool_call_id="t1", tool_name="weather"),
    ArgumentsDelta(2, '{"city": '),
    ArgumentsDelta(2, '"Lyon"}'),
    PartFinished(2),
    PartStarted(3, "tool_call", tool_call_id="t2", tool_name="time", extras={"note": 1}),
    PartFinished(3),
    Finished(FinishReason.TOOL_CALLS, raw_reason="tool_use"),
    Used(Usage(input_tokens=3, output_tokens=5, raw=USAGE)),
    Unplaced({"metrics": {"latencyMs": 7}}),
]


def read(body: bytes, cuts: list[int] | None = None, **options: Any) -> list[StreamEvent]:
    decoder = StreamDecoder(**options)
    places = sorted({0, *(cut for cut in cuts or () if cut < len(body)), len(body)})
    events: list[StreamEvent] = []
    for place, following in itertools.pairwise(places):
        events += decoder.feed(body[place:following])
    return events + decoder.finish()


def answer(*events: tuple[str, Any], **options: Any) -> ChatResponse:
    return collect(read(stream([HEAD, *events]), **options))


def choice(response: ChatResponse) -> Choice:
    (only,) = response.choices
    return only


def test_a_stream_is_told_of_event_by_event() -> None:
    decoder = StreamDecoder()
    assert decoder.feed(stream(CALLING)) == CALLING_EVENTS
    assert decoder.complete
    assert decoder.done
    assert decoder.finish() == []


@settings(max_examples=40)
@given(st.lists(st.integers(0, 4000), max_size=8))
def test_a_stream_cut_anywhere_is_the_same(cuts: list[int]) -> None:
    assert read(stream(CALLING), cuts) == CALLING_EVENTS


def test_a_stream_comes_byte_by_byte() -> None:
    body = stream(CALLING)
    assert read(body, list(range(len(body)))) == CALLING_EVENTS


def test_an_answer_is_whole_when_it_has_stopped_and_done_with_its_metadata() -> None:
    events = [HEAD, delta(0, text="a"), stop(0), *end()]
    decoder = StreamDecoder()
    marks = []
    for kind, fields in events:
        decoder.feed(event(kind, fields))
        marks.append((decoder.complete, decoder.done))
    assert marks == [(False, False)] * 3 + [(True, False), (True, True)]


def test_what_is_not_known_and_what_says_nothing_survives() -> None:
    body = b"".join(
        [
            message({":message-type": "event", ":event-type": "initial-response"}, b"{}"),
            event("pingEvent", {}),
            event(*delta(0, unheardOf={})),
            event(*delta(0, toolUse={"input": "for no call"})),
            event(*delta(0, citation="x")),
            event("contentBlockDelta", {"delta": {"text": "a"}}),
            event(*start(1)),
            event(*delta(1, text="b")),
            event(*stop(9)),
            event("messageStop", {}),
            event("metadata", {"usage": {}, "metrics": None}),
        ]
    )
    response = collect(read(body))
    assert choice(response).parts == (Text("a"), Text("b"))
    assert choice(response).finish_reason is FinishReason.STOP
    assert choice(response).raw_reason is None
    assert response.usage is None


def test_a_block_may_change_its_mind() -> None:
    response = answer(
        delta(0, text="a"), delta(0, reasoningContent={"text": "b"}), delta(0, text="c"), *end()
    )
    assert choice(response).parts == (Text("a"), Thinking("b"), Text("c"))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP),
        ("tool_use", FinishReason.TOOL_CALLS),
        ("max_tokens", FinishReason.LENGTH),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("guardrail_intervened", FinishReason.CONTENT_FILTER),
        ("content_filtered", FinishReason.CONTENT_FILTER),
        ("refusal", FinishReason.REFUSAL),
        ("malformed_tool_use", FinishReason.STOP),
        ("something_new", FinishReason.STOP),
    ],
)
def test_why_it_stopped(raw: str, reason: FinishReason) -> None:
    assert choice(answer(delta(0, text="a"), *end(raw))).finish_reason is reason
    assert choice(answer(delta(0, text="a"), *end(raw))).raw_reason == raw


@pytest.mark.parametrize(
    ("additional", "sequence", "kept"),
    [
        ({"stop_sequence": "END"}, "END", None),
        ({"delta": {"stop_sequence": "END"}}, "END", None),
        ({"delta": {"stop_sequence": None}}, None, {"delta": {"stop_sequence": None}}),
        ({"other": 1}, None, {"other": 1}),
        (None, None, None),
    ],
)
def test_the_stop_sequence_that_was_met(additional: Any, sequence: str | None, kept: Any) -> None:
    fields = {"stopReason": "stop_sequence", "additionalModelResponseFields": additional}
    response = answer(delta(0, text="a"), ("messageStop", fields))
    assert choice(response).stop_sequence == sequence
    assert response.extras.get("additionalModelResponseFields") == kept


def test_what_else_an_answer_tells_is_kept() -> None:
    trace = {"guardrail": {"actionReason": "x"}}
    response = answer(delta(0, text="a"), *end(trace=trace, serviceTier={"type": "flex"}))
    assert response.extras == {
        "metrics": {"latencyMs": 7},
        "trace": trace,
        "serviceTier": {"type": "flex"},
    }
    assert response.dialect == NAME


def test_redacted_reasoning_is_one_part() -> None:
    pieces = [base64.b64encode(piece).decode() for piece in (b"abcd", b"efg")]
    events = [delta(0, reasoningContent={"redactedContent": piece}) for piece in pieces]
    (part,) = choice(answer(*events, stop(0), *end())).parts
    assert part == Thinking(redacted=base64.b64encode(b"abcdefg").decode(), signed_by=NAME)
    odd = [delta(0, reasoningContent={"redactedContent": piece}) for piece in ("a", "b")]
    (part,) = choice(answer(*odd, *end())).parts
    assert part == Thinking(redacted="ab", signed_by=NAME)


CITATION = {
    "title": "Lyon",
    "source": "https://example.com/lyon",
    "sourceContent": [{"text": "It is "}, {"text": "a city."}],
    "location": {"documentChar": {"documentIndex": 0, "start": 3, "end": 9}},
}


@pytest.mark.parametrize(
    ("raw", "url", "title", "cited"),
    [
        (CITATION, "https://example.com/lyon", "Lyon", "It is a city."),
        ({"location": {"web": {"url": "https://w"}}, "source": "d"}, "https://w", None, None),
        ({"source": "doc-1"}, None, None, None),
    ],
)
def test_citations_belong_to_their_text(
    raw: Any, url: str | None, title: str | None, cited: str | None
) -> None:
    citation = Citation(NAME, raw, url=url, title=title, cited_text=cited)
    streamed = answer(delta(0, text="A city."), delta(0, citation=raw), stop(0), *end())
    assert choice(streamed).parts == (Text("A city.", citations=(citation,)),)
    content = [{"citationsContent": {"content": [{"text": "A city."}], "citations": [raw]}}]
    assert choice(whole(content)).parts == choice(streamed).parts


def whole(content: Any, reason: str = "end_turn", **options: Any) -> ChatResponse:
    value = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": reason,
        "usage": USAGE,
        "metrics": {"latencyMs": 7},
    }
    return decode_response(json.dumps(value).encode(), **options)


def test_a_whole_answer_is_the_same_as_a_streamed_one() -> None:
    content = [
        {"reasoningContent": {"reasoningText": {"text": "I think", "signature": "c2ln"}}},
        {"text": "Looking € 👋"},
        {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Lyon"}}},
        {"toolUse": {"toolUseId": "t2", "name": "time", "note": 1, "input": {}}},
    ]
    found, streamed = whole(content, "tool_use"), collect(read(stream(CALLING)))
    # A whole answer has arguments as a value, a stream has their text.
    assert choice(found).parts[:2] == choice(streamed).parts[:2]
    assert choice(found).parts[2:] == (
        ToolCall("t1", "weather", '{"city":"Lyon"}'),
        ToolCall("t2", "time", "{}", extras={"note": 1}),
    )
    assert (found.usage, found.extras) == (streamed.usage, streamed.extras)
    assert choice(found).finish_reason is FinishReason.TOOL_CALLS


def test_a_call_of_the_client_s_may_name_its_type() -> None:
    # As Claude's do in about half of the traffic that was looked at.
    use = {"toolUseId": "t1", "name": "weather", "type": "tool_use"}
    found = whole([{"toolUse": {**use, "input": {"city": "Lyon"}}}], "tool_use")
    streamed = answer(
        start(0, toolUse=use),
        delta(0, toolUse={"input": '{"city":"Lyon"}'}),
        stop(0),
        *end("tool_use"),
    )
    call = ToolCall("t1", "weather", '{"city":"Lyon"}')
    assert choice(found).parts == choice(streamed).parts == (call,)


def test_parts_that_come_whole() -> None:
    content = [
        {"image": {"format": "jpeg", "source": {"bytes": "/9j/"}}},
        {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://b/k"}}}},
        {"image": {"format": "tiff", "source": {"bytes": "SUkq"}}},
        {"audio": {"format": "wav", "source": {"bytes": "UklG"}}},
        {"audio": {"format": "wav", "error": {"message": "no"}}},
        {"toolUse": {"toolUseId": "s", "name": "search", "input": {}, "type": "server_tool_use"}},
        {"toolResult": {"toolUseId": "s", "content": [{"text": "x"}]}},
        {"reasoningContent": {"redactedContent": "cmVk"}},
        {"unheardOf": {"x": 1}},
        "no block",
        {},
    ]
    assert choice(whole(content)).parts == (
        Image("data:image/jpeg;base64,/9j/"),
        *(Opaque(NAME, "content", content[at]) for at in (1, 2)),  # type: ignore[arg-type]
        Audio("UklG", "wav"),
        *(Opaque(NAME, "content", content[at]) for at in (4, 5, 6)),  # type: ignore[arg-type]
        Thinking(redacted="cmVk", signed_by=NAME),
        Opaque(NAME, "content", {"unheardOf": {"x": 1}}),
    )


def test_pictures_and_the_servers_own_tools_are_put_together_from_a_stream() -> None:
    used = {"toolUseId": "s", "name": "search", "type": "server_tool_use"}
    response = answer(
        start(0, image={"format": "png"}),
        delta(0, image={"source": {"bytes": base64.b64encode(b"\x89PN").decode()}}),
        delta(0, image={"source": {"bytes": base64.b64encode(b"G").decode()}}),
        stop(0),
        start(1, toolUse=used),
        delta(1, toolUse={"input": '{"q":'}),
        delta(1, toolUse={"input": "1}"}),
        stop(1),
        start(2, toolResult={"toolUseId": "s", "status": "success"}),
        delta(2, toolResult=[{"text": "x"}]),
        stop(2),
        start(3, toolResult={"toolUseId": "s"}),
        stop(3),
        *end(),
    )
    results = [
        {"toolUseId": "s", "status": "success", "content": [{"text": "x"}]},
        {"toolUseId": "s"},
    ]
    assert choice(response).parts == (
        Image("data:image/png;base64,iVBORw=="),
        Opaque(NAME, "content", {"toolUse": {**used, "input": '{"q":1}'}}),
        *(Opaque(NAME, "content", {"toolResult": result}) for result in results),
    )


ANSWERING = [
    delta(0, text="Here it is:"),
    delta(0, citation={"title": "t"}),
    stop(0),
    start(1, toolUse={"toolUseId": "t1", "name": "json_answer"}),
    delta(1, toolUse={"input": '{"n":'}),
    delta(1, toolUse={"input": "1}"}),
    stop(1),
    *end("tool_use"),
]


def test_the_call_that_stands_for_the_answer_is_its_text() -> None:
    response = answer(*ANSWERING, answer_tool="json_answer")
    assert choice(response).parts == (Text('{"n":1}'),)
    assert choice(response).finish_reason is FinishReason.STOP
    content = [
        {"text": "Here it is:"},
        {"toolUse": {"toolUseId": "t1", "name": "json_answer", "input": {"n": 1}}},
    ]
    assert choice(whole(content, "tool_use", answer_tool="json_answer")) == choice(response)


def test_the_answer_is_passed_on_as_it_comes() -> None:
    decoder = StreamDecoder(answer_tool="json_answer")
    told = [decoder.feed(event(kind, fields)) for kind, fields in ANSWERING]
    assert told[0] == [BEGIN]
    assert told[3] == [PartStarted(1, "text")]
    assert told[4] == [TextDelta(1, '{"n":')]


def test_an_answer_beside_other_calls_ends_in_calls() -> None:
    response = answer(
        start(0, toolUse={"toolUseId": "t0", "name": "weather"}),
        stop(0),
        *ANSWERING[3:],
        start(2, toolUse={"toolUseId": "t2", "name": "json_answer"}),
        stop(2),
        answer_tool="json_answer",
    )
    assert choice(response).finish_reason is FinishReason.TOOL_CALLS
    assert choice(response).parts == (
        ToolCall("t0", "weather", ""),
        Text('{"n":1}'),
    )


@pytest.mark.parametrize("events", [[delta(0, text="no")], [delta(0, text="no"), *end()]])
def test_an_answer_without_its_call_is_the_text_that_was_written(events: Any) -> None:
    (part,) = choice(answer(*events, answer_tool="json_answer")).parts
    assert part == Text("no")


@pytest.mark.parametrize(
    ("frame", "failed"),
    [
        (
            exception("throttlingException", {"message": "Too many tokens"}),
            Failed("throttlingException", "Too many tokens"),
        ),
        (
            exception("modelStreamErrorException", {"originalMessage": "gone"}),
            Failed("modelStreamErrorException", "gone"),
        ),
        (
            exception("validationException", []),
            Failed("validationException", "validationException"),
        ),
        (
            message({":message-type": "exception"}, b"no json"),
            Failed("exception", "exception"),
        ),
        (
            message(
                {":message-type": "error", ":error-code": "E", ":error-message": "sk-abcdefgh1234"}
            ),
            Failed("E", "[redacted]"),
        ),
        (message({":message-type": "error"}), Failed("error", "error")),
        (
            message({":message-type": "event", ":event-type": "metadata"}, b"no json"),
            Failed("unreadable_event", "The provider sent an event that is not JSON"),
        ),
        (
            b"x" * 12,
            Failed(
                "damaged_stream",
                "The provider sent a damaged message: the checksum of its prelude is wrong",
            ),
        ),
    ],
)
def test_a_failure_in_a_stream_is_its_last_event(frame: bytes, failed: Failed) -> None:
    decoder = StreamDecoder()
    after = event(*delta(0, text="b"))
    found = decoder.feed(event(*delta(0, text="a")) + frame + after)
    assert found == [BEGIN, PartStarted(0, "text"), TextDelta(0, "a"), failed]
    assert decoder.feed(after) == []
    assert decoder.finish() == []
    assert not decoder.complete


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'{"message": "x"}', b'{"output": {}}', b"\xff"]
)
def test_what_is_no_answer_is_the_providers_failure(body: bytes) -> None:
    with pytest.raises(UpstreamFailure):
        decode_response(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "text",
                    "toolUse",
                    "input",
                    "name",
                    "reasoningContent",
                    "image",
                    "format",
                    "source",
                    "bytes",
                    "citation",
                    "citationsContent",
                    "content",
                    "type",
                    "toolResult",
                    "ttl",
                    "delta",
                    "start",
                    "contentBlockIndex",
                    "stopReason",
                    "usage",
                    "inputTokens",
                    "signature",
                    "redactedContent",
                    "reasoningText",
                    "citations",
                    "cacheDetails",
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)
kinds = st.sampled_from(
    [
        "messageStart",
        "contentBlockStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
        "x",
    ]
)


@given(st.lists(st.tuples(kinds, json_values), max_size=6), st.sampled_from([None, "", "x"]))
def test_any_events_are_read_or_a_failure(
    events: list[tuple[str, Any]], answer_tool: str | None
) -> None:
    with contextlib.suppress(UpstreamFailure):
        collect(read(stream(events), answer_tool=answer_tool))


@given(json_values)
def test_any_content_is_read_or_a_failure(content: Any) -> None:
    with contextlib.suppress(UpstreamFailure):
        whole(content)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_a_failure(body: bytes) -> None:
    read(body)
    read(stream([HEAD]) + body)
    with contextlib.suppress(UpstreamFailure):
        decode_response(body)
