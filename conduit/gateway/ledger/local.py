"""The ledger of a single process: balances in memory, a journal on disk, the database behind."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from conduit.core.errors import LedgerUnavailableError
from conduit.core.ids import new_id, now_ms
from conduit.gateway.ledger.applier import Applier
from conduit.gateway.ledger.balances import (
    Account,
    Balance,
    Balances,
    Place,
    Spending,
    obstacle,
)
from conduit.gateway.ledger.budgets import SCOPE_KINDS, BudgetTerms
from conduit.gateway.ledger.entries import (
    EMPTY_USAGE,
    AttemptOutcome,
    Hold,
    LedgerState,
    Settlement,
    UsageSource,
)
from conduit.gateway.ledger.journal import SHARE_FOR_REPLIES, Journal, JournalUnwritableError, Sync
from conduit.gateway.ledger.lock import LedgerLock
from conduit.gateway.ledger.records import (
    INT64_MAX,
    AdjustRecord,
    BudgetClosed,
    BudgetOpened,
    Claim,
    CorrectRecord,
    ProgressRecord,
    ReplyRecord,
    RequestRecord,
    TopUpRecord,
    bounded,
)
from conduit.gateway.ledger.recovery import Recovery
from conduit.gateway.ledger.storable import settle_record, storable_claim, storable_record
from conduit.gateway.ledger.waiting import WaitingRoom

MOST_UNAPPLIED_BYTES = 1 << 30
_NOTE_TOKENS = 256
_NOTE_S = 1.0
# Request records that may wait in memory while the journal cannot be written; settlements always.
_MOST_WAITING = 10_000


@dataclass(frozen=True, slots=True)
class LedgerParts:
    """What opening a ledger puts together."""

    balances: Balances
    journal: Journal
    applier: Applier
    recovery: Recovery
    lock: LedgerLock


class LocalLedger:
    """Implements `entries.Ledger`; made by `opening.open_ledger`, belongs to one event loop."""

    def __init__(
        self,
        parts: LedgerParts,
        *,
        sync: Sync,
        most_unapplied_bytes: int = MOST_UNAPPLIED_BYTES,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self.recovery = parts.recovery
        self._balances = parts.balances
        self._journal = parts.journal
        self._applier = parts.applier
        self._lock = parts.lock
        self._sync = sync
        self._most_unapplied_bytes = most_unapplied_bytes
        self._clock_ms = clock_ms
        self._open: dict[str, Hold] = {}
        self._held = 0
        self._latest_ms = 0  # of the claims
        self._dropped = 0
        self._closed = False
        self.unwritten = 0
        """Records that were lost when the ledger was closed, because the disk did not take them."""
        self._room = WaitingRoom(parts.balances, self._take, self._give_back)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # The request path

    async def hold(self, claim: Claim, *, wait_s: float = 2.0) -> Hold:
        """See `entries.Ledger`. A cancelled call holds nothing."""
        if (reason := self._unavailable()) is not None:
            raise _unavailable(reason)
        if claim.attempt_id in self._open:
            raise ValueError(f"attempt {claim.attempt_id} is held already")
        claim, places = self._balances.place(storable_claim(claim))
        blocking = obstacle(places, claim.hold_nanodollars)
        if blocking is None:
            hold = self._take(claim, places)
        else:
            hold = await self._room.wait(claim, blocking, wait_s)
        try:
            self._journal.append_now(hold.claim)
        except JournalUnwritableError as error:
            self._give_back(hold)
            raise _unavailable(f"the journal cannot be written ({error})") from error
        if self._sync == "always":
            await self._sync_hold(hold)
        return hold

    def affordable(
        self, key_id: str, alias: str | None = None, group_id: str | None = None
    ) -> int | None:
        at_ms = self._clock_ms()
        rooms = [
            account.room(at_ms)
            for account in self._balances.covering(key_id, alias, group_id)
            if account.terms.hard
        ]
        return min(rooms, default=None)

    def exhausted(self, key_id: str, group_id: str | None = None) -> BudgetTerms | None:
        accounts = self._balances.covering(key_id, None, group_id)
        if not accounts:
            return None
        at_ms = self._clock_ms()
        for account in accounts:
            terms = account.terms
            if terms.mode == "hard" and account.present(at_ms).spent >= terms.limit_nanodollars:
                return terms
        return None

    def is_bounded(self, alias: str) -> bool:
        others = self._balances.others
        return bool(others) and any(
            account.terms.hard and account.terms.covers("", alias, None) for account in others
        )

    def progress(self, hold: Hold, output_tokens: int) -> None:
        """May be called for every chunk: a note is written every second or 256 tokens."""
        now = time.monotonic()
        if output_tokens - hold.noted_tokens < _NOTE_TOKENS and now - hold.noted_at < _NOTE_S:
            return
        # A note is of no use once it is late, so none waits for a full disk.
        if hold.settled or self._journal.failure is not None:
            return
        hold.noted_tokens = output_tokens
        hold.noted_at = now
        self._journal.append(ProgressRecord(hold.claim.attempt_id, bounded(output_tokens)))

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
        cost = bounded(settlement.cost_nanodollars)
        for place in places:
            cost = min(cost, INT64_MAX - place.balance.spent)
        self._close_hold(hold)
        for place in places:
            place.balance.held -= hold.nanodollars
            place.balance.spent += cost
        self._journal.append(settle_record(hold, settlement, cost))
        for place in places:
            if place.account.waiters:
                self._room.serve(place.account)

    def record(self, record: RequestRecord) -> None:
        """See `entries.Ledger`."""
        if self._journal.failure is not None and self._journal.waiting >= _MOST_WAITING:
            self._dropped += 1
            return
        self._journal.append(storable_record(record))

    def reply(self, record: ReplyRecord) -> None:
        """Write a reply, with the settlement that came before it, by the time this returns.

        What is given to the client then is not forgotten, whenever this process is killed. While
        the disk is full it waits in memory, as settlements do.
        """
        self._journal.append(record)
        self._journal.flush()
        if self._sync == "always":
            self._journal.sync_soon()

    @property
    def has_room(self) -> bool:
        """Whether the journal may take what is not a matter of money."""
        room = self._most_unapplied_bytes // SHARE_FOR_REPLIES
        return self._journal.failure is None and self._unapplied_bytes() < room

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
            if (balance := account.periods.get(start_ms)) is None:
                continue  # of a period that is over, or before the first one that counts
            balance.spent = min(balance.spent + record.nanodollars, INT64_MAX)
            if balance.spent < 0:
                self._journal.append(
                    AdjustRecord(
                        new_id("adj", record.at_ms),
                        account.terms.id,
                        start_ms,
                        -balance.spent,
                        record.at_ms,
                    )
                )
                balance.spent = 0
            self._room.serve(account)
        if self._sync == "always":
            await self._synced()
        await self.caught_up()

    async def refreshed(self) -> None:
        """Nothing to do: the balances are here, and nobody else changes them."""

    def overspent_keys(self) -> set[str]:
        """The ids of keys of which a budget is spent up, soft ones too."""
        at_ms = self._clock_ms()
        return {
            account.terms.scope_id
            for account in self._balances.of_keys()
            if account.present(at_ms).spent >= account.terms.limit_nanodollars
        }

    def spent_past(self, percent: int) -> Iterator[Spending]:
        """The open budgets of which at least such a share is spent, soft ones too.

        Of the latest period that a budget counted in; whether that is over, the caller asks. They
        may change while they are gone through.
        """
        return self._balances.spent_past(percent)

    def close_budget(self, budget_id: str) -> None:
        """Count no more for a budget and forget its balances; nothing to do if there is none."""
        account = self._balances.remove(budget_id)
        if account is not None:
            self._journal.append(BudgetClosed(budget_id))
            self._room.serve(account)  # it is in nobody's way any more

    def balance_of(self, budget_id: str, at_ms: int) -> tuple[int, int, int]:
        """(spent, held, period start in ms) of the period that holds `at_ms`. Raises KeyError."""
        account = self._account(budget_id)
        balance = account.present(at_ms)
        return balance.spent, balance.held, account.terms.start_ms(account.not_before(at_ms))

    async def caught_up(self) -> None:
        """Wait until everything written before this call is in the database.

        Raises LedgerUnavailableError where a damaged journal prevents it.
        """
        await self._journal.drained()
        await self._applier.caught_up()

    async def close(self, *, timeout_s: float = 10.0) -> None:
        """Refuse further holds, write, apply within `timeout_s`, close all and free the lock.

        What is not applied by then is applied at the next start.
        """
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
            self._room.serve(account)

    # Inside

    def _take(self, claim: Claim, places: list[Place]) -> Hold:
        amount = claim.hold_nanodollars
        for place in places:
            place.balance.held += amount
        scopes = tuple([(place.account.terms.id, place.start_ms) for place in places])
        hold = Hold(claim, scopes, amount, noted_at=time.monotonic())
        self._open[claim.attempt_id] = hold
        self._held += amount
        if claim.at_ms > self._latest_ms:
            self._latest_ms = claim.at_ms
        return hold

    def _give_back(self, hold: Hold) -> None:
        """Undo a hold that is not in the journal."""
        self._close_hold(hold)
        for place in self._balances.of_scopes(hold.scopes):
            place.balance.held -= hold.nanodollars
            self._room.serve(place.account)

    def _close_hold(self, hold: Hold) -> None:
        hold.settled = True
        del self._open[hold.claim.attempt_id]
        self._held -= hold.nanodollars

    async def _synced(self) -> None:
        """Wait for the disk. Raises LedgerUnavailableError."""
        try:
            await self._journal.synced()
        except JournalUnwritableError as error:
            raise _unavailable(f"the journal cannot be synced ({error})") from error

    async def _sync_hold(self, hold: Hold) -> None:
        """Wait for the disk; a hold that was in vain settles at nothing."""
        try:
            await self._synced()
        except (LedgerUnavailableError, asyncio.CancelledError):
            self.settle(hold, self._unused())
            raise

    def _unused(self) -> Settlement:
        return Settlement(
            outcome=AttemptOutcome.STOPPED,
            usage=EMPTY_USAGE,
            usage_source=UsageSource.NONE,
            cost_nanodollars=0,
            billed_nanodollars=0,
            at_ms=self._clock_ms(),
            error_code=LedgerUnavailableError.code,
        )

    def _unavailable(self) -> str | None:
        """Why no money can be held, None if it can."""
        if self._closed:
            return "the ledger is closed"
        if (failure := self._journal.failure) is not None:
            return f"the journal cannot be written ({failure})"
        if (damage := self._applier.damage) is not None:
            return damage
        if self._unapplied_bytes() > self._most_unapplied_bytes:
            return f"too much waits to be applied to the database: {self._warning()}"
        return None

    def _warning(self) -> str | None:
        """What the operator should know although money can be held."""
        if (trouble := self._applier.trouble) is not None:
            return f"the database does not take the journal ({trouble})"
        if self._dropped:
            return f"{self._dropped} request records were dropped while the disk was full"
        return None

    def _unapplied_bytes(self) -> int:
        return self._journal.bytes_written - self._applier.bytes_applied

    def _account(self, budget_id: str) -> Account:
        if (account := self._balances.get(budget_id)) is None:
            raise KeyError(budget_id)
        return account


def _unavailable(reason: str) -> LedgerUnavailableError:
    return LedgerUnavailableError(f"no money can be held: {reason}", retry_after_s=1.0)


def _fixed(terms: BudgetTerms) -> tuple[str, str, str, str, int]:
    return terms.scope_kind, terms.scope_id, terms.period, terms.timezone, terms.since_ms
