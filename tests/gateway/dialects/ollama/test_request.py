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
from conduit.gateway.dialects.ollama.dialect import NAME, encode_request
from conduit.gateway.dialects.target import EncodedRequest, InexpressibleError, Target

MODEL = Target("llama3.2")
USER = Message("user", (Text("hi"),))
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}
TOOL = Tool("f", description="d", parameters=SCHEMA)
MARK = {"type": "ephemeral"}
PNG = "data:image/png;base64,iVBO"


def encoded(target: Target = MODEL, **fields: Any) -> tuple[dict[str, Any], EncodedRequest]:
    request = ChatRequest(**{"model": "alias", "messages": (USER,)} | fields)
    out = encode_request(request, target)
    assert encode_request(request, target) == out
    return json.loads(out.body), out


def refused(target: Target = MODEL, **fields: Any) -> str:
    with pytest.raises(InexpressibleError) as caught:
        encoded(target, **fields)
    return caught.value.feature


def test_a_plain_request_says_that_it_does_not_stream() -> None:
    body, out = encoded()
    assert body == {
        "model": "llama3.2",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": False,
    }
    assert (out.dropped, out.emulated, out.answer_tool) == ((), (), None)
    assert encoded(stream=True)[0]["stream"] is True


def test_sampling_is_options() -> None:
    sampling = Sampling(
        temperature=0.5,
        top_p=1,
        top_k=40,
        seed=-7,
        stop=("a",),
        max_output_tokens=9000,
        presence_penalty=0,
        frequency_penalty=0.2,
        logprobs=True,
        top_logprobs=3,
    )
    body, out = encoded(Target("m", max_output_tokens=4096), sampling=sampling)
    assert body["options"] == {
        "num_predict": 4096,
        "temperature": 0.5,
        "top_k": 40,
        "top_p": 1,
        "seed": -7,
        "stop": ["a"],
        "presence_penalty": 0,
        "frequency_penalty": 0.2,
    }
    assert (body["logprobs"], body["top_logprobs"]) == (True, 3)
    assert out.dropped == ()
    assert "top_logprobs" not in encoded(sampling=Sampling(logprobs=True, top_logprobs=0))[0]


def test_own_extras_and_opaque_parts_go_out_as_they_stand() -> None:
    body, out = encoded(
        dialect=NAME,
        sampling=Sampling(temperature=1),
        extras={"options": {"num_ctx": 8192}, "keep_alive": "5m", "truncate": False},
        tools=(Tool("f", extras={"function": {"inner": 1}, "items": 2}),),
        messages=(
            Message("user", (Text("a"), Opaque(NAME, "", {"odd": 1})), extras={"more": 2}),
            Message("assistant", (ToolCall("", "f", "{}", extras={"function": {"index": 0}}),)),
        ),
    )
    assert out.dropped == ()
    assert body["options"] == {"temperature": 1, "num_ctx": 8192}
    assert (body["keep_alive"], body["truncate"]) == ("5m", False)
    assert body["messages"] == [
        {"role": "user", "content": "a", "odd": 1, "more": 2},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "f", "arguments": {}, "index": 0}}],
        },
    ]
    assert body["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "f",
                "parameters": {"type": "object", "properties": {}},
                "inner": 1,
            },
            "items": 2,
        }
    ]


def test_what_changes_nothing_is_left_out_and_named() -> None:
    _, out = encoded(
        dialect="openai_chat",
        user="u",
        parallel_tool_calls=False,
        reasoning=Reasoning(effort="odd", budget_tokens=100, shown=False),
        tools=(Tool("f", strict=True, cache_mark=MARK, extras={"t": 1}),),
        extras={"store": True},
        messages=(
            Message(
                "user",
                (Text("hi", cache_mark=MARK), Image(PNG, detail="low")),
                name="ann",
                extras={"m": 1},
            ),
            Message(
                "assistant",
                (
                    Thinking("signed", signature="s", signed_by="anthropic_messages"),
                    Text("so", citations=(Citation("anthropic_messages", {}),)),
                    ToolCall("c", "f", "{}", extras={"c": 1}),
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
        "detail",
        "m",
        "thinking",
        "citations",
        "c",
        "is_error",
        "strict",
        "t",
        "shown",
        "budget_tokens",
        "effort",
        "store",
    )


@pytest.mark.parametrize(
    ("fields", "feature"),
    [
        ({"sampling": Sampling(choices=2)}, "choices"),
        ({"tools": (TOOL,), "tool_choice": ToolChoice("required")}, "tool_choice"),
        ({"tools": (TOOL,), "tool_choice": ToolChoice("named", "f")}, "tool_choice"),
        ({"tools": (TOOL,), "answer_format": AnswerFormat("json_object")}, "answer_format"),
        (
            {
                "target": Target("m", schema=False),
                "answer_format": AnswerFormat("json_schema", schema=SCHEMA),
            },
            "answer_format",
        ),
        ({"messages": (Message("user", (Image("https://x/y.png"),)),)}, "image"),
        ({"messages": (Message("user", (Image("data:image/png,raw"),)),)}, "image"),
        ({"messages": (Message("user", (File(file_id="f"),)),)}, "file"),
        ({"messages": (Message("user", (Opaque("gemini", "parts", {}),)),)}, "parts"),
    ],
)
def test_what_would_change_the_meaning_is_refused(fields: dict[str, Any], feature: str) -> None:
    assert refused(**fields) == feature


def test_no_tool_may_be_called_where_none_is_sent() -> None:
    body, out = encoded(
        tools=(TOOL,), tool_choice=ToolChoice("none"), answer_format=AnswerFormat("json_object")
    )
    assert "tools" not in body
    assert body["format"] == "json"
    assert out.emulated == ("tool_choice",)
    body, out = encoded(tools=(TOOL,), tool_choice=ToolChoice("auto"), parallel_tool_calls=True)
    assert body["tools"] == [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}
    ]
    assert (out.emulated, out.dropped) == ((), ())


def test_a_schema_is_the_format() -> None:
    body, _ = encoded(answer_format=AnswerFormat("json_schema", name="n", schema=SCHEMA))
    assert body["format"] == SCHEMA


@pytest.mark.parametrize(
    ("reasoning", "think"),
    [
        (Reasoning(), None),
        (Reasoning(enabled=True), True),
        (Reasoning(enabled=False, effort="high"), False),
        (Reasoning(effort="none"), False),
        (Reasoning(effort="minimal"), "low"),
        (Reasoning(effort="high"), "high"),
        (Reasoning(effort="xhigh"), "max"),
        (Reasoning(budget_tokens=500), True),
    ],
)
def test_thinking_is_asked_for(reasoning: Reasoning, think: Any) -> None:
    assert encoded(reasoning=reasoning)[0].get("think") == think


def test_the_pieces_of_an_answer_are_one_text_again() -> None:
    pieces = (Thinking("The too"), Thinking("l knows."), Text("I wi"), Text("ll look."))
    body, _ = encoded(messages=(Message("assistant", pieces),))
    assert body["messages"] == [
        {"role": "assistant", "content": "I will look.", "thinking": "The tool knows."}
    ]


def test_messages_take_ollama_s_form() -> None:
    body, out = encoded(
        messages=(
            Message("developer", (Text("be"), Text("brief"))),
            Message("user", (Text("look"), Image(PNG), Audio("UklG", "wav"))),
            Message("assistant", (Thinking("hm"), Refusal("no"), ToolCall("c", "f", '{"a": 1.0}'))),
            Message(
                "user",
                (
                    Text("and?"),
                    ToolResult("c", (Text("r"), Image(PNG))),
                    ToolResult("unknown", ()),
                    ToolResult("", ()),
                ),
            ),
            Message("assistant", ()),
        )
    )
    assert body["messages"] == [
        {"role": "system", "content": "be\nbrief"},
        {"role": "user", "content": "look", "images": ["iVBO", "UklG"]},
        {
            "role": "assistant",
            "content": "no",
            "thinking": "hm",
            "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"a": 1.0}}}],
        },
        {
            "role": "tool",
            "content": "r",
            "images": ["iVBO"],
            "tool_name": "f",
            "tool_call_id": "c",
        },
        {"role": "tool", "content": "", "tool_call_id": "unknown"},
        {"role": "tool", "content": ""},
        {"role": "user", "content": "and?"},
        {"role": "assistant", "content": ""},
    ]
    assert out.dropped == ()


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ("", b'"arguments":{}'),
        (
            ' {"z": 1.50, "a": 12345678901234567890123}\n',
            b'{"z": 1.50, "a": 12345678901234567890123}',
        ),
        ('{"a": NaN}', b'{"a":null}'),
        ('{"a": "\\ud83d"}', b'{"a":"\\ud83d"}'),
    ],
)
def test_arguments_are_written_as_the_model_wrote_them(arguments: str, written: bytes) -> None:
    calls = (ToolCall("a", "g", '{"k": 1.0}'), ToolCall("c", "f", arguments))
    _, out = encoded(messages=(Message("assistant", calls),))
    assert written in out.body


@pytest.mark.parametrize("arguments", ["[1]", '{"a": ', "[" * 5000])
def test_arguments_that_are_no_object_are_kept_in_one(arguments: str) -> None:
    call = ToolCall("c", "f", arguments)
    body, out = encoded(messages=(Message("assistant", (call,)),))
    (sent,) = body["messages"][0]["tool_calls"]
    assert sent["function"]["arguments"] == {"arguments": arguments}
    assert out.emulated == ("arguments",)


TEXTS = st.text(min_size=1, max_size=8)
VALUES = st.dictionaries(TEXTS, st.integers() | TEXTS | st.none(), max_size=3)
MESSAGES = st.one_of(
    st.builds(lambda text: Message("system", (Text(text),)), TEXTS),
    st.builds(
        lambda text, urls: Message("user", (Text(text), *map(Image, urls))),
        TEXTS,
        st.lists(TEXTS.map(lambda data: f"data:image/png;base64,{data}"), max_size=2),
    ),
    st.builds(
        lambda thoughts, text, calls: Message(
            "assistant", (*map(Thinking, thoughts), Text(text), *calls)
        ),
        st.lists(TEXTS, max_size=1),  # several thoughts become one text, as do several texts
        TEXTS,
        st.lists(
            st.builds(ToolCall, TEXTS, TEXTS, VALUES.map(lambda value: json.dumps(value))),
            max_size=2,
        ),
    ),
    st.builds(lambda name, text: Message("tool", (ToolResult(name, (Text(text),)),)), TEXTS, TEXTS),
)


def read_back(fields: Any) -> Message:
    """A message as Ollama would read it; what an image is, is a loss."""
    parts: list[Part] = []
    if "thinking" in fields:
        parts.append(Thinking(fields["thinking"]))
    parts.append(Text(fields["content"]))
    parts += [Image(f"data:image/png;base64,{data}") for data in fields.get("images", ())]
    for call in fields.get("tool_calls", ()):
        function = call["function"]
        arguments = json.dumps(function["arguments"])
        parts.append(ToolCall(call["id"], function["name"], arguments))
    if fields["role"] == "tool":
        parts = [ToolResult(fields["tool_call_id"], tuple(parts))]
    return Message(fields["role"], tuple(parts))


@given(st.lists(MESSAGES, min_size=1, max_size=5))
def test_any_conversation_that_ollama_can_hold_is_sent_whole(messages: list[Message]) -> None:
    body, out = encoded(messages=tuple(messages))
    assert [read_back(fields) for fields in body["messages"]] == messages
    assert out.dropped == ()
