"""Spending that is far more than usual is told of, once an hour; what is usual is not."""

from typing import Any

import pytest
from sqlalchemy import insert

from conduit.core.errors import UnavailableError
from conduit.core.ids import new_id
from conduit.gateway.notifications.unusual import HOUR_MS, UnusualRules
from conduit.gateway.notifications.watch import NotificationWatch, WatchRules
from conduit.gateway.storage import keys
from conduit.gateway.storage.engine import Database, writing
from conduit.gateway.storage.schema import ledger
from tests.gateway import records
from tests.gateway.notifications.conftest import World
from tests.gateway.records import AT_MS, attempt_row

DOLLAR = 1_000_000_000


async def spent(database: Database, key_id: str, *costs: tuple[float, float], **more: Any) -> None:
    """Attempts of a key: how many hours ago, and how many dollars."""
    rows = []
    for hours, dollars in costs:
        at_ms = AT_MS - round(hours * HOUR_MS)
        values = {"key_id": key_id, "held_at_ms": at_ms, "cost_nanodollars": round(dollars * 1e9)}
        rows.append(
            {**attempt_row(1, "req_1"), "attempt_id": new_id("att", at_ms), **values, **more}
        )
    async with writing(database) as connection:
        await connection.execute(insert(ledger), rows)


def watching(world: World, factor: int = 5, floor: int = DOLLAR) -> NotificationWatch:
    return world.watch(rules=WatchRules(unusual=lambda: UnusualRules(factor, floor)))


async def stored_key(database: Database, name: str) -> str:
    key = records.key(name)
    async with writing(database) as connection:
        await keys.insert(connection, key)
    return key.id


async def test_a_key_that_spends_far_more_than_usual_is_told_of_once_an_hour(world: World) -> None:
    key_id = await stored_key(world.database, "ci")
    steady = [(h + 0.5, 1.0) for h in range(1, 169)]
    await spent(world.database, key_id, (200.0, 0.0), *steady, (0.9, 3.0), (0.1, 3.0))
    watch = watching(world)
    await watch.look_at_spending()
    assert await world.messages() == [
        'key "ci" has spent $6.00 in the last hour, 6 times its usual $1.00 an hour',
        "the gateway has spent $6.00 in the last hour, 6 times its usual $1.00 an hour",
    ]
    [told, of_all] = await world.stored()
    assert (told.kind, told.severity, told.subject_kind) == ("unusual_spend", "warning", "key")
    assert told.details == {
        "spent_nanodollars": 6 * DOLLAR,
        "usual_nanodollars": DOLLAR,
        "since_ms": AT_MS - HOUR_MS,
    }
    assert (of_all.subject_kind, of_all.subject_id) == ("gateway", "gateway")
    for later_ms in (0, HOUR_MS // 30, HOUR_MS // 20):
        world.at_ms = AT_MS + later_ms
        await watch.look_at_spending()
        await watching(world).look_at_spending()  # as after a restart
    assert len(await world.messages()) == 2


@pytest.mark.parametrize(
    ("hour", "before", "told"),
    [
        (5.0, 1.0, False),  # five times is not more than five times
        (5.1, 1.0, True),
        (0.99, 0.01, False),  # below the floor
        (1.0, 0.01, True),
        (1.0, 0.0, True),  # nothing was usual
    ],
)
async def test_the_rule_is_a_factor_of_the_mean_and_a_floor(
    world: World, hour: float, before: float, told: bool
) -> None:
    costs = [(h + 0.5, before) for h in range(1, 169)]
    await spent(world.database, "key_1", *costs, (0.5, hour))
    await watching(world).look_at_spending()
    assert bool(await world.messages()) is told


async def test_of_a_young_key_the_mean_is_over_its_own_hours_and_a_day_is_needed(
    world: World,
) -> None:
    # Its 30 hours have cost $30: a dollar an hour, and not 18 cents.
    await spent(world.database, "key_30h", *((h + 1.0, 1.0) for h in range(1, 31)), (0.5, 4.0))
    await spent(world.database, "key_20h", (20.0, 0.01), (0.5, 50.0))
    await watching(world).look_at_spending()
    subjects = [each.subject_id for each in await world.stored()]
    assert subjects == ["gateway"]


async def test_no_factor_is_no_notice_and_corrections_are_no_spending(world: World) -> None:
    await spent(world.database, "key_1", (100.0, 1.0), (0.5, 50.0))
    await watching(world, factor=0).look_at_spending()
    assert await world.messages() == []
    quiet = {"adjusts": "att_0", "outcome": "corrected"}
    await spent(world.database, "key_2", (100.0, 1.0))
    await spent(world.database, "key_2", (0.5, 90.0), **quiet)
    await watching(world).look_at_spending()
    assert "key_2" not in {each.subject_id for each in await world.stored()}


async def test_what_could_not_be_stored_is_told_of_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await spent(world.database, "key_1", (100.0, 1.0), (0.5, 50.0))
    watch = watching(world)

    async def away(_: object) -> None:
        raise TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(watch, "_tell", away)
        with pytest.raises(UnavailableError):
            await watch.look_at_spending()
    await watch.look_at_spending()
    assert len(await world.messages()) == 2
