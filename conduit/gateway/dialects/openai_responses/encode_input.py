"""Messages of the internal form as input items of OpenAI's responses."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from conduit.gateway.conversation import (
    Audio,
    Citation,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from conduit.gateway.dialects.losses import Losses
from conduit.gateway.dialects.openai.annotations import flat_annotation
from conduit.gateway.dialects.openai.google_signatures import signed_content
from conduit.gateway.dialects.openai_responses.decode_input import default_spans
from conduit.gateway.dialects.target import InexpressibleError

_DIALECT: Final = "openai_responses"
_BREAKPOINT: Final = {"mode": "explicit"}
# Their files live in the same store.
_OPENAI: Final = frozenset({"openai_chat", "openai_responses"})


def encode_items(messages: Iterable[Message], losses: Losses) -> list[dict[str, Any]]:
    """The items of all messages, in order."""
    items: list[dict[str, Any]] = []
    for message in messages:
        losses.own(message.extras)
        if message.name is not None:
            losses.lack("name")
        spans = message.form.get("items") if losses.is_own else None
        for start, stop, fields in spans or default_spans(message.parts):
            items += _item(message, message.parts[start:stop], fields, losses)
    return items


def annotation_of(citation: Citation, length: int) -> Mapping[str, Any] | None:
    """A source of a text of `length` characters; None where this format has no way to name it."""
    return citation.raw if citation.dialect == _DIALECT else flat_annotation(citation, length)


def _item(
    message: Message, parts: tuple[Part, ...], fields: Mapping[str, Any], losses: Losses
) -> list[dict[str, Any]]:
    """The item of some parts of a message; none where this provider could not read it."""
    match parts:
        case (Thinking() as thought,):
            return _reasoning(thought, fields, losses)
        case (ToolCall() as call,):
            return [{**_call(call, losses), **fields}]
        case (ToolResult() as result,):
            return [{**_result(result, losses), **fields}]
        case (Opaque() as opaque,) if opaque.place != "content":
            return [losses.own_part(opaque)]
        case _:
            role = "user" if message.role == "tool" else message.role
            content = _content(parts, losses, is_output=role == "assistant")
            return [{"type": "message", "role": role, "content": content, **fields}]


def _reasoning(
    thought: Thinking, fields: Mapping[str, Any], losses: Losses
) -> list[dict[str, Any]]:
    is_readable = thought.signed_by == _DIALECT and thought.signature is not None
    if not is_readable and not (losses.is_own and thought.signed_by == "" and "id" in fields):
        losses.lack("thinking")
        return []
    summary = [{"type": "summary_text", "text": thought.text}] if thought.text else []
    item: dict[str, Any] = {"type": "reasoning", "summary": summary}
    if thought.signature is not None:
        item["encrypted_content"] = thought.signature
    return [{**item, **fields}]


def _call(call: ToolCall, losses: Losses) -> dict[str, Any]:
    _take_mark(call.cache_mark, losses)
    item: dict[str, Any] = {
        "type": "function_call",
        "call_id": call.id,
        "name": call.name,
        "arguments": call.arguments,
        **losses.own(call.extras),
    }
    if call.signature is not None and call.signed_by == _DIALECT:
        item["extra_content"] = signed_content(call.signature, item.get("extra_content"))
    return item


def _result(result: ToolResult, losses: Losses) -> dict[str, Any]:
    _take_mark(result.cache_mark, losses)
    if result.is_error:
        losses.lack("is_error")
    output = _content(result.parts, losses, is_output=False)
    return {"type": "function_call_output", "call_id": result.call_id, "output": output}


def _content(
    parts: tuple[Part, ...], losses: Losses, *, is_output: bool
) -> str | list[dict[str, Any]]:
    content = [_part(part, losses, is_output=is_output) for part in parts]
    match parts:
        case (Text() as text,) if content[0].keys() <= {"type", "text"}:
            return text.text
        case () if not is_output:
            return []
        case _:
            return content


def _part(part: Part, losses: Losses, *, is_output: bool) -> dict[str, Any]:
    match part:
        case Text():
            return _text(part, losses, is_output=is_output)
        case Refusal():
            return {"type": "refusal", "refusal": part.text}
        case Image():
            detail = part.detail or (None if losses.is_own else "auto")
            image = {"image_url": part.url} | ({"detail": detail} if detail else {})
            return {"type": "input_image", **image, **_take_mark(part.cache_mark, losses)}
        case Audio():
            sound = {"data": part.data, "format": part.format}
            return {"type": "input_audio", "input_audio": sound}
        case File():
            mark = _take_mark(part.cache_mark, losses)
            return {"type": "input_file", **_file(part, losses), **mark}
        case Opaque():
            return losses.own_part(part)
        case _:
            raise InexpressibleError(
                "content", "a message can hold text, pictures, sounds and files, nothing else"
            )


def _text(part: Text, losses: Losses, *, is_output: bool) -> dict[str, Any]:
    kind = "output_text" if is_output else "input_text"
    fields = {"type": kind, "text": part.text, **_take_mark(part.cache_mark, losses)}
    if not part.citations:
        return fields
    if not losses.is_own:
        losses.lack("citations")
        return fields
    return fields | {"annotations": [citation.raw for citation in part.citations]}


def _file(part: File, losses: Losses) -> dict[str, Any]:
    if part.file_id is not None and losses.source not in _OPENAI:
        raise InexpressibleError(
            "file", f'the file "{part.file_id}" is kept by another provider: send it inline'
        )
    names = {
        "file_id": part.file_id,
        "file_data": part.data,
        "file_url": part.url,
        "filename": part.filename,
    }
    return {name: value for name, value in names.items() if value is not None}


def _take_mark(mark: Mapping[str, Any] | None, losses: Losses) -> dict[str, Any]:
    """A cache mark as a breakpoint, which few models take: only where the client wrote it so."""
    if mark is None:
        return {}
    if losses.is_own:
        return {"prompt_cache_breakpoint": _BREAKPOINT}
    losses.lack("cache_mark")
    return {}
