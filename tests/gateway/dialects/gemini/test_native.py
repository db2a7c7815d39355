"""What of Gemini's own a provider of another format is never asked for."""

import json
from typing import Any

import pytest

from conduit.core.errors import UnsupportedParameterError
from conduit.gateway.dialects.bridges.choice import bridge_between
from tests.gateway.dialects.bridges.test_choice import call_of, sending

OTHERS = ["openai_chat", "openai_responses", "anthropic_messages", "cohere_v2", "bedrock_converse"]
DECLARED = {"functionDeclarations": [{"name": "f"}, {"name": "g"}]}
FUNCTIONS = "toolConfig.functionCallingConfig.allowedFunctionNames"


@pytest.mark.parametrize("provider", OTHERS)
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"fileSearch": {}}]}, "tools.fileSearch"),
        ({"tools": [DECLARED, {"computer_use": {}}]}, "tools.computerUse"),
        ({"cachedContent": "cachedContents/1"}, "cachedContent"),
        (
            {"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}},
            "generationConfig.responseModalities",
        ),
        (
            {"generationConfig": {"responseMimeType": "text/x.enum"}},
            "generationConfig.responseMimeType",
        ),
        (
            {
                "tools": [DECLARED],
                "toolConfig": {
                    "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}
                },
            },
            FUNCTIONS,
        ),
    ],
)
def test_what_would_change_the_answer_is_refused(
    provider: str, fields: dict[str, Any], param: str
) -> None:
    bridge = bridge_between("gemini", provider)
    with pytest.raises(UnsupportedParameterError) as refused:
        bridge.encode(call_of("gemini", **fields), sending())
    assert refused.value.param == param


@pytest.mark.parametrize("provider", OTHERS)
def test_what_changes_nothing_is_not(provider: str) -> None:
    config = {"responseModalities": ["TEXT"], "mediaResolution": "MEDIA_RESOLUTION_LOW"}
    call = call_of("gemini", generationConfig=config, cachedContent="", safetySettings=[{}])
    encoded = bridge_between("gemini", provider).encode(call, sending())
    assert "generationConfig.mediaResolution" in encoded.dropped


@pytest.mark.parametrize("client", ["gemini", "gemini_array"])
def test_google_itself_is_asked_for_all_of_it(client: str) -> None:
    signed = {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "Y29uZHVpdDp4OmMybG4="}
    contents = [
        {"role": "user", "parts": [{"text": "Look."}]},
        {"role": "model", "parts": [signed]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]},
    ]
    tools = [DECLARED, {"googleSearch": {}}]
    call = call_of(client, contents=contents, tools=tools, cachedContent="cachedContents/1")
    body = json.loads(bridge_between(client, "gemini").encode(call, sending()).body)
    assert {"googleSearch": {}} in body["tools"]
    assert body["cachedContent"] == "cachedContents/1"
    assert "Y29uZHVpdDp4OmMybG4" not in json.dumps(body)


def test_what_another_provider_signed_costs_no_client_the_tools_of_its_own() -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "conduit:gemini:c2ln"}
    answer = {"role": "assistant", "content": [thought, {"type": "text", "text": "Yes."}]}
    question = {"role": "user", "content": "Hello"}
    search = {"type": "web_search_20250305", "name": "web_search"}
    call = call_of("anthropic_messages", messages=[question, answer, question], tools=[search])
    bridge = bridge_between("anthropic_messages", "anthropic_messages")
    body = json.loads(bridge.encode(call, sending()).body)
    assert body["tools"] == [search]
    assert "c2ln" not in json.dumps(body)
