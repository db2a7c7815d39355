"""Answers in OpenAI's responses format, as its providers give them."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conduit.core.errors import UpstreamFailure
from conduit.gateway.conversation import (
    ArgumentsDelta,
    Citation,
    Failed,
    Finished,
    FinishReason,
    Opaque,
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
    Usage,
    Used,
    WholePart,
)
from conduit.gateway.dialects.collect import collect
from conduit.gateway.dialects.openai_chat import dialect as openai_chat
from conduit.gateway.dialects.openai_responses.dialect import (
    NAME,
    StreamDecoder,
    StreamEncoder,
    decode_response,
    encode_response,
)
from conduit.gateway.dialects.openai_responses.usage import (
    usage_from_responses,
    usage_to_responses,
)
from tests.gateway.dialects.foreign_answers import client_of, dumped


def written(events: Iterable[StreamEvent]) -> bytes:
    encoder = StreamEncoder(include_usage=True)
    return b"".join(map(encoder.encode, events)) + encoder.finish()


def frames(body: bytes) -> list[Any]:
    found = []
    for frame in body.removesuffix(b"\n\n").split(b"\n\n"):
        event, data = frame.split(b"\n")
        value = json.loads(data.removeprefix(b"data: "))
        assert event == b"event: " + value["type"].encode()
        found.append(value)
    assert [value["sequence_number"] for value in found] == list(range(len(found)))
    return found


HEAD: dict[str, Any] = {"id": "resp_1", "object": "response", "created_at": 5.0, "model": "m"}
USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 17,
}
SOURCE = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 2}
TOKEN = {"token": "h", "logprob": -0.5, "bytes": [104], "top_logprobs": []}
OUTPUT: list[dict[str, Any]] = [
    {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}],
        "encrypted_content": "sealed",
    },
    {"id": "rs_0", "type": "reasoning", "summary": []},
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "phase": "commentary",
        "content": [
            {
                "type": "output_text",
                "text": "hi",
                "annotations": [SOURCE, {"type": "file_path", "file_id": "f"}],
                "logprobs": [TOKEN],
            },
            {"type": "refusal", "refusal": "no"},
        ],
    },
    {
        "id": "msg_2",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "so", "annotations": [], "logprobs": []}],
    },
    {
        "id": "rs_2",
        "type": "reasoning",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "own words"}],
    },
    {
        "id": "fc_1",
        "type": "function_call",
        "status": "completed",
        "call_id": "c1",
        "name": "f",
        "arguments": "{}",
        "namespace": "n",
    },
    {"id": "ws_1", "type": "web_search_call", "status": "completed"},
]
ANSWER = {**HEAD, "status": "completed", "output": OUTPUT, "usage": USAGE, "service_tier": "flex"}


def test_a_whole_answer_decodes_into_parts() -> None:
    response = decode_response(json.dumps(ANSWER).encode())
    (choice,) = response.choices
    thinking, bare, text, refusal, more, own, call, search = choice.parts
    assert thinking == Thinking("a\n\nb", "sealed", signed_by=NAME, extras={"id": "rs_1"})
    assert bare == Opaque(NAME, "output", {**OUTPUT[1]})
    assert isinstance(text, Text)
    assert text.text == "hi"
    assert text.citations[0] == Citation(NAME, SOURCE, "u", "t", start=0, end=2)
    assert (refusal, more) == (Refusal("no"), Text("so"))
    assert isinstance(own, Thinking)
    assert own.text == "own words"
    assert call == ToolCall("c1", "f", "{}", extras={"id": "fc_1", "namespace": "n"})
    assert search == Opaque(NAME, "output", {**OUTPUT[6]})
    assert choice.logprobs == {"content": [TOKEN], "refusal": None}
    assert choice.finish_reason == "tool_calls"
    usage = response.usage
    assert usage is not None
    assert usage == Usage(
        input_tokens=5,
        cache_read_tokens=4,
        cache_write_5m_tokens=1,
        output_tokens=4,
        reasoning_tokens=3,
        units=(("searches", 1),),
        service_tier="flex",
        raw=USAGE,
    )
    assert response.extras == {"service_tier": "flex"}
    assert (response.id, response.created_s, response.dialect) == ("resp_1", 5, NAME)


def test_nothing_of_an_answer_is_lost_to_its_own_client() -> None:
    back = json.loads(encode_response(decode_response(json.dumps(ANSWER).encode())))
    one_summary = [{"type": "summary_text", "text": "a\n\nb"}]
    assert back["output"] == [OUTPUT[0] | {"summary": one_summary}, *OUTPUT[1:]]
    assert {name: back[name] for name in ANSWER if name != "output"} == {
        name: value for name, value in ANSWER.items() if name != "output"
    }


def test_a_chat_client_reads_an_answer_of_a_responses_provider() -> None:
    response = decode_response(json.dumps(ANSWER).encode())
    completion = client_of(openai_chat.encode_response(response)).chat.completions.create(
        model="m", messages=[]
    )
    message = completion.choices[0].message
    assert message.content == "hiso"
    assert message.refusal == "no"
    sources = dumped(message)["annotations"]
    assert sources == [
        {
            "type": "url_citation",
            "url_citation": {"start_index": 0, "end_index": 2, "title": "t", "url": "u"},
        }
    ]
    fields = dumped(message)
    body = {"model": "m", "messages": [fields]}
    thought = openai_chat.decode_request(json.dumps(body).encode()).messages[0].parts[0]
    assert thought == Thinking("a\n\nb", signature="sealed", signed_by=NAME)


@pytest.mark.parametrize(
    ("more", "reason", "raw"),
    [
        ({"status": "completed"}, FinishReason.STOP, "completed"),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            FinishReason.LENGTH,
            "max_output_tokens",
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            FinishReason.CONTENT_FILTER,
            "content_filter",
        ),
        ({"status": "incomplete"}, FinishReason.LENGTH, "incomplete"),
        ({"status": "queued"}, None, None),
    ],
)
def test_a_status_becomes_a_reason_to_end(
    more: Any, reason: FinishReason | None, raw: str | None
) -> None:
    text = {"type": "output_text", "text": "a"}
    output = [{"type": "message", "content": [text]}]
    response = decode_response(json.dumps(HEAD | {"output": output} | more).encode())
    (choice,) = response.choices
    assert (choice.finish_reason, choice.raw_reason) == (reason, raw)
    assert choice.parts == (Text("a"),)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not a response"),
        (b"[]", "not a response"),
        (b'{"object": "response"}', "not a response"),
        (b'{"error": {"message": "over", "code": 5}}', "over"),
        (b'{"output": [], "status": "failed", "error": {"message": "broke"}}', "broke"),
        (b'{"output": [], "status": "cancelled"}', "cancelled"),
    ],
)
def test_what_is_no_answer_is_the_provider_s_failure(body: bytes, said: str) -> None:
    with pytest.raises(UpstreamFailure, match=said):
        decode_response(body)


def test_the_call_of_the_answer_tool_is_turned_back_into_text() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "answer", "arguments": '{"a": 1}'}
    body = json.dumps(HEAD | {"status": "completed", "output": [call]}).encode()
    (choice,) = decode_response(body, answer_tool="answer").choices
    assert (choice.parts, choice.finish_reason) == ((Text('{"a": 1}'),), FinishReason.STOP)


def event(kind: str, **fields: Any) -> bytes:
    value = {"type": kind, **fields}
    return f"event: {kind}\ndata: {json.dumps(value)}\n\n".encode()


def delta(kind: str, at: int, **fields: Any) -> bytes:
    return event(f"response.{kind}", output_index=at, item_id=f"i{at}", **fields)


def item(verb: str, at: int, **fields: Any) -> bytes:
    return event(f"response.output_item.{verb}", output_index=at, item={"id": f"i{at}"} | fields)


END = event("response.completed", response=HEAD | {"status": "completed", "usage": USAGE})
STREAM = b"".join(
    [
        b": hello\n\nevent: keepalive\ndata: {}\n\n",
        event("response.created", response=HEAD | {"status": "in_progress"}),
        item("added", 0, type="reasoning", summary=[], encrypted_content="half"),
        delta("reasoning_summary_part.added", 0, summary_index=0, part={}),
        delta("reasoning_summary_text.delta", 0, summary_index=0, delta="a"),
        delta("reasoning_summary_text.done", 0, summary_index=0, text="ab"),
        delta("reasoning_summary_text.delta", 0, summary_index=1, delta="c"),
        item(
            "done",
            0,
            type="reasoning",
            summary=[{"text": "ab"}, {"text": "c"}],
            encrypted_content="sealed",
        ),
        item("added", 1, type="message", role="assistant", content=[]),
        delta("content_part.added", 1, content_index=0, part={"type": "output_text", "text": ""}),
        delta("output_text.delta", 1, content_index=0, delta="grü", logprobs=[TOKEN]),
        delta("output_text.annotation.added", 1, content_index=0, annotation=SOURCE),
        delta("output_text.done", 1, content_index=0, text="grüße", logprobs=[TOKEN]),
        delta(
            "content_part.done",
            1,
            content_index=0,
            part={"type": "output_text", "text": "grüße", "annotations": [SOURCE]},
        ),
        delta("refusal.delta", 1, content_index=1, delta="n"),
        delta("refusal.done", 1, content_index=1, refusal="no"),
        item("added", 2, type="function_call", call_id="c1", name="f", arguments=""),
        item("added", 3, type="function_call", call_id="c2", name="g", arguments=""),
        delta("function_call_arguments.delta", 2, delta='{"a"'),
        delta("function_call_arguments.done", 3, arguments="{}"),
        delta("function_call_arguments.delta", 2, delta=":1}"),
        item("done", 3, type="function_call", call_id="c2", name="g", arguments="{}"),
        item("done", 4, type="web_search_call"),
        item("done", 4, type="web_search_call"),
        event("response.web_search_call.completed", output_index=4, item_id="i4"),
        END,
        b"data: [DONE]\n\n",
        delta("output_text.delta", 1, content_index=0, delta="too late"),
    ]
)


def decoded(body: bytes, size: int = 10_000_000) -> tuple[list[StreamEvent], StreamDecoder]:
    decoder = StreamDecoder()
    events = [e for at in range(0, len(body), size) for e in decoder.feed(body[at : at + size])]
    return events + decoder.finish(), decoder


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_a_stream_decodes_alike_however_it_is_cut(size: int, newline: bytes) -> None:
    events, decoder = decoded(STREAM.replace(b"\n", newline), size)
    assert (decoder.done, decoder.complete) == (True, True)
    assert events == decoded(STREAM)[0]
    (choice,) = collect(events).choices
    assert choice.parts == (
        Thinking("ab\n\nc", "sealed", signed_by=NAME, extras={"id": "i0"}),
        Text("grüße", citations=choice.parts[1].citations),  # type: ignore[union-attr]  # it is a text
        Refusal("no"),
        ToolCall("c1", "f", '{"a":1}', extras={"id": "i2"}),
        ToolCall("c2", "g", "{}", extras={"id": "i3"}),
        Opaque(NAME, "output", {"id": "i4", "type": "web_search_call"}),
    )
    assert choice.logprobs == {"content": [TOKEN], "refusal": None}
    text = choice.parts[1]
    assert isinstance(text, Text)
    assert len(text.citations) == 1


def test_every_part_is_begun_once_and_finished_once() -> None:
    events, _ = decoded(STREAM)
    begun = [e.index for e in events if isinstance(e, PartStarted)]
    finished = [e.index for e in events if isinstance(e, PartFinished)]
    assert begun == sorted(set(begun))
    assert sorted(finished) == begun


def test_items_that_only_the_last_event_has_are_read_there() -> None:
    body = event("response.completed", response=ANSWER)
    assert collect(decoded(body)[0]) == decode_response(json.dumps(ANSWER).encode())


def test_servers_that_leave_events_out_are_understood() -> None:
    body = b"".join(
        [
            delta("reasoning_text.delta", 0, content_index=0, delta="hm"),
            delta("reasoning_text.done", 0, content_index=0, text="hm, yes"),
            delta("output_text.delta", 1, delta="a"),
            delta("function_call_arguments.delta", 2, delta='{"a'),
            delta("function_call_arguments.done", 2, arguments='{"a": 1}'),
            delta("image_generation_call.partial_image", 3),
            event("response.output_text.delta", delta="no index"),
            event("response.output_item.added", output_index=5),
            event(
                "response.completed",
                response=HEAD
                | {
                    "output": [
                        {"type": "message", "content": [{"type": "output_text", "text": "ab"}]},
                        {
                            "id": "i2",
                            "type": "function_call",
                            "call_id": "c1",
                            "name": "f",
                            "arguments": '{"a": 1}',
                        },
                    ]
                },
            ),
        ]
    )
    response = collect(decoded(body)[0])
    (choice,) = response.choices
    assert choice.parts == (
        Thinking("hm, yes", extras={"id": "i0", "place": "content"}),
        Text("a"),
        Text("ab"),
        ToolCall("c1", "f", '{"a": 1}', extras={"id": "i2"}),
    )


def test_odd_events_of_known_items_say_nothing() -> None:
    body = b"".join(
        [
            item("added", 0, type="message"),
            delta("content_part.done", 0, content_index=0, part={"type": "odd"}),
            delta("output_text.delta", 0, content_index=0, delta="a"),
            delta("output_text.annotation.added", 0, content_index=0, annotation=5),
            delta("output_text.odd", 0, content_index=0),
            delta("content_part.done", 0, content_index=0, part={"type": "output_text"}),
            item("added", 1, type="function_call", call_id="c", name="f"),
            delta("function_call_arguments.odd", 1),
            item("added", 2, type="reasoning"),
            delta("function_call_arguments.delta", 3, delta="of a call without a name"),
            delta("reasoning_text.odd", 2),
            delta("reasoning_text.delta", 2, delta=5),
            END,
        ]
    )
    (choice,) = collect(decoded(body)[0]).choices
    assert choice.parts == (Text("a"), ToolCall("c", "f", "", extras={"id": "i1"}))


def test_a_stream_that_ends_early_is_not_complete() -> None:
    body = STREAM[: STREAM.index(b"event: response.completed")]
    _, decoder = decoded(body)
    assert (decoder.done, decoder.complete) == (False, False)
    _, decoder = decoded(STREAM[: STREAM.index(b"data: [DONE]") - 1])
    assert decoder.complete


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (event("error", code="c", message="flat", param=None), "c", "flat"),
        (event("error", error={"type": "t", "code": None, "message": "nested"}), "t", "nested"),
        (b'data: {"error": {"message": "bare"}}\n\n', "upstream_error", "bare"),
        (b"data: nonsense\n\n", "unreadable_event", "not JSON"),
        (b"data: " + b"x" * (8 * 1024 * 1024 + 1), "upstream_error", "8,388,608"),
        (
            event(
                "response.failed",
                response=HEAD
                | {"status": "failed", "error": {"code": "server_error", "message": "broke"}},
            ),
            "server_error",
            "broke",
        ),
        (event("response.failed", response=HEAD), "upstream_error", "has failed"),
    ],
)
def test_an_error_in_a_stream_ends_it(body: bytes, code: str, message: str) -> None:
    events, decoder = decoded(body)
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert failed.code == code
    assert message in failed.message
    assert decoder.feed(b"data: nonsense\n\n" + END) == []
    assert not decoder.complete


def test_a_failed_answer_that_cost_something_says_so() -> None:
    response = HEAD | {"status": "failed", "usage": USAGE, "error": {"message": "broke"}}
    events, _ = decoded(event("response.failed", response=response))
    assert isinstance(events[-2], Used)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "a", "ab"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["text", "type", "id", "arguments", "content", "summary", "delta"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
KINDS = st.sampled_from(
    [json.loads(line[6:])["type"] for line in STREAM.split(b"\n") if line.startswith(b'data: {"')]
)
ITEM_KINDS = st.sampled_from(["message", "reasoning", "function_call", "x"])
ITEMS = st.fixed_dictionaries(
    {"type": ITEM_KINDS},
    optional={
        "content": JSON,
        "summary": JSON,
        "id": JSON,
        "arguments": JSON,
        "call_id": JSON,
        "encrypted_content": JSON,
    },
)
FIELDS = st.fixed_dictionaries(
    {"type": KINDS},
    optional={
        "output_index": st.integers(0, 2),
        "content_index": JSON,
        "item": ITEMS,
        "part": st.fixed_dictionaries(
            {"type": st.sampled_from(["output_text", "refusal"])},
            optional={"text": JSON, "annotations": JSON, "logprobs": JSON},
        ),
        "delta": JSON,
        "text": JSON,
        "response": st.fixed_dictionaries(
            {}, optional={"output": st.lists(ITEMS), "usage": JSON, "status": JSON, "id": JSON}
        ),
    },
)


@settings(max_examples=60)
@given(st.lists(FIELDS, max_size=8))
def test_no_event_breaks_the_decoder_or_the_encoders(values: list[Any]) -> None:
    decoder = StreamDecoder()
    events = [e for value in values for e in decoder.payload(json.dumps(value).encode())]
    frames(written(events))
    b"".join(openai_chat.encode_stream(events, include_usage=True))
    if not any(isinstance(e, Failed) for e in events):
        encode_response(collect(events))


@given(st.binary(max_size=200))
def test_noise_is_the_provider_s_failure(noise: bytes) -> None:
    decoder = StreamDecoder()
    decoder.feed(b"data: " + noise + b"\n\n")
    decoder.finish()
    with pytest.raises(UpstreamFailure):
        decode_response(noise)


# --- there and back

TEXTS = st.text(min_size=1, max_size=8)


@st.composite
def answers(draw: st.DrawFn) -> list[StreamEvent]:
    events: list[StreamEvent] = [Started("resp_1", "m", 7, dialect=NAME)]
    last = ""
    kinds = st.sampled_from(["thinking", "text", "refusal", "tool_call", "opaque"])
    for index, kind in enumerate(draw(st.lists(kinds, max_size=6))):
        extras = {"id": f"msg_{index}"} if kind in ("text", "refusal") else {"id": f"i{index}"}
        if kind == "opaque":
            part = Opaque(NAME, "output", {"id": f"x{index}", "type": "x"})
            events.append(WholePart(index, part))
        elif kind == "tool_call":
            name = draw(TEXTS)
            events.append(
                PartStarted(index, "tool_call", tool_call_id=name, tool_name=name, extras=extras)
            )
            events += [ArgumentsDelta(index, text) for text in draw(st.lists(TEXTS, max_size=3))]
        elif kind == "thinking":
            if draw(st.booleans()):
                extras = extras | {"place": "content"}
            events.append(PartStarted(index, "thinking", extras=extras))
            texts = draw(st.lists(TEXTS, min_size=1, max_size=3))
            events += [ThinkingDelta(index, text) for text in texts]
            events.append(SignatureDelta(index, draw(st.text("abc", min_size=1)), signed_by=NAME))
        else:
            events.append(PartStarted(index, kind, extras=extras))  # type: ignore[arg-type]  # drawn above
            events += [TextDelta(index, text) for text in draw(st.lists(TEXTS, max_size=3))]
        if kind != "opaque":
            events.append(PartFinished(index))
        last = "tool_call" if kind == "tool_call" else last
    reason = FinishReason.TOOL_CALLS if last else FinishReason.STOP
    events += [Finished(reason, raw_reason="completed"), Used(usage())]
    return events


def usage() -> Usage:
    found = usage_from_responses(USAGE)
    assert found is not None
    return found


@given(answers())
def test_an_answer_goes_there_and_back(events: list[StreamEvent]) -> None:
    sent = written(events)
    back = collect(decoded(sent, 64)[0])
    # What this format adds (what its response repeats of the request, which text stood in which
    # message) is in the extras, of the answer and of its choice; the parts are the same.
    assert [choice.parts for choice in back.choices] == [c.parts for c in collect(events).choices]
    assert (back.usage, back.id, back.model) == (usage(), "resp_1", "m")
    whole = decode_response(encode_response(back))
    assert whole == back
    assert encode_response(whole) == encode_response(back)


# --- usage


def test_sums_of_usage_are_those_of_the_provider() -> None:
    found = usage()
    assert (found.total_input_tokens, found.total_output_tokens) == (10, 7)
    assert usage_to_responses(found) == USAGE
    assert usage_from_responses(None) is None
    assert usage_from_responses({"total_tokens": 1}) is None


def test_usage_of_another_provider_is_said_in_this_format() -> None:
    raw = {"input_tokens": 1, "output_tokens": 2}
    found = Usage(input_tokens=1, cache_write_1h_tokens=3, output_tokens=2, raw=raw)
    assert usage_to_responses(found) == {
        "input_tokens": 4,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 3},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 6,
    }
