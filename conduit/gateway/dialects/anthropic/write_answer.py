"""What an answer is made of, in the words of Anthropic's clients.

Source: the types of the official SDK (`Message`, `ContentBlock`, `StopReason`).
"""

from collections.abc import Mapping
from typing import Any, Final

from conduit.gateway.conversation import (
    ChatResponse,
    Choice,
    Citation,
    FinishReason,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from conduit.gateway.dialects import signatures
from conduit.gateway.dialects.anthropic.usage import usage_to_anthropic
from conduit.gateway.dialects.anthropic.words import NAME
from conduit.gateway.dialects.anthropic.write_blocks import input_of
from conduit.gateway.dialects.lenient_json import write_json

_REASONS: Final[Mapping[FinishReason, str]] = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
    FinishReason.REFUSAL: "refusal",
}


def encode_response(response: ChatResponse) -> bytes:
    """The client's bytes of a whole answer: its first choice, as the format knows no other.

    Pictures and sound, which the format's answers cannot hold, are left out.
    """
    choice = response.choices[0] if response.choices else Choice(0, (), None)
    is_own = response.dialect == NAME
    content = [block for part in choice.parts for block in encode_part(part, is_own=is_own)]
    reason = None
    if choice.finish_reason is not None:
        reason = stop_reason(
            choice.finish_reason, choice.stop_sequence, choice.raw_reason if is_own else None
        )
    fields = head_of(response.id, response.model) | {
        "content": content,
        "stop_reason": reason,
        "stop_sequence": choice.stop_sequence,
    }
    if is_own:
        fields |= response.extras
    return write_json(fields | {"usage": usage_to_anthropic(response.usage)})


def head_of(answer_id: str, model: str) -> dict[str, Any]:
    return {
        "id": answer_id or "msg_",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def stop_reason(reason: FinishReason, stop_sequence: str | None, raw: str | None) -> str:
    """Why the answer stops; `raw` is Anthropic's own word where it has said one."""
    if raw is not None:
        return raw
    if reason is FinishReason.STOP and stop_sequence is not None:
        return "stop_sequence"
    return _REASONS[reason]


def encode_part(part: Part, *, is_own: bool) -> list[dict[str, Any]]:
    """The blocks of one part, none where clients of this format could not take it."""
    match part:
        case Text():
            return _text(part)
        case Refusal():
            return _text(Text(part.text))
        case Thinking():
            return _thinking(part, is_own=is_own)
        case ToolCall():
            written = input_of(part.arguments)
            block = tool_block(part.id, part.name, part.signature, part.signed_by)
            block["input"] = {"arguments": part.arguments} if written is None else written
            return [block | (dict(part.extras) if is_own else {})]
        case Opaque() if part.dialect == NAME:
            return [dict(part.value)]
        case _:
            return []


def _text(part: Text) -> list[dict[str, Any]]:
    # A client would send an empty one back, and be refused.
    if not part.text and not part.citations:
        return []
    block: dict[str, Any] = {"type": "text", "text": part.text}
    citations = [raw for citation in part.citations if (raw := citation_block(citation))]
    return [block | ({"citations": citations} if citations else {})]


def citation_block(citation: Citation) -> Mapping[str, Any] | None:
    """A citation as a client can show it; None where all that it has is another format's.

    That of another provider has an empty index: by it, it is known when it comes back.
    """
    if citation.dialect == NAME:
        return citation.raw
    if citation.url is None:
        return None
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title,
        "cited_text": citation.cited_text or "",
        "encrypted_index": "",
    }


def unsigned(*, is_own: bool) -> str:
    """What stands for the signature of thinking that has none.

    Anthropic refuses an empty one, so thinking of another provider is marked, and left out when it
    comes back on its way there.
    """
    return "" if is_own else signatures.UNSIGNED


def _thinking(part: Thinking, *, is_own: bool) -> list[dict[str, Any]]:
    extras = dict(part.extras) if is_own else {}
    blocks: list[dict[str, Any]] = []
    if part.redacted is not None:
        blocks.append(redacted_block(part.redacted, part.signed_by) | extras)
    if part.text or part.signature is not None:
        signature = (
            signatures.written(part.signature, part.signed_by, NAME)
            if part.signature
            else unsigned(is_own=is_own)
        )
        block = {"type": "thinking", "thinking": part.text, "signature": signature}
        blocks.append(block | extras)
    return blocks


def redacted_block(data: str, signed_by: str) -> dict[str, Any]:
    return {"type": "redacted_thinking", "data": signatures.written(data, signed_by, NAME)}


def tool_block(
    call_id: str | None, name: str | None, signature: str | None, signed_by: str
) -> dict[str, Any]:
    """A call without its input.

    A signature of another provider stands in a field of ours, which clients that send the block
    back as they got it send back as well.
    """
    block: dict[str, Any] = {
        "type": "tool_use",
        "id": call_id or "toolu_",
        "name": name or "",
        "input": {},
    }
    if signature is not None:
        block["signature"] = signatures.written(signature, signed_by, NAME)
    return block
