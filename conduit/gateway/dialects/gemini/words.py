"""Words and rules of Gemini's format that several of its modules need.

The format is that of `generateContent` (https://ai.google.dev/api/generate-content, v1beta), which
Vertex AI shares but for the fields noted where they matter.
"""

import re
from hashlib import blake2s
from typing import Any, Final

from conduit.gateway.dialects.fields import Fields, wrong

NAME: Final = "gemini"

_UNDERSCORE = re.compile(r"(?<=[a-z0-9])_([a-z0-9])")
_GENERATION = re.compile(r"gemini-(\d+)")
_MADE_ID = re.compile(r"gemini_[0-9a-f]{16}")


def camel(fields: Fields, where: str = "") -> dict[str, Any]:
    """The fields of one object under their camelCase names; the format takes snake_case as well."""
    named: dict[str, Any] = {}
    for name, value in fields.items():
        key = _UNDERSCORE.sub(lambda match: match[1].upper(), name) if "_" in name else name
        if key in named:
            raise wrong(where + key, "is given twice, in two spellings")
        if "." in key:  # which would be taken for a path, and is in no name of the format
            raise wrong(where + key, "is not a field of this format")
        named[key] = value
    return named


def is_third_generation(model: str) -> bool:
    """Whether a model is of Gemini 3 or later; a Gemini without a number is the latest one.

    These check signatures, think by level, and take media in tool results and schemas beside tools.
    """
    match = _GENERATION.search(model)
    return int(match[1]) >= 3 if match else "gemini" in model


def made_id(*material: object) -> str:
    """An id for a call that came without one; the same for the same material."""
    return f"gemini_{blake2s(repr(material).encode('utf-8', 'backslashreplace')).hexdigest()[:16]}"


def written_id(call_id: str) -> dict[str, str]:
    """The field of an id; none where it was made here, as the provider would not know it."""
    return {} if not call_id or _MADE_ID.fullmatch(call_id) else {"id": call_id}
