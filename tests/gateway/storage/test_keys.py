"""Statements for virtual keys and their budgets."""

from dataclasses import fields

import pytest
from sqlalchemy import insert, update

from conduit.core.errors import ConflictError, NotFoundError
from conduit.gateway.storage import budgets, installation, keys, schema
from conduit.gateway.storage.engine import Database, reading, writing
from conduit.gateway.storage.keys import WantedKeys
from conduit.gateway.storage.rows import Window
from tests.gateway import records


async def test_a_deleted_key_is_gone_for_everybody_and_its_name_is_free(
    database: Database,
) -> None:
    key = records.key()
    async with writing(database) as connection:
        await keys.insert(connection, key)
        await keys.change(connection, key, {"deleted_at_ms": 1}, version=None)
        await keys.insert(connection, records.key(id="key_new"))
        with pytest.raises(NotFoundError):
            await keys.find(connection, key.id)
        assert await keys.find_by_digest(connection, key.digest) is None
        assert (await keys.find(connection, "ci")).id == "key_new"
        assert await keys.count(connection) == 1
        assert [found.id for found in (await keys.page(connection, Window())).rows] == ["key_new"]


async def test_a_key_cannot_take_the_name_of_another(database: Database) -> None:
    async with writing(database) as connection:
        await keys.insert(connection, records.key("a"))
        await keys.insert(connection, second := records.key("b"))
        with pytest.raises(ConflictError, match="named a already"):
            await keys.change(connection, second, {"name": "a"}, version=None)
        renamed = await keys.change(connection, second, {"name": "c"}, version=None)
    assert (renamed.name, renamed.version) == ("c", 2)


async def test_a_key_is_found_by_its_digest(database: Database) -> None:
    key = records.key(allowed_models=["gpt-*", "claude"])
    async with writing(database) as connection:
        await keys.insert(connection, key)
    async with reading(database) as connection:
        assert await keys.find_by_digest(connection, key.digest) == key


async def test_of_ten_thousand_keys_each_page_holds_those_that_fit(database: Database) -> None:
    rows = []
    for n in range(10_000):
        row = {field.name: getattr(MODEL, field.name) for field in fields(MODEL)}
        row |= {"id": f"key_{n:05d}", "name": f"k{n:05d}", "digest": n.to_bytes(32)}
        row |= {"tags": {"team": "abc"[n % 3], "of.5/x": str(n % 5)}, "metadata": {"n": [n, None]}}
        row |= {"last_used_at_ms": None if n % 2 else 1_000 + n, "created_at_ms": 1_000 + n}
        rows.append(row)
    async with writing(database) as connection:
        await connection.execute(insert(schema.keys), rows)
        await connection.execute(  # the last ones were used
            update(schema.keys).where(schema.keys.c.id >= "key_09000").values(last_used_at_ms=10**6)
        )
    for wanted, numbers in (
        (WantedKeys(tags={"team": "b"}), range(1, 10_000, 3)),
        (WantedKeys(tags={"team": None, "of.5/x": "2"}), range(2, 10_000, 5)),
        (WantedKeys(tags={"team": "d"}), ()),
        (WantedKeys(tags={"no": None}), ()),
        (WantedKeys(unused_since_ms=6_000), range(5_000)),
        (WantedKeys(unused_since_ms=10**6), range(9_000)),
        (WantedKeys(among={f"key_{n:05d}" for n in range(0, 10_000, 999)}), range(0, 10_000, 999)),
    ):
        found: list[str] = []
        cursor: str | None = None
        async with reading(database) as connection:
            while True:
                some = await keys.page(connection, Window(700, cursor), wanted)
                assert len(some.rows) <= 700
                found += [key.name for key in some.rows]
                if (cursor := some.next_cursor) is None:
                    break
        assert found == [f"k{n:05d}" for n in numbers]
    async with reading(database) as connection:
        key = await keys.find(connection, "k00007")
    assert (key.tags, key.metadata) == ({"team": "b", "of.5/x": "2"}, {"n": [7, None]})


MODEL = records.key()


@pytest.mark.parametrize(("first", "then"), [(True, None), (False, True), (None, False)])
async def test_whether_bodies_are_kept_is_yes_no_or_not_said(
    database: Database, first: bool | None, then: bool | None
) -> None:
    key = records.key("a", log_bodies=first)
    async with writing(database) as connection:
        await keys.insert(connection, key)
    async with writing(database) as connection:
        assert (await keys.find(connection, "a")).log_bodies is first
        await keys.change(connection, key, {"log_bodies": then}, version=None)
    async with reading(database) as connection:
        assert (await keys.find(connection, "a")).log_bodies is then


async def test_prefixes_are_those_of_the_keys_that_are_not_deleted(database: Database) -> None:
    live, deleted = records.key("a"), records.key("b", deleted_at_ms=1)
    async with writing(database) as connection:
        await keys.insert(connection, live)
        await keys.insert(connection, deleted)
    async with reading(database) as connection:
        found = [prefix async for batch in keys.digest_prefixes(connection) for prefix in batch]
    assert found == [live.digest[:8]]


async def test_use_is_noted_without_touching_version_or_revision(database: Database) -> None:
    async with writing(database) as connection:
        await keys.insert(connection, records.key("a"))
        await keys.insert(connection, records.key("b"))
        before = await installation.revision(connection)
        await keys.note_last_used(connection, {"key_a": 5, "key_b": 6, "key_gone": 7})
        found = [await keys.find(connection, name) for name in "ab"]
        assert await installation.revision(connection) == before
    assert [(key.last_used_at_ms, key.version) for key in found] == [(5, 1), (6, 1)]


async def test_the_repr_of_a_key_does_not_hold_its_digest() -> None:
    key = records.key()
    assert repr(key.digest) not in repr(key)


async def test_budgets_of_a_deleted_key_are_not_listed(database: Database) -> None:
    key = records.key()
    async with writing(database) as connection:
        await keys.insert(connection, key)
        await budgets.insert(connection, records.budget())
        assert len((await budgets.page(connection, Window())).rows) == 1
        await keys.change(connection, key, {"deleted_at_ms": 1}, version=None)
        assert (await budgets.page(connection, Window())).rows == ()
        with pytest.raises(NotFoundError):
            await budgets.find(connection, "bud_1")


async def test_budgets_are_given_by_key(database: Database) -> None:
    async with writing(database) as connection:
        for name in "ab":
            await keys.insert(connection, records.key(name))
            await budgets.insert(connection, records.budget(f"bud_{name}", f"key_{name}"))
        found = await budgets.of_keys(connection, ["key_b"])
    assert [budget.id for budget in found] == ["bud_b"]
