"""The master key and its rotation."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from conduit.core.events import EventKind
from conduit.core.ids import now_ms
from conduit.core.keys import digest_of, is_master_key, make_master_key
from conduit.core.resources.fields import time_ms
from conduit.gateway.admin import table
from conduit.gateway.admin.access import MasterAccess, MasterDigest
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.dialects.client_errors import encode_error
from conduit.gateway.server.errors import error_middleware
from conduit.gateway.storage import master_keys
from conduit.gateway.storage.engine import Database, reading, writing
from conduit.gateway.storage.master_keys import FIRST_SLOT, StoredMasterKey
from tests.gateway.admin.calls import AdminApi

PATH = "/admin/auth/rotate-master"


@pytest.fixture(autouse=True)
async def stored(database: Database, master_key: str) -> None:
    async with writing(database) as connection:
        await master_keys.put(
            connection, StoredMasterKey(FIRST_SLOT, digest_of(master_key), now_ms(), None)
        )


async def admitted(client: TestClient[Any, Any], *keys: str) -> list[bool]:
    return [(await AdminApi(client, key).get("/admin/whoami")).status == 200 for key in keys]


async def digests(database: Database) -> set[bytes]:
    async with reading(database) as connection:
        return {key.digest for key in await master_keys.usable(connection, now_ms())}


async def test_both_keys_count_at_once_and_until_the_grace_is_over(
    api: AdminApi, client: TestClient[Any, Any], context: AdminContext, master_key: str
) -> None:
    before_ms = now_ms()
    answer = await api.post(PATH, {"grace_s": 3600})
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    new = answer.body["secret"]
    assert is_master_key(new)
    ends_ms = time_ms(answer.body["former_expires_at"])
    assert before_ms + 3_599_000 <= ends_ms <= now_ms() + 3_600_000
    assert await admitted(client, master_key, new) == [True, True]
    assert await digests(context.database) == {digest_of(master_key), digest_of(new)}


async def test_a_day_is_what_nobody_asked_for(api: AdminApi) -> None:
    answer = await api.post(PATH, {})
    assert time_ms(answer.body["former_expires_at"]) > now_ms() + 86_000_000


async def test_without_grace_the_former_key_ends_at_once(
    api: AdminApi, client: TestClient[Any, Any], context: AdminContext, master_key: str
) -> None:
    answer = await api.post(PATH, {"grace_s": 0})
    assert answer.body["former_expires_at"] is None
    assert await admitted(client, master_key, answer.body["secret"]) == [False, True]
    assert await digests(context.database) == {digest_of(answer.body["secret"])}


async def test_a_second_rotation_ends_the_key_before_the_last(
    api: AdminApi, client: TestClient[Any, Any], master_key: str
) -> None:
    second = (await api.post(PATH, {"grace_s": 3600})).body["secret"]
    third = (await AdminApi(client, second).post(PATH, {"grace_s": 3600})).body["secret"]
    assert await admitted(client, master_key, second, third) == [False, True, True]


async def test_rotations_at_the_same_time_leave_what_is_stored_in_force(
    api: AdminApi, client: TestClient[Any, Any], context: AdminContext
) -> None:
    answers = await asyncio.gather(*(api.post(PATH, {"grace_s": 3600}) for _ in range(5)))
    made = [answer.body["secret"] for answer in answers if answer.status == 200]
    counting = [key for key in made if context.master.admits(key)]
    assert {digest_of(key) for key in counting} == await digests(context.database)
    assert len(counting) == 2


async def test_the_event_tells_of_it_without_a_key(
    api: AdminApi, published: list[tuple[EventKind, Mapping[str, Any]]]
) -> None:
    answer = await api.post(PATH, {"grace_s": 60})
    ((kind, facts),) = published
    assert kind.value == "master_key.rotated"
    assert facts == {"former_expires_at_ms": time_ms(answer.body["former_expires_at"])}


@pytest.mark.parametrize(
    "body", [{"grace_s": -1}, {"grace_s": "24h"}, {"grace_s": 31 * 86_400}, {"grace": 5}, {"x": 1}]
)
async def test_a_grace_that_cannot_be_is_refused(
    api: AdminApi, body: Any, kinds: Callable[[], list[str]]
) -> None:
    assert (await api.post(PATH, body)).status == 422
    assert kinds() == []


async def test_a_key_of_the_settings_is_not_replaced(
    context: AdminContext, database: Database, master_key: str
) -> None:
    supplied = make_master_key()
    access = MasterAccess(
        [MasterDigest(digest_of(supplied))],
        supplied_by="the setting master_key_file (env CONDUIT_MASTER_KEY_FILE)",
    )
    app = web.Application(middlewares=[error_middleware(encode_error)])
    app.add_routes(table.routes(replace(context, master=access)))
    async with TestClient(TestServer(app)) as client:
        answer = await AdminApi(client, supplied).post(PATH, {})
    assert (answer.status, answer.error) == (409, "conflict")
    assert "CONDUIT_MASTER_KEY_FILE" in answer.message
    assert "conduit auth init" in answer.body["error"]["hint"]
    assert await digests(database) == {digest_of(master_key)}
