"""What each family of models behind Bedrock's Converse is asked for."""

import json
from typing import Any

import pytest

from conduit.gateway.conversation import ChatRequest, Message, Reasoning, Sampling, Text
from conduit.gateway.dialects.bedrock.dialect import encode_request
from conduit.gateway.dialects.target import EncodedRequest, Target

OPUS = "us.anthropic.claude-opus-4-7"
SONNET_4_5 = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "amazon.nova-lite-v1:0"
NOVA_2 = "global.amazon.nova-2-lite-v1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/ab12"


def chat(**more: Any) -> ChatRequest:
    return ChatRequest("alias", (Message("user", (Text("hello"),)),), **more)


def encoded(request: ChatRequest, model: str = OPUS) -> EncodedRequest:
    return encode_request(request, Target(model))


@pytest.mark.parametrize(
    ("model", "fields", "dropped"),
    [
        (SONNET_4_5, {"top_k": 5}, ()),
        ("mistral.mistral-large-2402-v1:0", {"top_k": 5}, ()),
        ("cohere.command-r-v1:0", {"k": 5}, ()),
        (NOVA, {"inferenceConfig": {"topK": 5}}, ()),
        (LLAMA, None, ("top_k",)),
        (PROFILE, None, ("top_k",)),
    ],
)
def test_top_k_has_each_familys_name(model: str, fields: Any, dropped: tuple[str, ...]) -> None:
    found = encoded(chat(sampling=Sampling(top_k=5)), model)
    assert json.loads(found.body).get("additionalModelRequestFields") == fields
    assert found.dropped == dropped


def adaptive(**more: str) -> dict[str, Any]:
    return {"thinking": {"type": "adaptive", **more}}


def budget(tokens: int) -> dict[str, Any]:
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}}


def nova(effort: str) -> dict[str, Any]:
    return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort}}


OPUS_4_6 = "anthropic.claude-opus-4-6-v1"
OPUS_5 = "global.anthropic.claude-opus-5"
FABLE = "anthropic.claude-fable-5-1"
MYTHOS = "anthropic.claude-mythos-preview"
OLD = "anthropic.claude-3-5-sonnet-20241022-v2:0"
GPT_OSS = "openai.gpt-oss-120b-1:0"


@pytest.mark.parametrize(
    ("model", "wanted", "fields", "effort", "losses"),
    [
        (OPUS, Reasoning(), None, None, ()),
        (OPUS, Reasoning(enabled=True), adaptive(), None, ()),
        (OPUS, Reasoning(effort="xhigh"), adaptive(), "xhigh", ()),
        (OPUS, Reasoning(effort="minimal"), adaptive(), "low", ("effort",)),
        (OPUS, Reasoning(budget_tokens=4000), adaptive(), None, ("budget_tokens",)),
        (OPUS, Reasoning(effort="low", shown=True), adaptive(display="summarized"), "low", ()),
        (OPUS, Reasoning(enabled=True, shown=False), adaptive(display="omitted"), None, ()),
        (OPUS, Reasoning(enabled=False), None, None, ()),
        (OPUS_5, Reasoning(effort="none"), {"thinking": {"type": "disabled"}}, None, ()),
        (FABLE, Reasoning(enabled=False), None, None, ("reasoning",)),
        (MYTHOS, Reasoning(effort="high"), adaptive(), "high", ()),
        (OPUS_4_6, Reasoning(budget_tokens=4000), budget(4000), None, ()),
        (OPUS_4_6, Reasoning(effort="high"), adaptive(), "high", ()),
        (SONNET_4_5, Reasoning(budget_tokens=4000, shown=True), budget(4000), None, ()),
        (SONNET_4_5, Reasoning(effort="low"), budget(2048), None, ("effort",)),
        (SONNET_4_5, Reasoning(enabled=True, shown=False), budget(8192), None, ("shown",)),
        (
            SONNET_4_5,
            Reasoning(effort="low", budget_tokens=5000),
            budget(5000),
            None,
            ("effort",),
        ),
        (OLD, Reasoning(effort="high"), None, None, ("effort",)),
        ("anthropic.claude-v2:1", Reasoning(enabled=True), None, None, ("reasoning",)),
        (NOVA_2, Reasoning(effort="high"), nova("high"), None, ()),
        (NOVA_2, Reasoning(effort="minimal"), nova("low"), None, ("effort",)),
        (NOVA_2, Reasoning(budget_tokens=1), nova("medium"), None, ("budget_tokens",)),
        (NOVA_2, Reasoning(enabled=False), None, None, ()),
        (NOVA, Reasoning(effort="low"), None, None, ("effort",)),
        (GPT_OSS, Reasoning(effort="low"), {"reasoning_effort": "low"}, None, ()),
        (GPT_OSS, Reasoning(budget_tokens=9), None, None, ("budget_tokens",)),
        (GPT_OSS, Reasoning(enabled=False), None, None, ("reasoning",)),
        ("openai.gpt-5.6", Reasoning(enabled=False), {"reasoning_effort": "none"}, None, ()),
        (PROFILE, Reasoning(budget_tokens=2000), budget(2000), None, ()),
        (PROFILE, Reasoning(effort="low"), None, None, ("effort",)),
        (LLAMA, Reasoning(enabled=False), None, None, ()),
    ],
)
def test_reasoning_is_asked_for_in_each_familys_words(
    model: str, wanted: Reasoning, fields: Any, effort: str | None, losses: tuple[str, ...]
) -> None:
    found = encoded(chat(reasoning=wanted), model)
    body = json.loads(found.body)
    assert body.get("additionalModelRequestFields") == fields
    assert body.get("outputConfig") == (None if effort is None else {"effort": effort})
    assert found.dropped + found.emulated == losses


@pytest.mark.parametrize(
    ("cap", "wanted", "fields", "dropped", "emulated"),
    [
        (4000, Reasoning(budget_tokens=8000), budget(3999), (), ("budget_tokens",)),
        (4000, Reasoning(effort="high"), budget(3999), (), ("effort", "budget_tokens")),
        (500, Reasoning(budget_tokens=8000), None, ("reasoning",), ("budget_tokens",)),
    ],
)
def test_a_budget_leaves_room_for_an_answer(
    cap: int, wanted: Reasoning, fields: Any, dropped: tuple[str, ...], emulated: tuple[str, ...]
) -> None:
    request = chat(reasoning=wanted, sampling=Sampling(max_output_tokens=cap))
    found = encoded(request, SONNET_4_5)
    assert json.loads(found.body).get("additionalModelRequestFields") == fields
    assert (found.dropped, found.emulated) == (dropped, emulated)


def test_nova_keeps_a_cap_rather_than_think_as_long_as_it_likes() -> None:
    request = chat(reasoning=Reasoning(effort="high"), sampling=Sampling(max_output_tokens=99))
    found = encoded(request, NOVA_2)
    body = json.loads(found.body)
    assert body["additionalModelRequestFields"] == nova("medium")
    assert body["inferenceConfig"] == {"maxTokens": 99}
    assert found.emulated == ("effort",)


@pytest.mark.parametrize(
    ("sampling", "config", "dropped"),
    [
        (Sampling(temperature=0.2, top_p=0.5, top_k=4), None, ("temperature", "top_p", "top_k")),
        (Sampling(temperature=1, top_p=0.95), {"temperature": 1, "topP": 0.95}, ()),
    ],
)
def test_thinking_rules_out_other_sampling(
    sampling: Sampling, config: Any, dropped: tuple[str, ...]
) -> None:
    found = encoded(chat(reasoning=Reasoning(effort="low"), sampling=sampling))
    assert json.loads(found.body).get("inferenceConfig") == config
    assert found.dropped == dropped
