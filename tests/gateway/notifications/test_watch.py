"""Keys that expire, credentials that fail, outages, pruning, the rounds of a watch."""

import asyncio
import logging

import pytest

from conduit.core.errors import UnavailableError
from conduit.core.events import EventKind
from conduit.core.moments import DAY_MS
from conduit.gateway.health.registry import Change
from conduit.gateway.notifications.watch import NotificationWatch, WatchRules
from conduit.gateway.storage import keys, notifications
from conduit.gateway.storage.engine import writing
from tests.gateway import records
from tests.gateway.keys.test_known_keys import WITHIN_S, Outage
from tests.gateway.notifications.conftest import World
from tests.gateway.notifications.test_budgets import spending
from tests.gateway.records import AT_MS

OFTEN = WatchRules(budgets_every_s=0.005, keys_every_s=0.005, pruned_every_s=0.005)


async def store_key(world: World, name: str, expires_at_ms: int | None) -> None:
    async with writing(world.database) as connection:
        await keys.insert(connection, records.key(name, expires_at_ms=expires_at_ms))


def change(after: str, before: str = "ready", model: str | None = None) -> Change:
    return Change(AT_MS, "east", model, "default", before, after, "why", AT_MS + 60_000)


async def heard(world: World, watch: NotificationWatch, *changes: Change) -> list[str]:
    for each in changes:
        watch.note(each)
    await watch.look()
    return await world.messages()


# Keys


async def test_a_key_is_told_of_a_week_and_a_day_before_it_expires(world: World) -> None:
    await store_key(world, "ci", AT_MS + 8 * DAY_MS)
    await store_key(world, "eternal", None)
    watch = world.watch()
    days = []
    for at_ms in range(AT_MS, AT_MS + 9 * DAY_MS, DAY_MS // 2):
        world.at_ms = at_ms
        await watch.look_at_keys()
        await watch.look_at_keys()
        days.append(len(await world.stored()))
    assert days == [0, 0, *[1] * 12, *[2] * 4]
    first, second = await world.stored()
    assert first.message == 'key "ci" expires within 7 days, on 2023-11-22 22:13 UTC'
    assert second.message == 'key "ci" expires within a day, on 2023-11-22 22:13 UTC'
    assert (first.severity, second.severity) == ("warning", "critical")
    assert first.details == {"expires_at_ms": AT_MS + 8 * DAY_MS, "days": 7}
    assert (first.subject_kind, first.subject_name) == ("key", "ci")


async def test_what_expires_within_a_day_is_told_of_as_that_alone(world: World) -> None:
    await store_key(world, "ci", AT_MS + DAY_MS)
    await world.watch().look_at_keys()
    await world.watch().look_at_keys()  # after a restart
    (stored,) = await world.stored()
    assert stored.details["days"] == 1
    assert len(world.events) == 1


async def test_a_key_whose_expiry_was_put_off_is_told_of_again(world: World) -> None:
    await store_key(world, "ci", AT_MS + DAY_MS)
    watch = world.watch()
    await watch.look_at_keys()
    async with writing(world.database) as connection:
        key = await keys.find(connection, "ci")
        later = {"expires_at_ms": AT_MS + 5 * DAY_MS}
        await keys.change(connection, key, later, version=None)
    await watch.look_at_keys()
    assert [each.details["days"] for each in await world.stored()] == [1, 7]


async def test_many_keys_are_looked_at_a_part_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conduit.gateway.storage.keys._KEYS_A_READ", 2)
    for number in range(5):
        await store_key(world, f"k{number}", AT_MS + DAY_MS)
    await world.watch().look_at_keys()
    assert len(await world.stored()) == 5


# Credentials


@pytest.mark.parametrize(
    ("after", "model", "severity", "message"),
    [
        ("invalid_key", None, "critical", "is left out: the provider refuses its key"),
        ("no_quota", None, "critical", "is left out: it has no quota left at the provider"),
        ("no_permission", "m", "warning", 'is left out for model "m": it may not use it'),
    ],
)
async def test_a_credential_that_is_left_out_is_told_of(
    world: World, after: str, model: str | None, severity: str, message: str
) -> None:
    await heard(world, world.watch(), change(after, model=model))
    (stored,) = await world.stored()
    assert stored.message == f'credential "default" of provider "east" {message}'
    assert (stored.kind, stored.severity) == ("credential_failed", severity)
    assert (stored.subject_kind, stored.subject_id) == ("credential", "east/default")
    assert stored.details == {"until_ms": AT_MS + 60_000}


async def test_what_is_no_failure_of_a_credential_is_not_told_of(world: World) -> None:
    others = (change("open", "closed"), change("closed", "open"), change("ready", "throttled"))
    assert await heard(world, world.watch(), *others) == []


async def test_a_credential_is_told_of_once_for_each_transition(world: World) -> None:
    watch = world.watch()
    again = change("no_quota", "no_quota")
    assert len(await heard(world, watch, change("no_quota"), again, again)) == 1
    assert len(await heard(world, watch, change("invalid_key", "no_quota"))) == 2
    assert len(await heard(world, watch, change("ready", "invalid_key"))) == 2
    assert len(await heard(world, watch, change("no_quota"), change("ready", "no_quota"))) == 3
    assert len(await heard(world, watch, change("no_quota"))) == 4


async def test_after_a_restart_a_failure_that_is_open_is_not_repeated(world: World) -> None:
    await heard(world, world.watch(), change("invalid_key"))
    assert len(await heard(world, world.watch(), change("invalid_key"))) == 1
    async with writing(world.database) as connection:
        await notifications.acknowledge(connection, AT_MS, "me")
    assert len(await heard(world, world.watch(), change("invalid_key"))) == 2


async def test_the_name_of_a_model_is_told_without_what_may_not_be_stored(world: World) -> None:
    watch = world.watch(scrub=lambda text: text.replace("secret", "-"))
    model = "a\0secret\ud800"
    failed = change("no_permission", model=model)
    back = change("ready", "no_permission", model)
    (message,) = await heard(world, watch, failed)
    assert 'model "a\ufffd-\ufffd"' in message
    assert len(await heard(world, watch, failed, back, failed)) == 2


async def test_more_than_can_wait_is_dropped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conduit.gateway.notifications.watch._MOST_CHANGES", 3)
    changes = [change("no_permission", model=f"m{number}") for number in range(5)]
    assert len(await heard(world, world.watch(), *changes)) == 3


async def test_a_change_that_cannot_be_told_of_is_not_in_the_way_of_others(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def scrub(text: str) -> str:
        raise RuntimeError(text)

    watch = world.watch(scrub=scrub)
    assert await heard(world, watch, change("no_permission", model="m")) == []
    assert "1 change of credentials lost" in caplog.text
    assert len(await heard(world, watch, change("no_quota"))) == 1


# The database is away


async def test_an_outage_delays_what_is_told(world: World) -> None:
    watch, outage = world.watch(), Outage(world.database)
    world.spendings = [spending(50)]
    outage.begin()
    watch.note(change("no_quota"))
    watch.begin_anew("bud_9", 0)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await watch.look()
    with pytest.raises(UnavailableError):
        await watch.look_at_keys()
    assert world.events == []
    outage.end()
    await watch.look()
    assert [kind for kind, _ in world.events] == [EventKind.NOTIFICATION_RAISED] * 2


async def test_rounds_go_on_after_an_outage_that_is_logged_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    watch, outage = world.watch(rules=OFTEN), Outage(world.database)
    world.spendings = [spending(91)]
    outage.begin()
    watch.start()
    async with asyncio.timeout(WITHIN_S):
        while outage.failed < 3:
            await asyncio.sleep(0.005)
        outage.end()
        while not world.events:
            await asyncio.sleep(0.005)
    await watch.close()
    assert caplog.text.count("notifications wait for the database") == 1
    assert await world.thresholds() == [50, 75, 90]


async def test_an_error_of_our_own_does_not_end_the_rounds(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    watch = world.watch(rules=OFTEN)
    world.spendings = [spending(91, period="never")]
    watch.start()
    async with asyncio.timeout(WITHIN_S):
        while "could not be looked after" not in caplog.text:
            await asyncio.sleep(0.005)
        world.spendings = [spending(91)]
        while not world.events:
            await asyncio.sleep(0.005)
    await watch.close()


async def test_the_end_looks_once_more(world: World) -> None:
    watch = world.watch(rules=WatchRules(budgets_every_s=WITHIN_S))
    watch.start()
    async with asyncio.timeout(WITHIN_S):
        while watch._keys_at < asyncio.get_running_loop().time() + 1:
            await asyncio.sleep(0.005)
    world.spendings = [spending(50)]
    await watch.close()
    assert await world.thresholds() == [50]


# Pruning


async def test_pruning_goes_by_age_and_by_count_and_spares_what_is_so(world: World) -> None:
    world.spendings = [spending(50, id=f"bud_{number}") for number in range(6)]
    world.at_ms = AT_MS - 200 * DAY_MS
    watch = world.watch(rules=WatchRules(rows=2))
    await watch.look()
    world.at_ms = AT_MS
    world.spendings = world.spendings[:1]
    await watch.look()
    assert await watch.prune() == 5
    (left,) = await world.stored()
    assert left.subject_id == "bud_0"
    world.spendings = [spending(50, id=f"bud_{number}") for number in range(1, 4)]
    await watch.look()
    world.spendings = []
    await watch.look()
    assert await watch.prune() == 2
    assert [each.subject_id for each in await world.stored()] == ["bud_2", "bud_3"]
    assert await watch.prune() == 0


async def test_many_are_pruned_a_part_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conduit.gateway.storage.notifications._A_STATEMENT", 2)
    made = [records.notification(number) for number in range(7)]
    async with writing(world.database) as connection:
        await notifications.add(connection, made)
    assert await world.watch(rules=WatchRules(rows=2)).prune() == 5
    assert await world.stored() == made[5:]


async def test_time_alone_makes_it_prune(world: World) -> None:
    world.at_ms = AT_MS + 91 * DAY_MS
    async with writing(world.database) as connection:
        await notifications.add(connection, [records.notification()])
    watch = world.watch(rules=OFTEN)
    watch.start()
    async with asyncio.timeout(WITHIN_S):
        while await world.stored():
            await asyncio.sleep(0.005)
    await watch.close()
