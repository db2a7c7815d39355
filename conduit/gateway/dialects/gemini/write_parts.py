"""Parts of an answer as a Gemini client reads them, whole or in a stream."""

from collections.abc import Mapping
from typing import Any, Final

from conduit.gateway.conversation import Audio, File, FinishReason, Image, Opaque
from conduit.gateway.dialects.gemini.media import media_fields
from conduit.gateway.dialects.gemini.signatures import write_redacted, write_signature
from conduit.gateway.dialects.gemini.words import NAME, written_id
from conduit.gateway.dialects.lenient_json import read_json

_REASONS: Final[Mapping[FinishReason, str]] = {
    FinishReason.STOP: "STOP",
    FinishReason.TOOL_CALLS: "STOP",
    FinishReason.LENGTH: "MAX_TOKENS",
    FinishReason.CONTENT_FILTER: "SAFETY",
    FinishReason.REFUSAL: "SAFETY",
}
MALFORMED: Final = "MALFORMED_FUNCTION_CALL"


def write_reason(reason: FinishReason, raw: str | None, *, own: bool) -> str:
    """The `finishReason`: the provider's own word where it is of this dialect."""
    return raw if own and raw else _REASONS[reason]


def thinking_part(
    text: str, *, signature: str | None = None, redacted: str | None = None, signed_by: str = ""
) -> dict[str, Any]:
    """A thought with what it is signed by; thinking that may not be read is its seal alone."""
    fields: dict[str, Any] = {"text": text, "thought": True}
    if redacted is not None:
        fields["thoughtSignature"] = write_redacted(redacted, signed_by)
    elif signature is not None:
        fields["thoughtSignature"] = write_signature(signature, signed_by)
    return fields


def call_part(
    call_id: str, name: str, arguments: str, *, signature: str | None = None, signed_by: str = ""
) -> dict[str, Any] | None:
    """A call, or None where its arguments are no JSON object, which this format cannot say."""
    args = read_json(arguments.encode("utf-8", "surrogatepass")) if arguments.strip() else {}
    if not isinstance(args, dict):
        return None
    part: dict[str, Any] = {"functionCall": {**written_id(call_id), "name": name, "args": args}}
    if signature is not None:
        part["thoughtSignature"] = write_signature(signature, signed_by)
    return part


def malformed(name: str, arguments: str) -> dict[str, Any]:
    """How the format itself tells of a call that the model wrote wrong, in place of the call."""
    return {
        "finishReason": MALFORMED,
        "finishMessage": f"Malformed function call: {name}({arguments})",
    }


def whole_part(part: Image | Audio | File | Opaque) -> dict[str, Any] | None:
    """A part that comes at once; None where only another dialect understands it."""
    if isinstance(part, Opaque):
        return dict(part.value) if part.dialect == NAME else None
    fields = media_fields(part)
    if fields is not None and isinstance(part, File) and part.filename is not None:
        next(iter(fields.values()))["displayName"] = part.filename
    return fields
