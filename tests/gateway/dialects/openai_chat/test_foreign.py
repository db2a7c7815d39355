"""Requests of chat clients and of others, for providers of the chat format and of others."""

import dataclasses
import json
from typing import Any

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
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from conduit.gateway.dialects.openai.native import refuse_native
from conduit.gateway.dialects.openai_chat.dialect import (
    FIELD_NAMES,
    NAME,
    decode_request,
    encode_request,
)
from conduit.gateway.dialects.openai_chat.thinking import read_thoughts, write_thoughts
from conduit.gateway.dialects.target import InexpressibleError, Target
from conduit.gateway.provider import Quirks
from tests.gateway.dialects.foreign_answers import OTHER, PIXEL

TARGET = Target("theirs", quirks=Quirks(output_cap_field="max_completion_tokens"))
ASK: Any = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
MARK = {"type": "ephemeral"}


def asked(*messages: Message, **fields: Any) -> ChatRequest:
    return ChatRequest("alias", messages or (user("x"),), dialect=OTHER, **fields)


def user(*parts: Part | str) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def sent(request: ChatRequest, target: Target = TARGET) -> Any:
    return json.loads(encode_request(request, target).body)


# --- requests of other clients


def test_a_request_of_another_dialect_is_said_in_this_one() -> None:
    request = asked(
        Message("system", (Text("be brief", cache_mark=MARK),)),
        user("look", Image("https://x/y.png"), File(data="data:x", filename="a.pdf")),
        Message(
            "assistant",
            (
                Thinking("hm", signature="S", signed_by=OTHER),
                Text("said", citations=(Citation(OTHER, {}, url="https://x"),)),
                ToolCall("t1", "f", "{}", signature="G", signed_by="gemini", extras={"x": 1}),
            ),
        ),
        user(ToolResult("t1", (Text("r"),), is_error=True), "go on"),
        stream=True,
        sampling=Sampling(temperature=0.5, top_k=3, max_output_tokens=9000, top_logprobs=2),
        reasoning=Reasoning(enabled=True, budget_tokens=5000),
        tools=(Tool("f", parameters={"type": "object"}, cache_mark=MARK, extras={"x": 1}),),
        tool_choice=ToolChoice("auto"),
        user="u",
        extras={"service_tier": "standard_only", "container": None},
    )
    encoded = encode_request(request, dataclasses.replace(TARGET, max_output_tokens=4096))
    assert json.loads(encoded.body) == {
        "model": "theirs",
        "messages": [
            {"role": "system", "content": "be brief"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                    {"type": "file", "file": {"file_data": "data:x", "filename": "a.pdf"}},
                ],
            },
            {
                "role": "assistant",
                "content": "said",
                "tool_calls": [
                    {
                        "id": "t1",
                        "type": "function",
                        "function": {"name": "f", "arguments": "{}"},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "t1", "content": "r"},
            {"role": "user", "content": "go on"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "max_completion_tokens": 4096,
        "reasoning_effort": "medium",
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
        ],
        "tool_choice": "auto",
        "user": "u",
    }
    assert encoded.dropped == (
        "service_tier",
        "cache_mark",
        "thinking",
        "x",
        "citations",
        "is_error",
        "top_k",
    )
    assert encoded.emulated == ("max_output_tokens", "budget_tokens")
    assert encode_request(request, TARGET).body == encode_request(request, TARGET).body


@pytest.mark.parametrize(
    ("part", "feature"),
    [
        (File(url="https://x/a.pdf"), "file"),
        (File(file_id="file_1"), "file"),
        (Opaque(OTHER, "content", {"type": "search_result"}), "content"),
        (Opaque(OTHER, "content", {}), "content"),
    ],
)
def test_a_part_that_cannot_be_said_is_refused(part: Part, feature: str) -> None:
    with pytest.raises(InexpressibleError) as caught:
        encode_request(asked(user(part)), TARGET)
    assert caught.value.feature == feature
    assert caught.value.feature in FIELD_NAMES


def test_files_of_the_responses_format_lie_in_the_same_store() -> None:
    request = replace(asked(user(File(file_id="file_1"))), dialect="openai_responses")
    (part,) = sent(request)["messages"][0]["content"]
    assert part["file"] == {"file_id": "file_1"}


@pytest.mark.parametrize(
    ("extras", "feature"),
    [
        ({"openai_responses.other_tools": ((0, {"type": "web_search"}),)}, "tools"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"tool_choice": {"type": "mcp"}}, "tool_choice"),
    ],
)
def test_what_needs_the_state_of_another_provider_is_refused(extras: Any, feature: str) -> None:
    with pytest.raises(InexpressibleError) as caught:
        encode_request(replace(asked(extras=extras), dialect="openai_responses"), TARGET)
    assert caught.value.feature == feature


@pytest.mark.parametrize(
    ("fields", "feature"),
    [
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"tools": [{"type": "custom", "custom": {"name": "q"}}]}, "tools"),
        ({"response_format": {"type": "grammar"}}, "answer_format"),
        ({"modalities": ["text"]}, None),
    ],
)
def test_what_only_openai_s_chat_can_do_is_named(fields: Any, feature: str | None) -> None:
    request = decode_request(json.dumps(ASK | fields).encode())
    if feature is None:
        refuse_native(request)
        return
    with pytest.raises(InexpressibleError) as caught:
        refuse_native(request)
    assert caught.value.feature == feature


def test_pictures_from_tools_follow_the_last_result() -> None:
    calls = (ToolCall("t1", "f", "{}"), ToolCall("t2", "f", "{}"))
    picture = Image(PIXEL)
    request = asked(
        Message("assistant", calls),
        user(ToolResult("t1", (picture,)), ToolResult("t2", (Text("two"), picture)), "and?"),
        Message("assistant", calls),
        Message("tool", (ToolResult("t1", (picture,)),), name="f"),
        Message("tool", (ToolResult("t2", (Text("two"),)),)),
        Message("assistant", (Text("fine"),)),
        Message("tool", (ToolResult("", (picture,)),)),
    )
    encoded = encode_request(request, TARGET)
    messages = json.loads(encoded.body)["messages"]
    roles = [message["role"] for message in messages]
    assert " ".join(roles) == (
        "assistant tool tool user assistant tool tool user assistant tool user"
    )
    image = {"type": "image_url", "image_url": {"url": PIXEL}}
    assert messages[3]["content"] == [image, image, {"type": "text", "text": "and?"}]
    assert messages[7]["content"] == [image]
    assert messages[1]["content"] == "(in the message that follows)"
    assert encoded.emulated == ("tool_result",)


@pytest.mark.parametrize(
    ("reasoning", "effort", "dropped"),
    [
        (Reasoning(), None, ()),
        (Reasoning(effort="high", budget_tokens=1), "high", ()),
        (Reasoning(enabled=False), None, ("reasoning",)),
        (Reasoning(enabled=True), None, ()),
        (Reasoning(budget_tokens=1024), "low", ()),
        (Reasoning(budget_tokens=100_000), "high", ()),
    ],
)
def test_thinking_is_asked_for_by_a_word(
    reasoning: Reasoning, effort: str | None, dropped: tuple[str, ...]
) -> None:
    encoded = encode_request(asked(reasoning=reasoning), TARGET)
    assert json.loads(encoded.body).get("reasoning_effort") == effort
    assert encoded.dropped == dropped


@pytest.mark.parametrize("text", ["none", "low"])
def test_a_client_s_own_words_about_thinking_come_back(text: str) -> None:
    more = {"effort": text, "max_tokens": 5, "exclude": True}
    request = decode_request(json.dumps(ASK | {"reasoning": more}).encode())
    assert request.reasoning.shown is False
    assert request.reasoning.enabled is (False if text == "none" else None)
    assert sent(request)["reasoning"] == more
    request = decode_request(json.dumps(ASK | {"include_reasoning": True}).encode())
    assert request.reasoning.shown is True
    request = decode_request(json.dumps(ASK | {"reasoning": {"summary": "x"}}).encode())
    assert sent(request)["reasoning"] == {"summary": "x"}


def test_an_assistant_who_only_thought_says_nothing() -> None:
    thought = Message("assistant", (Thinking("hm", signature="S", signed_by=OTHER),))
    assert sent(asked(thought))["messages"] == [{"role": "assistant", "content": ""}]


def test_words_about_tools_go_only_with_tools() -> None:
    request = asked(tool_choice=ToolChoice("auto"), parallel_tool_calls=False)
    assert sent(request).keys() == {"model", "messages"}


def test_usage_is_not_asked_of_those_who_refuse_it() -> None:
    target = Target("m", quirks=Quirks(asks_stream_usage=False))
    assert "stream_options" not in sent(asked(stream=True), target)


# --- answers by a schema

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("tools", "choice", "tool", "sent_choice"),
    [
        ((), None, "my_answer", {"type": "function", "function": {"name": "my_answer"}}),
        ((Tool("f"),), None, "my_answer", "required"),
        ((Tool("my_answer"),), ToolChoice("auto"), "my_answer_", "required"),
        (
            (Tool("f"),),
            ToolChoice("none"),
            "my_answer",
            {"type": "function", "function": {"name": "my_answer"}},
        ),
        ((Tool("f"),), ToolChoice("required"), None, "required"),
    ],
)
def test_a_schema_becomes_a_tool_where_the_model_takes_none(
    tools: tuple[Tool, ...], choice: ToolChoice | None, tool: str | None, sent_choice: Any
) -> None:
    wanted = AnswerFormat("json_schema", "my answer", SCHEMA)
    request = asked(tools=tools, tool_choice=choice, answer_format=wanted)
    encoded = encode_request(request, dataclasses.replace(TARGET, schema=False))
    body = json.loads(encoded.body)
    told = encoded.emulated if tool is not None else encoded.dropped
    assert (encoded.answer_tool, told) == (tool, ("answer_format",))
    assert body["tool_choice"] == sent_choice
    assert "response_format" not in body
    if tool is not None:
        assert body["tools"][-1]["function"]["parameters"] == SCHEMA


def test_a_schema_goes_as_it_is_to_a_model_that_takes_it() -> None:
    wanted = AnswerFormat("json_schema", None, SCHEMA)
    body = sent(asked(answer_format=wanted))
    assert body["response_format"]["json_schema"] == {"name": "answer", "schema": SCHEMA}


# --- annotations and thinking of a client

SOURCE = {
    "type": "url_citation",
    "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 2},
}


@pytest.mark.parametrize(
    ("message", "back"),
    [
        ({"content": "said", "annotations": [SOURCE]}, None),
        ({"content": "said", "annotations": []}, {"content": "said"}),
        ({"content": None, "annotations": [SOURCE]}, None),
        ({"content": "said", "annotations": [5]}, None),
    ],
)
def test_annotations_of_a_message_come_back(message: Any, back: Any) -> None:
    message = {"role": "assistant"} | message
    request = decode_request(json.dumps(ASK | {"messages": [message]}).encode())
    assert sent(request)["messages"] == [message if back is None else {"role": "assistant"} | back]


SIGNED = st.text("ABCabc012+/=", min_size=1, max_size=9)
MAKERS = st.sampled_from([NAME, OTHER, "gemini"])
THOUGHTS = st.one_of(
    st.builds(lambda t, s, by: Thinking(t, s, signed_by=by), st.text(max_size=9), SIGNED, MAKERS),
    st.builds(lambda t: Thinking(t), st.text(min_size=1, max_size=9)),
    st.builds(lambda r, by: Thinking(redacted=r, signed_by=by), SIGNED, MAKERS),
)


@given(st.lists(THOUGHTS, max_size=5))
def test_thoughts_come_back_each_with_its_own_signature(thoughts: list[Thinking]) -> None:
    fields = write_thoughts(thoughts)
    names = ("reasoning_content", "reasoning_signature", "reasoning_redacted")
    back = list(read_thoughts(*map(fields.get, names)))
    if any(thought.signature or thought.redacted for thought in thoughts):
        assert back == thoughts
    else:  # without signatures nobody needs to know where one thought ends
        assert "".join(t.text for t in back) == "".join(t.text for t in thoughts)


def test_signatures_do_not_survive_a_changed_text() -> None:
    assert read_thoughts("short", "S 90 T", None) == (Thinking("short"),)
