"""Requests of Gemini's clients, decoded.

The model and whether the answer is streamed stand in the address of the call, not in its body.
Source: https://ai.google.dev/api/generate-content and the Vertex AI reference of the same method.
"""

from typing import Any

from conduit.gateway.conversation import ChatRequest, Tool, ToolChoice
from conduit.gateway.dialects.fields import (
    Fields,
    read_object_field,
    read_objects,
    read_text,
    rest_of,
    wrong,
)
from conduit.gateway.dialects.gemini.config import read_config
from conduit.gateway.dialects.gemini.read_contents import read_contents, read_system
from conduit.gateway.dialects.gemini.schema import json_schema_of
from conduit.gateway.dialects.gemini.words import NAME, camel
from conduit.gateway.dialects.strict_json import Body, read_object

_PLACED = frozenset(
    {"model", "contents", "systemInstruction", "tools", "toolConfig", "generationConfig"}
)
_DECLARED = frozenset({"name", "description", "parameters", "parametersJsonSchema"})
_CALLING = "functionCallingConfig"


def decode_request(body: Body, *, model: str, stream: bool) -> ChatRequest:
    """A client's request; raises an InvalidRequestError that names the field, in camelCase."""
    return request_from(camel(read_object(body).values), model=model, stream=stream)


def request_from(fields: Fields, *, model: str, stream: bool) -> ChatRequest:
    """The request in a body of camelCase names that has been parsed.

    Fields that nothing has a place for are extras under their whole path, such as
    `generationConfig.speechConfig` or `tools.googleSearch`.
    """
    extras = rest_of(fields, _PLACED)
    messages = read_contents(fields)
    if not messages:
        raise wrong("contents", "must be a non-empty array")
    config = read_config(fields, extras)
    return ChatRequest(
        model=model,
        messages=read_system(fields) + messages,
        stream=stream,
        wants_stream_usage=stream,
        sampling=config.sampling,
        reasoning=config.reasoning,
        tools=_read_tools(fields, extras),
        tool_choice=_read_tool_choice(fields, extras),
        answer_format=config.answer_format,
        extras=extras,
        dialect=NAME,
    )


def _read_tools(fields: Fields, extras: dict[str, Any]) -> tuple[Tool, ...]:
    value = fields.get("tools")
    many = [value] if isinstance(value, dict) else read_objects(fields, "tools")
    tools: list[Tool] = []
    for index, item in enumerate(many):
        where = f"tools[{index}]."
        named = camel(item, where)
        declared = read_objects(named, "functionDeclarations", where)
        for position, declaration in enumerate(declared):
            place = f"{where}functionDeclarations[{position}]."
            tools.append(_read_tool(camel(declaration, place), place))
        for name, hosted in rest_of(named, frozenset({"functionDeclarations"})).items():
            extras[f"tools.{name}"] = hosted
    return tuple(tools)


def _read_tool(declaration: Fields, where: str) -> Tool:
    name = read_text(declaration, "name", where)
    if not name:
        raise wrong(f"{where}name", "must be a non-empty string")
    parameters = read_object_field(declaration, "parametersJsonSchema", where)
    older = read_object_field(declaration, "parameters", where)
    if parameters is None and older is not None:
        parameters = json_schema_of(older)
    return Tool(
        name=name,
        description=read_text(declaration, "description", where),
        parameters=parameters,
        extras=rest_of(declaration, _DECLARED),
    )


def _read_tool_choice(fields: Fields, extras: dict[str, Any]) -> ToolChoice | None:
    given = read_object_field(fields, "toolConfig")
    if given is None:
        return None
    where = "toolConfig."
    config = camel(given, where)
    for name, value in rest_of(config, frozenset({_CALLING})).items():
        extras[where + name] = value
    calling = read_object_field(config, _CALLING, where)
    if calling is None:
        return None
    where += f"{_CALLING}."
    calling = camel(calling, where)
    for name, value in rest_of(calling, frozenset({"mode", "allowedFunctionNames"})).items():
        extras[where + name] = value
    return _choice(calling, where, extras)


def _choice(calling: Fields, where: str, extras: dict[str, Any]) -> ToolChoice | None:
    mode = read_text(calling, "mode", where) or "MODE_UNSPECIFIED"
    allowed = calling.get("allowedFunctionNames") or []
    if not isinstance(allowed, list) or not all(isinstance(name, str) for name in allowed):
        raise wrong(f"{where}allowedFunctionNames", "must be an array of strings")
    if mode.upper() == "ANY" and len(allowed) == 1:
        return ToolChoice("named", allowed[0])
    if allowed:
        extras[f"{where}allowedFunctionNames"] = allowed
    match mode.upper():
        case "AUTO":
            return ToolChoice("auto")
        case "ANY":
            return ToolChoice("required")
        case "NONE":
            return ToolChoice("none")
        case "MODE_UNSPECIFIED":
            return None
        case _:
            extras[f"{where}mode"] = mode  # VALIDATED: as AUTO, but calls keep to their schemas
            return None
