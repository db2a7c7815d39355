"""Whole answers for Gemini's clients."""

from typing import Any

from conduit.gateway.conversation import (
    Audio,
    ChatResponse,
    Choice,
    File,
    FinishReason,
    Image,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from conduit.gateway.dialects.gemini.grounding import CitedText, grounding_of
from conduit.gateway.dialects.gemini.logprobs import logprobs_to_gemini
from conduit.gateway.dialects.gemini.usage import usage_to_gemini
from conduit.gateway.dialects.gemini.words import NAME
from conduit.gateway.dialects.gemini.write_parts import (
    call_part,
    malformed,
    thinking_part,
    whole_part,
    write_reason,
)
from conduit.gateway.dialects.lenient_json import write_json


def encode_response(response: ChatResponse) -> bytes:
    """The client's bytes of a whole answer."""
    own = response.dialect == NAME
    fields: dict[str, Any] = {}
    if not (own and is_blocked(response.extras)):
        fields["candidates"] = [_write_choice(choice, own=own) for choice in response.choices]
    if response.usage is not None:
        fields["usageMetadata"] = usage_to_gemini(response.usage)
    fields |= {"modelVersion": response.model, "responseId": response.id}
    return write_json(fields | (dict(response.extras) if own else {}))


def is_blocked(extras: Any) -> bool:
    """Whether an answer says that its prompt was blocked, and so has no candidates."""
    feedback = extras.get("promptFeedback")
    return isinstance(feedback, dict) and bool(feedback.get("blockReason"))


def _write_choice(choice: Choice, *, own: bool) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    wrong: dict[str, Any] = {}
    cited: list[CitedText] = []
    for part in choice.parts:
        if isinstance(part, Text) and part.citations and not own:
            cited.append(CitedText(part.text, part.citations, part=len(parts)))
        if isinstance(part, ToolCall):
            wrong |= _add_call(part, parts, own=own)
        else:
            _add(part, parts)
    reason = choice.finish_reason or FinishReason.STOP
    fields: dict[str, Any] = {
        # The SDKs take a candidate without parts for no answer.
        "content": {"parts": parts or [{"text": ""}], "role": "model"},
        "finishReason": write_reason(reason, choice.raw_reason, own=own),
        "index": choice.index,
    }
    logprobs = logprobs_to_gemini(choice.logprobs)
    if logprobs is not None:
        fields["logprobsResult"] = logprobs
    grounding = grounding_of(cited)
    if grounding is not None:
        fields["groundingMetadata"] = grounding
    return fields | (dict(choice.extras) if own else {}) | wrong


def _add(part: Part, parts: list[dict[str, Any]]) -> None:
    match part:
        case Text() | Refusal():
            parts.append({"text": part.text})
        case Thinking():
            _add_thinking(part, parts)
        case Image() | Audio() | File() | Opaque():
            whole = whole_part(part)
            if whole is not None:
                parts.append(whole)
        case _:
            pass  # results of tools are in no answer


def _add_thinking(part: Thinking, parts: list[dict[str, Any]]) -> None:
    if part.signed_by == NAME and not part.text and not part.extras.get("thought"):
        if part.signature is None:
            return
        signed = parts[-1] if parts else {}
        if part.extras.get("of") in signed and "thoughtSignature" not in signed:
            signed["thoughtSignature"] = part.signature
        else:
            parts.append({"text": "", "thoughtSignature": part.signature})
        return
    parts.append(
        thinking_part(
            part.text,
            signature=part.signature,
            redacted=part.redacted,
            signed_by=part.signed_by,
        )
    )


def _add_call(call: ToolCall, parts: list[dict[str, Any]], *, own: bool) -> dict[str, Any]:
    """Add a call; what the candidate says instead where it cannot be written."""
    part = call_part(
        call.id, call.name, call.arguments, signature=call.signature, signed_by=call.signed_by
    )
    if part is None:
        return malformed(call.name, call.arguments)
    if own:
        part["functionCall"] |= call.extras
    parts.append(part)
    return {}
