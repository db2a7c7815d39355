"""Tools that a provider runs itself, asked of another provider's model."""

import json
from typing import Any

import pytest

from conduit.core.errors import UnsupportedParameterError
from conduit.gateway.dialects.bridges.choice import bridge_between
from tests.gateway.dialects.bridges.test_choice import call_of, sending

PROVIDERS = [
    "openai_chat",
    "openai_responses",
    "anthropic_messages",
    "gemini",
    "cohere_v2",
    "bedrock_converse",
    "ollama_native",
]
SCHEMA = {"type": "object", "properties": {}}
FUNCTIONS: dict[str, Any] = {
    "openai_chat": {"type": "function", "function": {"name": "shell", "parameters": SCHEMA}},
    "openai_responses": {"type": "function", "name": "shell", "parameters": SCHEMA},
    "anthropic_messages": {"name": "shell", "input_schema": SCHEMA},
    "gemini": {"functionDeclarations": [{"name": "shell"}]},
}
HOSTED: list[tuple[str, dict[str, Any], str]] = [
    ("openai_responses", {"type": "web_search"}, "tools.web_search"),
    ("openai_responses", {"type": "web_search_preview"}, "tools.web_search_preview"),
    (
        "openai_responses",
        {"type": "code_interpreter", "container": {"type": "auto"}},
        "tools.code_interpreter",
    ),
    ("openai_responses", {"type": "image_generation"}, "tools.image_generation"),
    (
        "anthropic_messages",
        {"type": "web_search_20250305", "name": "web_search"},
        "tools.web_search_20250305",
    ),
    ("gemini", {"googleSearch": {}}, "tools.googleSearch"),
    ("gemini", {"code_execution": {}}, "tools.codeExecution"),
]
OWN: list[tuple[str, dict[str, Any]]] = [
    ("openai_responses", {"type": "custom", "name": "apply_patch"}),
    ("openai_responses", {"type": "local_shell"}),
    ("openai_responses", {"type": "file_search", "vector_store_ids": ["vs_1"]}),
    ("openai_responses", {"type": "mcp", "server_label": "s", "server_url": "https://x"}),
    ("openai_chat", {"type": "custom", "custom": {"name": "c"}}),
    ("anthropic_messages", {"type": "bash_20250124", "name": "bash"}),
    ("gemini", {"fileSearch": {}}),
]
BEYOND = [
    (client, tool, name, provider)
    for client, tool, name in HOSTED
    for provider in PROVIDERS
    if provider != client
]
OWN_BEYOND = [
    (client, tool, provider)
    for client, tool in OWN
    for provider in ("openai_chat", "anthropic_messages", "gemini")
    if provider != client
]


@pytest.mark.parametrize(("client", "tool", "name", "provider"), BEYOND)
def test_one_that_is_only_on_offer_is_left_out_and_named(
    client: str, tool: dict[str, Any], name: str, provider: str
) -> None:
    bridge = bridge_between(client, provider)
    beside = bridge.encode(call_of(client, tools=[FUNCTIONS[client], tool]), sending())
    assert name in beside.dropped
    assert "shell" in beside.body.decode()
    assert name.removeprefix("tools.") not in beside.body.decode()
    alone = bridge.encode(call_of(client, tools=[tool]), sending())
    assert name in alone.dropped
    assert "tools" not in json.loads(alone.body)
    assert "toolConfig" not in json.loads(alone.body)


@pytest.mark.parametrize("provider", ["openai_chat", "anthropic_messages", "cohere_v2"])
@pytest.mark.parametrize(
    ("choice", "beside"),
    [
        ("required", False),
        ({"type": "web_search"}, True),
    ],
)
def test_one_that_must_be_called_is_refused(provider: str, choice: Any, beside: bool) -> None:
    tools = [{"type": "web_search"}, *([FUNCTIONS["openai_responses"]] if beside else [])]
    call = call_of("openai_responses", tools=tools, tool_choice=choice)
    with pytest.raises(UnsupportedParameterError) as refused:
        bridge_between("openai_responses", provider).encode(call, sending())
    assert refused.value.param == "tool_choice"


@pytest.mark.parametrize("provider", ["openai_chat", "gemini"])
def test_one_that_is_named_is_refused(provider: str) -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    tools = [search, FUNCTIONS["anthropic_messages"]]
    wanted = {"type": "tool", "name": "web_search"}
    call = call_of("anthropic_messages", tools=tools, tool_choice=wanted)
    with pytest.raises(UnsupportedParameterError):
        bridge_between("anthropic_messages", provider).encode(call, sending())


def test_a_call_that_a_function_can_be_is_still_wanted() -> None:
    tools = [{"type": "web_search"}, FUNCTIONS["openai_responses"]]
    call = call_of("openai_responses", tools=tools, tool_choice="required")
    encoded = bridge_between("openai_responses", "openai_chat").encode(call, sending())
    assert json.loads(encoded.body)["tool_choice"] == "required"
    assert encoded.dropped == ("tools.web_search",)


@pytest.mark.parametrize(("client", "tool", "provider"), OWN_BEYOND)
def test_one_that_works_on_what_is_the_client_s_is_refused(
    client: str, tool: dict[str, Any], provider: str
) -> None:
    call = call_of(client, tools=[FUNCTIONS[client], tool])
    with pytest.raises(UnsupportedParameterError) as refused:
        bridge_between(client, provider).encode(call, sending())
    assert str(refused.value.param).startswith("tools")


@pytest.mark.parametrize(("client", "tool", "name"), HOSTED)
def test_the_provider_of_the_client_s_own_format_is_offered_it(
    client: str, tool: dict[str, Any], name: str
) -> None:
    call = call_of(client, tools=[FUNCTIONS[client], tool])
    encoded = bridge_between(client, client).encode(call, sending())
    assert tool in json.loads(encoded.body)["tools"]
    assert encoded.dropped == ()
