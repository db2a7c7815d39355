"""Keeps what has changed in the health of providers in the database, for the time after a restart.

Nothing that serves a request waits for it: changes are queued, and written some at a time. While
the database is away they stay in memory, as many as there is room for.
"""

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final

from conduit.core import people
from conduit.core.errors import UnavailableError
from conduit.core.ids import new_id, now_ms
from conduit.core.moments import DAY_MS
from conduit.gateway.health.registry import Change
from conduit.gateway.storage import health_history
from conduit.gateway.storage.engine import Database, outages_reported, reading, writing
from conduit.gateway.storage.health_history import ID_PREFIX, StoredHealthChange, WantedChanges
from conduit.gateway.storage.rows import Found, Window, cursor_after, storable
from conduit.gateway.system.pausing import let_end, pause

logger = logging.getLogger(__name__)

_MOST_A_TRANSACTION: Final = 500
_READING_S: Final = 3.0
_LONGEST_BACKOFF_S: Final = 5.0
_PRUNED_FIRST_S: Final = 60.0
_PRUNED_EVERY_S: Final = 3600.0
_PRUNING_PAUSE_S: Final = 0.05
"""Others write between two of its transactions."""


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """`in_memory` are the newest changes of this process, written or not; `rows` those stored.

    `gathered_s` is how long changes are gathered for one transaction.
    """

    in_memory: int = 5_000
    rows: int = 100_000
    gathered_s: float = 1.0


class HealthHistory:
    """The changes of some days, newest first. `note` is for the request path."""

    def __init__(
        self,
        database: Database,
        kept_days: Callable[[], int],
        scrub: Callable[[str], str],
        limits: HistoryLimits = HistoryLimits(),
    ) -> None:
        self._database = database
        self._kept_days = kept_days
        self._scrub = scrub
        self._limits = limits
        self._recent: deque[StoredHealthChange] = deque(maxlen=limits.in_memory)
        self._unwritten: OrderedDict[str, StoredHealthChange] = OrderedDict()
        self._dropped = 0
        self._trouble: str | None = None  # why changes wait
        self._backoff_s = limits.gathered_s
        self._unpruned = 0  # written since
        self._prune_at = time.monotonic() + _PRUNED_FIRST_S
        self._due = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="health history")

    def note(self, change: Change) -> None:
        """Have a change written. Never waits, never raises."""
        made = self._storable(change)
        self._recent.append(made)
        self._unwritten[made.id] = made
        if len(self._unwritten) > self._limits.in_memory:
            self._unwritten.popitem(last=False)
            self._dropped += 1
        self._due.set()

    @property
    def waiting(self) -> int:
        """How many changes are not in the database yet."""
        return len(self._unwritten)

    async def page(self, wanted: WantedChanges, window: Window) -> Found[StoredHealthChange]:
        """Changes, newest first, those that wait to be written too.

        While the database does not answer, the newest of this process. Raises
        ValidationFailedError for a cursor that was not given here.
        """
        before = window.after()
        # Looked at before the read: what is written meanwhile is found in one of the two.
        own = tuple(self._unwritten.values())
        stored: tuple[StoredHealthChange, ...] = ()
        try:
            with outages_reported():
                async with reading(self._database, _READING_S) as connection:
                    stored = await health_history.newest(connection, wanted, window)
        except UnavailableError:
            own = tuple(self._recent)
        found = {each.id: each for each in stored}
        for each in own:
            if wanted.hold(each) and (before is None or each.id < before):
                found[each.id] = each
        return _newest(found, window.limit)

    async def prune(self) -> int:
        """Delete what is too old, and the oldest of too many; how many. Raises UnavailableError."""
        before_ms = now_ms() - self._kept_days() * DAY_MS
        with outages_reported():
            async with reading(self._database) as connection:
                last = await health_history.last_surplus(connection, before_ms, self._limits.rows)
        deleted = 0
        while last is not None and not self._stopping.is_set():
            with outages_reported():
                async with writing(self._database) as connection:
                    some = await health_history.delete_up_to(connection, last)
            if not some:
                break
            deleted += some
            await pause(_PRUNING_PAUSE_S, self._stopping)
        return deleted

    async def close(self) -> None:
        """Write what waits, then end; what takes too long is given up."""
        self._stopping.set()
        self._due.set()
        await let_end(self._task)
        if lost := len(self._unwritten) + self._dropped:
            logger.warning("%s of health not stored", people.counted(lost, "change"))

    async def _run(self) -> None:
        while not self._stopping.is_set():
            await self._gather()
            await self._write()
            if self._trouble is not None:
                await pause(self._backoff_s, self._stopping)
                self._backoff_s = min(self._backoff_s * 2, _LONGEST_BACKOFF_S)
            elif not self._stopping.is_set() and self._must_prune():
                await self._prune()
        await self._write()

    async def _gather(self) -> None:
        """Until there is something to do; then changes that come together are written together."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._prune_at - time.monotonic())):
                await self._due.wait()
        if self._trouble is None:
            await pause(self._limits.gathered_s, self._stopping)

    async def _write(self) -> None:
        """All that waits, or as much as the database takes."""
        self._due.clear()
        while self._unwritten:
            some = list(islice(self._unwritten.values(), _MOST_A_TRANSACTION))
            try:
                with outages_reported():
                    async with writing(self._database) as connection:
                        await health_history.add(connection, some)
            except UnavailableError as error:
                self._failed(error.message)
                return
            except Exception:  # kept, they would be in the way of all others
                logger.exception("%s of health lost", people.counted(len(some), "change"))
            else:
                self._succeeded(len(some))
            for each in some:
                self._unwritten.pop(each.id, None)

    def _failed(self, trouble: str) -> None:
        if self._trouble is None:
            logger.warning("the history of health waits for the database: %s", trouble)
        self._trouble = trouble
        self._due.set()

    def _succeeded(self, written: int) -> None:
        self._unpruned += written
        if self._trouble is None:
            return
        self._trouble = None
        self._backoff_s = self._limits.gathered_s
        logger.warning("the history of health is written again")
        if self._dropped:
            dropped = people.counted(self._dropped, "change")
            logger.warning("%s of health dropped: too many waited for the database", dropped)
            self._dropped = 0

    def _must_prune(self) -> bool:
        """Now and then, and where a hundredth of what is kept has come."""
        many = self._unpruned * 100 >= self._limits.rows
        return many or time.monotonic() >= self._prune_at

    async def _prune(self) -> None:
        self._unpruned = 0
        self._prune_at = time.monotonic() + _PRUNED_EVERY_S
        try:
            await self.prune()
        except UnavailableError:  # the next round deletes what this one could not
            return
        except Exception:  # what is too old does no harm
            logger.exception("the history of health could not be pruned")

    def _storable(self, change: Change) -> StoredHealthChange:
        """Clients may choose the name of a model, and what they choose may be a pasted key."""
        model, reason = (
            None if text is None else storable(self._scrub(text))
            for text in (change.model, change.reason)
        )
        return StoredHealthChange(
            id=new_id(ID_PREFIX, change.at_ms),
            at_ms=change.at_ms,
            provider=change.provider,
            model=model,
            credential=change.credential,
            before=change.before,
            after=change.after,
            reason=reason,
            until_ms=change.until_ms,
        )


def _newest(found: dict[str, StoredHealthChange], limit: int) -> Found[StoredHealthChange]:
    ids = sorted(found, reverse=True)
    shown = tuple(found[each] for each in ids[:limit])
    return Found(shown, cursor_after(shown[-1].id) if len(ids) > limit else None)
