"""Prices follow one another; what is past stays for the charges that were made by it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.errors import NotFoundError
from conduit.core.ids import now_ms
from conduit.gateway.storage import prices, revisions
from conduit.gateway.storage.engine import Database, reading, writing
from conduit.gateway.storage.prices import StoredPrice, in_force
from conduit.gateway.storage.rows import Window
from tests.gateway import records

NAMED = ("openai", "m-1")
HOUR_MS = 3_600_000


def now(**values: Any) -> StoredPrice:
    at_ms = now_ms()
    return records.price(**{"set_at_ms": at_ms, "effective_from_ms": at_ms, **values})


def later(hours: int, **values: Any) -> StoredPrice:
    return now(effective_from_ms=now_ms() + hours * HOUR_MS, **values)


async def put(database: Database, price: StoredPrice) -> StoredPrice:
    async with writing(database) as connection:
        return await prices.put(connection, price)


async def history(database: Database) -> tuple[StoredPrice, ...]:
    async with reading(database) as connection:
        return await prices.history(connection, *NAMED)


async def kinds(database: Database) -> list[str | None]:
    async with reading(database) as connection:
        found = await revisions.page(connection, Window())
    return [each.kind for each in found.rows if each.kind is not None]


async def test_a_planned_price_counts_from_its_moment_and_not_before(database: Database) -> None:
    first = await put(database, now(input=1))
    planned = await put(database, later(1, input=2))
    rows = await history(database)
    assert rows == (planned, first)
    at_ms = planned.effective_from_ms
    assert in_force(rows, at_ms - 1)[NAMED] == first
    assert in_force(rows, at_ms)[NAMED] == planned
    assert await kinds(database) == ["planned_price", "price"]


async def test_a_plan_for_the_same_moment_takes_the_place_of_the_first(database: Database) -> None:
    planned = await put(database, later(1, input=2))
    await put(database, replace(planned, set_at_ms=now_ms(), input=3))
    assert [each.input for each in await history(database)] == [3]


async def test_prices_that_were_set_in_one_moment_have_versions_of_their_own(
    database: Database,
) -> None:
    price = now()
    made = [await put(database, replace(price, input=number)) for number in range(3)]
    assert len({each.set_at_ms for each in made}) == 3
    assert in_force(await history(database), now_ms())[NAMED].input == 2


async def test_a_price_that_is_taken_back_stays_in_the_history_and_plans_do_not(
    database: Database,
) -> None:
    first = await put(database, now(input=1))
    await put(database, later(1, input=2))
    async with writing(database) as connection:
        await prices.remove(connection, *NAMED)
    (left,) = await history(database)
    assert (left.set_at_ms, left.input) == (first.set_at_ms, 1)
    assert left.ended_at_ms is not None
    async with reading(database) as connection:
        assert await prices.everything(connection) == ()
    with pytest.raises(NotFoundError):
        async with writing(database) as connection:
            await prices.remove(connection, *NAMED)


async def test_only_a_plan_is_given_up_by_its_moment(database: Database) -> None:
    first = await put(database, now(input=1))
    planned = await put(database, later(1, input=2))
    for at_ms, found in ((first.effective_from_ms, False), (planned.effective_from_ms, True)):
        async with writing(database) as connection:
            if found:
                await prices.remove_planned(connection, *NAMED, at_ms)
                continue
            with pytest.raises(NotFoundError):
                await prices.remove_planned(connection, *NAMED, at_ms)
    assert await history(database) == (first,)


async def test_all_that_a_price_has_is_stored(database: Database) -> None:
    price = now(
        tiers=[{"over_tokens": 5, "input": 6}],
        service_tiers={"flex": 500_000},
        units={"images:large": 7, "searches": 8},
        input_audio=9,
    )
    made = await put(database, price)
    assert await history(database) == (made,)
    assert (made.tiers, made.units) == (price.tiers, price.units)


moments = st.integers(0, 50)


@given(st.lists(st.tuples(moments, st.none() | moments), max_size=8), moments)
def test_at_each_moment_the_last_that_has_begun_and_not_ended_counts(
    periods: list[tuple[int, int | None]], at_ms: int
) -> None:
    rows = [
        records.price(set_at_ms=number, effective_from_ms=since + 100, ended_at_ms=None)
        for number, (since, _) in enumerate(periods)
    ]
    rows = [
        replace(row, ended_at_ms=None if until is None else until + 100)
        for row, (_, until) in zip(rows, periods, strict=True)
    ]
    counting = [
        row
        for row in rows
        if row.effective_from_ms <= at_ms + 100
        and (row.ended_at_ms is None or row.ended_at_ms > at_ms + 100)
    ]
    wanted = max(counting, key=lambda row: (row.effective_from_ms, row.set_at_ms), default=None)
    assert in_force(rows, at_ms + 100).get(NAMED) == wanted
