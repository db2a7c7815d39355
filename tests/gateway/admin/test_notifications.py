"""Notifications over the admin API, on both engines."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from conduit.core.events import EventKind
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.ledger.local import LocalLedger
from conduit.gateway.storage import notifications
from conduit.gateway.storage.engine import Database, writing
from tests import postgresql
from tests.gateway.admin.calls import AdminApi
from tests.gateway.ledger.building import claim, ending
from tests.gateway.records import notification

PATH = "/admin/notifications"
MADE = (
    notification(1),
    notification(2, kind="key_expiring", subject_kind="key", subject_name="ci"),
    notification(3, kind="credential_failed", subject_kind="credential", details={}),
)


@pytest.fixture(params=postgresql.ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def _made(database: Database) -> None:
    async with writing(database) as connection:
        await notifications.add(connection, MADE)


async def ids(api: AdminApi, query: str = "") -> list[str]:
    return [row["id"] for row in await api.listed(f"{PATH}{query}")]


@pytest.mark.usefixtures("_made")
async def test_one_is_shown_with_its_subject_and_its_numbers(api: AdminApi) -> None:
    answer = await api.get(f"{PATH}/{MADE[0].id}")
    assert answer.body == {
        "id": MADE[0].id,
        "at": "2023-11-14T22:13:20.001Z",
        "kind": "budget_threshold",
        "severity": "info",
        "subject": {"kind": "budget", "id": "bud_1", "name": "key:acme"},
        "message": MADE[0].message,
        "details": {"threshold_percent": 50, "period_start_ms": 0},
        "acknowledged_at": None,
        "acknowledged_by": None,
    }
    assert (await api.get(f"{PATH}/ntf_1")).status == 404


@pytest.mark.usefixtures("_made")
@pytest.mark.parametrize("limit", [1, 2, 50])
async def test_they_are_listed_newest_first(api: AdminApi, limit: int) -> None:
    assert await ids(api, f"?limit={limit}") == [each.id for each in reversed(MADE)]
    assert await ids(api, f"?limit={limit}&kind=key_expiring") == [MADE[1].id]


@pytest.mark.usefixtures("_made")
async def test_one_is_acknowledged_and_open_no_more(
    api: AdminApi, published: list[tuple[EventKind, Mapping[str, Any]]]
) -> None:
    for _ in range(2):
        answer = await api.post(f"{PATH}/{MADE[1].id}/acknowledge")
        assert answer.status == 200
        assert answer.body["acknowledged_by"] == "master key"
        assert answer.body["acknowledged_at"].endswith("Z")
    facts = {"id": MADE[1].id, "acknowledged": 1, "by": "master key"}
    assert published == [(EventKind.NOTIFICATION_ACKNOWLEDGED, facts)]
    assert await ids(api) == [MADE[2].id, MADE[0].id]
    assert await ids(api, "?state=acknowledged") == [MADE[1].id]
    assert len(await ids(api, "?state=all")) == 3
    assert (await api.post(f"{PATH}/ntf_1/acknowledge")).status == 404


@pytest.mark.usefixtures("_made")
async def test_all_that_are_open_are_acknowledged(
    api: AdminApi, kinds: Callable[[], list[str]]
) -> None:
    await api.post(f"{PATH}/{MADE[0].id}/acknowledge")
    for count in (2, 0):
        answer = await api.post(f"{PATH}/acknowledge")
        assert (answer.status, answer.body) == (200, {"acknowledged": count})
    assert await ids(api) == []
    assert kinds() == ["notification.acknowledged"] * 2


@pytest.mark.parametrize("query", ["?state=closed", "?kind=budget", "?cursor=_w"])
async def test_a_query_that_is_none_is_refused(api: AdminApi, query: str) -> None:
    answer = await api.get(f"{PATH}{query}")
    assert (answer.status, answer.error) == (422, "validation_failed")


async def test_a_budget_that_was_reset_is_told_of_again(
    api: AdminApi, context: AdminContext, ledger: LocalLedger
) -> None:
    key = await api.made("/admin/keys", {"name": "ci", "budget": {"limit": "0.00001"}})
    (budget,) = (await api.get("/admin/keys/ci")).body["budgets"]
    for _ in range(2):
        hold = await ledger.hold(claim(10_000, key_id=key["id"]))
        ledger.settle(hold, ending(8_000))
        await context.notifications.look()
        await context.notifications.look()
        assert (await api.post(f"/admin/budgets/{budget['id']}/reset-spend")).status == 200
    rows = await api.listed(PATH)
    assert [row["details"]["threshold_percent"] for row in rows] == [75, 50, 75, 50]
    assert {row["subject"]["name"] for row in rows} == {"key:ci"}
