"""The OpenAPI document says what the routes do."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from conduit.core.errors import ConduitError, ValidationFailedError, admin_envelope
from conduit.core.resources.errors import ErrorEnvelope
from conduit.gateway.admin.operation import AdminOperation
from conduit.gateway.admin.table import OPERATIONS
from conduit.gateway.dialects.openai.errors import encode_error
from conduit.gateway.openapi.document import document, document_bytes
from conduit.gateway.routes import calls, gemini, health, models, openapi

DOCUMENT = document()
PATHS = DOCUMENT["paths"]
METHODS = ("get", "post", "put", "patch", "delete")


def described() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in PATHS.items():
        for method, operation in item.items():
            yield method, path, operation


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


async def never_called(request: web.Request) -> web.StreamResponse:
    raise AssertionError


def test_every_route_of_the_gateway_is_described_and_no_other() -> None:
    client_facing = [
        *calls.routes(dict.fromkeys(calls.ROUTES, never_called)),
        *models.routes(),
        *health.routes(lambda: health.Readiness(())),
        *health.metrics_routes(lambda: (b"", "text/plain")),
        *openapi.routes(document_bytes),
    ]
    methods = {
        ("POST", f"{path.partition('{')[0]}{{model}}:{method}")
        for path in gemini.PATHS
        for method in gemini.METHODS
    }
    routes = {
        *methods,
        *((route.method, re.sub(r":[^}]*", "", route.path)) for route in client_facing),
        *((operation.method, operation.path_template) for operation in OPERATIONS),
    }
    assert {(method.upper(), path) for method, path, _ in described()} == routes


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for _, _, operation in described()]
    assert len(set(names)) == len(names)


def test_every_reference_points_to_something() -> None:
    for reference in set(references(DOCUMENT)):
        found: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        assert found


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_an_admin_operation_is_described_with_all_that_it_takes_and_gives(
    operation: AdminOperation,
) -> None:
    said = PATHS[operation.path_template][operation.method.lower()]
    named = [(each["in"], each["name"]) for each in said["parameters"]]
    assert named == [
        *(("path", name) for name in operation.placeholders),
        *(("query", name) for name in operation.parameters),
    ]
    assert ("requestBody" in said) == (operation.body is not None)
    assert ("content" in said["responses"][str(operation.success_status)]) == (
        operation.answer is not None or bool(operation.streams)
    )
    assert {"401", "422", "429", "500", "503"} <= said["responses"].keys()
    assert {str(error.status) for error in operation.errors} <= said["responses"].keys()
    assert said["security"] == [{"masterKey": []}]


def test_only_what_tells_of_no_instance_and_no_money_is_open() -> None:
    open_paths = [path for _, path, operation in described() if operation["security"] == []]
    assert open_paths == ["/health/live", "/health/ready", "/metrics", "/openapi.json"]


def test_a_made_record_links_to_the_operations_on_it() -> None:
    links = PATHS["/admin/providers/{provider}/credentials"]["post"]["responses"]["201"]["links"]
    assert links["credentials.delete"]["parameters"] == {
        "provider": "$request.path.provider",
        "credential": "$response.body#/id",
    }


def test_the_envelope_of_an_error_is_what_the_document_says() -> None:
    error = ValidationFailedError("name: there is no such field", hint="look", param="name")
    ErrorEnvelope.model_validate(admin_envelope(error, "req_1"))
    shape = DOCUMENT["components"]["schemas"]["ClientError"]["properties"]["error"]
    assert sorted(json.loads(encode_error(error))["error"]) == sorted(shape["required"])


def statuses(error: type[ConduitError]) -> set[int]:
    return {error.status}.union(*map(statuses, error.__subclasses__()))


def test_every_status_of_the_error_tree_has_an_answer() -> None:
    answers = DOCUMENT["components"]["responses"]
    for status in statuses(ConduitError):
        assert f"AdminError{status}" in answers
        assert f"ClientError{status}" in answers


def test_the_document_is_the_same_in_another_process() -> None:
    program = (
        "import sys\n"
        "from conduit.gateway.openapi.document import document_bytes\n"
        "sys.stdout.buffer.write(document_bytes())"
    )
    for seed in ("1", "2"):
        made = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        )
        assert made.stdout == document_bytes()
