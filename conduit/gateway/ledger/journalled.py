"""What the ledgers have in common: balances in memory, and a journal that goes to the database."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

from conduit.core.errors import LedgerUnavailableError
from conduit.gateway.ledger.applier import Applier
from conduit.gateway.ledger.balances import Account, Balances, Spending
from conduit.gateway.ledger.entries import (
    EMPTY_USAGE,
    AttemptOutcome,
    Hold,
    Settlement,
    UsageSource,
)
from conduit.gateway.ledger.journal import SHARE_FOR_REPLIES, Journal, JournalUnwritableError, Sync
from conduit.gateway.ledger.lock import LedgerLock
from conduit.gateway.ledger.records import ProgressRecord, ReplyRecord, RequestRecord, bounded
from conduit.gateway.ledger.recovery import Recovery
from conduit.gateway.ledger.storable import storable_record

_NOTE_TOKENS = 256
_NOTE_S = 1.0
# Request records that may wait in memory while the journal cannot be written; settlements always.
_MOST_WAITING = 10_000


@dataclass(frozen=True, slots=True)
class LedgerParts:
    """What opening any ledger puts together."""

    journal: Journal
    applier: Applier
    recovery: Recovery
    lock: LedgerLock


class JournalledLedger(ABC):
    """What of `entries.Ledger` is the same wherever money is held. It belongs to one event loop."""

    def __init__(
        self,
        parts: LedgerParts,
        balances: Balances,
        *,
        sync: Sync,
        most_unapplied_bytes: int,
        clock_ms: Callable[[], int],
    ) -> None:
        self.recovery = parts.recovery
        self._journal = parts.journal
        self._applier = parts.applier
        self._lock = parts.lock
        self._balances = balances
        self._sync = sync
        self._most_unapplied_bytes = most_unapplied_bytes
        self._clock_ms = clock_ms
        self._open: dict[str, Hold] = {}
        self._dropped = 0
        self._closed = False
        self.unwritten = 0
        """Records that were lost when the ledger was closed, because the disk did not take them."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @abstractmethod
    async def close(self, *, timeout_s: float = 10.0) -> None:
        """Refuse further holds, write, apply within `timeout_s`, close all and free the lock.

        What is not applied by then is applied at the next start.
        """

    # The request path

    def affordable(
        self, key_id: str, alias: str | None = None, group_id: str | None = None
    ) -> int | None:
        """See `entries.Ledger`."""
        at_ms = self._clock_ms()
        rooms = [
            account.room(at_ms)
            for account in self._balances.covering(key_id, alias, group_id)
            if account.terms.hard
        ]
        return min(rooms, default=None)

    def is_bounded(self, alias: str) -> bool:
        """See `entries.Ledger`."""
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

    @abstractmethod
    def settle(self, hold: Hold, settlement: Settlement) -> None:
        """See `entries.Ledger`."""

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

    # Administration

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
        may change while they are gone through. Of several processes, each tells of the budgets
        that it has to do with itself: of those it is up to date.
        """
        return self._balances.spent_past(percent)

    def balance_of(self, budget_id: str, at_ms: int) -> tuple[int, int, int]:
        """(spent, held, period start in ms) of the period that holds `at_ms`. Raises KeyError."""
        account = self._account(budget_id)
        balance = account.present(at_ms)
        return balance.spent, balance.held, account.terms.start_ms(account.not_before(at_ms))

    async def caught_up(self) -> None:
        """Wait until everything that this process wrote before this call is in the database.

        Raises LedgerUnavailableError where a damaged journal prevents it.
        """
        await self._journal.drained()
        await self._applier.caught_up()

    # Inside

    async def _synced(self) -> None:
        """Wait for the disk. Raises LedgerUnavailableError."""
        try:
            await self._journal.synced()
        except JournalUnwritableError as error:
            raise unavailable(f"the journal cannot be synced ({error})") from error

    async def _journalled(self, hold: Hold) -> None:
        """Have a hold in the journal, and on the disk where that is asked for.

        Raises LedgerUnavailableError, or CancelledError, after which nothing is held.
        """
        written = self._journal.append_awaited(hold.claim)
        try:
            await written
            if self._sync == "always":
                await self._synced()
        except JournalUnwritableError as error:
            self._give_back(hold)
            raise unavailable(f"the journal cannot be written ({error})") from error
        except asyncio.CancelledError:
            if _has_failed(written):
                self._give_back(hold)
            else:
                self._let_go(hold)
            raise
        except LedgerUnavailableError:
            self._let_go(hold)
            raise

    @abstractmethod
    def _give_back(self, hold: Hold) -> None:
        """Undo a hold that is not in the journal."""

    def _let_go(self, hold: Hold) -> None:
        """End a hold in the journal that nobody is left to use: it settles at nothing."""
        self.settle(hold, unused(self._clock_ms()))

    def _unavailable(self) -> str | None:
        """Why no money can be held, None if it can."""
        if self._closed:
            return "the ledger is closed"
        if (failure := self._journal.failure) is not None:
            return f"the journal cannot be written ({failure})"
        if (damage := self._damage()) is not None:
            return damage
        if self._unapplied_bytes() > self._most_unapplied_bytes:
            return f"too much waits to be applied to the database: {self._warning()}"
        return None

    def _damage(self) -> str | None:
        """Why nothing will be held any more."""
        return self._applier.damage

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


def _has_failed(written: asyncio.Future[None]) -> bool:
    return written.done() and not written.cancelled() and written.exception() is not None


def unused(at_ms: int) -> Settlement:
    """The end of a hold that was in vain: its call was never sent."""
    return Settlement(
        outcome=AttemptOutcome.STOPPED,
        usage=EMPTY_USAGE,
        usage_source=UsageSource.NONE,
        cost_nanodollars=0,
        billed_nanodollars=0,
        at_ms=at_ms,
        error_code=LedgerUnavailableError.code,
    )


def unavailable(reason: str) -> LedgerUnavailableError:
    """The refusal of a claim for which no money can be held, and why."""
    return LedgerUnavailableError(f"no money can be held: {reason}", retry_after_s=1.0)
