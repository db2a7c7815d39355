"""The fields of a request to Anthropic that are written alike whoever has asked.

Source: platform.claude.com/docs "Messages API" and "Tool use".
"""

from collections.abc import Mapping
from typing import Any, Final

from conduit.gateway.conversation import ChatRequest, Tool
from conduit.gateway.dialects.target import Target

_CHOICES: Final = {"auto": "auto", "required": "any", "none": "none", "named": "tool"}


def head_fields(request: ChatRequest, target: Target, cap: int) -> dict[str, Any]:
    fields: dict[str, Any] = {"model": target.model, "max_tokens": cap}
    return fields | ({"stream": True} if request.stream else {})


def tool_definition(tool: Tool) -> dict[str, Any]:
    fields = {
        "name": tool.name,
        "description": tool.description,
        "input_schema": tool.parameters,
        "strict": tool.strict,
        "cache_control": tool.cache_mark,
    }
    written = {name: value for name, value in fields.items() if value is not None}
    return written | dict(tool.extras)


def tool_fields(request: ChatRequest, tools: list[dict[str, Any]]) -> dict[str, Any]:
    """The tools and how they may be chosen."""
    fields: dict[str, Any] = {"tools": tools} if tools else {}
    choice = request.tool_choice
    single = request.parallel_tool_calls is False and bool(tools)
    if choice is None and not single:
        return fields
    written: dict[str, Any] = {"type": _CHOICES[choice.mode if choice else "auto"]}
    if choice is not None and choice.mode == "named":
        written["name"] = choice.name
    if single and written["type"] != "none":
        written["disable_parallel_tool_use"] = True
    return {**fields, "tool_choice": written}


def output_config(effort: str | None, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if effort is not None:
        config["effort"] = effort
    if schema is not None:
        config["format"] = {"type": "json_schema", "schema": schema}
    return config
