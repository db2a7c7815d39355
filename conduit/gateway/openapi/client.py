"""The part of the document that clients and monitoring use: `/v1`, health, metrics, itself."""

from conduit.gateway.openapi.answers import (
    OF_EVERY_KEY,
    OF_EVERY_REQUEST,
    REQUEST_ID,
    VIRTUAL_KEY,
    Json,
    Shape,
    errors,
    json_answer,
)
from conduit.gateway.openapi.client_calls import call_paths
from conduit.gateway.openapi.client_schemas import reference


def client_paths() -> Json:
    """The paths outside the admin API."""
    paths = call_paths()
    some, one = "List the models that the key may use", "Show a model"
    for path, described in {
        "/v1/models": _listed(
            "v1.models.list", some, "ClientError", _either("ModelList", "AnthropicModelList")
        ),
        "/v1/models/{model}": _listed(
            "v1.models.show", one, "ClientError", _either("Model", "AnthropicModel")
        ),
        "/v1beta/models": _listed(
            "v1beta.models.list", some, "GeminiError", reference("GeminiModelList")
        ),
        "/v1beta/models/{model}": _listed(
            "v1beta.models.show", one, "GeminiError", reference("GeminiModel")
        ),
    }.items():
        paths[path] = {"get": described}
    paths["/health/live"] = {"get": _live()}
    paths["/health/ready"] = {"get": _ready()}
    paths["/metrics"] = {"get": _metrics()}
    paths["/openapi.json"] = {"get": _document()}
    return paths


def _either(*names: str) -> Json:
    return {"anyOf": [reference(name) for name in names]}


def _listed(name: str, summary: str, shape: Shape, schema: Json) -> Json:
    """An operation on the models that the key may use."""
    statuses = {*OF_EVERY_REQUEST, *OF_EVERY_KEY}
    described: Json = {
        "operationId": name,
        "summary": summary,
        "tags": [name.partition(".")[0]],
        "security": [VIRTUAL_KEY],
        "parameters": [],
    }
    if name.endswith(".show"):
        statuses.add("404")
        described["parameters"].append(
            {
                "name": "model",
                "in": "path",
                "required": True,
                "description": "An alias, its slashes as they are.",
                "schema": {"type": "string", "minLength": 1},
            }
        )
    if shape == "ClientError":
        described["parameters"].append(
            {
                "name": "anthropic-version",
                "in": "header",
                "description": "Sent by Anthropic's clients, who are answered in their shape.",
                "schema": {"type": "string"},
            }
        )
    answer = json_answer("What the key may use.", schema)
    described["responses"] = {"200": answer, **errors(shape, statuses)}
    return described


def _open(name: str, summary: str, responses: Json) -> Json:
    """An operation that needs no key."""
    statuses = set(OF_EVERY_REQUEST) - set(responses)
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["gateway"],
        "security": [],
        "responses": {**responses, **errors("AdminError", statuses)},
    }


def _live() -> Json:
    answer = json_answer("The process answers.", reference("Liveness"))
    return _open("health.live", "Tell whether the process answers", {"200": answer})


def _ready() -> Json:
    schema = reference("Readiness")
    return _open(
        "health.ready",
        "Tell whether requests should be sent here",
        {
            "200": json_answer("They should.", schema),
            "503": json_answer("They should not, for these reasons.", schema),
        },
    )


def _metrics() -> Json:
    answer = {
        "description": "Figures for Prometheus.",
        "headers": dict(REQUEST_ID),
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
    return _open("metrics.show", "Show figures in Prometheus' text format", {"200": answer})


def _document() -> Json:
    answer = json_answer("An OpenAPI 3.1 document.", {"type": "object"})
    answer["headers"]["etag"] = {
        "description": "Changes with the document.",
        "schema": {"type": "string"},
        "required": True,
    }
    unchanged = {"description": "It is what `if-none-match` says.", "headers": dict(REQUEST_ID)}
    return _open("openapi.show", "Show this document", {"200": answer, "304": unchanged})
