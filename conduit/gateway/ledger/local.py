"""The ledger of a single process: balances in memory, a journal on disk, the database behind."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from conduit.core.errors import LedgerUnavailableError
from conduit.core.ids import new_id, now_ms
from conduit.gateway.ledger.balances import Account, Balance, Balances, Place, obstacle
from conduit.gateway.ledger.budgets import SCOPE_KINDS, BudgetTerms
from conduit.gateway.ledger.entries import Hold, LedgerState, Settlement
from conduit.gateway.ledger.journal import JournalUnwritableError, Sync
from conduit.gateway.ledger.journalled import JournalledLedger, LedgerParts, unavailable
from conduit.gateway.ledger.records import (
    INT64_MAX,
    AdjustRecord,
    BudgetClosed,
    BudgetOpened,
    Claim,
    CorrectRecord,
    LimitRecord,
    TopUpRecord,
    bounded,
)
from conduit.gateway.ledger.storable import settle_record, storable_claim
from conduit.gateway.ledger.waiting import WaitingRoom

MOST_UNAPPLIED_BYTES = 1 << 30


class LocalLedger(JournalledLedger):
    """Implements `entries.Ledger`; made by `opening.open_ledger`, belongs to one event loop."""

    def __init__(
        self,
        parts: LedgerParts,
        balances: Balances,
        *,
        sync: Sync,
        latest_ms: int = 0,
        most_unapplied_bytes: int = MOST_UNAPPLIED_BYTES,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        """`latest_ms` is when the youngest attempt was held: no budget opens in a period before."""
        super().__init__(
            parts,
            balances,
            sync=sync,
            most_unapplied_bytes=most_unapplied_bytes,
            clock_ms=clock_ms,
        )
        self._held = 0
        self._latest_ms = latest_ms
        self._room = WaitingRoom(balances, self._take, self._give_back)

    # The request path

    async def hold(self, claim: Claim, *, wait_s: float = 2.0) -> Hold:
        """See `entries.Ledger`. A cancelled call holds nothing."""
        if (reason := self._unavailable()) is not None:
            raise unavailable(reason)
        if claim.attempt_id in self._open:
            raise ValueError(f"attempt {claim.attempt_id} is held already")
        claim, places = self._balances.place(storable_claim(claim))
        blocking = obstacle(places, claim.hold_nanodollars)
        while blocking is not None and blocking.waiters:
            # Who has waited since the period before may find room in the one that begins now.
            self._room.serve(blocking)
            served, blocking = blocking, obstacle(places, claim.hold_nanodollars)
            if blocking is served:
                break
        if blocking is None:
            hold = self._take(claim, places)
        else:
            hold = await self._room.wait(claim, blocking, wait_s)
        await self._journalled(hold)
        return hold

    def exhausted(self, key_id: str, group_id: str | None = None) -> BudgetTerms | None:
        for account in self._balances.covering(key_id, None, group_id):
            terms = account.terms
            # Asked for every request, and most have room: the period of now is looked up only for
            # what the latest one has used up.
            if account.latest_spent < terms.limit_nanodollars or not terms.hard:
                continue
            if account.present(self._clock_ms()).spent >= terms.limit_nanodollars:
                return terms
        return None

    async def top_up(self, hold: Hold, nanodollars: int) -> bool:
        """See `entries.Ledger`. A stream that runs goes before claims that wait."""
        if hold.settled or nanodollars < 0:
            return False
        places = self._balances.of_scopes(hold.scopes)
        for place in places:
            terms, balance = place.account.terms, place.balance
            limit = terms.limit_nanodollars if terms.hard else INT64_MAX
            if balance.spent + balance.held + nanodollars > limit:
                return False
        if hold.nanodollars + nanodollars > INT64_MAX:
            return False
        for place in places:
            place.balance.held += nanodollars
        hold.nanodollars += nanodollars
        self._held += nanodollars
        self._journal.append(TopUpRecord(hold.claim.attempt_id, hold.nanodollars))
        return True

    def settle(self, hold: Hold, settlement: Settlement) -> None:
        """See `entries.Ledger`. The cost is what still fits 64 bits in every budget."""
        if hold.settled:
            return
        places = self._balances.of_scopes(hold.scopes)
        cost, held = bounded(settlement.cost_nanodollars), hold.nanodollars
        for place in places:
            cost = min(cost, INT64_MAX - place.balance.spent)
        self._close_hold(hold)
        record = settle_record(hold, settlement, cost)
        billed = record.billed_nanodollars
        for place in places:
            balance = place.balance
            balance.held -= held
            balance.spent += place.account.terms.taken_by(cost, billed)
        self._journal.append(record)
        for place in places:
            if place.account.waiters:
                self._room.serve(place.account)

    def state(self) -> LedgerState:
        reason = self._unavailable()
        return LedgerState(
            open_holds=len(self._open),
            held_nanodollars=self._held,
            waiting=self._room.count,
            journal_bytes_unapplied=self._unapplied_bytes(),
            journal_file=self._journal.path.name,
            sync=self._sync,
            available=reason is None,
            reason=reason or self._warning(),
        )

    @property
    def lost(self) -> str | None:
        """Why another gateway may take the database at this moment; None while none can."""
        return self._applier.lost

    # Administration

    async def open_budget(self, terms: BudgetTerms) -> None:
        """Let a budget count, beginning with what the ledger holds of its present period.

        It is enforced from now on, and exactly so once this has returned. Its row is stored
        before: a budget without one does not outlive a restart.
        """
        if terms.scope_kind not in SCOPE_KINDS:
            raise ValueError(f"budgets of a {terms.scope_kind} are not counted")
        if self._balances.get(terms.id) is not None:
            raise ValueError(f"budget {terms.id} is open already")
        at_ms = max(self._clock_ms(), self._latest_ms, terms.since_ms)
        start_ms = terms.start_ms(at_ms)
        balance = Balance()
        account = Account(terms, start_ms, start_ms, {start_ms: balance})
        for hold in self._open.values():
            claim = hold.claim
            if not terms.covers(claim.key_id, claim.alias, claim.group_id):
                continue
            if claim.at_ms >= start_ms:
                hold.scopes = (*hold.scopes, (terms.id, start_ms))
                balance.held += hold.nanodollars
        self._balances.add(account)
        self._journal.append(
            BudgetOpened(
                terms.id,
                terms.scope_kind,
                terms.scope_id,
                terms.period,
                terms.timezone,
                at_ms,
                terms.since_ms,
            )
        )
        await self.caught_up()

    def change_budget(self, terms: BudgetTerms) -> None:
        """New limit, mode or name of an open budget. Raises KeyError, ValueError."""
        account = self._account(terms.id)
        if _fixed(terms) != _fixed(account.terms):
            raise ValueError("the scope, period and timezone of a budget cannot be changed")
        account.terms = terms
        self._put_in_force(account)
        self._room.serve(account)

    async def reset_spent(self, budget_id: str) -> int:
        """Let a budget begin its present period anew; returns what it had spent, now nothing.

        What is held stays held. Raises KeyError, LedgerUnavailableError.
        """
        await self.caught_up()  # a budget that was just opened has counted what came before it
        account = self._account(budget_id)
        at_ms = self._clock_ms()
        balance = account.present(at_ms)
        spent = balance.spent
        if not spent:
            return 0
        start_ms = account.terms.start_ms(account.not_before(at_ms))
        record = AdjustRecord(new_id("adj", at_ms), budget_id, start_ms, -spent, at_ms)
        try:
            self._journal.append_now(record)
        except JournalUnwritableError as error:
            raise LedgerUnavailableError(
                f"nothing was reset: the journal cannot be written ({error})", retry_after_s=1.0
            ) from error
        balance.spent = 0
        self._put_in_force(account)
        self._room.serve(account)
        if self._sync == "always":
            await self._synced()
        await self.caught_up()
        return spent

    async def correct(
        self, record: CorrectRecord, key_id: str, alias: str, held_at_ms: int, group_id: str | None
    ) -> None:
        """Change the cost of an attempt that is done, in the period in which it was held.

        Of two corrections of one attempt the caller lets the first end. A budget that was set to
        nothing since gets nothing back. Raises LedgerUnavailableError; then nothing is corrected.
        """
        await self.caught_up()
        accounts = self._balances.covering(key_id, alias, group_id)
        try:
            self._journal.append_now(record)
        except JournalUnwritableError as error:
            raise LedgerUnavailableError(
                f"nothing was corrected: the journal cannot be written ({error})", retry_after_s=1.0
            ) from error
        for account in accounts:
            start_ms = account.terms.start_ms(held_at_ms)
            if account.terms.prepaid or (balance := account.periods.get(start_ms)) is None:
                continue  # what is billed stays; of a period that is over, or that never counted
            # As it is applied: see `applier.apply`.
            balance.spent = max(0, min(balance.spent + record.nanodollars, INT64_MAX))
            self._room.serve(account)
        if self._sync == "always":
            await self._synced()
        await self.caught_up()

    async def refreshed(self) -> None:
        """Nothing to do: the balances are here, and nobody else changes them."""

    def close_budget(self, budget_id: str) -> None:
        """Count no more for a budget and forget its balances; nothing to do if there is none."""
        account = self._balances.remove(budget_id)
        if account is not None:
            self._journal.append(BudgetClosed(budget_id))
            self._room.serve(account)  # it is in nobody's way any more

    async def close(self, *, timeout_s: float = 10.0) -> None:
        """See `JournalledLedger`."""
        if self._closed:
            return
        self._closed = True
        with suppress(TimeoutError, LedgerUnavailableError):
            async with asyncio.timeout(timeout_s):
                await self.caught_up()
        await self._applier.stop()
        await self._journal.close()
        self.unwritten = self._journal.waiting
        self._lock.release()

    def count_opened(self, budget_id: str, spent: int) -> None:
        """Add what was spent before a budget was opened; called once its opening is applied."""
        if (account := self._balances.get(budget_id)) is not None:
            balance = account.balance(account.first_ms)
            balance.spent = min(balance.spent + spent, INT64_MAX)
            self._put_in_force(account)
            self._room.serve(account)

    # Inside

    def _put_in_force(self, account: Account) -> None:
        """What has been taken by now may be more than the limit; what is taken from now on, not."""
        balance = account.balance(account.latest_ms)
        taken = min(balance.spent + balance.held, INT64_MAX)
        limit = account.terms.enforced_nanodollars
        self._journal.append(LimitRecord(account.terms.id, limit, account.latest_ms, taken))

    def _take(self, claim: Claim, places: list[Place]) -> Hold:
        amount = claim.hold_nanodollars
        scopes = []
        for place in places:
            place.balance.held += amount
            scopes.append((place.account.terms.id, place.start_ms))
        hold = Hold(claim, tuple(scopes), amount, noted_at=time.monotonic())
        self._open[claim.attempt_id] = hold
        self._held += amount
        if claim.at_ms > self._latest_ms:
            self._latest_ms = claim.at_ms
        return hold

    def _give_back(self, hold: Hold) -> None:
        """See `JournalledLedger`."""
        self._close_hold(hold)
        for place in self._balances.of_scopes(hold.scopes):
            place.balance.held -= hold.nanodollars
            self._room.serve(place.account)

    def _close_hold(self, hold: Hold) -> None:
        hold.settled = True
        del self._open[hold.claim.attempt_id]
        self._held -= hold.nanodollars


def _fixed(terms: BudgetTerms) -> tuple[str, str, str, str, int]:
    return terms.scope_kind, terms.scope_id, terms.period, terms.timezone, terms.since_ms
