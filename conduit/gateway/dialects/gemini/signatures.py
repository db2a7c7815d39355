"""Signatures of thinking as Gemini's clients keep them: base64, whoever made them.

`thoughtSignature` is a field of bytes, which the SDKs decode and encode again. A signature of
another dialect's provider therefore travels as base64 of its marked form (see
`dialects/signatures.py`).
"""

import base64
import binascii
from dataclasses import dataclass

from conduit.gateway.dialects.gemini.media import standard_base64
from conduit.gateway.dialects.gemini.words import NAME
from conduit.gateway.dialects.signatures import read, written

_REDACTED = "redacted:"
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Seal:
    """What is behind a `thoughtSignature`: a signature, or another provider's redacted thinking."""

    signed_by: str
    signature: str | None = None
    redacted: str | None = None


def write_signature(signature: str, signed_by: str) -> str:
    """The text of a `thoughtSignature` for a client."""
    if signed_by == NAME:
        return signature
    return _base64(written(signature, signed_by or _UNKNOWN, NAME))


def write_redacted(redacted: str, signed_by: str) -> str:
    """The text of a `thoughtSignature` that stands for thinking which may not be read."""
    return _base64(_REDACTED + written(redacted, signed_by or _UNKNOWN, ""))


def read_seal(text: str) -> Seal:
    """What a client sent back, whichever base64 alphabet its SDK writes."""
    try:
        marked = base64.b64decode(standard_base64(text), validate=True).decode()
    except (binascii.Error, ValueError):
        return Seal(NAME, signature=text)
    value, signed_by = read(marked.removeprefix(_REDACTED), "")
    if not signed_by:
        return Seal(NAME, signature=text)
    if marked.startswith(_REDACTED):
        return Seal(signed_by, redacted=value)
    return Seal(signed_by, signature=value)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "replace")).decode()
