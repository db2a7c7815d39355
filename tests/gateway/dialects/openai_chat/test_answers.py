"""Answers in OpenAI's chat format: its providers', and those that its clients read."""

import json
from collections.abc import Sequence
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conduit.core.errors import UpstreamFailure, UpstreamTimeoutError
from conduit.gateway.conversation import (
    ArgumentsDelta,
    Audio,
    ChatRequest,
    Citation,
    CitationDelta,
    Failed,
    Finished,
    FinishReason,
    Image,
    PartFinished,
    PartStarted,
    SignatureDelta,
    Started,
    StreamEvent,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    Unplaced,
    Usage,
    Used,
    WholePart,
)
from conduit.gateway.dialects.answer_tool import AnswerTool
from conduit.gateway.dialects.collect import collect
from conduit.gateway.dialects.openai_chat.dialect import (
    NAME,
    StreamDecoder,
    StreamEncoder,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    encode_stream,
)
from conduit.gateway.dialects.target import Target
from conduit.gateway.provider import Quirks
from tests.gateway.dialects.foreign_answers import EVENTS, OTHER, PIXEL, client_of, dumped

TARGET = Target("theirs", quirks=Quirks(output_cap_field="max_completion_tokens"))
ASK: Any = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
MARK = {"type": "ephemeral"}


def sent(request: ChatRequest) -> Any:
    return json.loads(encode_request(request, TARGET).body)


def call_of(name: str, arguments: str, index: int = 0) -> Any:
    return {
        "index": index,
        "id": f"c{index}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def answer_with(message: Any, reason: str = "stop", **more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": reason}
    return json.dumps({"id": "c", "created": 5, "model": "m", "choices": [choice]} | more).encode()


def test_the_call_of_the_answer_tool_is_turned_back_into_text() -> None:
    signed = call_of("answer", '{"a": 1}') | {
        "extra_content": {"google": {"thought_signature": "S"}}
    }
    body = answer_with({"content": None, "tool_calls": [signed]}, "tool_calls")
    (choice,) = decode_response(body, answer_tool="answer").choices
    assert choice.parts == (Text('{"a": 1}'),)
    assert choice.finish_reason == FinishReason.STOP


def test_what_signs_the_answer_tool_is_no_part_of_the_answer() -> None:
    events: list[StreamEvent] = [
        PartStarted(0, "tool_call", tool_call_id="c", tool_name="answer"),
        SignatureDelta(0, "S"),
        ArgumentsDelta(0, "{}"),
        PartFinished(0),
    ]
    assert AnswerTool("answer").turn(events) == [
        PartStarted(0, "text"),
        TextDelta(0, "{}"),
        PartFinished(0),
    ]


def test_a_call_of_another_tool_stays_one() -> None:
    calls = [call_of("f", "{}"), call_of("answer", "{}", 1)]
    body = answer_with({"content": None, "tool_calls": calls}, "tool_calls")
    (choice,) = decode_response(body, answer_tool="answer").choices
    assert choice.parts == (ToolCall("c0", "f", "{}"), Text("{}"))
    assert choice.finish_reason == FinishReason.TOOL_CALLS


# --- providers' bytes


def events_of(body: bytes, size: int) -> tuple[list[StreamEvent], StreamDecoder]:
    decoder = StreamDecoder()
    events = [
        event for at in range(0, len(body), size) for event in decoder.feed(body[at : at + size])
    ]
    return events + decoder.finish(), decoder


def chunk(delta: Any, reason: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    value = {"id": "c", "created": 5, "model": "m", "choices": [choice]} | more
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


BODY = b"".join(
    [
        b"\xef\xbb\xbf: hello\n\n",
        chunk({"role": "assistant", "content": ""}),
        b": keep-alive\r\n\r\nevent: ping\r\n\r\n",
        chunk({"reasoning_content": "hm"}),
        chunk({"content": "grüße 🙂"}),
        b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n',
        chunk({"tool_calls": [call_of("f", '{"a"')]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}),
        chunk({}, "tool_calls", usage=None).replace(b"\n", b"\r\n"),
        chunk({}, usage={"prompt_tokens": 1, "completion_tokens": 2}, choices=[]),
        b"data: [DONE]",
    ]
)


@pytest.mark.parametrize("size", range(1, 40))
def test_a_stream_decodes_alike_however_it_is_cut(size: int) -> None:
    events, decoder = events_of(BODY, size)
    assert (decoder.done, decoder.complete) == (True, True)
    assert events == events_of(BODY, len(BODY))[0]
    response = collect(events)
    (choice,) = response.choices
    assert choice.parts == (
        Thinking("hm"),
        Text("grüße 🙂\ud83d"),
        ToolCall("c0", "f", '{"a":1}'),
    )
    assert response.dialect == NAME
    assert json.loads(encode_response(response))["choices"][0]["message"]["content"] == (
        "grüße 🙂\ud83d"
    )


def test_a_stream_without_done_is_complete_once_every_choice_has_ended() -> None:
    events, decoder = events_of(chunk({"content": "a"}), 9)
    assert (decoder.done, decoder.complete) == (False, False)
    assert events[-1] == TextDelta(0, "a")
    _, decoder = events_of(chunk({"content": "a"}, "stop"), 9)
    assert (decoder.done, decoder.complete) == (False, True)
    _, decoder = events_of(b'data: {"choices": [', 9)
    assert not decoder.complete


@pytest.mark.parametrize(
    ("event", "code", "message"),
    [
        (b'data: {"error": {"message": "over", "code": 529}}\n\n', "529", "over"),
        (b'data: {"error": {"message": "over", "type": "overloaded"}}\n\n', "overloaded", "over"),
        (b'data: {"object": "error", "message": "gone"}\n\n', "upstream_error", "gone"),
        (b"data: {nonsense\n\n", "unreadable_event", "not JSON"),
        (b"data: " + b"x" * (8 * 1024 * 1024 + 1), "upstream_error", "8,388,608"),
    ],
)
def test_an_error_in_a_stream_ends_it(event: bytes, code: str, message: str) -> None:
    decoder = StreamDecoder()
    decoder.feed(chunk({"content": "a"}))
    (failed,) = decoder.feed(event)
    assert isinstance(failed, Failed)
    assert failed.code == code
    assert message in failed.message
    assert decoder.feed(b"data: {nonsense\n\n" + chunk({"content": "b"}, "stop")) == []
    assert not decoder.complete


def test_an_error_in_a_stream_leaks_no_key() -> None:
    body = b'data: {"error": {"message": "bad key sk-canary0123456789abcdef"}}\n\n'
    (failed,) = StreamDecoder().feed(body)
    assert "canary" not in repr(failed)


@given(st.binary(max_size=200))
def test_nothing_breaks_the_decoders(noise: bytes) -> None:
    decoder = StreamDecoder()
    decoder.feed(b"data: " + noise + b"\n\n")
    decoder.finish()
    with pytest.raises(UpstreamFailure):
        decode_response(noise)


NAMES = """index delta content reasoning annotations images tool_calls function arguments id name
type thinking text finish_reason url_citation image_url url"""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "text", "thinking", "f"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(tuple(NAMES.split())), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=60)
@given(st.lists(st.fixed_dictionaries({"delta": JSON, "index": JSON, "finish_reason": JSON})))
def test_no_chunk_breaks_the_decoder(choices: list[Any]) -> None:
    decoder = StreamDecoder()
    events = decoder.payload(json.dumps({"choices": choices}).encode())
    b"".join(encode_stream(events, include_usage=True))
    encode_response(collect(events))


def test_calls_that_share_an_index_are_told_apart_by_their_ids() -> None:
    calls = [call_of("f", "{}"), call_of("g", "") | {"id": "other"}]
    body = b"".join(chunk({"tool_calls": [call]}) for call in calls)
    more = {"index": 0, "function": {"arguments": {"a": 1}}}
    body += chunk({"tool_calls": [more]}, "tool_calls")
    (choice,) = collect(events_of(body, 1000)[0]).choices
    assert choice.parts == (ToolCall("c0", "f", "{}"), ToolCall("other", "g", '{"a":1}'))


def test_content_in_parts_is_text_and_thinking() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    text = {"type": "text", "text": "so"}
    (choice,) = decode_response(answer_with({"content": [thinking, text]})).choices
    assert choice.parts == (Thinking("hm"), Text("so"))


def test_what_comes_before_the_answer_has_a_name_does_not_name_it() -> None:
    azure = {"id": "", "model": "", "choices": [], "prompt_filter_results": [1]}
    body = b"data: {}\n\ndata:\n\n" + b"data: " + json.dumps(azure).encode() + b"\n\n"
    events, _ = events_of(body + chunk({"content": "a"}), 1000)
    assert events[0] == Started("c", "m", 5, {"prompt_filter_results": [1]}, NAME)


def test_groq_s_usage_is_found() -> None:
    body = chunk({}, "stop", x_groq={"id": "r", "usage": {"prompt_tokens": 3, "total_tokens": 3}})
    usage = collect(events_of(body, 1000)[0]).usage
    assert usage is not None
    assert usage.input_tokens == 3


def test_annotations_belong_to_the_text_in_which_they_begin() -> None:
    def cites(start: int) -> Any:
        source = {"url": "u", "title": "t", "start_index": start, "end_index": start + 2}
        return {"type": "url_citation", "url_citation": source}

    body = b"".join(
        [
            chunk({"content": "1234"}),
            chunk({"reasoning": "hm"}),
            chunk({"content": "5678"}),
            chunk({"annotations": [cites(1), cites(4), cites(99), {"type": "odd"}]}, "stop"),
        ]
    )
    (choice,) = collect(events_of(body, 1000)[0]).choices
    first, _, second = choice.parts
    assert isinstance(first, Text)
    assert isinstance(second, Text)
    assert [(c.start, c.end) for c in first.citations] == [(1, 3), (None, None)]
    assert [(c.start, c.end) for c in second.citations] == [(0, 2), (95, 97)]
    assert first.citations[0].url == "u"
    lonely = {"annotations": [cites(0)], "images": [{"type": "image_url"}]}
    (choice,) = decode_response(answer_with(lonely)).choices
    assert choice.extras == lonely


def test_pictures_in_an_answer_are_parts() -> None:
    image = {"type": "image_url", "image_url": {"url": PIXEL}}
    body = answer_with({"content": "see", "images": [image]})
    response = decode_response(body)
    assert response.choices[0].parts == (Text("see"), Image(PIXEL))
    message = json.loads(encode_response(response))["choices"][0]["message"]
    assert message["images"] == [image | {"index": 0}]


def test_redacted_thinking_of_an_answer_is_a_part() -> None:
    body = answer_with({"content": "x", "reasoning_content": "hm", "reasoning_redacted": "R"})
    (choice,) = decode_response(body).choices
    assert choice.parts == (
        Thinking("hm"),
        Thinking(redacted="R", signed_by=NAME),
        Text("x"),
    )


# --- answers of other providers, read by OpenAI's own client


def test_openai_s_client_accumulates_an_answer_of_another_provider() -> None:
    body = b"".join(encode_stream(EVENTS, include_usage=True))
    with client_of(body, streamed=True).chat.completions.stream(**ASK) as stream:
        streamed = stream.get_final_completion()
    whole = client_of(encode_response(collect(EVENTS))).chat.completions.create(**ASK)
    for completion in (streamed, whole):
        assert completion.id == "msg_1"
        assert completion.usage is not None
        assert completion.usage.prompt_tokens == 7
        assert completion.usage.completion_tokens == 10
        (choice,) = completion.choices
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content == "Hello world, again"
        assert choice.message.refusal is None
        message = dumped(choice.message)
        assert message["images"][0]["image_url"]["url"] == PIXEL
        sources = [item["url_citation"] for item in message["annotations"]]
        assert [(s["url"], s["start_index"], s["end_index"]) for s in sources] == [
            ("https://x/1", 0, 11),
            ("https://x/2", 13, 18),
        ]
        first, second = message["tool_calls"]
        assert first["function"]["name"], first["function"]["arguments"] == ("f", '{"a": 1}')
        assert (first["id"], second["id"][:5]) == ("toolu_1", "call_")
        assert "their" not in json.dumps(message)


@pytest.mark.parametrize("streamed", [True, False])
def test_signatures_of_another_provider_survive_a_turn(streamed: bool) -> None:
    if streamed:
        body = b"".join(encode_stream(EVENTS, include_usage=False))
        with client_of(body, streamed=True).chat.completions.stream(**ASK) as stream:
            message = dumped(stream.get_final_completion().choices[0].message)
    else:
        body = encode_response(collect(EVENTS))
        completion = client_of(body).chat.completions.create(**ASK)
        message = dumped(completion.choices[0].message)
    request = decode_request(json.dumps(ASK | {"messages": [message]}).encode())
    thoughts = [part for part in request.messages[0].parts if isinstance(part, Thinking)]
    calls = [part for part in request.messages[0].parts if isinstance(part, ToolCall)]
    assert thoughts == [
        Thinking("first thought", signature="SigOne=", signed_by=OTHER),
        Thinking(redacted="Hidden==", signed_by=OTHER),
        Thinking("second", signature="SigTwo=", signed_by=OTHER),
    ]
    assert (calls[0].signature, calls[0].signed_by) == ("CallSig=", "gemini")
    assert calls[1].signature is None


def test_usage_comes_once_at_the_end_and_only_where_it_was_asked_for() -> None:
    asked_for = b"".join(encode_stream(EVENTS, include_usage=True))
    chunks = [
        json.loads(line[6:]) for line in asked_for.splitlines() if line.startswith(b"data: {")
    ]
    assert [chunk["usage"] is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1]["choices"] == []
    assert asked_for.endswith(b"data: [DONE]\n\n")
    assert b"usage" not in b"".join(encode_stream(EVENTS, include_usage=False))


def test_a_late_signature_of_a_call_is_added_to_it() -> None:
    events: Sequence[StreamEvent] = (
        Started("", "m", 0, dialect="gemini"),
        PartStarted(0, "tool_call", tool_call_id="c", tool_name="f"),
        ArgumentsDelta(0, "{}"),
        SignatureDelta(0, "S", signed_by="gemini"),
        SignatureDelta(0, "T", signed_by="gemini"),
        PartFinished(0),
        WholePart(1, Audio("AA", "wav")),
        Finished(FinishReason.STOP, raw_reason="STOP"),
    )
    body = b"".join(encode_stream(events, include_usage=True))
    with client_of(body, streamed=True).chat.completions.stream(**ASK) as stream:
        completion = stream.get_final_completion()
    assert completion.id.startswith("chatcmpl-")
    assert completion.created > 1_700_000_000
    message = dumped(completion.choices[0].message)
    (call,) = message["tool_calls"]
    assert call["extra_content"] == {"google": {"thought_signature": "conduit:gemini:ST"}}
    request = decode_request(json.dumps(ASK | {"messages": [message]}).encode())
    assert request.messages[0].parts[-1] == ToolCall(
        "c", "f", "{}", signature="ST", signed_by="gemini"
    )


def test_extra_content_beside_a_signature_is_kept() -> None:
    extra = {"google": {"thought_signature": "S", "x": 1}, "other": 2}
    call = call_of("f", "{}") | {"extra_content": extra}
    del call["index"]
    body = ASK | {"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}]}
    request = decode_request(json.dumps(body).encode())
    (part,) = request.messages[0].parts
    assert isinstance(part, ToolCall)
    assert (part.signature, part.signed_by) == ("S", NAME)
    assert sent(request)["messages"] == body["messages"]


def test_a_failure_in_the_middle_is_raised_by_openai_s_client() -> None:
    encoder = StreamEncoder(include_usage=True)
    body = b"".join(map(encoder.encode, EVENTS[:16]))
    body += encoder.fail(UpstreamTimeoutError("took too long")) + encoder.finish()
    with pytest.raises(openai.APIError, match="took too long"):
        list(client_of(body, streamed=True).chat.completions.create(**ASK, stream=True))


def test_odd_logprobs_of_another_provider_are_left_out() -> None:
    events: Sequence[StreamEvent] = (
        Started("c", "m", 5, dialect="gemini"),
        PartStarted(0, "text"),
        TextDelta(0, "a", logprobs=[1]),
        Unplaced({"x": 1}, 0),
        Finished(FinishReason.LENGTH, raw_reason="model_length"),
    )
    assert b'"logprobs":[1]' not in b"".join(encode_stream(events, include_usage=True))
    choice = json.loads(encode_response(collect(events)))["choices"][0]
    assert (choice["logprobs"], choice["finish_reason"]) == (None, "length")


def test_sums_of_usage_of_other_providers_are_kept() -> None:
    usage = Usage(input_tokens=1, cache_write_1h_tokens=4, output_tokens=2)
    events: Sequence[StreamEvent] = (Started("c", "m", 5, dialect=OTHER), Used(usage))
    body = json.loads(encode_response(collect(events)))
    assert (body["usage"]["prompt_tokens"], body["usage"]["total_tokens"]) == (5, 7)
    assert body["usage"]["prompt_tokens_details"]["cache_write_tokens"] == 4


def test_a_citation_of_a_text_that_never_came_does_no_harm() -> None:
    encoder = StreamEncoder(include_usage=False)
    encoder.encode(Started("c", "m", 5, dialect=OTHER))
    encoder.encode(CitationDelta(3, Citation(OTHER, {}, url="u")))
    assert b'"end_index":0' in encoder.encode(Finished(FinishReason.STOP))
