"""What all operations of the document share: answers, headers, keys."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

Json = dict[str, Any]
_CLIENT_ERROR = "ClientError"
Shape = Literal["AdminError", "ClientError", "AnthropicError", "GeminiError"]

_SHAPES: Mapping[Shape, str] = {
    "AdminError": "ErrorEnvelope",
    "ClientError": _CLIENT_ERROR,
    "AnthropicError": "AnthropicError",
    "GeminiError": "GeminiError",
}

_MEANINGS: Mapping[str, str] = {
    "400": "The request is not valid HTTP, or its body cannot be read.",
    "401": "The key is missing, wrong, disabled or expired.",
    "403": "The key may not do this, or not from this address.",
    "404": "There is no such path, record or model.",
    "405": "The path does not have this method; `allow` names those that it has.",
    "408": "The body did not arrive in time.",
    "409": "The name is taken, the version is stale, or the record is in use.",
    "413": "The body is too large.",
    "415": "The body is not JSON, or it is compressed.",
    "417": "The expectation in `expect` is not one that can be met.",
    "422": "A field or a query parameter breaks a rule; the message names it.",
    "429": "A limit or a budget is reached; `retry-after` says how long to wait.",
    "508": "The request has come through too many gateways: they send it in a circle.",
    "431": "The head of the request is too large.",
    "500": "Something went wrong inside the gateway.",
    "502": "The provider failed.",
    "503": "The gateway cannot serve this now.",
    "504": "The provider took too long.",
    "4XX": "The provider says that the request is wrong; its own status is passed on.",
}
# Answered before the path is known, and so whose API it is of.
_BEFORE_THE_PATH = frozenset({"400", "431"})
_WAITING = frozenset({"429", "503", "502", "504"})

_HEADERS: Mapping[str, Json] = {
    "RequestId": {
        "description": "The gateway's own id of the request, as in its logs and records.",
        "schema": {"type": "string"},
        "required": True,
    },
    "RetryAfter": {
        "description": "Seconds to wait before the next try.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Allow": {
        "description": "The methods of the path, separated by commas.",
        "schema": {"type": "string"},
        "required": True,
    },
    "Challenge": {
        "description": "The scheme by which a key is presented.",
        "schema": {"type": "string", "const": "Bearer"},
        "required": True,
    },
    "ErrorSource": {
        "description": "Whose error it is: a provider's own code may be one of the gateway's.",
        "schema": {"type": "string", "enum": ["gateway", "provider"]},
        "required": True,
    },
}
REQUEST_ID: Mapping[str, Json] = {"x-request-id": {"$ref": "#/components/headers/RequestId"}}

MASTER_KEY: Json = {"masterKey": []}
VIRTUAL_KEY: Json = {"virtualKey": []}

_SECURITY_SCHEMES: Json = {
    "masterKey": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "condt_mk_…",
        "description": "The master key, which opens the admin API and nothing else.",
    },
    "virtualKey": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "condt_…",
        "description": "A key made with `keys.create`, which opens `/v1`.",
    },
}

# A head that is too large, a guess too many at a key, and an address that a list leaves out are
# refused before any handler.
OF_EVERY_REQUEST = ("400", "431", "500", "503")
OF_EVERY_KEY = ("401", "403", "429")
OF_EVERY_BODY = ("408", "413", "415", "417")


def errors(shape: Shape, statuses: Iterable[str]) -> Json:
    """References to the error answers of an operation."""
    return {
        status: {"$ref": f"#/components/responses/{shape}{status}"}
        for status in sorted(set(statuses))
    }


def json_answer(description: str, schema: Json) -> Json:
    """A good answer of one shape."""
    return {
        "description": description,
        "headers": dict(REQUEST_ID),
        "content": {"application/json": {"schema": schema}},
    }


def components(schemas: Json) -> Json:
    """The shared part of the document."""
    return {
        "securitySchemes": _SECURITY_SCHEMES,
        "headers": dict(_HEADERS),
        "responses": {
            f"{shape}{status}": _error_answer(schema, status)
            for shape, schema in _SHAPES.items()
            for status in _MEANINGS
        },
        "schemas": schemas,
    }


def _error_answer(schema: str, status: str) -> Json:
    headers = {**REQUEST_ID, "x-conduit-error-source": {"$ref": "#/components/headers/ErrorSource"}}
    if status in _WAITING:
        headers["retry-after"] = {"$ref": "#/components/headers/RetryAfter"}
    if status == "401":
        headers["www-authenticate"] = {"$ref": "#/components/headers/Challenge"}
    if status == "405":
        headers["allow"] = {"$ref": "#/components/headers/Allow"}
    shape: Json = {"$ref": f"#/components/schemas/{schema}"}
    description = _MEANINGS[status]
    if status in _BEFORE_THE_PATH and schema != _CLIENT_ERROR:
        shape = {"anyOf": [shape, {"$ref": f"#/components/schemas/{_CLIENT_ERROR}"}]}
        description += " In OpenAI's shape where the head could not be read."
    return {
        "description": description,
        "headers": headers,
        "content": {"application/json": {"schema": shape}},
    }
