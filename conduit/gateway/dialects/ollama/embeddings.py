"""Embeddings in Ollama's own format (`POST /api/embed`), for providers.

The format is that of `EmbedRequest` and `EmbedResponse` in `api/types.go` of ollama/ollama.
"""

from typing import Final

from conduit.core.errors import UpstreamFailure
from conduit.gateway.dialects.embedding_inputs import extras_of, texts_of
from conduit.gateway.dialects.fields import rest_of
from conduit.gateway.dialects.lenient_json import read_json, write_json
from conduit.gateway.dialects.losses import Losses, without_none
from conduit.gateway.dialects.ollama.usage import METRICS, usage_from_ollama
from conduit.gateway.dialects.openai.errors import reported_error
from conduit.gateway.dialects.target import EncodedRequest, Target
from conduit.gateway.dialects.vectors import read_vectors
from conduit.gateway.embedding import EmbeddingRequest, EmbeddingResponse

NAME: Final = "ollama_embeddings"

_ANSWER_FIELDS = frozenset({"model", "embeddings", *METRICS})


def encode_request(request: EmbeddingRequest, target: Target) -> EncodedRequest:
    """The provider's body; what the vectors are for is a matter of the text there."""
    losses = Losses(NAME, request.dialect)
    losses.lack_if(input_type=request.input_type, user=request.user)
    fields = {
        "model": target.model,
        "input": texts_of(request),
        "dimensions": request.dimensions,
    }
    body = write_json(without_none(fields) | dict(extras_of(request, losses)))
    return EncodedRequest(body, dropped=losses.dropped)


def decode_response(body: bytes) -> EmbeddingResponse:
    """A provider's answer; raises UpstreamFailure where it is none."""
    value = read_json(body)
    if not isinstance(value, dict):
        raise UpstreamFailure("The provider's answer is not a list of embeddings")
    if value.get("error") is not None:
        raise reported_error(value)
    model = value.get("model")
    return EmbeddingResponse(
        vectors=read_vectors(value.get("embeddings")),
        model=model if isinstance(model, str) else "",
        usage=usage_from_ollama(value),
        extras=rest_of(value, _ANSWER_FIELDS),
        dialect=NAME,
    )
