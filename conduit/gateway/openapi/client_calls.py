"""The part of the document that is calls of providers, in every dialect that clients speak."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from conduit.gateway.openapi.answers import (
    OF_EVERY_BODY,
    OF_EVERY_KEY,
    OF_EVERY_REQUEST,
    VIRTUAL_KEY,
    Json,
    Shape,
    errors,
    json_answer,
)
from conduit.gateway.openapi.client_schemas import reference

_FAILURES: Final = ("404", "502", "504", "4XX")


class _Call(NamedTuple):
    """`streams` says how a stream ends, where there is one; `counts` that nothing is called."""

    name: str
    summary: str
    request: str
    answer: str
    shape: Shape = "ClientError"
    streams: str = ""
    counts: bool = False


_DONE: Final = "A chunk as JSON; `[DONE]` at the end."
_RANKING: Final = ("Put documents in the order of their relevance", "RerankRequest", "Ranking")
_CALLS: Final[Mapping[str, _Call]] = {
    "/v1/chat/completions": _Call(
        "v1.chat.create", "Answer a conversation", "ChatRequest", "ChatCompletion", streams=_DONE
    ),
    "/v1/completions": _Call(
        "v1.completions.create", "Continue a text", "CompletionRequest", "Completion", streams=_DONE
    ),
    "/v1/embeddings": _Call(
        "v1.embeddings.create", "Turn texts into vectors", "EmbeddingRequest", "EmbeddingList"
    ),
    "/v1/rerank": _Call("v1.rerank.create", *_RANKING),
    "/v2/rerank": _Call("v2.rerank.create", *_RANKING),
    "/rerank": _Call("rerank.create", *_RANKING),
    "/v1/moderations": _Call(
        "v1.moderations.create",
        "Judge whether texts and images do harm",
        "ModerationRequest",
        "Moderation",
    ),
    "/v1/responses": _Call(
        "v1.responses.create",
        "Answer a conversation, in the dialect of OpenAI's responses",
        "ResponsesRequest",
        "Response",
        streams="An event as JSON, `response.completed` the last.",
    ),
    "/v1/messages": _Call(
        "v1.messages.create",
        "Answer a conversation, in Anthropic's dialect",
        "MessagesRequest",
        "Message",
        "AnthropicError",
        streams="An event as JSON, `message_stop` the last.",
    ),
    "/v1/messages/count_tokens": _Call(
        "v1.messages.count",
        "Count the tokens of a conversation, for nothing",
        "CountTokensRequest",
        "InputTokens",
        "AnthropicError",
        counts=True,
    ),
}
_METHODS: Final[Mapping[str, _Call]] = {
    "generateContent": _Call(
        "generateContent",
        "Answer a conversation, in Google's dialect",
        "GenerateContentRequest",
        "GenerateContentResponse",
        "GeminiError",
    ),
    "streamGenerateContent": _Call(
        "streamGenerateContent",
        "Answer a conversation piece by piece, in Google's dialect",
        "GenerateContentRequest",
        "GenerateContentResponse",
        "GeminiError",
        streams="A piece of the answer as JSON.",
    ),
    "countTokens": _Call(
        "countTokens",
        "Count the tokens of a conversation, for nothing",
        "CountContentRequest",
        "TotalTokens",
        "GeminiError",
        counts=True,
    ),
    "embedContent": _Call(
        "embedContent",
        "Turn a text into a vector",
        "EmbedContentRequest",
        "EmbedContentResponse",
        "GeminiError",
    ),
    "batchEmbedContents": _Call(
        "batchEmbedContents",
        "Turn texts into vectors",
        "BatchEmbedContentsRequest",
        "BatchEmbedContentsResponse",
        "GeminiError",
    ),
}
_VERSIONS: Final = ("v1beta", "v1")
_HEADERS: Final[Mapping[str, str]] = {
    "x-conduit-alias": "The model as the client named it.",
    "x-conduit-provider": "The provider that answered.",
    "x-conduit-model": "The model that was asked of it.",
    "x-conduit-attempts": "How many times a provider was asked.",
    "x-conduit-config": "The revision of the configuration that the request was served by.",
    "x-conduit-simulated": "`true` where no real model answered.",
}
_HEADERS_OF_CALLS: Final[Mapping[str, str]] = {
    "x-conduit-cost": "What the call cost, in USD; not on streams.",
    "x-conduit-dropped": "Fields left out that the provider's format has no place for.",
    "x-conduit-emulated": "Fields that were asked for in another way.",
    "x-conduit-fallback": "The alias that answered in the place of the one asked for, and why.",
    "x-conduit-trimmed": "How many messages of a conversation that was too long were left out.",
    "x-conduit-output-cap": "The cap on the answer, where the budget asked for one.",
    "idempotent-replayed": "`true` on the reply of before, under the same `Idempotency-Key`.",
    "x-conduit-cache": "`hit`, `miss` or `bypass`, where the alias keeps answers.",
}
_HEADERS_OF_COUNTS: Final[Mapping[str, str]] = {
    "x-conduit-estimated": "`true` where no provider has counted."
}


def call_paths() -> Json:
    """All paths at which providers are called."""
    paths: Json = {path: {"post": _described(call)} for path, call in _CALLS.items()}
    for version in _VERSIONS:
        for method, call in _METHODS.items():
            named = call._replace(name=f"{version}.models.{method}")
            paths[f"/{version}/models/{{model}}:{method}"] = {"post": _of_a_model(named)}
    return paths


def _described(call: _Call) -> Json:
    good = json_answer("The answer.", reference(call.answer))
    further = _HEADERS_OF_COUNTS if call.counts else _HEADERS_OF_CALLS
    good["headers"] |= {
        header: {"description": said, "schema": {"type": "string"}}
        for header, said in {**_HEADERS, **further}.items()
    }
    if call.streams:
        good["content"]["text/event-stream"] = {"schema": _event(call.streams)}
    statuses = {*OF_EVERY_REQUEST, *OF_EVERY_KEY, *OF_EVERY_BODY, *_FAILURES}
    return {
        "operationId": call.name,
        "summary": call.summary,
        "tags": [call.name.partition(".")[0]],
        "security": [VIRTUAL_KEY],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": reference(call.request)}},
        },
        "responses": {"200": good, **errors(call.shape, statuses)},
    }


def _of_a_model(call: _Call) -> Json:
    described = _described(call)
    described["parameters"] = [
        {
            "name": "model",
            "in": "path",
            "required": True,
            "description": "An alias that the key may use, its slashes as they are.",
            "schema": {"type": "string", "minLength": 1},
        }
    ]
    if call.streams:
        described["parameters"].append(
            {
                "name": "alt",
                "in": "query",
                "description": "`sse` for events; otherwise the pieces are one array.",
                "schema": {"type": "string", "examples": ["sse"]},
            }
        )
        content = described["responses"]["200"]["content"]
        pieces = {"type": "array", "items": reference(call.answer)}
        content["application/json"]["schema"] = pieces
    return described


def _event(said: str) -> Json:
    return {
        "type": "object",
        "description": "An event of a stream.",
        "required": ["data"],
        "properties": {
            "data": {
                "type": "string",
                "description": f"{said} A stream that fails ends with an error in its place.",
            }
        },
    }
