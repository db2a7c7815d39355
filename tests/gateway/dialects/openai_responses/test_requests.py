"""Requests in OpenAI's responses format."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from conduit.core.errors import InvalidRequestError
from conduit.gateway.conversation import (
    AnswerFormat,
    Audio,
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
from conduit.gateway.dialects.openai.native import refuse_native
from conduit.gateway.dialects.openai_chat import dialect as openai_chat
from conduit.gateway.dialects.openai_responses.dialect import (
    FIELD_NAMES,
    NAME,
    decode_request,
    encode_request,
)
from conduit.gateway.dialects.target import InexpressibleError, Target
from tests.gateway.dialects.foreign_answers import OTHER, PIXEL

TARGET = Target("m")
MARK = {"type": "ephemeral"}
SOURCE = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 2}


def decoded(**fields: Any) -> ChatRequest:
    return decode_request(json.dumps({"model": "m", "input": "x"} | fields).encode())


def items_of(*items: Any) -> tuple[Message, ...]:
    return decoded(input=list(items)).messages


def sent(request: ChatRequest, target: Target = TARGET) -> Any:
    return json.loads(encode_request(request, target).body)


FULL: dict[str, Any] = {
    "model": "m",
    "instructions": "be brief",
    "input": [
        {"type": "message", "role": "developer", "content": "really"},
        {
            "type": "message",
            "role": "user",
            "content": [
                {
                    "type": "input_text",
                    "text": "look",
                    "prompt_cache_breakpoint": {"mode": "explicit"},
                },
                {"type": "input_image", "image_url": PIXEL, "detail": "low"},
                {"type": "input_image", "image_url": PIXEL},
                {"type": "input_image", "file_id": "file_1", "detail": "auto"},
                {"type": "input_file", "file_data": "data:x", "filename": "a.pdf"},
                {"type": "input_file", "file_url": "https://x/a.pdf"},
                {"type": "input_file", "file_id": "file_1", "detail": "high"},
                {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
                {"type": "input_audio", "input_audio": {"data": "AA"}},
                {"type": "input_text", "text": "t", "unknown": 1},
                {"type": "input_video"},
            ],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "sealed",
            "status": "completed",
        },
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "phase": "commentary",
            "content": [
                {"type": "output_text", "text": "said", "annotations": [SOURCE]},
                {"type": "refusal", "refusal": "no"},
            ],
        },
        {"type": "message", "role": "assistant", "content": "more"},
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "c1",
            "name": "f",
            "arguments": '{"a": 1, ',
            "namespace": "n",
        },
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [{"type": "input_text", "text": "r"}, {"type": "input_image", "x": 1}],
            "status": "completed",
        },
        {"type": "item_reference", "id": "msg_0"},
        {
            "type": "reasoning",
            "id": "rs_2",
            "summary": [
                {"type": "summary_text", "text": "a"},
                {"type": "summary_text", "text": "b"},
            ],
        },
        {"type": "message", "role": "user", "content": "go on"},
        {"type": "message", "role": "user", "content": []},
    ],
    "stream": True,
    "temperature": 0.5,
    "top_p": 1,
    "max_output_tokens": 50,
    "top_logprobs": 3,
    "include": ["message.output_text.logprobs", "reasoning.encrypted_content"],
    "reasoning": {"effort": "low", "summary": "detailed"},
    "tools": [
        {"type": "web_search"},
        {
            "type": "function",
            "name": "f",
            "description": "d",
            "parameters": {"type": "object"},
            "strict": True,
            "defer_loading": True,
        },
    ],
    "tool_choice": {"type": "function", "name": "f"},
    "parallel_tool_calls": False,
    "text": {
        "format": {"type": "json_schema", "name": "s", "schema": {"type": "object"}},
        "verbosity": "low",
    },
    "user": "u",
    "metadata": {"a": "b"},
    "store": False,
    "background": False,
    "truncation": "disabled",
    "previous_response_id": "resp_0",
    "prompt_cache_key": "k",
}


def test_nothing_of_a_request_is_lost() -> None:
    encoded = encode_request(decode_request(json.dumps(FULL).encode()), TARGET)
    assert json.loads(encoded.body) == FULL
    assert (encoded.dropped, encoded.emulated, encoded.answer_tool) == ((), (), None)


def test_a_request_decodes_into_named_parts() -> None:
    request = decode_request(json.dumps(FULL).encode())
    roles = [message.role for message in request.messages]
    assert " ".join(roles) == "system developer user assistant tool assistant user user"
    user, assistant, tool = request.messages[2], request.messages[3], request.messages[4]
    text, image, plain, kept, file, linked, detailed, audio, odd, unknown, video = user.parts
    assert text == Text("look", cache_mark=MARK)
    assert (image, plain) == (Image(PIXEL, detail="low"), Image(PIXEL))
    assert file == File(data="data:x", filename="a.pdf")
    assert linked == File(url="https://x/a.pdf")
    assert audio == Audio("AA", "wav")
    for part in (kept, detailed, odd, unknown, video):
        assert isinstance(part, Opaque)
    thinking, said, refusal, more, call, search = assistant.parts
    assert thinking == Thinking("hm", signature="sealed", signed_by=NAME)
    assert isinstance(said, Text)
    assert said.citations == (Citation(NAME, SOURCE, "u", "t", start=0, end=2),)
    assert (refusal, more) == (Refusal("no"), Text("more"))
    assert call == ToolCall("c1", "f", '{"a": 1, ', extras={"namespace": "n"})
    assert search == Opaque(NAME, "input", {**FULL["input"][6]})
    (result,) = tool.parts
    assert isinstance(result, ToolResult)
    assert (result.call_id, result.parts[0]) == ("c1", Text("r"))
    assert request.messages[5].parts[1] == Thinking("a\n\nb")
    assert request.sampling == Sampling(0.5, 1, max_output_tokens=50, logprobs=True, top_logprobs=3)
    assert request.reasoning == Reasoning(effort="low", shown=True)
    assert request.tool_choice == ToolChoice("named", "f")
    assert request.answer_format == AnswerFormat("json_schema", "s", {"type": "object"})
    assert request.wants_stream_usage


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": {"type": "allowed_tools", "tools": []}},
        {"tool_choice": "required"},
        {"text": {"format": {"type": "json_object"}}},
        {"text": {"format": {"type": "grammar", "x": 1}}},
        {
            "text": {
                "format": {
                    "type": "json_schema",
                    "name": "s",
                    "description": "why",
                    "schema": {},
                    "strict": True,
                }
            }
        },
        {"include": ["file_search_call.results"]},
        {"reasoning": {"effort": "none", "summary": "auto"}},
        {"reasoning": {"generate_summary": "concise"}},
        {"reasoning": {"context": "all_turns"}},
        {"store": True, "truncation": "auto", "background": True},
        {"tools": [{"type": "function", "name": "f"}]},
        {"conversation": {"id": "conv_1"}, "user": None},
    ],
)
def test_rare_forms_come_back_as_they_were(fields: dict[str, Any]) -> None:
    message = {"type": "message", "role": "user", "content": "x"}
    wanted = {name: value for name, value in fields.items() if (name, value) != ("user", None)}
    assert sent(decoded(**fields)) == {"model": "m", "input": [message]} | wanted


def test_plain_text_and_silence_are_not_said() -> None:
    fields: Any = {"text": {"format": {"type": "text"}}, "reasoning": {}, "include": None}
    assert sent(decoded(**fields)).keys() == {"model", "input"}


@pytest.mark.parametrize("fields", [{"previous_response_id": "r"}, {"prompt": {"id": "p"}}])
def test_what_the_provider_keeps_may_be_the_whole_input(fields: Any) -> None:
    body = {"model": "m", **fields}
    assert sent(decode_request(json.dumps(body).encode())) == body | {"input": []}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": [5]}, "input[0]"),
        ({"input": [{"type": "message", "role": "king", "content": ""}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [5]}]}, "input[0].content[0]"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
            "input[0].content[0].text",
        ),
        ({"input": [{"type": "function_call", "call_id": "c"}]}, "input[0].name"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
        (
            {"input": [{"type": "reasoning", "summary": [{"text": 5}]}]},
            "input[0].summary[0].text",
        ),
        ({"instructions": 5}, "instructions"),
        ({"temperature": "hot"}, "temperature"),
        ({"include": "all"}, "include"),
        ({"include": [5]}, "include"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tool_choice": 5}, "tool_choice"),
        ({"text": "json"}, "text"),
        ({"text": {"format": {"type": "json_schema", "schema": 5}}}, "text.format.schema"),
        ({"reasoning": "low"}, "reasoning"),
        ({"reasoning": {"effort": 5}}, "reasoning.effort"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"store": "yes"}, "store"),
        ({"previous_response_id": 5}, "previous_response_id"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        decoded(**fields)
    assert caught.value.param == param


# --- what stands in `encrypted_content`


def sealed(text: str, **fields: Any) -> Any:
    return {"type": "reasoning", "id": "rs_conduit_1", "summary": [], **fields} | {
        "encrypted_content": text
    }


CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}


def test_signatures_of_other_providers_are_read_from_encrypted_content() -> None:
    summary = [{"type": "summary_text", "text": "hm"}]
    (message,) = items_of(
        sealed("conduit:anthropic_messages:Sig=", summary=summary),
        sealed("conduit:anthropic_messages:redacted:Hidden="),
        sealed("conduit:gemini:call:CallSig="),
        CALL,
        CALL | {"call_id": "c2", "extra_content": {"google": {"thought_signature": "Late"}}},
    )
    assert message.parts == (
        Thinking("hm", signature="Sig=", signed_by=OTHER),
        Thinking(redacted="Hidden=", signed_by=OTHER),
        ToolCall("c1", "f", "{}", signature="CallSig=", signed_by="gemini"),
        ToolCall("c2", "f", "{}", signature="Late", signed_by=NAME),
    )
    assert message.form == {}


def test_a_provider_is_not_told_of_items_that_were_made_here() -> None:
    request = decoded(
        input=[
            sealed("conduit:anthropic_messages:Sig="),
            {"type": "reasoning", "id": "rs_conduit_2", "summary": []},
            CALL | {"id": "fc_conduit_1"},
        ]
    )
    encoded = encode_request(request, TARGET)
    assert json.loads(encoded.body)["input"] == [CALL]
    assert encoded.dropped == ("thinking",)


def test_a_signed_call_of_this_format_goes_back_signed() -> None:
    signed = CALL | {"extra_content": {"google": {"thought_signature": "S"}, "x": 1}}
    assert sent(decoded(input=[signed]))["input"] == [signed]


# --- requests of other clients


def asked(*messages: Message, **fields: Any) -> ChatRequest:
    found = messages or (Message("user", (Text("x"),)),)
    return ChatRequest("alias", found, dialect=OTHER, **fields)


def test_a_request_of_another_dialect_is_said_in_this_one() -> None:
    request = asked(
        Message("system", (Text("be brief"),)),
        Message("user", (Text("look", cache_mark=MARK), Image(PIXEL), File(url="https://x/a"))),
        Message(
            "assistant",
            (
                Thinking("hm", signature="S", signed_by=OTHER),
                Thinking("ours", signature="E", signed_by=NAME),
                Text("said", citations=(Citation(OTHER, {}),)),
                ToolCall("t1", "f", "{}", signature="G", signed_by="gemini", extras={"x": 1}),
            ),
            name="bot",
        ),
        Message("user", (ToolResult("t1", (Text("r"), Image(PIXEL)), is_error=True), Text("on"))),
        stream=True,
        sampling=Sampling(0.5, top_k=3, seed=1, max_output_tokens=5, logprobs=True, top_logprobs=2),
        reasoning=Reasoning(budget_tokens=5000, shown=True),
        tools=(Tool("f", cache_mark=MARK, extras={"x": 1}),),
        tool_choice=ToolChoice("auto"),
        parallel_tool_calls=True,
        user="u",
        extras={"container": "c"},
    )
    encoded = encode_request(request, Target("theirs"))
    assert json.loads(encoded.body) == {
        "model": "theirs",
        "instructions": "be brief",
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "look"},
                    {"type": "input_image", "image_url": PIXEL, "detail": "auto"},
                    {"type": "input_file", "file_url": "https://x/a"},
                ],
            },
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "ours"}],
                "encrypted_content": "E",
            },
            {"type": "message", "role": "assistant", "content": "said"},
            {"type": "function_call", "call_id": "t1", "name": "f", "arguments": "{}"},
            {
                "type": "function_call_output",
                "call_id": "t1",
                "output": [
                    {"type": "input_text", "text": "r"},
                    {"type": "input_image", "image_url": PIXEL, "detail": "auto"},
                ],
            },
            {"type": "message", "role": "user", "content": "on"},
        ],
        "stream": True,
        "temperature": 0.5,
        "max_output_tokens": 16,
        "top_logprobs": 2,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "tools": [
            {
                "type": "function",
                "name": "f",
                "parameters": {"type": "object", "properties": {}},
                "strict": False,
            }
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "user": "u",
        "store": False,
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
    }
    assert encoded.dropped == (
        "container",
        "cache_mark",
        "name",
        "thinking",
        "citations",
        "x",
        "is_error",
        "top_k",
        "seed",
    )
    assert encoded.emulated == ("max_output_tokens", "budget_tokens")


def test_only_one_text_of_a_system_message_is_instructions() -> None:
    two = Message("system", (Text("a"), Text("b")))
    marked = Message("system", (Text("a", cache_mark=MARK),))
    for message in (two, marked):
        body = sent(asked(message))
        assert "instructions" not in body
        assert body["input"][0]["role"] == "system"
    own = {"type": "message", "role": "system", "content": "a"}
    assert sent(decoded(input=[own])) == {"model": "m", "input": [own]}


def test_a_chat_client_s_words_that_are_the_same_here_are_kept() -> None:
    body = {
        "model": "m",
        "messages": [{"role": "tool", "tool_call_id": "c", "content": "r"}],
        "metadata": {"a": "b"},
        "store": True,
        "verbosity": "low",
        "prediction": {"type": "content"},
        "response_format": {"type": "json_object"},
    }
    request = openai_chat.decode_request(json.dumps(body).encode())
    encoded = encode_request(request, TARGET)
    value = json.loads(encoded.body)
    assert (value["metadata"], value["store"]) == ({"a": "b"}, True)
    assert value["text"] == {"format": {"type": "json_object"}, "verbosity": "low"}
    assert encoded.dropped == ("prediction",)
    del body["verbosity"]
    request = openai_chat.decode_request(json.dumps(body).encode())
    assert sent(request)["text"] == {"format": {"type": "json_object"}}


@pytest.mark.parametrize(
    ("fields", "feature"),
    [
        ({"sampling": Sampling(choices=2)}, "choices"),
        ({"sampling": Sampling(stop=("a",))}, "stop"),
    ],
)
def test_what_the_format_cannot_say_is_refused(fields: Any, feature: str) -> None:
    with pytest.raises(InexpressibleError) as caught:
        encode_request(asked(**fields), TARGET)
    assert caught.value.feature == feature


@pytest.mark.parametrize(
    ("part", "feature"),
    [
        (File(file_id="file_1"), "file"),
        (Opaque(OTHER, "content", {"type": "x"}), "content"),
        (Opaque(OTHER, "input", {"type": "x"}), "input"),
        (ToolResult("c", (Thinking("no"),)), "content"),
    ],
)
def test_a_part_that_cannot_be_said_is_refused(part: Part, feature: str) -> None:
    with pytest.raises(InexpressibleError) as caught:
        encode_request(asked(Message("user", (part,))), TARGET)
    assert caught.value.feature == feature


def test_state_of_a_chat_provider_is_refused() -> None:
    request = replace(asked(extras={"functions": [{"name": "f"}]}), dialect="openai_chat")
    with pytest.raises(InexpressibleError):
        encode_request(request, TARGET)


def test_a_schema_becomes_a_tool_where_the_model_takes_none() -> None:
    request = asked(answer_format=AnswerFormat("json_schema", "s", {"type": "object"}))
    encoded = encode_request(request, Target("m", schema=False))
    assert (encoded.answer_tool, encoded.emulated) == ("s", ("answer_format",))
    assert json.loads(encoded.body)["tool_choice"] == {"type": "function", "name": "s"}
    assert sent(request)["text"]["format"]["type"] == "json_schema"


def test_words_about_tools_go_only_with_tools() -> None:
    assert sent(asked(tool_choice=ToolChoice("auto"))).keys() == {"model", "input", "store"}


def test_a_grammar_is_openai_s_alone() -> None:
    with pytest.raises(InexpressibleError) as caught:
        refuse_native(decoded(text={"format": {"type": "grammar"}}))
    assert caught.value.feature == "answer_format"
    refuse_native(decoded(text={"verbosity": "low"}))


def test_names_of_features_are_those_of_fields_of_the_format() -> None:
    assert set(FIELD_NAMES.values()) >= {"text.format", "input", "reasoning.effort"}


# --- any conversation

TEXTS = st.text(max_size=8)
IDS = st.text("abc", min_size=1, max_size=4)
SPOKEN = st.one_of(
    st.builds(Text, TEXTS),
    st.builds(lambda url, detail: Image(url, detail), TEXTS, st.sampled_from([None, "low"])),
    st.builds(lambda data, name: File(data=data, filename=name), TEXTS, TEXTS),
)
DONE = st.one_of(
    st.builds(Text, TEXTS),
    st.builds(Refusal, TEXTS),
    st.builds(ToolCall, IDS, IDS, TEXTS),
    st.builds(lambda t, s: Thinking(t, s, signed_by=NAME), TEXTS, IDS),
)


def messages_of(role: Role, parts: st.SearchStrategy[Any], least: int = 1) -> Any:
    lists = st.lists(parts, min_size=least, max_size=4)
    return st.builds(lambda found: Message(role, tuple(found)), lists)


RESULTS = st.builds(
    lambda call_id, parts: Message("tool", (ToolResult(call_id, tuple(parts)),)),
    IDS,
    st.lists(SPOKEN, min_size=1, max_size=3),
)
MESSAGES = st.one_of(
    messages_of("user", SPOKEN),
    messages_of("developer", SPOKEN),
    messages_of("assistant", DONE),
    RESULTS,
)


@given(st.lists(MESSAGES, min_size=1, max_size=5))
def test_any_conversation_goes_there_and_back(messages: list[Message]) -> None:
    request = ChatRequest("m", tuple(messages), dialect=NAME, wants_stream_usage=True)
    encoded = encode_request(request, TARGET)
    assert (encoded.dropped, encoded.emulated) == ((), ())
    back = decode_request(encoded.body)
    # Turns of the assistant that follow each other are one: nothing stands between their items.
    assert joined(back.messages) == joined(request.messages)
    assert encode_request(back, TARGET).body == encoded.body


def joined(messages: tuple[Message, ...]) -> list[tuple[Role, tuple[Part, ...]]]:
    turns: list[tuple[Role, tuple[Part, ...]]] = []
    for message in messages:
        if turns and turns[-1][0] == message.role == "assistant":
            turns[-1] = ("assistant", turns[-1][1] + message.parts)
        else:
            turns.append((message.role, message.parts))
    return turns


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(IDS, inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(FULL)), JSON), st.binary(max_size=50))
def test_nothing_breaks_the_decoder(fields: dict[str, Any], noise: bytes) -> None:
    for body in (json.dumps({"model": "m", "input": "x"} | fields).encode(), noise):
        with suppress(InvalidRequestError):
            decode_request(body)
