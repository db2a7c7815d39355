"""Requests to providers that speak Gemini's format."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from conduit.gateway.conversation import (
    AnswerFormat,
    Audio,
    ChatRequest,
    Citation,
    File,
    Image,
    Message,
    Opaque,
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
from conduit.gateway.dialects.gemini.dialect import FIELD_NAMES, encode_request
from conduit.gateway.dialects.target import EncodedRequest, InexpressibleError, Target

OLD, NEW = "gemini-2.5-flash", "gemini-3-pro-preview"
MARK = {"type": "ephemeral"}
USER = Message("user", (Text("hi"),))
CALL = ToolCall("c1", "f", '{"a":1}')
SKIP = "skip_thought_signature_validator"


def asked(*messages: Message, **fields: Any) -> ChatRequest:
    return ChatRequest("m", messages or (USER,), dialect="openai_chat", **fields)


def sent(request: ChatRequest, model: str = NEW) -> Any:
    return json.loads(encoded(request, model).body)


def encoded(request: ChatRequest, model: str = NEW) -> EncodedRequest:
    return encode_request(request, Target(model))


NONE = Reasoning(enabled=False)


@pytest.mark.parametrize(
    ("reasoning", "model", "thinking"),
    [
        (Reasoning(), OLD, None),
        (Reasoning(shown=True), OLD, {"includeThoughts": True}),
        (Reasoning(effort="low"), OLD, {"thinkingBudget": 1024}),
        (Reasoning(effort="xhigh"), OLD, {"thinkingBudget": 24576}),
        (Reasoning(enabled=True), OLD, {"thinkingBudget": -1}),
        (Reasoning(budget_tokens=77, effort="low"), OLD, {"thinkingBudget": 77}),
        (NONE, OLD, {"thinkingBudget": 0}),
        (Reasoning(effort="none", budget_tokens=5), OLD, {"thinkingBudget": 0}),
        (NONE, "gemini-2.5-pro", {"thinkingBudget": 128}),
        (NONE, "gemini-2.0-flash", None),
        (Reasoning(), "gemini-2.0-flash", None),
        (Reasoning(effort="high"), "gemini-2.0-flash", None),
        (Reasoning(effort="minimal"), "gemini-3-flash", {"thinkingLevel": "MINIMAL"}),
        (Reasoning(effort="minimal"), NEW, {"thinkingLevel": "LOW"}),
        (Reasoning(effort="max"), NEW, {"thinkingLevel": "HIGH"}),
        (Reasoning(enabled=True), NEW, None),
        (Reasoning(budget_tokens=77), NEW, {"thinkingBudget": 77}),
        (NONE, "gemini-flash-latest", {"thinkingLevel": "MINIMAL"}),
        (Reasoning(effort="odd"), NEW, None),
    ],
)
def test_thinking_is_asked_for_in_the_words_of_the_model(
    reasoning: Reasoning, model: str, thinking: dict[str, Any] | None
) -> None:
    config = sent(asked(reasoning=reasoning), model).get("generationConfig", {})
    assert config.get("thinkingConfig") == thinking


def test_what_cannot_be_said_of_thinking_is_told() -> None:
    assert encoded(asked(reasoning=Reasoning(effort="odd"))).dropped == ("effort",)
    assert encoded(asked(reasoning=NONE)).emulated == ("reasoning",)
    assert encoded(asked(reasoning=NONE), "gemini-2.5-pro").emulated == ("reasoning",)
    assert encoded(asked(reasoning=NONE), OLD).emulated == ()
    old = encoded(asked(reasoning=Reasoning(effort="low")), "gemini-2.0-flash")
    assert old.dropped == ("reasoning",)


def test_thinking_goes_to_the_provider_that_signed_it_alone() -> None:
    message = Message(
        "assistant",
        (
            Thinking("theirs", "x", signed_by="anthropic_messages"),
            Thinking("unsigned"),
            Thinking(redacted="r", signed_by="gemini"),
            Thinking("ours", "c2ln", signed_by="gemini"),
            Thinking("shown", signed_by="gemini"),
            Text("a"),
            Thinking("", "dGV4", signed_by="gemini"),
            Thinking("", "dGV5", signed_by="gemini", extras={"of": "text"}),
            Thinking("", signed_by="gemini"),
            Text("b"),
            Thinking("", "dGV6", signed_by="gemini", extras={"of": "text"}),
            replace(CALL, signature="y", signed_by="anthropic_messages"),
            replace(CALL, id="c2", signature="Y2Fs", signed_by="gemini"),
        ),
    )
    result = encoded(asked(message))
    assert result.dropped == ("thinking",)
    call = {"name": "f", "args": {"a": 1}}
    assert json.loads(result.body)["contents"][0]["parts"] == [
        {"text": "ours", "thought": True, "thoughtSignature": "c2ln"},
        {"text": "shown", "thought": True},
        {"text": "a"},
        {"text": "", "thoughtSignature": "dGV4"},
        {"text": "", "thoughtSignature": "dGV5"},
        {"text": "b", "thoughtSignature": "dGV6"},
        {"functionCall": {"id": "c1", **call}},
        {"functionCall": {"id": "c2", **call}, "thoughtSignature": "Y2Fs"},
    ]


def test_calls_that_nobody_signed_are_excused_where_signatures_are_checked() -> None:
    first, second = CALL, replace(CALL, id="c2")
    request = asked(
        USER, Message("assistant", (Text("so"), first)), Message("assistant", (second,))
    )
    (_, model) = sent(request, NEW)["contents"]
    assert [part.get("thoughtSignature") for part in model["parts"]] == [None, SKIP, None]
    assert SKIP not in json.dumps(sent(request, OLD))
    assert SKIP not in json.dumps(sent(request, "gemma-4"))
    assert SKIP not in json.dumps(sent(replace(request, dialect="gemini"), NEW))


def test_responses_to_parallel_calls_stand_in_one_content() -> None:
    image = Image("data:image/png;base64,AAAA")
    calls = Message("assistant", (CALL, replace(CALL, id="c2", name="g")))
    results = (
        Message("tool", (ToolResult("c1", (Text("1"), image)),)),
        Message("tool", (ToolResult("c2", (Text('{"b": 2}'),)), Text("and"))),
        Message("user", (Text("so?"),)),
    )
    request = asked(USER, calls, *results)
    blob = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    new = sent(request, NEW)["contents"][2:]
    assert new == [
        {
            "role": "user",
            "parts": [
                {
                    "functionResponse": {
                        "id": "c1",
                        "name": "f",
                        "response": {"output": "1"},
                        "parts": [blob],
                    }
                },
                {"functionResponse": {"id": "c2", "name": "g", "response": {"b": 2}}},
            ],
        },
        {"role": "user", "parts": [{"text": "and"}]},
        {"role": "user", "parts": [{"text": "so?"}]},
    ]
    old = encoded(request, OLD)
    assert old.emulated == ("tool_result",)
    contents = json.loads(old.body)["contents"][2:]
    assert [len(content["parts"]) for content in contents] == [2, 1, 1, 1]
    assert contents[1] == {"role": "user", "parts": [blob]}


@pytest.mark.parametrize(
    ("result", "response"),
    [
        (ToolResult("c1", ()), {}),
        (ToolResult("c1", (Text(""),)), {"output": ""}),
        (ToolResult("c1", (Text("{broken"),)), {"output": "{broken"}),
        (ToolResult("c1", (Text("a"), Text("b"))), {"output": ["a", "b"]}),
        (ToolResult("c1", (Text("bad"),), is_error=True), {"error": "bad"}),
        (ToolResult("c1", (Text('{"a":1}'),), is_error=True), {"error": {"a": 1}}),
        (ToolResult("c1", (), is_error=True), {"error": ""}),
    ],
)
def test_the_result_of_a_tool_is_an_object(result: ToolResult, response: dict[str, Any]) -> None:
    request = asked(Message("assistant", (CALL,)), Message("tool", (result,)))
    part = sent(request)["contents"][1]["parts"][0]["functionResponse"]
    assert part == {"id": "c1", "name": "f", "response": response}


def test_media_are_data_or_addresses() -> None:
    message = Message(
        "user",
        (
            Image("https://x/y.webp?a=1", detail="high", cache_mark=MARK),
            Image("https://x/y", detail="auto"),
            Image("data:image/gif,%00%01"),
            Image("data:,a"),
            Audio("AAAA", "pcm16"),
            File(data="data:;base64,AAAA", filename="n"),
            File(url="gs://b/c.pdf"),
        ),
    )
    result = encoded(asked(message))
    assert result.dropped == ("cache_mark", "detail", "filename")
    assert json.loads(result.body)["contents"][0]["parts"] == [
        {"fileData": {"mimeType": "image/webp", "fileUri": "https://x/y.webp?a=1"}},
        {"fileData": {"fileUri": "https://x/y"}},
        {"inlineData": {"mimeType": "image/gif", "data": "AAE="}},
        {"inlineData": {"mimeType": "text/plain", "data": "YQ=="}},
        {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": "AAAA"}},
        {"inlineData": {"mimeType": "text/plain", "data": "AAAA"}},
        {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://b/c.pdf"}},
    ]


def test_instructions_stand_before_the_contents() -> None:
    result = encoded(
        asked(
            Message("system", (Text("a", cache_mark=MARK),)),
            USER,
            Message("developer", (Text("b"),)),
        )
    )
    body = json.loads(result.body)
    assert body["systemInstruction"] == {"parts": [{"text": "a"}, {"text": "b"}]}
    assert (result.dropped, result.emulated) == (("cache_mark",), ("system",))
    alone = encoded(asked(Message("system", (Text("a"),))))
    assert json.loads(alone.body) == {"contents": [{"role": "user", "parts": [{"text": "a"}]}]}
    assert alone.emulated == ("system",)


def test_what_does_not_change_the_meaning_is_left_out_and_told() -> None:
    citation = Citation("anthropic_messages", {})
    request = ChatRequest(
        "m",
        (
            Message("user", (Text("a", cache_mark=MARK),), name="joe", extras={"x_message": 1}),
            Message("assistant", (Text("b", citations=(citation,)), Refusal("no"))),
            Message("assistant", (Text(""),)),
            Message("assistant", (replace(CALL, cache_mark=MARK, extras={"x_call": 1}),)),
            Message("tool", (ToolResult("c1", (Text("r"),), cache_mark=MARK),)),
        ),
        tools=(Tool("f", cache_mark=MARK, strict=True, extras={"x_tool": 1}),),
        parallel_tool_calls=False,
        user="u",
        extras={"x_request": 1},
        dialect="openai_chat",
    )
    result = encoded(request)
    assert set(result.dropped) == {
        "name",
        "x_message",
        "cache_mark",
        "citations",
        "x_call",
        "strict",
        "x_tool",
        "user",
        "parallel_tool_calls",
        "x_request",
    }
    assert result.emulated == ("refusal",)
    body = json.loads(result.body)
    assert [content["role"] for content in body["contents"]] == ["user", "model", "user"]
    assert body["contents"][1]["parts"][:2] == [{"text": "b"}, {"text": "no"}]
    assert "x_" not in json.dumps(body)


@pytest.mark.parametrize(
    ("request_", "feature"),
    [
        (asked(Message("user", (Opaque("openai_chat", "content", {}),))), "content"),
        (asked(Message("user", (File(file_id="f"),))), "file"),
        (asked(Message("user", (File(data="plain"),))), "file"),
        (asked(Message("user", (Image("data:image/png"),))), "image"),
        (asked(Message("assistant", (replace(CALL, arguments="[1]"),))), "arguments"),
        (asked(Message("assistant", (replace(CALL, arguments="{"),))), "arguments"),
        (asked(Message("tool", (ToolResult("c9", ()),))), "tool_call_id"),
        (
            asked(Message("assistant", (CALL,)), Message("tool", (ToolResult("c1", (CALL,)),))),
            "tool_result",
        ),
        (asked(Message("system", (Image("https://x"),))), "system"),
        (asked(Message("user", (Text(""),))), "messages"),
    ],
)
def test_what_would_change_the_meaning_is_refused(request_: ChatRequest, feature: str) -> None:
    with pytest.raises(InexpressibleError) as caught:
        encoded(request_)
    assert caught.value.feature == feature
    assert feature in FIELD_NAMES


def test_a_result_is_found_by_the_name_of_its_message() -> None:
    request = asked(Message("tool", (ToolResult("c9", (Text("r"),)),), name="f"))
    part = sent(request)["contents"][0]["parts"][0]["functionResponse"]
    assert part["name"] == "f"
    assert encoded(request).dropped == ()


def test_empty_arguments_are_none() -> None:
    call = replace(CALL, arguments="")
    part = sent(asked(Message("assistant", (call,))))["contents"][0]["parts"][0]
    assert part["functionCall"] == {"id": "c1", "name": "f", "args": {}}


def test_sampling_keeps_to_what_the_target_takes() -> None:
    sampling = Sampling(max_output_tokens=100, seed=2**40 + 3, top_logprobs=2, choices=1)
    body = encode_request(asked(sampling=sampling), Target(NEW, max_output_tokens=50)).body
    assert json.loads(body)["generationConfig"] == {"maxOutputTokens": 50, "seed": 3}


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (ToolChoice("auto"), {"mode": "AUTO"}),
        (ToolChoice("none"), {"mode": "NONE"}),
        (ToolChoice("required"), {"mode": "ANY"}),
        (ToolChoice("named", "f"), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    ],
)
def test_choices_of_tools(choice: ToolChoice, written: dict[str, Any]) -> None:
    request = asked(tools=(Tool("f"),), tool_choice=choice)
    assert sent(request)["toolConfig"] == {"functionCallingConfig": written}
    assert "toolConfig" not in sent(asked(tool_choice=choice))


SCHEMA = {"type": "object", "properties": {"a": {"const": "x"}}}
WANTED = AnswerFormat("json_schema", name="n", schema=SCHEMA, strict=True)
TOOLS = (Tool("f", parameters={"type": "object"}), Tool("n"))


def test_a_schema_is_asked_for_natively() -> None:
    config = {
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object", "properties": {"a": {"enum": ["x"]}}},
    }
    for request, model in (
        (asked(answer_format=WANTED), OLD),
        (asked(answer_format=WANTED, tools=TOOLS), NEW),
    ):
        result = encoded(request, model)
        assert json.loads(result.body)["generationConfig"] == config
        assert (result.answer_tool, result.emulated) == (None, ())
    plain = sent(asked(answer_format=AnswerFormat("json_object")))
    assert plain["generationConfig"] == {"responseMimeType": "application/json"}
    assert sent(asked(answer_format=AnswerFormat("json_schema"))) == plain


@pytest.mark.parametrize(
    ("tools", "choice", "calling"),
    [
        (TOOLS, None, {"mode": "ANY"}),
        (TOOLS, ToolChoice("auto"), {"mode": "ANY"}),
        (TOOLS, ToolChoice("none"), {"mode": "ANY", "allowedFunctionNames": ["n_"]}),
    ],
)
def test_a_schema_beside_tools_is_one_more_tool_for_older_models(
    tools: tuple[Tool, ...], choice: ToolChoice | None, calling: dict[str, Any]
) -> None:
    result = encoded(asked(answer_format=WANTED, tools=tools, tool_choice=choice), OLD)
    body = json.loads(result.body)
    assert result.answer_tool == "n_"
    assert result.emulated == ("answer_format",)
    assert body["toolConfig"] == {"functionCallingConfig": calling}
    (declared,) = body["tools"]
    answer = declared["functionDeclarations"][-1]
    assert answer["name"] == "n_"
    assert answer["parametersJsonSchema"]["properties"] == {"a": {"enum": ["x"]}}
    assert "generationConfig" not in body


def test_a_target_without_schemas_is_forced_to_call() -> None:
    target = Target(NEW, schema=False)
    result = encode_request(asked(answer_format=WANTED), target)
    assert result.answer_tool == "n"
    assert json.loads(result.body)["toolConfig"]["functionCallingConfig"] == {
        "mode": "ANY",
        "allowedFunctionNames": ["n"],
    }
    plain = encode_request(asked(answer_format=AnswerFormat("json_object")), target)
    assert plain.answer_tool is None
    listing = AnswerFormat("json_schema", schema={"type": "array"})
    with pytest.raises(InexpressibleError) as caught:
        encode_request(asked(answer_format=listing), target)
    assert caught.value.feature == "answer_format"


def test_the_form_of_the_text_says_nothing_where_a_call_is_forced() -> None:
    request = asked(answer_format=WANTED, tools=TOOLS, tool_choice=ToolChoice("required"))
    result = encoded(request, OLD)
    assert (result.answer_tool, result.dropped) == (None, ("answer_format",))
    assert "generationConfig" not in json.loads(result.body)


def test_half_a_surrogate_pair_gets_through() -> None:
    request = asked(
        Message("assistant", (Text("cut \ud83d"), replace(CALL, arguments='{"a":"\\ud83d"}')))
    )
    parts = sent(request)["contents"][0]["parts"]
    assert parts[0]["text"] == "cut \ud83d"
    assert parts[1]["functionCall"]["args"] == {"a": "\ud83d"}
    answered = asked(
        Message("assistant", (CALL,)), Message("tool", (ToolResult("c1", (Text("\ud83d"),)),))
    )
    assert sent(answered)["contents"][1]["parts"][0]["functionResponse"]["response"] == {
        "output": "\ud83d"
    }
