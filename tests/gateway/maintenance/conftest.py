"""Installations of both kinds, with records and money in them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conduit.gateway.ledger.local import LocalLedger
from conduit.gateway.ledger.records import ReplyRecord
from conduit.gateway.storage import (
    credentials,
    group_transactions,
    groups,
    health_history,
    keys,
    mappings,
    master_keys,
    notifications,
    prices,
    providers,
)
from conduit.gateway.storage.engine import Database, create_engine, writing
from conduit.gateway.storage.master_keys import StoredMasterKey
from tests import postgresql
from tests.gateway import records
from tests.gateway.ledger.building import (
    AT_MS,
    claim,
    ending,
    opened,
    request_record,
    store_budget,
    terms,
)


@pytest.fixture(params=postgresql.ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of database that is worked on."""
    return str(request.param)


@pytest.fixture(params=postgresql.ENGINES)
async def target_location(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of another database, of either kind, which has no tables."""
    async with postgresql.database_url(request.param, tmp_path / "target.db") as url:
        yield url


@pytest.fixture
async def target(target_location: str) -> AsyncIterator[Database]:
    engine = create_engine(target_location)
    yield engine
    await engine.dispose()


@dataclass(frozen=True, slots=True)
class Installation:
    """A database with its data folder."""

    database: Database
    folder: Path

    async def ledger(self) -> LocalLedger:
        return await opened(self.database, self.folder, apply_interval_s=60.0)


@pytest.fixture
async def installation(database: Database, tmp_path: Path) -> Installation:
    """Something in each table; 5 requests of 600 each, and a hard budget over them."""
    folder = tmp_path / "data"
    folder.mkdir()
    async with writing(database) as connection:
        await providers.insert(connection, records.provider())
        await credentials.insert(connection, records.credential(kind="sealed", sealed="c1.x"))
        await mappings.insert(connection, records.mapping("größe-\U0001f600"))
        await groups.insert(connection, records.group(description="größe"))
        await group_transactions.insert(connection, records.transaction(), "team", 5_000_000_000)
        in_group: dict[str, Any] = {"allowed_models": ["a*", "b"], "group_id": "grp_team"}
        await keys.insert(connection, records.key(id="key_1", **in_group))
        await prices.put(connection, records.price(cache_read=None))
        await health_history.add(connection, [records.health_change(model=None)])
        await notifications.add(connection, [records.notification()])
        await master_keys.put(connection, StoredMasterKey(1, bytes(range(32)), AT_MS, None))
    await store_budget(database, terms(10_000))
    of_group = {"scope_kind": "group", "scope_id": "grp_team", "period": "prepaid"}
    prepaid = terms(5_000_000_000, id="bud_2", **of_group, since_ms=AT_MS)
    await store_budget(database, prepaid)
    made = Installation(database, folder)
    async with await made.ledger() as ledger:
        await calls(ledger, 5)
        ledger.reply(ReplyRecord(bytes(range(32)), "key_1", AT_MS, b"\x00\xff"))
    return made


async def calls(ledger: LocalLedger, count: int) -> None:
    for _ in range(count):
        hold = await ledger.hold(claim(1000, group_id="grp_team"))
        ledger.settle(hold, ending(600))
        ledger.record(request_record(hold.claim))


async def crashed(ledger: LocalLedger) -> None:
    """Leave the files of a ledger as a crash does: what was not applied stays in the journal."""
    await ledger._applier.stop()
    await ledger._journal.close()
    ledger._lock.release()


def silent(_done: int, _total: int) -> None:
    """Progress that nobody looks at."""
