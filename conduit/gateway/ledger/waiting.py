"""Claims that wait, first come first served, for held money to come back."""

import asyncio
from collections.abc import Callable

from conduit.core.errors import BudgetHeldError, InsufficientQuotaError
from conduit.gateway.ledger.balances import Account, Balances, Place, Waiter, obstacle
from conduit.gateway.ledger.budgets import dollars
from conduit.gateway.ledger.entries import Hold
from conduit.gateway.ledger.records import Claim

MOST_WAITERS = 64
_RETRY_AFTER_S = 1.0

Take = Callable[[Claim, list[Place]], Hold]


class WaitingRoom:
    """One queue a budget. Money is taken for a waiter in the moment it is found to fit."""

    def __init__(self, balances: Balances, take: Take, release: Callable[[Hold], None]) -> None:
        self._balances = balances
        self._take = take
        self._release = release
        self.count = 0

    async def wait(self, claim: Claim, account: Account, wait_s: float) -> Hold:
        """Wait for the hold. Raises BudgetHeldError after `wait_s`, InsufficientQuotaError."""
        loop = asyncio.get_running_loop()
        waiter = Waiter(claim, account, loop.create_future())
        if wait_s <= 0 or not self._enqueue(waiter, account):
            raise held_by_others(account)
        timer = loop.call_later(wait_s, self._expire, waiter)
        self.count += 1
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            self._abandon(waiter)
            raise
        finally:
            self.count -= 1
            timer.cancel()

    def serve(self, account: Account) -> None:
        """Grant what fits now, in order; the first that does not fit ends it."""
        while account.waiters:
            waiter = account.waiters[0]
            if waiter.granted.done():  # its caller has gone in this very turn
                account.waiters.popleft()
                continue
            claim, places = self._balances.place(waiter.claim)
            try:
                blocking = obstacle(places, claim.hold_nanodollars, served=account)
            except InsufficientQuotaError as error:
                account.waiters.popleft()
                waiter.granted.set_exception(error)
                continue
            if blocking is account:
                return
            account.waiters.popleft()
            if blocking is None:
                waiter.granted.set_result(self._take(claim, places))
            elif not self._enqueue(waiter, blocking):
                waiter.granted.set_exception(held_by_others(blocking))

    def _enqueue(self, waiter: Waiter, account: Account) -> bool:
        if len(account.waiters) >= MOST_WAITERS:
            return False
        waiter.account = account
        account.waiters.append(waiter)
        return True

    def _expire(self, waiter: Waiter) -> None:
        if not waiter.granted.done():
            self._leave(waiter)
            waiter.granted.set_exception(held_by_others(waiter.account))

    def _abandon(self, waiter: Waiter) -> None:
        """The caller has gone: give its place to others, or the money that it just got."""
        if waiter.granted.cancelled():
            self._leave(waiter)
        elif waiter.granted.exception() is None:
            self._release(waiter.granted.result())

    def _leave(self, waiter: Waiter) -> None:
        if waiter in waiter.account.waiters:
            waiter.account.waiters.remove(waiter)
        self.serve(waiter.account)


def held_by_others(account: Account) -> BudgetHeldError:
    """The refusal of a claim for which held money did not come back in time."""
    terms = account.terms
    return BudgetHeldError(
        f"running requests of {terms.label} hold what is left of its budget of "
        f"{dollars(terms.limit_nanodollars)}",
        retry_after_s=_RETRY_AFTER_S,
    )
