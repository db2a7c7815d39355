"""Requests in OpenAI's responses format, decoded.

Source: https://platform.openai.com/docs/api-reference/responses/create and the parameter types of
openai-python (types/responses/response_create_params.py).
"""

from typing import Any, Final

from conduit.gateway.conversation import (
    AnswerFormat,
    ChatRequest,
    Message,
    Reasoning,
    Sampling,
    Text,
    Tool,
    ToolChoice,
)
from conduit.gateway.dialects.fields import (
    Fields,
    read_flag,
    read_integer,
    read_number,
    read_object_field,
    read_objects,
    read_text,
    rest_of,
    wrong,
)
from conduit.gateway.dialects.openai.native import RESPONSES_OTHER_TOOLS
from conduit.gateway.dialects.openai_responses.decode_input import decode_items
from conduit.gateway.dialects.strict_json import Body, read_object

_DIALECT: Final = "openai_responses"
LOGPROBS: Final = "message.output_text.logprobs"
ENCRYPTED: Final = "reasoning.encrypted_content"

_PLACED = frozenset(
    {
        "model",
        "input",
        "instructions",
        "stream",
        "temperature",
        "top_p",
        "max_output_tokens",
        "top_logprobs",
        "include",
        "reasoning",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "text",
        "user",
    }
)
# Said by clients all day, and true of every other provider as it is.
_TRUE_ANYWAY: Final = {"store": False, "background": False, "truncation": "disabled"}


def decode_request(body: Body) -> ChatRequest:
    """A client's request; raises an InvalidRequestError that names the field."""
    return request_from(read_object(body).values)


def request_from(fields: Fields) -> ChatRequest:
    """The request in a body that has been parsed."""
    extras = rest_of(fields, _PLACED)
    form = _form(fields, extras)
    return ChatRequest(
        model=read_text(fields, "model") or "",
        messages=_messages(fields),
        stream=read_flag(fields, "stream") or False,
        wants_stream_usage=True,
        sampling=_sampling(fields),
        reasoning=_reasoning(fields, extras),
        tools=_tools(fields, extras),
        tool_choice=_tool_choice(fields, extras),
        parallel_tool_calls=read_flag(fields, "parallel_tool_calls"),
        answer_format=_answer_format(fields, extras),
        user=read_text(fields, "user"),
        extras=extras,
        dialect=_DIALECT,
        form=form,
    )


def _form(fields: Fields, extras: dict[str, Any]) -> dict[str, Any]:
    """What says nothing to another provider: it stands beside the extras, for our own kind."""
    read_flag(fields, "store")
    read_flag(fields, "background")
    read_text(fields, "previous_response_id")
    form: dict[str, Any] = {}
    for name, value in _TRUE_ANYWAY.items():
        if name in extras and extras[name] == value:
            form[name] = extras.pop(name)
    include = fields.get("include")
    if include is None:
        return form
    if not isinstance(include, list) or not all(isinstance(name, str) for name in include):
        raise wrong("include", "must be an array of strings")
    form["include"] = include
    others = [name for name in include if name not in (LOGPROBS, ENCRYPTED)]
    if others:
        extras["include"] = others
    return form


def _messages(fields: Fields) -> tuple[Message, ...]:
    instructions = read_text(fields, "instructions")
    given = fields.get("input")
    if isinstance(given, str):
        messages: tuple[Message, ...] = (Message("user", (Text(given),)),)
    elif isinstance(given, list) and given:
        messages = decode_items(read_objects(fields, "input"))
    elif given in (None, []) and not fields.keys().isdisjoint({"previous_response_id", "prompt"}):
        messages = ()
    else:
        raise wrong("input", "must be a string or a non-empty array")
    if instructions is None:
        return messages
    return (Message("system", (Text(instructions),), form={"instructions": True}), *messages)


def _sampling(fields: Fields) -> Sampling:
    include = fields.get("include")
    return Sampling(
        temperature=read_number(fields, "temperature"),
        top_p=read_number(fields, "top_p"),
        max_output_tokens=read_integer(fields, "max_output_tokens"),
        logprobs=isinstance(include, list) and LOGPROBS in include,
        top_logprobs=read_integer(fields, "top_logprobs", least=0),
    )


def _reasoning(fields: Fields, extras: dict[str, Any]) -> Reasoning:
    wanted = read_object_field(fields, "reasoning")
    if not wanted:
        return Reasoning()
    effort = read_text(wanted, "effort", "reasoning.")
    summary = read_text(wanted, "summary", "reasoning.")
    summary = summary or read_text(wanted, "generate_summary", "reasoning.")
    if wanted.keys() - {"effort", "summary"} or summary not in (None, "auto"):
        extras["reasoning"] = wanted
    return Reasoning(
        enabled=False if effort == "none" else None,
        effort=effort,
        shown=None if summary is None else True,
    )


def _tools(fields: Fields, extras: dict[str, Any]) -> tuple[Tool, ...]:
    tools: list[Tool] = []
    others: list[tuple[int, Fields]] = []
    for index, tool in enumerate(read_objects(fields, "tools")):
        if tool.get("type") == "function":
            tools.append(_tool(tool, f"tools[{index}]."))
        else:
            others.append((index, tool))
    if others:
        extras[RESPONSES_OTHER_TOOLS] = tuple(others)
    return tuple(tools)


def _tool(tool: Fields, where: str) -> Tool:
    name = read_text(tool, "name", where)
    if not name:
        raise wrong(f"{where}name", "must be a non-empty string")
    return Tool(
        name=name,
        description=read_text(tool, "description", where),
        parameters=read_object_field(tool, "parameters", where),
        strict=read_flag(tool, "strict", where),
        extras=rest_of(tool, frozenset({"type", "name", "description", "parameters", "strict"})),
    )


def _tool_choice(fields: Fields, extras: dict[str, Any]) -> ToolChoice | None:
    match fields.get("tool_choice"):
        case None:
            return None
        case "auto" | "none" | "required" as mode:
            return ToolChoice(mode)
        case {"type": "function", "name": str(name)}:
            return ToolChoice("named", name)
        case dict() as other:
            extras["tool_choice"] = other
            return None
        case _:
            raise wrong("tool_choice", 'must be "auto", "none", "required" or an object')


def _answer_format(fields: Fields, extras: dict[str, Any]) -> AnswerFormat:
    text = read_object_field(fields, "text")
    if not text:
        return AnswerFormat("text")
    others = rest_of(text, frozenset({"format"}))
    wanted = read_object_field(text, "format", "text.") or {}
    where = "text.format."
    kind = read_text(wanted, "type", where)
    if kind == "json_schema":
        if wanted.keys() - {"type", "name", "schema", "strict"}:
            others["format"] = wanted
        found = AnswerFormat(
            "json_schema",
            name=read_text(wanted, "name", where),
            schema=read_object_field(wanted, "schema", where),
            strict=read_flag(wanted, "strict", where),
        )
    elif kind == "json_object":
        found = AnswerFormat("json_object")
    else:
        if kind not in (None, "text"):
            others["format"] = wanted
        found = AnswerFormat("text")
    if others:
        extras["text"] = others
    return found
