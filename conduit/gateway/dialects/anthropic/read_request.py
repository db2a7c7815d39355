"""Requests of Anthropic's clients: messages, and the counting of their tokens.

Source: platform.claude.com/docs "Messages API" and "Token counting", and the parameter types of the
official SDK (`MessageCreateParams`, `MessageCountTokensParams`).
"""

from typing import Any, Final

from conduit.gateway.conversation import (
    AnswerFormat,
    ChatRequest,
    Message,
    Sampling,
    Tool,
    ToolChoice,
)
from conduit.gateway.dialects.anthropic.read_blocks import decode_content, decode_message, mark_of
from conduit.gateway.dialects.anthropic.reasoning import decode_reasoning
from conduit.gateway.dialects.anthropic.words import NAME, OTHER_TOOLS
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
from conduit.gateway.dialects.strict_json import Body, read_object

_PLACED: Final = frozenset(
    {
        "model",
        "messages",
        "system",
        "stream",
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "output_format",
        "metadata",
    }
)
_TOOL_FIELDS: Final = frozenset(
    {"type", "name", "description", "input_schema", "strict", "cache_control"}
)
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}


def decode_request(body: Body) -> ChatRequest:
    """A client's request; raises an InvalidRequestError that names the field."""
    return request_from(read_object(body).values)


def decode_count_request(body: Body) -> ChatRequest:
    """A client's request to count its tokens, which has no output cap."""
    return _request(read_object(body).values, cap=None)


def request_from(fields: Fields) -> ChatRequest:
    """The request in a body that has been parsed."""
    cap = read_integer(fields, "max_tokens", least=0)
    if cap is None:
        raise wrong("max_tokens", "is missing")
    return _request(fields, cap)


def _request(fields: Fields, cap: int | None) -> ChatRequest:
    extras = rest_of(fields, _PLACED)
    config = dict(read_object_field(fields, "output_config") or {})
    effort = read_text(config, "effort", "output_config.")
    answer_format = _answer_format(fields, config)
    config.pop("effort", None)
    if config:
        extras["output_config"] = config
    choice, parallel = _tool_choice(fields)
    return ChatRequest(
        model=read_text(fields, "model") or "",
        messages=(*_system(fields), *_messages(fields)),
        stream=read_flag(fields, "stream") or False,
        sampling=Sampling(
            temperature=read_number(fields, "temperature"),
            top_p=read_number(fields, "top_p"),
            top_k=read_integer(fields, "top_k", least=0),
            stop=_stop(fields),
            max_output_tokens=cap,
        ),
        reasoning=decode_reasoning(fields, effort, extras),
        tools=_tools(fields, extras),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        answer_format=answer_format,
        user=_user(fields, extras),
        extras=extras,
        dialect=NAME,
    )


def _system(fields: Fields) -> tuple[Message, ...]:
    parts = decode_content(fields, "system", "")
    return (Message("system", parts),) if parts else ()


def _messages(fields: Fields) -> list[Message]:
    messages = read_objects(fields, "messages")
    if not messages:
        raise wrong("messages", "must be a non-empty array")
    return [
        decoded
        for index, message in enumerate(messages)
        for decoded in decode_message(message, f"messages[{index}].")
    ]


def _stop(fields: Fields) -> tuple[str, ...]:
    stop = fields.get("stop_sequences")
    if stop is None:
        return ()
    if not isinstance(stop, list) or not all(isinstance(text, str) for text in stop):
        raise wrong("stop_sequences", "must be an array of strings")
    return tuple(stop)


def _user(fields: Fields, extras: dict[str, Any]) -> str | None:
    metadata = read_object_field(fields, "metadata") or {}
    rest = rest_of(metadata, frozenset({"user_id"}))
    if rest:
        extras["metadata"] = rest
    return read_text(metadata, "user_id", "metadata.")


def _tools(fields: Fields, extras: dict[str, Any]) -> tuple[Tool, ...]:
    tools: list[Tool] = []
    others: list[tuple[int, Fields]] = []
    for index, tool in enumerate(read_objects(fields, "tools")):
        where = f"tools[{index}]."
        if read_text(tool, "type", where) in (None, "custom"):
            tools.append(_tool(tool, where))
        else:
            others.append((index, tool))
    if others:
        extras[OTHER_TOOLS] = others
    return tuple(tools)


def _tool(tool: Fields, where: str) -> Tool:
    name = read_text(tool, "name", where)
    if not name:
        raise wrong(f"{where}name", "is missing")
    schema = read_object_field(tool, "input_schema", where)
    if schema is None:
        raise wrong(f"{where}input_schema", "is missing")
    return Tool(
        name,
        description=read_text(tool, "description", where),
        parameters=schema,
        strict=read_flag(tool, "strict", where),
        cache_mark=mark_of(tool, where),
        extras=rest_of(tool, _TOOL_FIELDS),
    )


def _tool_choice(fields: Fields) -> tuple[ToolChoice | None, bool | None]:
    choice = read_object_field(fields, "tool_choice")
    if choice is None:
        return None, None
    where = "tool_choice."
    kind = read_text(choice, "type", where)
    single = read_flag(choice, "disable_parallel_tool_use", where)
    parallel = None if single is None else not single
    if kind == "tool":
        name = read_text(choice, "name", where)
        if not name:
            raise wrong(f"{where}name", "is missing")
        return ToolChoice("named", name), parallel
    if kind not in _CHOICES:
        raise wrong(f"{where}type", 'must be "auto", "any", "tool" or "none"')
    # The modes are those of the table above.
    return ToolChoice(_CHOICES[kind]), parallel  # type: ignore[arg-type]


def _answer_format(fields: Fields, config: dict[str, Any]) -> AnswerFormat:
    """The schema of an answer, from its place or the one that it had in the beta."""
    where = "output_config.format"
    wanted = read_object_field(config, "format", "output_config.")
    config.pop("format", None)
    if wanted is None:
        where = "output_format"
        wanted = read_object_field(fields, where)
    if wanted is None:
        return AnswerFormat("text")
    if wanted.get("type") != "json_schema":
        raise wrong(f"{where}.type", 'must be "json_schema"')
    schema = read_object_field(wanted, "schema", f"{where}.")
    if schema is None:
        raise wrong(f"{where}.schema", "is missing")
    return AnswerFormat("json_schema", schema=schema, strict=True)
