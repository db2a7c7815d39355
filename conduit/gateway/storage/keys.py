"""Statements for virtual keys.

A deleted key keeps its row, because records point at it.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import LargeBinary, Row, bindparam, case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.errors import NotFoundError
from conduit.gateway.storage.revisions import Change, State, note
from conduit.gateway.storage.rows import (
    Found,
    Window,
    change_row,
    cursor_after,
    insert_row,
    live,
    read_page,
    refuse_stale,
    refuse_taken_name,
    row_named,
)
from conduit.gateway.storage.schema import keys

PREFIX_BYTES = 8
_PREFIXES_A_READ = 10_000
_KEYS_A_READ = 1_000


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key without itself: its digest, and the start that may be shown.

    After a rotation the secret before it may be good until `former_expires_at_ms`.
    """

    id: str
    name: str
    digest: bytes = field(repr=False)
    start: str
    allowed_models: Sequence[str]
    enabled: bool
    expires_at_ms: int | None
    created_at_ms: int
    updated_at_ms: int
    deleted_at_ms: int | None
    last_used_at_ms: int | None
    version: int
    former_digest: bytes | None = field(default=None, repr=False)
    former_expires_at_ms: int | None = None
    log_bodies: bool | None = None
    allow_direct: bool = False
    limits: Sequence[Mapping[str, Any]] = field(default_factory=list)
    allowed_ips: Sequence[str] = field(default_factory=list)
    priority: bool = False
    group_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WantedKeys:
    """Which keys are meant: those that fit all that is given.

    They expire before a moment, and not before another; were last used, or made and not used,
    before some moment; are `among` some ids; have all the `tags`, of which None is any value; are
    in a group.
    """

    expires_before_ms: int | None = None
    expires_after_ms: int | None = None
    unused_since_ms: int | None = None
    among: Collection[str] | None = None
    tags: Mapping[str, str | None] = field(default_factory=dict)
    group_id: str | None = None


ALL_KEYS = WantedKeys()


def _key(row: Row[Any]) -> StoredKey:
    return StoredKey(**row._mapping)


async def insert(connection: AsyncConnection, key: StoredKey) -> None:
    """Raises ConflictError where a key that is not deleted has the name."""
    await refuse_taken_name(connection, keys, "key", key.name)
    await insert_row(connection, keys, key, taken="the key exists already")
    note(connection, Change("key", key.name, None, told(key)))


async def page(
    connection: AsyncConnection, window: Window, wanted: WantedKeys = ALL_KEYS
) -> Found[StoredKey]:
    """Those keys that are wanted, by name."""
    statement = live(keys)
    if wanted.group_id is not None:
        statement = statement.where(keys.c.group_id == wanted.group_id)
    if wanted.expires_before_ms is not None:
        statement = statement.where(keys.c.expires_at_ms < wanted.expires_before_ms)
    if wanted.expires_after_ms is not None:
        statement = statement.where(keys.c.expires_at_ms >= wanted.expires_after_ms)
    if wanted.unused_since_ms is not None:
        used_ms = func.coalesce(keys.c.last_used_at_ms, keys.c.created_at_ms)
        statement = statement.where(used_ms < wanted.unused_since_ms)
    for name, value in wanted.tags.items():
        tag = keys.c.tags[name].as_string()
        statement = statement.where(tag.is_not(None) if value is None else tag == value)
    among = wanted.among
    if among is None:
        return await read_page(connection, statement, keys.c.name, _key, window)
    # Told apart here: the ids may be more than a statement takes parameters.
    chosen: list[StoredKey] = []
    cursor = window.cursor
    while len(chosen) <= window.limit:
        read = Window(_KEYS_A_READ, cursor)
        found = await read_page(connection, statement, keys.c.name, _key, read)
        chosen += [key for key in found.rows if key.id in among]
        if (cursor := found.next_cursor) is None:
            break
    shown = tuple(chosen[: window.limit])
    more = len(chosen) > window.limit
    return Found(shown, cursor_after(shown[-1].name) if more else None)


async def expiring(
    connection: AsyncConnection, after_ms: int, until_ms: int, after_id: str = ""
) -> tuple[StoredKey, ...]:
    """Some enabled keys that expire between two moments, by id, from behind one on."""
    found = await connection.execute(
        live(keys)
        .where(keys.c.expires_at_ms > after_ms, keys.c.expires_at_ms <= until_ms)
        .where(keys.c.enabled.is_(True), keys.c.id > after_id)
        .order_by(keys.c.id)
        .limit(_KEYS_A_READ)
    )
    return tuple(map(_key, found))


async def count(connection: AsyncConnection) -> int:
    found = await connection.execute(
        select(func.count()).select_from(keys).where(keys.c.deleted_at_ms.is_(None))
    )
    return int(found.scalar_one())


async def find(connection: AsyncConnection, name_or_id: str) -> StoredKey:
    """Raises NotFoundError, for deleted keys too."""
    row = await row_named(connection, live(keys), keys.c.name, name_or_id)
    if row is None:
        raise NotFoundError(f"there is no key {name_or_id}")
    return _key(row)


async def find_ever(connection: AsyncConnection, name_or_id: str) -> StoredKey:
    """The key of an id or a name, deleted or not; of several of a name the one that is there, else
    the one that was deleted last. Raises NotFoundError.
    """
    found = await connection.execute(
        select(keys)
        .where(or_(keys.c.id == name_or_id, keys.c.name == name_or_id))
        .order_by(
            case((keys.c.id == name_or_id, 0), (keys.c.deleted_at_ms.is_(None), 1), else_=2),
            keys.c.deleted_at_ms.desc(),
            keys.c.id.desc(),
        )
    )
    if (row := found.first()) is None:
        raise NotFoundError(f"there is no key {name_or_id}, and there was none")
    return _key(row)


async def ids_of_group(connection: AsyncConnection, group_id: str) -> Sequence[str]:
    """The ids of the keys in a group."""
    statement = select(keys.c.id).where(keys.c.group_id == group_id, keys.c.deleted_at_ms.is_(None))
    return (await connection.execute(statement)).scalars().all()


async def counts_by_group(
    connection: AsyncConnection, group_ids: Collection[str]
) -> Mapping[str, int]:
    """How many keys are in each of some groups; those without any are left out."""
    found = await connection.execute(
        select(keys.c.group_id, func.count())
        .where(keys.c.group_id.in_(group_ids), keys.c.deleted_at_ms.is_(None))
        .group_by(keys.c.group_id)
    )
    return {group_id: int(number) for group_id, number in found}


async def names_of(connection: AsyncConnection, ids: Collection[str]) -> Mapping[str, str]:
    """The names of keys by id, of deleted ones too."""
    found = await connection.execute(select(keys.c.id, keys.c.name).where(keys.c.id.in_(ids)))
    return {row.id: row.name for row in found}


async def find_by_digest(connection: AsyncConnection, digest: bytes) -> StoredKey | None:
    """The key whose secret, or whose former secret, has the digest; the caller looks which."""
    same = or_(keys.c.digest == digest, keys.c.former_digest == digest)
    row = (await connection.execute(live(keys).where(same))).first()
    return None if row is None else _key(row)


async def last_used_ids(connection: AsyncConnection, most: int) -> Sequence[str]:
    """The ids of the keys that were used last, or made, latest first."""
    used = func.coalesce(keys.c.last_used_at_ms, keys.c.created_at_ms)
    statement = (
        select(keys.c.id).where(keys.c.deleted_at_ms.is_(None)).order_by(used.desc()).limit(most)
    )
    return (await connection.execute(statement)).scalars().all()


async def of_ids(connection: AsyncConnection, ids: Sequence[str]) -> tuple[StoredKey, ...]:
    """The keys of some ids that there are."""
    found = await connection.execute(live(keys).where(keys.c.id.in_(ids)))
    return tuple(map(_key, found))


async def of_digests(
    connection: AsyncConnection, digests: Sequence[bytes]
) -> tuple[StoredKey, ...]:
    """The keys of which a present secret has one of these digests."""
    found = await connection.execute(live(keys).where(keys.c.digest.in_(digests)))
    return tuple(map(_key, found))


async def changed_since(connection: AsyncConnection, at_ms: int) -> list[tuple[str, list[bytes]]]:
    """The ids of keys that were made, changed or deleted since a moment, with their digests."""
    found = await connection.execute(
        select(keys.c.id, keys.c.digest, keys.c.former_digest).where(keys.c.updated_at_ms >= at_ms)
    )
    return [(row[0], [digest for digest in row[1:] if digest is not None]) for row in found]


async def ids_named(connection: AsyncConnection, names: Collection[str]) -> Sequence[str]:
    """The ids of all keys that have, or had, one of these names or ids."""
    if not names:
        return ()
    statement = select(keys.c.id).where(or_(keys.c.name.in_(names), keys.c.id.in_(names)))
    return (await connection.execute(statement)).scalars().all()


async def digest_prefixes(connection: AsyncConnection) -> AsyncIterator[Sequence[bytes]]:
    """The first eight bytes of every live key's digests, a batch at a time."""
    for digest in (keys.c.digest, keys.c.former_digest):
        prefix = func.substr(digest, 1, PREFIX_BYTES, type_=LargeBinary())
        statement = select(prefix).where(keys.c.deleted_at_ms.is_(None), digest.is_not(None))
        stream = await connection.stream(statement)
        async for batch in stream.scalars().partitions(_PREFIXES_A_READ):
            yield batch


async def change(
    connection: AsyncConnection,
    key: StoredKey,
    changes: Mapping[str, Any],
    *,
    version: int | None,
) -> StoredKey:
    """Raises ConflictError where `version` is not the present one, or a new name is taken."""
    refuse_stale(f"key {key.name}", key.version, version)
    if (name := changes.get("name", key.name)) != key.name:
        await refuse_taken_name(connection, keys, "key", name)
    await change_row(connection, keys, key.id, changes, expected_version=key.version)
    changed = replace(key, **changes, version=key.version + 1)
    after = told(changed) if changed.deleted_at_ms is None else None
    rotated = "it got a new secret" if "digest" in changes else None
    note(connection, Change("key", key.name, told(key), after, rotated))
    return changed


def told(key: StoredKey) -> State:
    """What the history tells of it; nothing that is made of its secret."""
    return {
        "name": key.name,
        "enabled": key.enabled,
        "allowed_models": list(key.allowed_models),
        "expires_at_ms": key.expires_at_ms,
        "tags": dict(key.tags),
    }


async def note_last_used(connection: AsyncConnection, used_at_ms: Mapping[str, int]) -> None:
    """Write when keys were last used; no change of configuration. Not for none at all."""
    statement = (
        update(keys)
        .where(keys.c.id == bindparam("key_id"))
        .values(last_used_at_ms=bindparam("used_at_ms"))
    )
    await connection.execute(
        statement,
        [{"key_id": key_id, "used_at_ms": at_ms} for key_id, at_ms in used_at_ms.items()],
    )
