"""The countable parts of a chat request in the internal form, whatever dialect it came in."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from conduit.gateway.conversation import (
    Audio,
    ChatRequest,
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
from conduit.gateway.dialects.input_units import InputUnits
from conduit.gateway.dialects.lenient_json import write_json


def units_of(request: ChatRequest) -> InputUnits:
    """The units of a request: its messages, tools and answer schema."""
    units = message_units(request.messages)
    text_bytes = units.text_bytes
    for tool in request.tools:
        text_bytes += _size(tool.name) + _size(tool.description or "")
        text_bytes += len(write_json(tool.parameters or {}))
    if request.answer_format.schema is not None:
        text_bytes += len(write_json(request.answer_format.schema))
    for value in request.extras.values():
        text_bytes += len(write_json(value))
    return msgspec.structs.replace(units, text_bytes=text_bytes)


def message_units(messages: Sequence[Message]) -> InputUnits:
    """The units of messages alone."""
    units = _parts([part for message in messages for part in message.parts])
    return msgspec.structs.replace(units, messages=len(messages))


def texts_of(request: ChatRequest) -> Iterator[str]:
    """All text that a model reads of a request: messages, tools and answer schema."""
    for message in request.messages:
        yield from _texts(message.parts)
    for tool in request.tools:
        yield from (tool.name, tool.description or "", write_json(tool.parameters or {}).decode())
    if request.answer_format.schema is not None:
        yield write_json(request.answer_format.schema).decode()


def _texts(parts: Iterable[Part]) -> Iterator[str]:
    for part in parts:
        match part:
            case Text() | Refusal() | Thinking():
                yield part.text
            case ToolCall():
                yield from (part.name, part.arguments)
            case ToolResult():
                yield from _texts(part.parts)
            case Opaque():
                yield write_json(part.value).decode()
            case Image() | Audio() | File():
                pass


def _parts(parts: Iterable[Part]) -> InputUnits:
    text_bytes = images = audio_clips = audio_bytes = files = file_bytes = 0
    for part in parts:
        match part:
            case Text() | Refusal() | Thinking():
                text_bytes += _size(part.text)
            case ToolCall():
                text_bytes += _size(part.name) + _size(part.arguments)
            case ToolResult():
                inner = _parts(part.parts)
                text_bytes += inner.text_bytes
                images += inner.images
                files += inner.files
            case Image():
                images += 1
            case Audio():
                audio_clips += 1
                audio_bytes += len(part.data)
            case File():
                files += 1
                file_bytes += len(part.data or "")
            case Opaque():
                text_bytes += len(write_json(part.value))
    return InputUnits(
        text_bytes=text_bytes,
        images=images,
        audio_clips=audio_clips,
        audio_bytes=audio_bytes,
        files=files,
        file_bytes=file_bytes,
    )


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
