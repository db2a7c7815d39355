"""Chat requests of the internal form as those of Cohere's chat API, version 2.

The fields and their limits are those of docs.cohere.com/reference/chat.
"""

from typing import Any, Final

from conduit.gateway.conversation import AnswerFormat, ChatRequest, Reasoning, Tool
from conduit.gateway.dialects.answer_tool import ask_by_tool
from conduit.gateway.dialects.cohere.messages import encode_messages
from conduit.gateway.dialects.lenient_json import write_json
from conduit.gateway.dialects.losses import Losses, without_none
from conduit.gateway.dialects.request_limits import output_cap, stops_of, within
from conduit.gateway.dialects.target import EncodedRequest, InexpressibleError, Target

NAME: Final = "cohere_v2"

MAX_STOPS: Final = 5
_LACKING: Final = ("choices", "top_logprobs", "parallel_tool_calls", "user")
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
    losses.lack_of(request, _LACKING)
    request, answer_tool = _answer_form(request, target, losses)
    fields: dict[str, Any] = {
        "model": target.model,
        "messages": encode_messages(request.messages, losses),
    }
    if request.stream:
        fields["stream"] = True
    fields |= _encode_sampling(request, target, losses)
    fields |= _encode_reasoning(request.reasoning, losses)
    fields |= _encode_tools(request, answer_tool, losses)
    fields |= _encode_answer_format(request.answer_format)
    return EncodedRequest(
        body=write_json(fields | losses.own(request.extras)),
        dropped=losses.dropped,
        emulated=losses.emulated,
        answer_tool=answer_tool,
    )


def _encode_sampling(request: ChatRequest, target: Target, losses: Losses) -> dict[str, Any]:
    sampling = request.sampling
    penalties = {
        # Zero is the default, and some models refuse to be told of both.
        name: within(name, getattr(sampling, name) or None, 0, 1, losses)
        for name in ("frequency_penalty", "presence_penalty")
    }
    return without_none(
        {
            "max_tokens": output_cap(request, target, losses),
            "stop_sequences": stops_of(sampling, most=MAX_STOPS),
            "temperature": sampling.temperature,
            # Unsigned there; a negative seed of OpenAI's is another one, as good for repeating.
            "seed": None if sampling.seed is None else sampling.seed % 2**64,
            **penalties,
            "k": sampling.top_k,
            # Neither 0 nor 1 is taken, and the default is not 1.
            "p": within("top_p", sampling.top_p, LEAST_P, LARGEST_P, losses),
            "logprobs": sampling.logprobs or None,
        }
    )


def _encode_reasoning(reasoning: Reasoning, losses: Losses) -> dict[str, Any]:
    losses.lack_if(shown=reasoning.shown is False)
    if reasoning.enabled is False or reasoning.effort == "none":
        return {"thinking": {"type": "disabled"}}
    losses.lack_if(effort=reasoning.effort)
    if reasoning.budget_tokens is not None:
        return {"thinking": {"type": "enabled", "token_budget": reasoning.budget_tokens}}
    return {"thinking": {"type": "enabled"}} if reasoning.enabled else {}


def _answer_form(
    request: ChatRequest, target: Target, losses: Losses
) -> tuple[ChatRequest, str | None]:
    """The request, and the tool by which an answer in JSON is asked for where it must be one."""
    wanted = request.answer_format
    if wanted.kind == "text":
        return request, None
    choice = request.tool_choice
    has_tools = bool(request.tools) and (choice is None or choice.mode != "none")
    if not has_tools and (wanted.schema is None or target.schema):
        return request, None
    return ask_by_tool(request, losses, strict=True)


def _encode_tools(request: ChatRequest, answer_tool: str | None, losses: Losses) -> dict[str, Any]:
    choice = request.tool_choice
    mode = "auto" if choice is None else choice.mode
    tools = request.tools
    if choice is not None and choice.mode == "named":
        tools = tuple(tool for tool in tools if tool.name == choice.name)
        if not tools:
            raise InexpressibleError("tool_choice", f"There is no tool {choice.name!r} to choose")
        if choice.name != answer_tool:
            losses.emulate("tool_choice")
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
    losses.lack_if(strict=any(tool.strict for tool in tools))
    return {}


def _encode_tool(tool: Tool, losses: Losses) -> dict[str, Any]:
    losses.lack_if(cache_mark=tool.cache_mark)
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": _NO_PARAMETERS if tool.parameters is None else tool.parameters,
    }
    extras = losses.own(tool.extras)
    inner = extras.pop("function", {})
    return {"type": "function", "function": without_none(function) | inner} | extras


def _encode_answer_format(wanted: AnswerFormat) -> dict[str, Any]:
    if wanted.kind == "text":
        return {}
    return {"response_format": without_none({"type": "json_object", "json_schema": wanted.schema})}
