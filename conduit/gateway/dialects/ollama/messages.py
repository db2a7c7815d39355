"""Messages of the internal form as those of Ollama's own chat API.

The format is that of `api/types.go` and docs/api.md in ollama/ollama.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from conduit.gateway.conversation import (
    Audio,
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
from conduit.gateway.dialects.target import InexpressibleError


def encode_messages(messages: Iterable[Message], losses: Losses) -> list[dict[str, Any]]:
    """The messages of a request, tool results as messages of their own.

    A result names its tool, which is looked up among the calls before it.
    """
    encoded: list[dict[str, Any]] = []
    tools: dict[str, str] = {}
    for message in messages:
        encoded += _encode_message(message, tools, losses)
        tools |= {part.id: part.name for part in message.parts if isinstance(part, ToolCall)}
    return encoded


def _encode_message(
    message: Message, tools: dict[str, str], losses: Losses
) -> list[dict[str, Any]]:
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    rest = [part for part in message.parts if not isinstance(part, ToolResult)]
    if message.name is not None:
        losses.lack("name")
    encoded = [_encode_result(result, tools, losses) for result in results]
    if rest or not results:
        role = "system" if message.role == "developer" else message.role
        # What a model wrote may come back in the pieces that it was streamed in.
        between = "" if role == "assistant" else "\n"
        encoded.append({"role": role, **_encode_parts(rest, losses, between)})
    encoded[0] |= losses.own(message.extras)
    return encoded


def _encode_result(result: ToolResult, tools: dict[str, str], losses: Losses) -> dict[str, Any]:
    losses.lack_if(cache_mark=result.cache_mark, is_error=result.is_error)
    fields: dict[str, Any] = {"role": "tool", **_encode_parts(result.parts, losses)}
    if result.call_id in tools:
        fields["tool_name"] = tools[result.call_id]
    if result.call_id:
        fields["tool_call_id"] = result.call_id
    return fields


def _encode_parts(parts: Sequence[Part], losses: Losses, between: str = "\n") -> dict[str, Any]:
    """One text, and beside it what else a message can hold."""
    texts: list[str] = []
    thoughts: list[str] = []
    media: list[str] = []
    calls: list[dict[str, Any]] = []
    own: dict[str, Any] = {}
    for part in parts:
        losses.lack_if(cache_mark=getattr(part, "cache_mark", None))
        match part:
            case Text():
                losses.lack_if(citations=part.citations)
                texts.append(part.text)
            case Refusal():
                losses.emulate("refusal")
                texts.append(part.text)
            case Thinking():
                thoughts += _thoughts(part, losses)
            case Image():
                losses.lack_if(detail=part.detail not in (None, "auto"))
                media.append(_base64_of(part.url))
            case Audio():
                media.append(part.data)  # sound goes where pictures do
            case ToolCall():
                calls.append(_encode_call(part, losses))
            case Opaque():
                own |= losses.own_part(part)
            case _:
                losses.lack("file")
    fields: dict[str, Any] = {"content": between.join(texts)}
    beside = {"thinking": between.join(thoughts), "images": media, "tool_calls": calls}
    return fields | {name: value for name, value in beside.items() if value} | own


def _thoughts(part: Thinking, losses: Losses) -> list[str]:
    """Ollama signs nothing, so its thinking is plain text; what another has signed is not its."""
    if part.signature is not None or part.redacted is not None or not part.text:
        losses.lack("thinking")
        return []
    return [part.text]


def _base64_of(url: str) -> str:
    head, comma, data = url.partition(",")
    if not (comma and head.startswith("data:") and head.endswith(";base64")):
        raise InexpressibleError("image", "Ollama takes images as base64 data URLs only")
    return data


def _encode_call(call: ToolCall, losses: Losses) -> dict[str, Any]:
    extras = losses.own(call.extras)
    inner = extras.pop("function", {})
    arguments = _arguments(call.arguments.strip() or "{}")
    if arguments is None:
        losses.emulate("arguments")
        arguments = {"arguments": call.arguments}
    identity = {"id": call.id} if call.id else {}
    function = {"name": call.name, "arguments": arguments, **inner}
    return {**identity, "function": function, **extras}


def _arguments(text: str) -> Any:
    """The object that this text is, letter by letter; None where it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    # The standard library also reads NaN, which is no JSON and must not be written as it stands.
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return value
    return msgspec.Raw(text.encode())
