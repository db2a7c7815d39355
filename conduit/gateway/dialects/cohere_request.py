"""Chat requests of the internal form as those of Cohere's chat API, version 2.

The fields and their limits are those of docs.cohere.com/reference/chat.
"""

from typing import Any, Final

from conduit.gateway.conversation import (
    AnswerFormat,
    ChatRequest,
    Reasoning,
    Sampling,
    Tool,
)
from conduit.gateway.dialects.cohere_messages import encode_messages
from conduit.gateway.dialects.lenient_json import write_json
from conduit.gateway.dialects.losses import Losses, refuse_choices, without_none
from conduit.gateway.dialects.schema_tool import ANSWER_REASON, answer_tool_for
from conduit.gateway.dialects.target import EncodedRequest, InexpressibleError, Target

NAME: Final = "cohere_v2"

MAX_STOPS: Final = 5
LEAST_P: Final = 0.01
LARGEST_P: Final = 0.99

_NO_PARAMETERS = {"type": "object", "properties": {}}


def encode_request(request: ChatRequest, target: Target) -> EncodedRequest:
    """The body for `POST /v2/chat`.

    A schema for the answer is native without tools; with them, which Cohere does not take beside
    it, one more tool whose arguments are the answer, and a call is required. A named tool is
    required by sending no other.
    """
    losses = Losses(NAME, request.dialect)
    fields: dict[str, Any] = {
        "model": target.model,
        "messages": encode_messages(request.messages, losses),
    }
    if request.stream:
        fields["stream"] = True
    fields |= _encode_sampling(request.sampling, target, losses)
    fields |= _encode_reasoning(request.reasoning, losses)
    answer_tool = _answer_tool(request, target)
    fields |= _encode_tools(request, answer_tool, losses)
    if answer_tool is not None:
        losses.emulate("answer_format")
    else:
        fields |= _encode_answer_format(request, losses)
    losses.drop_if(user=request.user)
    return EncodedRequest(
        body=write_json(fields | losses.own(request.extras)),
        dropped=losses.dropped,
        emulated=losses.emulated,
        answer_tool=None if answer_tool is None else answer_tool.name,
    )


def _encode_sampling(sampling: Sampling, target: Target, losses: Losses) -> dict[str, Any]:
    refuse_choices(sampling.choices)
    if len(sampling.stop) > MAX_STOPS:
        raise InexpressibleError("stop", f"Cohere takes at most {MAX_STOPS} stop sequences")
    losses.drop_if(top_logprobs=sampling.top_logprobs)
    return without_none(
        {
            "max_tokens": _cap(sampling, target),
            "stop_sequences": list(sampling.stop) or None,
            "temperature": sampling.temperature,
            # Unsigned there; a negative seed of OpenAI's is another one, as good for repeating.
            "seed": None if sampling.seed is None else sampling.seed % 2**64,
            # Zero is the default, and some models refuse to be told of both.
            "frequency_penalty": sampling.frequency_penalty or None,
            "presence_penalty": sampling.presence_penalty or None,
            "k": sampling.top_k,
            "p": _p(sampling.top_p, losses),
            "logprobs": sampling.logprobs or None,
        }
    )


def _cap(sampling: Sampling, target: Target) -> int | None:
    caps = [cap for cap in (sampling.max_output_tokens, target.max_output_tokens) if cap]
    return min(caps) if sampling.max_output_tokens else None


def _p(top_p: float | None, losses: Losses) -> float | None:
    """Cohere takes neither 0 nor 1, and its default is not 1: the nearest it takes."""
    if top_p is None or LEAST_P <= top_p <= LARGEST_P:
        return top_p
    losses.emulate("top_p")
    return LEAST_P if top_p < LEAST_P else LARGEST_P


def _encode_reasoning(reasoning: Reasoning, losses: Losses) -> dict[str, Any]:
    losses.drop_if(shown=reasoning.shown is False)
    if reasoning.enabled is False or reasoning.effort == "none":
        return {"thinking": {"type": "disabled"}}
    losses.drop_if(effort=reasoning.effort)
    if reasoning.budget_tokens is not None:
        return {"thinking": {"type": "enabled", "token_budget": reasoning.budget_tokens}}
    return {"thinking": {"type": "enabled"}} if reasoning.enabled else {}


def _answer_tool(request: ChatRequest, target: Target) -> Tool | None:
    """The tool by which a schema is asked for, where it cannot be asked for by name."""
    wanted = request.answer_format
    if wanted.kind != "json_schema" or wanted.schema is None or _must_call(request):
        return None
    return (
        answer_tool_for(wanted, request.tools) if _has_tools(request) or not target.schema else None
    )


def _has_tools(request: ChatRequest) -> bool:
    choice = request.tool_choice
    return bool(request.tools) and (choice is None or choice.mode != "none")


def _must_call(request: ChatRequest) -> bool:
    choice = request.tool_choice
    return _has_tools(request) and choice is not None and choice.mode in ("required", "named")


def _encode_tools(request: ChatRequest, answer_tool: Tool | None, losses: Losses) -> dict[str, Any]:
    choice = request.tool_choice
    mode = "auto" if choice is None else choice.mode
    tools = request.tools
    losses.drop_if(parallel_tool_calls=request.parallel_tool_calls is False)
    if choice is not None and choice.mode == "named":
        tools = tuple(tool for tool in tools if tool.name == choice.name)
        if not tools:
            raise InexpressibleError("tool_choice", f"There is no tool {choice.name!r} to choose")
        losses.emulate("tool_choice")
    if answer_tool is not None:
        # Where no tool may be called, the one that carries the answer is left alone.
        tools = (answer_tool,) if mode == "none" else (*tools, answer_tool)
        mode = "required"
    if not tools:
        return {}
    fields: dict[str, Any] = {"tools": [_encode_tool(tool, losses) for tool in tools]}
    if mode != "auto":
        fields["tool_choice"] = "NONE" if mode == "none" else "REQUIRED"
    return fields | _strictness(tools, losses)


def _strictness(tools: tuple[Tool, ...], losses: Losses) -> dict[str, Any]:
    """Cohere is strict with all tools or with none."""
    if all(tool.strict for tool in tools):
        return {"strict_tools": True}
    losses.drop_if(strict=any(tool.strict for tool in tools))
    return {}


def _encode_tool(tool: Tool, losses: Losses) -> dict[str, Any]:
    losses.drop_if(cache_mark=tool.cache_mark)
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": _NO_PARAMETERS if tool.parameters is None else tool.parameters,
    }
    extras = losses.own(tool.extras)
    inner = extras.pop("function", {})
    return {"type": "function", "function": without_none(function) | inner} | extras


def _encode_answer_format(request: ChatRequest, losses: Losses) -> dict[str, Any]:
    wanted: AnswerFormat = request.answer_format
    if wanted.kind == "text":
        return {}
    if _must_call(request):
        losses.drop("answer_format")  # the answer will be a call, which has its own schema
        return {}
    if _has_tools(request):
        raise InexpressibleError("answer_format", ANSWER_REASON)
    return {"response_format": without_none({"type": "json_object", "json_schema": wanted.schema})}
