"""Embeddings in OpenAI's format (`POST /v1/embeddings`), for clients and for providers.

The format is that of `embedding_create_params.py` and `create_embedding_response.py` in
openai/openai-python. Its SDK asks for base64 unless told otherwise.
"""

from collections.abc import Mapping
from typing import Any, Final, get_args

from conduit.core.errors import UpstreamFailure
from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.embedding_inputs import extras_of, whole_input
from conduit.gateway.dialects.fields import Fields, read_integer, read_text, rest_of, wrong
from conduit.gateway.dialects.lenient_json import read_json, write_json
from conduit.gateway.dialects.losses import Losses, without_none
from conduit.gateway.dialects.openai.errors import reported_error
from conduit.gateway.dialects.openai.usage import reported_usage
from conduit.gateway.dialects.strict_json import read_object
from conduit.gateway.dialects.target import EncodedRequest, Target
from conduit.gateway.dialects.vectors import read_vectors, written
from conduit.gateway.embedding import (
    EmbeddingInput,
    EmbeddingRequest,
    EmbeddingResponse,
    EncodingFormat,
    InputType,
)

NAME: Final = "openai_embeddings"

FIELD_NAMES: Final[Mapping[str, str]] = {"inputs": "input"}
"""Our names for what a target may refuse, where the client's own differ."""

_PLACED = frozenset({"model", "input", "dimensions", "encoding_format", "user"})
_ANSWER_FIELDS = frozenset({"object", "data", "model", "usage", "id"})
# How OpenAI-shaped servers call the use of the vectors: theirs, and those of Cohere and NVIDIA.
_INPUT_TYPES: Final[Mapping[Any, InputType]] = {
    "query": "query",
    "search_query": "query",
    "document": "document",
    "passage": "document",
    "search_document": "document",
    "classification": "classification",
    "clustering": "clustering",
}


def decode_request(body: bytes) -> EmbeddingRequest:
    """A client's request; raises an InvalidRequestError that names the field."""
    fields = read_object(body).values
    extras = rest_of(fields, _PLACED)
    model = read_text(fields, "model")
    if not model:
        raise wrong("model", "must be a non-empty string")
    given = fields.get("input")
    word = extras.get("input_type")
    return EmbeddingRequest(
        model=model,
        inputs=_read_inputs(given),
        single=not _is_list_of_inputs(given),
        dimensions=read_integer(fields, "dimensions"),
        encoding_format=_read_encoding(fields),
        input_type=_INPUT_TYPES.get(word) if isinstance(word, str) else None,
        user=read_text(fields, "user"),
        extras=extras,
        dialect=NAME,
    )


def encode_request(request: EmbeddingRequest, target: Target) -> EncodedRequest:
    """The provider's body; the format has no field for what the vectors are for."""
    losses = Losses(NAME, request.dialect)
    if not losses.is_own:
        losses.lack_if(input_type=request.input_type)
    wholes = map(whole_input, request.inputs)
    inputs = [item if isinstance(item, str) else list(item) for item in wholes]
    fields = {
        "model": target.model,
        "input": inputs[0] if request.single else inputs,
        "dimensions": request.dimensions,
        "encoding_format": request.encoding_format,
        "user": request.user,
    }
    body = write_json(without_none(fields) | dict(extras_of(request, losses)))
    return EncodedRequest(body, dropped=losses.dropped)


def decode_response(body: bytes) -> EmbeddingResponse:
    """A provider's answer, its vectors in order; raises UpstreamFailure where it is none."""
    value = read_json(body)
    if not isinstance(value, dict):
        raise UpstreamFailure("The provider's answer is not a list of embeddings")
    if value.get("error") is not None:
        raise reported_error(value)
    model, answer_id = value.get("model"), value.get("id")
    return EmbeddingResponse(
        vectors=read_vectors(_in_order(value.get("data"))),
        model=model if isinstance(model, str) else "",
        usage=reported_usage(value.get("usage")),
        id=answer_id if isinstance(answer_id, str) else "",
        extras=rest_of(value, _ANSWER_FIELDS),
        dialect=NAME,
    )


def encode_response(
    response: EmbeddingResponse, *, encoding_format: EncodingFormat = "float"
) -> bytes:
    """The client's bytes, with the vectors in the form that it asked for."""
    fields: dict[str, Any] = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": written(vector, encoding_format)}
            for index, vector in enumerate(response.vectors)
        ],
        "model": response.model,
        "usage": _usage_to(response.usage),
    }
    return write_json(fields | (dict(response.extras) if response.dialect == NAME else {}))


def _usage_to(usage: Usage | None) -> dict[str, Any]:
    """The usage as it was reported, or its two counts, which the SDK demands."""
    if usage is None:
        return {"prompt_tokens": 0, "total_tokens": 0}
    raw = usage.raw
    if raw is not None and "prompt_tokens" in raw and "total_tokens" in raw:
        return dict(raw)
    prompt = usage.total_input_tokens
    return {"prompt_tokens": prompt, "total_tokens": prompt + usage.total_output_tokens}


def _read_encoding(fields: Fields) -> EncodingFormat:
    value = fields.get("encoding_format")
    if value is None:
        return "float"
    if value not in get_args(EncodingFormat):
        raise wrong("encoding_format", 'must be "float" or "base64"')
    return "base64" if value == "base64" else "float"


def _is_list_of_inputs(value: Any) -> bool:
    return isinstance(value, list) and isinstance(value[0], str | list)


def _read_inputs(value: Any) -> tuple[EmbeddingInput, ...]:
    """A text, texts, the tokens of one, or those of several."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not value:
        raise wrong(
            "input", "must be a string, an array of strings, or arrays of tokens; not empty"
        )
    if all(type(item) is str for item in value):
        return tuple(value)
    if type(value[0]) is int:
        return (_read_tokens(value, "input"),)
    return tuple(_read_tokens(item, f"input[{index}]") for index, item in enumerate(value))


def _read_tokens(value: Any, where: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not value:
        raise wrong(where, "must be an array of token numbers, as all inputs or none must be")
    for index, token in enumerate(value):
        if type(token) is not int or token < 0:
            raise wrong(f"{where}[{index}]", "must be a token number")
    return tuple(value)


def _in_order(data: Any) -> list[Any]:
    """The values of the embeddings by their `index`, or as they stand where those are no order."""
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        return []
    places = [item.get("index") for item in data]
    if all(type(place) is int for place in places) and sorted(places) == list(range(len(data))):
        data = sorted(data, key=lambda item: int(item["index"]))
    return [item.get("embedding") for item in data]
