"""Sources of an answer: Gemini's grounding and citation metadata, and citations.

Offsets of Gemini count bytes of UTF-8, ours characters.
Source: https://ai.google.dev/api/generate-content#GroundingMetadata and #CitationMetadata.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from conduit.gateway.conversation import Citation
from conduit.gateway.dialects.answer_fields import objects, text_or_none
from conduit.gateway.dialects.gemini.words import NAME

_SOURCES = ("web", "retrievedContext", "maps", "image")


def citations_of(candidate: Mapping[str, Any], text: str) -> Iterator[Citation]:
    """The citations for `text`, which is the text that the candidate has written so far."""
    encoded = text.encode("utf-8", "surrogatepass")
    grounding = candidate.get("groundingMetadata")
    if isinstance(grounding, dict):
        chunks = grounding.get("groundingChunks")
        for support in objects(grounding.get("groundingSupports")):
            yield from _of_support(support, chunks, text, encoded)
    cited = candidate.get("citationMetadata")
    if isinstance(cited, dict):
        for source in objects(cited.get("citationSources") or cited.get("citations")):
            start, end = _character_span(source, encoded)
            yield Citation(
                NAME,
                source,
                url=text_or_none(source.get("uri")),
                title=text_or_none(source.get("title")),
                start=start,
                end=end,
            )


def _of_support(
    support: Mapping[str, Any], chunks: Any, text: str, encoded: bytes
) -> Iterator[Citation]:
    segment = support.get("segment")
    segment = segment if isinstance(segment, dict) else {}
    cited = text_or_none(segment.get("text"))
    start, end = _character_span(segment, encoded)
    if cited and (start is None or text[start:end] != cited):
        # The segment belongs to another part, or is counted from another place.
        found = text.find(cited)
        start, end = (found, found + len(cited)) if found >= 0 else (None, None)
    indices = support.get("groundingChunkIndices")
    for index in indices if isinstance(indices, list) else ():
        chunk = _item(chunks, index)
        if chunk is not None:
            source = _source(chunk)
            yield Citation(
                NAME,
                {"support": support, "chunk": chunk},
                url=text_or_none(source.get("uri")),
                title=text_or_none(source.get("title")),
                cited_text=cited,
                start=start,
                end=end,
            )


def _item(chunks: Any, index: Any) -> dict[str, Any] | None:
    if not isinstance(chunks, list) or type(index) is not int or not 0 <= index < len(chunks):
        return None
    chunk = chunks[index]
    return chunk if isinstance(chunk, dict) else None


def _source(chunk: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((chunk[name] for name in _SOURCES if isinstance(chunk.get(name), dict)), {})


def _character_span(fields: Mapping[str, Any], encoded: bytes) -> tuple[int | None, int | None]:
    """Offsets in characters; a start of zero is left out by the provider."""
    start, end = fields.get("startIndex", 0), fields.get("endIndex")
    if type(start) is not int or type(end) is not int or not 0 <= start <= end <= len(encoded):
        return None, None
    before = len(encoded[:start].decode("utf-8", "replace"))
    return before, before + len(encoded[start:end].decode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class CitedText:
    """A text with its citations, where it begins in its part (in bytes), and which part that is."""

    text: str
    citations: tuple[Citation, ...]
    begins: int = 0
    part: int = 0


def grounding_of(texts: Iterable[CitedText]) -> dict[str, Any] | None:
    """Citations of other dialects as `groundingMetadata`, None where there are none."""
    chunks: list[dict[str, Any]] = []
    supports: list[dict[str, Any]] = []
    for cited in texts:
        for citation in cited.citations:
            chunk = _chunk_of(citation)
            if chunk not in chunks:
                chunks.append(chunk)
            support = {"segment": _segment(cited, citation)}
            supports.append(support | {"groundingChunkIndices": [chunks.index(chunk)]})
    if not supports:
        return None
    return {"groundingChunks": chunks, "groundingSupports": supports}


def _chunk_of(citation: Citation) -> dict[str, Any]:
    if citation.url is not None:
        fields = {"uri": citation.url, "title": citation.title}
        return {"web": {name: value for name, value in fields.items() if value is not None}}
    fields = {"title": citation.title, "text": citation.cited_text}
    return {
        "retrievedContext": {name: value for name, value in fields.items() if value is not None}
    }


def _segment(cited: CitedText, citation: Citation) -> dict[str, Any]:
    start = citation.start or 0
    end = len(cited.text) if citation.end is None else citation.end
    text = cited.text[start:end]
    first = cited.begins + _size(cited.text[:start])
    fields: dict[str, Any] = {"partIndex": cited.part} if cited.part else {}
    return fields | {"startIndex": first, "endIndex": first + _size(text), "text": text}


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
