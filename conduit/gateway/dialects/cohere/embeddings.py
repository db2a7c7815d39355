"""Embeddings in Cohere's format (`POST /v2/embed`), for providers.

The format is that of docs.cohere.com/reference/embed.
"""

from collections.abc import Mapping
from typing import Final

from conduit.core.errors import UpstreamFailure
from conduit.gateway.dialects.answer_fields import object_or_empty
from conduit.gateway.dialects.cohere.usage import usage_from_cohere
from conduit.gateway.dialects.embedding_inputs import extras_of, texts_of
from conduit.gateway.dialects.fields import rest_of
from conduit.gateway.dialects.lenient_json import read_json, write_json
from conduit.gateway.dialects.losses import Losses, without_none
from conduit.gateway.dialects.openai.errors import reported_error
from conduit.gateway.dialects.target import EncodedRequest, Target
from conduit.gateway.dialects.vectors import read_vectors
from conduit.gateway.embedding import EmbeddingRequest, EmbeddingResponse, InputType

NAME: Final = "cohere_embeddings"

_INPUT_TYPES: Final[Mapping[InputType, str]] = {
    "query": "search_query",
    "document": "search_document",
    "classification": "classification",
    "clustering": "clustering",
}
# Uses that Cohere has no word for, by the nearest that it has.
_NEAREST: Final[Mapping[InputType, str]] = {
    "question_answering": "search_query",
    "fact_verification": "search_query",
    "code_query": "search_query",
}
# It must be told, and most vectors are made of documents.
_DEFAULT: Final = "search_document"
_ANSWER_FIELDS = frozenset({"id", "embeddings", "texts", "meta", "response_type", "images"})


def encode_request(request: EmbeddingRequest, target: Target) -> EncodedRequest:
    """The provider's body; vectors come as numbers, and are made base64 for a client here."""
    losses = Losses(NAME, request.dialect)
    losses.lack_if(user=request.user)
    fields = {
        "model": target.model,
        "texts": texts_of(request),
        "input_type": _input_type(request, losses),
        "embedding_types": ["float"],
        "output_dimension": request.dimensions,
    }
    body = write_json(without_none(fields) | dict(extras_of(request, losses)))
    return EncodedRequest(body, dropped=losses.dropped, emulated=losses.emulated)


def decode_response(body: bytes) -> EmbeddingResponse:
    """A provider's answer; raises UpstreamFailure where it is none.

    Vectors of whole numbers, which only this format's own extras ask for, stay in the extras.
    """
    value = read_json(body)
    if not isinstance(value, dict):
        raise UpstreamFailure("The provider's answer is not a list of embeddings")
    if isinstance(value.get("message"), str):
        raise reported_error(value)
    found = value.get("embeddings")
    by_type = object_or_empty(found)
    extras = rest_of(value, _ANSWER_FIELDS)
    others = rest_of(by_type, frozenset({"float", "base64"}))
    if others:
        extras["embeddings"] = others
    answer_id = value.get("id")
    return EmbeddingResponse(
        vectors=read_vectors(by_type.get("float") or by_type.get("base64") or found),
        usage=usage_from_cohere(value.get("meta")),
        id=answer_id if isinstance(answer_id, str) else "",
        extras=extras,
        dialect=NAME,
    )


def _input_type(request: EmbeddingRequest, losses: Losses) -> str:
    wanted = request.input_type
    if wanted is not None and wanted in _INPUT_TYPES:
        return _INPUT_TYPES[wanted]
    losses.emulate("input_type")
    return _DEFAULT if wanted is None else _NEAREST.get(wanted, _DEFAULT)
