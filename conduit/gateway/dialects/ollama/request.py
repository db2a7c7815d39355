"""Chat requests of the internal form as those of Ollama's own chat API.

The fields are those of `api/types.go` and docs/api.md in ollama/ollama.
"""

from typing import Any, Final

from conduit.gateway.conversation import AnswerFormat, ChatRequest, Reasoning, Tool
from conduit.gateway.dialects.lenient_json import write_json
from conduit.gateway.dialects.losses import Losses, without_none
from conduit.gateway.dialects.ollama.messages import encode_messages
from conduit.gateway.dialects.request_limits import output_cap, stops_of
from conduit.gateway.dialects.target import EncodedRequest, InexpressibleError, Target

NAME: Final = "ollama_native"
# What a client says in these words, it says to Ollama, whatever format it speaks.
_WORDS: Final = ("options", "keep_alive")
_LACKING: Final = ("choices", "parallel_tool_calls", "user")

_NO_PARAMETERS = {"type": "object", "properties": {}}
# What Ollama's OpenAI-shaped endpoint makes of the words that are not its own.
_EFFORTS: Final = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "ultra": "max",
    "max": "max",
}


def encode_request(request: ChatRequest, target: Target) -> EncodedRequest:
    """The body for `POST /api/chat`, which streams unless told not to.

    There is no choice of tools: none may be called where none is sent, any other choice than that
    and the model's own is refused. A schema holds the whole answer to it, so it is refused beside
    tools.
    """
    losses = Losses(NAME, request.dialect)
    losses.lack_of(request, _LACKING)
    fields: dict[str, Any] = {
        "model": target.model,
        "messages": encode_messages(request.messages, losses),
        "stream": request.stream,
    }
    tools = _tools(request, losses)
    if tools:
        fields["tools"] = [_encode_tool(tool, losses) for tool in tools]
    fields |= _encode_answer_format(request.answer_format, target, has_tools=bool(tools))
    fields |= _encode_reasoning(request.reasoning, losses)
    extras = {name: request.extras[name] for name in _WORDS if name in request.extras}
    extras |= losses.own({k: v for k, v in request.extras.items() if k not in extras})
    options = _options(request, target, losses) | _object(extras.pop("options", None))
    if options:
        fields["options"] = options
    if request.sampling.logprobs:
        fields |= without_none(
            {"logprobs": True, "top_logprobs": request.sampling.top_logprobs or None}
        )
    return EncodedRequest(
        body=write_json(fields | extras), dropped=losses.dropped, emulated=losses.emulated
    )


def _options(request: ChatRequest, target: Target, losses: Losses) -> dict[str, Any]:
    sampling = request.sampling
    return without_none(
        {
            "num_predict": output_cap(request, target, losses),
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
            "stop": stops_of(sampling),
            "presence_penalty": sampling.presence_penalty,
            "frequency_penalty": sampling.frequency_penalty,
        }
    )


def _object(value: Any) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise InexpressibleError("options", '"options" must be an object')
    return value or {}


def _tools(request: ChatRequest, losses: Losses) -> tuple[Tool, ...]:
    choice = request.tool_choice
    if choice is not None and choice.mode in ("required", "named"):
        losses.lack("tool_choice")
    if choice is not None and choice.mode == "none" and request.tools:
        losses.emulate("tool_choice")
        return ()
    return request.tools


def _encode_tool(tool: Tool, losses: Losses) -> dict[str, Any]:
    losses.lack_if(cache_mark=tool.cache_mark, strict=tool.strict)
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": _NO_PARAMETERS if tool.parameters is None else tool.parameters,
    }
    extras = losses.own(tool.extras)
    inner = extras.pop("function", {})
    return {"type": "function", "function": without_none(function) | inner} | extras


def _encode_answer_format(
    wanted: AnswerFormat, target: Target, *, has_tools: bool
) -> dict[str, Any]:
    if wanted.kind == "text":
        return {}
    if has_tools:
        raise InexpressibleError(
            "answer_format", "This model's provider takes no JSON answers beside tools"
        )
    if wanted.schema is None:
        return {"format": "json"}
    if not target.schema:
        # It cannot be made to call a tool, either.
        raise InexpressibleError("answer_format", "This model takes no schema for its answer")
    return {"format": wanted.schema}


def _encode_reasoning(reasoning: Reasoning, losses: Losses) -> dict[str, Any]:
    losses.lack_if(shown=reasoning.shown is False)
    if reasoning.enabled is False or reasoning.effort == "none":
        return {"think": False}
    losses.lack_if(budget_tokens=reasoning.budget_tokens)
    if reasoning.effort in _EFFORTS:
        return {"think": _EFFORTS[reasoning.effort]}
    losses.lack_if(effort=reasoning.effort)
    return {"think": True} if reasoning.enabled or reasoning.budget_tokens else {}
