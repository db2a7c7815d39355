"""Reading the calls that no model writes an answer to, and that are answered whole.

Embeddings of OpenAI's clients are not among them: `openai/wire.py` reads these without decoding
them.
"""

from itertools import chain
from typing import Final

from conduit.gateway.dialects.call_limits import MAX_MODEL_LENGTH
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.cohere import rerank
from conduit.gateway.dialects.embedding_inputs import texts_within
from conduit.gateway.dialects.fields import wrong
from conduit.gateway.dialects.gemini import embeddings as gemini_embeddings
from conduit.gateway.dialects.input_units import InputUnits
from conduit.gateway.dialects.lenient_json import write_json
from conduit.gateway.dialects.openai import moderations as openai_moderations
from conduit.gateway.dialects.registry import GEMINI
from conduit.gateway.dialects.strict_json import read_object, refuse_operator_fields
from conduit.gateway.embedding import EmbeddingRequest
from conduit.gateway.provider import Operation
from conduit.gateway.ranking import Document, RerankRequest

MODERATION_MODEL: Final = "omni-moderation-latest"
"""What OpenAI moderates with where a client names no model."""

# What Cohere sells (cohere.com/pricing): one query over so many documents, of which a longer one
# counts as several.
_DOCUMENTS_A_SEARCH: Final = 100
_TOKENS_A_DOCUMENT: Final = 500
_BYTES_A_TOKEN: Final = 3


def read_embedding(body: bytes, *, model: str, batch: bool) -> ClientCall:
    """A call of Gemini's clients for one embedding, or for a batch; raises a RequestError."""
    refuse_operator_fields(read_object(body).values)
    request = gemini_embeddings.decode_request(body, model=model)
    if request.single is batch:
        name = "requests" if batch else "content"
        raise wrong(name, "is missing")
    text_bytes = sum(map(_size, chain.from_iterable(map(texts_within, request.inputs))))
    units = InputUnits(text_bytes=text_bytes, messages=len(request.inputs))
    return _call(Operation.EMBEDDING, model, body, units, dialect=GEMINI, asked=request)


def read_rerank(body: bytes) -> ClientCall:
    """A call for a ranking; raises a RequestError that names the field."""
    refuse_operator_fields(read_object(body).values)
    request = rerank.decode_request(body)
    count = len(request.documents)
    # Each document is read beside the query.
    text_bytes = sum(map(_size, request.documents)) + count * _size(request.query)
    units = InputUnits(text_bytes=text_bytes, messages=count)
    return _call(Operation.RERANK, request.model, body, units, asked=request)


def read_moderation(body: bytes) -> ClientCall:
    """A call for a moderation; raises a RequestError that names the field."""
    refuse_operator_fields(read_object(body).values)
    request = openai_moderations.decode_request(body)
    units = InputUnits(
        text_bytes=sum(map(_size, request.texts)),
        messages=len(request.texts),
        images=request.images,
    )
    return _call(Operation.MODERATION, request.model or MODERATION_MODEL, body, units)


def most_requests(call: ClientCall) -> int:
    """How often a price per request may be charged for a call, as an upper estimate."""
    request = call.asked
    if not isinstance(request, RerankRequest):
        return 1
    query = _size(request.query)
    most = _TOKENS_A_DOCUMENT * _BYTES_A_TOKEN
    parts = sum([-(-(_size(document) + query) // most) for document in request.documents])
    return -(-parts // _DOCUMENTS_A_SEARCH)


def _call(
    operation: Operation,
    model: str,
    body: bytes,
    units: InputUnits,
    *,
    dialect: str = "openai_chat",
    asked: EmbeddingRequest | RerankRequest | None = None,
) -> ClientCall:
    if not 0 < len(model) <= MAX_MODEL_LENGTH or not model.isprintable():
        raise wrong("model", f"must be printable text of 1 to {MAX_MODEL_LENGTH} characters")
    return ClientCall(
        operation=operation,
        model=model,
        stream=False,
        wants_stream_usage=False,
        max_output_tokens=None,
        choices=1,
        units=units,
        fields=read_object(body).raw,
        body=body,
        dialect=dialect,
        asked=asked,
    )


def _size(document: Document) -> int:
    """The bytes of a text, or of the JSON of an object that holds one."""
    if isinstance(document, str):
        return len(document.encode("utf-8", "surrogatepass"))
    return len(write_json(dict(document)))
