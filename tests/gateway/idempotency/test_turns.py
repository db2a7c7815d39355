"""The turns of keys over a real ledger and database, with a clock of the test's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, text

from conduit.core.errors import (
    GatewaySealedError,
    IdempotencyInProgressError,
    ReplyNotKeptError,
    UnavailableError,
)
from conduit.gateway.config.sealing import SealingKey
from conduit.gateway.idempotency.replies import Reply, digest_of
from conduit.gateway.idempotency.turns import LARGEST_BODY_BYTES, Patience, Turns
from conduit.gateway.ledger.local import LocalLedger
from conduit.gateway.storage.engine import Database, reading, writing
from conduit.gateway.storage.schema import idempotent_replies
from tests.gateway.ledger.building import AT_MS, opened

KEY = SealingKey.of(b"k" * 32)
KEEP_S = 60.0
NEVER = Patience(settling_s=3600, sweep_s=3600, pause_s=0)


@dataclass
class Clock:
    now: int = AT_MS

    def __call__(self) -> int:
        return self.now


def reply(text: str = "hello", size: int = 0) -> Reply:
    body = text.encode() + b"." * size
    return Reply(text.encode(), "req_1", {"x": "y"}, body, 7)


@asynccontextmanager
async def turns_of(
    database: Database,
    ledger: LocalLedger,
    clock: Clock,
    *,
    key: SealingKey | None = KEY,
    patience: Patience = NEVER,
) -> AsyncIterator[Turns]:
    made = Turns(database, ledger, key, lambda: KEEP_S, clock_ms=clock, patience=patience)
    made.start()
    yield made
    await made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def ledger(database: Database, tmp_path: Path) -> AsyncIterator[LocalLedger]:
    async with await opened(database, tmp_path) as running:
        yield running


@pytest.fixture
async def turns(database: Database, ledger: LocalLedger, clock: Clock) -> AsyncIterator[Turns]:
    async with turns_of(database, ledger, clock) as made:
        yield made


async def found(turns: Turns, key_id: str = "key_1", named: str = "one") -> Reply | None:
    turn = turns.begin(key_id, named)
    try:
        return await turn.find()
    finally:
        turn.end()


async def stored(database: Database) -> int:
    async with reading(database) as connection:
        counted = await connection.execute(select(func.count()).select_from(idempotent_replies))
        return int(counted.scalar_one())


async def test_a_key_has_one_turn_at_a_time(turns: Turns) -> None:
    turn = turns.begin("key_1", "one")
    with pytest.raises(IdempotencyInProgressError) as refused:
        turns.begin("key_1", "one")
    assert refused.value.retry_after_s == 1.0
    other = turns.begin("key_2", "one")  # of another virtual key
    turn.end()
    again = turns.begin("key_1", "one")
    turn.end()  # once more: it has not the turn any more
    with pytest.raises(IdempotencyInProgressError):
        turns.begin("key_1", "one")
    for each in (again, other):
        each.end()


async def test_a_reply_is_found_at_once_and_once_it_is_stored(
    turns: Turns, ledger: LocalLedger, database: Database, clock: Clock
) -> None:
    turns.begin("key_1", "one").keep(reply())
    assert await found(turns) == reply()
    await ledger.caught_up()
    assert await stored(database) == 1
    async with turns_of(database, ledger, clock) as others:
        assert await found(others) == reply()
        assert await found(others, named="two") is None
        assert await found(others, key_id="key_2") is None


async def test_after_its_time_a_reply_is_gone_from_memory_and_from_the_database(
    turns: Turns, ledger: LocalLedger, database: Database, clock: Clock
) -> None:
    turns.begin("key_1", "one").keep(reply())
    await ledger.caught_up()
    clock.now += 59_999
    async with turns_of(database, ledger, clock) as others:
        assert await found(turns) == await found(others) == reply()
        assert await others.delete_old() == 0
        clock.now += 1
        assert (await found(turns), await found(others)) == (None, None)
        assert await others.delete_old() == 1
    assert await stored(database) == 0


async def test_a_new_reply_takes_the_place_of_one_whose_time_is_over(
    turns: Turns, ledger: LocalLedger, database: Database, clock: Clock
) -> None:
    turns.begin("key_1", "one").keep(reply("old"))
    await ledger.caught_up()
    clock.now += 60_000
    turns.begin("key_1", "one").keep(reply("new"))
    await ledger.caught_up()
    assert await turns.delete_old() == 0
    async with turns_of(database, ledger, clock) as others:
        assert await found(others) == reply("new")


async def test_old_replies_are_deleted_some_at_a_time_by_themselves(
    database: Database, ledger: LocalLedger, clock: Clock
) -> None:
    rows = [
        {"digest": digest_of("key_1", str(n)), "key_id": "key_1", "at_ms": n, "content": b"x"}
        for n in range(450)
    ]
    async with writing(database) as connection:
        await connection.execute(insert(idempotent_replies), rows)
    async with turns_of(database, ledger, clock, patience=replace(NEVER, sweep_s=0.01)) as turns:
        turns.begin("key_1", "young").keep(reply())
        await ledger.caught_up()
        async with asyncio.timeout(30):
            while await stored(database) != 1:
                await asyncio.sleep(0.01)
        assert await found(turns, named="young") == reply()


@pytest.mark.parametrize("size", [LARGEST_BODY_BYTES - 5, LARGEST_BODY_BYTES - 4])
async def test_of_a_reply_that_is_too_large_it_is_kept_that_it_was_given(
    turns: Turns, ledger: LocalLedger, database: Database, clock: Clock, size: int
) -> None:
    given = reply(size=size)
    turns.begin("key_1", "one").keep(given)
    await ledger.caught_up()
    async with turns_of(database, ledger, clock) as others:
        kept = await found(others)
    assert kept == (given if size == LARGEST_BODY_BYTES - 5 else replace_body(given))


def replace_body(given: Reply) -> Reply:
    return Reply(given.asked, given.request_id, {}, None, given.cost_nanodollars)


async def test_memory_keeps_what_the_database_has_not_and_no_more_than_it_may(
    database: Database, ledger: LocalLedger, clock: Clock
) -> None:
    small = Patience(recent_bytes=3_000, settling_s=0.01, sweep_s=3600)
    async with turns_of(database, ledger, clock, patience=small) as turns:
        for number in range(5):
            turns.begin("key_1", str(number)).keep(reply(str(number), 1_000))
        assert turns._recent_bytes <= 3_000
        assert (len(turns._recent), len(turns._spilled)) == (2, 3)
        for number in range(5):  # the first ones are waited for
            assert await found(turns, named=str(number)) == reply(str(number), 1_000)
        async with asyncio.timeout(30):
            while turns._recent or turns._spilled:
                await asyncio.sleep(0.01)
        assert turns._recent_bytes == 0
        assert await found(turns, named="4") == reply("4", 1_000)


async def test_a_reply_sealed_with_another_key_is_told_of_and_not_sent_anew(
    turns: Turns, ledger: LocalLedger, database: Database, clock: Clock
) -> None:
    turns.begin("key_1", "one").keep(reply())
    await ledger.caught_up()
    async with turns_of(database, ledger, clock, key=SealingKey.of(b"o" * 32)) as others:
        with pytest.raises(ReplyNotKeptError, match="the key that opens"):
            await found(others)


async def test_a_reply_that_was_moved_or_made_younger_does_not_open(
    turns: Turns, ledger: LocalLedger, database: Database, clock: Clock
) -> None:
    turns.begin("key_1", "one").keep(reply())
    turns.begin("key_1", "two").keep(reply())
    await ledger.caught_up()
    row = idempotent_replies.c
    async with writing(database) as connection:
        content = select(row.content).where(row.digest == digest_of("key_1", "one"))
        one = (await connection.execute(content)).scalar_one()
        for digest, values in (
            (digest_of("key_1", "two"), {"content": one}),
            (digest_of("key_1", "one"), {"at_ms": AT_MS + 1}),
        ):
            change = idempotent_replies.update().where(row.digest == digest).values(**values)
            await connection.execute(change)
    async with turns_of(database, ledger, clock) as others:
        for named in ("one", "two"):
            with pytest.raises(ReplyNotKeptError):
                await found(others, named=named)


async def test_without_a_sealing_key_nothing_is_begun(
    database: Database, ledger: LocalLedger, clock: Clock
) -> None:
    async with turns_of(database, ledger, clock, key=None) as turns:
        with pytest.raises(GatewaySealedError):
            turns.begin("key_1", "one")


@pytest.mark.parametrize("kind", ["sqlite"])
async def test_where_the_database_does_not_answer_nobody_can_tell(
    turns: Turns, database: Database
) -> None:
    async with writing(database) as connection:
        await connection.execute(text("DROP TABLE idempotent_replies"))
    with pytest.raises(UnavailableError):
        await found(turns)


async def test_while_the_journal_has_no_room_it_is_kept_only_that_a_reply_was_given(
    database: Database, tmp_path: Path, clock: Clock
) -> None:
    async with await opened(database, tmp_path) as ledger:
        ledger._most_unapplied_bytes = 0
        async with turns_of(database, ledger, clock) as turns:
            turns.begin("key_1", "one").keep(reply())
            assert await found(turns) == replace_body(reply())
