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
    Citation,
    CitationDelta,
    Failed,
    Finished,
    FinishReason,
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
    Used,
    WholePart,
)
from conduit.gateway.dialects.answer_tool import AnswerTool
from conduit.gateway.dialects.anthropic.dialect import NAME, StreamDecoder, decode_response
from conduit.gateway.dialects.anthropic.usage import usage_from_anthropic
from conduit.gateway.dialects.collect import collect

USAGE = {"input_tokens": 5, "output_tokens": 1}
START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": USAGE,
    },
}
STOP = {"type": "message_stop"}
CITATION = {"type": "char_location", "cited_text": "c", "document_title": "t"}


def begin(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": "content_block_start",
        "index": index,
        "content_block": {"type": kind, **fields},
    }


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": "content_block_delta",
        "index": index,
        "delta": {"type": kind, **fields},
    }


def end(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def ending(reason: str, sequence: str | None = None, **usage: Any) -> dict[str, Any]:
    stop = {"stop_reason": reason, "stop_sequence": sequence}
    return {"type": "message_delta", "delta": stop, "usage": usage}


def body_of(*events: Any) -> bytes:
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode())
        for event in events
    )


def decoded(*events: Any, answer_tool: str | None = None) -> list[StreamEvent]:
    decoder = StreamDecoder(answer_tool=answer_tool)
    return decoder.feed(body_of(*events)) + decoder.finish()


EVERYTHING = (
    START,
    {"type": "ping"},
    begin(0, "thinking", thinking="", signature=""),
    delta(0, "thinking_delta", thinking="hm"),
    delta(0, "signature_delta", signature="sig"),
    end(0),
    begin(1, "redacted_thinking", data="xx"),
    end(1),
    begin(2, "text", text="", citations=[]),
    delta(2, "text_delta", text="né"),
    delta(2, "citations_delta", citation=CITATION),
    end(2),
    begin(3, "tool_use", id="toolu_1", name="f", input={}, caller={"type": "direct"}),
    delta(3, "input_json_delta", partial_json=""),
    delta(3, "input_json_delta", partial_json='{"a": 1.10'),
    delta(3, "input_json_delta", partial_json="}"),
    end(3),
    begin(4, "tool_use", id="toolu_2", name="g", input={}),
    end(4),
    begin(5, "server_tool_use", id="srvtoolu_1", name="web_search", input={}),
    delta(5, "input_json_delta", partial_json='{"query":'),
    delta(5, "input_json_delta", partial_json=' "q"}'),
    end(5),
    begin(6, "web_search_tool_result", tool_use_id="srvtoolu_1", content=[{"url": "u"}]),
    end(6),
    ending("tool_use", output_tokens=9),
    STOP,
)
TOTALS = USAGE | {"output_tokens": 9}


def test_a_stream_decodes_into_parts_in_order() -> None:
    assert decoded(*EVERYTHING) == [
        Started("msg_1", "claude", 0, {"usage": USAGE}, dialect=NAME),
        PartStarted(0, "thinking"),
        ThinkingDelta(0, "hm"),
        SignatureDelta(0, "sig", signed_by=NAME),
        PartFinished(0),
        PartStarted(1, "thinking", redacted="xx", signed_by=NAME),
        PartFinished(1),
        PartStarted(2, "text"),
        TextDelta(2, "né"),
        CitationDelta(2, Citation(NAME, CITATION, title="t", cited_text="c")),
        PartFinished(2),
        PartStarted(
            3,
            "tool_call",
            tool_call_id="toolu_1",
            tool_name="f",
            extras={"caller": {"type": "direct"}},
        ),
        ArgumentsDelta(3, '{"a": 1.10'),
        ArgumentsDelta(3, "}"),
        PartFinished(3),
        PartStarted(4, "tool_call", tool_call_id="toolu_2", tool_name="g"),
        ArgumentsDelta(4, "{}"),
        PartFinished(4),
        WholePart(
            5,
            Opaque(
                NAME,
                "content",
                {
                    "type": "server_tool_use",
                    "id": "srvtoolu_1",
                    "name": "web_search",
                    "input": {"query": "q"},
                },
            ),
        ),
        WholePart(
            6,
            Opaque(
                NAME,
                "content",
                {
                    "type": "web_search_tool_result",
                    "tool_use_id": "srvtoolu_1",
                    "content": [{"url": "u"}],
                },
            ),
        ),
        Finished(FinishReason.TOOL_CALLS, raw_reason="tool_use"),
        Used(usage_from_anthropic(TOTALS)),
    ]


@given(st.lists(st.integers(0, len(body_of(*EVERYTHING))), max_size=6))
def test_a_stream_may_be_cut_at_any_byte(cuts: list[int]) -> None:
    body = body_of(*EVERYTHING)
    at = [0, *sorted(cuts), len(body)]
    decoder = StreamDecoder()
    events = [event for start, stop in pairwise(at) for event in decoder.feed(body[start:stop])]
    assert events + decoder.finish() == decoded(*EVERYTHING)


@given(st.binary(max_size=80), st.integers(0, 900))
def test_noise_in_a_stream_is_survived(noise: bytes, at: int) -> None:
    body = body_of(*EVERYTHING)
    decoder = StreamDecoder()
    for event in decoder.feed(body[:at] + noise + body[at:]) + decoder.finish():
        assert event is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)
ODD_EVENT = st.fixed_dictionaries(
    {"type": st.sampled_from([event["type"] for event in EVERYTHING])},
    optional={
        "index": JSON,
        "message": JSON,
        "delta": JSON
        | st.fixed_dictionaries(
            {
                "type": st.sampled_from(
                    ["text_delta", "thinking_delta", "input_json_delta", "citations_delta", "x"]
                )
            },
            optional={"text": JSON, "partial_json": JSON, "citation": JSON},
        ),
        "content_block": JSON
        | st.fixed_dictionaries(
            {"type": st.sampled_from(["text", "tool_use", "thinking", "other"])},
            optional={"text": JSON, "input": JSON, "citations": JSON, "id": JSON},
        ),
        "usage": JSON,
        "error": JSON,
    },
)


@given(st.lists(ODD_EVENT, max_size=6))
def test_odd_events_never_break_the_decoder(events: list[Any]) -> None:
    decoder = StreamDecoder()
    found = [event for value in events for event in decoder.decode(value)] + decoder.finish()
    try:
        collect(found)
    except UpstreamFailure:
        assert any(isinstance(event, Failed) for event in found)


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_an_answer_or_a_failure(body: bytes) -> None:
    with suppress(UpstreamFailure):
        decode_response(body)


@given(st.lists(JSON, max_size=3))
def test_any_content_is_an_answer(content: list[Any]) -> None:
    decode_response(json.dumps({"content": content, "usage": content}).encode())


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "refusal"),
        ("something_new", "stop"),
    ],
)
def test_stop_reasons_are_mapped_and_kept(raw: str, reason: str) -> None:
    assert decoded(START, ending(raw), STOP)[1] == Finished(FinishReason(reason), raw_reason=raw)


def test_the_sequence_that_was_met_is_told() -> None:
    finished = decoded(START, ending("stop_sequence", "END"), STOP)[1]
    assert finished == Finished(FinishReason.STOP, raw_reason="stop_sequence", stop_sequence="END")


def test_usage_is_told_again_where_a_later_event_changes_it() -> None:
    events = decoded(
        START, ending("end_turn", output_tokens=3), ending("end_turn", output_tokens=4), STOP
    )
    assert [event.usage.output_tokens for event in events if isinstance(event, Used)] == [3, 4]
    assert sum(isinstance(event, Finished) for event in events) == 1


def test_an_answer_that_breaks_off_tells_no_final_usage() -> None:
    decoder = StreamDecoder()
    events = decoder.feed(body_of(START, begin(0, "text", text=""))) + decoder.finish()
    assert not any(isinstance(event, Used | Finished) for event in events)
    assert (decoder.done, decoder.complete) == (False, False)
    assert decoder.usage == usage_from_anthropic(USAGE)


def test_an_answer_is_complete_once_it_says_why_it_stops() -> None:
    decoder = StreamDecoder()
    decoder.feed(body_of(START, ending("end_turn", output_tokens=2)))
    assert (decoder.done, decoder.complete) == (False, True)
    assert decoder.finish() == []


def test_what_stands_beside_the_reason_is_kept() -> None:
    stop = {"stop_reason": "refusal", "stop_details": {"category": "bio"}, "container": None}
    events = decoded(START, {"type": "message_delta", "delta": stop, "context_management": {}})
    assert events[1] == Unplaced({"stop_details": {"category": "bio"}, "context_management": {}})


@pytest.mark.parametrize(
    ("event", "failure"),
    [
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            Failed("overloaded_error", "The provider reported an error: Overloaded"),
        ),
        (
            {"type": "error", "error": "plain"},
            Failed("api_error", "The provider reported an error: plain"),
        ),
        ({"type": "x", "error": {}}, Failed("api_error", "The provider reported an error")),
    ],
)
def test_an_error_inside_a_stream_is_a_failure(event: Any, failure: Failed) -> None:
    assert decoded(START, event)[1:] == [failure]


def test_an_event_that_is_not_json_is_a_failure() -> None:
    assert StreamDecoder().feed(b"data: {oops\n\n") == [
        Failed("unreadable_event", "The provider sent an event that is not JSON")
    ]


def test_comments_unknown_events_and_odd_line_ends_say_nothing() -> None:
    body = b': hello\r\n\r\nevent: new\r\ndata: {"type": "new"}\r\n\r\nid: 5\r\n\r\n'
    decoder = StreamDecoder()
    assert decoder.feed(body) == []
    assert decoder.feed(body_of(START).replace(b"\n", b"\r\n"))[0] == decoded(START)[0]
    assert decoder.feed(body_of(START)) == []


def test_half_a_surrogate_pair_comes_through() -> None:
    body = body_of(START, begin(0, "text", text=""), delta(0, "text_delta", text="\ud83d"))
    assert TextDelta(0, "\ud83d") in StreamDecoder().feed(body)


def test_the_last_event_may_lack_its_empty_line() -> None:
    decoder = StreamDecoder()
    decoder.feed(body_of(START))
    last = body_of(ending("end_turn", output_tokens=2)).rstrip(b"\n")
    assert decoder.feed(last) == []
    assert [type(event) for event in decoder.finish()] == [Finished, Used]


def test_a_whole_message_in_the_place_of_a_stream_is_read() -> None:
    message = START["message"] | {  # type: ignore[operator]
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
    }
    decoder = StreamDecoder()
    assert decoder.feed(json.dumps(message).encode()) == []
    response = collect(decoder.finish())
    assert response.choices[0].parts == (Text("hi"),)
    assert response.choices[0].finish_reason == "stop"


def test_an_error_in_the_place_of_a_stream_is_a_failure() -> None:
    decoder = StreamDecoder()
    decoder.feed(b'{"type": "error", "error": {"type": "api_error", "message": "down"}}')
    assert decoder.finish() == [Failed("api_error", "The provider reported an error: down")]


def test_deltas_without_the_beginning_of_their_block_are_not_lost() -> None:
    events = decoded(
        START,
        delta(0, "text_delta", text="hi"),
        delta(1, "thinking_delta", thinking="hm"),
        delta(2, "input_json_delta", partial_json="{}"),
        end(7),
        ending("end_turn"),
        STOP,
    )
    assert collect(events).choices[0].parts == (Text("hi"), Thinking("hm"))


def test_a_number_used_again_begins_another_part() -> None:
    events = decoded(
        START,
        begin(0, "text", text="a"),
        begin(0, "text", text="b"),
        ending("end_turn"),
        STOP,
    )
    assert collect(events).choices[0].parts == (Text("a"), Text("b"))


def test_deltas_of_a_block_unknown_to_us_are_put_together() -> None:
    events = decoded(
        START,
        begin(0, "compaction", content=""),
        delta(0, "compaction_delta", content="so "),
        delta(0, "compaction_delta", content="far"),
        end(0),
    )
    value = {"type": "compaction", "content": "so far"}
    assert events[1] == WholePart(0, Opaque(NAME, "content", value))


def test_empty_and_unknown_deltas_say_nothing() -> None:
    events = decoded(
        START,
        begin(0, "text", text=""),
        delta(0, "text_delta", text=""),
        delta(0, "new_delta", text="x"),
        delta(0, "input_json_delta", partial_json="x"),
        {"type": "content_block_delta"},
    )
    assert events[1:] == [PartStarted(0, "text")]


def test_blocks_that_come_at_once_have_all_their_words() -> None:
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "hi", "citations": [CITATION, 5]},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"b": 1, "a": "\u00e9"}},
    ]
    body = json.dumps({"content": content, "stop_reason": "tool_use"}).encode()
    (choice,) = decode_response(body).choices
    citation = Citation(NAME, CITATION, title="t", cited_text="c")
    assert choice.parts == (
        Thinking("hm", signature="s", signed_by=NAME),
        Text("hi", citations=(citation,)),
        ToolCall("t", "f", '{"b":1,"a":"é"}'),
    )


def test_the_answer_tool_is_turned_back_into_text() -> None:
    events = decoded(
        START,
        begin(0, "tool_use", id="t", name="answer", input={}),
        delta(0, "input_json_delta", partial_json='{"a":1}'),
        end(0),
        ending("tool_use"),
        STOP,
        answer_tool="answer",
    )
    (choice,) = collect(events).choices
    assert choice.parts == (Text('{"a":1}'),)
    assert choice.finish_reason == "stop"
    content = [{"type": "tool_use", "id": "t", "name": "answer", "input": {"a": 1}}]
    body = json.dumps({"content": content, "stop_reason": "tool_use"}).encode()
    assert decode_response(body, answer_tool="answer").choices == (choice,)


def test_calls_of_other_tools_stay_calls_beside_the_answer() -> None:
    events = decoded(
        START,
        begin(0, "tool_use", id="t", name="f", input={}),
        end(0),
        begin(1, "tool_use", id="u", name="answer", input={"a": 1}),
        end(1),
        ending("tool_use"),
        STOP,
        answer_tool="answer",
    )
    (choice,) = collect(events).choices
    assert choice.parts == (ToolCall("t", "f", "{}"), Text('{"a":1}'))
    assert choice.finish_reason == "tool_calls"


def test_a_signature_of_the_answer_s_call_is_of_no_use() -> None:
    turned = AnswerTool("answer").turn(
        [
            PartStarted(0, "tool_call", tool_name="answer"),
            SignatureDelta(0, "s", signed_by="gemini"),
            SignatureDelta(1, "kept", signed_by="gemini"),
        ]
    )
    assert turned == [PartStarted(0, "text"), SignatureDelta(1, "kept", signed_by="gemini")]
