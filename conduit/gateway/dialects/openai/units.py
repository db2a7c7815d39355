"""The units of an input in OpenAI's format, for estimating its tokens before it is sent."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from conduit.gateway.dialects.input_units import InputUnits
from conduit.gateway.dialects.lenient_json import write_json

_READ_BESIDE: Final = ("tools", "functions", "response_format")
READ: Final = ("messages", *_READ_BESIDE)
"""The fields of a chat call that a model reads."""
_MEDIA: Final = frozenset({"image_url", "input_audio", "file"})


class _Tally:
    """Running totals while an input is walked."""

    __slots__ = ("audio_bytes", "audio_clips", "file_bytes", "files", "images", "text_bytes")

    def __init__(self) -> None:
        self.text_bytes = 0
        self.images = 0
        self.audio_clips = 0
        self.audio_bytes = 0
        self.files = 0
        self.file_bytes = 0


def chat_units(values: Mapping[str, Any]) -> InputUnits:
    """The units of a chat call: messages, tools and an answer schema."""
    tally = _Tally()
    messages = values["messages"]
    for message in messages:
        for name, value in message.items():
            if name == "role":
                continue
            if name != "content" or isinstance(value, str):
                tally.text_bytes += _size(value)
            else:
                _add_parts(tally, value)
    for name in _READ_BESIDE:
        value = values.get(name)
        if value:
            tally.text_bytes += _size(value)
    return InputUnits(
        text_bytes=tally.text_bytes,
        messages=len(messages),
        images=tally.images,
        audio_clips=tally.audio_clips,
        audio_bytes=tally.audio_bytes,
        files=tally.files,
        file_bytes=tally.file_bytes,
    )


def chat_texts(values: Mapping[str, Any]) -> Iterator[str]:
    """All text of a chat call that a model reads; what is an object there, as JSON."""
    for message in values["messages"]:
        for name, value in message.items():
            if name == "content" and isinstance(value, list):
                yield from map(_part_text, value)
            elif name != "role" and value:
                yield _text(value)
    for name in _READ_BESIDE:
        if value := values.get(name):
            yield _text(value)


def prompt_count(value: Any) -> int:
    """How many inputs a prompt holds, 0 where it is empty or none of the known forms."""
    if isinstance(value, str):
        return 1 if value else 0
    if not isinstance(value, list) or not value:
        return 0
    if all(type(item) is int for item in value):
        return 1
    if all(isinstance(item, str) for item in value):
        return len(value)
    if all(isinstance(item, list) and item for item in value) and all(
        type(token) is int for item in value for token in item
    ):
        return len(value)
    return 0


def prompt_units(value: Any, suffix: Any = None) -> InputUnits:
    """The units of a completion's prompt or an embedding's input, of a form already checked."""
    text = _size(suffix) if suffix else 0
    if isinstance(value, str):
        return InputUnits(text_bytes=text + _size(value), messages=1)
    if isinstance(value[0], str):
        return InputUnits(text_bytes=text + sum(map(_size, value)), messages=len(value))
    tokens = len(value) if isinstance(value[0], int) else sum(map(len, value))
    return InputUnits(text_bytes=text, tokens=tokens, messages=1)


def _part_text(part: Any) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text":
        return _text(part.get("text"))
    return "" if kind in _MEDIA else _text(part)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else write_json(value).decode()


def _add_parts(tally: _Tally, content: Any) -> None:
    if not isinstance(content, list):
        tally.text_bytes += _size(content) if content else 0
        return
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text":
            tally.text_bytes += _size(part.get("text"))
        elif kind == "image_url":
            tally.images += 1
        elif kind == "input_audio":
            tally.audio_clips += 1
            tally.audio_bytes += _length(part.get("input_audio"), "data")
        elif kind == "file":
            tally.files += 1
            tally.file_bytes += _length(part.get("file"), "file_data")
        else:
            tally.text_bytes += _size(part)


def _length(value: Any, name: str) -> int:
    data = value.get(name) if isinstance(value, dict) else None
    return len(data) if isinstance(data, str) else 0


def _size(value: Any) -> int:
    if isinstance(value, str):
        # ASCII is known without looking; half a surrogate pair cannot be encoded strictly.
        return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
    if value is None:
        return 0
    try:
        return len(msgspec.json.encode(value))
    except UnicodeEncodeError:
        return len(repr(value))
