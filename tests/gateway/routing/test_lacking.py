"""What a candidate surely lacks of what a call needs, in every client's words."""

import json
from typing import Any

import pytest

from conduit.gateway.dialects.anthropic import dialect as anthropic_messages
from conduit.gateway.dialects.chat_call import reader_of
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.gemini import dialect as gemini
from conduit.gateway.dialects.openai.wire import decode_call
from conduit.gateway.dialects.openai_chat import dialect as openai_chat
from conduit.gateway.dialects.openai_responses import dialect as openai_responses
from conduit.gateway.exchange import Candidate
from conduit.gateway.provider import Operation
from conduit.gateway.routing.lacking import lack_of, needs_of
from tests.gateway.exchanges import RATES, upstream

PNG = "iVBORw0KGgo="
SCHEMA: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
HELLO = [{"role": "user", "content": "hello"}]


def candidate(type_name: str = "openai_compatible", **overrides: Any) -> Candidate:
    return Candidate(upstream(type_name=type_name), "m", {}, RATES, overrides)


def chat(operation: Operation = Operation.CHAT, **fields: Any) -> ClientCall:
    asked = {"model": "m", **({"messages": HELLO} if operation is Operation.CHAT else {}), **fields}
    return decode_call(operation, json.dumps(asked).encode())


def spoken(dialect: Any, **fields: Any) -> ClientCall:
    if dialect is gemini:
        read = reader_of(lambda body: gemini.decode_request(body, model="m", stream=False))
    else:
        read = reader_of(dialect.decode_request)
        fields = {"model": "m", **fields}
    return read(json.dumps(fields).encode())


IMAGES = [
    chat(
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
                ],
            }
        ]
    ),
    spoken(
        openai_responses,
        input=[
            {
                "role": "user",
                "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}],
            }
        ],
    ),
    spoken(
        anthropic_messages,
        max_tokens=9,
        messages=[
            {
                "role": "user",
                "content": [
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": PNG},
                    }
                ],
            }
        ],
    ),
    spoken(
        gemini,
        contents=[
            {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}]}
        ],
    ),
]
FUNCTION = {"name": "f", "parameters": SCHEMA}
TOOLS = [
    chat(tools=[{"type": "function", "function": FUNCTION}]),
    chat(functions=[FUNCTION]),
    spoken(openai_responses, input="hi", tools=[{"type": "function", **FUNCTION}]),
    spoken(
        anthropic_messages,
        max_tokens=9,
        messages=HELLO,
        tools=[{"name": "f", "input_schema": SCHEMA}],
    ),
    spoken(
        gemini,
        contents=[{"role": "user", "parts": [{"text": "hi"}]}],
        tools=[{"functionDeclarations": [{"name": "f"}]}],
    ),
]
OF_CHAT = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}
SCHEMAS = [
    chat(response_format=OF_CHAT),
    spoken(
        openai_responses,
        input="hi",
        text={"format": {"type": "json_schema", "name": "s", "schema": SCHEMA}},
    ),
    spoken(
        anthropic_messages,
        max_tokens=9,
        messages=HELLO,
        output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
    ),
    spoken(
        gemini,
        contents=[{"role": "user", "parts": [{"text": "hi"}]}],
        generationConfig={"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
    ),
]


@pytest.mark.parametrize(
    ("call", "field"),
    list(
        zip(
            IMAGES,
            [
                "messages[].content[].image_url",
                "input[].content[].input_image",
                "messages[].content[].source",
                "contents.parts.inlineData",
            ],
            strict=True,
        )
    ),
)
def test_an_image_needs_a_model_that_sees(call: ClientCall, field: str) -> None:
    lack = lack_of(needs_of(call), candidate(vision=False))
    assert lack == (field, "takes no images")
    assert lack_of(needs_of(call), candidate()) is None  # not known: the provider says
    assert lack_of(needs_of(call), candidate(vision=True, tools=False, schema=False)) is None


@pytest.mark.parametrize(
    ("call", "field"),
    list(
        zip(
            TOOLS,
            ["tools", "functions", "tools", "tools", "tools.functionDeclarations"],
            strict=True,
        )
    ),
)
def test_tools_need_a_model_that_calls_them(call: ClientCall, field: str) -> None:
    assert lack_of(needs_of(call), candidate(tools=False)) == (field, "calls no tools")
    assert lack_of(needs_of(call), candidate()) is None
    assert lack_of(needs_of(call), candidate(vision=False, schema=False)) is None


@pytest.mark.parametrize("nothing", [None, []])
def test_tools_that_are_none_need_nothing(nothing: object) -> None:
    assert lack_of(needs_of(chat(tools=nothing)), candidate(tools=False)) is None


@pytest.mark.parametrize(
    ("call", "own", "field"),
    list(
        zip(
            SCHEMAS,
            ["openai_compatible", "perplexity", "anthropic", "gemini"],
            [
                "response_format",
                "text.format",
                "output_config.format",
                "generationConfig.responseJsonSchema",
            ],
            strict=True,
        )
    ),
)
def test_a_schema_needs_a_model_that_keeps_to_it_or_a_tool_in_its_place(
    call: ClientCall, own: str, field: str
) -> None:
    refused = (field, "keeps to no JSON schema")
    assert lack_of(needs_of(call), candidate(own, schema=False)) == refused
    other = "cohere"
    assert lack_of(needs_of(call), candidate(other, schema=False)) is None
    assert lack_of(needs_of(call), candidate(other, schema=False, tools=False)) == refused
    assert lack_of(needs_of(call), candidate(own, schema=None)) is None


def test_a_plain_answer_needs_no_schema() -> None:
    for wanted in ({"type": "text"}, {"type": "json_object"}, None):
        assert lack_of(needs_of(chat(response_format=wanted)), candidate(schema=False)) is None


def test_embeddings_need_a_model_that_makes_them() -> None:
    call = chat(Operation.EMBEDDING, input="hi")
    assert lack_of(needs_of(call), candidate(embeddings=False)) == ("model", "makes no embeddings")
    assert lack_of(needs_of(call), candidate()) is None
    assert lack_of(needs_of(chat(Operation.COMPLETION, prompt="hi")), candidate(chat=False)) is None


def test_a_model_without_schemas_has_them_emulated() -> None:
    assert candidate(schema=False).quirks.schema is False
    assert candidate().quirks is candidate().upstream.provider.type.quirks
    assert candidate().upstream.provider.type.dialect == openai_chat.NAME
