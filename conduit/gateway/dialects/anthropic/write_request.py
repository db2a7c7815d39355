"""Requests to Anthropic, written from the internal form.

Source: platform.claude.com/docs "Messages API" and "Token counting". A request of this dialect goes
out as it stands; one of another is translated (`translate.py`).
"""

from typing import Any, Final

from conduit.gateway.conversation import ChatRequest
from conduit.gateway.dialects.anthropic.models import Model
from conduit.gateway.dialects.anthropic.reasoning import own_thinking
from conduit.gateway.dialects.anthropic.request_fields import (
    head_fields,
    output_config,
    tool_definition,
    tool_fields,
)
from conduit.gateway.dialects.anthropic.translate import translated_fields
from conduit.gateway.dialects.anthropic.turns import goes_on_unthought, own_conversation_fields
from conduit.gateway.dialects.anthropic.words import NAME, OTHER_TOOLS
from conduit.gateway.dialects.lenient_json import write_json
from conduit.gateway.dialects.losses import Losses
from conduit.gateway.dialects.target import EncodedRequest, Target

# What the counting of tokens takes; the rest says how an answer is drawn, and there is none.
_COUNTED: Final = frozenset(
    {
        "model",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "cache_control",
        "mcp_servers",
        "context_management",
    }
)


def encode_request(request: ChatRequest, target: Target) -> EncodedRequest:
    """The provider's body; raises InexpressibleError for what would change the request's meaning.

    Not sent, and reported: `seed`, penalties, names of messages, thinking that Anthropic has not
    signed. Refused: more than one choice, `logprobs`, audio, files known by id alone.
    """
    fields, losses, answer_tool = _encode(request, target)
    return EncodedRequest(write_json(fields), losses.dropped, losses.emulated, answer_tool)


def encode_count_request(request: ChatRequest, target: Target) -> EncodedRequest:
    """The body that asks how many tokens a request has."""
    fields, losses, answer_tool = _encode(request, target)
    counted = {name: value for name, value in fields.items() if name in _COUNTED}
    return EncodedRequest(write_json(counted), losses.dropped, losses.emulated, answer_tool)


def _encode(request: ChatRequest, target: Target) -> tuple[dict[str, Any], Losses, str | None]:
    losses = Losses(NAME, request.dialect)
    extras = losses.own(request.extras)
    if losses.is_own:
        return _own_fields(request, target, extras, losses), losses, None
    fields, answer_tool = translated_fields(request, target, losses)
    return fields, losses, answer_tool


def _own_fields(
    request: ChatRequest, target: Target, extras: dict[str, Any], losses: Losses
) -> dict[str, Any]:
    cap = request.sampling.max_output_tokens
    if cap is None:
        cap = target.max_output_tokens or Model.of(target.model).default_max_tokens
    tools = [tool_definition(tool) for tool in request.tools]
    for index, tool in extras.pop(OTHER_TOOLS, ()):
        tools.insert(index, dict(tool))
    config = output_config(request.reasoning.effort, request.answer_format.schema)
    metadata = {} if request.user is None else {"user_id": request.user}
    thinking = own_thinking(request.reasoning)
    objects = {
        "thinking": thinking,
        "output_config": config | extras.pop("output_config", {}),
        "metadata": metadata | extras.pop("metadata", {}),
    }
    conversation = own_conversation_fields(request.messages, losses)
    by_budget = thinking is not None and "budget_tokens" in thinking
    # Where another provider has answered before, what it thought was left out.
    if by_budget and "thinking" in losses.dropped and goes_on_unthought(conversation["messages"]):
        del objects["thinking"]
        losses.lack("reasoning")
    return {
        **head_fields(request, target, cap),
        **conversation,
        **_drawn(request),
        **tool_fields(request, tools),
        **{name: value for name, value in objects.items() if value},
        **extras,
    }


def _drawn(request: ChatRequest) -> dict[str, Any]:
    sampling = request.sampling
    drawn = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "stop_sequences": list(sampling.stop) or None,
    }
    return {name: value for name, value in drawn.items() if value is not None}
