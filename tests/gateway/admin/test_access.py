"""Who gets in, and what every operation has in common."""

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from conduit.core.ids import now_ms
from conduit.core.keys import digest_of, make_master_key, make_virtual_key
from conduit.gateway.admin import wire
from conduit.gateway.admin.access import MasterAccess, MasterDigest
from conduit.gateway.admin.table import OPERATIONS
from conduit.gateway.server.body import BodyLimits
from tests.gateway.admin.calls import PUBLIC, AdminApi


async def test_no_route_answers_without_the_master_key(
    client: TestClient[Any, Any],
) -> None:
    stranger = AdminApi(client, None)
    for operation in OPERATIONS:
        path = operation.path_template.replace("{", "").replace("}", "")
        answer = await stranger.call(operation.method, path, raw=b"not json")
        assert answer.status == 401, operation
        assert answer.error == "invalid_api_key"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "key",
    [make_master_key(), make_virtual_key(), "x", "", "ключ", "\u00e9" * 40],
    ids=["master", "virtual", "short", "empty", "cyrillic", "accents"],
)
async def test_another_key_is_refused(client: TestClient[Any, Any], key: str) -> None:
    assert (await AdminApi(client, key).get("/admin/whoami")).status == 401


async def test_the_master_key_counts_only_as_bearer_and_only_once(
    client: TestClient[Any, Any], master_key: str
) -> None:
    for headers in (
        [("authorization", f"Basic {master_key}")],
        [("authorization", master_key)],
        [("authorization", f"Bearer {master_key}"), ("authorization", "Bearer x")],
        [("x-api-key", master_key)],
    ):
        async with client.get("/admin/whoami", headers=headers) as response:
            assert response.status == 401
    async with client.get(f"/admin/whoami?authorization={master_key}") as response:
        assert response.status == 401
    async with client.get(
        "/admin/whoami", headers={"authorization": f"bearer {master_key}"}
    ) as response:
        assert response.status == 200


def test_a_master_key_that_has_expired_does_not_count() -> None:
    old, new = make_master_key(), make_master_key()
    access = MasterAccess(
        [
            MasterDigest(digest_of(old), now_ms() - 1),
            MasterDigest(digest_of(new), now_ms() + 60_000),
        ]
    )
    assert not access.admits(old)
    assert access.admits(new)
    assert not access.admits(None)


async def test_an_answer_may_not_be_cached(api: AdminApi) -> None:
    answer = await api.get("/admin/whoami")
    assert answer.body == {"role": "master"}
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/admin/keys?colour=red", "colour"),
        ("/admin/keys?limit=0", "limit"),
        ("/admin/keys?limit=1001", "limit"),
        ("/admin/keys?limit=many", "limit"),
        ("/admin/keys?limit=1&limit=2", "limit"),
        ("/admin/keys?cursor=%FF", "cursor"),
        ("/admin/keys?cursor=abc", "cursor"),
        ("/admin/whoami?limit=1", "limit"),
        ("/admin/requests?filter=colour:red", "filter"),
        ("/admin/prices?all=perhaps", "all"),
    ],
)
async def test_a_query_that_is_not_understood_is_refused_by_name(
    api: AdminApi, path: str, param: str
) -> None:
    answer = await api.get(path)
    assert (answer.status, answer.error) == (422, "validation_failed")
    assert answer.message.startswith(f"{param}: ")


@pytest.mark.parametrize(
    ("raw", "status", "said"),
    [
        (b"", 400, "not valid JSON"),
        (b"{", 400, "not valid JSON"),
        (b'{"name": "\xff"}', 400, "not valid JSON"),
        (b'{"name": "a", "name": "b"}', 400, "the field 'name' is given more than once"),
        (b'{"name": "a", "tags": {"a": "1", "a": "2"}}', 400, "'a' is given more than once"),
        (b"[]", 422, "body: "),
        (b"null", 422, "body: "),
        (b"{}", 422, "name: "),
        (b'{"name": "a", "colour": "red"}', 422, "colour: there is no such field"),
        (b'{"name": "a b"}', 422, "name: "),
        (b'{"name": "a", "budget": {"limit": 5}}', 422, "budget.limit: "),
        (b'{"name": "a", "budget": {"limit": "-5"}}', 422, "budget.limit: "),
        (b'{"name": "a", "budget": {"limit": "1e9"}}', 422, "budget.limit: "),
        (b'{"name": "a", "expires_at": "2030-01-01"}', 422, "expires_at: "),
        (b'{"name": "a", "allowed_models": [""]}', 422, "allowed_models.0: "),
        (b'{"name": "' + b"a" * (1 << 20) + b'"}', 413, "larger than"),
        (b"[" * 100_000, 400, "not valid JSON"),
        (b'{"name": 5}', 422, "name: "),
        (b'{"name": "a", "budget": NaN}', 400, "not valid JSON"),
        (b'{"name": "\\ud800"}', 400, "not valid JSON"),
        (b'{"name": ' + b"9" * 5000 + b"}", 400, "not valid JSON"),
    ],
)
async def test_a_body_that_is_not_understood_is_refused_with_its_field(
    api: AdminApi, raw: bytes, status: int, said: str
) -> None:
    answer = await api.call("POST", "/admin/keys", raw=raw)
    assert answer.status == status
    assert said in answer.message
    assert await api.listed("/admin/keys") == []


async def test_a_compressed_body_is_refused(client: TestClient[Any, Any], master_key: str) -> None:
    headers = {"authorization": f"Bearer {master_key}", "content-encoding": "gzip"}
    async with client.post("/admin/keys", data=b"\x1f\x8b", headers=headers) as response:
        assert response.status in (400, 415)


async def test_a_body_that_does_not_arrive_is_given_up(
    client: TestClient[Any, Any], master_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "_BODY_LIMITS", BodyLimits(grace_s=0.01))
    head = (
        "POST /admin/keys HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n"
        f"authorization: Bearer {master_key}\r\n\r\n{{"
    )
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(head.encode())
    assert b" 408 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "body",
    [
        {**PUBLIC, "credential": {"secret": "sk-canary", "env": "not a name"}},
        {**PUBLIC, "credential": {"secret": {"nested": "sk-canary"}}},
        {**PUBLIC, "credential": {"secret": ["sk-canary"]}},
        {**PUBLIC, "credential": {"secret": "sk-canary two"}},
        {**PUBLIC, "credential": {"secret": "sk-canary", "env": "A", "file": "/x"}},
        {**PUBLIC, "base_url": 5, "credential": {"secret": "sk-canary"}},
        {**PUBLIC, "name": "bad name", "credential": {"secret": "sk-canary"}},
        {**PUBLIC, "type": "none", "credential": {"secret": "sk-canary"}},
    ],
)
async def test_a_refusal_does_not_repeat_the_secret(api: AdminApi, body: Any) -> None:
    answer = await api.post("/admin/providers", body)
    assert answer.status == 422
    assert "canary" not in answer.text
