"""Statements for providers, credentials, mappings, prices and what they have in common."""

from collections.abc import Awaitable, Callable

import pytest

from conduit.core.errors import ConflictError, NotFoundError, ValidationFailedError
from conduit.gateway.storage import (
    budgets,
    credentials,
    installation,
    keys,
    mappings,
    master_keys,
    prices,
    providers,
)
from conduit.gateway.storage.engine import Database, Transaction, reading, writing
from conduit.gateway.storage.master_keys import StoredMasterKey
from conduit.gateway.storage.rows import Window, cursor_after, page_of
from tests.gateway import records

Change = Callable[[Transaction], Awaitable[object]]


async def done(database: Database, change: Change) -> None:
    async with writing(database) as connection:
        await change(connection)


async def revision(database: Database) -> int:
    async with reading(database) as connection:
        return await installation.revision(connection)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: providers.insert(c, records.provider("other")),
        lambda c: providers.change(c, records.provider(), {"enabled": False}, version=1),
        lambda c: providers.remove(c, records.provider()),
        lambda c: credentials.insert(c, records.credential("other")),
        lambda c: credentials.change(c, records.credential(), {"enabled": False}, version=1),
        lambda c: credentials.remove(c, records.credential()),
        lambda c: mappings.insert(c, records.mapping("other")),
        lambda c: mappings.change(c, records.mapping(), {"enabled": False}, version=1),
        lambda c: mappings.remove(c, records.mapping()),
        lambda c: keys.insert(c, records.key("other")),
        lambda c: keys.change(c, records.key(), {"enabled": False}, version=1),
        lambda c: budgets.insert(c, records.budget("bud_2")),
        lambda c: budgets.change(c, records.budget(), {"mode": "soft"}, version=1),
        lambda c: budgets.remove(c, records.budget()),
        lambda c: prices.put(c, records.price()),
        lambda c: prices.put(c, records.price(model="other")),
        lambda c: prices.remove(c, "openai", "m-1"),
    ],
)
async def test_every_change_raises_the_revision_by_one(database: Database, change: Change) -> None:
    await done(database, lambda c: providers.insert(c, records.provider()))
    await done(database, lambda c: credentials.insert(c, records.credential()))
    await done(database, lambda c: mappings.insert(c, records.mapping()))
    await done(database, lambda c: keys.insert(c, records.key()))
    await done(database, lambda c: budgets.insert(c, records.budget()))
    await done(database, lambda c: prices.put(c, records.price()))
    before = await revision(database)
    await done(database, change)
    assert await revision(database) == before + 1


@pytest.mark.parametrize(
    ("insert", "said", "param"),
    [
        (lambda c: providers.insert(c, records.provider(id="p2")), "named openai already", "name"),
        (lambda c: credentials.insert(c, records.credential(id="c2")), "named default", "name"),
        (lambda c: mappings.insert(c, records.mapping(id="m2")), "for fast already", "alias"),
        (lambda c: keys.insert(c, records.key(id="k2")), "named ci already", "name"),
    ],
)
async def test_a_name_that_is_taken_is_a_conflict(
    database: Database, insert: Change, said: str, param: str
) -> None:
    await done(database, lambda c: providers.insert(c, records.provider()))
    await done(database, lambda c: credentials.insert(c, records.credential()))
    await done(database, lambda c: mappings.insert(c, records.mapping()))
    await done(database, lambda c: keys.insert(c, records.key()))
    before = await revision(database)
    with pytest.raises(ConflictError, match=said) as raised:
        await done(database, insert)
    assert raised.value.param == param
    assert await revision(database) == before


async def test_a_stale_version_is_a_conflict_that_names_both(database: Database) -> None:
    await done(database, lambda c: providers.insert(c, records.provider()))
    stored = records.provider()
    await done(database, lambda c: providers.change(c, stored, {"enabled": False}, version=None))
    async with reading(database) as connection:
        stored = await providers.find(connection, "openai")
    assert (stored.version, stored.enabled) == (2, False)
    with pytest.raises(ConflictError, match="at version 2, not 1"):
        await done(database, lambda c: providers.change(c, stored, {"enabled": True}, version=1))


async def test_a_change_to_what_changed_meanwhile_is_a_conflict(database: Database) -> None:
    await done(database, lambda c: mappings.insert(c, records.mapping()))
    read_before = records.mapping(version=7)
    with pytest.raises(ConflictError, match="meanwhile"):
        await done(
            database, lambda c: mappings.change(c, read_before, {"enabled": False}, version=None)
        )


async def test_a_record_is_found_by_name_and_by_id_and_the_id_is_stronger(
    database: Database,
) -> None:
    first = records.provider("first")
    lookalike = records.provider("prov_first", id="prov_second")
    await done(database, lambda c: providers.insert(c, first))
    await done(database, lambda c: providers.insert(c, lookalike))
    async with reading(database) as connection:
        assert await providers.find(connection, "first") == first
        assert await providers.find(connection, "prov_first") == first
        assert await providers.find(connection, "prov_second") == lookalike


@pytest.mark.parametrize(
    "find",
    [
        lambda c: providers.find(c, "x"),
        lambda c: credentials.find(c, "prov_openai", "x"),
        lambda c: mappings.find(c, "x"),
        lambda c: keys.find(c, "x"),
        lambda c: budgets.find(c, "x"),
        lambda c: prices.remove(c, "x", "y"),
    ],
)
async def test_what_is_not_there_is_not_found(database: Database, find: Change) -> None:
    with pytest.raises(NotFoundError):
        await done(database, find)


async def test_a_provider_goes_with_its_credentials_and_prices(database: Database) -> None:
    await done(database, lambda c: providers.insert(c, records.provider()))
    await done(database, lambda c: credentials.insert(c, records.credential()))
    await done(database, lambda c: prices.put(c, records.price()))
    await done(database, lambda c: prices.put(c, records.price(provider="other")))
    await done(database, lambda c: providers.remove(c, records.provider()))
    async with reading(database) as connection:
        assert await credentials.everything(connection) == ()
        left = await prices.everything(connection)
        assert [price.provider for price in left] == ["other"]


async def test_a_price_that_is_set_again_takes_the_place_of_the_first(database: Database) -> None:
    await done(database, lambda c: prices.put(c, records.price()))
    await done(database, lambda c: prices.put(c, records.price(input=5, cache_read=1)))
    async with reading(database) as connection:
        (found,) = await prices.everything(connection)
        last, first = await prices.history(connection, "openai", "m-1")
    assert (found.input, found.cache_read) == (5, 1)
    assert (last, first.input, first.ended_at_ms) == (found, 1_000_000_000, found.set_at_ms)
    assert first.set_at_ms < found.set_at_ms, "each has a version of its own"


async def test_pages_follow_one_another_without_gap_or_repeat(database: Database) -> None:
    names = [f"alias-{number:02}" for number in range(7)]
    async with writing(database) as connection:
        for name in reversed(names):
            await mappings.insert(connection, records.mapping(name))
    seen: list[str] = []
    cursor = None
    async with reading(database) as connection:
        while True:
            found = await mappings.page(connection, Window(limit=3, cursor=cursor))
            seen += [mapping.alias for mapping in found.rows]
            if (cursor := found.next_cursor) is None:
                break
    assert seen == names


async def test_a_page_that_is_just_full_is_the_last(database: Database) -> None:
    await done(database, lambda c: providers.insert(c, records.provider()))
    async with reading(database) as connection:
        found = await providers.page(connection, Window(limit=1))
    assert (len(found.rows), found.next_cursor) == (1, None)


@pytest.mark.parametrize("cursor", ["§", "%%%", "a", "_w"])
async def test_a_cursor_of_somebody_else_is_refused(database: Database, cursor: str) -> None:
    async with reading(database) as connection:
        with pytest.raises(ValidationFailedError, match="cursor"):
            await providers.page(connection, Window(cursor=cursor))


def test_a_page_of_what_is_in_memory_follows_the_same_rules() -> None:
    letters = list("abcde")
    first = page_of(letters, str, Window(limit=3))
    assert first.rows == ("a", "b", "c")
    assert first.next_cursor == cursor_after("c")
    last = page_of(letters, str, Window(limit=3, cursor=first.next_cursor))
    assert (last.rows, last.next_cursor) == (("d", "e"), None)


async def test_a_master_key_counts_until_it_expires(database: Database) -> None:
    first = StoredMasterKey(1, b"1" * 32, created_at_ms=0, expires_at_ms=None)
    second = StoredMasterKey(2, b"2" * 32, created_at_ms=0, expires_at_ms=1000)
    await done(database, lambda c: master_keys.put(c, first))
    await done(database, lambda c: master_keys.put(c, second))
    async with reading(database) as connection:
        assert await master_keys.usable(connection, 999) == (first, second)
        assert await master_keys.usable(connection, 1000) == (first,)


async def test_a_slot_holds_one_master_key(database: Database) -> None:
    await done(database, lambda c: master_keys.put(c, StoredMasterKey(1, b"1" * 32, 0, None)))
    await done(database, lambda c: master_keys.put(c, StoredMasterKey(1, b"2" * 32, 0, None)))
    async with reading(database) as connection:
        (only,) = await master_keys.usable(connection, 0)
    assert only.digest == b"2" * 32
    assert "2222" not in repr(only)
