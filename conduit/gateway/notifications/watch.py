"""Looks at budgets, keys and credentials beside the requests, and stores what to tell of them.

Balances are looked at in memory, expiries and what is spent by the hour in the database; of
credentials it hears. While the
database is away nothing counts as told, so that it is told once the database is back.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from conduit.core import people
from conduit.core.errors import UnavailableError
from conduit.core.events import EventKind, Publish
from conduit.core.ids import new_id, now_ms
from conduit.core.moments import DAY_MS
from conduit.gateway.health.registry import Change
from conduit.gateway.ledger.balances import Spending
from conduit.gateway.notifications import notices
from conduit.gateway.notifications.notices import EXPIRY_DAYS, READY, THRESHOLDS, Notice
from conduit.gateway.notifications.unusual import UnusualRules, UnusualSpend
from conduit.gateway.storage import keys, notifications
from conduit.gateway.storage.engine import Database, Transaction, outages_reported, reading, writing
from conduit.gateway.storage.keys import StoredKey
from conduit.gateway.storage.notifications import ID_PREFIX, StoredNotification
from conduit.gateway.storage.rows import storable
from conduit.gateway.system.pausing import let_end, pause

logger = logging.getLogger(__name__)

_MOST_CHANGES: Final = 1_000
"""Of credentials, that wait for the database."""
_CHANGES_A_TRANSACTION: Final = 100
_NOTICES_A_TRANSACTION: Final = 500
_BUDGETS_AT_ONCE: Final = 500
_PRUNING_PAUSE_S: Final = 0.05
"""Others write between two of its transactions."""


@dataclass(frozen=True, slots=True)
class WatchRules:
    """How often it looks, and how many of its notifications are kept for how long."""

    budgets_every_s: float = 1.0
    keys_every_s: float = 60.0
    spending_every_s: float = 60.0
    pruned_every_s: float = 3_600.0
    kept_days: int = 90
    rows: int = 10_000
    unusual: Callable[[], UnusualRules] = UnusualRules


class NotificationWatch:
    """`note` is for the request path; `begin_anew` for whoever resets a budget."""

    def __init__(
        self,
        database: Database,
        spent_past: Callable[[int], Iterable[Spending]],
        publish: Publish,
        *,
        scrub: Callable[[str], str] = str,
        rules: WatchRules = WatchRules(),
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._database = database
        self._spent_past = spent_past
        self._publish = publish
        self._scrub = scrub
        self._rules = rules
        self._clock_ms = clock_ms
        # Of each budget that stands at a threshold: the period, and the threshold that was told.
        self._budgets_told: dict[str, tuple[int, int]] = {}
        self._keys_told: set[str] = set()
        self._unusual = UnusualSpend(database, rules.unusual)
        self._begun_anew: list[tuple[str, int]] = []
        self._changes: list[Change] = []
        self._unpriced: dict[tuple[str, str], None] = {}
        self._keys_at = time.monotonic()
        self._spending_at = self._keys_at + rules.spending_every_s
        self._prune_at = self._keys_at + rules.keys_every_s
        self._trouble: str | None = None  # why it waits
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="notifications")

    def note(self, change: Change) -> None:
        """Hear what has changed in the health of providers. Never waits, never raises."""
        if notices.concerns_credential(change) and len(self._changes) < _MOST_CHANGES:
            self._changes.append(change)

    def note_unpriced(self, provider: str, model: str) -> None:
        """Hear of a model of which calls are free. Never waits, never raises."""
        if len(self._unpriced) < _MOST_CHANGES:
            self._unpriced[provider, model] = None

    def begin_anew(self, budget_id: str, period_start_ms: int) -> None:
        """What was spent of a budget was set to nothing: its thresholds are told of again."""
        self._begun_anew.append((budget_id, period_start_ms))

    async def look(self) -> None:
        """Tell what is to be told of budgets and credentials now. Raises UnavailableError."""
        with outages_reported():
            await self._let_budgets_go()
            await self._look_at_budgets()
            await self._look_at_credentials()
            await self._look_at_prices()

    async def look_at_keys(self) -> None:
        """Tell of keys that expire soon. Raises UnavailableError."""
        at_ms = self._clock_ms()
        found: dict[str, Notice] = {}
        with outages_reported():
            for key in await self._expiring(at_ms):
                if (notice := notices.of_key(key, at_ms)) is not None:
                    found[notice.dedupe] = notice
            await self._tell([each for name, each in found.items() if name not in self._keys_told])
        self._keys_told = set(found)

    async def look_at_spending(self) -> None:
        """Tell of keys that spend far more than they usually do. Raises UnavailableError."""
        with outages_reported():
            at_ms = self._clock_ms()
            found = await self._unusual.look(at_ms)
            await self._tell(found)
            self._unusual.told(found, at_ms)

    async def prune(self) -> int:
        """Delete what is too old, and the oldest of too many; how many. Raises UnavailableError.

        What is still so stays: after a restart it would be told of again.
        """
        before_ms = self._clock_ms() - self._rules.kept_days * DAY_MS
        standing, deleted, after = self._standing(), 0, ""
        while not self._stopping.is_set():
            with outages_reported():
                async with reading(self._database) as connection:
                    kept = self._rules.rows
                    some = await notifications.surplus(connection, before_ms, kept, after)
                if not some:
                    break
                after = some[-1][0]
                doomed = [each for each, dedupe in some if dedupe not in standing]
                async with writing(self._database) as connection:
                    await notifications.remove(connection, doomed)
            deleted += len(doomed)
            await pause(_PRUNING_PAUSE_S, self._stopping)
        return deleted

    async def close(self) -> None:
        """Look once more, then end; what takes too long is given up."""
        self._stopping.set()
        await let_end(self._task)

    # Budgets

    async def _let_budgets_go(self) -> None:
        if not (begun := self._begun_anew[:]):
            return
        async with writing(self._database) as connection:
            for budget_id, period_start_ms in begun:
                dedupes = notices.budget_dedupes(budget_id, period_start_ms).values()
                await notifications.let_go(connection, dedupes)
        for budget_id, _ in begun:
            self._budgets_told.pop(budget_id, None)
        del self._begun_anew[: len(begun)]

    async def _look_at_budgets(self) -> None:
        told: dict[str, tuple[int, int]] = {}
        due: list[Spending] = []
        for number, each in enumerate(self._spent_past(THRESHOLDS[0]), 1):
            if (known := self._budgets_told.get(each.terms.id)) is not None:
                told[each.terms.id] = known
            if self._is_news(each):
                due.append(each)
            if not number % _BUDGETS_AT_ONCE:
                await asyncio.sleep(0)  # requests go on meanwhile
        # Those that stand at no threshold are forgotten here; the database knows of them.
        self._budgets_told = told
        await self._tell(
            [
                notices.of_budget(each, threshold)
                for each in due
                if not self._is_over(each)
                for threshold in notices.thresholds_reached(each)
            ]
        )
        for each in due:
            self._budgets_told[each.terms.id] = (each.period_start_ms, _highest(each))

    def _is_news(self, spending: Spending) -> bool:
        if notices.had_nothing(spending.terms):
            return False  # a credit that left it below nothing: that it is used up was told before
        start_ms, threshold = self._budgets_told.get(spending.terms.id, (-1, 0))
        if start_ms != spending.period_start_ms:
            return True
        return threshold < _highest(spending)

    def _is_over(self, spending: Spending) -> bool:
        """Whether its period has ended since: after a restart, nobody wants to hear of it."""
        return spending.terms.start_ms(self._clock_ms()) > spending.period_start_ms

    def _standing(self) -> set[str]:
        """What is so at present, and was told."""
        of_budgets = (
            dedupe
            for budget_id, (start_ms, _) in self._budgets_told.items()
            for dedupe in notices.budget_dedupes(budget_id, start_ms).values()
        )
        return {*of_budgets, *self._keys_told}

    # Keys

    async def _expiring(self, at_ms: int) -> list[StoredKey]:
        until_ms = at_ms + EXPIRY_DAYS[-1] * DAY_MS
        found: list[StoredKey] = []
        while True:
            after = found[-1].id if found else ""
            async with reading(self._database) as connection:
                some = await keys.expiring(connection, at_ms, until_ms, after)
            if not some:
                return found
            found += some

    # Credentials

    async def _look_at_credentials(self) -> None:
        while some := self._changes[:_CHANGES_A_TRANSACTION]:
            added: list[StoredNotification] = []
            try:
                with outages_reported():
                    async with writing(self._database) as connection:
                        for change in map(self._storable, some):
                            added += await self._hear(connection, change)
            except UnavailableError:
                raise
            except Exception:  # kept, they would be in the way of all others
                logger.exception("%s of credentials lost", people.counted(len(some), "change"))
                added = []
            del self._changes[: len(some)]
            self._announce(added)

    async def _hear(self, connection: Transaction, change: Change) -> list[StoredNotification]:
        if change.after != READY:
            return await self._add(connection, [notices.of_credential(change)])
        await notifications.let_go(connection, notices.credential_dedupes(change).values())
        return []

    def _storable(self, change: Change) -> Change:
        """Clients may choose the name of a model, and what they choose may be a pasted key."""
        if change.model is None:
            return change
        return replace(change, model=storable(self._scrub(change.model)))

    # Prices

    async def _look_at_prices(self) -> None:
        some = list(self._unpriced)
        named = [(provider, storable(self._scrub(model))) for provider, model in some]
        await self._tell([notices.of_unknown_price(*each) for each in named])
        for each in some:
            del self._unpriced[each]

    # What it tells

    async def _tell(self, due: Sequence[Notice]) -> None:
        for at in range(0, len(due), _NOTICES_A_TRANSACTION):
            some = due[at : at + _NOTICES_A_TRANSACTION]
            async with writing(self._database) as connection:
                added = await self._add(connection, some)
            self._announce(added)

    async def _add(
        self, connection: Transaction, due: Sequence[Notice]
    ) -> list[StoredNotification]:
        """Those of which nothing has been told that says as much."""
        wanted = {name for each in due for name in (each.dedupe, *each.covered_by)}
        told = await notifications.told(connection, wanted)
        made = [
            self._notification(each)
            for each in due
            if told.isdisjoint((each.dedupe, *each.covered_by))
        ]
        added = await notifications.add(connection, made)
        return [each for each in made if each.id in added]

    def _notification(self, notice: Notice) -> StoredNotification:
        at_ms = self._clock_ms()
        kind, subject_id, name = notice.subject
        return StoredNotification(
            id=new_id(ID_PREFIX, at_ms),
            at_ms=at_ms,
            kind=notice.kind,
            severity=notice.severity,
            subject_kind=kind,
            subject_id=subject_id,
            subject_name=name,
            message=notice.message,
            details=dict(notice.details),
            dedupe=notice.dedupe,
        )

    def _announce(self, added: Iterable[StoredNotification]) -> None:
        for each in added:
            self._publish(EventKind.NOTIFICATION_RAISED, facts(each))

    # Its rounds

    async def _run(self) -> None:
        while not self._stopping.is_set():
            await self._round()
            await pause(self._rules.budgets_every_s, self._stopping)
        await self._round()

    async def _round(self) -> None:
        try:
            await self.look()
            await self._look_now_and_then()
        except UnavailableError as error:
            if self._trouble is None:
                logger.warning("notifications wait for the database: %s", error.message)
            self._trouble = error.message
        except Exception:  # the next round may go well
            logger.exception("notifications could not be looked after")
        else:
            self._trouble = None

    async def _look_now_and_then(self) -> None:
        now = time.monotonic()
        if now >= self._keys_at:
            await self.look_at_keys()
            self._keys_at = now + self._rules.keys_every_s
        if now >= self._spending_at:
            self._spending_at = now + self._rules.spending_every_s
            await self.look_at_spending()
        if now >= self._prune_at:
            self._prune_at = now + self._rules.pruned_every_s
            await self.prune()


def _highest(spending: Spending) -> int:
    return max(notices.thresholds_reached(spending), default=0)


def facts(notification: StoredNotification) -> dict[str, Any]:
    """What an event tells."""
    return {
        "id": notification.id,
        "kind": notification.kind,
        "severity": notification.severity,
        "subject": {
            "kind": notification.subject_kind,
            "id": notification.subject_id,
            "name": notification.subject_name,
        },
        "message": notification.message,
        "details": dict(notification.details),
    }
