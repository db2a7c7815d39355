"""Messages of the internal form in OpenAI's chat format."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec.structs import replace

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
from conduit.gateway.dialects import signatures
from conduit.gateway.dialects.answer_ids import id_or_new
from conduit.gateway.dialects.losses import Losses
from conduit.gateway.dialects.openai.annotations import nested_annotation
from conduit.gateway.dialects.openai.google_signatures import signed_content
from conduit.gateway.dialects.openai_chat.thinking import write_thoughts
from conduit.gateway.dialects.target import InexpressibleError

_DIALECT: Final = "openai_chat"
# Their files live in the same store.
_OPENAI: Final = frozenset({"openai_chat", "openai_responses"})
_BESIDE: Final = (
    "reasoning_content",
    "reasoning_signature",
    "reasoning_redacted",
    "refusal",
    "tool_calls",
)


def encode_messages(messages: Iterable[Message], losses: Losses) -> list[dict[str, Any]]:
    """The messages of a request.

    Results of tools are messages of their own here, and hold nothing but text: what else they
    brought follows the last of them in a message of the user.
    """
    encoded: list[dict[str, Any]] = []
    shown: list[Part] = []
    for message in messages:
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        if not results and shown:
            encoded.append(_shown(shown, losses))
            shown = []
        encoded += [_encode_result(message, result, shown, losses) for result in results]
        rest: tuple[Part, ...] = tuple(p for p in message.parts if not isinstance(p, ToolResult))
        if rest or not results:
            if results and shown:
                rest, shown = (*shown, *rest), []
            encoded.append(_encode_message(message, rest, losses, is_split=bool(results)))
    if shown:
        encoded.append(_shown(shown, losses))
    return encoded


def encode_answer(parts: Iterable[Part], *, is_own: bool) -> dict[str, Any]:
    """What stands beside the content of a message of an answer; foreign extras are left out."""
    kept: list[Part] = []
    for part in parts:
        match part:
            case Opaque():
                continue
            case ToolCall():
                call_id = id_or_new("call_", part.id)
                kept.append(replace(part, id=call_id, extras=part.extras if is_own else {}))
            case _:
                kept.append(part)
    return _beside(kept) | _annotations(kept)


def encode_tool_call(call: ToolCall) -> dict[str, Any]:
    extras = dict(call.extras)
    inner = extras.pop("function", {})
    fields: dict[str, Any] = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments, **inner},
    }
    fields |= _mark(call.cache_mark) | extras
    if call.signature is not None:
        text = written_signature(call.signature, call.signed_by)
        fields["extra_content"] = signed_content(text, fields.get("extra_content"))
    return fields


def written_signature(signature: str, signed_by: str) -> str:
    return signatures.written(signature, signed_by or _DIALECT, _DIALECT)


def image_of(part: Image) -> dict[str, Any]:
    image = {"url": part.url} | ({"detail": part.detail} if part.detail else {})
    return {"type": "image_url", "image_url": image}


def _encode_message(
    message: Message, parts: tuple[Part, ...], losses: Losses, *, is_split: bool
) -> dict[str, Any]:
    """One message without results of tools; extras come last and win."""
    role = "user" if is_split else message.role
    fields: dict[str, Any] = {"role": role}
    if message.name is not None:
        fields["name"] = message.name
    kept = tuple(_kept(parts, losses))
    content = _encode_content(kept, losses)
    fields["content"] = content if content is not None or role == "assistant" else ""
    fields |= _beside(kept)
    if losses.is_own:
        fields |= _annotations(kept)
    elif content is None and "tool_calls" not in fields:
        fields["content"] = ""  # its thinking was all that it said
    if not losses.is_own and any(isinstance(part, Text) and part.citations for part in kept):
        losses.lack("citations")
    extras = losses.own(message.extras)
    if "reasoning" in extras:
        fields.pop("reasoning_content", None)  # the same text under the name that the client used
    return fields | extras


def _encode_result(
    message: Message, result: ToolResult, shown: list[Part], losses: Losses
) -> dict[str, Any]:
    """The message of one result; what it cannot hold is added to `shown`."""
    fields: dict[str, Any] = {"role": "tool"}
    if message.name is not None:
        fields["name"] = message.name
    if result.call_id:
        fields["tool_call_id"] = result.call_id
    if result.is_error:
        losses.lack("is_error")
    _take_mark(result.cache_mark, losses)
    parts = result.parts
    if not losses.is_own:
        pictures = [part for part in parts if isinstance(part, Image | Audio | File)]
        if pictures:
            losses.emulate("tool_result")
            shown += pictures
            parts = tuple(part for part in parts if part not in pictures)
            parts = parts or (Text("(in the message that follows)"),)
    fields["content"] = _encode_content(tuple(_kept(parts, losses)), losses) or ""
    return fields | losses.own(message.extras)


def _shown(parts: Iterable[Part], losses: Losses) -> dict[str, Any]:
    """A message of the user with what the results of tools brought."""
    return {"role": "user", "content": [_encode_part(part, losses) for part in parts]}


def _kept(parts: Iterable[Part], losses: Losses) -> Iterable[Part]:
    """The parts without signatures that this provider cannot read, and without foreign extras."""
    for part in parts:
        match part:
            case Thinking():
                if (part.signed_by or losses.source) == _DIALECT:
                    yield part
                else:
                    losses.lack("thinking")
            case ToolCall():
                _take_mark(part.cache_mark, losses)
                mark = part.cache_mark if losses.is_own else None
                signature = part.signature if part.signed_by == _DIALECT else None
                extras = losses.own(part.extras)
                yield ToolCall(
                    part.id, part.name, part.arguments, mark, signature, _DIALECT, extras
                )
            case _:
                yield part


def _beside(parts: Iterable[Part]) -> dict[str, Any]:
    """What stands beside the content of a message, in one order wherever its parts stood."""
    parts = tuple(parts)
    fields: dict[str, Any] = dict(write_thoughts(p for p in parts if isinstance(p, Thinking)))
    for part in parts:
        match part:
            case Refusal():
                fields["refusal"] = fields.get("refusal", "") + part.text
            case ToolCall():
                fields.setdefault("tool_calls", []).append(encode_tool_call(part))
            case Opaque(place="tool_calls"):
                fields.setdefault("tool_calls", []).append(dict(part.value))
            case _:
                pass
    return {name: fields[name] for name in _BESIDE if name in fields}


def _annotations(parts: Iterable[Part]) -> dict[str, Any]:
    annotations: list[Mapping[str, Any]] = []
    base = 0
    for part in parts:
        if isinstance(part, Text):
            for citation in part.citations:
                annotation = annotation_of(citation, len(part.text), base)
                if annotation is not None:
                    annotations.append(annotation)
            base += len(part.text)
    return {"annotations": annotations} if annotations else {}


def annotation_of(citation: Citation, length: int, base: int) -> Mapping[str, Any] | None:
    """A source of a text of `length` characters that begins at `base` of the content."""
    if citation.dialect == _DIALECT:
        return citation.raw
    return nested_annotation(citation, length, base)


def _encode_content(parts: tuple[Part, ...], losses: Losses) -> str | list[dict[str, Any]] | None:
    content = [
        (part, encoded) for part in parts if (encoded := _encode_part(part, losses)) is not None
    ]
    if not content:
        return None
    if len(content) == 1:
        part, encoded = content[0]
        if isinstance(part, Text) and "cache_control" not in encoded:
            return part.text
    return [encoded for _, encoded in content]


def _encode_part(part: Part, losses: Losses) -> dict[str, Any] | None:
    """One element of a content array, or None where the part stands elsewhere."""
    match part:
        case Text():
            return {"type": "text", "text": part.text, **_take_mark(part.cache_mark, losses)}
        case Image():
            return {**image_of(part), **_take_mark(part.cache_mark, losses)}
        case Audio():
            return {
                "type": "input_audio",
                "input_audio": {"data": part.data, "format": part.format},
            }
        case File():
            return {
                "type": "file",
                "file": _file(part, losses),
                **_take_mark(part.cache_mark, losses),
            }
        case Opaque():
            value = losses.own_part(part)
            return value if part.place == "content" else None
        case _:
            return None


def _file(part: File, losses: Losses) -> dict[str, Any]:
    if part.url is not None and part.data is None and part.file_id is None:
        raise InexpressibleError(
            "file", "this model takes a file by its content, not by an address: send it inline"
        )
    if part.file_id is not None and losses.source not in _OPENAI:
        raise InexpressibleError(
            "file", f'the file "{part.file_id}" is kept by another provider: send it inline'
        )
    names = {"file_id": part.file_id, "file_data": part.data, "filename": part.filename}
    return {name: value for name, value in names.items() if value is not None}


def _take_mark(mark: Mapping[str, Any] | None, losses: Losses) -> dict[str, Any]:
    """A cache mark in our own form, which OpenAI refuses and some of its kind understand."""
    if mark is None:
        return {}
    if losses.is_own:
        return _mark(mark)
    losses.lack("cache_mark")
    return {}


def _mark(mark: Mapping[str, Any] | None) -> dict[str, Any]:
    return {} if mark is None else {"cache_control": mark}
