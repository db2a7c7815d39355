"""Sources of a text as OpenAI's `annotations`: nested in chat, flat in responses."""

from collections.abc import Mapping
from typing import Any

from conduit.gateway.conversation import Citation
from conduit.gateway.dialects.answer_fields import text_or_none


def citation_of(raw: Mapping[str, Any], dialect: str, base: int = 0) -> Citation:
    """One annotation; `base` is where the cited text begins in what its offsets count from."""
    inner = raw.get("url_citation")
    fields = inner if isinstance(inner, dict) else raw
    return Citation(
        dialect=dialect,
        raw=raw,
        url=text_or_none(fields.get("url")),
        title=text_or_none(fields.get("title")),
        start=_offset(fields.get("start_index"), base),
        end=_offset(fields.get("end_index"), base),
    )


def start_of(raw: Mapping[str, Any]) -> int | None:
    """Where an annotation begins, in what its offsets count from."""
    return citation_of(raw, "").start


def flat_annotation(citation: Citation, length: int, base: int = 0) -> dict[str, Any] | None:
    """A source as an object of the responses format; None where it has no address.

    Without offsets of its own it is for the whole text, which has `length` characters.
    """
    if citation.url is None:
        return None
    return {
        "type": "url_citation",
        "start_index": base + (citation.start or 0),
        "end_index": base + (length if citation.end is None else citation.end),
        "title": citation.title or citation.url,
        "url": citation.url,
    }


def nested_annotation(citation: Citation, length: int, base: int = 0) -> dict[str, Any] | None:
    """A source as an object of the chat format; None where it has no address."""
    flat = flat_annotation(citation, length, base)
    if flat is None:
        return None
    kind = flat.pop("type")
    return {"type": kind, "url_citation": flat}


def _offset(value: Any, base: int) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return max(0, value - base)
