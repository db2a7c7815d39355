"""Old records go, a little at a time; what the ledger knows of their attempts stays."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from conduit.core.errors import UnavailableError
from conduit.core.events import EventKind
from conduit.core.ids import new_id
from conduit.gateway.ledger.opening import open_ledger
from conduit.gateway.record_retention import KeptRecords, Pace, RecordRetention
from conduit.gateway.storage.engine import Database, create_engine, reading, writing
from conduit.gateway.storage.schema import ledger, requests
from tests import postgresql
from tests.gateway.ledger.building import claim, ending, opened, request_record, terms, violations
from tests.gateway.records import AT_MS, request_row

DAY_MS = 86_400_000
QUICK = Pace(every_s=0.01, first_s=0.0, rows=7, shortest_rest_s=0.0, rests=0.0)
Published = list[tuple[EventKind, Mapping[str, Any]]]


@pytest.fixture(params=postgresql.ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def retention(
    database: Database, kept: KeptRecords, published: Published | None = None, pace: Pace = QUICK
) -> RecordRetention:
    told: Published = [] if published is None else published
    return RecordRetention(
        database,
        lambda: kept,
        lambda kind, facts: told.append((kind, facts)),
        pace,
        clock_ms=lambda: AT_MS,
    )


async def stored(database: Database, ages_days: list[float]) -> None:
    """Records of these ages, the oldest first."""
    at_ms = [AT_MS - round(age * DAY_MS) for age in ages_days]
    rows = [request_row(0, id=new_id("req", at), at_ms=at) for at in at_ms]
    async with writing(database) as connection:
        await connection.execute(insert(requests), rows)


async def ages(database: Database) -> list[float]:
    async with reading(database) as connection:
        found = await connection.execute(select(requests.c.at_ms).order_by(requests.c.id))
        return [(AT_MS - at_ms) / DAY_MS for at_ms in found.scalars()]


async def test_records_go_by_age_by_number_or_not_at_all(database: Database) -> None:
    await stored(database, [float(n) for n in range(60, 0, -1)])
    assert await retention(database, KeptRecords()).sweep() == 0
    assert await retention(database, KeptRecords(days=365, rows=60)).sweep() == 0
    published: Published = []
    assert await retention(database, KeptRecords(days=40), published).sweep() == 20
    assert await ages(database) == [float(n) for n in range(40, 0, -1)]
    facts = {"before_ms": AT_MS - 40 * DAY_MS, "deleted": 20, "bodies": 0}
    assert published == [(EventKind.REQUESTS_PURGED, facts)]
    assert await retention(database, KeptRecords(days=40, rows=15)).sweep() == 25
    assert await ages(database) == [float(n) for n in range(15, 0, -1)]
    assert await retention(database, KeptRecords(days=3, rows=15)).sweep() == 12


async def test_no_attempt_goes_and_no_start_makes_its_record_anew(
    database: Database, tmp_path: Path
) -> None:
    async with await opened(database, tmp_path, terms(10_000)) as running:
        for _ in range(20):
            request_id = new_id("req", AT_MS)
            hold = await running.hold(claim(500, request_id=request_id))
            running.settle(hold, ending(400))
            running.record(request_record(hold.claim, id=hold.claim.request_id))
        await running.caught_up()
        assert await retention(database, KeptRecords(rows=3)).sweep() == 17
    async with await open_ledger(database, tmp_path, "off") as again:
        assert again.balance_of("bud_1", AT_MS)[0] == 20 * 400
    async with reading(database) as connection:
        counted = select(func.count()).select_from(ledger)
        assert (await connection.execute(counted)).scalar_one() == 20
    assert len(await ages(database)) == 3
    assert await violations(database) == []


async def test_the_ledger_writes_while_records_are_deleted(
    database: Database, tmp_path: Path
) -> None:
    await stored(database, [50.0] * 3_000)
    async with await opened(database, tmp_path, terms(10**9)) as running:
        sweeping = asyncio.create_task(retention(database, KeptRecords(days=1)).sweep())
        settled = 0
        while not sweeping.done():
            hold = await running.hold(claim(10))
            running.settle(hold, ending(10))
            async with asyncio.timeout(5):
                await running.caught_up()
            settled += 1
        assert await sweeping == 3_000
        assert settled > 3
    assert await violations(database) == []


async def test_it_looks_again_and_again_and_ends_in_the_middle_when_told_to(
    database: Database,
) -> None:
    await stored(database, [50.0] * 100)
    running = retention(database, KeptRecords(days=1))
    running.start()
    async with asyncio.timeout(10):
        while await ages(database):
            await asyncio.sleep(0.01)
        await stored(database, [50.0] * 10)
        while await ages(database):
            await asyncio.sleep(0.01)
    await running.close()
    await stored(database, [50.0] * 100)
    slow = Pace(every_s=60.0, first_s=0.0, rows=10, shortest_rest_s=60.0)
    resting = retention(database, KeptRecords(days=1), pace=slow)
    resting.start()
    async with asyncio.timeout(10):
        while len(await ages(database)) == 100:
            await asyncio.sleep(0.01)
        await resting.close()
    assert len(await ages(database)) == 90


async def test_a_database_that_is_away_is_told_of_as_such() -> None:
    away = create_engine("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(UnavailableError):
        await retention(away, KeptRecords(days=1)).sweep()
    await away.dispose()
