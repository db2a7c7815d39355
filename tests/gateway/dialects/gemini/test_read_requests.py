"""Requests of Gemini's clients."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from conduit.core.errors import InvalidRequestError
from conduit.gateway.conversation import (
    AnswerFormat,
    Audio,
    ChatRequest,
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
from conduit.gateway.dialects.gemini.dialect import decode_request, encode_request
from conduit.gateway.dialects.gemini.signatures import write_redacted, write_signature
from conduit.gateway.dialects.target import EncodedRequest, Target

NEW = "gemini-3-pro-preview"

FULL: dict[str, Any] = {
    "systemInstruction": {"parts": [{"text": "be brief"}], "future": 1},
    "contents": [
        {
            "role": "user",
            "parts": [
                {"text": "look"},
                {"inlineData": {"mimeType": "image/png", "data": "AA+/"}},
                {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
                {"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}},
                {"fileData": {"mimeType": "image/png", "fileUri": "https://x/y.png"}},
                {"fileData": {"mimeType": "application/pdf", "fileUri": "https://x/y.pdf"}},
                {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://bucket/v"}},
                {"text": "odd", "partMetadata": {"a": 1}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"text": "I think", "thought": True},
                {"text": "hard", "thought": True, "thoughtSignature": "c2ln"},
                {"text": "said", "thoughtSignature": "dGV4"},
                {"text": "", "thoughtSignature": "dGV5"},
                {"executableCode": {"language": "PYTHON", "code": "1"}},
                {
                    "functionCall": {"id": "c1", "name": "f", "args": {"a_b": [1.5]}},
                    "thoughtSignature": "Y2Fs",
                },
                {"functionCall": {"name": "f", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {
                    "functionResponse": {
                        "id": "c1",
                        "name": "f",
                        "response": {"output": "done"},
                        "parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}],
                    }
                },
                {"functionResponse": {"name": "f", "response": {"error": "bad"}}},
            ],
        },
        {"role": "model", "parts": [{"thoughtSignature": "YWxv", "thought": True, "text": ""}]},
    ],
    "tools": [
        {
            "functionDeclarations": [
                {
                    "name": "f",
                    "description": "d",
                    "parametersJsonSchema": {"type": "object"},
                    "behavior": "BLOCKING",
                }
            ]
        },
        {"googleSearch": {}},
    ],
    "toolConfig": {
        "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]},
        "retrievalConfig": {"languageCode": "en"},
    },
    "generationConfig": {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "candidateCount": 2,
        "maxOutputTokens": 50,
        "stopSequences": ["a", "b"],
        "seed": -7,
        "presencePenalty": 0.1,
        "frequencyPenalty": -0.1,
        "responseLogprobs": True,
        "logprobs": 3,
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object"},
        "responseModalities": ["TEXT"],
        "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "LOW"},
    },
    "safetySettings": [{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_NONE"}],
    "cachedContent": "cachedContents/x",
    "labels": {"team_name": "a"},
}


def decoded(fields: Mapping[str, Any], model: str = NEW) -> ChatRequest:
    body = {"contents": [{"parts": [{"text": "x"}]}]} | dict(fields)
    return decode_request(json.dumps(body).encode(), model=model, stream=False)


def parts_of(*parts: Any, role: str = "model") -> tuple[Part, ...]:
    (message,) = decoded({"contents": [{"role": role, "parts": list(parts)}]}).messages
    return message.parts


def sent(request: ChatRequest, model: str = NEW) -> Any:
    return json.loads(encoded(request, model).body)


def encoded(request: ChatRequest, model: str = NEW) -> EncodedRequest:
    return encode_request(request, Target(model))


def test_nothing_of_a_request_is_lost() -> None:
    request = decoded(FULL)
    result = encoded(request)
    assert json.loads(result.body) == FULL
    assert (result.dropped, result.emulated, result.answer_tool) == ((), (), None)


def test_a_request_decodes_into_named_parts() -> None:
    request = decode_request(json.dumps(FULL).encode(), model=NEW, stream=True)
    assert (request.model, request.stream, request.wants_stream_usage) == (NEW, True, True)
    assert request.dialect == "gemini"
    system, user, model, first, second, last = request.messages
    assert system == Message("system", (Text("be brief"),), extras={"future": 1})
    assert user.parts == (
        Text("look"),
        Image("data:image/png;base64,AA+/"),
        Audio("AAAA", "wav"),
        File(data="data:application/pdf;base64,AAAA"),
        Image("https://x/y.png"),
        File(url="https://x/y.pdf"),
        Opaque("gemini", "parts", FULL["contents"][0]["parts"][6]),
        Opaque("gemini", "parts", FULL["contents"][0]["parts"][7]),
    )
    call, other = model.parts[-2:]
    assert call == ToolCall("c1", "f", '{"a_b":[1.5]}', signature="Y2Fs", signed_by="gemini")
    assert isinstance(other, ToolCall)
    assert model.parts[:-2] == (
        Thinking("I think", signed_by="gemini"),
        Thinking("hard", "c2ln", signed_by="gemini"),
        Text("said"),
        Thinking("", "dGV4", signed_by="gemini", extras={"of": "text"}),
        Thinking("", "dGV5", signed_by="gemini"),
        Opaque("gemini", "parts", FULL["contents"][1]["parts"][4]),
    )
    assert first == Message(
        "tool", (ToolResult("c1", (Text("done"), Image("data:image/png;base64,AAAA"))),)
    )
    assert second == Message("tool", (ToolResult(other.id, (Text("bad"),), is_error=True),))
    assert last.parts == (Thinking("", "YWxv", signed_by="gemini", extras={"thought": True}),)
    assert request.tools == (Tool("f", "d", {"type": "object"}, extras={"behavior": "BLOCKING"}),)
    assert request.tool_choice == ToolChoice("named", "f")
    assert request.answer_format == AnswerFormat("json_schema", schema={"type": "object"})
    assert request.reasoning == Reasoning(effort="low", shown=True)
    assert request.sampling == Sampling(
        0.5, 0.9, 40, -7, ("a", "b"), 50, 2, 0.1, -0.1, logprobs=True, top_logprobs=3
    )
    assert set(request.extras) == {
        "safetySettings",
        "cachedContent",
        "labels",
        "tools.googleSearch",
        "toolConfig.retrievalConfig",
        "generationConfig.responseModalities",
    }


def test_snake_case_says_the_same() -> None:
    body = {
        "system_instruction": {"role": "user", "parts": {"text": "s"}},
        "contents": {
            "role": "model",
            "parts": [
                {"function_call": {"name": "f", "args": {"a_b": 1}}, "thought_signature": "c2ln"},
                {"inline_data": {"mime_type": "image/png", "data": "_-8"}},
            ],
        },
        "tools": {"function_declarations": [{"name": "f", "parameters_json_schema": {"x_y": 1}}]},
        "tool_config": {"function_calling_config": {"mode": "any"}},
        "generation_config": {
            "top_k": 3.0,
            "max_output_tokens": 5,
            "_responseJsonSchema": {"a_b": 1},
            "response_mime_type": "application/json",
            "thinking_config": {"thinking_budget": 9, "include_thoughts": False},
        },
        "safety_settings": [{"a_b": 1}],
    }
    request = decode_request(json.dumps(body).encode(), model=NEW, stream=False)
    system, model = request.messages
    call, image = model.parts
    assert system == Message("system", (Text("s"),))
    assert isinstance(call, ToolCall)
    assert (call.arguments, call.signature) == ('{"a_b":1}', "c2ln")
    assert image == Image("data:image/png;base64,/+8=")
    assert request.tools[0].parameters == {"x_y": 1}
    assert request.tool_choice == ToolChoice("required")
    assert request.sampling.top_k == 3
    assert request.answer_format.schema == {"a_b": 1}
    assert request.reasoning == Reasoning(enabled=True, budget_tokens=9, shown=False)
    assert request.extras == {"safetySettings": [{"a_b": 1}]}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"contents": []}, "contents"),
        ({"contents": None}, "contents"),
        ({"contents": 5}, "contents"),
        ({"contents": [5]}, "contents[0]"),
        ({"contents": [{"role": "system"}]}, "contents[0].role"),
        ({"contents": [{"role": 5}]}, "contents[0].role"),
        ({"contents": [{"parts": "x"}]}, "contents[0].parts"),
        ({"contents": [{"parts": [5]}]}, "contents[0].parts[0]"),
        ({"contents": [{"parts": [{"text": 5}]}]}, "contents[0].parts[0].text"),
        ({"contents": [{"parts": [{"thought": "x"}]}]}, "contents[0].parts[0].thought"),
        (
            {"contents": [{"parts": [{"functionCall": {"args": {}}}]}]},
            "contents[0].parts[0].functionCall.name",
        ),
        (
            {"contents": [{"parts": [{"functionCall": {"name": "f", "args": "x"}}]}]},
            "contents[0].parts[0].functionCall.args",
        ),
        (
            {"contents": [{"parts": [{"functionResponse": {"response": {}}}]}]},
            "contents[0].parts[0].functionResponse.name",
        ),
        (
            {"contents": [{"parts": [{"inlineData": "x"}]}]},
            "contents[0].parts[0].inlineData",
        ),
        ({"systemInstruction": "x"}, "systemInstruction"),
        ({"tools": 5}, "tools"),
        ({"tools": [{"functionDeclarations": {}}]}, "tools[0].functionDeclarations"),
        (
            {"tools": [{"functionDeclarations": [{}]}]},
            "tools[0].functionDeclarations[0].name",
        ),
        (
            {"tools": [{"functionDeclarations": [{"name": "f", "parameters": 5}]}]},
            "tools[0].functionDeclarations[0].parameters",
        ),
        ({"toolConfig": 5}, "toolConfig"),
        (
            {"toolConfig": {"functionCallingConfig": {"allowedFunctionNames": "f"}}},
            "toolConfig.functionCallingConfig.allowedFunctionNames",
        ),
        ({"generationConfig": 5}, "generationConfig"),
        ({"generationConfig": {"temperature": "hot"}}, "generationConfig.temperature"),
        ({"generationConfig": {"topK": 1.5}}, "generationConfig.topK"),
        ({"generationConfig": {"stopSequences": "x"}}, "generationConfig.stopSequences"),
        ({"generationConfig": {"maxOutputTokens": 0}}, "generationConfig.maxOutputTokens"),
        (
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": -2}}},
            "generationConfig.thinkingConfig.thinkingBudget",
        ),
        ({"generationConfig": {"responseSchema": 5}}, "generationConfig.responseSchema"),
        ({"generationConfig": {"topP": 1, "top_p": 1}}, "generationConfig.topP"),
        ({"contents.x": 5}, "contents.x"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        decoded(fields)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("config", "choice", "left"),
    [
        ({"mode": "AUTO"}, ToolChoice("auto"), {}),
        ({"mode": "NONE"}, ToolChoice("none"), {}),
        ({"mode": "ANY"}, ToolChoice("required"), {}),
        ({}, None, {}),
        ({"mode": "VALIDATED"}, None, {"mode": "VALIDATED"}),
        (
            {"mode": "ANY", "allowedFunctionNames": ["f", "g"]},
            ToolChoice("required"),
            {"allowedFunctionNames": ["f", "g"]},
        ),
        (
            {"mode": "AUTO", "streamFunctionCallArguments": True},
            ToolChoice("auto"),
            {"streamFunctionCallArguments": True},
        ),
    ],
)
def test_modes_of_calling(
    config: dict[str, Any], choice: ToolChoice | None, left: dict[str, Any]
) -> None:
    request = decoded({"toolConfig": {"functionCallingConfig": config}})
    assert request.tool_choice == choice
    where = "toolConfig.functionCallingConfig."
    assert request.extras == {where + name: value for name, value in left.items()}
    assert sent(request).get("toolConfig", {}).get("functionCallingConfig", {}) == config


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"responseMimeType": "text/plain"}, AnswerFormat("text")),
        ({"responseMimeType": "application/json"}, AnswerFormat("json_object")),
        ({"responseJsonSchema": {"type": "object"}}, AnswerFormat("text")),
        (
            {"responseMimeType": "application/json", "responseSchema": {"type": "STRING"}},
            AnswerFormat("json_schema", schema={"type": "string"}),
        ),
    ],
)
def test_formats_of_an_answer(config: dict[str, Any], wanted: AnswerFormat) -> None:
    assert decoded({"generationConfig": config}).answer_format == wanted


def test_an_enum_answer_stays_in_the_extras() -> None:
    config = {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING"}}
    request = decoded({"generationConfig": config})
    assert request.answer_format == AnswerFormat("text")
    assert sent(request)["generationConfig"] == config


@pytest.mark.parametrize(
    ("thinking", "reasoning"),
    [
        ({"thinkingBudget": 0}, Reasoning(enabled=False)),
        ({"thinkingBudget": -1}, Reasoning(enabled=True)),
        ({"thinkingBudget": 5}, Reasoning(enabled=True, budget_tokens=5)),
        ({"thinkingLevel": "HIGH"}, Reasoning(effort="high")),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, Reasoning()),
    ],
)
def test_thinking_is_read(thinking: dict[str, Any], reasoning: Reasoning) -> None:
    request = decoded({"generationConfig": {"thinkingConfig": thinking | {"future": 1}}})
    assert request.reasoning == reasoning
    assert request.extras == {"generationConfig.thinkingConfig.future": 1}
    assert sent(request)["generationConfig"]["thinkingConfig"]["future"] == 1


def test_a_response_without_an_id_belongs_to_the_first_open_call_of_its_name() -> None:
    call = {"functionCall": {"name": "f", "args": {}}}
    other = {"functionCall": {"name": "g", "args": {}, "id": "own"}}
    answer = {"functionResponse": {"name": "f", "response": {}}}
    owned = {"functionResponse": {"name": "g", "id": "own", "response": {}}}
    model, *results = decoded(
        {
            "contents": [
                {"role": "model", "parts": [call, other, call]},
                {"role": "function", "parts": [answer, owned, answer, answer]},
            ]
        }
    ).messages
    ids = [part.id for part in model.parts if isinstance(part, ToolCall)]
    assert len(set(ids)) == 3
    found = [
        part.call_id
        for message in results
        for part in message.parts
        if isinstance(part, ToolResult)
    ]
    assert found[:3] == [ids[0], "own", ids[2]]
    assert found[3] not in ids
    unknown = {"functionResponse": {"name": "f", "id": "gone", "response": {}}}
    (result,) = parts_of(unknown, role="user")
    assert result == ToolResult("gone", ())


@pytest.mark.parametrize(
    ("response", "texts", "is_error"),
    [
        ({}, [], False),
        ({"output": "a"}, ["a"], False),
        ({"output": ["a", "b"]}, ["a", "b"], False),
        ({"output": ["a"]}, ['["a"]'], False),
        ({"output": 5}, ["5"], False),
        ({"error": {"code": 1}}, ['{"code":1}'], True),
        ({"error": "a", "more": 1}, ['{"error":"a","more":1}'], False),
        ({"result": "a"}, ['{"result":"a"}'], False),
    ],
)
def test_a_function_s_response_is_text(
    response: dict[str, Any], texts: list[str], is_error: bool
) -> None:
    part = {"functionResponse": {"name": "f", "response": response}}
    (result,) = parts_of(part, role="user")
    assert isinstance(result, ToolResult)
    assert result.parts == tuple(map(Text, texts))
    assert result.is_error is is_error


@pytest.mark.parametrize(
    "part",
    [
        {"functionResponse": {"name": "f", "response": {}, "scheduling": "SILENT"}},
        {"functionResponse": {"name": "f", "response": {}, "parts": [{"odd": {}}]}},
        {"functionResponse": {"name": "f", "response": {}, "parts": [{"inlineData": 5}]}},
        {"functionResponse": {"name": "f", "response": {}, "parts": [{"a": 1, "b": 2}]}},
        {"inlineData": {"mimeType": "image/png", "data": "AA", "odd": 1}},
        {"inlineData": {"mimeType": "image/png"}},
        {"fileData": {"mimeType": 5, "fileUri": "https://x"}},
        {"fileData": {"fileUri": "https://x", "odd": 1}},
        {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/x"}},
        {"fileData": {"fileUri": "https://[broken"}},
        {"inlineData": {"mimeType": "image/png", "data": "AA"}, "thought": True},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK"}},
        {"text": "a", "videoMetadata": {}},
        {},
    ],
)
def test_a_part_without_a_place_stays_whole(part: dict[str, Any]) -> None:
    assert parts_of(part, role="user") == (Opaque("gemini", "parts", part),)
    request = decoded({"contents": [{"role": "user", "parts": [part]}]})
    assert sent(request)["contents"][0]["parts"] == [part]


def test_a_named_file_keeps_its_name_at_home() -> None:
    data = {"inlineData": {"mimeType": "image/png", "data": "AAAA", "displayName": "a.png"}}
    address = {"fileData": {"fileUri": "https://x/y.pdf", "mimeType": "application/pdf"}}
    address["fileData"]["displayName"] = "y"
    assert parts_of(data, address, role="user") == (
        File(data="data:image/png;base64,AAAA", filename="a.png"),
        File(url="https://x/y.pdf", filename="y"),
    )
    request = decoded({"contents": [{"role": "user", "parts": [data, address]}]})
    assert sent(request)["contents"][0]["parts"] == [data, address]
    away = replace(request, dialect="openai_chat")
    assert encoded(away).dropped == ("filename",)
    assert "displayName" not in json.dumps(sent(away))


def test_signatures_of_other_providers_travel_as_base64() -> None:
    signature = write_signature("s:1", "anthropic_messages")
    assert base64.b64decode(signature) == b"conduit:anthropic_messages:s:1"
    url_safe = signature.replace("+", "-").replace("/", "_").rstrip("=")
    redacted = write_redacted("r", "anthropic_messages")
    unsigned = write_signature("s", "")
    assert parts_of(
        {"text": "t", "thought": True, "thoughtSignature": url_safe},
        {"text": "", "thought": True, "thoughtSignature": redacted},
        {"text": "u", "thoughtSignature": unsigned},
        {"functionCall": {"id": "c", "name": "f"}, "thoughtSignature": signature},
        {"text": "", "thoughtSignature": "not base64!"},
    ) == (
        Thinking("t", "s:1", signed_by="anthropic_messages"),
        Thinking("", redacted="r", signed_by="anthropic_messages"),
        Text("u"),
        Thinking("", "s", signed_by="unknown"),
        ToolCall("c", "f", "{}", signature="s:1", signed_by="anthropic_messages"),
        Thinking("", "not base64!", signed_by="gemini"),
    )
    assert write_signature("own", "gemini") == "own"
    assert parts_of({"text": "", "thoughtSignature": write_redacted("r", "")}) == (
        Thinking("", redacted="r", signed_by="unknown"),
    )


def test_an_id_that_was_made_here_is_not_told_to_the_provider() -> None:
    request = decoded(
        {
            "contents": [
                {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]},
            ]
        }
    )
    call, result = sent(request)["contents"]
    assert call["parts"][0]["functionCall"] == {"name": "f", "args": {}}
    assert result["parts"][0]["functionResponse"] == {"name": "f", "response": {}}


def test_an_instruction_of_its_own_kind_passes() -> None:
    part = {"fileData": {"fileUri": "gs://x"}}
    request = decoded({"systemInstruction": {"parts": [part]}})
    assert sent(request)["systemInstruction"] == {"parts": [part]}
