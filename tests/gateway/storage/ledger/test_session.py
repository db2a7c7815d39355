"""Who may write a ledger in PostgreSQL, while connections come and go."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import TextClause, text

from conduit.gateway.storage.engine import Database, create_engine
from conduit.gateway.storage.ledger import session as ledger_session
from conduit.gateway.storage.ledger.session import LedgerTakenError
from conduit.gateway.storage.ledger.statements import LedgerReader, LedgerWriter, StorageFailedError
from conduit.gateway.storage.ledger.tables import LedgerTables
from tests import postgresql
from tests.fakes.relay import Relay

LONG_S = 20.0


@pytest.fixture
def kind() -> str:
    return "postgresql"


@pytest.fixture
async def tables(database: Database) -> AsyncIterator[LedgerTables]:
    """Tables that this process writes."""
    made = LedgerTables(database)
    await made.claim()
    yield made
    await made.close()


@pytest.fixture
async def others(location: str) -> AsyncIterator[LedgerTables]:
    """The same tables as another gateway sees them; not claimed."""
    engine = create_engine(location)
    made = LedgerTables(engine, journal=2)
    yield made
    await made.close()
    await engine.dispose()


@pytest.fixture
async def relay(location: str) -> AsyncIterator[Relay]:
    async with Relay(postgresql.address()) as running:
        yield running


@pytest.fixture
async def distant(location: str, database: Database, relay: Relay) -> AsyncIterator[LedgerTables]:
    """Tables that are claimed over a way that can be cut."""
    engine = create_engine(relay.instead_of(location))
    made = LedgerTables(engine)
    await made.claim()
    yield made
    await made.close()
    await engine.dispose()


def move(writer: LedgerWriter) -> None:
    writer.set_position(1, 10)


async def pid_of(tables: LedgerTables) -> int:
    return await tables.write(
        lambda w: int(w.connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
    )


async def end_session(tables: LedgerTables) -> None:
    """What an operator or a restart of the server does."""
    pid = await pid_of(tables)
    await postgresql.execute(postgresql.SERVER, f"SELECT pg_terminate_backend({pid})")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG_S):
        while not condition():
            await asyncio.sleep(0.01)


async def written_in_the_end(tables: LedgerTables) -> None:
    """Write as the applier does: again and again until it succeeds."""
    async with asyncio.timeout(LONG_S):
        while True:
            try:
                await tables.write(move)
            except StorageFailedError:
                await asyncio.sleep(0.02)
            else:
                return


async def test_a_ledger_has_one_writer_until_that_gives_it_back(
    tables: LedgerTables, others: LedgerTables
) -> None:
    with pytest.raises(LedgerTakenError, match="another gateway") as caught:
        await others.claim(wait_s=0)
    assert "postgresql://" in str(caught.value)
    await tables.close()
    await others.claim()
    await others.write(move)
    assert await others.read(LedgerReader.positions) == {2: (1, 10)}


async def test_one_that_has_just_ended_is_waited_for(
    tables: LedgerTables, others: LedgerTables
) -> None:
    claiming = asyncio.create_task(others.claim(wait_s=LONG_S))
    await asyncio.sleep(0)
    await tables.close()
    await claiming


async def test_installations_of_other_schemas_do_not_meet(tables: LedgerTables) -> None:
    async with postgresql.own_schema() as url:
        engine = create_engine(url)
        elsewhere = LedgerTables(engine)
        with pytest.raises(StorageFailedError, match="does not exist"):  # and not: taken
            await elsewhere.claim(wait_s=0)
        await elsewhere.close()
        await engine.dispose()


async def test_a_session_that_was_ended_is_made_anew_at_the_next_write(
    tables: LedgerTables,
) -> None:
    await tables.write(move)
    before = await pid_of(tables)
    await end_session(tables)
    await written_in_the_end(tables)
    assert tables.lost is None
    assert await pid_of(tables) != before


async def test_a_lost_session_is_noticed_and_made_anew_with_nothing_to_write(
    distant: LedgerTables, relay: Relay, others: LedgerTables
) -> None:
    distant.watch(lambda _: None)
    await distant.write(move)
    await relay.refuse()
    relay.cut()
    await until(lambda: distant.lost is not None)
    await relay.accept()
    await until(lambda: distant.lost is None)
    with pytest.raises(LedgerTakenError):
        await others.claim(wait_s=0)


async def test_a_session_that_the_server_still_thinks_alive_is_ended_by_its_successor(
    distant: LedgerTables, relay: Relay
) -> None:
    before = await pid_of(distant)
    relay.hush()
    with pytest.raises(StorageFailedError, match="in time"):
        await distant.write(move, within_s=0.2)
    assert distant.lost is not None
    relay.forget()  # the server hears nothing of the connection's end
    relay.speak()
    await written_in_the_end(distant)
    assert await pid_of(distant) != before


async def test_who_lost_the_ledger_to_another_writes_no_more(
    tables: LedgerTables, others: LedgerTables
) -> None:
    await tables.write(move)
    told: list[str] = []
    await others_take(tables, others)
    await others.write(move)
    await others.close()
    with pytest.raises(StorageFailedError):  # the session that is gone
        await tables.write(lambda w: w.set_position(1, 99))
    with pytest.raises(LedgerTakenError, match="has used the ledger"):
        await tables.write(lambda w: w.set_position(1, 99))
    tables.watch(told.append)
    await until(lambda: bool(told))
    assert (await tables.read(LedgerReader.positions))[1] == (1, 10)


async def test_what_was_restored_meanwhile_is_not_written_on(
    tables: LedgerTables, location: str
) -> None:
    told: list[str] = []
    await tables.write(move)
    tables.watch(told.append)
    restored = "UPDATE installation SET created_at_ms = created_at_ms + 1"
    await postgresql.execute(location, restored)
    await end_session(tables)
    await until(lambda: bool(told))
    assert "restored from a backup" in told[0]
    with pytest.raises(LedgerTakenError, match="start this one again"):
        await tables.write(lambda w: w.set_position(1, 99))
    assert await tables.read(LedgerReader.positions) == {1: (1, 10)}


def holder_ends_before_it_is_looked_for(pid: int) -> TextClause:
    """Instead of the statement that says who holds the lock: nobody does any more."""
    return text(
        f"WITH ended AS MATERIALIZED (SELECT pg_terminate_backend({pid}, 10000) AS is_so)"
        " SELECT is_so FROM ended WHERE is_so IS NULL"
    )


async def test_a_holder_that_ends_between_two_looks_is_not_given_way_to(
    tables: LedgerTables, others: LedgerTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement = holder_ends_before_it_is_looked_for(await pid_of(tables))
    monkeypatch.setattr(ledger_session, "_HOLDER", statement)
    await others.claim(wait_s=0)
    await others.write(move)


async def test_a_former_session_that_ends_between_two_looks_is_followed(
    tables: LedgerTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement = holder_ends_before_it_is_looked_for(await pid_of(tables))
    session = tables._session
    assert session is not None
    former, session._connection = session._connection, None
    assert former is not None
    monkeypatch.setattr(ledger_session, "_HOLDER", statement)
    await tables.write(move)
    assert await tables.read(LedgerReader.positions) == {1: (1, 10)}
    await former.invalidate()
    await former.close()


async def test_a_lock_that_nobody_is_seen_to_have_is_tried_again_and_not_given_up(
    tables: LedgerTables, others: LedgerTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_session, "_HOLDER", text("SELECT 1 WHERE false"))
    monkeypatch.setattr(ledger_session, "_UNHELD_S", 0.0)
    with pytest.raises(StorageFailedError, match="cannot be had yet"):
        await others.claim(wait_s=0)
    await tables.close()
    await others.claim(wait_s=0)


async def others_take(tables: LedgerTables, others: LedgerTables) -> None:
    """The other gateway is quicker after the session of this one was ended."""
    claiming = asyncio.create_task(others.claim(wait_s=LONG_S))
    await asyncio.sleep(0)
    await end_session(tables)
    await claiming


async def test_while_another_has_the_ledger_nothing_is_written(
    tables: LedgerTables, others: LedgerTables
) -> None:
    await others_take(tables, others)
    with pytest.raises(StorageFailedError):  # the session that is gone
        await tables.write(move)
    with pytest.raises(LedgerTakenError, match="another gateway"):
        await tables.write(move)
    assert await others.read(LedgerReader.positions) == {}


async def test_a_tool_that_has_the_ledger_for_a_moment_is_waited_for(
    tables: LedgerTables, others: LedgerTables
) -> None:
    claiming = asyncio.create_task(others.claim(wait_s=LONG_S, is_tool=True))
    await asyncio.sleep(0)
    await end_session(tables)
    await claiming
    with pytest.raises(StorageFailedError):  # the session that is gone
        await tables.write(move)
    with pytest.raises(StorageFailedError, match="conduit db command"):
        await tables.write(move)
    await others.close()
    await written_in_the_end(tables)


async def test_the_server_notices_when_the_machine_of_a_writer_has_gone(
    tables: LedgerTables,
) -> None:
    idle = text("SHOW tcp_keepalives_idle")
    assert await tables.write(lambda w: w.connection.execute(idle).scalar_one()) == "30"


async def test_a_commit_may_not_wait_for_the_disk_later(database: Database, location: str) -> None:
    lax = create_engine(f"{location}&synchronous_commit=off")
    tables = LedgerTables(lax)
    await tables.claim()
    shown = await tables.write(
        lambda w: w.connection.execute(text("SHOW synchronous_commit")).scalar_one()
    )
    await tables.close()
    await lax.dispose()
    assert shown == "on"
