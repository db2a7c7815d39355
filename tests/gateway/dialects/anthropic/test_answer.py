"""Answers as clients of Anthropic's API read them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.gateway.conversation import (
    ArgumentsDelta,
    ChatResponse,
    Choice,
    Citation,
    CitationDelta,
    Failed,
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
from conduit.gateway.dialects.anthropic.dialect import (
    NAME,
    PING,
    StreamDecoder,
    StreamEncoder,
    decode_response,
    encode_response,
    encode_stream,
)
from conduit.gateway.dialects.collect import collect
from conduit.gateway.dialects.signatures import UNSIGNED
from tests.gateway.dialects.anthropic.client import accumulated, events_of

STARTED = Started("chatcmpl-1", "gpt", 5, extras={"system_fingerprint": "fp"}, dialect="x")
SERVER_CALL = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1}}


def response(*parts: Part, **fields: Any) -> ChatResponse:
    choice = Choice(0, parts, fields.pop("finish_reason", FinishReason.STOP), **fields)
    return ChatResponse("chatcmpl-1", "gpt", 5, (choice,), None, {"x": 1}, dialect="openai_chat")


def content(*parts: Part) -> Any:
    return json.loads(encode_response(response(*parts)))["content"]


def streamed(*events: StreamEvent) -> Any:
    return accumulated(events_of(b"".join(encode_stream([STARTED, *events]))))


def test_an_answer_of_another_dialect_has_all_that_a_client_looks_for() -> None:
    assert json.loads(encode_response(response(Text("hi")))) == {
        "id": "chatcmpl-1",
        "type": "message",
        "role": "assistant",
        "model": "gpt",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }


def test_an_answer_without_choices_is_an_empty_message() -> None:
    written = json.loads(encode_response(ChatResponse("", "m", 0, (), None)))
    assert (written["id"], written["content"], written["stop_reason"]) == ("msg_", [], None)


@pytest.mark.parametrize(
    ("part", "blocks"),
    [
        (Text(""), []),
        (Refusal("no"), [{"type": "text", "text": "no"}]),
        (Thinking(), []),
        (
            Thinking("hm"),
            [{"type": "thinking", "thinking": "hm", "signature": UNSIGNED}],
        ),
        (
            Thinking("hm", signature="s", signed_by=NAME),
            [{"type": "thinking", "thinking": "hm", "signature": "s"}],
        ),
        (
            Thinking("hm", redacted="e", signed_by="openai_responses"),
            [
                {"type": "redacted_thinking", "data": "conduit:openai_responses:e"},
                {"type": "thinking", "thinking": "hm", "signature": UNSIGNED},
            ],
        ),
        (
            ToolCall("c", "f", '{"a": 1}', signature="s", signed_by="gemini", extras={"x": 1}),
            [
                {
                    "type": "tool_use",
                    "id": "c",
                    "name": "f",
                    "input": {"a": 1},
                    "signature": "conduit:gemini:s",
                }
            ],
        ),
        (
            ToolCall("", "", "[1"),
            [{"type": "tool_use", "id": "toolu_", "name": "", "input": {"arguments": "[1"}}],
        ),
        (Opaque(NAME, "content", SERVER_CALL), [SERVER_CALL]),
        (Opaque("gemini", "parts", {"x": 1}), []),
        (Image("https://x"), []),
    ],
)
def test_a_part_is_written_as_blocks_that_a_client_takes(part: Part, blocks: Any) -> None:
    assert content(part) == blocks


def test_sources_of_other_providers_are_shown_where_they_have_an_address() -> None:
    citations = (
        Citation("openai_chat", {}, url="u", title="t"),
        Citation("gemini", {}),
        Citation(NAME, {"type": "char_location"}),
    )
    assert content(Text("", citations=citations))[0]["citations"] == [
        {
            "type": "web_search_result_location",
            "url": "u",
            "title": "t",
            "cited_text": "",
            "encrypted_index": "",
        },
        {"type": "char_location"},
    ]


@pytest.mark.parametrize(
    ("reason", "sequence", "word"),
    [
        (FinishReason.STOP, None, "end_turn"),
        (FinishReason.STOP, "END", "stop_sequence"),
        (FinishReason.LENGTH, None, "max_tokens"),
        (FinishReason.TOOL_CALLS, None, "tool_use"),
        (FinishReason.CONTENT_FILTER, None, "refusal"),
        (FinishReason.REFUSAL, None, "refusal"),
    ],
)
def test_finish_reasons_have_the_api_s_words(
    reason: FinishReason, sequence: str | None, word: str
) -> None:
    answer = response(finish_reason=reason, stop_sequence=sequence, raw_reason="eos")
    whole = json.loads(encode_response(answer))
    stream = streamed(Finished(reason, raw_reason="eos", stop_sequence=sequence))
    assert whole["stop_reason"] == stream["stop_reason"] == word
    assert whole["stop_sequence"] == stream["stop_sequence"] == sequence


def test_an_answer_of_this_dialect_goes_back_as_it_came() -> None:
    answer = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "hi", "citations": [{"type": "char_location"}]},
            {
                "type": "tool_use",
                "id": "t",
                "name": "f",
                "input": {"a": 1},
                "caller": {"type": "direct"},
            },
            SERVER_CALL,
        ],
        "stop_reason": "pause_turn",
        "stop_sequence": None,
        "stop_details": None,
        "container": {"id": "c"},
        "usage": {"input_tokens": 3, "output_tokens": 4, "service_tier": "standard"},
    }
    assert json.loads(encode_response(decode_response(json.dumps(answer).encode()))) == answer


def test_parts_that_overlap_become_blocks_one_after_the_other() -> None:
    message = streamed(
        PartStarted(0, "tool_call", tool_call_id="a", tool_name="f"),
        PartStarted(1, "tool_call", tool_call_id="b", tool_name="g", signature="s", signed_by="z"),
        ArgumentsDelta(0, '{"a":'),
        ArgumentsDelta(1, '{"b":'),
        ArgumentsDelta(0, "1}"),
        WholePart(2, Opaque(NAME, "content", SERVER_CALL)),
        PartFinished(0),
        ArgumentsDelta(1, "2}"),
        PartStarted(3, "refusal"),
        TextDelta(3, "no"),
        Finished(FinishReason.TOOL_CALLS),
        Used(Usage(input_tokens=5, output_tokens=2)),
    )
    assert message["content"] == [
        {"type": "tool_use", "id": "a", "name": "f", "input": {"a": 1}},
        {
            "type": "tool_use",
            "id": "b",
            "name": "g",
            "input": {"b": 2},
            "signature": "conduit:z:s",
        },
        SERVER_CALL,
        {"type": "text", "text": "no"},
    ]
    assert message["usage"]["input_tokens"] == 5


def test_a_signature_in_pieces_is_written_as_one() -> None:
    message = streamed(
        PartStarted(0, "thinking"),
        ThinkingDelta(0, "h"),
        SignatureDelta(0, "a", signed_by="gemini"),
        ThinkingDelta(0, "m"),
        SignatureDelta(0, "b", signed_by="gemini"),
        PartFinished(0),
        PartStarted(1, "thinking", redacted="e", signed_by="gemini"),
        PartFinished(1),
    )
    assert message["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "conduit:gemini:ab"},
        {"type": "redacted_thinking", "data": "conduit:gemini:e"},
    ]


def test_what_clients_could_not_take_is_left_out_of_a_stream() -> None:
    message = streamed(
        PartStarted(0, "text"),
        TextDelta(0, ""),
        CitationDelta(0, Citation("gemini", {})),
        PartFinished(0),
        PartStarted(1, "audio"),
        TextDelta(1, "AAAA"),
        PartFinished(1),
        WholePart(2, Image("https://x")),
        PartStarted(0, "text", choice=1),
        TextDelta(0, "other choice", choice=1),
        Finished(FinishReason.LENGTH, choice=1),
        TextDelta(9, "of no part"),
        PartStarted(3, "tool_call", tool_call_id="a", tool_name="f"),
        SignatureDelta(3, "late", signed_by="gemini"),
        PartFinished(3),
        Unplaced({"x": 1}),
    )
    assert message["content"] == [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]
    assert message["stop_reason"] == "end_turn"
    assert "x" not in message


def test_a_stream_of_this_dialect_keeps_what_stands_beside_its_parts() -> None:
    message = accumulated(
        events_of(
            b"".join(
                encode_stream(
                    [
                        Started("msg_1", "m", 0, {"container": None}, dialect=NAME),
                        PartStarted(0, "tool_call", extras={"caller": {"type": "direct"}}),
                        ArgumentsDelta(0, "{}"),
                        Unplaced({"stop_details": {"a": 1}}),
                        Unplaced({"ignored": 1}, choice=1),
                        Finished(FinishReason.STOP, raw_reason="pause_turn"),
                    ]
                )
            )
        )
    )
    assert message["content"][0]["caller"] == {"type": "direct"}
    assert message["stop_details"] == {"a": 1}
    assert message["stop_reason"] == "pause_turn"
    assert message["container"] is None


def test_an_answer_begins_even_where_its_provider_did_not_say_so() -> None:
    encoder = StreamEncoder(include_usage=False)
    sent = encoder.encode(PartStarted(0, "text")) + encoder.encode(TextDelta(0, "hi"))
    message = accumulated(events_of(sent + encoder.finish()))
    assert message["content"] == [{"type": "text", "text": "hi"}]
    assert message["id"] == "msg_"


@pytest.mark.parametrize(
    ("code", "kind"), [("overloaded_error", "overloaded_error"), ("upstream_error", "api_error")]
)
def test_a_failed_stream_ends_in_an_error_event(code: str, kind: str) -> None:
    *_, last = encode_stream([STARTED, Failed(code, "broke")])
    (event,) = events_of(last)
    assert event["error"] == {"type": kind, "message": "broke"}


def test_a_ping_says_nothing_to_either_side() -> None:
    assert events_of(PING) == []
    assert StreamDecoder().feed(PING) == []


def test_the_same_events_give_the_same_bytes() -> None:
    events: list[StreamEvent] = [STARTED, PartStarted(0, "text"), TextDelta(0, "a")]
    assert list(encode_stream(events)) == list(encode_stream(events))


TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
PARTS = st.one_of(
    st.builds(Text, TEXTS),
    st.builds(Thinking, TEXTS),
    st.builds(Thinking, TEXTS, signature=TEXTS, signed_by=st.just(NAME)),
    st.builds(Thinking, redacted=TEXTS, signed_by=st.just(NAME)),
    st.builds(
        ToolCall,
        TEXTS,
        TEXTS,
        st.dictionaries(TEXTS, st.integers() | TEXTS, max_size=2).map(
            lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        ),
    ),
    st.just(Opaque(NAME, "content", SERVER_CALL)),
)


def events_from(parts: list[Part]) -> list[StreamEvent]:
    events: list[StreamEvent] = [STARTED]
    for index, part in enumerate(parts):
        match part:
            case Text():
                events += [PartStarted(index, "text"), TextDelta(index, part.text)]
            case Thinking():
                started = PartStarted(
                    index, "thinking", redacted=part.redacted, signed_by=part.signed_by
                )
                events += [started, ThinkingDelta(index, part.text)] if part.text else [started]
                if part.signature:
                    events.append(SignatureDelta(index, part.signature, signed_by=NAME))
            case ToolCall():
                start = PartStarted(index, "tool_call", tool_call_id=part.id, tool_name=part.name)
                events += [start, ArgumentsDelta(index, part.arguments)]
            case Opaque():
                events.append(WholePart(index, part))
                continue
            case _:
                raise AssertionError
        events.append(PartFinished(index))
    return [*events, Finished(FinishReason.STOP), Used(Usage(input_tokens=1, output_tokens=2))]


@given(st.lists(PARTS, max_size=5))
def test_any_answer_is_the_same_when_it_is_read_again(parts: list[Part]) -> None:
    """Nothing is lost of what the format can say: streamed, whole, and from one to the other."""
    events = events_from(parts)
    decoder = StreamDecoder()
    stream = b"".join(encode_stream(events))
    again = collect(decoder.feed(stream) + decoder.finish())
    whole = decode_response(encode_response(collect(events)))
    for read in (again, whole):
        assert read.choices[0].parts == tuple(parts)
        assert read.choices[0].finish_reason is FinishReason.STOP
        assert read.usage is not None
        assert (read.usage.input_tokens, read.usage.output_tokens) == (1, 2)
