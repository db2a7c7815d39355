"""Keeps a copy of what keys may do on this machine, for while the database does not answer.

The memory of a key ring holds the keys of the last minutes. The copy holds many more of them, the
last used ones, in a file. A process makes it anew and alone changes keys, so what it says is what
the database said; what it cannot be sure of it does not say.
"""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from conduit.core.errors import UnavailableError
from conduit.gateway.config.snapshot import KeyGrant
from conduit.gateway.keys.grants import grants_of
from conduit.gateway.storage import keys
from conduit.gateway.storage.engine import PATIENT_S, Database, outages_reported, reading
from conduit.gateway.storage.known_keys import CopiedGrant, KeyCopyError, KeyCopyFile

_log = logging.getLogger(__name__)

FILE_NAME: Final = "keys.snapshot"
MOST_KEYS: Final = 100_000
_FOLLOWED_EVERY_S: Final = 5.0
_RETRY_S: Final = 1.0
_BATCH: Final = 200  # each holds the event loop up for some milliseconds
_MOST_CHANGES: Final = 1_000
_MOST_UNWRITTEN: Final = 10_000
_PAUSE_S: Final = 0.005  # requests go before the copying of many keys


class KnownKeys:
    """The copy. What is said to have changed is not served from it until it was read again."""

    def __init__(self, database: Database, folder: Path, *, most_keys: int = MOST_KEYS) -> None:
        self._database = database
        self._file = KeyCopyFile(folder / FILE_NAME)
        self._most_keys = most_keys
        self._changed: set[str] = set()
        self._added: set[bytes] = set()
        self._found: dict[bytes, KeyGrant] = {}
        self._doubts = 1
        self._doubts_settled = 0
        self._due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._trouble: str | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="known keys")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await asyncio.to_thread(self._file.remove)

    def changed(self, key_id: str) -> None:
        """A key is not what it was, or there is none of this id any more."""
        self._changed.add(key_id)
        self._due.set()

    def added(self, digest: bytes) -> None:
        """A secret is good that was not before."""
        self._added.add(digest)
        self._due.set()

    def found(self, digest: bytes, grant: KeyGrant) -> None:
        """The database has just said this; one of the last used keys may not be in the copy."""
        if len(self._found) < _MOST_UNWRITTEN:
            self._found[digest] = grant

    def doubt(self) -> None:
        """A change may have come to pass of which nobody told: copy everything again."""
        self._doubts += 1
        self._due.set()

    @property
    def complete(self) -> bool:
        """Whether all that was said of changes is in the file."""
        return not (self._doubted or self._changed or self._added)

    @property
    def _doubted(self) -> bool:
        return self._doubts_settled < self._doubts

    async def find(self, digest: bytes) -> KeyGrant | None:
        """What a secret may do, None where the copy does not know."""
        if (fresh := self._found.get(digest)) is not None:
            return None if fresh.id in self._changed else fresh
        try:
            found = await asyncio.to_thread(self._file.find, digest)
        except KeyCopyError as error:
            self._failed(f"the copy of the keys cannot be read: {error}")
            return None
        if found is None or found[0] in self._changed:
            return None
        return msgspec.json.decode(found[1], type=KeyGrant)

    async def _run(self) -> None:
        while True:
            try:
                if self._doubted or len(self._changed) + len(self._added) > _MOST_CHANGES:
                    await self._copy_all()
                await self._follow()
            except UnavailableError:  # the database is away: what this is for
                await asyncio.sleep(_RETRY_S)
                continue
            except KeyCopyError as error:
                self._failed(f"the copy of the keys cannot be written: {error}")
                self._doubts += 1
                await asyncio.sleep(_RETRY_S)
                continue
            if self._trouble is not None:
                _log.warning("the copy of the keys can be written again")
                self._trouble = None
            try:
                async with asyncio.timeout(_FOLLOWED_EVERY_S):
                    await self._due.wait()
            except TimeoutError:
                pass

    async def _copy_all(self) -> None:
        """What changes while this reads is read once more by `_follow`."""
        self._due.clear()
        doubts, changed, added = self._doubts, set(self._changed), set(self._added)
        await asyncio.to_thread(self._file.begin)
        with outages_reported():
            async with reading(self._database, PATIENT_S) as connection:
                ids = await keys.last_used_ids(connection, self._most_keys)
                for start in range(0, len(ids), _BATCH):
                    found = await keys.of_ids(connection, ids[start : start + _BATCH])
                    copied = _encoded(await grants_of(connection, found))
                    await asyncio.to_thread(self._file.add, copied)
                    await asyncio.sleep(_PAUSE_S)
        await asyncio.to_thread(self._file.finish)
        self._doubts_settled = doubts
        self._told_of(changed, added)

    async def _follow(self) -> None:
        self._due.clear()
        changed, added, known = set(self._changed), set(self._added), dict(self._found)
        if not (changed or added or known):
            return
        put = [(digest, grant) for digest, grant in known.items() if grant.id not in changed]
        if changed or added:
            with outages_reported():
                async with reading(self._database) as connection:
                    found = [
                        *await keys.of_ids(connection, sorted(changed)),
                        *await keys.of_digests(connection, sorted(added)),
                    ]
                    put += await grants_of(connection, found)
        await asyncio.to_thread(self._file.update, changed, _encoded(put))
        for digest, grant in known.items():
            if self._found.get(digest) is grant:
                del self._found[digest]
        self._told_of(changed, added)

    def _told_of(self, changed: set[str], added: set[bytes]) -> None:
        if not self._due.is_set():  # else one of them may have changed again
            self._changed -= changed
            self._added -= added

    def _failed(self, trouble: str) -> None:
        if self._trouble is None:
            _log.warning("%s", trouble)
        self._trouble = trouble


def _encoded(grants: Sequence[tuple[bytes, KeyGrant]]) -> list[CopiedGrant]:
    return [CopiedGrant(digest, grant.id, msgspec.json.encode(grant)) for digest, grant in grants]
