"""Requests in the format of Bedrock's Converse."""

import base64
import itertools
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from conduit.gateway.conversation import (
    AnswerFormat,
    ChatRequest,
    Citation,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Role,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from conduit.gateway.dialects.bedrock.dialect import NAME, decode_response, encode_request
from conduit.gateway.dialects.lenient_json import write_json
from conduit.gateway.dialects.target import EncodedRequest, InexpressibleError, Target

OPUS = "us.anthropic.claude-opus-4-7"
SONNET_4_5 = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "amazon.nova-lite-v1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/ab12"
PNG = "data:image/png;base64,iVBORw0KGgo="
HELLO = Message("user", (Text("hello"),))
WEATHER = Tool("weather", "The weather.", {"type": "object"})
CALL = Message("assistant", (ToolCall("c1", "weather", '{"city": "Lyon"}'),))
RESULT = Message("tool", (ToolResult("c1", (Text("18 degrees"),)),))
MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
POINT = {"cachePoint": {"type": "default"}}
HOUR_POINT = {"cachePoint": {"type": "default", "ttl": "1h"}}


def chat(*messages: Message, **more: Any) -> ChatRequest:
    return ChatRequest(model="alias", messages=messages or (HELLO,), **more)


def user(*parts: Part) -> ChatRequest:
    return chat(Message("user", parts))


def encoded(request: ChatRequest, model: str = OPUS, *, schema: bool = True) -> EncodedRequest:
    return encode_request(request, Target(model, schema=schema))


def sent(request: ChatRequest, model: str = OPUS, **more: bool) -> Any:
    return json.loads(encoded(request, model, **more).body)


def refused(request: ChatRequest, model: str = OPUS) -> str:
    with pytest.raises(InexpressibleError) as caught:
        encoded(request, model)
    assert caught.value.reason
    return caught.value.feature


def test_the_body_holds_neither_the_model_nor_whether_to_stream() -> None:
    whole = encoded(chat(stream=True, wants_stream_usage=True))
    assert whole == EncodedRequest(b'{"messages":[{"role":"user","content":[{"text":"hello"}]}]}')


def test_instructions_stand_apart_and_a_late_one_is_reported() -> None:
    request = chat(
        Message("system", (Text("one", cache_mark=MARK), Text(""))),
        Message("developer", (Text("two"), Opaque(NAME, "system", {"guardContent": {}}))),
        HELLO,
    )
    found = encoded(request)
    assert json.loads(found.body)["system"] == [
        {"text": "one"},
        POINT,
        {"text": "two"},
        {"guardContent": {}},
    ]
    assert (found.dropped, found.emulated) == ((), ())
    assert encoded(chat(HELLO, Message("system", (Text("late"),)))).emulated == ("system",)
    assert refused(chat(Message("system", (Image(PNG),)), HELLO)) == "system"


def test_turns_of_one_role_are_one_message_and_empty_ones_none() -> None:
    request = chat(
        HELLO,
        Message("assistant", (Text(""),)),
        Message("user", (Text("again"),), name="ann"),
        CALL,
        RESULT,
        Message("user", (Text("and?"), Text(" \n"))),
    )
    found = encoded(replace(request, tools=(WEATHER,)))
    assert json.loads(found.body)["messages"] == [
        {"role": "user", "content": [{"text": "hello"}, {"text": "again"}]},
        {
            "role": "assistant",
            "content": [
                {"toolUse": {"toolUseId": "c1", "name": "weather", "input": {"city": "Lyon"}}}
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "c1", "content": [{"text": "18 degrees"}]}},
                {"text": "and?"},
            ],
        },
    ]
    assert found.dropped == ("name", "text")


def test_a_tools_result_may_be_an_error_a_picture_or_json_and_is_never_empty() -> None:
    shown = ToolResult(
        "c1",
        (Image(PNG), File(data="YQ==", filename="a.txt"), Opaque(NAME, "content", {"json": [1]})),
        is_error=True,
    )
    blank = ToolResult("c2", (Text("", citations=(Citation("other", {}),)),))
    found = encoded(chat(HELLO, Message("user", (shown, blank)), tools=(WEATHER,)))
    results = [
        block["toolResult"]
        for block in json.loads(found.body)["messages"][0]["content"]
        if "toolResult" in block
    ]
    assert results == [
        {
            "toolUseId": "c1",
            "content": [
                {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}},
                {"document": {"format": "txt", "name": "a", "source": {"bytes": "YQ=="}}},
                {"json": [1]},
            ],
            "status": "error",
        },
        {"toolUseId": "c2", "content": [{"text": "(no output)"}]},
    ]
    assert found.dropped == ("citations",)
    nested = ToolResult("c1", (ToolResult("c2", ()),))
    assert refused(chat(Message("user", (nested,)))) == "tool_result"


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ('{"n": 1.0, "big": 123456789012345678901234567890}', None),
        ("", "{}"),
        (" \n", "{}"),
        ("[1]", "[1]"),
        ('{"half": "\\ud83d"}', '{"half":"\\ud83d"}'),
        ('{"nan": NaN}', '{"nan":null}'),
    ],
)
def test_arguments_keep_their_text(arguments: str, wanted: str | None) -> None:
    message = Message("assistant", (ToolCall("c1", "weather", arguments),))
    body = encoded(chat(HELLO, message, tools=(WEATHER,))).body.decode()
    start = body.index('"input":') + len('"input":')
    assert body[start:].startswith(wanted or arguments)


@pytest.mark.parametrize("arguments", ['{"cut', "\ud800"])
def test_arguments_that_are_no_json_cannot_be_sent(arguments: str) -> None:
    assert refused(chat(Message("assistant", (ToolCall("c", "f", arguments),)))) == "tool_calls"


def test_arguments_are_written_even_beside_half_a_surrogate_pair() -> None:
    body = encoded(chat(Message("user", (Text("\ud83d"),)), CALL, RESULT, tools=(WEATHER,))).body
    assert json.loads(body)["messages"][1]["content"][0]["toolUse"]["input"] == {"city": "Lyon"}
    with pytest.raises(TypeError, match="not JSON"):
        write_json({"\ud83d": object()})
    assert write_json(["\ud83d", msgspec.Raw(b"[1]")]) == b'["\\ud83d",[1]]'


@pytest.mark.parametrize("call_id", ["", "fc_1|call_2", "x" * 65, "tooluse_ü"])
def test_an_id_that_bedrock_refuses_has_one_stand_in_for_the_call_and_its_result(
    call_id: str,
) -> None:
    request = chat(
        HELLO,
        Message("assistant", (ToolCall(call_id, "f", "{}"),)),
        Message("tool", (ToolResult(call_id, (Text("x"),)),)),
    )
    _, call, result = sent(request)["messages"]
    used = call["content"][0]["toolUse"]["toolUseId"]
    assert used == result["content"][0]["toolResult"]["toolUseId"]
    assert 1 <= len(used) <= 64
    assert used.isascii()
    assert "|" not in used


def test_thinking_goes_back_only_with_a_signature_of_bedrocks() -> None:
    own = Message(
        "assistant",
        (
            Thinking("hm", signature="sig", signed_by=NAME),
            Thinking(redacted="cmVk", signed_by=NAME),
            Text("yes"),
        ),
    )
    found = encoded(chat(HELLO, own))
    assert json.loads(found.body)["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
        {"reasoningContent": {"redactedContent": "cmVk"}},
        {"text": "yes"},
    ]
    assert found.dropped == ()
    foreign = (
        Thinking("hm", signature="sig", signed_by="anthropic_messages"),
        Thinking("hm"),
        Thinking("hm", signed_by=NAME),
        Text("yes"),
    )
    found = encoded(chat(HELLO, Message("assistant", foreign)))
    assert json.loads(found.body)["messages"][1]["content"] == [{"text": "yes"}]
    assert found.dropped == ("thinking",)


def test_a_refusal_is_said_as_text_and_citations_of_bedrocks_go_back() -> None:
    raw = {"title": "t", "location": {}}
    parts = (
        Refusal("no"),
        Text("as told", citations=(Citation(NAME, raw), Citation("openai_chat", {}))),
        Text("", citations=(Citation(NAME, raw),)),
    )
    found = encoded(chat(HELLO, Message("assistant", parts)))
    assert json.loads(found.body)["messages"][1]["content"] == [
        {"text": "no"},
        {"citationsContent": {"content": [{"text": "as told"}], "citations": [raw]}},
    ]
    assert (found.dropped, found.emulated) == (("citations",), ("refusal",))


@pytest.mark.parametrize(
    ("model", "mark", "points", "dropped", "emulated"),
    [
        (OPUS, MARK, [POINT], (), ()),
        (OPUS, HOUR, [HOUR_POINT], (), ()),
        (PROFILE, HOUR, [HOUR_POINT], (), ()),
        (NOVA, MARK, [POINT], (), ()),
        (NOVA, HOUR, [POINT], (), ("cache_mark",)),
        (LLAMA, MARK, [], ("cache_mark",), ()),
        ("amazon.titan-text-express-v1", MARK, [], ("cache_mark",), ()),
    ],
)
def test_a_cache_mark_is_a_point_behind_its_part(
    model: str,
    mark: Any,
    points: Any,
    dropped: tuple[str, ...],
    emulated: tuple[str, ...],
) -> None:
    found = encoded(user(Text("a", cache_mark=mark), Text("b")), model)
    (message,) = json.loads(found.body)["messages"]
    assert message["content"] == [{"text": "a"}, *points, {"text": "b"}]
    assert (found.dropped, found.emulated) == (dropped, emulated)


def test_a_cache_mark_within_a_result_stands_behind_it() -> None:
    result = ToolResult("c1", (Image(PNG), Text("x", cache_mark=HOUR)))
    blocks = sent(chat(HELLO, CALL, Message("tool", (result,)), tools=(WEATHER,)))
    assert blocks["messages"][2]["content"][1] == HOUR_POINT


@pytest.mark.parametrize(("model", "kept"), [(OPUS, True), (NOVA, False)])
def test_tools_are_cached_where_the_model_does(model: str, kept: bool) -> None:
    found = encoded(chat(tools=(replace(WEATHER, cache_mark=MARK),)), model)
    tools = json.loads(found.body)["toolConfig"]["tools"]
    assert tools[1:] == ([POINT] if kept else [])
    assert found.dropped == (() if kept else ("cache_mark",))


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        (None, None),
        (ToolChoice("auto"), {"auto": {}}),
        (ToolChoice("required"), {"any": {}}),
        (ToolChoice("named", "weather"), {"tool": {"name": "weather"}}),
    ],
)
def test_how_to_choose_tools(choice: ToolChoice | None, wanted: Any) -> None:
    tools = (replace(WEATHER, strict=True), Tool("bare", strict=False))
    config = sent(chat(tools=tools, tool_choice=choice))["toolConfig"]
    assert config.get("toolChoice") == wanted
    assert config["tools"] == [
        {
            "toolSpec": {
                "name": "weather",
                "description": "The weather.",
                "inputSchema": {"json": {"type": "object"}},
                "strict": True,
            }
        },
        {
            "toolSpec": {
                "name": "bare",
                "inputSchema": {"json": {"type": "object", "properties": {}}},
            }
        },
    ]


def test_strictness_is_left_out_where_the_model_takes_no_schemas() -> None:
    found = encoded(chat(tools=(replace(WEATHER, strict=True),)), schema=False)
    assert found.dropped == ("strict",)
    assert b"strict" not in found.body


def test_no_tool_is_to_be_called() -> None:
    found = encoded(chat(tools=(WEATHER,), tool_choice=ToolChoice("none")))
    assert b"toolConfig" not in found.body
    assert found.emulated == ("tool_choice",)
    request = chat(HELLO, CALL, RESULT, tools=(WEATHER,), tool_choice=ToolChoice("none"))
    assert refused(request) == "tool_choice"
    assert b"toolConfig" not in encoded(chat(tool_choice=ToolChoice("none"))).body


def test_called_tools_are_declared_although_the_client_has_none_any_more() -> None:
    found = encoded(chat(HELLO, CALL, RESULT, tool_choice=ToolChoice("auto")))
    config = json.loads(found.body)["toolConfig"]
    assert [tool["toolSpec"]["name"] for tool in config["tools"]] == ["weather"]
    assert "toolChoice" not in config
    assert found.emulated == ("tools",)
    (tool,) = sent(chat(RESULT))["toolConfig"]["tools"]
    assert tool["toolSpec"]["name"] == "unknown"


def test_sampling() -> None:
    sampling = Sampling(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        seed=7,
        stop=("END", ""),
        max_output_tokens=9000,
        presence_penalty=0.5,
        frequency_penalty=0.0,
    )
    request = chat(sampling=sampling, user="u1", parallel_tool_calls=False, stream=True)
    found = encode_request(request, Target(SONNET_4_5, max_output_tokens=8192))
    fields = json.loads(found.body)
    assert fields["inferenceConfig"] == {
        "maxTokens": 8192,
        "temperature": 0.5,
        "topP": 0.9,
        "stopSequences": ["END"],
    }
    assert fields["additionalModelRequestFields"] == {"top_k": 40}
    assert fields["additionalModelResponseFieldPaths"] == ["/delta/stop_sequence"]
    assert found.dropped == (
        "seed",
        "presence_penalty",
        "parallel_tool_calls",
        "user",
    )
    assert found.emulated == ("max_output_tokens",)
    whole = sent(replace(request, stream=False), SONNET_4_5)
    assert whole["additionalModelResponseFieldPaths"] == ["/stop_sequence"]
    assert "additionalModelResponseFieldPaths" not in sent(request, LLAMA)


def test_what_cannot_be_drawn_is_refused() -> None:
    assert refused(chat(sampling=Sampling(choices=2))) == "choices"
    assert refused(chat(sampling=Sampling(logprobs=True))) == "logprobs"
    assert refused(chat(sampling=Sampling(stop=("a", "\n"))), SONNET_4_5) == "stop"
    assert refused(chat(sampling=Sampling(stop=("a",) * 2501))) == "stop"


def test_a_temperature_beyond_the_range_is_the_nearest() -> None:
    found = encoded(chat(sampling=Sampling(temperature=1.5)))
    assert json.loads(found.body)["inferenceConfig"] == {"temperature": 1}
    assert found.emulated == ("temperature",)


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}
BY_SCHEMA = AnswerFormat("json_schema", name="my shape", schema=SCHEMA)


def test_an_answer_by_a_schema_is_asked_for_as_such() -> None:
    found = encoded(chat(answer_format=BY_SCHEMA, reasoning=Reasoning(effort="low")))
    assert json.loads(found.body)["outputConfig"] == {
        "textFormat": {
            "type": "json_schema",
            "structure": {
                "jsonSchema": {
                    "schema": json.dumps(SCHEMA, separators=(",", ":")),
                    "name": "my shape",
                }
            },
        },
        "effort": "low",
    }
    assert (found.answer_tool, found.emulated) == (None, ())


@pytest.mark.parametrize(
    ("wanted", "tools", "name", "choice"),
    [
        (BY_SCHEMA, (), "my_shape", {"tool": {"name": "my_shape"}}),
        (AnswerFormat("json_object"), (), "answer", {"tool": {"name": "answer"}}),
        (replace(BY_SCHEMA, name="weather"), (WEATHER,), "weather_", {"any": {}}),
    ],
)
def test_without_schemas_a_forced_call_stands_for_the_answer(
    wanted: AnswerFormat, tools: tuple[Tool, ...], name: str, choice: Any
) -> None:
    found = encoded(chat(answer_format=wanted, tools=tools), LLAMA, schema=False)
    config = json.loads(found.body)["toolConfig"]
    assert config["toolChoice"] == choice
    assert [tool["toolSpec"]["name"] for tool in config["tools"]] == [
        *(tool.name for tool in tools),
        name,
    ]
    schema = config["tools"][-1]["toolSpec"]["inputSchema"]["json"]
    assert schema == (wanted.schema or {"type": "object"})
    assert (found.answer_tool, found.emulated) == (name, ("answer_format",))


def test_claude_does_not_think_where_its_answer_is_a_forced_call() -> None:
    request = chat(answer_format=BY_SCHEMA, reasoning=Reasoning(budget_tokens=4000))
    found = encoded(request, SONNET_4_5, schema=False)
    assert b"thinking" not in found.body
    assert found.dropped == ("reasoning",)
    found = encoded(replace(request, reasoning=Reasoning()), SONNET_4_5, schema=False)
    assert found.dropped == ()


def test_a_named_tool_is_the_answer_whatever_its_format() -> None:
    request = chat(
        answer_format=BY_SCHEMA, tools=(WEATHER,), tool_choice=ToolChoice("named", "weather")
    )
    found = encoded(request, LLAMA, schema=False)
    assert (found.answer_tool, found.dropped) == (None, ("answer_format",))
    assert json.loads(found.body)["toolConfig"]["toolChoice"] == {"tool": {"name": "weather"}}


EXTRAS = {
    "guardrailConfig": {"guardrailIdentifier": "g"},
    "inferenceConfig": {"maxTokens": 5},
    "additionalModelRequestFields": {"anthropic_beta": ["x"]},
}


def with_extras(dialect: str) -> ChatRequest:
    return ChatRequest(
        model="m",
        messages=(
            Message("user", (Text("a"),), extras={"one": 1}),
            Message("assistant", (ToolCall("c1", "f", "{}", extras={"two": 2}),)),
        ),
        sampling=Sampling(temperature=0.5, top_k=3),
        tools=(Tool("f", extras={"three": 3}),),
        extras=EXTRAS,
        dialect=dialect,
    )


def test_extras_of_this_dialect_stand_in_their_places() -> None:
    found = encoded(with_extras(NAME))
    body = json.loads(found.body)
    assert body["guardrailConfig"] == {"guardrailIdentifier": "g"}
    assert body["inferenceConfig"] == {"temperature": 0.5, "maxTokens": 5}
    assert body["additionalModelRequestFields"] == {"top_k": 3, "anthropic_beta": ["x"]}
    assert body["messages"][0]["one"] == 1
    assert body["messages"][1]["content"][0]["toolUse"]["two"] == 2
    assert body["toolConfig"]["tools"][0]["toolSpec"]["three"] == 3
    assert found.dropped == ()


def test_extras_of_another_dialect_are_reported_by_name() -> None:
    found = encoded(with_extras("openai_chat"))
    assert found.dropped == ("one", "two", "three", *EXTRAS)
    assert b"guardrail" not in found.body


words = st.text(min_size=1, max_size=20).filter(str.strip)
blobs = st.binary(min_size=1, max_size=20).map(lambda data: base64.b64encode(data).decode())
objects = st.dictionaries(words, st.integers(-9, 9) | words | st.none(), max_size=3)
spoken = st.one_of(
    st.builds(Text, words),
    st.builds(Thinking, words, signature=words, signed_by=st.just(NAME)),
    st.builds(Thinking, redacted=blobs, signed_by=st.just(NAME)),
    st.builds(
        ToolCall,
        st.from_regex(r"\A[a-z0-9_.:-]{1,64}\Z"),
        words,
        objects.map(lambda value: write_json(value).decode()),
    ),
)


@given(st.lists(spoken, min_size=1, max_size=6))
def test_what_an_assistant_said_is_the_same_after_a_way_back(parts: list[Part]) -> None:
    request = chat(HELLO, Message("assistant", tuple(parts)), tools=(WEATHER,))
    found = encoded(request)
    message = json.loads(found.body)["messages"][1]
    answer = {"output": {"message": message}, "stopReason": "end_turn"}
    (choice,) = decode_response(json.dumps(answer).encode()).choices
    assert list(choice.parts) == parts
    assert found.dropped == found.emulated == ()
    assert encoded(request) == found


roles: st.SearchStrategy[Role] = st.sampled_from(["system", "user", "assistant", "tool"])
anything = st.one_of(
    spoken,
    st.builds(Text, st.text(max_size=5)),
    st.builds(Refusal, st.text(max_size=5)),
    st.builds(Image, st.sampled_from([PNG, "https://x/y", "data:,"])),
    st.builds(ToolResult, st.text(max_size=3), st.just((Text("r"),)), st.booleans()),
    st.builds(ToolCall, st.text(max_size=3), words, st.text(max_size=8)),
)


@given(
    st.lists(st.builds(Message, roles, st.lists(anything, max_size=3).map(tuple)), max_size=5),
    st.sampled_from([OPUS, NOVA, LLAMA]),
)
def test_any_conversation_is_written_or_refused_and_turns_alternate(
    messages: list[Message], model: str
) -> None:
    try:
        body = sent(ChatRequest("m", tuple(messages), tools=(WEATHER,)), model)
    except InexpressibleError:
        return
    turns = [message["role"] for message in body["messages"]]
    assert all(one != other for one, other in itertools.pairwise(turns))
    assert all(message["content"] for message in body["messages"])
