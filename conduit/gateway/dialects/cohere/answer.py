"""Pieces of Cohere's answers in the internal form: citations and the probabilities of tokens."""

from collections.abc import Mapping
from typing import Any

from conduit.gateway.conversation import Citation
from conduit.gateway.dialects.answer_fields import object_or_empty, text_or_none
from conduit.gateway.dialects.cohere.request import NAME


def citation_from(raw: Mapping[str, Any]) -> Citation:
    """A citation with what its first source tells of itself."""
    sources = raw.get("sources")
    first = object_or_empty(sources[0]) if isinstance(sources, list) and sources else {}
    source = object_or_empty(first.get("document") or first.get("tool_output"))
    return Citation(
        dialect=NAME,
        raw=dict(raw),
        url=text_or_none(source.get("url")),
        title=text_or_none(source.get("title")),
        cited_text=text_or_none(source.get("text")) or text_or_none(source.get("snippet")),
        start=_offset(raw.get("start")),
        end=_offset(raw.get("end")),
    )


def logprobs_from(raw: Any) -> dict[str, Any] | None:
    """Log probabilities in the form that the internal events carry, which is OpenAI's.

    Cohere tells them for a chunk of one or more tokens: theirs together is their sum.
    """
    items = raw if isinstance(raw, list) else [raw]
    content = [entry for item in items if (entry := _logprob(item)) is not None]
    return {"content": content} if content else None


def _logprob(item: Any) -> dict[str, Any] | None:
    fields = object_or_empty(item)
    numbers = fields.get("logprobs", fields.get("logprob"))
    numbers = numbers if isinstance(numbers, list) else [numbers]
    token = text_or_none(fields.get("text")) or text_or_none(fields.get("token"))
    if not all(type(number) in (int, float) for number in numbers) or token is None:
        return None
    return {
        "token": token,
        "logprob": sum(numbers),
        "bytes": list(token.encode("utf-8", "surrogatepass")),
        "top_logprobs": [],
    }


def _offset(value: Any) -> int | None:
    return value if type(value) is int else None
