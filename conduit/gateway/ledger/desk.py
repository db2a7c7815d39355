"""Where the claims of a process are held in the database: all that have come, in one transaction.

One round of claims costs as many round trips as a single claim, and locks a balance that all of
them want once. What cannot be granted because of held money waits here, first come first served.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from conduit.core.errors import ConduitError, InsufficientQuotaError
from conduit.core.ids import now_ms
from conduit.gateway.ledger.balances import Account, Place, obstacle
from conduit.gateway.ledger.budgets import Scope
from conduit.gateway.ledger.entries import Hold
from conduit.gateway.ledger.journalled import unavailable, unused
from conduit.gateway.ledger.postings import post
from conduit.gateway.ledger.records import INT64_MAX, Claim
from conduit.gateway.ledger.shared_terms import SharedTerms
from conduit.gateway.ledger.storable import settle_record
from conduit.gateway.ledger.waiting import MOST_WAITERS, held_by_others
from conduit.gateway.storage.ledger.shared_tables import SharedTables, SharedWriter
from conduit.gateway.storage.ledger.statements import StorageFailedError
from conduit.gateway.storage.ledger.tables import LedgerTakenError

log = logging.getLogger(__name__)

_MOST_AT_ONCE: Final = 200
_AGAIN_S: Final = 0.025
"""Between looks at whether held money has come back."""
_RESOLVED_EVERY_S: Final = 1.0
_ROUND_S: Final = 5.0
_CLOSING_S: Final = 2.0


@dataclass(slots=True, eq=False)
class _Wanted:
    """A claim that somebody waits for. `account` is in its way; `until` it can wait, if at all."""

    claim: Claim
    wait_s: float
    granted: asyncio.Future[Hold]
    account: Account | None = None
    until: float | None = None
    hold: Hold | None = None
    refusal: ConduitError | None = None


@dataclass(slots=True, eq=False)
class _More:
    """A stream that wants to hold more."""

    hold: Hold
    nanodollars: int
    granted: asyncio.Future[bool]
    fits: bool = False


@dataclass(slots=True)
class _Round:
    """What one transaction decides."""

    wanted: list[_Wanted]
    more: list[_More]
    in_doubt: list[Claim] = field(default_factory=list)


class HoldingDesk:
    """Belongs to one event loop. `granted` is told of every hold, before the one who waits is.

    A claim whose commit nobody told of is looked for until the database says what became of it: one
    that was stored settles at nothing, as its call was never sent.
    """

    def __init__(
        self,
        tables: SharedTables,
        terms: SharedTerms,
        *,
        granted: Callable[[Hold], None],
        given_back: Callable[[Hold], None],
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._tables = tables
        self._terms = terms
        self._granted = granted
        self._given_back = given_back
        self._clock_ms = clock_ms
        self._come: list[_Wanted] = []
        self._waiting: list[_Wanted] = []
        self._more: list[_More] = []
        self._in_doubt: list[Claim] = []
        self._due = asyncio.Event()
        self._closing = False
        self.damage: str | None = None
        """Why nothing will be held any more."""
        self._task = asyncio.create_task(self._run(), name="holding desk")

    @property
    def waiting(self) -> int:
        """How many claims wait for held money."""
        return len(self._waiting)

    @property
    def lost(self) -> str | None:
        """Why the database cannot be asked now."""
        return self._tables.lost

    async def hold(self, claim: Claim, wait_s: float) -> Hold:
        """Hold a claim in all its budgets. See `entries.Ledger.hold`."""
        if self.damage is not None:
            raise unavailable(self.damage)
        wanted = _Wanted(claim, wait_s, asyncio.get_running_loop().create_future())
        self._come.append(wanted)
        self._due.set()
        return await wanted.granted

    async def top_up(self, hold: Hold, nanodollars: int) -> bool:
        """Hold more for an attempt whose row is in the database. Raises LedgerUnavailableError."""
        if self.damage is not None:
            raise unavailable(self.damage)
        more = _More(hold, nanodollars, asyncio.get_running_loop().create_future())
        self._more.append(more)
        self._due.set()
        return await more.granted

    def wake(self) -> None:
        """Money may have come back, or terms have changed."""
        if self._waiting:
            self._due.set()

    async def close(self) -> None:
        """Refuse who still waits, and find out about what is in doubt if that is quickly done."""
        self._closing = True
        self._due.set()
        await asyncio.wait([self._task])
        await self._tables.close()

    async def _run(self) -> None:
        while not self._closing:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._due.wait()
            self._due.clear()
            if (due := self._next_round()) is not None:
                await self._serve(due, _ROUND_S)
        self._refuse(_Round(self._come + self._waiting, self._more), "the ledger is closed")
        if self._in_doubt:
            await self._serve(_Round([], [], self._in_doubt[:]), _CLOSING_S)

    def _pause_s(self) -> float | None:
        """How long until there is something to do that nobody tells of."""
        if self._come or self._more:
            return 0.0
        if self._waiting:
            return _AGAIN_S
        return _RESOLVED_EVERY_S if self._in_doubt else None

    def _next_round(self) -> _Round | None:
        now = time.monotonic()
        for each in self._waiting:
            if each.until is not None and each.until <= now and not each.granted.done():
                assert each.account is not None, "it waits for one"
                each.granted.set_exception(held_by_others(each.account))
        waiting = [each for each in self._waiting if not each.granted.done()]
        come = [each for each in self._come[:_MOST_AT_ONCE] if not each.granted.done()]
        self._waiting, self._come = [], self._come[_MOST_AT_ONCE:]
        more, self._more = self._more, []
        if waiting or come or more or self._in_doubt:
            return _Round(waiting + come, more, self._in_doubt[:])
        return None

    async def _serve(self, due: _Round, within_s: float) -> None:
        try:
            await self._tables.write(lambda writer: self._decide(writer, due), within_s)
        except LedgerTakenError as error:
            self.damage = str(error)
            self._refuse(due, self.damage)
        except StorageFailedError as error:
            self._in_doubt += [each.hold.claim for each in due.wanted if each.hold is not None]
            self._refuse(due, f"the database does not answer ({error})")
        except Exception as error:  # a fault of this program: who waits must not wait for ever
            log.exception("claims could not be held")
            self._in_doubt += [each.hold.claim for each in due.wanted if each.hold is not None]
            self._refuse(due, repr(error))
        else:
            del self._in_doubt[: len(due.in_doubt)]
            self._answer(due)

    # Within the transaction

    def _decide(self, writer: SharedWriter, due: _Round) -> None:
        """Nothing is kept of an earlier run of it: the transaction may have to begin anew."""
        terms = self._terms
        rows = {row.attempt_id for row in writer.attempts(e.hold.claim.attempt_id for e in due.more)
                if row.state == "open"}  # fmt: skip
        growing = [each for each in due.more if each.hold.claim.attempt_id in rows]
        placed = [(each, *terms.balances.place(each.claim)) for each in due.wanted]
        topped = [(each, terms.scopes_of(each.hold.claim)) for each in growing]
        doubted = [scope for claim in due.in_doubt for scope in terms.scopes_of(claim)]
        scopes: set[Scope] = {scope for _, of_hold in topped for scope in of_hold} | set(doubted)
        scopes |= {_scope(place) for _, _, places in placed for place in places}
        locked = writer.lock_balances(scopes)
        self._settle_doubted(writer, due.in_doubt)
        # Nothing is awaited from here until all is decided: the balances in memory are those that
        # are locked.
        taken = {scope: spent + held for scope, (spent, held) in locked.items()}
        changes: Counter[Scope] = Counter()
        for each, of_hold in topped:
            each.fits = self._grow(each, of_hold, taken, changes)
        for scope, (spent, held) in locked.items():
            terms.saw(scope, spent, held + changes[scope])
        granted = _grant(placed)
        postings = post(granted, {}, terms.counting, writer.journal)
        writer.insert_attempts(postings.inserts)
        writer.grow_holds(
            [(each.nanodollars, each.hold.claim.attempt_id) for each in growing if each.fits]
        )
        writer.add_to_balances(
            [*postings.balances, *((*scope, 0, held) for scope, held in changes.items())]
        )

    def _grow(
        self,
        more: _More,
        scopes: Sequence[Scope],
        taken: dict[Scope, int],
        changes: Counter[Scope],
    ) -> bool:
        for scope in scopes:
            account = self._terms.balances.get(scope[0])
            assert account is not None, "what counts has an account"
            limit = account.terms.limit_nanodollars if account.terms.hard else INT64_MAX
            if taken[scope] + more.nanodollars > limit:
                return False
        for scope in scopes:
            taken[scope] += more.nanodollars
            changes[scope] += more.nanodollars
        return True

    def _settle_doubted(self, writer: SharedWriter, claims: Sequence[Claim]) -> None:
        """The lock of their balances was had: what stored them has ended, so or so."""
        if not claims:
            return
        rows = {row.attempt_id: row for row in writer.attempts(c.attempt_id for c in claims)}
        records = [
            settle_record(Hold(claim, (), claim.hold_nanodollars), unused(self._clock_ms()), 0)
            for claim in claims
            if claim.attempt_id in rows
        ]
        postings = post(records, rows, self._terms.counting, writer.journal)
        writer.settle_attempts(postings.settles)
        writer.add_to_balances(postings.balances)

    # After it

    def _answer(self, due: _Round) -> None:
        for more in due.more:
            if more.fits:
                more.hold.nanodollars += more.nanodollars
            if not more.granted.done():
                more.granted.set_result(more.fits)
        waiting_for: Counter[str] = Counter()
        for each in due.wanted:
            if (hold := each.hold) is not None:
                self._granted(hold)
                if each.granted.done():  # its caller has gone meanwhile
                    self._given_back(hold)
                else:
                    each.granted.set_result(hold)
            elif each.granted.done():
                continue
            elif each.refusal is not None:
                each.granted.set_exception(each.refusal)
            else:
                self._let_wait(each, waiting_for)

    def _let_wait(self, wanted: _Wanted, waiting_for: Counter[str]) -> None:
        assert wanted.account is not None, "something is in its way"
        if wanted.until is None:
            wanted.until = time.monotonic() + wanted.wait_s
        account = wanted.account
        waiting_for[account.terms.id] += 1
        if wanted.wait_s <= 0 or waiting_for[account.terms.id] > MOST_WAITERS:
            wanted.granted.set_exception(held_by_others(account))
        else:
            self._waiting.append(wanted)

    def _refuse(self, due: _Round, reason: str) -> None:
        error = unavailable(reason)
        for wanted in due.wanted:
            if not wanted.granted.done():
                wanted.granted.set_exception(error)
        for more in due.more:
            if not more.granted.done():
                more.granted.set_exception(error)


def _grant(placed: Sequence[tuple[_Wanted, Claim, list[Place]]]) -> list[Claim]:
    """Take what fits of the balances in memory, in the order in which it came."""
    granted: list[Claim] = []
    queued: set[int] = set()  # accounts that somebody before waits for
    for each, claim, places in placed:
        each.hold = each.account = each.refusal = None
        try:
            blocking = obstacle(places, claim.hold_nanodollars)
        except InsufficientQuotaError as error:
            each.refusal = error
            continue
        if blocking is None:
            blocking = next(
                (place.account for place in places if id(place.account) in queued), None
            )
        if blocking is not None:
            each.account = blocking
            queued.add(id(blocking))
            continue
        for place in places:
            place.balance.held += claim.hold_nanodollars
        scopes = tuple(map(_scope, places))
        each.hold = Hold(claim, scopes, claim.hold_nanodollars, noted_at=time.monotonic())
        granted.append(claim)
    return granted


def _scope(place: Place) -> Scope:
    return place.account.terms.id, place.start_ms
