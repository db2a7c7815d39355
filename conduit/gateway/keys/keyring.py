"""Looks virtual keys up: from memory whenever it can, from storage once in a while."""

import asyncio
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from conduit.core.errors import ConduitError, DatabaseUnavailableError, UnavailableError
from conduit.core.ids import now_ms
from conduit.core.keys import digest_of, is_virtual_key
from conduit.gateway.config.snapshot import KeyGrant
from conduit.gateway.keys.grants import read_grant
from conduit.gateway.keys.known_keys import KnownKeys
from conduit.gateway.storage import keys
from conduit.gateway.storage.engine import Database, outages_reported, reading, writing

_CACHED_KEYS = 10_000
_KEPT_DIGESTS = 256  # beside as many heads of requests, in which the secrets are
_CACHED_S = 60.0
_LOOKED_UP_WITHIN_S = 2.0
# While the database is away one look-up a second finds out whether it is back.
_ASKED_AGAIN_S = 1.0
_LAST_USED_WRITTEN_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class _Entry:
    """What was found under a digest; None is remembered too."""

    grant: KeyGrant | None
    until: float


class Keyring:
    """The grants of virtual keys. A grant may be disabled or expired: the caller looks.

    Right after a rotation a key may have two secrets, of which the former one ends at its own time.
    A guess is refused by its checksum, what does not exist by a set of digest prefixes (8 bytes a
    key), so that neither reads the database. `drop` makes a change count at once.

    While the database does not answer, what was remembered counts on, then the `copy`; of what
    neither knows nothing is said, which is no refusal.
    """

    def __init__(
        self,
        database: Database,
        copy: KnownKeys | None = None,
        *,
        cached_keys: int = _CACHED_KEYS,
        cached_s: float = _CACHED_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.catch_up: Callable[[], Awaitable[None]] | None = None
        """Learns of keys that another process has made a moment ago; None: there is no other."""
        self._database = database
        self._copy = copy
        self._cached_keys = cached_keys
        self._cached_s = cached_s
        self._clock = clock
        self._prefixes: set[bytes] = set()
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._digests_of_id: dict[str, set[bytes]] = {}
        self._looking: dict[bytes, asyncio.Task[_Entry]] = {}
        self._changes = 0
        self._asked_again_at = -math.inf
        self._used_at_ms: dict[str, int] = {}

    @property
    def known(self) -> int:
        """How many secrets may be good, as far as is known without asking the database."""
        return len(self._prefixes)

    async def load(self) -> None:
        """Read the prefixes of all keys; once, before the first look-up."""
        async with reading(self._database) as connection:
            async for batch in keys.digest_prefixes(connection):
                self._prefixes.update(batch)

    def cached(self, key_text: str) -> KeyGrant | None:
        """The grant if it is in memory; None says nothing but that `find` must be asked."""
        digest = _digest_of_any(key_text)
        entry = self._entries.get(digest)
        if entry is None or entry.grant is None or entry.until <= self._clock():
            return None
        self._entries.move_to_end(digest)
        self._used_at_ms[entry.grant.id] = now_ms()
        return entry.grant

    async def find(self, key_text: str) -> KeyGrant | None:
        """The grant of a key, None for what is no key of ours or has been deleted."""
        if not is_virtual_key(key_text):
            return None
        digest = digest_of(key_text)
        if digest[: keys.PREFIX_BYTES] not in self._prefixes:
            if self.catch_up is None:
                return None
            await self.catch_up()
            if digest[: keys.PREFIX_BYTES] not in self._prefixes:
                return None
        entry = self._entries.get(digest)
        if entry is None or entry.until <= self._clock():
            entry = await self._look_up(digest)
        if entry.grant is not None:
            self._used_at_ms[entry.grant.id] = now_ms()
        return entry.grant

    def add(self, digest: bytes) -> None:
        """A key has been made, or another secret for one."""
        self._prefixes.add(digest[: keys.PREFIX_BYTES])
        self._entries.pop(digest, None)
        if self._copy is not None:
            self._copy.added(digest)

    def drop(self, key_id: str) -> None:
        """A key, or a budget of it, has been changed or deleted: what is known of it is stale."""
        self._changes += 1
        self._looking.clear()  # who asks from now on must not be answered from before
        if self._copy is not None:
            self._copy.changed(key_id)
        for digest in self._digests_of_id.pop(key_id, ()):
            self._entries.pop(digest, None)

    def drop_all(self, key_ids: Iterable[str]) -> None:
        """Something that these keys have in common has been changed."""
        for key_id in key_ids:
            self.drop(key_id)

    async def doubt(self) -> None:
        """A change may have been committed of which nobody was told: remember nothing.

        The database is to answer again: until it does, what is remembered is the best there is.
        """
        with outages_reported():
            await self.load()
        self._changes += 1
        self._looking.clear()
        self._entries.clear()
        self._digests_of_id.clear()
        if self._copy is not None:
            self._copy.doubt()

    async def write_last_used(self) -> None:
        """Write when keys were used since the last time; on an error they stay to be written."""
        if not self._used_at_ms:
            return
        used = self._used_at_ms
        self._used_at_ms = {}
        try:
            with outages_reported():
                async with writing(self._database) as connection:
                    await keys.note_last_used(connection, used)
        except BaseException:
            self._used_at_ms = used | self._used_at_ms
            raise

    async def note_last_used(self) -> None:
        """Write now and then when keys were used, and once more at the end."""
        try:
            while True:
                await asyncio.sleep(_LAST_USED_WRITTEN_EVERY_S)
                with suppress(ConduitError):  # the next round writes what this one could not
                    await self.write_last_used()
        finally:
            with suppress(ConduitError):
                await self.write_last_used()

    async def _look_up(self, digest: bytes) -> _Entry:
        """One look-up of a key serves all requests that wait for it."""
        running = self._looking.get(digest)
        if running is None:
            running = self._looking[digest] = asyncio.create_task(self._look_up_once(digest))
            running.add_done_callback(lambda task: self._looked(digest, task))
        # Shielded, as a caller who hangs up must not take the others' answer away.
        return await asyncio.shield(running)

    def _looked(self, digest: bytes, task: "asyncio.Task[_Entry]") -> None:
        if self._looking.get(digest) is task:
            del self._looking[digest]

    async def _look_up_once(self, digest: bytes) -> _Entry:
        changes = self._changes
        try:
            grant = await self._read(digest)
        except UnavailableError as error:
            return await self._without_database(digest, error)
        entry = _Entry(grant, self._clock() + self._cached_s)
        # What was read while a key changed may be from before the change: good for the request
        # that asked meanwhile, not to be remembered.
        if changes == self._changes:
            self._remember(digest, entry)
            if grant is not None and self._copy is not None:
                self._copy.found(digest, grant)
        return entry

    async def _read(self, digest: bytes) -> KeyGrant | None:
        """Raises UnavailableError."""
        now = self._clock()
        if now < self._asked_again_at:
            raise UnavailableError("the database did not answer a moment ago")
        try:
            with outages_reported():
                async with reading(self._database, _LOOKED_UP_WITHIN_S) as connection:
                    return await read_grant(connection, digest)
        except UnavailableError:
            self._asked_again_at = self._clock() + _ASKED_AGAIN_S
            raise

    async def _without_database(self, digest: bytes, error: UnavailableError) -> _Entry:
        """What was known of a secret before. Raises DatabaseUnavailableError for nothing."""
        changes = self._changes
        entry = self._entries.get(digest)
        grant = entry.grant if entry is not None else await self._copied(digest)
        if entry is None and grant is None:
            raise DatabaseUnavailableError(
                "the database does not answer, and without it nothing can be said of this API key",
                retry_after_s=_ASKED_AGAIN_S,
            ) from error
        known = _Entry(grant, self._clock() + _ASKED_AGAIN_S)
        if changes == self._changes:
            self._remember(digest, known)
        return known

    async def _copied(self, digest: bytes) -> KeyGrant | None:
        return await self._copy.find(digest) if self._copy is not None else None

    def _remember(self, digest: bytes, entry: _Entry) -> None:
        self._entries[digest] = entry
        self._entries.move_to_end(digest)
        if entry.grant is not None:
            self._digests_of_id.setdefault(entry.grant.id, set()).add(digest)
        if len(self._entries) > self._cached_keys:
            oldest_digest, oldest = self._entries.popitem(last=False)
            if oldest.grant is not None:
                self._forget_digest(oldest.grant.id, oldest_digest)

    def _forget_digest(self, key_id: str, digest: bytes) -> None:
        digests = self._digests_of_id.get(key_id, set())
        digests.discard(digest)
        if not digests:
            self._digests_of_id.pop(key_id, None)


@lru_cache(_KEPT_DIGESTS)
def _digest_of_any(key_text: str) -> bytes:
    """As `digest_of`, of any text: a header may hold lone surrogates, which that refuses."""
    return hashlib.sha256(key_text.encode("utf-8", "surrogatepass")).digest()
