"""Deletes request records that are too old or too many, a little at a time, beside the requests.

Only records go. What the ledger knows of their attempts is money and stays, as do balances and
corrections. Nothing that serves a request waits for the database, and between two of its
transactions the ledger and everybody else have their turn.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from conduit.core import people
from conduit.core.errors import UnavailableError
from conduit.core.events import EventKind, Publish
from conduit.core.ids import at_ms_of, first_id, now_ms
from conduit.core.moments import DAY_MS
from conduit.gateway.storage import installation, requests
from conduit.gateway.storage.engine import Database, outages_reported, reading, writing
from conduit.gateway.storage.requests import ID_PREFIX
from conduit.gateway.system.pausing import let_end, pause

logger = logging.getLogger(__name__)

_COUNTING_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class KeptRecords:
    """For how many days records are kept, and how many of them; 0 is no end."""

    days: int = 0
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Pace:
    """How often it looks, how many rows go in a transaction, and how long it rests after each.

    It rests so many times as long as the transaction took, which leaves the rest to others.
    """

    every_s: float = 60.0
    first_s: float = 10.0
    rows: int = 1_000
    shortest_rest_s: float = 0.02
    rests: float = 3.0


class RecordRetention:
    """Runs from `start` to `close`; `sweep` is one round."""

    def __init__(
        self,
        database: Database,
        kept: Callable[[], KeptRecords],
        publish: Publish,
        pace: Pace = Pace(),
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._database = database
        self._kept = kept
        self._publish = publish
        self._pace = pace
        self._clock_ms = clock_ms
        self._trouble: str | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="record retention")

    async def close(self) -> None:
        """End after the transaction that is under way."""
        self._stopping.set()
        await let_end(self._task)

    async def sweep(self) -> int:
        """Delete what is too old or too much; how many records. Raises UnavailableError."""
        kept = self._kept()
        with outages_reported():
            bound = await self._bound(kept)
        if bound is None:
            return 0
        before_ms = at_ms_of(bound)
        if bound != first_id(ID_PREFIX, before_ms):
            before_ms += 1  # some of the same millisecond go, and must not be made anew
        deleted = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            with outages_reported():
                async with writing(self._database) as connection:
                    some = await requests.purge_below(connection, bound, self._pace.rows)
                    if some and not deleted:
                        # In the transaction that deletes the first ones: a start makes no record
                        # anew of a request that had one.
                        await installation.note_purge_of_requests(connection, before_ms)
            deleted += some
            if some < self._pace.rows:
                break
            spent_s = time.monotonic() - began
            await pause(max(spent_s * self._pace.rests, self._pace.shortest_rest_s), self._stopping)
        if deleted:
            facts = {"before_ms": before_ms, "deleted": deleted, "bodies": 0}
            self._publish(EventKind.REQUESTS_PURGED, facts)
            logger.info("%s deleted: too old or too many", people.counted(deleted, "record"))
        return deleted

    async def _bound(self, kept: KeptRecords) -> str | None:
        """The id below which records are deleted; None where there is nothing to delete."""
        bounds = []
        if kept.days:
            bounds.append(first_id(ID_PREFIX, self._clock_ms() - kept.days * DAY_MS))
        if kept.rows:
            async with reading(self._database, _COUNTING_S) as connection:
                oldest = await requests.nth_newest(connection, kept.rows)
            if oldest is not None:
                bounds.append(oldest)
        return max(bounds, default=None)

    async def _run(self) -> None:
        await pause(self._pace.first_s, self._stopping)
        while not self._stopping.is_set():
            try:
                await self.sweep()
            except UnavailableError as error:
                if self._trouble is None:
                    logger.warning("old records wait for the database: %s", error.message)
                self._trouble = error.message
            except Exception:  # the next round may go well
                logger.exception("old records could not be deleted")
            else:
                self._trouble = None
            await pause(self._pace.every_s, self._stopping)
