import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.errors import UpstreamFailure, UpstreamRejectedError
from conduit.gateway.conversation import (
    Failed,
    Finished,
    FinishReason,
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
)
from conduit.gateway.dialects.collect import collect
from conduit.gateway.dialects.ollama.dialect import (
    NAME,
    StreamDecoder,
    decode_error,
    decode_response,
    usage_from_ollama,
    usage_to_ollama,
)

AT = "2025-07-07T20:22:19.193141234-07:00"
AT_S = 1751944939
METRICS = {
    "total_duration": 182242375,
    "load_duration": 41295167,
    "prompt_eval_count": 169,
    "prompt_eval_duration": 24573166,
    "eval_count": 15,
    "eval_duration": 115959084,
}
USED = Used(Usage(input_tokens=169, output_tokens=15, raw=METRICS))


def line(done: bool = False, **message: Any) -> dict[str, Any]:
    fields = {"model": "qwen3", "created_at": AT, "done": done}
    return fields | {"message": {"role": "assistant", "content": "", **message}}


LAST = line(done=True) | {"done_reason": "stop"} | METRICS


def written(*lines: Any) -> bytes:
    return b"".join(json.dumps(item, ensure_ascii=False).encode() + b"\n" for item in lines)


def decoded(body: bytes, cuts: list[int] | None = None) -> list[StreamEvent]:
    decoder = StreamDecoder()
    events: list[StreamEvent] = []
    for start, stop in pairwise([0, *(cuts or []), len(body)]):
        events += decoder.feed(body[start:stop])
    return events + decoder.finish()


CALL = {"id": "call_x", "function": {"index": 0, "name": "f", "arguments": {"z": 1, "a": 1.0}}}
LOGPROB = {"token": "24°", "logprob": -0.5, "bytes": [50], "top_logprobs": []}
STREAM = written(
    line(thinking="hm "),
    line(thinking="…") | {"logprobs": [LOGPROB]},
    line(content="24°") | {"logprobs": [LOGPROB]},
    line(content="!", images=None),
    line(tool_calls=[CALL]),
    LAST,
)


def test_a_stream_decodes_into_parts_in_order() -> None:
    assert decoded(STREAM)[:-5] == [
        Started("", "qwen3", AT_S, dialect=NAME),
        PartStarted(0, "thinking"),
        ThinkingDelta(0, "hm "),
        ThinkingDelta(0, "…"),
        Unplaced({"logprobs": {"content": [LOGPROB]}}, 0),
        PartFinished(0),
        PartStarted(1, "text"),
        TextDelta(1, "24°", logprobs={"content": [LOGPROB]}),
        TextDelta(1, "!"),
        PartFinished(1),
    ]
    (choice,) = collect(decoded(STREAM)).choices
    assert choice.parts == (
        Thinking("hm …"),
        Text("24°!"),
        ToolCall("call_x", "f", '{"z":1,"a":1.0}'),
    )
    assert decoded(STREAM)[-2:] == [Finished(FinishReason.TOOL_CALLS, raw_reason="stop"), USED]


@pytest.mark.parametrize(
    ("fields", "reason", "raw"),
    [
        ({"done_reason": "stop"}, "stop", "stop"),
        ({"done_reason": "length"}, "length", "length"),
        ({"done_reason": "load"}, "stop", "load"),
        ({"done_reason": ""}, "stop", None),
    ],
)
def test_finish_reasons_are_mapped_and_kept(
    fields: dict[str, Any], reason: str, raw: str | None
) -> None:
    decoder = StreamDecoder()
    (_, finished) = decoder.feed(written(line(done=True) | fields))
    assert finished == Finished(FinishReason(reason), raw_reason=raw)
    assert decoder.done
    assert decoder.complete
    assert decoder.feed(STREAM) == []


def test_calls_without_an_id_get_one_that_does_not_come_again() -> None:
    bare = {"function": {"name": "f", "arguments": {}}}
    same = written(line(tool_calls=[bare, bare]), LAST)
    later = written(line(tool_calls=[bare]) | {"created_at": "2025-07-08T00:00:00Z"}, LAST)
    ids = [
        event.tool_call_id
        for body in (same, same, later)
        for event in decoded(body)
        if isinstance(event, PartStarted)
    ]
    assert ids[:2] == ids[2:4]
    assert len(set(ids)) == 3
    assert all(name is not None and name.startswith("call_") for name in ids)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ({"id": "c", "function": {"name": "f"}}, ToolCall("c", "f", "{}")),
        (
            {"id": "c", "function": {"name": "f", "arguments": '{"a": '}},
            ToolCall("c", "f", '{"a": '),
        ),
        (
            {"id": "c", "function": {"name": "f", "arguments": {}, "odd": 1}, "more": 2},
            ToolCall("c", "f", "{}", extras={"more": 2, "function": {"odd": 1}}),
        ),
    ],
)
def test_odd_calls_are_read(call: Any, expected: ToolCall) -> None:
    (choice,) = collect(decoded(written(line(tool_calls=[call]), LAST))).choices
    assert choice.parts == (expected,)


def test_what_has_no_place_is_kept() -> None:
    remote = {"remote_model": "r", "remote_host": "h"}
    picture = line(images=["iVBO"]) | remote | {"new": 1}
    started, *kept, _, _ = decoded(written(line() | remote, picture, LAST | remote))
    assert started == Started("", "qwen3", AT_S, remote, dialect=NAME)
    assert kept == [Unplaced({"new": 1}), Unplaced({"images": ["iVBO"]}, 0)]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":"model runner has unexpectedly stopped"}\n', "unexpectedly stopped"),
        (b"noise\n", "a line that is not JSON"),
    ],
)
def test_an_error_inside_a_stream_is_a_failure(body: bytes, message: str) -> None:
    decoder = StreamDecoder()
    *_, failed = decoder.feed(written(line(content="a")) + body + STREAM)
    assert isinstance(failed, Failed)
    assert message in failed.message
    assert not decoder.done


def test_a_last_line_needs_no_end_but_half_a_line_is_none() -> None:
    assert decoded(STREAM.replace(b"\n", b"\r\n\r\n").rstrip()) == decoded(STREAM)
    decoder = StreamDecoder()
    decoder.feed(STREAM[:-40])
    assert decoder.finish() == []
    assert not decoder.done


ANSWER = {
    "model": "llama3.2",
    "created_at": "2025-07-07T20:32:53.844124Z",
    "message": {"role": "assistant", "content": "", "tool_calls": [CALL], "thinking": "hm"},
    "done_reason": "stop",
    "done": True,
    **METRICS,
}


def test_nothing_of_a_whole_answer_is_lost() -> None:
    response = decode_response(json.dumps(ANSWER | {"remote_host": "h"}).encode())
    (choice,) = response.choices
    assert choice.parts == (Thinking("hm"), ToolCall("call_x", "f", '{"z":1,"a":1.0}'))
    assert (choice.finish_reason, choice.raw_reason) == (FinishReason.TOOL_CALLS, "stop")
    assert (response.model, response.created_s) == ("llama3.2", 1751920373)
    assert (response.extras, response.dialect) == ({"remote_host": "h"}, NAME)
    assert response.usage == USED.usage


def test_the_oldest_servers_are_understood() -> None:
    body = (
        b'{"model":"m","created_at":"2023-08-04T08:52:19","message":{"content":"a"},"done":false}'
    )
    response = decode_response(body)
    assert response.choices[0].parts == (Text("a"),)
    assert response.choices[0].finish_reason is FinishReason.STOP
    assert response.created_s == 1691139139
    assert response.usage is None


@pytest.mark.parametrize(
    ("body", "said"),
    [(b"", "not a chat"), (b"[]", "not a chat"), (b"{}", "not a chat"), (b'{"error":"oh"}', "oh")],
)
def test_what_is_no_answer_is_the_provider_s_failure(body: bytes, said: str) -> None:
    with pytest.raises(UpstreamFailure, match=said):
        decode_response(body)


@pytest.mark.parametrize("at", [None, "", "yesterday", "0001-01-01T00:00:00+23:59", 5])
def test_a_time_that_is_none_is_zero(at: Any) -> None:
    started, *_ = decoded(written(LAST | {"created_at": at}))
    assert isinstance(started, Started)
    assert started.created_s == 0


def test_usage_is_written_as_it_was_reported_or_made() -> None:
    own = usage_from_ollama(LAST)
    assert own is not None
    assert usage_to_ollama(own) == METRICS
    assert usage_from_ollama({"prompt_eval_count": 3}) == Usage(
        input_tokens=3, raw={"prompt_eval_count": 3}, output_untold=True
    )
    assert usage_from_ollama({"total_duration": 3}) is None
    made = {"prompt_eval_count": 5, "eval_count": 2}
    assert usage_to_ollama(Usage(input_tokens=3, cache_read_tokens=2, output_tokens=2)) == made
    assert usage_to_ollama(Usage(input_tokens=5, reasoning_tokens=2, raw={"x": 1})) == made


def test_an_error_keeps_its_words() -> None:
    error = decode_error(404, {}, b'{"error":"model \'x\' not found"}')
    assert isinstance(error, UpstreamRejectedError)
    assert (error.status, error.message) == (404, "model 'x' not found")


TEXTS = st.text(min_size=1, max_size=6)
PARTS = st.lists(
    st.one_of(
        st.builds(Text, TEXTS),
        st.builds(Thinking, TEXTS),
        st.builds(
            ToolCall,
            TEXTS,
            TEXTS,
            st.dictionaries(TEXTS, st.integers() | TEXTS, max_size=2).map(
                lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            ),
        ),
    ),
    max_size=5,
)


def lines_of(parts: list[Part]) -> list[Any]:
    lines: list[Any] = []
    for part in parts:
        match part:
            case Text():
                lines += [line(content=char) for char in part.text]
            case Thinking():
                lines.append(line(thinking=part.text))
            case ToolCall():
                function = {"name": part.name, "arguments": json.loads(part.arguments)}
                lines.append(line(tool_calls=[{"id": part.id, "function": function}]))
            case _:
                raise AssertionError(part)
    return lines


def joined(parts: list[Part]) -> list[Part]:
    """Two texts in a row are one in this format."""
    out: list[Part] = []
    for part in parts:
        if out and isinstance(part, Text) and isinstance(out[-1], Text):
            out[-1] = Text(out[-1].text + part.text)
        elif out and isinstance(part, Thinking) and isinstance(out[-1], Thinking):
            out[-1] = Thinking(out[-1].text + part.text)
        else:
            out.append(part)
    return out


@given(PARTS, st.data())
def test_any_answer_comes_out_whole_cut_anywhere(parts: list[Part], data: st.DataObject) -> None:
    body = written(*lines_of(parts), LAST)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    events = decoded(body, cuts)
    assert events == decoded(body)
    assert list(collect(events).choices[0].parts) == joined(parts)


def test_bytes_one_by_one_are_the_same_stream() -> None:
    assert decoded(STREAM, list(range(len(STREAM)))) == decoded(STREAM)


NAMES = ["message", "content", "thinking", "tool_calls", "function", "arguments", "error", "done"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*NAMES, "logprobs", "eval_count"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_no_body_breaks_the_decoder(body: bytes) -> None:
    decoded(body)
    decoded(body + b"\n")
    with suppress(UpstreamFailure):
        decode_response(body)
