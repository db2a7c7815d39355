"""Chat requests in OpenAI's format, encoded for a provider."""

from typing import Any, Final

from conduit.gateway.conversation import AnswerFormat, ChatRequest, Reasoning, Tool, ToolChoice
from conduit.gateway.dialects.answer_tool import ask_by_tool
from conduit.gateway.dialects.lenient_json import write_json
from conduit.gateway.dialects.losses import Losses
from conduit.gateway.dialects.openai.native import CHAT_OTHER_TOOLS, refuse_native
from conduit.gateway.dialects.openai.request_parts import effort_of
from conduit.gateway.dialects.openai_chat.encode_messages import encode_messages
from conduit.gateway.dialects.request_limits import output_cap
from conduit.gateway.dialects.target import EncodedRequest, Target

_DIALECT: Final = "openai_chat"
_LACKING: Final = ("top_k",)


def encode_request(request: ChatRequest, target: Target) -> EncodedRequest:
    """The provider's body; raises InexpressibleError for what the format cannot say."""
    losses = Losses(_DIALECT, request.dialect)
    if not losses.is_own:
        refuse_native(request)
    answer_tool = None
    if request.answer_format.kind == "json_schema" and not target.schema and not losses.is_own:
        request, answer_tool = ask_by_tool(request, losses)
    extras = losses.own(request.extras)
    fields: dict[str, Any] = {
        "model": target.model,
        "messages": encode_messages(request.messages, losses),
    }
    if request.stream:
        fields["stream"] = True
        # What an answer costs must be known, whether the client's own format has usage or not.
        if request.wants_stream_usage or (not losses.is_own and target.quirks.asks_stream_usage):
            fields["stream_options"] = {"include_usage": True}
    fields |= _sampling(request, target, losses)
    fields |= _reasoning(request.reasoning, losses)
    tools = [_tool(tool, losses) for tool in request.tools]
    for index, tool in extras.pop(CHAT_OTHER_TOOLS, ()):
        tools.insert(index, tool)
    if tools or losses.is_own:  # without tools the words about them are refused
        fields |= _tool_fields(request, tools)
    if request.answer_format.kind != "text":
        fields["response_format"] = _answer_format(request.answer_format)
    if request.user is not None:
        fields["user"] = request.user
    return EncodedRequest(write_json(fields | extras), losses.dropped, losses.emulated, answer_tool)


def _sampling(request: ChatRequest, target: Target, losses: Losses) -> dict[str, Any]:
    sampling = request.sampling
    stop: Any = sampling.stop[0] if len(sampling.stop) == 1 else list(sampling.stop)
    losses.lack_of(request, _LACKING)
    fields = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "stop": stop if sampling.stop else None,
        target.quirks.output_cap_field: output_cap(request, target, losses),
        "n": sampling.choices if sampling.choices != 1 else None,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "logprobs": sampling.logprobs or None,
        "top_logprobs": sampling.top_logprobs if sampling.logprobs or losses.is_own else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _reasoning(reasoning: Reasoning, losses: Losses) -> dict[str, Any]:
    """OpenAI's effort; to the client's own kind of provider also what `reasoning` held."""
    if not losses.is_own:
        effort = effort_of(reasoning, losses)
        return {} if effort is None else {"reasoning_effort": effort}
    effort = reasoning.effort
    more: dict[str, Any] = {
        "max_tokens": reasoning.budget_tokens,
        "enabled": reasoning.enabled if effort != "none" else None,
        "exclude": None if reasoning.shown is None else not reasoning.shown,
    }
    more = {name: value for name, value in more.items() if value is not None}
    if more:
        return {"reasoning": ({} if effort is None else {"effort": effort}) | more}
    return {} if effort is None else {"reasoning_effort": effort}


def _tool_fields(request: ChatRequest, tools: list[dict[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {"tools": tools} if tools else {}
    if request.tool_choice is not None:
        fields["tool_choice"] = _tool_choice(request.tool_choice)
    if request.parallel_tool_calls is not None:
        fields["parallel_tool_calls"] = request.parallel_tool_calls
    return fields


def _tool(tool: Tool, losses: Losses) -> dict[str, Any]:
    extras = losses.own(tool.extras)
    if tool.cache_mark is not None:
        losses.lack("cache_mark")
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    } | extras.pop("function", {})
    return {
        "type": "function",
        "function": {name: value for name, value in function.items() if value is not None},
        **extras,
    }


def _tool_choice(choice: ToolChoice) -> Any:
    if choice.mode == "named":
        return {"type": "function", "function": {"name": choice.name}}
    return choice.mode


def _answer_format(wanted: AnswerFormat) -> dict[str, Any]:
    if wanted.kind == "json_object":
        return {"type": "json_object"}
    inner = {"name": wanted.name or "answer", "schema": wanted.schema, "strict": wanted.strict}
    return {
        "type": "json_schema",
        "json_schema": {name: value for name, value in inner.items() if value is not None},
    }
