"""Statements for the history of the health of providers."""

import pytest

from conduit.gateway.storage import health_history
from conduit.gateway.storage.engine import Database, reading, writing
from conduit.gateway.storage.health_history import StoredHealthChange, WantedChanges
from conduit.gateway.storage.rows import Window, cursor_after
from tests.gateway.records import AT_MS, health_change

EVERY, ALL = WantedChanges(), Window()


CHANGES = (
    health_change(1),
    health_change(2, provider="groq", model=None, until_ms=None, reason=None),
    health_change(3),
    health_change(3, before="open", after="half_open"),
    health_change(5, provider="groq"),
)


async def store(database: Database, *changes: StoredHealthChange) -> None:
    async with writing(database) as connection:
        await health_history.add(connection, changes)


async def found_of(
    database: Database, wanted: WantedChanges = EVERY, window: Window = ALL
) -> list[StoredHealthChange]:
    async with reading(database) as connection:
        return list(await health_history.newest(connection, wanted, window))


async def test_changes_come_newest_first_as_they_were_stored(database: Database) -> None:
    await store(database, *CHANGES)
    assert await found_of(database) == [*reversed(CHANGES)]


async def test_one_more_than_asked_for_tells_of_a_next_page(database: Database) -> None:
    await store(database, *CHANGES)
    first, second, third = await found_of(database, EVERY, Window(limit=2))
    assert (first, second, third) == (CHANGES[4], CHANGES[3], CHANGES[2])
    after = Window(limit=9, cursor=cursor_after(second.id))
    assert await found_of(database, EVERY, after) == [CHANGES[2], CHANGES[1], CHANGES[0]]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (WantedChanges("groq"), [4, 1]),
        (WantedChanges("gro"), []),
        (WantedChanges(since_ms=AT_MS + 3), [4, 3, 2]),
        (WantedChanges(since_ms=AT_MS + 4), [4]),
        (WantedChanges("groq", AT_MS + 6), []),
        (WantedChanges("openai", AT_MS + 2), [3, 2]),
        (WantedChanges(since_ms=-(10**15)), [4, 3, 2, 1, 0]),
        (WantedChanges(since_ms=10**15), []),
    ],
)
async def test_filters_mean_the_same_in_the_database_and_in_memory(
    database: Database, wanted: WantedChanges, numbers: list[int]
) -> None:
    await store(database, *CHANGES)
    assert await found_of(database, wanted) == [CHANGES[number] for number in numbers]
    assert [each for each in reversed(CHANGES) if wanted.hold(each)] == [
        CHANGES[number] for number in numbers
    ]


async def test_what_is_stored_again_stays_as_it_is(database: Database) -> None:
    await store(database, *CHANGES[:2])
    await store(database, *CHANGES)
    assert len(await found_of(database)) == len(CHANGES)


@pytest.mark.parametrize(
    ("before_ms", "kept", "left"),
    [
        (AT_MS, 10, 5),
        (AT_MS, 5, 5),
        (AT_MS, 4, 4),
        (AT_MS + 3, 10, 3),
        (AT_MS + 3, 1, 1),
        (AT_MS + 6, 10, 0),
    ],
)
async def test_what_is_too_old_or_too_much_is_deleted(
    database: Database, before_ms: int, kept: int, left: int
) -> None:
    await store(database, *CHANGES)
    async with reading(database) as connection:
        last = await health_history.last_surplus(connection, before_ms, kept)
    assert (last is None) == (left == len(CHANGES))
    if last is not None:
        async with writing(database) as connection:
            assert await health_history.delete_up_to(connection, last) == len(CHANGES) - left
            assert await health_history.delete_up_to(connection, last) == 0
    assert await found_of(database) == [*reversed(CHANGES)][:left]


async def test_an_empty_history_has_no_surplus(database: Database) -> None:
    async with reading(database) as connection:
        assert await health_history.last_surplus(connection, AT_MS, 0) is None


async def test_a_transaction_deletes_the_oldest_of_many(database: Database) -> None:
    many = [health_change(number) for number in range(1_500)]
    await store(database, *many)
    async with writing(database) as connection:
        first = await health_history.delete_up_to(connection, many[-2].id)
    newest_left = await found_of(database, EVERY, Window(limit=1_000))
    assert (first, len(newest_left), newest_left[-1]) == (1_000, 500, many[1_000])
