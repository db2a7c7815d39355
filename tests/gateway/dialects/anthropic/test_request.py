"""Requests of Anthropic's clients: read, and written again for Anthropic itself."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.errors import InvalidRequestError
from conduit.gateway.conversation import (
    AnswerFormat,
    ChatRequest,
    Citation,
    File,
    Image,
    Message,
    Opaque,
    Reasoning,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from conduit.gateway.dialects.anthropic.dialect import (
    NAME,
    decode_count_request,
    decode_request,
    encode_count_request,
    encode_request,
    refuse_native,
)
from conduit.gateway.dialects.target import InexpressibleError, Target

MARK = {"type": "ephemeral", "ttl": "1h"}
CITATION = {"type": "page_location", "cited_text": "c", "document_index": 0}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}
TOOL = {
    "name": "f",
    "description": "d",
    "input_schema": {"type": "object"},
    "strict": True,
    "cache_control": MARK,
    "defer_loading": True,
}
FULL: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 1024,
    "system": [{"type": "text", "text": "be brief", "cache_control": MARK}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": "AAA="},
                    "cache_control": MARK,
                },
                {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
                {"type": "document", "source": PDF, "title": "a.pdf", "cache_control": MARK},
                {"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}},
                {"type": "document", "source": {"type": "file", "file_id": "file_2"}},
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "né"},
                },
                {
                    "type": "document",
                    "source": PDF,
                    "context": "of last year",
                    "citations": {"enabled": True},
                },
                {"type": "search_result", "source": "s", "title": "t", "content": []},
                {"type": "text", "text": "t", "unknown": 1},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "redacted_thinking", "data": "xx"},
                {"type": "text", "text": "I say", "citations": [CITATION]},
                {
                    "type": "tool_use",
                    "id": "toolu_1",
                    "name": "f",
                    "input": {"b": 1, "a": [1.5, "x"]},
                    "caller": {"type": "direct"},
                },
                {"type": "tool_use", "id": "toolu_2", "name": "f", "input": {}},
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": [
                        {"type": "text", "text": "r"},
                        {"type": "image", "source": {"type": "url", "url": "https://x/z.png"}},
                    ],
                    "cache_control": MARK,
                },
                {"type": "tool_result", "tool_use_id": "toolu_2", "is_error": True},
                {"type": "text", "text": "and now?"},
            ],
        },
        {"role": "system", "content": "from now on in French"},
        {"role": "assistant", "content": "Oui", "x_message": 1},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "go on"},
    ],
    "stream": True,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 5,
    "stop_sequences": ["END", "\n"],
    "tools": [{"type": "web_search_20250305", "name": "web_search"}, TOOL],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 2048, "display": "omitted"},
    "output_config": {
        "effort": "low",
        "format": {"type": "json_schema", "schema": {"type": "object"}},
        "task_budget": {"type": "tokens", "total": 5},
    },
    "metadata": {"user_id": "u", "more": 1},
    "service_tier": "auto",
    "cache_control": {"type": "ephemeral"},
    "mcp_servers": [{"type": "url", "url": "https://x"}],
}


def decoded(**fields: Any) -> ChatRequest:
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
    return decode_request(json.dumps(body | fields).encode())


def written(request: ChatRequest) -> Any:
    encoded = encode_request(request, Target(request.model))
    assert (encoded.dropped, encoded.emulated, encoded.answer_tool) == ((), (), None)
    return json.loads(encoded.body)


def user(*content: Any) -> Any:
    return [{"role": "user", "content": list(content)}]


def test_nothing_of_a_request_is_lost() -> None:
    assert written(decode_request(json.dumps(FULL).encode())) == FULL


def test_a_request_decodes_into_named_parts() -> None:
    request = decode_request(json.dumps(FULL).encode())
    system, asked, answer, first, second, now, later, *_ = request.messages
    assert system == Message("system", (Text("be brief", cache_mark=MARK),))
    assert asked.parts[:3] == (
        Text("look"),
        Image("data:image/png;base64,AAA=", cache_mark=MARK),
        Image("https://x/y.png"),
    )
    assert asked.parts[4:8] == (
        File(data="data:application/pdf;base64,JVBE", filename="a.pdf", cache_mark=MARK),
        File(url="https://x/y.pdf"),
        File(file_id="file_2"),
        File(data="data:text/plain;base64,bsOp"),
    )
    opaque = [part for part in asked.parts if isinstance(part, Opaque)]
    kinds = [part.value["type"] for part in opaque]
    assert kinds == ["image", "document", "search_result", "text"]
    assert answer.parts[:5] == (
        Thinking("hm", signature="sig", signed_by=NAME),
        Thinking(redacted="xx", signed_by=NAME),
        Text("I say", citations=(Citation(NAME, CITATION, cited_text="c"),)),
        ToolCall("toolu_1", "f", '{"b":1,"a":[1.5,"x"]}', extras={"caller": {"type": "direct"}}),
        ToolCall("toolu_2", "f", "{}"),
    )
    assert first == Message(
        "tool",
        (ToolResult("toolu_1", (Text("r"), Image("https://x/z.png")), cache_mark=MARK),),
    )
    assert second == Message("tool", (ToolResult("toolu_2", (), is_error=True),))
    assert now == Message("user", (Text("and now?"),))
    assert later == Message("system", (Text("from now on in French"),))
    assert request.sampling.max_output_tokens == 1024
    assert request.sampling.stop == ("END", "\n")
    assert request.reasoning == Reasoning(
        enabled=True, effort="low", budget_tokens=2048, shown=False
    )
    assert request.tool_choice == ToolChoice("named", "f")
    assert request.parallel_tool_calls is False
    assert request.answer_format == AnswerFormat(
        "json_schema", schema={"type": "object"}, strict=True
    )
    assert (request.user, request.stream, request.dialect) == ("u", True, NAME)


@pytest.mark.parametrize(
    "fields",
    [
        {"system": "text"},
        {"thinking": {"type": "adaptive"}},
        {"thinking": {"type": "adaptive", "display": "summarized"}},
        {"thinking": {"type": "disabled"}},
        {"thinking": {"type": "between_tools"}},
        {"thinking": {"type": "adaptive", "block_binding": {"x": 1}}},
        {"thinking": {"type": "new_form"}},
        {"output_config": {"effort": "max"}},
        {"tool_choice": {"type": "auto"}},
        {"tool_choice": {"type": "none"}, "tools": [TOOL]},
        {"tool_choice": {"type": "any"}, "tools": [TOOL]},
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}, "tools": [TOOL]},
        {"tools": [{"name": "f", "input_schema": {}}]},
        {"max_tokens": 0},
        {"messages": [{"role": "user", "content": []}]},
        {"messages": [{"role": "user", "content": "cut \ud83d"}]},
        {"messages": user({"type": "mid_conv_system", "content": []})},
        {"messages": user({"type": "tool_result", "tool_use_id": "t", "content": "r", "x": 1})},
        {"messages": user({"type": "image", "source": {"type": "url", "url": "u", "x": 1}})},
        {"messages": user({"type": "image", "source": {"type": "url", "url": "data:,x"}})},
        {"messages": user({"type": "image", "source": {"type": "url", "url": "u"}, "x": 1})},
        {
            "messages": user(
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png;x", "data": ""},
                }
            )
        },
        {
            "messages": user(
                {"type": "document", "source": {"type": "content", "content": "x"}},
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "text/csv", "data": "YQ=="},
                },
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "\ud83d"},
                },
            )
        },
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": [
                        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": "\ud83d"}}
                    ],
                }
            ]
        },
    ],
)
def test_rare_forms_come_back_as_they_were(fields: dict[str, Any]) -> None:
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
    assert written(decoded(**fields)) == body | fields


def test_what_says_nothing_is_not_written_again() -> None:
    request = decoded(
        metadata={"user_id": None},
        tool_choice={"type": "auto", "disable_parallel_tool_use": False},
        messages=user(
            {"type": "document", "source": PDF, "citations": {"enabled": False}, "context": None},
            {"type": "text", "text": "t", "citations": None, "parsed_output": None},
            {"type": "tool_result", "tool_use_id": "t", "is_error": False, "content": []},
        ),
    )
    assert request.parallel_tool_calls is True
    assert written(request) == {
        "model": "m",
        "max_tokens": 5,
        "messages": user(
            {"type": "document", "source": PDF},
            {"type": "text", "text": "t"},
            {"type": "tool_result", "tool_use_id": "t"},
        ),
        "tool_choice": {"type": "auto"},
    }


def test_the_schema_of_the_beta_is_written_where_it_stands_now() -> None:
    wanted = {"type": "json_schema", "schema": {"type": "object"}}
    assert written(decoded(output_format=wanted))["output_config"] == {"format": wanted}


def test_thinking_that_is_off_is_off_whatever_its_form() -> None:
    assert decoded(thinking={"type": "between_tools"}).reasoning.enabled is False
    assert decoded(thinking={"type": "new_form"}).reasoning.enabled is None


def test_turns_of_one_role_are_one_turn() -> None:
    messages = [
        {"role": "user", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "b"}]},
    ]
    assert written(decoded(messages=messages))["messages"] == user(
        {"type": "text", "text": "a"}, {"type": "text", "text": "b"}
    )


def test_what_another_provider_has_signed_is_known_when_it_comes_back() -> None:
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "conduit:gemini:s"},
        {"type": "redacted_thinking", "data": "conduit:openai_responses:e"},
        {"type": "thinking", "thinking": "unsigned", "signature": ""},
        block | {"signature": "conduit:gemini:c"},
    ]
    request = decoded(messages=[{"role": "assistant", "content": content}])
    assert request.messages[0].parts == (
        Thinking("hm", signature="s", signed_by="gemini"),
        Thinking(redacted="e", signed_by="openai_responses"),
        Thinking("unsigned"),
        ToolCall("t", "f", "{}", signature="c", signed_by="gemini"),
    )
    encoded = encode_request(request, Target("m"))
    assert json.loads(encoded.body)["messages"] == [{"role": "assistant", "content": [block]}]
    assert encoded.dropped == ("thinking",)


BUDGET = {"type": "enabled", "budget_tokens": 2048}
ADAPTIVE = {"type": "adaptive"}
RESULT_BLOCK = {"type": "tool_result", "tool_use_id": "t"}


@pytest.mark.parametrize(
    ("signature", "last", "thinking", "dropped"),
    [
        ("conduit:gemini:s", RESULT_BLOCK, BUDGET, ("thinking", "reasoning")),
        ("conduit:gemini:s", RESULT_BLOCK, ADAPTIVE, ("thinking",)),
        ("conduit:gemini:s", {"type": "text", "text": "x"}, BUDGET, ("thinking",)),
        ("s", RESULT_BLOCK, BUDGET, ()),
    ],
)
def test_a_budget_is_left_out_where_another_provider_has_thought_before_its_calls(
    signature: str, last: Any, thinking: Any, dropped: tuple[str, ...]
) -> None:
    said = [
        {"type": "thinking", "thinking": "hm", "signature": signature},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    ]
    messages = [*user(last), {"role": "assistant", "content": said}, *user(last)]
    encoded = encode_request(decoded(messages=messages, thinking=thinking), Target("m"))
    expected = None if "reasoning" in dropped else thinking
    assert json.loads(encoded.body).get("thinking") == expected
    assert encoded.dropped == dropped


def test_a_citation_of_another_provider_is_not_sent_to_anthropic() -> None:
    citation = {"type": "web_search_result_location", "url": "u", "encrypted_index": ""}
    block = {"type": "text", "text": "t", "citations": [citation, CITATION]}
    encoded = encode_request(
        decoded(messages=[{"role": "assistant", "content": [block]}]), Target("m")
    )
    (turn,) = json.loads(encoded.body)["messages"]
    assert turn["content"] == [block | {"citations": [CITATION]}]
    assert encoded.dropped == ("citations",)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [5]}, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": user(5)}, "messages[0].content[0]"),
        ({"messages": user({})}, "messages[0].content[0].type"),
        ({"messages": user({"type": "text"})}, "messages[0].content[0].text"),
        (
            {"messages": user({"type": "text", "text": "x", "cache_control": 5})},
            "messages[0].content[0].cache_control",
        ),
        (
            {"messages": user({"type": "text", "text": "x", "citations": 5})},
            "messages[0].content[0].citations",
        ),
        ({"messages": user({"type": "image"})}, "messages[0].content[0].source"),
        ({"messages": user({"type": "document"})}, "messages[0].content[0].source"),
        ({"messages": user({"type": "thinking"})}, "messages[0].content[0].thinking"),
        ({"messages": user({"type": "redacted_thinking"})}, "messages[0].content[0].data"),
        ({"messages": user({"type": "tool_use"})}, "messages[0].content[0].input"),
        ({"messages": user({"type": "tool_use", "input": {}})}, "messages[0].content[0].id"),
        (
            {"messages": user({"type": "tool_use", "input": []})},
            "messages[0].content[0].input",
        ),
        ({"messages": user({"type": "tool_result"})}, "messages[0].content[0].tool_use_id"),
        (
            {
                "messages": user(
                    {"type": "tool_result", "tool_use_id": "t", "content": [{"type": 5}]}
                )
            },
            "messages[0].content[0].content[0].type",
        ),
        ({"system": 5}, "system"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"stop_sequences": [5]}, "stop_sequences"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{"name": "f", "type": 5}]}, "tools[0].type"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"thinking": "on"}, "thinking"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 5}}, "thinking.budget_tokens"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"output_config": {"effort": 5}}, "output_config.effort"),
        ({"metadata": {"user_id": 5}}, "metadata.user_id"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        decoded(**fields)
    assert caught.value.param == param


@given(
    st.dictionaries(
        st.sampled_from(list(FULL)),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=4),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["type", "role", "content", "name"]), inner)
            ),
            max_leaves=5,
        ),
        max_size=6,
    )
)
def test_any_body_is_a_request_or_refused(fields: dict[str, Any]) -> None:
    try:
        request = decoded(**fields)
    except InvalidRequestError:
        return
    assert isinstance(request, ChatRequest)


@pytest.mark.parametrize(
    ("fields", "feature"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools"),
        ({"mcp_servers": [{"type": "url", "url": "https://x"}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
    ],
)
def test_what_runs_at_anthropic_alone_is_refused_for_other_providers(
    fields: dict[str, Any], feature: str
) -> None:
    with pytest.raises(InexpressibleError) as caught:
        refuse_native(decoded(**fields))
    assert caught.value.feature == feature


def test_everything_else_may_be_asked_of_other_providers() -> None:
    refuse_native(decoded(tools=[TOOL], container=None))
    refuse_native(ChatRequest("m", (), extras={"container": "c"}, dialect="openai_chat"))


def test_counting_takes_a_request_without_a_cap() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": [TOOL]}
    request = decode_count_request(json.dumps(body).encode())
    encoded = encode_count_request(request, Target("m"))
    assert json.loads(encoded.body) == body


def test_counting_asks_nothing_of_how_an_answer_is_drawn() -> None:
    request = decode_request(json.dumps(FULL).encode())
    counted = json.loads(encode_count_request(request, Target("m")).body)
    assert counted.keys() == FULL.keys() - {
        "max_tokens",
        "stream",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "metadata",
        "service_tier",
    }


TEXTS = st.text(max_size=8)
MARKS = st.fixed_dictionaries({}, optional={"cache_control": st.just(MARK)})


def block(**fields: Any) -> Any:
    return st.builds(lambda given, mark: given | mark, st.fixed_dictionaries(fields), MARKS)


TEXT_BLOCK = block(type=st.just("text"), text=TEXTS)
IMAGE = block(type=st.just("image"), source=st.just({"type": "url", "url": "https://x"}))
BLOCKS = st.one_of(
    TEXT_BLOCK,
    IMAGE,
    block(type=st.just("document"), source=st.just(PDF)),
    block(type=st.just("container_upload"), file_id=TEXTS),
)
RESULT = block(
    type=st.just("tool_result"),
    tool_use_id=st.from_regex(r"[a-z_-]{1,5}", fullmatch=True),
    content=st.lists(TEXT_BLOCK | IMAGE, min_size=2, max_size=3),
)
SAID = st.one_of(
    TEXT_BLOCK,
    st.fixed_dictionaries(
        {"type": st.just("thinking"), "thinking": TEXTS, "signature": TEXTS.filter(bool)}
    ),
    block(
        type=st.just("tool_use"),
        id=st.from_regex(r"[a-z_-]{1,5}", fullmatch=True),
        name=TEXTS,
        input=st.dictionaries(TEXTS, st.integers() | TEXTS, max_size=2),
    ),
)


def turns(asked: list[Any], said: list[Any]) -> Any:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]


@given(
    st.lists(
        st.builds(
            turns,
            st.lists(RESULT | BLOCKS, min_size=2, max_size=4),
            st.lists(SAID, min_size=2, max_size=4),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_any_conversation_goes_there_and_back(pairs: list[Any]) -> None:
    # One text alone is written as the string that it is, so every turn here has two blocks.
    messages = [turn for pair in pairs for turn in pair]
    request = decoded(messages=messages)
    encoded = encode_request(request, Target("m"))
    assert json.loads(encoded.body)["messages"] == messages
    assert decode_request(encoded.body) == request
    assert encode_request(decode_request(encoded.body), Target("m")) == encoded
