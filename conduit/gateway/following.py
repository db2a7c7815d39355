"""Follows what other workers change: each change is a revision, and the history tells what it was.

A worker hears of a commit at once, and looks every five seconds in case it did not.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from conduit.core.errors import ConduitError, LedgerUnavailableError, UnavailableError
from conduit.core.ids import now_ms
from conduit.core.settings import SettingsError
from conduit.gateway.ledger.shared import SharedLedger
from conduit.gateway.parts import Gateway
from conduit.gateway.pricing.installed import InstalledBook, book_in_force
from conduit.gateway.storage import installation, keys, revisions
from conduit.gateway.storage.engine import outages_reported, reading
from conduit.gateway.storage.revisions import RESTORED, Change, State
from conduit.gateway.storage.telling import listen

logger = logging.getLogger(__name__)

_MOST_REVISIONS: Final = 500
"""Of more, one does not ask what they were."""
_SLACK_MS: Final = 60_000
"""A transaction may be committed so long after the moment that it notes."""
_AGAIN_S: Final = 1.0
_TOGETHER_S: Final = 0.1
"""Whoever asks within it shares a look: a guessed key must not cost a query."""
_OF_KEYS: Final = frozenset({"key", "budget"})
_OF_FILES: Final = frozenset({"setting", "price_book"})


class Following:
    """Keeps one worker's memory as the database has it. Belongs to one event loop."""

    def __init__(self, gateway: Gateway, ledger: SharedLedger) -> None:
        self._gateway = gateway
        self._ledger = ledger
        self._seen = gateway.configuration.snapshot.revision
        self._looked_ms = now_ms()
        self._due = asyncio.Event()
        self._looking = asyncio.Lock()
        self._looks: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Follow until cancelled."""
        listening = asyncio.create_task(
            listen(self._gateway.database, self._due.set), name="listening"
        )
        self._gateway.keyring.catch_up = self.catch_up
        try:
            while True:
                await self._due.wait()
                self._due.clear()
                await self._follow_patiently()
        finally:
            listening.cancel()
            await asyncio.wait([listening])

    async def catch_up(self) -> None:
        """Look a moment from now, once for all who ask until then; what fails is tried later."""
        if self._looks is None or self._looks.done():
            self._looks = asyncio.create_task(self._look_soon())
        await asyncio.shield(self._looks)

    async def _look_soon(self) -> None:
        await asyncio.sleep(_TOGETHER_S)
        with suppress(ConduitError):
            await self.follow()

    async def follow(self) -> None:
        """Take over what has changed since the last look. Raises UnavailableError."""
        async with self._looking:
            await self._follow()

    async def _follow(self) -> None:
        at_ms = now_ms()
        with outages_reported():
            async with reading(self._gateway.database) as connection:
                newest = await installation.revision(connection)
                if newest == self._seen:
                    return
                found = await revisions.after(connection, self._seen, _MOST_REVISIONS + 1)
        changes = [change for each in found for change in each.changes]
        is_whole = len(found) == newest - self._seen
        await self._take_over(newest, changes if is_whole else None)
        self._seen, self._looked_ms = newest, at_ms

    async def _follow_patiently(self) -> None:
        try:
            await self.follow()
        except (UnavailableError, LedgerUnavailableError):
            await asyncio.sleep(_AGAIN_S)
            self._due.set()
        except Exception:  # the next change may be taken over
            logger.exception("a change of another worker could not be taken over")
            await asyncio.sleep(_AGAIN_S)
            self._due.set()

    async def _take_over(self, newest: int, changes: Sequence[Change] | None) -> None:
        """None stands for changes that nobody can tell."""
        gateway = self._gateway
        kinds = None if changes is None else {str(change.kind) for change in changes}
        # Before the keys: no key may be known here whose budget is not.
        if kinds is None or not kinds <= _OF_FILES | set(RESTORED):
            await self._ledger.reload()
        if kinds is None or not kinds <= _OF_KEYS | _OF_FILES | set(RESTORED):
            await gateway.keyring.doubt()
        elif kinds & _OF_KEYS:
            await self._drop_keys(changes or ())
        if kinds is None or kinds & _OF_FILES:
            self._read_files()
        if gateway.configuration.snapshot.revision < newest:
            with outages_reported():
                if kinds is not None and kinds.isdisjoint(RESTORED):
                    await gateway.configuration.pass_over()
                else:
                    await gateway.configuration.reload()

    async def _drop_keys(self, changes: Sequence[Change]) -> None:
        """Forget the keys that were changed, and those whose budgets were; know of new ones."""
        named = {
            name
            for change in changes
            for state in (change.before, change.after)
            if change.kind == "budget" and (name := _key_of(state)) is not None
        }
        with outages_reported():
            async with reading(self._gateway.database) as connection:
                since_ms = self._looked_ms - _SLACK_MS
                changed = await keys.changed_since(connection, since_ms)
                others = await keys.ids_named(connection, named)
        keyring = self._gateway.keyring
        for key_id in others:
            keyring.drop(key_id)
        for key_id, digests in changed:
            keyring.drop(key_id)
            for digest in digests:
                keyring.add(digest)

    def _read_files(self) -> None:
        """The settings and the price book, which lie beside the database on this machine."""
        gateway = self._gateway
        with suppress(SettingsError):  # who wrote them has checked them
            gateway.reload_settings()
        book, _ = book_in_force(InstalledBook(gateway.folder))
        if book.version != gateway.book.version:
            gateway.book.take_over(book)


def _key_of(state: State | None) -> str | None:
    """The name of the key that a budget is of; None for another scope."""
    kind, _, name = str("" if state is None else state.get("scope", "")).partition(":")
    return name if kind == "key" else None
