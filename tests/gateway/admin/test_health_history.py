"""The history of health over the admin API, on both engines."""

import asyncio
from dataclasses import asdict

import pytest

from conduit.core.ids import new_id
from conduit.core.resources.fields import time_text
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.health.registry import Change
from conduit.gateway.storage import health_history
from conduit.gateway.storage.engine import Database, writing
from conduit.gateway.storage.health_history import ID_PREFIX, StoredHealthChange
from tests import postgresql
from tests.gateway.admin.calls import SIMULATED, AdminApi
from tests.gateway.keys.test_known_keys import WITHIN_S, Outage
from tests.gateway.records import AT_MS

HISTORY = "/admin/health/history"


@pytest.fixture(params=postgresql.ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def change(number: int) -> Change:
    """One of two providers, as far apart as a second."""
    name = "east" if number % 2 else "west"
    at_ms = AT_MS + number * 1_000
    return Change(at_ms, name, f"m-{number}", "default", "closed", "open", "503", at_ms + 30_000)


async def stored(database: Database, *changes: Change) -> None:
    """As a gateway left them that runs no more."""
    async with writing(database) as connection:
        await health_history.add(
            connection,
            [
                StoredHealthChange(id=new_id(ID_PREFIX, each.at_ms), **asdict(each))
                for each in changes
            ],
        )


async def models(api: AdminApi, query: str = "") -> list[str]:
    return [row["model"] for row in await api.listed(f"{HISTORY}{query}")]


async def test_a_change_of_an_earlier_start_is_shown_as_ever(
    api: AdminApi, database: Database
) -> None:
    await stored(database, change(1))
    answer = await api.get(HISTORY)
    assert answer.body == {
        "data": [
            {
                "at": "2023-11-14T22:13:21.000Z",
                "provider": "east",
                "model": "m-1",
                "credential": "default",
                "before": "closed",
                "after": "open",
                "reason": "503",
                "until": "2023-11-14T22:13:51.000Z",
            }
        ],
        "next_cursor": None,
    }


@pytest.mark.parametrize("limit", [1, 2, 5, 7])
async def test_pages_go_through_what_waits_and_what_is_stored(
    api: AdminApi, context: AdminContext, database: Database, limit: int
) -> None:
    await stored(database, *map(change, range(4)))
    for number in range(4, 7):
        context.health.changed(change(number))
    wanted = [f"m-{number}" for number in (6, 5, 4, 3, 2, 1, 0)]
    assert await models(api, f"?limit={limit}") == wanted


async def test_filters_hold_for_both(
    api: AdminApi, context: AdminContext, database: Database
) -> None:
    await stored(database, *map(change, range(4)))
    context.health.changed(change(4))
    context.health.changed(change(5))
    assert await models(api, "?provider=east&limit=1") == ["m-5", "m-3", "m-1"]
    since = time_text(AT_MS + 3_000)
    assert await models(api, f"?since={since}&limit=2") == ["m-5", "m-4", "m-3"]
    assert await models(api, f"?since={since}&provider=west") == ["m-4"]
    assert await models(api, "?provider=north") == []


async def test_what_an_operator_does_is_seen_at_once(api: AdminApi) -> None:
    await api.made("/admin/providers", SIMULATED)
    target = {"provider": "sim", "model": "m-1"}
    await api.made("/admin/mappings", {"alias": "fast", "targets": [target]})
    assert (await api.post("/admin/breakers/open", target)).status == 200
    assert (await api.post("/admin/breakers/close", target)).status == 200
    newest, oldest = (await api.get(HISTORY)).body["data"]
    assert (newest["before"], newest["after"]) == ("open", "closed")
    assert (oldest["after"], oldest["reason"]) == ("open", "an operator opened it")


async def test_while_the_database_is_away_memory_answers(
    api: AdminApi, context: AdminContext, database: Database
) -> None:
    await stored(database, change(1))
    context.health.changed(change(2))
    context.health.changed(change(3))
    async with asyncio.timeout(WITHIN_S):
        while context.health_history.waiting:
            await asyncio.sleep(0.01)
    outage = Outage(database)
    outage.begin()
    context.health.changed(change(4))
    assert await models(api, "?limit=2") == ["m-4", "m-3", "m-2"]
    assert await models(api, "?provider=east") == ["m-3"]
    outage.end()
    assert await models(api) == ["m-4", "m-3", "m-2", "m-1"]


async def test_a_cursor_of_somewhere_else_is_refused(api: AdminApi) -> None:
    answer = await api.get(f"{HISTORY}?cursor=_w")
    assert (answer.status, answer.error) == (422, "validation_failed")
