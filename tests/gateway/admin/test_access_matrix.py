"""Who may do what with which field: a matrix made from the route table."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from yarl import URL

from conduit.core.ids import now_ms
from conduit.core.keys import digest_of, make_master_key, make_virtual_key
from conduit.gateway.admin.access import MasterDigest
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import AdminOperation
from conduit.gateway.admin.table import OPERATIONS
from conduit.gateway.openapi.document import document
from conduit.gateway.server.headers import is_client_api
from tests.e2e.conftest import running_gateway
from tests.gateway.admin.calls import AdminApi

Headers = list[tuple[str, str]]

DOCUMENT = document()
SCHEMAS: Mapping[str, Any] = DOCUMENT["components"]["schemas"]
WITH_BODY = [operation for operation in OPERATIONS if operation.body is not None]
WITH_VERSION = [each for each in WITH_BODY if each.body and "version" in each.body.model_fields]
CLIENT_ROUTES = [
    (method.upper(), path.replace("{model}", "any"))
    for path, item in DOCUMENT["paths"].items()
    if is_client_api(path)
    for method in item
]

ROUTES_AT_ONCE = 10
"""Each is tried with five wrong keys, and after 60 of them an address has to wait."""

# One value of each JSON type.
SAMPLES: Mapping[str, Any] = {
    "null": None,
    "boolean": True,
    "integer": 5,
    "number": 0.5,
    "string": "5",
    "array": [1],
    "object": {"colour": "red"},
}


def address(operation: AdminOperation) -> str:
    """Its path with names that belong to no record."""
    return operation.path_template.replace("{", "no-such-").replace("}", "")


async def status_of(
    client: TestClient[Any, Any], method: str, path: str, headers: Headers, raw: bytes
) -> int:
    url = URL(path, encoded=True)
    async with client.request(method, url, data=raw, headers=headers) as response:
        return response.status


# Roles × routes


def strangers(master_key: str, virtual: str, disabled: str, expired: str) -> Mapping[str, Headers]:
    """Everybody who may not administer the gateway, by what they send."""

    def bearer(key: str) -> Headers:
        return [("authorization", f"Bearer {key}")]

    return {
        "nobody": [],
        "a wrong master key": bearer(make_master_key()),
        "the master key, cut": bearer(master_key[:-1]),
        "the master key, longer": bearer(master_key + "x"),
        "the master key without a scheme": [("authorization", master_key)],
        "the master key by another scheme": [("authorization", f"Basic {master_key}")],
        "the master key in another header": [("x-api-key", master_key)],
        "two headers": [*bearer(master_key), *bearer(master_key)],
        "an empty key": bearer(""),
        "a virtual key": bearer(virtual),
        "a disabled virtual key": bearer(disabled),
        "a virtual key that never was": bearer(make_virtual_key()),
        "a master key that has expired": bearer(expired),
    }


async def test_no_route_is_open_to_anybody_but_the_holder_of_the_master_key(
    client: TestClient[Any, Any], context: AdminContext, api: AdminApi, master_key: str
) -> None:
    expired = make_master_key()
    context.master.adopt(
        [
            MasterDigest(digest_of(master_key)),
            MasterDigest(digest_of(expired), expires_at_ms=now_ms() - 1),
        ]
    )
    virtual = await api.made("/admin/keys", {"name": "virtual"})
    disabled = await api.made("/admin/keys", {"name": "disabled"})
    assert (await api.patch("/admin/keys/disabled", {"enabled": False})).status == 200
    roles = strangers(master_key, virtual["secret"], disabled["secret"], expired)
    let_in = [
        (role, operation.name, status)
        for role, headers in roles.items()
        for operation in OPERATIONS
        if (
            status := await status_of(
                client, operation.method, address(operation), headers, b"not json"
            )
        )
        != 401
    ]
    assert let_in == []


async def test_the_master_key_does_not_count_in_a_query(
    client: TestClient[Any, Any], master_key: str
) -> None:
    for parameter in ("key", "token", "authorization", "access_token"):
        for operation in OPERATIONS:
            path = f"{address(operation)}?{parameter}={master_key}"
            assert await status_of(client, operation.method, path, [], b"{}") == 401


async def test_the_holder_of_the_master_key_comes_as_far_as_the_request_is_good(
    api: AdminApi,
) -> None:
    """A body that cannot be read is found out first, then a record that is not there."""
    for operation in OPERATIONS:
        answer = await api.call(operation.method, address(operation), raw=b"not json")
        if operation.body is not None:
            expected = 400
        elif operation.placeholders:
            expected = 404
        else:
            expected = operation.success_status
        assert answer.status == expected, (operation.name, answer.text)


@pytest.mark.parametrize("first", range(0, len(CLIENT_ROUTES), ROUTES_AT_ONCE))
async def test_the_master_key_opens_nothing_but_the_admin_api(tmp_path: Path, first: int) -> None:
    async with running_gateway(tmp_path / "home") as running:
        virtual = await running.key("virtual")
        disabled = await running.key("disabled")
        await running.admin("PATCH", "/keys/disabled", {"enabled": False})
        deleted = await running.key("deleted")
        await running.admin("DELETE", "/keys/deleted")

        async def status(method: str, path: str, key: str | None) -> int:
            headers = {} if key is None else {"authorization": f"Bearer {key}"}
            async with running.http.request(
                method, running.url + path, json={}, headers=headers
            ) as response:
                return response.status

        for method, path in CLIENT_ROUTES[first : first + ROUTES_AT_ONCE]:
            for key in (None, running.master_key, make_virtual_key(), disabled, deleted):
                assert await status(method, path, key) == 401, (method, path, key)
            assert await status(method, path, virtual) in (200, 400, 404)


# Methods × routes


def methods_at(path: str) -> set[str]:
    """What the table serves at a path, which may fit several rows: a name may look like a word."""
    return {each.method for each in OPERATIONS if re.fullmatch(pattern(each), path)}


def pattern(operation: AdminOperation) -> str:
    with_slashes = re.sub(r"\{\w+:\.\+\}", ".+", operation.path)
    return re.sub(r"\{\w+\}", "[^/]+", with_slashes)


async def test_a_method_that_a_path_does_not_have_is_refused_with_those_that_it_has(
    client: TestClient[Any, Any], master_key: str
) -> None:
    headers = [("authorization", f"Bearer {master_key}")]
    for path in sorted({address(operation) for operation in OPERATIONS}):
        have = methods_at(path)
        if "GET" in have:
            have |= {"HEAD"}
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - have:
            async with client.request(method, path, headers=headers) as response:
                assert response.status == 405, (method, path)
                assert set(response.headers["allow"].split(",")) == have
                assert (await response.json())["error"]["code"] == "method_not_allowed"


# Fields × routes


def body_schema(operation: AdminOperation) -> Mapping[str, Any]:
    said = DOCUMENT["paths"][operation.path_template][operation.method.lower()]
    schema = said["requestBody"]["content"]["application/json"]["schema"]
    return resolved(schema)


def resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        schema = SCHEMAS[schema["$ref"].rpartition("/")[2]]
    return schema


def types_of(schema: Mapping[str, Any]) -> set[str]:
    """The JSON types that a field takes."""
    schema = resolved(schema)
    if "anyOf" in schema:
        return set().union(*map(types_of, schema["anyOf"]))
    found = schema["type"]
    types = {found} if isinstance(found, str) else set(found)
    # Every integer is a number.
    return types | {"integer"} if "number" in types else types


def answered_fields(operation: AdminOperation) -> set[str]:
    """What the record has that the operation is about, whether or not it may be set."""
    assert operation.answer is not None
    return set(operation.answer.model_fields)


def body_fields(operation: AdminOperation) -> list[str]:
    return list(body_schema(operation)["properties"])


def wrong_values() -> Iterator[tuple[AdminOperation, str, Any]]:
    for operation in WITH_BODY:
        for field, schema in body_schema(operation)["properties"].items():
            for kind, value in SAMPLES.items():
                if kind not in types_of(schema):
                    yield operation, field, value


async def refused_by_name(
    api: AdminApi, operation: AdminOperation, body: dict[str, Any], field: str
) -> str | None:
    """None where the answer is a 422 that names the field; else what it was."""
    answer = await api.call(operation.method, address(operation), body)
    if answer.status == 422 and f"{field}: " in answer.message:
        return None
    return f"{operation.name} {json.dumps(body)}: {answer.status} {answer.text}"


async def test_no_field_takes_a_value_of_another_type(api: AdminApi) -> None:
    found = [
        await refused_by_name(api, operation, {field: value}, field)
        for operation, field, value in wrong_values()
    ]
    assert len(found) > 100, "the table has fields"
    assert [each for each in found if each is not None] == []


async def test_what_is_read_only_cannot_be_set(api: AdminApi) -> None:
    found = [
        await refused_by_name(api, operation, {field: SAMPLES["string"]}, field)
        for operation in WITH_BODY
        for field in sorted(answered_fields(operation) - set(body_fields(operation)))
    ]
    assert len(found) > 50, "records have fields of their own"
    assert [each for each in found if each is not None] == []


@pytest.mark.parametrize("field", ["colour", "__proto__", "__class__", "model_config", "$ref", ""])
async def test_a_field_that_does_not_exist_is_refused(field: str, api: AdminApi) -> None:
    shown = field or "body"
    found = [await refused_by_name(api, each, {field: 1}, shown) for each in WITH_BODY]
    assert [each for each in found if each is not None] == []


IMMUTABLE = frozenset(
    {"id", "created_at", "updated_at", "last_used_at", "spent", "held", "hint", "state", "secret"}
)


def test_no_body_of_the_table_has_a_field_that_the_gateway_alone_may_set() -> None:
    for operation in WITH_BODY:
        settable = IMMUTABLE & set(body_fields(operation))
        # The secret of a provider's credential is the operator's to give.
        assert settable <= ({"secret"} if "credentials" in operation.name else set()), operation


def test_only_a_change_speaks_of_a_version() -> None:
    assert {operation.method for operation in WITH_VERSION} == {"PATCH"}


# Queries × routes


def wrong_queries() -> Iterator[tuple[AdminOperation, str, str]]:
    """A query, and the parameter that is wrong in it."""
    for operation in OPERATIONS:
        yield operation, "colour=red", "colour"
        said = DOCUMENT["paths"][operation.path_template][operation.method.lower()]
        for parameter in (each for each in said["parameters"] if each["in"] == "query"):
            named = parameter["name"]
            yield operation, f"{named}=1&{named}=1", named
            yield operation, f"{named}=%00", named
            if parameter["schema"].get("type") in ("integer", "boolean"):
                yield from ((operation, f"{named}={each}", named) for each in ("%201", "1.0", ""))


async def test_a_query_is_checked_parameter_by_parameter(api: AdminApi) -> None:
    for operation, query, parameter in wrong_queries():
        answer = await api.call(operation.method, f"{address(operation)}?{query}", raw=b"{}")
        assert answer.status == 422, (operation.name, query, answer.text)
        assert answer.message.startswith(f"{parameter}: ")


@pytest.mark.parametrize("written", ["%00", "a%00b", "%0A", "%7F", "%C2%85", "%E2%80%A8", "%FF"])
async def test_a_name_that_no_record_can_have_is_not_found(written: str, api: AdminApi) -> None:
    for operation in OPERATIONS:
        if operation.placeholders and operation.body is None:
            path = operation.path_template
            for placeholder in operation.placeholders:
                path = path.replace(f"{{{placeholder}}}", written)
            answer = await api.call(operation.method, path)
            assert answer.status == 404, (operation.name, answer.text)


@pytest.mark.parametrize("text", ["\\u0000", "a\\u0000b", "\\ud800", "\\udc00\\ud800"])
async def test_a_text_that_not_every_database_can_store_is_refused(
    text: str, api: AdminApi
) -> None:
    for operation in WITH_BODY:
        for field in body_schema(operation)["properties"]:
            raw = f'{{"{field}": "{text}"}}'.encode()
            answer = await api.call(operation.method, address(operation), raw=raw)
            assert answer.status in (400, 422), (operation.name, field, answer.text)
