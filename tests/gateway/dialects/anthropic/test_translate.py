"""Requests of other dialects, written for Anthropic."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from conduit.gateway.conversation import (
    AnswerFormat,
    Audio,
    Citation,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Sampling,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from conduit.gateway.dialects.anthropic.dialect import (
    NAME,
    decode_request,
)
from conduit.gateway.dialects.target import InexpressibleError
from tests.gateway.dialects.anthropic.requests import (
    BUDGETED,
    MARK,
    OLD,
    USER,
    F,
    encoded,
    written,
)


def said(*parts: Part) -> Any:
    """The content of an assistant's turn."""
    return written(USER, Message("assistant", parts))["messages"][1]["content"]


def asked(*parts: Part) -> Any:
    return written(Message("user", parts))["messages"][0]["content"]


def test_a_plain_request_has_what_the_api_demands() -> None:
    assert written(stream=True, user="u") == {
        "model": BUDGETED,
        "max_tokens": 32_000,
        "stream": True,
        "messages": [{"role": "user", "content": "x"}],
        "metadata": {"user_id": "u"},
    }


@pytest.mark.parametrize(
    ("model", "cap", "most", "sent"),
    [
        (BUDGETED, 100, None, 100),
        (BUDGETED, None, 64_000, 64_000),
        (BUDGETED, None, None, 32_000),
        (OLD, None, None, 8192),
        ("claude-3-opus-20240229", None, None, 4096),
        ("kimi-k2", None, None, 4096),
        ("claude-latest", None, None, 32_000),
    ],
)
def test_an_output_cap_is_always_sent(
    model: str, cap: int | None, most: int | None, sent: int
) -> None:
    body = written(model=model, most=most, sampling=Sampling(max_output_tokens=cap))
    assert body["max_tokens"] == sent


def test_a_cap_beyond_what_the_model_writes_is_cut_and_said() -> None:
    result = encoded(most=8192, sampling=Sampling(max_output_tokens=100_000))
    assert json.loads(result.body)["max_tokens"] == 8192
    assert result.emulated == ("max_output_tokens",)


def test_instructions_go_before_the_conversation() -> None:
    result = encoded(
        Message("system", (Text("a", cache_mark=MARK),)), Message("developer", (Text("b"),)), USER
    )
    assert json.loads(result.body)["system"] == [
        {"type": "text", "text": "a", "cache_control": MARK},
        {"type": "text", "text": "b"},
    ]
    assert result.emulated == ()


def test_instructions_in_the_middle_are_moved_and_said() -> None:
    result = encoded(USER, Message("system", (Text("s"),)), USER)
    body = json.loads(result.body)
    assert body["system"] == "s"
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "x"}]}
    ]
    assert result.emulated == ("system",)


@pytest.mark.parametrize("before", [(), (USER, Message("assistant", (Text("hi"),)))])
def test_instructions_that_ask_for_the_answer_stay_at_the_end(
    before: tuple[Message, ...],
) -> None:
    result = encoded(*before, Message("system", (Text("s"),)))
    body = json.loads(result.body)
    assert "system" not in body
    assert body["messages"][-1] == {"role": "user", "content": "s"}
    assert result.emulated == ("system",)


def test_texts_without_a_visible_character_are_not_sent() -> None:
    body = written(
        Message("system", (Text(""),)),
        USER,
        Message("assistant", (Text(" \n"),)),
        Message("user", (Text(""), Text("y"))),
    )
    assert "system" not in body
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]}
    ]


def test_results_of_tools_are_one_turn_of_the_user() -> None:
    calls = (ToolCall("c 1", "f", '{"a": 1.10}'), ToolCall("", "f", ""))
    body = written(
        USER,
        Message("assistant", (Text("so"), *calls)),
        Message("tool", (ToolResult("c 1", (Text("r"),)),)),
        Message("tool", (ToolResult("", (Text(""),), is_error=True, cache_mark=MARK),)),
        USER,
    )
    assert body["messages"][1]["content"][1:] == [
        {"type": "tool_use", "id": "c_1", "name": "f", "input": {"a": 1.1}},
        {"type": "tool_use", "id": "toolu_", "name": "f", "input": {}},
    ]
    assert body["messages"][2] == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "c_1", "content": "r"},
            {
                "type": "tool_result",
                "tool_use_id": "toolu_",
                "is_error": True,
                "cache_control": MARK,
            },
            {"type": "text", "text": "x"},
        ],
    }


def test_arguments_keep_their_letters() -> None:
    call = ToolCall("c", "f", '{"b": 1.10, "a":1e5}')
    assert b'"input":{"b": 1.10, "a":1e5}' in encoded(USER, Message("assistant", (call,))).body


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ('{"a": ', {"arguments": '{"a": '}),
        ("[1]", {"arguments": "[1]"}),
        ("\ud83d", {"arguments": "\ud83d"}),
        ('{"a": "\ud83d"}', {"a": "\ud83d"}),
        (r'{"a": "\ud83d"}', {"a": "\ud83d"}),
    ],
)
def test_arguments_that_are_no_object_stand_in_one(arguments: str, value: Any) -> None:
    result = encoded(USER, Message("assistant", (ToolCall("c", "f", arguments),)), tools=(F,))
    (block,) = json.loads(result.body)["messages"][1]["content"]
    assert block["input"] == value
    assert result.emulated == (("arguments",) if "arguments" in value else ())


def test_half_a_surrogate_pair_goes_out_beside_exact_arguments() -> None:
    call = ToolCall("c", "f", '{"a": 1}')
    body = written(Message("user", (Text("\ud83d"),)), Message("assistant", (call,)))
    assert body["messages"][0]["content"] == "\ud83d"
    assert body["messages"][1]["content"][0]["input"] == {"a": 1}


def test_pictures_and_documents_find_their_sources() -> None:
    assert asked(
        Image("https://x/y.png", cache_mark=MARK),
        Image("data:image/png;base64,AAA="),
        Image("data:image/svg+xml,%3Csvg"),
        File(data="data:application/pdf;base64,JVBE", filename="a.pdf", cache_mark=MARK),
        File(data="data:text/csv;base64,YSxi"),
        File(data="data:,plain%21"),
        File(data="data:image/png;base64,AAA="),
        File(url="https://x/y.pdf"),
    ) == [
        {
            "type": "image",
            "source": {"type": "url", "url": "https://x/y.png"},
            "cache_control": MARK,
        },
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "AAA="},
        },
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/svg+xml", "data": "PHN2Zw=="},
        },
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
            "title": "a.pdf",
            "cache_control": MARK,
        },
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "a,b"},
        },
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "plain!"},
        },
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "AAA="},
        },
        {"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}},
    ]


@pytest.mark.parametrize(
    ("part", "feature"),
    [
        (Image("data:image/png"), "image"),
        (File(data="JVBE"), "file"),
        (File(data="data:text/plain;base64,/w=="), "file"),
        (File(data="data:text/plain;base64,?"), "file"),
        (File(data="data:text/plain;base64,\u00e9"), "file"),
        (Image("data:image/svg+xml,\ud83d"), "image"),
        (File(data="data:video/mp4;base64,AA=="), "file"),
        (File(file_id="file-1"), "file"),
        (Audio("AA", "wav"), "audio"),
        (Opaque("openai_chat", "content", {"type": "video_url"}), "content"),
        (Opaque("openai_chat", "tool_calls", {"custom": {}}), "tool_calls"),
    ],
)
def test_a_part_that_cannot_be_said_is_refused(part: Part, feature: str) -> None:
    with pytest.raises(InexpressibleError) as caught:
        asked(part)
    assert caught.value.feature == feature


@pytest.mark.parametrize(
    ("messages", "feature"),
    [
        ((Message("system", (Image("https://x"),)), USER), "system"),
        ((Message("user", (Text(" "),)),), "messages"),
        ((Message("system", (Text(""),)),), "messages"),
    ],
)
def test_a_conversation_that_cannot_be_said_is_refused(
    messages: tuple[Message, ...], feature: str
) -> None:
    with pytest.raises(InexpressibleError) as caught:
        encoded(*messages)
    assert caught.value.feature == feature


@pytest.mark.parametrize(
    ("fields", "feature"),
    [
        ({"sampling": Sampling(choices=2)}, "choices"),
        ({"sampling": Sampling(logprobs=True)}, "logprobs"),
        ({"sampling": Sampling(top_logprobs=2)}, "logprobs"),
        ({"sampling": Sampling(stop=("END", "\n"))}, "stop"),
        ({"extras": {"openai_chat.other_tools": [(0, {"type": "web_search"})]}}, "tools"),
        (
            {"answer_format": AnswerFormat("json_object"), "model": "claude-opus-5-5"},
            "answer_format",
        ),
    ],
)
def test_a_wish_that_cannot_be_fulfilled_is_refused(fields: dict[str, Any], feature: str) -> None:
    with pytest.raises(InexpressibleError) as caught:
        encoded(**fields)
    assert caught.value.feature == feature


def test_thinking_that_anthropic_has_signed_goes_back_and_no_other() -> None:
    signed = Thinking("hm", signature="s", signed_by=NAME)
    redacted = Thinking(redacted="x", signed_by=NAME)
    assert said(signed, redacted, Text("so"))[:2] == [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
    ]
    for part in (Thinking("hm"), Thinking("hm", signature="s", signed_by="gemini")):
        result = encoded(USER, Message("assistant", (part, Text("so"))))
        assert json.loads(result.body)["messages"][1]["content"] == "so"
        assert result.dropped == ("thinking",)


def test_what_changes_no_meaning_is_left_out_and_said() -> None:
    result = encoded(
        Message(
            "user",
            (Image("https://x", detail="low"), Text("x", citations=(Citation("gemini", {}),))),
            name="n",
            extras={"x_message": 1},
        ),
        Message(
            "assistant", (ToolCall("c", "f", "{}", extras={"index": 3, "x_call": 1}), Refusal("no"))
        ),
        sampling=Sampling(seed=0, presence_penalty=0.1, frequency_penalty=0.2),
        tools=(replace(F, extras={"x_tool": 1}, strict=False),),
        extras={"prediction": {"type": "content"}, "store": False},
    )
    assert result.dropped == (
        "prediction",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "x_message",
        "name",
        "detail",
        "citations",
        "x_call",
        "x_tool",
    )
    assert result.emulated == ("refusal",)


VISIBLE = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6).filter(str.strip)
IDS = st.from_regex(r"[a-zA-Z0-9_-]{1,6}", fullmatch=True)
CONTENT = st.one_of(
    st.builds(Text, VISIBLE, cache_mark=st.none() | st.just(MARK)),
    st.builds(Image, st.just("https://x") | st.just("data:image/png;base64,AAA=")),
    st.builds(File, data=st.just("data:application/pdf;base64,JVBE"), filename=st.none() | VISIBLE),
)
CALL = st.builds(
    ToolCall,
    IDS,
    VISIBLE,
    st.dictionaries(VISIBLE, st.integers() | VISIBLE, max_size=2).map(
        lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    ),
)
THOUGHT = st.builds(Thinking, VISIBLE, signature=IDS, signed_by=st.just(NAME))


def round_of(asked: Any, said: Any, results: Any) -> list[Message]:
    """A turn of the user, one of the model and the results of its tools."""
    messages = [Message("user", tuple(asked)), Message("assistant", tuple(said))]
    return [*messages, *(Message("tool", (result,)) for result in results)]


ROUND = st.builds(
    round_of,
    st.lists(CONTENT, min_size=1, max_size=3),
    st.lists(st.one_of(CONTENT, CALL, THOUGHT), min_size=1, max_size=3),
    st.lists(
        st.builds(ToolResult, IDS, st.lists(CONTENT, max_size=2).map(tuple), st.booleans()),
        min_size=1,
        max_size=2,
    ),
)


@given(st.lists(ROUND, min_size=1, max_size=3), st.lists(VISIBLE, max_size=2))
def test_any_conversation_is_the_same_when_it_is_read_again(
    rounds: list[list[Message]], instructions: list[str]
) -> None:
    """Two losses: instructions become one message, and so do turns of one role that meet."""
    talk = [message for messages in rounds for message in messages]
    system = [Message("system", (Text(text),)) for text in instructions]
    result = encoded(*system, *talk)
    again = decode_request(result.body)
    parts = tuple(Text(text) for text in instructions)
    expected = [Message("system", parts)] if parts else []
    assert list(again.messages) == expected + talk
    assert (result.dropped, set(result.emulated) - {"tools"}) == ((), set())
    assert encoded(*system, *talk) == result
