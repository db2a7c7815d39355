"""The writer of the history of health: batches, outages, pruning, the end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from conduit.core.errors import UnavailableError
from conduit.core.ids import now_ms
from conduit.gateway.health.registry import Change
from conduit.gateway.health_history import HealthHistory, HistoryLimits
from conduit.gateway.storage import health_history
from conduit.gateway.storage.engine import Database, create_engine, reading
from conduit.gateway.storage.health_history import WantedChanges
from conduit.gateway.storage.rows import Window
from tests import postgresql
from tests.fakes.relay import Relay
from tests.gateway.keys.test_known_keys import WITHIN_S, Outage

EVERY, ALL = WantedChanges(), Window(limit=1_000)
DAY_MS = 86_400_000
AT_ONCE = HistoryLimits(gathered_s=0.001)


@pytest.fixture
def outage(database: Database) -> Outage:
    return Outage(database)


def change(number: int = 0, at_ms: int | None = None, model: str = "m", why: str = "x") -> Change:
    at_ms = now_ms() if at_ms is None else at_ms
    return Change(at_ms, f"p{number}", model, "default", "closed", "open", why, at_ms + 1)


@asynccontextmanager
async def kept(
    database: Database, limits: HistoryLimits = AT_ONCE, days: int = 30
) -> AsyncIterator[HealthHistory]:
    history = HealthHistory(database, lambda: days, lambda text: text.replace("key", "-"), limits)
    history.start()
    yield history
    await history.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not holds():
            await asyncio.sleep(0.005)


async def stored(database: Database) -> list[str]:
    """The providers of what is in the database, newest first."""
    async with reading(database) as connection:
        found = await health_history.newest(connection, EVERY, ALL)
    return [each.provider for each in found]


async def shown(history: HealthHistory) -> list[str]:
    return [each.provider for each in (await history.page(EVERY, ALL)).rows]


async def test_what_is_noted_comes_into_the_database_in_its_order(database: Database) -> None:
    async with kept(database) as history:
        for number in range(3):
            history.note(change(number))
        await until(lambda: history.waiting == 0)
        assert await stored(database) == ["p2", "p1", "p0"] == await shown(history)


async def test_more_than_a_transaction_takes_is_written_in_several(database: Database) -> None:
    async with kept(database) as history:
        for number in range(1_201):
            history.note(change(number))
        await until(lambda: history.waiting == 0)
        found = await history.page(EVERY, ALL)
        rest = await history.page(EVERY, Window(1_000, found.next_cursor))
    names = [each.provider for each in (*found.rows, *rest.rows)]
    assert names == [f"p{number}" for number in reversed(range(1_201))]
    assert rest.next_cursor is None


async def test_a_change_is_shown_before_it_is_written_and_once_only(database: Database) -> None:
    async with kept(database, HistoryLimits(gathered_s=WITHIN_S)) as history:
        history.note(change(1))
        history.note(change(2))
        assert (await shown(history), await stored(database)) == (["p2", "p1"], [])
        first = await history.page(EVERY, Window(1))
        second = await history.page(EVERY, Window(1, first.next_cursor))
        assert [each.provider for each in (*first.rows, *second.rows)] == ["p2", "p1"]
        assert second.next_cursor is None
        assert (await history.page(WantedChanges("p1"), ALL)).rows == second.rows
    # The end did not wait for others to come.
    assert await stored(database) == ["p2", "p1"]
    assert await shown(history) == ["p2", "p1"]


async def test_what_cannot_be_stored_is_replaced_and_secrets_are_taken_out(
    database: Database,
) -> None:
    async with kept(database) as history:
        history.note(change(model="a\0\ud800", why="the key \0"))
        await until(lambda: history.waiting == 0)
        (row,) = (await history.page(EVERY, ALL)).rows
    assert (row.model, row.reason) == ("a\ufffd\ufffd", "the - \ufffd")


async def test_an_outage_is_answered_from_memory_and_caught_up_with(
    database: Database, outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    async with kept(database) as history:
        history.note(change(1))
        await until(lambda: history.waiting == 0)
        outage.begin()
        history.note(change(2))
        await until(lambda: outage.failed > 2)
        assert await shown(history) == ["p2", "p1"]
        first = await history.page(EVERY, Window(1))
        second = await history.page(EVERY, Window(1, first.next_cursor))
        assert [each.provider for each in second.rows] == ["p1"]
        assert (second.next_cursor, history.waiting) == (None, 1)
        outage.end()
        await until(lambda: history.waiting == 0)
        assert await stored(database) == ["p2", "p1"]
    assert [record.message for record in caplog.records if "waits" in record.message] == [
        "the history of health waits for the database: "
        "the database cannot be used: the server is away"
    ]
    assert "written again" in caplog.text
    assert "too many" not in caplog.text


async def test_too_many_for_an_outage_lose_the_oldest_and_the_log_tells_how_many(
    database: Database, outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    limits = HistoryLimits(in_memory=3, gathered_s=0.001)
    async with kept(database, limits) as history:
        outage.begin()
        for number in range(7):
            history.note(change(number))
        await until(lambda: outage.failed > 1)
        assert await shown(history) == ["p6", "p5", "p4"]
        outage.end()
        await until(lambda: history.waiting == 0)
        assert await stored(database) == ["p6", "p5", "p4"]
    told = [record.message for record in caplog.records if "too many" in record.message]
    assert told == ["4 changes of health dropped: too many waited for the database"]


async def test_the_end_does_not_wait_for_a_database_that_is_away(
    database: Database, outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    async with kept(database) as history:
        outage.begin()
        history.note(change(1))
        await until(lambda: outage.failed > 0)
    outage.end()
    assert await stored(database) == []
    assert "1 change of health not stored" in caplog.text


async def test_the_end_gives_up_a_write_that_takes_too_long(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun = asyncio.Event()

    async def hang(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(health_history, "add", hang)
    monkeypatch.setattr("conduit.gateway.system.pausing._CLOSING_S", 0.01)
    async with asyncio.timeout(WITHIN_S), kept(database) as history:
        history.note(change(1))
        await begun.wait()
    assert "1 change of health not stored" in caplog.text


async def test_what_no_database_takes_is_in_nobody_s_way(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = health_history.add
    refusals = iter([ValueError("odd")])

    async def refuse_once(*arguments: object) -> None:
        if (error := next(refusals, None)) is not None:
            raise error
        await real(*arguments)  # type: ignore[arg-type]  # passed on as they come

    monkeypatch.setattr(health_history, "add", refuse_once)
    async with kept(database) as history:
        history.note(change(1))
        await until(lambda: history.waiting == 0)
        history.note(change(2))
        await until(lambda: history.waiting == 0)
    assert await stored(database) == ["p2"]
    assert "1 change of health lost" in caplog.text


@pytest.mark.parametrize("kind", ["postgresql"])
@pytest.mark.parametrize("silent", [False, True])
async def test_a_server_that_is_away_loses_nothing(
    database: Database, location: str, monkeypatch: pytest.MonkeyPatch, silent: bool
) -> None:
    monkeypatch.setattr("conduit.gateway.health_history._READING_S", 0.3)
    async with Relay(postgresql.address()) as relay:
        distant = create_engine(relay.instead_of(location))
        async with kept(distant) as history:
            history.note(change(1))
            await until(lambda: history.waiting == 0)
            if silent:
                relay.hush()
            else:
                await relay.refuse()
                relay.cut()
            history.note(change(2))
            assert await shown(history) == ["p2", "p1"]
            if silent:
                relay.speak()
            else:
                await relay.accept()
            await until(lambda: history.waiting == 0)
            assert await shown(history) == ["p2", "p1"] == await stored(database)
        await distant.dispose()


async def test_pruning_goes_by_age_and_by_count(database: Database) -> None:
    limits = HistoryLimits(rows=3, gathered_s=WITHIN_S)
    days = [2]
    history = HealthHistory(database, lambda: days[0], str, limits)
    now = now_ms()
    for number, age_days in enumerate((400, 3, 1, 0, 0, 0)):
        history.note(change(number, now - age_days * DAY_MS))
    history.start()
    await history.close()  # which writes them
    history = HealthHistory(database, lambda: days[0], str, limits)
    assert await history.prune() == 3
    assert await stored(database) == ["p5", "p4", "p3"]
    assert await history.prune() == 0


async def test_the_setting_counts_at_once(database: Database) -> None:
    days = [10]
    history = HealthHistory(database, lambda: days[0], str)
    history.note(change(1, now_ms() - 5 * DAY_MS))
    history.start()
    await history.close()
    history = HealthHistory(database, lambda: days[0], str)
    assert await history.prune() == 0
    days[0] = 4
    assert await history.prune() == 1


async def test_many_changes_are_pruned_as_they_come(database: Database) -> None:
    async with kept(database, HistoryLimits(rows=2, gathered_s=0.001)) as history:
        for number in range(6):
            history.note(change(number))
        async with asyncio.timeout(WITHIN_S):
            while await stored(database) != ["p5", "p4"]:
                await asyncio.sleep(0.005)


async def test_time_alone_makes_it_prune(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with kept(database) as history:
        history.note(change(1, now_ms() - 31 * DAY_MS))
        await until(lambda: history.waiting == 0)
    assert await stored(database) == ["p1"]
    monkeypatch.setattr("conduit.gateway.health_history._PRUNED_FIRST_S", 0.0)
    async with kept(database), asyncio.timeout(WITHIN_S):
        while await stored(database):
            await asyncio.sleep(0.005)


async def test_pruning_survives_an_outage(database: Database, outage: Outage) -> None:
    history = HealthHistory(database, lambda: 30, str)
    outage.begin()
    with pytest.raises(UnavailableError):
        await history.prune()
    outage.end()
    assert await history.prune() == 0


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
