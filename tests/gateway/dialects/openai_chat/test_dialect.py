import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.errors import InvalidRequestError, UpstreamFailure
from conduit.gateway.conversation import (
    ArgumentsDelta,
    Audio,
    ChatRequest,
    Failed,
    File,
    Finished,
    FinishReason,
    Image,
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
    ToolChoice,
    ToolResult,
    Unplaced,
    Usage,
    Used,
)
from conduit.gateway.dialects.collect import collect
from conduit.gateway.dialects.frames.sse import payloads_of
from conduit.gateway.dialects.openai_chat.dialect import (
    decode_request,
    decode_response,
    decode_stream,
    encode_request,
    encode_response,
    encode_stream,
)
from conduit.gateway.dialects.target import Target
from conduit.gateway.provider import Quirks

TARGET = Target("m", quirks=Quirks(output_cap_field="max_completion_tokens"))


def encoded(request: ChatRequest) -> bytes:
    """A request of this format, for a provider of this format: nothing may be lost."""
    sent = encode_request(request, TARGET)
    assert (sent.dropped, sent.emulated, sent.answer_tool) == ((), (), None)
    return sent.body


TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "description": "d",
        "parameters": {"type": "object"},
        "strict": True,
        "x_inner": 1,
    },
    "cache_control": {"type": "ephemeral"},
}
CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "f", "arguments": '{"a": 1, '},
    "extra_content": {"google": {"thought_signature": "AbC="}},
}
FULL = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "developer", "name": "dev", "content": "really"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "AAA=", "format": "wav"}},
                {"type": "file", "file": {"file_data": "data:x", "filename": "a.pdf"}},
                {"type": "video_url", "video_url": {"url": "https://x/y.mp4"}},
                {"type": "text", "text": "t", "unknown": 1},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [CALL, {"id": "c2", "type": "custom", "custom": {"name": "q"}}],
            "reasoning_content": "thought",
            "reasoning_signature": "sig",
            "audio": {"id": "audio_1"},
        },
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "r"}, {}]},
        {"role": "assistant", "content": "said", "refusal": "no", "reasoning": "other name"},
        {"role": "function", "name": "old", "content": "result"},
    ],
    "stream": True,
    "stream_options": {"include_usage": True, "include_obfuscation": False},
    "temperature": 0.5,
    "top_p": 1,
    "seed": -7,
    "stop": ["a", "b"],
    "max_completion_tokens": 50,
    "n": 2,
    "presence_penalty": 0.1,
    "frequency_penalty": -0.1,
    "logprobs": True,
    "top_logprobs": 3,
    "reasoning_effort": "low",
    "tools": [{"type": "web_search", "x": 1}, TOOL],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": False,
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": True},
    },
    "user": "u",
    "logit_bias": {"1": 2},
    "metadata": {"a": "b"},
}


def decoded(**fields: Any) -> Any:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]} | fields
    return decode_request(json.dumps(body).encode())


def test_nothing_of_a_request_is_lost() -> None:
    assert json.loads(encoded(decode_request(json.dumps(FULL).encode()))) == FULL


def test_a_request_decodes_into_named_parts() -> None:
    request = decode_request(json.dumps(FULL).encode())
    user, assistant, tool = request.messages[2], request.messages[3], request.messages[4]
    text, image, audio, file, video, odd = user.parts
    assert text == Text("look", cache_mark={"type": "ephemeral"})
    assert image == Image("https://x/y.png", detail="low")
    assert audio == Audio("AAA=", "wav")
    assert file == File(data="data:x", filename="a.pdf")
    assert isinstance(video, Opaque)
    assert isinstance(odd, Opaque)
    thinking, call, custom = assistant.parts
    assert thinking == Thinking("thought", signature="sig", signed_by="openai_chat")
    assert isinstance(call, ToolCall)
    assert call.arguments == '{"a": 1, '
    assert isinstance(custom, Opaque)
    (result,) = tool.parts
    assert isinstance(result, ToolResult)
    assert result.call_id == "c1"
    assert request.messages[5].parts == (Thinking("other name"), Text("said"), Refusal("no"))
    assert request.tool_choice == ToolChoice("named", "f")
    assert request.sampling.stop == ("a", "b")
    assert request.wants_stream_usage


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}},
        {"tool_choice": "required"},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "grammar", "value": "x"}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "s", "description": "why", "schema": {}},
            }
        },
        {"stop": "one"},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"messages": [{"role": "assistant", "content": "", "tool_calls": [CALL]}]},
        {"messages": [{"role": "user", "content": "cut \ud83d"}]},
        {"messages": [{"role": "assistant", "content": None, "reasoning_redacted": "xx"}]},
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": 5}]}]},
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [CALL | {"id": 5}]}]},
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"x": "y"}}]}]},
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": "x",
                    "tool_calls": [
                        CALL | {"function": {"name": "f", "arguments": "", "more": 1}, "x": 2}
                    ],
                }
            ]
        },
        {"messages": [{"role": "user", "content": [{"type": "odd", "odd": {"x": "y"}}]}]},
    ],
)
def test_rare_forms_come_back_as_they_were(fields: dict[str, Any]) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]} | fields
    assert json.loads(encoded(decoded(**fields))) == body


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [5]}, "messages[0]"),
        ({"messages": [{"role": "king", "content": ""}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [5]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "name": 5}]}, "messages[0].name"),
        (
            {"messages": [{"role": "assistant", "tool_calls": {}}]},
            "messages[0].tool_calls",
        ),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"stop": 5}, "stop"),
        ({"stop": [5]}, "stop"),
        ({"tools": [{"type": "function"}]}, "tools[0].function.name"),
        ({"tools": [{"function": {"name": ""}}]}, "tools[0].function.name"),
        ({"tool_choice": 5}, "tool_choice"),
        ({"response_format": "json"}, "response_format"),
        ({"logprobs": "yes"}, "logprobs"),
        ({"top_logprobs": -1}, "top_logprobs"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        decoded(**fields)
    assert caught.value.param == param


def test_a_refusal_among_the_parts_is_a_refusal() -> None:
    parts = [{"type": "refusal", "refusal": "no"}, {"type": "refusal", "refusal": "!"}]
    request = decoded(messages=[{"role": "assistant", "content": parts}])
    assert request.messages[0].parts == (Refusal("no"), Refusal("!"))
    assert json.loads(encoded(request))["messages"][0]["refusal"] == "no!"


def test_plain_text_is_the_default_format() -> None:
    assert "response_format" not in json.loads(encoded(decoded(response_format={"type": "text"})))


def test_an_answer_with_odd_choices_is_read_as_far_as_it_goes() -> None:
    body = b'{"id":"c","model":"m","choices":[5,{"message":{"content":"x"}}]}'
    (choice,) = decode_response(body).choices
    assert (choice.index, choice.parts) == (1, (Text("x"),))
    assert "usage" not in json.loads(encode_response(decode_response(body)))


def test_an_output_cap_is_written_under_the_provider_s_name() -> None:
    request = decoded(max_tokens=9, max_completion_tokens=8)
    assert json.loads(encode_request(request, Target("m")).body)["max_tokens"] == 8


TEXTS = st.text(max_size=8)
PARTS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
    st.builds(lambda url: {"type": "image_url", "image_url": {"url": url}}, TEXTS),
    st.builds(lambda value: {"type": "other", "other": value}, TEXTS),
)
CALLS = st.lists(
    st.builds(
        lambda i, n, a: {"id": i, "type": "function", "function": {"name": n, "arguments": a}},
        TEXTS,
        TEXTS,
        TEXTS,
    ),
    min_size=1,
    max_size=3,
)
MESSAGES = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "system"]), "content": TEXTS}),
    st.fixed_dictionaries(
        {"role": st.just("user"), "content": st.lists(PARTS, min_size=2, max_size=4)}
    ),
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": st.none() | TEXTS, "tool_calls": CALLS},
        optional={"reasoning_content": TEXTS, "x_unknown": st.integers()},
    ),
    st.fixed_dictionaries(
        {"role": st.just("tool"), "tool_call_id": TEXTS.filter(bool), "content": TEXTS}
    ),
)


@given(st.lists(MESSAGES, min_size=1, max_size=5))
def test_any_conversation_goes_there_and_back(messages: list[Any]) -> None:
    body = {"model": "m", "messages": messages}
    request = decode_request(json.dumps(body).encode())
    sent = encoded(request)
    assert json.loads(sent) == body
    assert decode_request(sent) == request
    assert encoded(decode_request(sent)) == sent


ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 5,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "hi",
                "refusal": None,
                "reasoning_content": "hm",
                "tool_calls": [CALL],
                "annotations": [{"type": "url_citation", "url_citation": {"url": "u"}}],
                "audio": {"id": "a", "data": "AA", "transcript": "t", "expires_at": 9},
            },
            "logprobs": {"content": [{"token": "hi", "logprob": -0.5}], "refusal": None},
            "finish_reason": "tool_calls",
        },
        {
            "index": 1,
            "message": {"role": "assistant", "content": None, "refusal": "no"},
            "logprobs": None,
            "finish_reason": "function_call",
        },
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost": 0.5},
    "service_tier": "default",
    "system_fingerprint": "fp",
    "citations": ["u"],
}


def test_nothing_of_an_answer_is_lost() -> None:
    assert json.loads(encode_response(decode_response(json.dumps(ANSWER).encode()))) == ANSWER


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"choices": 5}', b"<html>"])
def test_what_is_no_answer_is_the_provider_s_failure(body: bytes) -> None:
    with pytest.raises(UpstreamFailure):
        decode_response(body)


def test_an_error_inside_an_answer_is_a_failure() -> None:
    with pytest.raises(UpstreamFailure, match="over"):
        decode_response(b'{"error": {"message": "over", "code": 5}}')


def chunk(delta: Any, reason: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
    return json.dumps({"id": "c", "created": 5, "model": "m", "choices": [choice]} | more).encode()


def test_a_stream_decodes_into_parts_in_order() -> None:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    more = {"index": 0, "function": {"arguments": '{"a"'}}
    events = list(
        decode_stream(
            [
                chunk({"role": "assistant", "content": ""}, service_tier="default"),
                chunk({"reasoning": "hm"}, service_tier="default"),
                chunk({"reasoning_signature": "s"}),
                chunk({"content": "a"}),
                chunk({"content": "b"}, citations=["u"]),
                chunk({"tool_calls": [call]}),
                chunk({"tool_calls": [more]}),
                chunk({}, "tool_calls"),
                json.dumps({"choices": [], "usage": {"total_tokens": 1}}).encode(),
                b"[DONE]",
            ]
        )
    )
    assert events == [
        Started("c", "m", 5, {"service_tier": "default"}, "openai_chat"),
        PartStarted(0, "thinking"),
        ThinkingDelta(0, "hm"),
        SignatureDelta(0, "s", signed_by="openai_chat"),
        PartFinished(0),
        PartStarted(1, "text"),
        TextDelta(1, "a"),
        Unplaced({"citations": ["u"]}),
        TextDelta(1, "b"),
        PartFinished(1),
        PartStarted(2, "tool_call", tool_call_id="c1", tool_name="f"),
        ArgumentsDelta(2, '{"a"'),
        PartFinished(2),
        Finished(FinishReason.TOOL_CALLS),
        Used(Usage(input_tokens=1, raw={"total_tokens": 1})),
    ]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("eos", "stop"),
        ("model_length", "length"),
    ],
)
def test_finish_reasons_are_mapped_and_kept(raw: str, reason: str) -> None:
    *_, finished = decode_stream([chunk({}, raw)])
    assert isinstance(finished, Finished)
    assert finished.reason == reason
    assert finished.raw_reason == (None if raw == reason else raw)


def test_parts_of_another_form_are_kept() -> None:
    content = [{"type": "reference", "reference_ids": [1]}]
    events = list(decode_stream([chunk({"content": content, "tool_calls": [{"index": 1}]})]))
    assert Unplaced({"tool_calls": [{"index": 1}]}, 0) in events
    assert Unplaced({"content": content}, 0) in events


def test_a_failed_stream_ends_without_done() -> None:
    events: list[StreamEvent] = [Started("c", "m", 5, dialect="openai_chat"), Failed("x", "broke")]
    sent = b"".join(encode_stream(events, include_usage=True))
    assert json.loads(sent.removeprefix(b"data: "))["error"]["message"] == "broke"
    assert b"[DONE]" not in sent


def test_an_error_event_or_noise_decodes_as_a_failure() -> None:
    assert list(decode_stream([b'{"error": "plain"}'])) == [Failed("upstream_error", "plain")]
    (failed,) = decode_stream([b"noise"])
    assert isinstance(failed, Failed)
    with pytest.raises(UpstreamFailure):
        collect([failed])


@st.composite
def streams(draw: st.DrawFn) -> list[StreamEvent]:
    events: list[StreamEvent] = [Started("id", "m", 7, {"system_fingerprint": "fp"}, "openai_chat")]
    for choice in range(draw(st.integers(1, 3))):
        index = 0
        last = None
        for kind in draw(st.lists(st.sampled_from(["thinking", "text", "refusal", "tool_call"]))):
            if kind == last and kind != "tool_call":
                continue  # two texts in a row are one in this format
            last = kind
            if kind == "tool_call":
                name = draw(TEXTS.filter(bool))
                events.append(
                    PartStarted(index, "tool_call", choice, tool_call_id=name, tool_name=name)
                )
            else:
                events.append(PartStarted(index, kind, choice))  # type: ignore[arg-type]  # drawn above
            for text in draw(st.lists(TEXTS.filter(bool), min_size=1, max_size=3)):
                match kind:
                    case "thinking":
                        events.append(ThinkingDelta(index, text, choice))
                    case "tool_call":
                        events.append(ArgumentsDelta(index, text, choice))
                    case _:
                        events.append(TextDelta(index, text, choice))
            events.append(PartFinished(index, choice))
            index += 1
        if draw(st.booleans()):
            events.append(Unplaced({"audio": {"id": f"a{choice}"}}, choice))
        events.append(Finished(draw(st.sampled_from(list(FinishReason)[:4])), choice))
    raw = {"prompt_tokens": 3, "completion_tokens": 4}
    events.append(Used(Usage(input_tokens=3, output_tokens=4, raw=raw)))
    return events


@given(streams())
def test_a_stream_goes_there_and_back_and_collects_to_the_same_answer(
    events: list[StreamEvent],
) -> None:
    sent = b"".join(encode_stream(events, include_usage=True))
    payloads = [payload for payload in payloads_of(sent) if payload is not None]
    back = collect(decode_stream(payloads))
    whole = collect(events)
    assert back == whole
    # The whole form has one text a choice: it holds the same, joined.
    again = decode_response(encode_response(whole))
    assert encode_response(again) == encode_response(whole)


def test_what_has_no_place_in_a_stream_is_sent_as_it_came() -> None:
    events: list[StreamEvent] = [
        Started("c", "m", 5, dialect="openai_chat"),
        PartStarted(0, "audio"),
        TextDelta(0, "AA"),
        SignatureDelta(1, "sig", signed_by="openai_chat"),
        Unplaced({"citations": ["u"]}),
        Unplaced({"logprobs": {"content": []}}, 0),
    ]
    sent = b"".join(encode_stream(events, include_usage=False))
    _, audio, signature, citations, logprobs = [
        json.loads(item) for item in payloads_of(sent)[:-1] if item is not None
    ]
    assert audio["choices"][0]["delta"] == {"audio": {"data": "AA"}}
    assert signature["choices"][0]["delta"] == {"reasoning_signature": "sig"}
    assert citations["citations"] == ["u"]
    assert citations["choices"] == []
    assert logprobs["choices"][0]["logprobs"] == {"content": []}
    assert list(decode_stream([json.dumps(logprobs).encode()]))[1] == Unplaced(
        {"logprobs": {"content": []}}, 0
    )


def test_usage_is_streamed_only_to_a_client_that_asked() -> None:
    events: list[StreamEvent] = [
        Started("c", "m", 5, dialect="openai_chat"),
        PartStarted(0, "text"),
        TextDelta(0, "a", logprobs={"content": []}),
        Finished(FinishReason.REFUSAL),
        Used(Usage(output_tokens=1)),
    ]
    sent = b"".join(encode_stream(events, include_usage=False))
    assert b"usage" not in sent
    chunks = [json.loads(item) for item in payloads_of(sent)[:-1] if item is not None]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[1]["choices"][0]["logprobs"] == {"content": []}
    assert chunks[-1]["choices"][0]["finish_reason"] == "content_filter"
    assert b'"usage":null' in b"".join(encode_stream(events, include_usage=True))


def test_the_same_events_give_the_same_bytes() -> None:
    request = json.dumps(FULL).encode()
    assert encoded(decode_request(request)) == encoded(decode_request(request))
