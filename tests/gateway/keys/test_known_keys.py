"""What is known of keys while the database does not answer."""

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from conduit.core.errors import DatabaseUnavailableError
from conduit.core.keys import digest_of, make_virtual_key
from conduit.core.limits import Limit
from conduit.gateway.config.snapshot import GroupGrant, KeyGrant
from conduit.gateway.keys.keyring import Keyring
from conduit.gateway.keys.known_keys import FILE_NAME, KnownKeys
from conduit.gateway.storage import budgets, groups, keys
from conduit.gateway.storage.engine import Database, writing
from tests.gateway import records
from tests.gateway.keys.test_keyring import Clock

WITHIN_S = 20.0


class Outage:
    """Makes every statement fail, as a server does that is away."""

    def __init__(self, database: Database) -> None:
        self._engine = database.sync_engine
        self.failed = 0

    def begin(self) -> None:
        event.listen(self._engine, "before_cursor_execute", self._fail)

    def end(self) -> None:
        event.remove(self._engine, "before_cursor_execute", self._fail)

    def _fail(self, *_: object) -> None:
        self.failed += 1
        raise OperationalError("SELECT", None, RuntimeError("the server is away"))


@pytest.fixture
def outage(database: Database) -> Outage:
    return Outage(database)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def secrets(database: Database) -> Sequence[str]:
    """Keys: a plain one, one with a hard budget, a disabled one, one of few models in a group."""
    made = [make_virtual_key() for _ in range(4)]
    async with writing(database) as connection:
        limits = [{"kind": "rpm", "limit": 5}]
        await groups.insert(connection, records.group(limits=limits, allowed_models=["gpt-4*"]))
        for number, secret in enumerate(made):
            await keys.insert(
                connection,
                records.key(
                    f"k{number}",
                    secret,
                    enabled=number != 2,
                    allowed_models=["gpt-*"] if number == 3 else ["*"],
                    priority=number == 0,
                    group_id="grp_team" if number == 3 else None,
                ),
            )
        await budgets.insert(connection, records.budget("bud_1", "key_k1"))
    return made


@pytest.fixture
async def known(
    database: Database, secrets: Sequence[str], tmp_path: Path
) -> AsyncIterator[KnownKeys]:
    copy = KnownKeys(database, tmp_path)
    copy.start()
    await until_complete(copy)
    yield copy
    await copy.close()


@pytest.fixture
async def keyring(database: Database, known: KnownKeys, clock: Clock) -> Keyring:
    """A key ring that remembers a single key."""
    ring = Keyring(database, known, cached_keys=1, clock=clock)
    await ring.load()
    return ring


async def until_complete(copy: KnownKeys) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not copy.complete:
            await asyncio.sleep(0.01)


async def grant_of(keyring: Keyring, secret: str) -> KeyGrant:
    grant = await keyring.find(secret)
    assert grant is not None
    return grant


async def disabled(database: Database, keyring: Keyring, name: str) -> None:
    async with writing(database) as connection:
        key = await keys.find(connection, name)
        await keys.change(connection, key, {"enabled": False}, version=None)
    keyring.drop(key.id)


async def test_keys_that_were_not_used_for_long_are_known_without_the_database(
    keyring: Keyring, secrets: Sequence[str], outage: Outage
) -> None:
    before = [await grant_of(keyring, secret) for secret in secrets]
    outage.begin()
    after = [await grant_of(keyring, secret) for secret in secrets]
    assert before == after
    assert [grant.enabled for grant in after] == [True, True, False, True]
    assert [grant.has_hard_budget for grant in after] == [False, True, False, False]
    assert [grant.priority for grant in after] == [True, False, False, False]
    assert after[3].allowed_models == ("gpt-*",)
    assert after[3].group == GroupGrant(
        "grp_team", "team", enabled=True, allowed_models=("gpt-4*",), limits=(Limit("rpm", 5),)
    )


async def test_what_was_remembered_counts_past_its_minute_without_the_database(
    database: Database, secrets: Sequence[str], clock: Clock, outage: Outage
) -> None:
    ring = Keyring(database, clock=clock)
    await ring.load()
    before = await grant_of(ring, secrets[0])
    outage.begin()
    clock.now_s = 600.0
    assert ring.cached(secrets[0]) is None
    assert await grant_of(ring, secrets[0]) is before
    assert ring.cached(secrets[0]) is before
    with pytest.raises(DatabaseUnavailableError) as refused:
        await ring.find(secrets[1])
    assert refused.value.retry_after_s == 1.0


async def test_the_database_is_asked_once_a_second_while_it_is_away(
    database: Database, secrets: Sequence[str], clock: Clock, outage: Outage
) -> None:
    ring = Keyring(database, clock=clock)
    await ring.load()
    outage.begin()
    asked = []
    for clock.now_s in (0.0, 0.3, 0.9, 1.1, 1.2):
        with pytest.raises(DatabaseUnavailableError):
            await ring.find(secrets[0])
        asked.append(outage.failed)
    assert asked == [1, 1, 1, 2, 2]
    outage.end()
    clock.now_s = 2.2
    await grant_of(ring, secrets[0])


async def test_a_key_that_was_disabled_before_the_outage_stays_disabled(
    database: Database, known: KnownKeys, keyring: Keyring, secrets: Sequence[str], outage: Outage
) -> None:
    assert (await grant_of(keyring, secrets[0])).enabled
    await disabled(database, keyring, "k0")
    await until_complete(known)
    outage.begin()
    assert not (await grant_of(keyring, secrets[0])).enabled


async def test_a_change_that_the_copy_has_not_read_is_not_undone_by_it(
    database: Database, keyring: Keyring, secrets: Sequence[str], outage: Outage
) -> None:
    assert (await grant_of(keyring, secrets[0])).enabled
    async with writing(database) as connection:
        key = await keys.find(connection, "k0")
        await keys.change(connection, key, {"enabled": False}, version=None)
    outage.begin()
    keyring.drop(key.id)
    with pytest.raises(DatabaseUnavailableError):
        await keyring.find(secrets[0])


async def test_a_key_that_is_made_or_rotated_or_deleted_is_so_in_the_copy(
    database: Database, known: KnownKeys, keyring: Keyring, secrets: Sequence[str], outage: Outage
) -> None:
    made, fresh = make_virtual_key(), make_virtual_key()
    async with writing(database) as connection:
        await keys.insert(connection, records.key("made", made))
        rotated = await keys.find(connection, "k0")
        await keys.change(connection, rotated, {"digest": digest_of(fresh)}, version=None)
        deleted = await keys.find(connection, "k1")
        await keys.change(connection, deleted, {"deleted_at_ms": 1}, version=None)
    keyring.add(digest_of(made))
    keyring.drop(rotated.id)
    keyring.add(digest_of(fresh))
    keyring.drop(deleted.id)
    await until_complete(known)
    outage.begin()
    assert (await grant_of(keyring, made)).name == "made"
    assert (await grant_of(keyring, fresh)).id == rotated.id
    for gone in secrets[:2]:  # nothing is known of them: another key could have the same prefix
        with pytest.raises(DatabaseUnavailableError):
            await keyring.find(gone)


async def test_of_more_keys_than_the_copy_holds_those_found_meanwhile_are_known_too(
    database: Database, secrets: Sequence[str], tmp_path: Path, clock: Clock, outage: Outage
) -> None:
    async with writing(database) as connection:
        await keys.note_last_used(connection, {"key_k3": 10**15})
    copy = KnownKeys(database, tmp_path / "small", most_keys=1)
    (tmp_path / "small").mkdir()
    ring = Keyring(database, copy, cached_keys=1, clock=clock)
    await ring.load()
    copy.start()
    await until_complete(copy)
    await grant_of(ring, secrets[1])
    await grant_of(ring, secrets[0])
    outage.begin()
    for known in (3, 1, 0):
        await grant_of(ring, secrets[known])
    with pytest.raises(DatabaseUnavailableError):
        await ring.find(secrets[2])
    await copy.close()


async def test_the_file_is_for_its_owner_alone_and_holds_no_key(
    known: KnownKeys, secrets: Sequence[str], tmp_path: Path
) -> None:
    path = tmp_path / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
        assert file.execute("SELECT count(*) FROM grants").fetchone() == (4,)
    content = path.read_bytes()
    assert not any(secret.encode()[-40:] in content for secret in secrets)
    assert not path.with_suffix(".new").exists()


async def test_a_file_that_cannot_be_written_says_nothing_and_heals(
    database: Database, secrets: Sequence[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "not yet there"
    copy = KnownKeys(database, folder)
    copy.start()
    async with asyncio.timeout(WITHIN_S):
        while "cannot be written" not in caplog.text:
            await asyncio.sleep(0.01)
    assert await copy.find(digest_of(secrets[0])) is None
    folder.mkdir()
    await until_complete(copy)
    assert await copy.find(digest_of(secrets[0])) is not None
    await copy.close()
    assert not (folder / FILE_NAME).exists()


async def test_after_a_doubt_everything_is_read_again(
    database: Database, known: KnownKeys, keyring: Keyring, secrets: Sequence[str], outage: Outage
) -> None:
    assert (await grant_of(keyring, secrets[0])).enabled
    async with writing(database) as connection:  # and nobody is told
        key = await keys.find(connection, "k0")
        await keys.change(connection, key, {"enabled": False}, version=None)
    assert (await grant_of(keyring, secrets[0])).enabled
    await keyring.doubt()
    assert not (await grant_of(keyring, secrets[0])).enabled
    await until_complete(known)
    outage.begin()
    assert not (await grant_of(keyring, secrets[0])).enabled
