"""Signatures of tool calls where Google's OpenAI-compatible endpoint puts them.

A call has `extra_content: {"google": {"thought_signature": ...}}`, and is to be sent back with it
(https://ai.google.dev/gemini-api/docs/thought-signatures).
"""

from typing import Any

from conduit.gateway.dialects import signatures


def take_signature(extras: dict[str, Any], dialect: str) -> tuple[str | None, str]:
    """(signature, signed_by), taken out of the extras of a call that a client of `dialect` sent."""
    match extras.get("extra_content"):
        case {"google": {"thought_signature": str(text), **google}, **others}:
            left = others | ({"google": google} if google else {})
            if left:
                extras["extra_content"] = left
            else:
                del extras["extra_content"]
            return signatures.read(text, dialect)
        case _:
            return None, ""


def signed_content(written: str, others: Any = None) -> dict[str, Any]:
    """The extra content of a call with a signature as it is written for the client."""
    extra = dict(others) if isinstance(others, dict) else {}
    google = extra.get("google")
    google = google if isinstance(google, dict) else {}
    return extra | {"google": google | {"thought_signature": written}}
