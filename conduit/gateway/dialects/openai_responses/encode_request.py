"""Requests in OpenAI's responses format, encoded for a provider."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from conduit.gateway.conversation import (
    AnswerFormat,
    ChatRequest,
    Message,
    Reasoning,
    Text,
    Tool,
    ToolChoice,
)
from conduit.gateway.dialects.answer_tool import ask_by_tool
from conduit.gateway.dialects.lenient_json import write_json
from conduit.gateway.dialects.losses import Losses
from conduit.gateway.dialects.openai.native import RESPONSES_OTHER_TOOLS, refuse_native
from conduit.gateway.dialects.openai.request_parts import effort_of
from conduit.gateway.dialects.openai_responses.decode_request import ENCRYPTED, LOGPROBS
from conduit.gateway.dialects.openai_responses.encode_input import encode_items
from conduit.gateway.dialects.request_limits import output_cap
from conduit.gateway.dialects.target import EncodedRequest, Target

_DIALECT: Final = "openai_responses"
_LACKING: Final = ("choices", "stop", "top_k", "seed", "presence_penalty", "frequency_penalty")
_LEAST_CAP: Final = 16  # the API refuses less
# What chat calls by the same names, and means the same by.
_SHARED: Final[tuple[str, ...]] = (
    "metadata",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
)


def encode_request(request: ChatRequest, target: Target) -> EncodedRequest:
    """The provider's body; raises InexpressibleError for what the format cannot say.

    Nothing of a foreign conversation is stored at the provider: its thinking comes back encrypted.
    """
    losses = Losses(_DIALECT, request.dialect)
    extras: dict[str, Any] = {}
    answer_tool = None
    if not losses.is_own:
        refuse_native(request)
        request, extras = _shared(request)
        if request.answer_format.kind == "json_schema" and not target.schema:
            request, answer_tool = ask_by_tool(request, losses)
    extras |= losses.own(request.extras)
    instructions, messages = _instructions(request, losses)
    fields: dict[str, Any] = {"model": target.model, "input": encode_items(messages, losses)}
    if instructions is not None:
        fields["instructions"] = instructions
    if request.stream:
        fields["stream"] = True
    losses.lack_of(request, _LACKING)
    fields |= _sampling(request, target, losses)
    fields |= _nested("reasoning", _reasoning(request.reasoning, losses), extras)
    fields |= _nested("text", _answer_format(request.answer_format), extras)
    fields |= _tools(request, extras, losses)
    if request.user is not None:
        fields["user"] = request.user
    fields |= _form(request, losses)
    return EncodedRequest(write_json(fields | extras), losses.dropped, losses.emulated, answer_tool)


def _shared(request: ChatRequest) -> tuple[ChatRequest, dict[str, Any]]:
    """The extras of a chat request that this format has as well, apart from the others."""
    if request.dialect != "openai_chat":
        return request, {}
    others = dict(request.extras)
    shared: dict[str, Any] = {name: others.pop(name) for name in _SHARED if name in others}
    if "verbosity" in others:
        shared["text"] = {"verbosity": others.pop("verbosity")}
    return replace(request, extras=others), shared


def _instructions(request: ChatRequest, losses: Losses) -> tuple[str | None, tuple[Message, ...]]:
    """The first message apart, where it says how to behave; from our own client only as it did."""
    match request.messages:
        case (Message(role="system", parts=(Text(cache_mark=None) as text,)) as first, *rest):
            if losses.is_own and not first.form.get("instructions"):
                return None, request.messages
            return text.text, tuple(rest)
        case _:
            return None, request.messages


def _sampling(request: ChatRequest, target: Target, losses: Losses) -> dict[str, Any]:
    sampling = request.sampling
    cap = output_cap(request, target, losses)
    if cap is not None and cap < _LEAST_CAP and not losses.is_own:
        losses.emulate("max_output_tokens")
        cap = _LEAST_CAP
    fields = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_output_tokens": cap,
        "top_logprobs": sampling.top_logprobs if sampling.logprobs or losses.is_own else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _reasoning(reasoning: Reasoning, losses: Losses) -> dict[str, Any]:
    effort = reasoning.effort if losses.is_own else effort_of(reasoning, losses)
    fields: dict[str, Any] = {} if effort is None else {"effort": effort}
    if reasoning.shown:
        fields["summary"] = "auto"
    return fields


def _nested(name: str, fields: dict[str, Any], extras: dict[str, Any]) -> dict[str, Any]:
    """An object of fields that are placed and of others, which win and leave the extras."""
    others = extras.pop(name, None)
    if isinstance(others, Mapping):
        fields = (fields if name != "reasoning" else {}) | dict(others)
    return {name: fields} if fields else {}


def _answer_format(wanted: AnswerFormat) -> dict[str, Any]:
    if wanted.kind == "text":
        return {}
    if wanted.kind == "json_object":
        return {"format": {"type": "json_object"}}
    inner = {"name": wanted.name or "answer", "schema": wanted.schema, "strict": wanted.strict}
    named = {name: value for name, value in inner.items() if value is not None}
    return {"format": {"type": "json_schema", **named}}


def _tools(request: ChatRequest, extras: dict[str, Any], losses: Losses) -> dict[str, Any]:
    tools = [_tool(tool, losses) for tool in request.tools]
    for index, tool in extras.pop(RESPONSES_OTHER_TOOLS, ()):
        tools.insert(index, tool)
    if not tools and not losses.is_own:
        return {}
    fields: dict[str, Any] = {"tools": tools} if tools else {}
    if request.tool_choice is not None:
        fields["tool_choice"] = _tool_choice(request.tool_choice)
    if request.parallel_tool_calls is not None:
        fields["parallel_tool_calls"] = request.parallel_tool_calls
    return fields


def _tool(tool: Tool, losses: Losses) -> dict[str, Any]:
    if tool.cache_mark is not None:
        losses.lack("cache_mark")
    fields: dict[str, Any] = {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }
    if not losses.is_own:
        # Here a schema is strict unless it is said not to be, elsewhere the other way round.
        fields["strict"] = bool(tool.strict)
        fields["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    kept = {name: value for name, value in fields.items() if value is not None}
    return kept | losses.own(tool.extras)


def _tool_choice(choice: ToolChoice) -> Any:
    return {"type": "function", "name": choice.name} if choice.mode == "named" else choice.mode


def _form(request: ChatRequest, losses: Losses) -> dict[str, Any]:
    """What is to come back and to be kept: as our own client said it, or so that nothing is."""
    if losses.is_own:
        return dict(request.form)
    include = []
    reasoning = request.reasoning
    if reasoning != Reasoning() and reasoning.enabled is not False:
        include.append(ENCRYPTED)  # asked of models that do not think, it would be refused
    if request.sampling.logprobs:
        include.append(LOGPROBS)
    return {"store": False} | ({"include": include} if include else {})
