"""Messages of the internal form as those of Cohere's chat API, version 2.

The format is that of `cohere-openapi.yaml` in cohere-ai/cohere-developer-experience, which the
reference at docs.cohere.com/reference/chat shows.
"""

from collections.abc import Iterable, Sequence
from typing import Any

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
from conduit.gateway.dialects.target import InexpressibleError


def encode_messages(messages: Iterable[Message], losses: Losses) -> list[dict[str, Any]]:
    """The messages of a request, tool results as messages of their own."""
    return [encoded for message in messages for encoded in _encode_message(message, losses)]


def _encode_message(message: Message, losses: Losses) -> list[dict[str, Any]]:
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    rest = [part for part in message.parts if not isinstance(part, ToolResult)]
    if message.name is not None:
        losses.lack("name")
    # Results first: they must stand right after the calls that they answer.
    encoded = [_encode_result(result, losses) for result in results]
    if message.role == "assistant":
        encoded.append(_encode_assistant(rest, losses))
    elif rest or not results:
        role = "system" if message.role == "developer" else message.role
        encoded.append({"role": role, "content": _content(rest, losses)})
    encoded[0] |= losses.own(message.extras)
    return encoded


def _encode_result(result: ToolResult, losses: Losses) -> dict[str, Any]:
    losses.lack_if(cache_mark=result.cache_mark, is_error=result.is_error)
    for part in result.parts:
        losses.lack_if(image=isinstance(part, Image))
    return {
        "role": "tool",
        "tool_call_id": result.call_id,
        "content": _content(result.parts, losses),
    }


def _encode_assistant(parts: Sequence[Part], losses: Losses) -> dict[str, Any]:
    """An answer of the model: what it said before its calls is their `tool_plan`."""
    calls = [call for part in parts if (call := _encode_call(part, losses)) is not None]
    rest = [part for part in parts if not _is_call(part)]
    fields: dict[str, Any] = {"role": "assistant"}
    if calls:
        said = [part for part in rest if isinstance(part, Text | Refusal)]
        rest = [part for part in rest if not isinstance(part, Text | Refusal)]
        if said:
            # It may come back in the pieces that it was streamed in.
            fields["tool_plan"] = "".join(part.text for part in said)
            losses.lack_if(cache_mark=any(getattr(part, "cache_mark", None) for part in said))
        fields["tool_calls"] = calls
    content = _content(rest, losses)
    if content or not calls:
        fields["content"] = content
    citations = _encode_citations(parts, losses)
    if citations:
        fields["citations"] = citations
    return fields


def _is_call(part: Part) -> bool:
    return isinstance(part, ToolCall) or (isinstance(part, Opaque) and part.place == "tool_calls")


def _encode_call(part: Part, losses: Losses) -> dict[str, Any] | None:
    match part:
        case ToolCall():
            losses.lack_if(cache_mark=part.cache_mark)
            function = {"name": part.name, "arguments": part.arguments or "{}"}
            call = {"id": part.id, "type": "function", "function": function}
            return call | losses.own(part.extras)
        case Opaque(place="tool_calls"):
            return losses.own_part(part)
        case _:
            return None


def _encode_citations(parts: Iterable[Part], losses: Losses) -> list[dict[str, Any]]:
    citations: list[Citation] = [
        citation for part in parts if isinstance(part, Text) for citation in part.citations
    ]
    own = [dict(citation.raw) for citation in citations if citation.dialect == losses.dialect]
    if len(own) < len(citations):
        losses.lack("citations")
    return own


def _content(parts: Sequence[Part], losses: Losses) -> str | list[dict[str, Any]]:
    """Plain text where that is all, blocks otherwise."""
    blocks = [block for part in parts if (block := _block(part, losses)) is not None]
    match blocks:
        case []:
            return ""
        case [{"type": "text", "text": str(text), **rest}] if not rest:
            return text
        case _:
            return blocks


def _block(part: Part, losses: Losses) -> dict[str, Any] | None:
    losses.lack_if(cache_mark=getattr(part, "cache_mark", None))
    match part:
        case Refusal():
            losses.emulate("refusal")
            return {"type": "text", "text": part.text}
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            image = {"url": part.url} | ({"detail": part.detail} if part.detail else {})
            return {"type": "image_url", "image_url": image}
        case Thinking():
            return _thinking(part, losses)
        case Opaque():
            return losses.own_part(part)
        case _:
            losses.lack_if(audio=isinstance(part, Audio), file=isinstance(part, File))
            raise InexpressibleError(
                "tool_call", "Cohere takes calls of tools from the model alone"
            )


def _thinking(part: Thinking, losses: Losses) -> dict[str, Any] | None:
    """Cohere signs nothing, so its thinking is plain text; what another has signed is not its."""
    if part.signature is not None or part.redacted is not None or not part.text:
        losses.lack("thinking")
        return None
    return {"type": "thinking", "thinking": part.text} | losses.own(part.extras)
