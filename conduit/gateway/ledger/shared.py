"""The ledger of one of several processes: the database is the truth, a journal goes before it.

What holds money of a budget is one transaction of the database, done before anything is sent. All
that may be late (settlements, progress, request records, and the claims that no budget covers) goes
through the journal of this process, as with the ledger of a single one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from conduit.core.errors import LedgerUnavailableError
from conduit.core.ids import new_id, now_ms
from conduit.gateway.ledger.balances import Account
from conduit.gateway.ledger.budgets import BudgetTerms
from conduit.gateway.ledger.desk import HoldingDesk
from conduit.gateway.ledger.entries import Hold, LedgerState, Settlement
from conduit.gateway.ledger.journal import JournalUnwritableError, Sync
from conduit.gateway.ledger.journalled import JournalledLedger, LedgerParts, unavailable
from conduit.gateway.ledger.records import INT64_MAX, Claim, CorrectRecord, TopUpRecord, bounded
from conduit.gateway.ledger.shared_terms import FRESH_S, SharedTerms
from conduit.gateway.ledger.storable import settle_record, storable_claim
from conduit.gateway.storage.engine import USUAL_S
from conduit.gateway.storage.ledger.shared_tables import SharedTables, SharedWriter
from conduit.gateway.storage.ledger.statements import (
    StorageFailedError,
    StoredAdjustment,
    StoredLimit,
)
from conduit.gateway.storage.ledger.tables import LedgerTakenError

T = TypeVar("T")

_REFRESHED_EVERY_S = 0.4


@dataclass(frozen=True, slots=True)
class SharedParts(LedgerParts):
    """What opening a shared ledger puts together."""

    tables: SharedTables
    holding: SharedTables
    terms: SharedTerms


class SharedLedger(JournalledLedger):
    """Implements `entries.Ledger`; made by `shared_opening.open_shared`, of one event loop.

    What it says of balances without being awaited is up to a second old: the hold is what counts.
    """

    def __init__(
        self,
        parts: SharedParts,
        *,
        sync: Sync,
        most_unapplied_bytes: int,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        super().__init__(
            parts,
            parts.terms.balances,
            sync=sync,
            most_unapplied_bytes=most_unapplied_bytes,
            clock_ms=clock_ms,
        )
        self._tables = parts.tables
        self._terms = parts.terms
        self._tidying: set[asyncio.Task[None]] = set()
        self._desk = HoldingDesk(
            parts.holding,
            parts.terms,
            granted=self._begin,
            given_back=self._let_go,
            clock_ms=clock_ms,
        )
        self._refreshing = asyncio.create_task(self._refresh_now_and_then(), name="balances")

    # The request path

    async def hold(self, claim: Claim, *, wait_s: float = 2.0) -> Hold:
        """See `entries.Ledger`. A cancelled call holds nothing for long."""
        if (reason := self._unavailable()) is not None:
            raise unavailable(reason)
        if claim.attempt_id in self._open:
            raise ValueError(f"attempt {claim.attempt_id} is held already")
        claim = storable_claim(claim)
        if self._accounts_of(claim):
            return await self._desk.hold(claim, wait_s)
        # Nothing can refuse it. A budget that came this moment counts it once it is applied.
        hold = Hold(claim, (), claim.hold_nanodollars, noted_at=time.monotonic())
        self._begin(hold)
        await self._journalled(hold)
        return hold

    def exhausted(self, key_id: str, group_id: str | None = None) -> BudgetTerms | None:
        accounts = self._balances.covering(key_id, None, group_id)
        if not accounts:
            return None
        at_ms = self._clock_ms()
        for account in accounts:
            terms = account.terms
            # What was seen long ago says nothing: the hold will tell.
            if (
                self._terms.is_fresh(terms.id)
                and terms.hard
                and account.present(at_ms).spent >= terms.limit_nanodollars
            ):
                return terms
        return None

    async def top_up(self, hold: Hold, nanodollars: int) -> bool:
        """See `entries.Ledger`. Where the database does not answer there is no money."""
        if hold.settled or nanodollars < 0 or hold.nanodollars + nanodollars > INT64_MAX:
            return False
        if not hold.scopes and not self._accounts_of(hold.claim):
            hold.nanodollars += nanodollars
            self._journal.append(TopUpRecord(hold.claim.attempt_id, hold.nanodollars))
            return True
        try:
            if not hold.scopes:  # a budget has come since, and the row may still be on its way
                await self.caught_up()
            return await self._desk.top_up(hold, nanodollars)
        except LedgerUnavailableError:
            return False

    def settle(self, hold: Hold, settlement: Settlement) -> None:
        """See `entries.Ledger`."""
        if hold.settled:
            return
        hold.settled = True
        del self._open[hold.claim.attempt_id]
        self._terms.wanted.update(budget_id for budget_id, _ in hold.scopes)
        cost = bounded(settlement.cost_nanodollars)
        self._journal.append(settle_record(hold, settlement, cost))

    def state(self) -> LedgerState:
        reason = self._unavailable()
        return LedgerState(
            open_holds=len(self._open),
            held_nanodollars=sum(hold.nanodollars for hold in self._open.values()),
            waiting=self._desk.waiting,
            journal_bytes_unapplied=self._unapplied_bytes(),
            journal_file=self._journal.path.name,
            sync=self._sync,
            available=reason is None,
            reason=reason or self._warning(),
        )

    @property
    def lost(self) -> str | None:
        """Why no money of a budget can be held at this moment; None while it can."""
        return self._desk.lost or self._tables.lost

    # Administration

    async def open_budget(self, terms: BudgetTerms) -> None:
        """Let a stored budget count, beginning with what the ledger holds of its present period."""
        if self._balances.get(terms.id) is not None:
            return  # another process has met it first
        await self.caught_up()
        await self._asked(self._tables.open_uncounted())

    def change_budget(self, terms: BudgetTerms) -> None:
        """A stored change of a budget: what is told of it here is so at once. Raises KeyError."""
        self._account(terms.id).terms = terms
        self._desk.wake()

    async def reset_spent(self, budget_id: str) -> int:
        """Let a budget begin its present period anew; returns what it had spent, now nothing.

        What is held stays held. Raises KeyError, LedgerUnavailableError.
        """
        await self.caught_up()
        account = self._account(budget_id)
        at_ms = self._clock_ms()

        def reset(writer: SharedWriter) -> int:
            start_ms = account.terms.start_ms(account.not_before(at_ms))
            spent, held = writer.lock_balances([(budget_id, start_ms)])[budget_id, start_ms]
            if spent:
                adjusting = StoredAdjustment(
                    new_id("adj", at_ms), budget_id, start_ms, -spent, at_ms
                )
                writer.add_adjustment(adjusting)
                limit = account.terms.enforced_nanodollars
                writer.put_in_force(StoredLimit(budget_id, limit, start_ms, held))
            self._terms.saw((budget_id, start_ms), 0, held)
            return spent

        spent = await self._asked(self._tables.write(reset))
        self._desk.wake()
        return spent

    async def correct(
        self, record: CorrectRecord, key_id: str, alias: str, held_at_ms: int, group_id: str | None
    ) -> None:
        """See `LocalLedger.correct`; the scopes are found again where it is applied."""
        await self.caught_up()
        try:
            self._journal.append_now(record)
        except JournalUnwritableError as error:
            raise unavailable(f"the journal cannot be written ({error})") from error
        await self.caught_up()
        await self.refreshed()
        self._desk.wake()

    def close_budget(self, budget_id: str) -> None:
        """Count no more for a budget whose row is gone, and forget its balances."""
        self._terms.forget(budget_id)
        task = asyncio.create_task(self._delete_orphaned(), name="orphaned balances")
        self._tidying.add(task)
        task.add_done_callback(self._tidying.discard)

    async def refreshed(self) -> None:
        """Have all terms and balances as the database has them now, as far as it answers."""
        with suppress(LedgerUnavailableError):
            await self.reload(FRESH_S)

    async def reload(self, within_s: float = USUAL_S) -> None:
        """Read all terms and balances anew; raises LedgerUnavailableError.

        A budget that somebody else has stored this moment counts when it returns.
        """
        await self._asked(self._tables.read(self._terms.refresh, within_s))
        if not self._terms.are_whole:
            await self._asked(self._tables.open_uncounted())

    async def close(self, *, timeout_s: float = 10.0) -> None:
        """See `JournalledLedger`."""
        if self._closed:
            return
        self._closed = True
        self._refreshing.cancel()
        await self._desk.close()
        with suppress(TimeoutError, LedgerUnavailableError):
            async with asyncio.timeout(timeout_s):
                await self.caught_up()
        for task in (self._refreshing, *self._tidying):
            task.cancel()
            await asyncio.wait([task])
        await self._applier.stop()
        await self._journal.close()
        self.unwritten = self._journal.waiting
        self._lock.release()

    # Inside

    def _accounts_of(self, claim: Claim) -> tuple[Account, ...]:
        return self._balances.covering(claim.key_id, claim.alias, claim.group_id)

    def _begin(self, hold: Hold) -> None:
        self._open[hold.claim.attempt_id] = hold

    def _give_back(self, hold: Hold) -> None:
        """See `JournalledLedger`; no balance knows of it."""
        hold.settled = True
        del self._open[hold.claim.attempt_id]

    def _damage(self) -> str | None:
        return super()._damage() or self._desk.damage

    async def _refresh_now_and_then(self) -> None:
        """Keep what is asked for no older than a second; the rest is read when it is asked for."""
        before: set[str] = set()
        while True:
            await asyncio.sleep(_REFRESHED_EVERY_S)
            wanted, self._terms.wanted = self._terms.wanted, set()
            # Once more: what was settled a moment ago may not have been applied the first time.
            if both := wanted | before:
                with suppress(StorageFailedError, TimeoutError):
                    await self._tables.read(partial(self._terms.refresh, budget_ids=both))
            before = wanted

    async def _delete_orphaned(self) -> None:
        with suppress(StorageFailedError, LedgerTakenError):  # the next start does it
            await self._tables.write(lambda writer: writer.delete_orphaned_balances())

    async def _asked(self, answer: Awaitable[T]) -> T:
        """What the database says. Raises LedgerUnavailableError."""
        try:
            return await answer
        except (StorageFailedError, LedgerTakenError, TimeoutError) as error:
            raise unavailable(f"the database does not answer ({error})") from error
