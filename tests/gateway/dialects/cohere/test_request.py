import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from conduit.gateway.dialects.cohere.dialect import NAME, encode_request
from conduit.gateway.dialects.target import EncodedRequest, InexpressibleError, Target

MODEL = Target("command-a")
USER = Message("user", (Text("hi"),))
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
TOOL = Tool("f", description="d", parameters=SCHEMA)
MARK = {"type": "ephemeral"}


def encoded(target: Target = MODEL, **fields: Any) -> tuple[dict[str, Any], EncodedRequest]:
    request = ChatRequest(**{"model": "alias", "messages": (USER,)} | fields)
    out = encode_request(request, target)
    assert encode_request(request, target) == out
    return json.loads(out.body), out


def message(role: Any, *parts: Part, **more: Any) -> list[dict[str, Any]]:
    body, _ = encoded(messages=(Message(role, parts, **more),), dialect=NAME)
    messages: list[dict[str, Any]] = body["messages"]
    return messages


def refused(**fields: Any) -> str:
    with pytest.raises(InexpressibleError) as caught:
        encoded(**fields)
    return caught.value.feature


def test_a_plain_request_says_no_more_than_it_must() -> None:
    body, out = encoded()
    assert body == {"model": "command-a", "messages": [{"role": "user", "content": "hi"}]}
    assert (out.dropped, out.emulated, out.answer_tool) == ((), (), None)


def test_sampling_goes_by_cohere_s_names() -> None:
    sampling = Sampling(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        seed=7,
        stop=("a", "b"),
        max_output_tokens=100,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logprobs=True,
        top_logprobs=0,
    )
    body, out = encoded(sampling=sampling, stream=True, wants_stream_usage=True)
    del body["messages"], body["model"]
    assert body == {
        "stream": True,
        "max_tokens": 100,
        "stop_sequences": ["a", "b"],
        "temperature": 0.5,
        "seed": 7,
        "frequency_penalty": 0.2,
        "presence_penalty": 0.1,
        "k": 40,
        "p": 0.9,
        "logprobs": True,
    }
    assert out.dropped == ()


@pytest.mark.parametrize(
    ("sampling", "fields"),
    [
        (Sampling(seed=-1), {"seed": 2**64 - 1}),
        (Sampling(presence_penalty=0, frequency_penalty=0), {}),
        (Sampling(max_output_tokens=9000), {"max_tokens": 4000}),
        (Sampling(max_output_tokens=10), {"max_tokens": 10}),
        (Sampling(), {}),
    ],
)
def test_values_that_cohere_would_refuse_are_fitted(
    sampling: Sampling, fields: dict[str, Any]
) -> None:
    body, _ = encoded(Target("m", max_output_tokens=4000), sampling=sampling)
    assert {name: body[name] for name in body.keys() - {"model", "messages"}} == fields


@pytest.mark.parametrize(("top_p", "p"), [(1, 0.99), (0, 0.01)])
def test_the_ends_of_top_p_are_the_nearest_that_cohere_takes(top_p: float, p: float) -> None:
    body, out = encoded(sampling=Sampling(top_p=top_p))
    assert body["p"] == p
    assert out.emulated == ("top_p",)


@pytest.mark.parametrize(
    ("fields", "feature"),
    [
        ({"sampling": Sampling(choices=2)}, "choices"),
        ({"sampling": Sampling(logprobs=True, top_logprobs=2)}, "top_logprobs"),
        ({"dialect": "openai_chat", "extras": {"logit_bias": {"1": 2}}}, "logit_bias"),
        ({"sampling": Sampling(stop=tuple("abcdef"))}, "stop"),
        ({"tools": (TOOL,), "tool_choice": ToolChoice("named", "g")}, "tool_choice"),
        ({"dialect": "openai_chat", "extras": {"openai_chat.other_tools": ((0, {}),)}}, "tools"),
        ({"messages": (Message("user", (Audio("AA", "wav"),)),)}, "audio"),
        ({"messages": (Message("user", (File(data="data:x"),)),)}, "file"),
        ({"messages": (Message("user", (ToolCall("c", "f", "{}"),)),)}, "tool_call"),
        (
            {"messages": (Message("tool", (ToolResult("c", (Image("https://x/y.png"),)),)),)},
            "image",
        ),
        (
            {
                "messages": (
                    Message("user", (Opaque("openai_chat", "content", {"type": "video_url"}),)),
                )
            },
            "content",
        ),
    ],
)
def test_what_would_change_the_meaning_is_refused(fields: dict[str, Any], feature: str) -> None:
    assert refused(**fields) == feature


def test_what_changes_nothing_is_left_out_and_named() -> None:
    foreign = {"provider_thing": 1}
    body, out = encoded(
        dialect="openai_chat",
        user="u",
        parallel_tool_calls=False,
        reasoning=Reasoning(effort="low", shown=False),
        tools=(
            Tool("f", strict=True, cache_mark=MARK, extras=foreign),
            Tool("g", extras={"more": 1}),
        ),
        extras={"store": True, "metadata": {}},
        messages=(
            Message("user", (Text("hi", cache_mark=MARK),), name="ann", extras={"odd": 1}),
            Message(
                "assistant",
                (
                    Thinking("signed", signature="s", signed_by="anthropic_messages"),
                    Thinking(redacted="x"),
                    Text("so", citations=(Citation("anthropic_messages", {}),)),
                    ToolCall("c", "f", "", signature="sig", signed_by="gemini", extras=foreign),
                ),
            ),
            Message("tool", (ToolResult("c", (Text("r"),), is_error=True),)),
        ),
    )
    assert out.dropped == (
        "parallel_tool_calls",
        "user",
        "name",
        "cache_mark",
        "odd",
        "provider_thing",
        "thinking",
        "citations",
        "is_error",
        "shown",
        "effort",
        "more",
        "strict",
        "store",
    )
    assert body["messages"][1] == {
        "role": "assistant",
        "tool_plan": "so",
        "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    }


def test_own_extras_and_opaque_parts_go_out_as_they_stand() -> None:
    document = {"type": "document", "document": {"id": "d", "data": {"text": "t"}}}
    call = {"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}, "y": 1}
    raw = {"start": 0, "end": 2, "text": "so"}
    body, out = encoded(
        dialect=NAME,
        extras={"documents": ["d"], "safety_mode": "STRICT", "citation_options": {"mode": "FAST"}},
        tools=(Tool("f", extras={"function": {"inner": 1}, "outer": 2}),),
        messages=(
            Message("system", (Text("s"),), extras={"own": 1}),
            Message(
                "assistant",
                (
                    Thinking("hm", extras={"x": 1}),
                    Text("so", citations=(Citation(NAME, raw),)),
                    Opaque(NAME, "tool_calls", call),
                ),
            ),
            Message("tool", (ToolResult("x", (Opaque(NAME, "content", document),)),)),
        ),
    )
    assert out.dropped == ()
    assert body["documents"] == ["d"]
    assert body["safety_mode"] == "STRICT"
    assert body["citation_options"] == {"mode": "FAST"}
    assert body["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "f",
                "parameters": {"type": "object", "properties": {}},
                "inner": 1,
            },
            "outer": 2,
        }
    ]
    assert body["messages"] == [
        {"role": "system", "content": "s", "own": 1},
        {
            "role": "assistant",
            "tool_plan": "so",
            "tool_calls": [call],
            "content": [{"type": "thinking", "thinking": "hm", "x": 1}],
            "citations": [raw],
        },
        {"role": "tool", "tool_call_id": "x", "content": [document]},
    ]


@pytest.mark.parametrize(
    ("role", "parts", "expected"),
    [
        ("developer", (Text("be brief"),), [{"role": "system", "content": "be brief"}]),
        ("user", (), [{"role": "user", "content": ""}]),
        ("assistant", (), [{"role": "assistant", "content": ""}]),
        ("assistant", (Refusal("no"),), [{"role": "assistant", "content": "no"}]),
        (
            "assistant",
            (Thinking("hm"), Text("a")),
            [
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm"},
                        {"type": "text", "text": "a"},
                    ],
                }
            ],
        ),
        (
            "user",
            (Text("look"), Image("data:image/png;base64,AA"), Image("https://x/y", detail="low")),
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "look"},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
                        {
                            "type": "image_url",
                            "image_url": {"url": "https://x/y", "detail": "low"},
                        },
                    ],
                }
            ],
        ),
        (
            "user",
            (Text("and?"), ToolResult("a", (Text("1"), Text("2"))), ToolResult("b", ())),
            [
                {
                    "role": "tool",
                    "tool_call_id": "a",
                    "content": [{"type": "text", "text": "1"}, {"type": "text", "text": "2"}],
                },
                {"role": "tool", "tool_call_id": "b", "content": ""},
                {"role": "user", "content": "and?"},
            ],
        ),
    ],
)
def test_messages_take_cohere_s_form(
    role: Any, parts: tuple[Part, ...], expected: list[dict[str, Any]]
) -> None:
    assert message(role, *parts) == expected


def test_the_exact_text_of_arguments_is_kept() -> None:
    (found,) = message("assistant", ToolCall("c", "f", '{"a": 1.0, '))
    assert found["tool_calls"][0]["function"]["arguments"] == '{"a": 1.0, '
    assert "content" not in found


@pytest.mark.parametrize(
    ("choice", "expected", "emulated"),
    [
        (None, None, ()),
        (ToolChoice("auto"), None, ()),
        (ToolChoice("none"), "NONE", ()),
        (ToolChoice("required"), "REQUIRED", ()),
        (ToolChoice("named", "f"), "REQUIRED", ("tool_choice",)),
    ],
)
def test_tool_choices(
    choice: ToolChoice | None, expected: str | None, emulated: tuple[str, ...]
) -> None:
    body, out = encoded(tools=(TOOL, Tool("g")), tool_choice=choice, parallel_tool_calls=True)
    assert body.get("tool_choice") == expected
    assert [tool["function"]["name"] for tool in body["tools"]] == (
        ["f"] if emulated else ["f", "g"]
    )
    assert out.emulated == emulated
    assert out.dropped == ()


def test_tools_are_strict_together_or_not_at_all() -> None:
    body, out = encoded(tools=(Tool("f", strict=True), Tool("g", strict=True)))
    assert body["strict_tools"] is True
    assert out.dropped == ()


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        (Reasoning(), None),
        (Reasoning(enabled=True), {"type": "enabled"}),
        (Reasoning(enabled=False, budget_tokens=5), {"type": "disabled"}),
        (Reasoning(effort="none"), {"type": "disabled"}),
        (Reasoning(effort="high"), None),
        (Reasoning(budget_tokens=500), {"type": "enabled", "token_budget": 500}),
    ],
)
def test_thinking_is_asked_for(reasoning: Reasoning, expected: Any) -> None:
    body, _ = encoded(reasoning=reasoning)
    assert body.get("thinking") == expected


WANTED = AnswerFormat("json_schema", name="n", schema=SCHEMA, strict=True)


def test_a_schema_is_native_without_tools() -> None:
    body, out = encoded(answer_format=WANTED)
    assert body["response_format"] == {"type": "json_object", "json_schema": SCHEMA}
    assert (out.emulated, out.answer_tool) == ((), None)
    for wanted in (AnswerFormat("json_object"), AnswerFormat("json_schema")):
        assert encoded(answer_format=wanted)[0]["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize(
    ("target", "fields", "names", "answer"),
    [
        (Target("m", schema=False), {}, ["n"], "n"),
        (MODEL, {"tools": (TOOL,)}, ["f", "n"], "n"),
        (
            Target("m", schema=False),
            {"tools": (Tool("n"),), "tool_choice": ToolChoice("none")},
            ["n_"],
            "n_",
        ),
    ],
)
def test_a_schema_is_one_more_tool_where_it_cannot_be_named(
    target: Target, fields: dict[str, Any], names: list[str], answer: str
) -> None:
    body, out = encoded(target, answer_format=WANTED, **fields)
    assert [tool["function"]["name"] for tool in body["tools"]] == names
    assert body["tools"][-1]["function"]["parameters"] == SCHEMA
    assert body["tool_choice"] == "REQUIRED"
    assert "response_format" not in body
    assert out.emulated == ("answer_format",)
    assert out.answer_tool == answer


def test_any_json_beside_tools_is_one_more_tool() -> None:
    body, out = encoded(answer_format=AnswerFormat("json_object"), tools=(TOOL,))
    assert body["tools"][-1]["function"]["parameters"] == {"type": "object"}
    assert (out.emulated, out.answer_tool) == (("answer_format",), "answer")


def test_no_schema_is_asked_for_where_the_answer_must_be_a_call() -> None:
    body, out = encoded(answer_format=WANTED, tools=(TOOL,), tool_choice=ToolChoice("required"))
    assert "response_format" not in body
    assert (out.dropped, out.answer_tool) == (("answer_format",), None)


def test_half_a_surrogate_pair_gets_through() -> None:
    body, _ = encoded(messages=(Message("user", (Text("cut \ud83d"),)),))
    assert body["messages"][0]["content"] == "cut \ud83d"


TEXTS = st.text(min_size=1, max_size=8)
CALLS = st.builds(ToolCall, TEXTS, TEXTS, TEXTS)
MESSAGES = st.one_of(
    st.builds(lambda text: Message("system", (Text(text),)), TEXTS),
    st.builds(
        lambda texts, urls: Message("user", (*map(Text, texts), *map(Image, urls))),
        st.lists(TEXTS, min_size=1, max_size=3),
        st.lists(TEXTS, max_size=2),
    ),
    st.builds(
        lambda thoughts, texts: Message("assistant", (*map(Thinking, thoughts), *map(Text, texts))),
        st.lists(TEXTS, max_size=2),
        st.lists(TEXTS, min_size=1, max_size=2),
    ),
    st.builds(
        lambda thoughts, plan, calls: Message(
            "assistant", (*map(Thinking, thoughts), *map(Text, plan), *calls)
        ),
        st.lists(TEXTS, max_size=2),
        st.lists(TEXTS, max_size=1),  # several texts before calls become one plan
        st.lists(CALLS, min_size=1, max_size=3),
    ),
    st.builds(lambda name, text: Message("tool", (ToolResult(name, (Text(text),)),)), TEXTS, TEXTS),
)


def read_back(fields: Any) -> Message:
    """A message as Cohere would read it."""
    content: Any = fields.get("content") or []
    blocks: Any = [{"type": "text", "text": content}] if isinstance(content, str) else content
    parts: list[Part] = []
    for block in blocks:
        match block["type"]:
            case "text":
                parts.append(Text(block["text"]))
            case "thinking":
                parts.append(Thinking(block["thinking"]))
            case _:
                parts.append(Image(block["image_url"]["url"]))
    if fields["role"] == "tool":
        parts = [ToolResult(fields["tool_call_id"], tuple(parts))]
    if "tool_plan" in fields:
        parts.append(Text(fields["tool_plan"]))
    parts += [
        ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in fields.get("tool_calls", ())
    ]
    return Message(fields["role"], tuple(parts))


@given(st.lists(MESSAGES, min_size=1, max_size=5))
def test_any_conversation_that_cohere_can_hold_is_sent_whole(messages: list[Message]) -> None:
    body, out = encoded(messages=tuple(messages))
    assert [read_back(fields) for fields in body["messages"]] == messages
    assert out.dropped == ()
