"""JSON schemas of the dialects beside OpenAI's chat, described loosely.

A request shows its main fields, an answer what its clients rely on; the vendors' own references
tell the rest.
"""

from typing import Final

from conduit.gateway.dialects.fields import LARGEST_INTEGER
from conduit.gateway.openapi.answers import Json
from conduit.gateway.openapi.schema_parts import count, nullable, object_of, passed_on, text

_MODEL: Final[Json] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 512,
    "description": "An alias that the key may use, as `/v1/models` lists them.",
}
_STREAM: Final = nullable({"type": "boolean", "description": "Answer as server-sent events."})
_OBJECTS: Final[Json] = {"type": "array", "items": {"type": "object"}}
_CAP: Final[Json] = {"type": "integer", "minimum": 1, "maximum": LARGEST_INTEGER}
_TEXTS: Final[Json] = {"type": "array", "minItems": 1, "items": {"type": "string"}}

_MESSAGES: Final[Json] = {
    "type": "array",
    "minItems": 1,
    "items": object_of(
        ("role", "content"),
        {
            "role": {"type": "string", "enum": ["user", "assistant"]},
            "content": {"anyOf": [{"type": "string"}, _OBJECTS]},
        },
    ),
}
_OF_MESSAGES: Final[Json] = {
    "model": _MODEL,
    "messages": _MESSAGES,
    **passed_on("system", "tools", "tool_choice", "thinking"),
}
_CONTENT: Final = object_of((), passed_on("role", "parts"))
_CONTENTS: Final[Json] = {"anyOf": [{"type": "array", "items": _CONTENT}, _CONTENT]}
_GENERATE: Final[Json] = {
    "contents": _CONTENTS,
    **passed_on("systemInstruction", "generationConfig", "safetySettings", "tools", "toolConfig"),
}
_EMBED: Final = object_of(
    ("content",),
    {
        "content": object_of(
            ("parts",),
            {
                "parts": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 1,
                    "items": object_of(("text",), {"text": {"type": "string"}}),
                }
            },
        ),
        "outputDimensionality": nullable(_CAP),
        **passed_on("taskType", "title"),
    },
    "One text, and what its vector is for.",
)
_VECTOR: Final = object_of(("values",), {"values": {"type": "array", "items": {"type": "number"}}})

DIALECT_SCHEMAS: Final[Json] = {
    "AnthropicError": object_of(
        ("type", "error"),
        {
            "type": {"type": "string", "const": "error"},
            "error": object_of(
                ("type", "message"),
                {"type": text("Anthropic's word for it."), "message": text("What is wrong.")},
            ),
            "request_id": {"type": ["string", "null"]},
        },
        "An error in Anthropic's shape.",
    ),
    "GeminiError": object_of(
        ("error",),
        {
            "error": object_of(
                ("code", "message", "status"),
                {
                    "code": {"type": "integer"},
                    "message": text("What is wrong, and what to do."),
                    "status": text("Google's word for it."),
                    "details": _OBJECTS,
                },
            )
        },
        "An error in Google's shape.",
    ),
    "MessagesRequest": object_of(
        ("model", "messages", "max_tokens"),
        {
            **_OF_MESSAGES,
            "max_tokens": {"type": "integer", "minimum": 0, "maximum": LARGEST_INTEGER},
            "stream": _STREAM,
            **passed_on("temperature", "top_p", "top_k", "stop_sequences", "metadata"),
        },
        "Anthropic's request of a message.",
    ),
    "Message": object_of(
        ("id", "type", "role", "content", "model", "usage"),
        {
            "id": {"type": "string"},
            "type": {"type": "string", "const": "message"},
            "role": {"type": "string", "const": "assistant"},
            "content": _OBJECTS,
            "model": {"type": "string"},
            "stop_reason": {"type": ["string", "null"]},
            "usage": {"type": "object"},
        },
    ),
    "CountTokensRequest": object_of(("model", "messages"), _OF_MESSAGES),
    "InputTokens": object_of(("input_tokens",), {"input_tokens": count("As counted.")}),
    "ResponsesRequest": object_of(
        ("model", "input"),
        {
            "model": _MODEL,
            "input": {"anyOf": [{"type": "string"}, _OBJECTS]},
            "stream": _STREAM,
            "max_output_tokens": nullable(_CAP),
            **passed_on("instructions", "tools", "tool_choice", "reasoning", "text"),
        },
        "OpenAI's request of a response.",
    ),
    "Response": object_of(
        ("id", "object", "output", "status"),
        {
            "id": {"type": "string"},
            "object": {"type": "string", "const": "response"},
            "status": {"type": "string"},
            "model": {"type": "string"},
            "output": _OBJECTS,
            "usage": {"type": ["object", "null"]},
        },
    ),
    "GenerateContentRequest": object_of(("contents",), _GENERATE, "Google's request of content."),
    "GenerateContentResponse": object_of(
        (), {"candidates": _OBJECTS, "usageMetadata": {"type": "object"}}
    ),
    "CountContentRequest": object_of(
        (),
        {"contents": _CONTENTS, "generateContentRequest": nullable(object_of((), _GENERATE))},
        "Contents, or a whole request of which the tokens are counted.",
    ),
    "TotalTokens": object_of(("totalTokens",), {"totalTokens": count("As counted.")}),
    "EmbedContentRequest": _EMBED,
    "EmbedContentResponse": object_of(("embedding",), {"embedding": _VECTOR}),
    "BatchEmbedContentsRequest": object_of(
        ("requests",),
        {"requests": {"type": "array", "minItems": 1, "items": _EMBED}},
        "Texts whose settings are the same.",
    ),
    "BatchEmbedContentsResponse": object_of(
        ("embeddings",), {"embeddings": {"type": "array", "items": _VECTOR}}
    ),
    "RerankRequest": object_of(
        ("model", "query", "documents"),
        {
            "model": _MODEL,
            "query": {"type": "string", "minLength": 1},
            "documents": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "anyOf": [
                        {"type": "string", "minLength": 1},
                        {"type": "object", "minProperties": 1},
                    ]
                },
            },
            "top_n": nullable(_CAP),
            "return_documents": nullable({"type": "boolean"}),
            "max_tokens_per_doc": nullable(_CAP),
        },
        "Further fields are passed on to the provider.",
    ),
    "Ranking": object_of(
        ("results",),
        {
            "id": {"type": "string"},
            "model": {"type": "string"},
            "results": {
                "type": "array",
                "items": object_of(
                    ("index", "relevance_score"),
                    {
                        "index": count("The document's place in the request."),
                        "relevance_score": {"type": "number"},
                        "document": {"type": "object"},
                    },
                ),
            },
        },
        "The most relevant first.",
    ),
    "ModerationRequest": object_of(
        ("input",),
        {
            "model": nullable(_MODEL),
            "input": {
                "description": "A text, several texts, or parts of texts and images.",
                "anyOf": [
                    {"type": "string"},
                    _TEXTS,
                    {
                        "type": "array",
                        "minItems": 1,
                        "items": object_of(("type",), {"type": {"enum": ["text", "image_url"]}}),
                    },
                ],
            },
        },
        "Without a model, OpenAI's own default is the alias.",
    ),
    "Moderation": object_of(("results",), {"results": _OBJECTS}),
    "AnthropicModel": object_of(
        ("type", "id", "display_name", "created_at"),
        {
            "type": {"type": "string", "const": "model"},
            "id": text("The alias."),
            "display_name": text("The alias."),
            "created_at": {"type": "string", "format": "date-time"},
        },
    ),
    "AnthropicModelList": object_of(
        ("data", "has_more", "first_id", "last_id"),
        {
            "data": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/AnthropicModel"},
            },
            "has_more": {"type": "boolean"},
            "first_id": {"type": ["string", "null"]},
            "last_id": {"type": ["string", "null"]},
        },
    ),
    "GeminiModel": object_of(
        ("name",),
        {
            "name": text("`models/` and the alias."),
            "displayName": text("The alias."),
            "supportedGenerationMethods": {"type": "array", "items": {"type": "string"}},
        },
    ),
    "GeminiModelList": object_of(
        ("models",),
        {"models": {"type": "array", "items": {"$ref": "#/components/schemas/GeminiModel"}}},
    ),
}
