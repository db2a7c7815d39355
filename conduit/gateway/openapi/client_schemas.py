"""JSON schemas of the client-facing API: what the gateway itself checks, and what it answers.

Of a call's fields only those that the gateway reads have a type here. The others belong to the
provider, and are passed on as they stand.
"""

from typing import Any

from conduit.gateway.dialects.call_limits import (
    MAX_CHOICES,
    MAX_MESSAGES,
    MAX_MODEL_LENGTH,
    MAX_TOOLS,
)
from conduit.gateway.dialects.fields import LARGEST_INTEGER
from conduit.gateway.openapi.answers import Json
from conduit.gateway.openapi.dialect_schemas import DIALECT_SCHEMAS
from conduit.gateway.openapi.schema_parts import (
    count,
    list_of,
    nullable,
    object_of,
    passed_on,
    text,
)

_CAP: Json = nullable(
    {
        "type": "integer",
        "minimum": 1,
        "maximum": LARGEST_INTEGER,
        "description": "The most tokens that one choice may be.",
    }
)
_CHOICES: Json = nullable({"type": "integer", "minimum": 1, "maximum": MAX_CHOICES})
_COMMON: Json = {
    "model": {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_MODEL_LENGTH,
        "description": "An alias that the key may use, as `/v1/models` lists them.",
        "examples": ["gpt-4o-mini"],
    },
    "stream": nullable({"type": "boolean", "description": "Answer as server-sent events."}),
    "stream_options": nullable(
        {
            "type": "object",
            "properties": {
                "include_usage": nullable(
                    {"type": "boolean", "description": "End the stream with the usage."}
                )
            },
        }
    ),
    "max_tokens": _CAP,
    "max_completion_tokens": _CAP,
    "n": _CHOICES,
}
_TOOLS: Json = nullable({"type": "array", "maxItems": MAX_TOOLS, "items": {"type": "object"}})
_TOKENS: Json = {"type": "array", "minItems": 1, "items": {"type": "integer"}}
_INPUT: Json = {
    "description": "A text, several texts, tokens, or several arrays of tokens.",
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "minItems": 1, "items": {"type": "string"}},
        _TOKENS,
        {"type": "array", "minItems": 1, "items": _TOKENS},
    ],
}
_USAGE: Json = object_of(
    (),
    {
        "prompt_tokens": count("Tokens of the input."),
        "completion_tokens": count("Tokens of the answer."),
        "total_tokens": count("Their sum."),
    },
    "As the provider counted, with its own details beside it.",
)


def _completion(kind: str, choice: Json) -> Json:
    return object_of(
        ("id", "object", "created", "model", "choices"),
        {
            "id": text("The provider's id of the answer."),
            "object": {"type": "string", "const": kind},
            "created": {"type": "integer"},
            "model": text("The model as the provider says it."),
            "choices": {"type": "array", "items": choice},
            "usage": {"$ref": "#/components/schemas/Usage"},
        },
    )


def _choice(part: str, schema: Json) -> Json:
    return object_of(
        ("index", part),
        {
            "index": {"type": "integer"},
            part: schema,
            "finish_reason": {"type": ["string", "null"]},
        },
    )


CLIENT_SCHEMAS: Json = {
    **DIALECT_SCHEMAS,
    "ClientError": object_of(
        ("error",),
        {
            "error": object_of(
                ("message", "type", "param", "code"),
                {
                    "message": text("What is wrong, and what to do."),
                    "type": text("OpenAI's family of the error."),
                    "param": {"type": ["string", "null"], "description": "The field."},
                    "code": text("A stable code."),
                },
            )
        },
        "An error in OpenAI's shape.",
    ),
    "ChatRequest": object_of(
        ("model", "messages"),
        {
            **_COMMON,
            "messages": {
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_MESSAGES,
                "items": {"$ref": "#/components/schemas/ChatMessage"},
            },
            "tools": _TOOLS,
            **passed_on(
                "temperature",
                "top_p",
                "stop",
                "seed",
                "tool_choice",
                "parallel_tool_calls",
                "response_format",
                "reasoning_effort",
                "service_tier",
                "user",
            ),
        },
        "Further fields are passed on to the provider.",
    ),
    "ChatMessage": object_of(
        ("role",),
        {
            "role": text("`system`, `developer`, `user`, `assistant` or `tool`."),
            **passed_on("content", "name", "tool_calls", "tool_call_id"),
        },
    ),
    "ChatCompletion": _completion(
        "chat.completion", _choice("message", {"$ref": "#/components/schemas/ChatMessage"})
    ),
    "CompletionRequest": object_of(
        ("model", "prompt"),
        {
            **_COMMON,
            "prompt": _INPUT,
            "best_of": _CHOICES,
            **passed_on("suffix", "temperature", "top_p", "stop", "seed", "echo", "user"),
        },
        "Further fields are passed on to the provider.",
    ),
    "Completion": _completion("text_completion", _choice("text", {"type": "string"})),
    "EmbeddingRequest": object_of(
        ("model", "input"),
        {
            "model": _COMMON["model"],
            "input": _INPUT,
            **passed_on("dimensions", "encoding_format", "user"),
        },
        "Further fields are passed on to the provider.",
    ),
    "Embedding": object_of(
        ("object", "index", "embedding"),
        {
            "object": {"type": "string", "const": "embedding"},
            "index": {"type": "integer"},
            "embedding": {
                "description": "Numbers, or base64 of them where `encoding_format` says so.",
                "anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string"}],
            },
        },
    ),
    "EmbeddingList": list_of("Embedding"),
    "Usage": _USAGE,
    "Model": object_of(
        ("id", "object", "created", "owned_by"),
        {
            "id": text("The alias."),
            "object": {"type": "string", "const": "model"},
            "created": {"type": "integer", "description": "Seconds since 1970."},
            "owned_by": text("The first provider that serves it."),
            "simulated": {"type": "boolean", "description": "True where no real model answers."},
        },
    ),
    "ModelList": list_of("Model", "The aliases that the key may use."),
    "Liveness": object_of(("status",), {"status": {"type": "string", "const": "live"}}),
    "Readiness": object_of(
        ("status", "reasons", "degraded", "revision"),
        {
            "status": {"type": "string", "enum": ["ready", "not_ready"]},
            "reasons": {"type": "array", "items": {"type": "string"}},
            "degraded": {"type": "array", "items": {"type": "string"}},
            "revision": {"type": "integer"},
        },
    ),
}


def reference(name: str) -> dict[str, Any]:
    """A reference to one of these schemas."""
    if name not in CLIENT_SCHEMAS:
        raise KeyError(name)
    return {"$ref": f"#/components/schemas/{name}"}
