"""Statements for notifications."""

import pytest

from conduit.core.errors import NotFoundError, ValidationFailedError
from conduit.gateway.storage import keys, notifications
from conduit.gateway.storage.engine import Database, reading, writing
from conduit.gateway.storage.notifications import StoredNotification, WantedNotifications
from conduit.gateway.storage.rows import Window
from tests.gateway import records
from tests.gateway.records import AT_MS, notification

MADE = (
    notification(1),
    notification(2, kind="key_expiring", subject_kind="key"),
    notification(3, kind="credential_failed", details={}),
    notification(4),
)
EVERY, FIRST = WantedNotifications("all"), Window()


async def store(database: Database, *made: StoredNotification) -> set[str]:
    async with writing(database) as connection:
        return await notifications.add(connection, made)


async def found_of(
    database: Database, wanted: WantedNotifications = EVERY, window: Window = FIRST
) -> list[StoredNotification]:
    async with reading(database) as connection:
        return list((await notifications.page(connection, wanted, window)).rows)


async def test_notifications_come_newest_first_as_they_were_stored(database: Database) -> None:
    assert await store(database, *MADE) == {each.id for each in MADE}
    assert await found_of(database) == [*reversed(MADE)]


async def test_pages_follow_each_other(database: Database) -> None:
    await store(database, *MADE)
    async with reading(database) as connection:
        first = await notifications.page(connection, EVERY, Window(3))
        rest = await notifications.page(connection, EVERY, Window(3, first.next_cursor))
        assert (*first.rows, *rest.rows) == tuple(reversed(MADE))
        assert rest.next_cursor is None
        with pytest.raises(ValidationFailedError):
            await notifications.page(connection, EVERY, Window(3, "_w"))


async def test_what_was_told_is_not_added_again(database: Database) -> None:
    await store(database, MADE[0])
    again = notification(9, dedupe=MADE[0].dedupe)
    assert await store(database, again, MADE[1]) == {MADE[1].id}
    assert await found_of(database) == [MADE[1], MADE[0]]
    async with reading(database) as connection:
        asked = {MADE[0].dedupe, MADE[2].dedupe}
        assert await notifications.told(connection, asked) == {MADE[0].dedupe}


async def test_many_are_added_and_asked_for_at_once(database: Database) -> None:
    many = [notification(number) for number in range(1_201)]
    assert len(await store(database, *many)) == 1_201
    async with reading(database) as connection:
        assert len(await notifications.told(connection, {each.dedupe for each in many})) == 1_201
    assert await store(database, *many) == set()
    assert await store(database) == set()


async def test_what_is_let_go_may_be_told_again(database: Database) -> None:
    await store(database, *MADE)
    async with writing(database) as connection:
        await notifications.let_go(connection, [MADE[0].dedupe, "another"])
    again = notification(9, dedupe=MADE[0].dedupe)
    assert await store(database, again) == {again.id}
    assert len(await found_of(database)) == 5


async def test_acknowledging_counts_what_was_open(database: Database) -> None:
    await store(database, *MADE)
    async with writing(database) as connection:
        for count in (1, 0):
            given = {"notification_id": MADE[1].id}
            assert await notifications.acknowledge(connection, AT_MS, "me", **given) == count
        found = await notifications.find(connection, MADE[1].id)
        assert (found.acknowledged_at_ms, found.acknowledged_by) == (AT_MS, "me")
        assert await notifications.acknowledge(connection, AT_MS, "you") == 3
        assert (await notifications.find(connection, MADE[1].id)).acknowledged_by == "me"


async def test_states_and_kinds_are_told_apart(database: Database) -> None:
    await store(database, *MADE)
    async with writing(database) as connection:
        await notifications.acknowledge(connection, AT_MS, "me", notification_id=MADE[0].id)
    opened = await found_of(database, WantedNotifications())
    assert opened == [MADE[3], MADE[2], MADE[1]]
    (closed,) = await found_of(database, WantedNotifications("acknowledged"))
    assert closed.id == MADE[0].id
    assert await found_of(database, WantedNotifications("open", "budget_threshold")) == [MADE[3]]
    assert len(await found_of(database, WantedNotifications("all", "budget_threshold"))) == 2


async def test_only_an_acknowledged_credential_may_be_told_of_again(database: Database) -> None:
    await store(database, *MADE)
    async with writing(database) as connection:
        await notifications.acknowledge(connection, AT_MS, "me")
        told = await notifications.told(connection, {each.dedupe for each in MADE})
    assert told == {MADE[0].dedupe, MADE[1].dedupe, MADE[3].dedupe}


async def test_one_that_there_is_not_is_not_found(database: Database) -> None:
    async with reading(database) as connection:
        with pytest.raises(NotFoundError):
            await notifications.find(connection, "ntf_1")


@pytest.mark.parametrize(
    ("before_ms", "kept", "surplus"),
    [(AT_MS, 4, 0), (AT_MS, 3, 1), (AT_MS + 3, 9, 2), (AT_MS + 3, 1, 3), (AT_MS + 5, 9, 4)],
)
async def test_what_is_too_old_or_too_much_is_surplus(
    database: Database, before_ms: int, kept: int, surplus: int
) -> None:
    await store(database, *MADE)
    wanted = [(each.id, each.dedupe) for each in MADE[:surplus]]
    async with writing(database) as connection:
        assert await notifications.surplus(connection, before_ms, kept) == wanted
        rest = await notifications.surplus(connection, before_ms, kept, MADE[0].id)
        assert rest == wanted[1:]
        ids = [each for each, _ in wanted]
        assert await notifications.remove(connection, ids) == surplus
    assert len(await found_of(database)) == len(MADE) - surplus


async def test_keys_that_expire_between_two_moments_are_found_by_id(database: Database) -> None:
    stored = [
        records.key(id=f"key_{name}", name=name, **values)
        for name, values in (
            ("a", {"expires_at_ms": AT_MS + 2}),
            ("b", {"expires_at_ms": AT_MS + 1}),
            ("c", {"expires_at_ms": AT_MS}),
            ("d", {"expires_at_ms": AT_MS + 3}),
            ("e", {"expires_at_ms": None}),
            ("f", {"expires_at_ms": AT_MS + 1, "enabled": False}),
            ("g", {"expires_at_ms": AT_MS + 1, "deleted_at_ms": AT_MS}),
        )
    ]
    async with writing(database) as connection:
        for key in stored:
            await keys.insert(connection, key)
        found = await keys.expiring(connection, AT_MS, AT_MS + 2)
        assert [key.name for key in found] == ["a", "b"]
        after = await keys.expiring(connection, AT_MS, AT_MS + 2, "key_a")
        assert [key.name for key in after] == ["b"]
