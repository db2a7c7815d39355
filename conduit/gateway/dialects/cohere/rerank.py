"""Reranking in the form that most servers share (`POST /v1/rerank`), both sides.

Cohere's first version set it; Jina (api.jina.ai), Together (docs.together.ai/reference/rerank),
vLLM (`entrypoints/pooling/score/protocol.py`) and others follow, each with its own usage.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from conduit.core.errors import UpstreamFailure
from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.answer_fields import object_or_empty
from conduit.gateway.dialects.cohere.usage import search_units_in, usage_from_cohere
from conduit.gateway.dialects.fields import (
    Fields,
    read_flag,
    read_integer,
    read_text,
    rest_of,
    wrong,
)
from conduit.gateway.dialects.lenient_json import read_json, write_json
from conduit.gateway.dialects.losses import Losses, without_none
from conduit.gateway.dialects.openai.errors import reported_error
from conduit.gateway.dialects.openai.usage import reported_usage
from conduit.gateway.dialects.strict_json import read_object
from conduit.gateway.dialects.target import EncodedRequest, Target
from conduit.gateway.ranking import Document, RankedDocument, RerankRequest, RerankResponse

NAME: Final = "rerank"

FIELD_NAMES: Final[Mapping[str, str]] = {}
"""Our names for what a target may refuse are the client's own."""

_PLACED = frozenset(
    {"model", "query", "documents", "top_n", "return_documents", "max_tokens_per_doc"}
)
_ANSWER_FIELDS = frozenset({"id", "model", "object", "results", "data", "usage", "meta"})


def decode_request(body: bytes) -> RerankRequest:
    """A client's request; raises an InvalidRequestError that names the field."""
    fields = read_object(body).values
    return RerankRequest(
        model=_read_words(fields, "model"),
        query=_read_words(fields, "query"),
        documents=_read_documents(fields),
        top_n=read_integer(fields, "top_n"),
        return_documents=read_flag(fields, "return_documents"),
        max_tokens_per_doc=read_integer(fields, "max_tokens_per_doc"),
        extras=rest_of(fields, _PLACED),
        dialect=NAME,
    )


def encode_request(request: RerankRequest, target: Target) -> EncodedRequest:
    """The provider's body."""
    losses = Losses(NAME, request.dialect)
    fields = {
        "model": target.model,
        "query": request.query,
        "documents": list(request.documents),
        "top_n": request.top_n,
        "return_documents": request.return_documents,
        "max_tokens_per_doc": request.max_tokens_per_doc,
    }
    body = write_json(without_none(fields) | losses.own(request.extras))
    return EncodedRequest(body, dropped=losses.dropped)


def decode_response(body: bytes) -> RerankResponse:
    """A provider's answer; raises UpstreamFailure where it is none."""
    return response_from(read_json(body), NAME)


def response_from(value: Any, dialect: str) -> RerankResponse:
    """The answer in a parsed body, of this form or of Cohere's, which is a narrower one."""
    if not isinstance(value, dict):
        raise UpstreamFailure("The provider's answer is not a ranking")
    found = value.get("results", value.get("data"))  # Voyage calls them data
    if not isinstance(found, list):
        if "error" in value or "message" in value or "detail" in value:
            raise reported_error(value)
        raise UpstreamFailure("The provider's answer is not a ranking")
    model, answer_id = value.get("model"), value.get("id")
    usage, units = _usage_from(value)
    return RerankResponse(
        results=tuple(map(_read_result, found)),
        model=model if isinstance(model, str) else "",
        usage=usage,
        search_units=units,
        id=answer_id if isinstance(answer_id, str) else "",
        extras=rest_of(value, _ANSWER_FIELDS),
        dialect=dialect,
    )


def encode_response(response: RerankResponse, request: RerankRequest) -> bytes:
    """The client's bytes for its `request`, whose documents are filled in where it wants them."""
    results = response.results
    if request.top_n is not None and len(results) > request.top_n:
        # Some servers know no such limit.
        results = tuple(sorted(results, key=lambda item: -item.relevance_score))[: request.top_n]
    fields: dict[str, Any] = {
        "id": response.id,
        "model": response.model,
        "results": [_write_result(result, request) for result in results],
    }
    if response.usage is not None:
        fields |= _usage_to(response.usage, response.search_units)
    return write_json(fields | (dict(response.extras) if response.dialect == NAME else {}))


def _read_words(fields: Fields, name: str) -> str:
    text = read_text(fields, name)
    if not text:
        raise wrong(name, "must be a non-empty string")
    return text


def _read_documents(fields: Fields) -> tuple[Document, ...]:
    documents = fields.get("documents")
    if not isinstance(documents, list) or not documents:
        raise wrong("documents", "must be a non-empty array")
    for index, document in enumerate(documents):
        if not isinstance(document, str | dict) or not document:
            raise wrong(f"documents[{index}]", "must be a string or an object, not empty")
    return tuple(documents)


def _read_result(item: Any) -> RankedDocument:
    fields = item if isinstance(item, dict) else {}
    index = fields.get("index")
    score: Any = fields.get("relevance_score", fields.get("score"))
    if type(index) is not int or index < 0 or type(score) not in (int, float):
        raise UpstreamFailure("The provider's ranking holds a result without an index or a score")
    document = fields.get("document")
    return RankedDocument(
        index, score, document if isinstance(document, str | dict) and document else None
    )


def _write_result(result: RankedDocument, request: RerankRequest) -> dict[str, Any]:
    fields: dict[str, Any] = {"index": result.index, "relevance_score": result.relevance_score}
    document = result.document
    if request.return_documents is False:
        return fields
    if request.return_documents and document is None and result.index < len(request.documents):
        document = request.documents[result.index]
    if document is not None:
        fields["document"] = {"text": document} if isinstance(document, str) else document
    return fields


def _usage_from(value: Mapping[str, Any]) -> tuple[Usage | None, int | None]:
    """The usage, and the search units that are told.

    OpenRouter tells both kinds of counts in `usage`, Cohere its units in `meta`, and Conduit tokens
    in the one and units in the other. So the larger of what two places tell counts.
    """
    beside, meta = object_or_empty(value.get("usage")), object_or_empty(value.get("meta"))
    found = (reported_usage(beside), usage_from_cohere(beside), usage_from_cohere(meta))
    usage = max(filter(None, found), key=_tokens, default=None)
    units = search_units_in(beside, meta)
    if units is not None:
        usage = msgspec.structs.replace(usage or Usage(raw=beside or meta), requests=units)
    return usage, units


def _tokens(usage: Usage) -> int:
    return usage.total_input_tokens + usage.total_output_tokens


def _usage_to(usage: Usage, units: int | None) -> dict[str, Any]:
    """Both words for it, as clients of either kind look for their own; units as they were told."""
    raw = usage.raw or {}
    prompt = usage.total_input_tokens
    meta = dict(raw) if "billed_units" in raw or "tokens" in raw else {}
    if units is not None:
        meta["billed_units"] = {**object_or_empty(meta.get("billed_units")), "search_units": units}
    elif not meta:
        meta = {"billed_units": {"input_tokens": prompt}}
    counts = {"prompt_tokens": prompt, "total_tokens": prompt + usage.total_output_tokens}
    as_reported = "total_tokens" in raw or "search_units" in raw
    return {"usage": dict(raw) if as_reported else counts, "meta": meta}
