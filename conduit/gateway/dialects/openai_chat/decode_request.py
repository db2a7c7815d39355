"""Chat requests in OpenAI's format, decoded."""

from typing import Any

from conduit.gateway.conversation import (
    AnswerFormat,
    ChatRequest,
    Reasoning,
    Sampling,
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
from conduit.gateway.dialects.openai.native import CHAT_OTHER_TOOLS
from conduit.gateway.dialects.openai_chat.decode_messages import decode_message
from conduit.gateway.dialects.strict_json import Body, read_object

_PLACED = frozenset(
    {
        "model",
        "messages",
        "stream",
        "stream_options",
        "temperature",
        "top_p",
        "seed",
        "stop",
        "max_completion_tokens",
        "max_tokens",
        "n",
        "presence_penalty",
        "frequency_penalty",
        "logprobs",
        "top_logprobs",
        "reasoning_effort",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "user",
    }
)
_THINKING_FIELDS = frozenset({"effort", "max_tokens", "enabled", "exclude"})


def decode_request(body: Body) -> ChatRequest:
    """A client's chat request; raises an InvalidRequestError that names the field."""
    return request_from(read_object(body).values)


def request_from(fields: Fields) -> ChatRequest:
    """The request in a body that has been parsed."""
    extras = rest_of(fields, _PLACED)
    messages = read_objects(fields, "messages")
    if not messages:
        raise wrong("messages", "must be a non-empty array")
    return ChatRequest(
        model=read_text(fields, "model") or "",
        messages=tuple(
            decode_message(message, f"messages[{index}].") for index, message in enumerate(messages)
        ),
        stream=read_flag(fields, "stream") or False,
        wants_stream_usage=_stream_usage(fields, extras),
        sampling=_sampling(fields),
        reasoning=_reasoning(fields, extras),
        tools=_tools(fields, extras),
        tool_choice=_tool_choice(fields, extras),
        parallel_tool_calls=read_flag(fields, "parallel_tool_calls"),
        answer_format=_answer_format(fields, extras),
        user=read_text(fields, "user"),
        extras=extras,
        dialect="openai_chat",
    )


def _stream_usage(fields: Fields, extras: dict[str, Any]) -> bool:
    options = read_object_field(fields, "stream_options")
    if not options:
        return False
    if options.keys() - {"include_usage"}:
        extras["stream_options"] = options
    return read_flag(options, "include_usage", "stream_options.") or False


def _reasoning(fields: Fields, extras: dict[str, Any]) -> Reasoning:
    """OpenAI's effort, and what OpenRouter and those who follow it say in `reasoning`."""
    effort = read_text(fields, "reasoning_effort")
    more = fields.get("reasoning")
    shown = None
    if isinstance(fields.get("include_reasoning"), bool):
        shown = extras.pop("include_reasoning")
    if not isinstance(more, dict) or not more.keys() <= _THINKING_FIELDS:
        return Reasoning(False if effort == "none" else None, effort, shown=shown)
    where = "reasoning."
    del extras["reasoning"]
    effort = effort or read_text(more, "effort", where)
    hidden = read_flag(more, "exclude", where)
    return Reasoning(
        enabled=False if effort == "none" else read_flag(more, "enabled", where),
        effort=effort,
        budget_tokens=read_integer(more, "max_tokens", least=0),
        shown=shown if hidden is None else not hidden,
    )


def _sampling(fields: Fields) -> Sampling:
    caps = [
        cap
        for name in ("max_completion_tokens", "max_tokens")
        if (cap := read_integer(fields, name)) is not None
    ]
    return Sampling(
        temperature=read_number(fields, "temperature"),
        top_p=read_number(fields, "top_p"),
        seed=read_integer(fields, "seed", least=-(2**63), largest=2**63),
        stop=_stop(fields),
        max_output_tokens=min(caps) if caps else None,
        choices=read_integer(fields, "n", largest=128) or 1,
        presence_penalty=read_number(fields, "presence_penalty"),
        frequency_penalty=read_number(fields, "frequency_penalty"),
        logprobs=read_flag(fields, "logprobs") or False,
        top_logprobs=read_integer(fields, "top_logprobs", least=0),
    )


def _stop(fields: Fields) -> tuple[str, ...]:
    stop = fields.get("stop")
    if stop is None:
        return ()
    if isinstance(stop, str):
        return (stop,)
    if isinstance(stop, list) and all(isinstance(item, str) for item in stop):
        return tuple(stop)
    raise wrong("stop", "must be a string or an array of strings")


def _tools(fields: Fields, extras: dict[str, Any]) -> tuple[Tool, ...]:
    tools: list[Tool] = []
    others: list[tuple[int, Fields]] = []
    for index, tool in enumerate(read_objects(fields, "tools")):
        if tool.get("type", "function") == "function":
            tools.append(_decode_tool(tool, f"tools[{index}]."))
        else:
            others.append((index, tool))
    if others:
        extras[CHAT_OTHER_TOOLS] = tuple(others)
    return tuple(tools)


def _decode_tool(tool: Fields, where: str) -> Tool:
    function = read_object_field(tool, "function", where)
    name = read_text(function, "name", f"{where}function.") if function else None
    if not function or not name:
        raise wrong(f"{where}function.name", "must be a non-empty string")
    extras = rest_of(tool, frozenset({"type", "function"}))
    inner = rest_of(function, frozenset({"name", "description", "parameters", "strict"}))
    if inner:
        extras["function"] = inner
    return Tool(
        name=name,
        description=read_text(function, "description", f"{where}function."),
        parameters=read_object_field(function, "parameters", f"{where}function."),
        strict=read_flag(function, "strict", f"{where}function."),
        extras=extras,
    )


def _tool_choice(fields: Fields, extras: dict[str, Any]) -> ToolChoice | None:
    match fields.get("tool_choice"):
        case None:
            return None
        case "auto" | "none" | "required" as mode:
            return ToolChoice(mode)
        case {"type": "function", "function": {"name": str(name)}}:
            return ToolChoice("named", name)
        case dict() as other:
            extras["tool_choice"] = other
            return None
        case _:
            raise wrong("tool_choice", 'must be "auto", "none", "required" or an object')


def _answer_format(fields: Fields, extras: dict[str, Any]) -> AnswerFormat:
    wanted = read_object_field(fields, "response_format")
    if not wanted:
        return AnswerFormat("text")
    where = "response_format."
    kind = read_text(wanted, "type", where)
    if kind == "json_schema":
        inner = read_object_field(wanted, "json_schema", where) or {}
        inner_where = f"{where}json_schema."
        if inner.keys() - {"name", "schema", "strict"} or len(wanted) > 2:
            extras["response_format"] = wanted
        return AnswerFormat(
            "json_schema",
            name=read_text(inner, "name", inner_where),
            schema=read_object_field(inner, "schema", inner_where),
            strict=read_flag(inner, "strict", inner_where),
        )
    if kind == "json_object":
        return AnswerFormat("json_object")
    if kind != "text":
        extras["response_format"] = wanted
    return AnswerFormat("text")
