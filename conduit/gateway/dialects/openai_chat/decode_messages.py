"""Messages of OpenAI's chat format, decoded into the parts of the internal form."""

from collections.abc import Mapping
from typing import Any, Final, get_args

from msgspec.structs import replace

from conduit.gateway.conversation import (
    Audio,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from conduit.gateway.dialects.fields import Fields, read_objects, read_text, rest_of, wrong
from conduit.gateway.dialects.openai.annotations import citation_of
from conduit.gateway.dialects.openai.google_signatures import take_signature
from conduit.gateway.dialects.openai_chat.thinking import read_thoughts

_DIALECT: Final = "openai_chat"
_ROLES = frozenset(get_args(Role))
_MESSAGE_FIELDS = frozenset(
    {
        "role",
        "content",
        "name",
        "tool_call_id",
        "reasoning_content",
        "reasoning_signature",
        "reasoning_redacted",
        "refusal",
        "tool_calls",
        "parsed",  # OpenAI's client adds this and `parsed_arguments` to what it got, for itself
    }
)


def decode_message(fields: Fields, where: str) -> Message:
    """One message; `where` is its path in the request, for errors."""
    role = read_text(fields, "role", where) or ""
    extras = rest_of(fields, _MESSAGE_FIELDS)
    if role == "function":  # the form that tool results had before there were tools
        extras["role"] = role
        role = "tool"
    if role not in _ROLES:
        raise wrong(f"{where}role", f"must be one of {', '.join(sorted(_ROLES))}")
    parts = _cited(_content(fields, where), extras)
    if role == "tool":
        call_id = read_text(fields, "tool_call_id", where) or ""
        parts = (ToolResult(call_id, parts),)
    else:
        parts = (*_thinking(fields, where), *parts, *_refusal(fields, where))
        calls = read_objects(fields, "tool_calls", where)
        parts += tuple(decode_tool_call(call) for call in calls)
    return Message(
        role=role,  # type: ignore[arg-type]  # checked against the roles above
        parts=parts,
        name=read_text(fields, "name", where),
        extras=extras,
    )


def decode_tool_call(call: Fields) -> Part:
    """A function call by its exact argument text; any other kind of call stays whole."""
    function = call.get("function")
    if call.get("type", "function") != "function" or not isinstance(function, dict):
        return Opaque(_DIALECT, "tool_calls", call)
    name, arguments, call_id = function.get("name"), function.get("arguments"), call.get("id")
    if not (isinstance(name, str) and isinstance(arguments, str) and isinstance(call_id, str)):
        return Opaque(_DIALECT, "tool_calls", call)
    extras = rest_of(call, frozenset({"id", "type", "function", "index"}))
    inner = rest_of(function, frozenset({"name", "arguments", "parsed_arguments"}))
    if inner:
        extras["function"] = inner
    mark = extras.pop("cache_control", None)
    signature, signed_by = take_signature(extras, _DIALECT)
    return ToolCall(call_id, name, arguments, mark, signature, signed_by, extras)


def _cited(parts: tuple[Part, ...], extras: dict[str, Any]) -> tuple[Part, ...]:
    """The text with the annotations that stand beside it, as their offsets count from it."""
    annotations = extras.get("annotations")
    if not isinstance(annotations, list) or not all(isinstance(item, dict) for item in annotations):
        return parts
    if not annotations:
        del extras["annotations"]  # as every answer has it that cites nothing
        return parts
    match parts:
        case (Text() as text,):
            del extras["annotations"]
            cited = tuple(citation_of(raw, _DIALECT) for raw in annotations)
            return (replace(text, citations=cited),)
        case _:
            return parts


def _content(fields: Fields, where: str) -> tuple[Part, ...]:
    content = fields.get("content")
    if content is None:
        return ()
    if isinstance(content, str):
        return (Text(content),)
    if not isinstance(content, list):
        raise wrong(f"{where}content", "must be a string or an array")
    return tuple(_decode_part(part) for part in read_objects(fields, "content", where))


def _decode_part(part: Fields) -> Part:
    """A part whose every field has a place; otherwise the part as it stands, so nothing is lost."""
    kind = part.get("type")
    mark = part.get("cache_control")
    inner = part.get(kind) if isinstance(kind, str) else None
    placed: Part | None = None
    if part.keys() <= {"type", kind, "cache_control"} and (mark is None or isinstance(mark, dict)):
        if kind == "text" and isinstance(inner, str):
            placed = Text(inner, cache_mark=mark)
        elif kind == "refusal" and isinstance(inner, str) and mark is None:
            placed = Refusal(inner)
        elif isinstance(inner, dict) and _is_all_text(inner):
            placed = _decode_media(kind, inner, mark)
    return placed or Opaque(_DIALECT, "content", part)


def _decode_media(kind: Any, inner: Mapping[str, str], mark: Fields | None) -> Part | None:
    names = inner.keys()
    if kind == "image_url" and {"url"} <= names <= {"url", "detail"}:
        return Image(inner["url"], detail=inner.get("detail"), cache_mark=mark)
    if kind == "input_audio" and names == {"data", "format"} and mark is None:
        return Audio(inner["data"], inner["format"])
    if kind == "file" and names <= {"file_id", "file_data", "filename"}:
        return File(
            file_id=inner.get("file_id"),
            data=inner.get("file_data"),
            filename=inner.get("filename"),
            cache_mark=mark,
        )
    return None


def _is_all_text(inner: Mapping[Any, Any]) -> bool:
    return all(isinstance(value, str) for value in inner.values())


def _thinking(fields: Fields, where: str) -> tuple[Thinking, ...]:
    text = read_text(fields, "reasoning_content", where)
    if text is None:
        # OpenRouter and Groq say `reasoning`, which stays in the extras as well, for the way back.
        other = fields.get("reasoning")
        text = other if isinstance(other, str) else None
    signature = read_text(fields, "reasoning_signature", where)
    redacted = read_text(fields, "reasoning_redacted", where)
    return read_thoughts(text, signature, redacted)


def _refusal(fields: Fields, where: str) -> tuple[Refusal, ...]:
    text = read_text(fields, "refusal", where)
    return () if text is None else (Refusal(text),)
