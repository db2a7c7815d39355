"""Embeddings in Gemini's format (`:embedContent`, `:batchEmbedContents`), both sides.

The format is that of ai.google.dev/api/embeddings. A client's path names the model; providers are
always asked through `:batchEmbedContents`, as Google's own SDK does.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from conduit.core.errors import UpstreamFailure
from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.answer_fields import object_or_empty
from conduit.gateway.dialects.counts import is_distorted, read_count
from conduit.gateway.dialects.embedding_inputs import extras_of, text_of
from conduit.gateway.dialects.fields import (
    Fields,
    read_integer,
    read_object_field,
    read_objects,
    read_text,
    rest_of,
    wrong,
)
from conduit.gateway.dialects.lenient_json import read_json, write_json
from conduit.gateway.dialects.losses import Losses, without_none
from conduit.gateway.dialects.openai.errors import reported_error
from conduit.gateway.dialects.strict_json import decode_raw, read_object
from conduit.gateway.dialects.target import EncodedRequest, Target
from conduit.gateway.dialects.vectors import read_vectors, to_numbers
from conduit.gateway.embedding import (
    EmbeddingInput,
    EmbeddingRequest,
    EmbeddingResponse,
    InputType,
    TextParts,
)

NAME: Final = "gemini_embeddings"

FIELD_NAMES: Final[Mapping[str, str]] = {
    "inputs": "content",
    "dimensions": "outputDimensionality",
    "input_type": "taskType",
}
"""Our names for what a target may refuse, as the client's own."""

_TASK_TYPES: Final[Mapping[InputType, str]] = {
    "query": "RETRIEVAL_QUERY",
    "document": "RETRIEVAL_DOCUMENT",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
    "similarity": "SEMANTIC_SIMILARITY",
    "question_answering": "QUESTION_ANSWERING",
    "fact_verification": "FACT_VERIFICATION",
    "code_query": "CODE_RETRIEVAL_QUERY",
}
_INPUT_TYPES: Final = {word: name for name, word in _TASK_TYPES.items()}
# Protocol buffers are read with either spelling.
_SPELLINGS: Final = {"task_type": "taskType", "output_dimensionality": "outputDimensionality"}
_PLACED = frozenset({"model", "content"})
_ANSWER_FIELDS = frozenset({"embedding", "embeddings", "usageMetadata"})
_UNSPECIFIED: Final = "TASK_TYPE_UNSPECIFIED"
_decode_all: Final = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_decode_list: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


def decode_request(body: bytes, *, model: str) -> EmbeddingRequest:
    """A client's request, for one content or many; raises an InvalidRequestError.

    The contents of a batch share their settings here, as they do in what Google's SDK sends.
    """
    fields = read_object(body).values
    if "requests" not in fields:
        return _request(model, [fields], [""], single=True)
    requests = read_objects(fields, "requests")
    if not requests:
        raise wrong("requests", "must be a non-empty array")
    paths = [f"requests[{index}]." for index in range(len(requests))]
    return _request(model, requests, paths, single=False)


def encode_request(request: EmbeddingRequest, target: Target) -> EncodedRequest:
    """The body for `:batchEmbedContents`, whatever the number of inputs."""
    losses = Losses(NAME, request.dialect)
    losses.lack_if(user=request.user)
    name = _model_name(target)
    task = None if request.input_type is None else _TASK_TYPES[request.input_type]
    settings = without_none({"taskType": task, "outputDimensionality": request.dimensions})
    settings |= extras_of(request, losses)
    requests = [
        {"model": name, "content": {"parts": [{"text": text} for text in texts]}, **settings}
        for texts in map(_parts_of, request.inputs)
    ]
    return EncodedRequest(write_json({"requests": requests}), dropped=losses.dropped)


def relayed_request(
    fields: Mapping[str, msgspec.Raw], target: Target, params: Mapping[str, Any]
) -> bytes:
    """A client's own body for `:batchEmbedContents`: each request as it stood, for this model."""
    requests = _decode_all(fields["requests"]) if "requests" in fields else [fields]
    owned: dict[str, Any] = {"model": _model_name(target), **params}
    replaced = {name: msgspec.Raw(write_json(value)) for name, value in owned.items()}
    taken_away = {name for name, value in params.items() if value is None}
    written = [
        {name: raw for name, raw in {**request, **replaced}.items() if name not in taken_away}
        for request in requests
    ]
    return msgspec.json.encode({"requests": written})


def relayed_answer(body: bytes, *, single: bool) -> bytes:
    """A provider's answer to the batch as it came, or to `:embedContent` where `single`."""
    if not single:
        return body
    fields = decode_raw(body)
    if "embeddings" not in fields:
        return body
    (embedding,) = _decode_list(fields.pop("embeddings"))
    return msgspec.json.encode({"embedding": embedding, **fields})


def with_params(body: bytes, params: Mapping[str, Any]) -> bytes:
    """The body with the target's own fields in each request; None takes a field away."""
    if not params:
        return body
    requests = read_json(body)["requests"]
    return write_json({"requests": [without_none(request | params) for request in requests]})


def decode_response(body: bytes) -> EmbeddingResponse:
    """A provider's answer to either call; raises UpstreamFailure where it is none.

    It names no model, and its usage only where the server is new enough to tell it.
    """
    value = read_json(body)
    if not isinstance(value, dict):
        raise UpstreamFailure("The provider's answer is not a list of embeddings")
    if value.get("error") is not None:
        raise reported_error(value)
    found = value.get("embeddings", [value.get("embedding")])
    items = found if isinstance(found, list) else []
    return EmbeddingResponse(
        vectors=read_vectors([object_or_empty(item).get("values") for item in items]),
        usage=_usage_from(value.get("usageMetadata")),
        extras=rest_of(value, _ANSWER_FIELDS),
        dialect=NAME,
    )


def encode_response(response: EmbeddingResponse, *, single: bool) -> bytes:
    """The client's bytes: of `:embedContent` where `single`, otherwise of the batch."""
    embeddings = [{"values": to_numbers(vector)} for vector in response.vectors]
    fields: dict[str, Any] = (
        {"embedding": embeddings[0]} if single and embeddings else {"embeddings": embeddings}
    )
    if response.usage is not None:
        fields["usageMetadata"] = _usage_to(response.usage)
    return write_json(fields | (dict(response.extras) if response.dialect == NAME else {}))


def _parts_of(item: EmbeddingInput) -> tuple[str, ...]:
    return item.texts if isinstance(item, TextParts) else (text_of(item),)


def _model_name(target: Target) -> str:
    return target.model if "/" in target.model else f"models/{target.model}"


def _request(
    model: str, requests: list[Fields], paths: list[str], *, single: bool
) -> EmbeddingRequest:
    settings = [_settings(fields) for fields in requests]
    for other, path in zip(settings, paths, strict=True):
        for name in settings[0].keys() | other.keys():
            if settings[0].get(name) != other.get(name):
                raise wrong(f"{path}{name}", "must be the same in all requests of a batch")
    shared = settings[0]
    word = read_text(shared, "taskType", paths[0])
    if word is not None and word != _UNSPECIFIED and word not in _INPUT_TYPES:
        raise wrong(f"{paths[0]}taskType", f"must be one of {', '.join(_INPUT_TYPES)}")
    return EmbeddingRequest(
        model=model,
        inputs=tuple(_input(item, path) for item, path in zip(requests, paths, strict=True)),
        single=single,
        dimensions=read_integer(shared, "outputDimensionality"),
        input_type=_INPUT_TYPES.get(word or ""),
        extras=rest_of(shared, frozenset(_SPELLINGS.values())),
        dialect=NAME,
    )


def _settings(fields: Fields) -> dict[str, Any]:
    """What a request says beside its content, in one spelling."""
    rest = rest_of(fields, _PLACED)
    return {_SPELLINGS.get(name, name): value for name, value in rest.items()}


def _input(fields: Fields, where: str) -> EmbeddingInput:
    """The texts of a content; Google makes one embedding of a content, whatever its parts."""
    content = read_object_field(fields, "content", where) or {}
    parts = read_objects(content, "parts", f"{where}content.")
    if not parts:
        raise wrong(f"{where}content.parts", "must be one or more parts with a text")
    texts = tuple(
        _text(part, f"{where}content.parts[{index}].") for index, part in enumerate(parts)
    )
    return texts[0] if len(texts) == 1 else TextParts(texts)


def _text(part: Fields, where: str) -> str:
    text = read_text(part, "text", where)
    if text is None:
        raise wrong(f"{where}text", "is missing: texts alone can be embedded here")
    return text


def _usage_from(raw: Any) -> Usage | None:
    fields = object_or_empty(raw)
    if "promptTokenCount" not in fields or is_distorted(fields, ("promptTokenCount",)):
        return None
    return Usage(input_tokens=read_count(fields["promptTokenCount"]), raw=fields)


def _usage_to(usage: Usage) -> dict[str, Any]:
    raw = usage.raw
    if raw is not None and "promptTokenCount" in raw:
        return dict(raw)
    return {"promptTokenCount": usage.total_input_tokens}
