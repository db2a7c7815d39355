"""Requests of other dialects, in the form that the model's generation takes.

Source: platform.claude.com/docs "Messages API", "Tool use", "Extended thinking", "Structured
outputs"; `models.py` knows the generations.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from conduit.gateway.conversation import ChatRequest, Sampling, Tool, ToolCall, ToolChoice
from conduit.gateway.dialects.answer_tool import ask_by_tool
from conduit.gateway.dialects.anthropic.models import Model
from conduit.gateway.dialects.anthropic.reasoning import Thought, translate_reasoning
from conduit.gateway.dialects.anthropic.request_fields import (
    head_fields,
    output_config,
    tool_definition,
    tool_fields,
)
from conduit.gateway.dialects.anthropic.schema import closed_schema
from conduit.gateway.dialects.anthropic.turns import conversation_fields, goes_on_unthought
from conduit.gateway.dialects.losses import Losses
from conduit.gateway.dialects.request_limits import output_cap, stops_of, within
from conduit.gateway.dialects.target import InexpressibleError, Target

# With thinking, the API takes `top_p` from here on.
_LEAST_THINKING_TOP_P: Final = 0.95
_LACKING: Final = ("choices", "logprobs", "seed", "presence_penalty", "frequency_penalty")
_DEFAULTS: Final = {"temperature": 1, "top_p": 1}


def translated_fields(
    request: ChatRequest, target: Target, losses: Losses
) -> tuple[dict[str, Any], str | None]:
    """The body's fields, and the tool whose arguments are the answer."""
    losses.lack_of(request, _LACKING)
    model = Model.of(target.model)
    request, schema, answer_tool = _answer_form(request, target, model, losses)
    request = _with_tools_of_history(request, losses)
    conversation = conversation_fields(request.messages, losses)
    thought = _thought(request, target, model, losses)
    if thought.has_budget and (
        _forces_tool(request.tool_choice) or goes_on_unthought(conversation["messages"])
    ):
        thought.leave_out(losses)  # the API refuses either together with a budget
    strict = target.schema and model.takes_schema
    tools = [_tool(tool, losses, strict=strict) for tool in request.tools]
    fields = {
        **head_fields(request, target, thought.max_tokens),
        **conversation,
        **_sampling(request.sampling, model, thought, losses),
        **tool_fields(request, tools),
        **_thinking_fields(thought, schema),
    }
    if request.user is not None:
        fields["metadata"] = {"user_id": request.user}
    return fields, answer_tool


def _answer_form(
    request: ChatRequest, target: Target, model: Model, losses: Losses
) -> tuple[ChatRequest, Mapping[str, Any] | None, str | None]:
    """The request, the schema to be asked for natively, and the tool to be called instead."""
    wanted = request.answer_format
    if wanted.kind == "text":
        return request, None, None
    schema = wanted.schema if wanted.kind == "json_schema" else None
    closed = None if schema is None else closed_schema(schema)
    if closed is not None and target.schema and model.takes_schema:
        return request, closed, None
    if schema is not None and not model.takes_forced_tools:
        return request, schema, None
    if not model.takes_forced_tools:
        raise InexpressibleError(
            "answer_format", "This model answers in JSON by a schema alone; send one"
        )
    request, name = ask_by_tool(request, losses)
    return request, None, name


def _with_tools_of_history(request: ChatRequest, losses: Losses) -> ChatRequest:
    """The request with the tools that its conversation used, where it offers none.

    The API takes calls and results only beside the tools that they are of, but then, with the
    choice of none, they cannot be called. Without any tool it refuses to hear of their choice.
    """
    if request.tools:
        return request
    calls = (part for message in request.messages for part in message.parts)
    names = dict.fromkeys(part.name for part in calls if isinstance(part, ToolCall))
    if names:
        losses.emulate("tools")
        tools = tuple(Tool(name) for name in names)
        return replace(request, tools=tools, tool_choice=ToolChoice("none"))
    return request if _forces_tool(request.tool_choice) else replace(request, tool_choice=None)


def _thought(request: ChatRequest, target: Target, model: Model, losses: Losses) -> Thought:
    cap = output_cap(request, target, losses)
    return translate_reasoning(request.reasoning, model, cap, target.max_output_tokens, losses)


def _forces_tool(choice: ToolChoice | None) -> bool:
    return choice is not None and choice.mode in ("required", "named")


def _sampling(sampling: Sampling, model: Model, thought: Thought, losses: Losses) -> dict[str, Any]:
    # Other providers go up to 2.
    temperature = within("temperature", sampling.temperature, 0, 1, losses)
    wanted = {"temperature": temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
    fields: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    for name in _ruled_out(fields, model, thought):
        if fields.pop(name) != _DEFAULTS.get(name):
            losses.lack(name)
    stops = stops_of(sampling, blank=False)
    if stops is not None:
        fields["stop_sequences"] = stops
    return fields


def _ruled_out(fields: Mapping[str, Any], model: Model, thought: Thought) -> list[str]:
    """What of the sampling the model would refuse."""
    if not model.takes_sampling:
        return list(fields)
    names: list[str] = []
    top_p = fields.get("top_p")
    if thought.is_on:
        names = [name for name in ("temperature", "top_k") if name in fields]
    pair = "temperature" in fields and "temperature" not in names
    if top_p is not None and (
        (thought.is_on and top_p < _LEAST_THINKING_TOP_P)
        or (pair and not model.takes_both_temperature_and_top_p)
    ):
        names.append("top_p")
    return names


def _tool(tool: Tool, losses: Losses, *, strict: bool) -> dict[str, Any]:
    losses.own(tool.extras)
    schema = {"type": "object", **(tool.parameters or {"properties": {}})}
    closed = closed_schema(schema) if tool.strict and strict else None
    losses.lack_if(strict=tool.strict and closed is None)
    return tool_definition(
        replace(tool, parameters=closed or schema, strict=True if closed else None, extras={})
    )


def _thinking_fields(thought: Thought, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if thought.thinking is not None:
        fields["thinking"] = thought.thinking
    config = output_config(thought.effort, schema)
    return fields | ({"output_config": config} if config else {})
