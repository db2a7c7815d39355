"""Parts of the internal form as the content blocks of a request to Anthropic."""

import re
from collections.abc import Mapping
from typing import Any, Final, assert_never

import msgspec

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
from conduit.gateway.dialects.anthropic.media import encode_file, encode_image
from conduit.gateway.dialects.anthropic.words import NAME
from conduit.gateway.dialects.lenient_json import read_json
from conduit.gateway.dialects.losses import Losses

# The pattern of ids that the API takes.
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]")
_decode: Final = msgspec.json.Decoder().decode


def encode_blocks(message: Message, losses: Losses) -> list[dict[str, Any]]:
    """The blocks of one message; none where it says nothing that the API would take."""
    losses.lack_if(name=message.name)
    return [block for part in message.parts for block in _encode_part(part, losses)]


def content_of(blocks: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """One text without settings as the string that it is; otherwise the blocks."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"} and blocks[0]["type"] == "text":
        text: str = blocks[0]["text"]
        return text
    return blocks


def _encode_part(part: Part, losses: Losses) -> list[dict[str, Any]]:
    """The block of a part, or none where there is nothing that the API would take."""
    match part:
        case Text():
            return _text(part, losses)
        case Image():
            return [encode_image(part, losses) | _mark(part.cache_mark)]
        case File():
            return [encode_file(part, losses) | _mark(part.cache_mark)]
        case Thinking():
            return _thinking(part, losses)
        case ToolCall():
            return [_tool_use(part, losses)]
        case ToolResult():
            return [_tool_result(part, losses)]
        case Refusal():
            losses.emulate("refusal")
            return _text(Text(part.text), losses)
        case Opaque():
            return [losses.own_part(part)]
        case Audio():
            losses.lack("audio")
            return []
        case _:
            assert_never(part)


def _text(part: Text, losses: Losses) -> list[dict[str, Any]]:
    # The API refuses texts without a visible character, which say nothing anyway.
    if not losses.is_own and not part.text.strip():
        return []
    block: dict[str, Any] = {"type": "text", "text": part.text, **_mark(part.cache_mark)}
    citations = [citation.raw for citation in part.citations if _is_ours(citation)]
    if len(citations) < len(part.citations):
        losses.lack("citations")
    return [block | ({"citations": citations} if citations else {})]


def _is_ours(citation: Citation) -> bool:
    # An empty index marks a citation of another provider, as it was shown to a client.
    return citation.dialect == NAME and citation.raw.get("encrypted_index") != ""


def _thinking(part: Thinking, losses: Losses) -> list[dict[str, Any]]:
    """Thinking that Anthropic has signed; it refuses any other."""
    if part.signed_by != NAME or (part.signature is None and part.redacted is None):
        losses.lack("thinking")
        return []
    if part.redacted is not None:
        return [{"type": "redacted_thinking", "data": part.redacted, **part.extras}]
    block = {"type": "thinking", "thinking": part.text, "signature": part.signature}
    return [block | dict(part.extras)]


def _tool_use(call: ToolCall, losses: Losses) -> dict[str, Any]:
    return {
        "type": "tool_use",
        "id": call_id(call.id),
        "name": call.name,
        "input": _input(call.arguments, losses),
        **_mark(call.cache_mark),
        **losses.own(call.extras),
    }


def call_id(text: str) -> str:
    """An id as the API takes it; the same for a call and its result."""
    return _NOT_IN_IDS.sub("_", text) or "toolu_"


def _input(arguments: str, losses: Losses) -> Any:
    written = input_of(arguments)
    if written is None:
        losses.emulate("arguments")
        return {"arguments": arguments}
    return written


def input_of(arguments: str) -> Any:
    """The object that the text of a call's arguments is, letter by letter; None where it is none.

    No text at all is an empty object.
    """
    if not arguments.strip():
        return {}
    try:
        value = _decode(arguments)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        # Half a surrogate pair as an escape, or NaN: only the standard library reads these.
        value = read_json(arguments.encode("utf-8", "surrogatepass"))
        return value if isinstance(value, dict) else None
    return msgspec.Raw(arguments.encode()) if isinstance(value, dict) else None


def _tool_result(result: ToolResult, losses: Losses) -> dict[str, Any]:
    blocks = [block for part in result.parts for block in _encode_part(part, losses)]
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": call_id(result.call_id)}
    if blocks:
        block["content"] = content_of(blocks)
    if result.is_error:
        block["is_error"] = True
    return block | _mark(result.cache_mark)


def _mark(mark: Mapping[str, Any] | None) -> dict[str, Any]:
    return {} if mark is None else {"cache_control": mark}
