"""The part of the document that is the admin API."""

from collections.abc import Iterable, Mapping, Sequence

from conduit.core.errors import ConduitError
from conduit.core.resources.errors import ErrorEnvelope
from conduit.gateway.admin.operation import AdminOperation
from conduit.gateway.openapi.answers import (
    MASTER_KEY,
    OF_EVERY_BODY,
    OF_EVERY_KEY,
    OF_EVERY_REQUEST,
    REQUEST_ID,
    Json,
    errors,
    json_answer,
)
from conduit.gateway.openapi.resources import Wanted, parameters_of, schemas_of


def admin_paths(operations: Sequence[AdminOperation]) -> tuple[Json, Json]:
    """The paths of the admin API, and the schemas they refer to."""
    references, schemas = schemas_of(_wanted(operations))
    queries = {operation.query for operation in operations if operation.query is not None}
    parameters = {
        # The document says a query parameter by parameter, not as a whole.
        query: parameters_of(schemas.pop(_name(references[(query, "validation")])))
        for query in queries
    }
    paths: Json = {}
    for operation in operations:
        query = [] if operation.query is None else parameters[operation.query]
        described = _operation(operation, references, query)
        described["responses"] |= errors("AdminError", _statuses(operation))
        if links := _links(operation, operations):
            described["responses"][str(operation.success_status)]["links"] = links
        paths.setdefault(operation.path_template, {})[operation.method.lower()] = described
    return paths, schemas


def _wanted(operations: Iterable[AdminOperation]) -> Iterable[Wanted]:
    yield ErrorEnvelope, "serialization"
    for operation in operations:
        for taken in (operation.body, operation.query):
            if taken is not None:
                yield taken, "validation"
        if operation.answer is not None:
            yield operation.answer, "serialization"


def _name(reference: Json) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _operation(
    operation: AdminOperation, references: Mapping[Wanted, Json], query: Sequence[Json]
) -> Json:
    described: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.name.partition(".")[0]],
        "security": [MASTER_KEY],
        "parameters": [
            *(_path_parameter(operation, name) for name in operation.placeholders),
            *query,
        ],
        "responses": {str(operation.success_status): _answer(operation, references)},
    }
    if operation.body is not None:
        schema = references[(operation.body, "validation")]
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return described


def _path_parameter(operation: AdminOperation, name: str) -> Json:
    with_slashes = f"{{{name}:" in operation.path
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": "An id or a name" + (", its slashes as they are." if with_slashes else "."),
        "schema": {"type": "string", "minLength": 1},
    }


def _answer(operation: AdminOperation, references: Mapping[Wanted, Json]) -> Json:
    if operation.streams:
        content = {name: {"schema": {"type": "string"}} for name in operation.streams}
        said = "All of it, as it comes; it is whole where it ends as HTTP has an answer end."
        return {"description": said, "headers": dict(REQUEST_ID), "content": content}
    if operation.answer is None:
        return {"description": "Done.", "headers": dict(REQUEST_ID)}
    said = "Created." if operation.status == 201 else "The answer."
    if operation.secret:
        said += " It holds a secret that is never shown again."
    return json_answer(said, references[(operation.answer, "serialization")])


def _statuses(operation: AdminOperation) -> set[str]:
    """The errors that an operation of this shape can meet, and those its handler raises."""
    own = {str(_status(error)) for error in operation.errors}
    found = {"404"} if operation.placeholders else set()
    body = set() if operation.body is None else set(OF_EVERY_BODY)
    return {*OF_EVERY_REQUEST, *OF_EVERY_KEY, "422", *own, *found, *body}


def _status(error: type[ConduitError]) -> int:
    return error.status


def _links(maker: AdminOperation, operations: Iterable[AdminOperation]) -> Json:
    """From what was made to the operations on it, which take its id as the last part of a path."""
    if maker.status != 201 or maker.answer is None or "id" not in maker.answer.model_fields:
        return {}
    stem = maker.path_template + "/{"
    known = {name: f"$request.path.{name}" for name in maker.placeholders}
    links: Json = {}
    for operation in operations:
        further = [name for name in operation.placeholders if name not in maker.placeholders]
        if operation.path_template.startswith(stem) and len(further) == 1:
            links[operation.name] = {
                "operationId": operation.name,
                "parameters": {**known, further[0]: "$response.body#/id"},
            }
    return links
