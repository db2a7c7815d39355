"""Reranking in Cohere's own format (`POST /v2/rerank`), for providers.

The format is that of docs.cohere.com/reference/rerank: texts alone, and no documents in the answer.
"""

from typing import Final

from conduit.gateway.dialects.cohere.rerank import response_from
from conduit.gateway.dialects.lenient_json import read_json, write_json
from conduit.gateway.dialects.losses import Losses, without_none
from conduit.gateway.dialects.target import EncodedRequest, InexpressibleError, Target
from conduit.gateway.ranking import Document, RerankRequest, RerankResponse

NAME: Final = "cohere_rerank"


def encode_request(request: RerankRequest, target: Target) -> EncodedRequest:
    """The provider's body; the documents that a client wants back are filled in for it here."""
    losses = Losses(NAME, request.dialect)
    fields = {
        "model": target.model,
        "query": request.query,
        "documents": [_text(document) for document in request.documents],
        "top_n": request.top_n,
        "max_tokens_per_doc": request.max_tokens_per_doc,
    }
    body = write_json(without_none(fields) | losses.own(request.extras))
    return EncodedRequest(body, dropped=losses.dropped)


def decode_response(body: bytes) -> RerankResponse:
    """A provider's answer, in search units; raises UpstreamFailure where it is none."""
    return response_from(read_json(body), NAME)


def _text(document: Document) -> str:
    if isinstance(document, str):
        return document
    text = document.get("text")
    if not isinstance(text, str) or len(document) > 1:
        reason = 'Cohere ranks documents that are a string or an object of "text" alone'
        raise InexpressibleError("documents", reason)
    return text
