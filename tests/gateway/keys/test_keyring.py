"""How virtual keys are looked up."""

from collections.abc import AsyncIterator, Sequence

import pytest
from sqlalchemy import event

from conduit.core.ids import now_ms
from conduit.core.keys import digest_of, make_master_key, make_virtual_key
from conduit.gateway.keys.keyring import Keyring
from conduit.gateway.storage import budgets, keys
from conduit.gateway.storage.engine import Database, reading, writing
from tests.gateway import records


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def secrets(database: Database) -> Sequence[str]:
    """Three keys, of which the second has a hard budget."""
    made = [make_virtual_key() for _ in range(3)]
    async with writing(database) as connection:
        for number, secret in enumerate(made):
            await keys.insert(connection, records.key(f"k{number}", secret))
        await budgets.insert(connection, records.budget("bud_1", "key_k1"))
        await budgets.insert(connection, records.budget("bud_2", "key_k2", mode="soft"))
    return made


@pytest.fixture
async def keyring(database: Database, secrets: Sequence[str], clock: Clock) -> Keyring:
    ring = Keyring(database, cached_keys=2, cached_s=60.0, clock=clock)
    await ring.load()
    return ring


@pytest.fixture
async def reads(database: Database, keyring: Keyring) -> AsyncIterator[list[str]]:
    """The statements that have been run since the key ring was loaded."""
    run: list[str] = []

    def note(*arguments: object) -> None:
        statement = str(arguments[2])
        if not statement.startswith(("BEGIN", "PRAGMA", "SELECT pg_advisory")):
            run.append(statement)

    event.listen(database.sync_engine, "before_cursor_execute", note)
    yield run
    event.remove(database.sync_engine, "before_cursor_execute", note)


async def test_a_key_is_found_with_what_it_may_do(keyring: Keyring, secrets: Sequence[str]) -> None:
    grants = [await keyring.find(secret) for secret in secrets]
    assert [grant and (grant.id, grant.has_hard_budget) for grant in grants] == [
        ("key_k0", False),
        ("key_k1", True),
        ("key_k2", False),
    ]


async def test_the_second_look_up_reads_nothing(
    keyring: Keyring, secrets: Sequence[str], reads: list[str]
) -> None:
    assert keyring.cached(secrets[0]) is None
    found = await keyring.find(secrets[0])
    reads.clear()
    assert keyring.cached(secrets[0]) is found is not None
    assert await keyring.find(secrets[0]) is found
    assert reads == []


@pytest.mark.parametrize(
    "key",
    [
        "",
        "sk-1234",
        "condt_",
        "condt_" + "A" * 49,
        pytest.param(make_virtual_key(), id="virtual key"),
        pytest.param(make_master_key(), id="master key"),
        "condt_ключ",
        "\udcff\udc80",
    ],
)
async def test_what_is_no_key_of_ours_is_refused_without_reading(
    keyring: Keyring, reads: list[str], key: str
) -> None:
    assert keyring.cached(key) is None
    assert await keyring.find(key) is None
    assert reads == []


async def test_a_key_that_is_made_works_at_once(keyring: Keyring, database: Database) -> None:
    secret = make_virtual_key()
    key = records.key("new", secret)
    assert await keyring.find(secret) is None
    async with writing(database) as connection:
        await keys.insert(connection, key)
    keyring.add(key.digest)
    assert await keyring.find(secret) is not None


async def test_a_key_that_is_revoked_stops_at_once(
    keyring: Keyring, database: Database, secrets: Sequence[str]
) -> None:
    await keyring.find(secrets[0])
    async with writing(database) as connection:
        key = await keys.find(connection, "k0")
        await keys.change(connection, key, {"enabled": False}, version=None)
    keyring.drop(key.id)
    assert keyring.cached(secrets[0]) is None
    grant = await keyring.find(secrets[0])
    assert grant is not None
    assert not grant.enabled


async def test_a_key_that_is_deleted_stops_at_once_and_is_read_once_more(
    keyring: Keyring, database: Database, secrets: Sequence[str], reads: list[str]
) -> None:
    await keyring.find(secrets[0])
    async with writing(database) as connection:
        key = await keys.find(connection, "k0")
        await keys.change(connection, key, {"deleted_at_ms": 1}, version=None)
    keyring.drop(key.id)
    reads.clear()
    assert await keyring.find(secrets[0]) is None
    assert await keyring.find(secrets[0]) is None
    assert len(reads) == 1


async def test_what_was_read_before_a_change_is_not_remembered_after_it(
    keyring: Keyring, database: Database, secrets: Sequence[str]
) -> None:
    def revoke_meanwhile(*arguments: object) -> None:
        if "FROM keys" in str(arguments[2]):
            keyring.drop("key_k0")

    event.listen(database.sync_engine, "after_cursor_execute", revoke_meanwhile)
    assert await keyring.find(secrets[0]) is not None
    event.remove(database.sync_engine, "after_cursor_execute", revoke_meanwhile)
    assert keyring.cached(secrets[0]) is None


async def test_what_is_remembered_is_read_again_after_a_minute(
    keyring: Keyring, secrets: Sequence[str], clock: Clock
) -> None:
    await keyring.find(secrets[0])
    clock.now_s = 59.9
    assert keyring.cached(secrets[0]) is not None
    clock.now_s = 60.0
    assert keyring.cached(secrets[0]) is None
    assert await keyring.find(secrets[0]) is not None
    assert keyring.cached(secrets[0]) is not None


async def test_the_key_that_was_used_longest_ago_makes_room(
    keyring: Keyring, secrets: Sequence[str]
) -> None:
    await keyring.find(secrets[0])
    await keyring.find(secrets[1])
    keyring.cached(secrets[0])
    await keyring.find(secrets[2])
    assert [keyring.cached(secret) is not None for secret in secrets] == [True, False, True]


async def test_use_is_written_in_one_batch_later(
    keyring: Keyring, database: Database, secrets: Sequence[str], reads: list[str]
) -> None:
    before = now_ms()
    await keyring.find(secrets[0])
    keyring.cached(secrets[0])
    await keyring.find(secrets[1])
    reads.clear()
    await keyring.write_last_used()
    assert len(reads) == 1
    await keyring.write_last_used()
    assert len(reads) == 1
    async with reading(database) as connection:
        used = [(await keys.find(connection, f"k{n}")).last_used_at_ms for n in range(3)]
    assert used[0] is not None
    assert before <= used[0] <= now_ms()
    assert used[1] is not None
    assert used[2] is None


async def test_use_that_could_not_be_written_is_written_later(
    keyring: Keyring, database: Database, secrets: Sequence[str]
) -> None:
    await keyring.find(secrets[0])

    def fail(*_: object) -> None:
        raise RuntimeError

    event.listen(database.sync_engine, "before_cursor_execute", fail)
    with pytest.raises(RuntimeError):
        await keyring.write_last_used()
    event.remove(database.sync_engine, "before_cursor_execute", fail)
    await keyring.write_last_used()
    async with reading(database) as connection:
        assert (await keys.find(connection, "k0")).last_used_at_ms is not None


async def rotated(database: Database, keyring: Keyring, *, grace_ms: int | None) -> str:
    """Give the first key a new secret, as the admin API does."""
    secret = make_virtual_key()
    async with writing(database) as connection:
        key = await keys.find(connection, "k0")
        changes = {
            "digest": digest_of(secret),
            "former_digest": None if grace_ms is None else key.digest,
            "former_expires_at_ms": None if grace_ms is None else now_ms() + grace_ms,
        }
        await keys.change(connection, key, changes, version=None)
    keyring.drop("key_k0")
    keyring.add(digest_of(secret))
    return secret


async def test_both_secrets_of_a_rotated_key_find_it_and_the_former_one_has_an_end(
    keyring: Keyring, database: Database, secrets: Sequence[str]
) -> None:
    assert await keyring.find(secrets[0]) is not None
    fresh = await rotated(database, keyring, grace_ms=60_000)
    assert keyring.cached(secrets[0]) is None
    former, present = await keyring.find(secrets[0]), await keyring.find(fresh)
    assert former is not None
    assert present is not None
    assert former.id == present.id == "key_k0"
    assert present.expires_at_ms is None
    assert former.expires_at_ms is not None
    assert now_ms() < former.expires_at_ms <= now_ms() + 60_000


async def test_a_former_secret_ends_no_later_than_its_key(
    keyring: Keyring, database: Database, secrets: Sequence[str]
) -> None:
    await rotated(database, keyring, grace_ms=60_000)
    async with writing(database) as connection:
        key = await keys.find(connection, "k0")
        await keys.change(connection, key, {"expires_at_ms": 5}, version=None)
    keyring.drop("key_k0")
    former = await keyring.find(secrets[0])
    assert former is not None
    assert former.expires_at_ms == 5


async def test_a_former_secret_without_grace_is_no_key_any_more(
    keyring: Keyring, database: Database, secrets: Sequence[str]
) -> None:
    await keyring.find(secrets[0])
    await rotated(database, keyring, grace_ms=None)
    assert await keyring.find(secrets[0]) is None


async def test_a_change_of_a_key_drops_both_of_its_secrets(
    keyring: Keyring, database: Database, secrets: Sequence[str]
) -> None:
    fresh = await rotated(database, keyring, grace_ms=60_000)
    for secret in (secrets[0], fresh):
        await keyring.find(secret)
        assert keyring.cached(secret) is not None
    keyring.drop("key_k0")
    assert keyring.cached(secrets[0]) is None
    assert keyring.cached(fresh) is None


async def test_a_start_knows_former_secrets_too(
    keyring: Keyring, database: Database, secrets: Sequence[str]
) -> None:
    fresh = await rotated(database, keyring, grace_ms=60_000)
    restarted = Keyring(database)
    await restarted.load()
    assert await restarted.find(secrets[0]) is not None
    assert await restarted.find(fresh) is not None


async def test_a_key_that_another_process_made_a_moment_ago_is_asked_for(
    database: Database,
) -> None:
    keyring = Keyring(database)
    await keyring.load()
    secret = make_virtual_key()
    asked = 0

    async def catch_up() -> None:
        nonlocal asked
        asked += 1
        async with writing(database) as connection:
            await keys.insert(connection, records.key("late", secret))
        keyring.add(digest_of(secret))

    keyring.catch_up = catch_up
    assert await keyring.find("condt_nothing") is None
    assert asked == 0
    found = await keyring.find(secret)
    assert found is not None
    assert asked == 1
