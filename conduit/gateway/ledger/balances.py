"""The balances of all open budgets in memory, where holds are compared and added."""

from asyncio import Future
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from conduit.core.errors import InsufficientQuotaError
from conduit.gateway.ledger.budgets import SCOPE_KINDS, BudgetTerms, Scope, dollars
from conduit.gateway.ledger.entries import Hold
from conduit.gateway.ledger.records import INT64_MAX, Claim


@dataclass(slots=True, eq=False)
class Balance:
    """What a budget has spent and holds in one period."""

    spent: int = 0
    held: int = 0


@dataclass(slots=True, eq=False)
class Account:
    """An open budget: its terms, its balances by period start, and the claims that wait for it.

    No period before the latest one is opened again, whatever the clock says.
    """

    terms: BudgetTerms
    first_ms: int
    latest_ms: int
    periods: dict[int, Balance]
    waiters: deque["Waiter"] = field(default_factory=deque)

    def not_before(self, at_ms: int) -> int:
        """`at_ms`, or the start of the latest period where that would lie before it."""
        return self.latest_ms if self.terms.start_ms(at_ms) < self.latest_ms else at_ms

    def balance(self, start_ms: int) -> Balance:
        if (found := self.periods.get(start_ms)) is None:
            found = self.periods[start_ms] = Balance()
            self.latest_ms = max(self.latest_ms, start_ms)
            for earlier in [ms for ms, past in self.periods.items() if ms < start_ms]:
                if not self.periods[earlier].held:
                    del self.periods[earlier]
        return found

    @property
    def latest_spent(self) -> int:
        """What was spent in the latest period."""
        balance = self.periods.get(self.latest_ms)
        return 0 if balance is None else balance.spent

    def room(self, at_ms: int) -> int:
        """What could be held once all that is held comes back."""
        return max(self.terms.limit_nanodollars - self.present(at_ms).spent, 0)

    def present(self, at_ms: int) -> Balance:
        """The balance of the period of `at_ms`, which is not begun by asking."""
        start_ms = max(self.terms.start_ms(at_ms), self.latest_ms)
        return self.periods.get(start_ms) or Balance()


class Spending(NamedTuple):
    """What a budget has spent in the latest period that it counted in."""

    terms: BudgetTerms
    period_start_ms: int
    spent: int


@dataclass(slots=True, eq=False)
class Waiter:
    """A claim in the queue of the account that is in its way."""

    claim: Claim
    account: Account
    granted: Future[Hold]


class Place(msgspec.Struct, frozen=True, eq=False):
    """One balance that a claim is held in."""

    account: Account
    start_ms: int
    balance: Balance


class Balances:
    """All accounts, found by what they cover, in a fixed order."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._by_key: dict[str, tuple[Account, ...]] = {}
        self._by_group: dict[str, tuple[Account, ...]] = {}
        self._others: tuple[Account, ...] = ()

    def get(self, budget_id: str) -> Account | None:
        return self._accounts.get(budget_id)

    def add(self, account: Account) -> None:
        terms = account.terms
        self._accounts[terms.id] = account
        if (named := self._named(terms.scope_kind)) is not None:
            of_scope = (*named.get(terms.scope_id, ()), account)
            named[terms.scope_id] = _in_order(of_scope)
        else:
            self._others = _in_order((*self._others, account))

    def remove(self, budget_id: str) -> Account | None:
        account = self._accounts.pop(budget_id, None)
        if account is not None:
            scope_id = account.terms.scope_id
            if (named := self._named(account.terms.scope_kind)) is not None:
                remaining = tuple(a for a in named.pop(scope_id, ()) if a is not account)
                if remaining:
                    named[scope_id] = remaining
            self._others = tuple(a for a in self._others if a is not account)
        return account

    def _named(self, scope_kind: str) -> dict[str, tuple[Account, ...]] | None:
        """Where the accounts of scopes of which there are many are found by the scope's id."""
        return {"key": self._by_key, "group": self._by_group}.get(scope_kind)

    def of_keys(self) -> Iterator[Account]:
        """The accounts of all keys."""
        for accounts in self._by_key.values():
            yield from accounts

    def spent_past(self, percent: int) -> Iterator[Spending]:
        """The budgets that have spent something, and at least so much of their limit."""
        for account in tuple(self._accounts.values()):
            spent = account.latest_spent
            if spent and account.terms.has_reached(percent, spent):
                yield Spending(account.terms, account.latest_ms, spent)

    @property
    def others(self) -> tuple[Account, ...]:
        """The accounts of mappings and of the gateway: few."""
        return self._others

    def covering(self, key_id: str, alias: str | None, group_id: str | None) -> tuple[Account, ...]:
        """The budgets of a call; without an alias, those that do not depend on it."""
        found = self._by_key.get(key_id, ())
        if group_id is not None:
            found += self._by_group.get(group_id, ())
        if not self._others:
            return found
        return found + tuple(
            account
            for account in self._others
            if alias is not None or account.terms.scope_kind == "gateway"
            if account.terms.covers(key_id, alias or "", group_id)
        )

    def place(self, claim: Claim) -> tuple[Claim, list[Place]]:
        """Where the claim is to be held, and the claim with the moment that decides its periods."""
        accounts = self.covering(claim.key_id, claim.alias, claim.group_id)
        starts = []
        for account in accounts:
            start_ms = account.terms.start_ms(claim.at_ms)
            if start_ms < account.latest_ms:  # the clock has been set back
                return _placed_later(claim, accounts)
            starts.append(start_ms)
        places = []
        for account, start_ms in zip(accounts, starts, strict=True):
            places.append(Place(account, start_ms, account.balance(start_ms)))
        return claim, places

    def of_scopes(self, scopes: Iterable[Scope]) -> list[Place]:
        """The balances of a hold, less those of budgets that have been closed."""
        places = []
        for budget_id, start_ms in scopes:
            account = self._accounts.get(budget_id)
            if account is not None:
                places.append(Place(account, start_ms, account.balance(start_ms)))
        return places


def _placed_later(claim: Claim, accounts: Sequence[Account]) -> tuple[Claim, list[Place]]:
    """Where a claim is held at the earliest moment that is in no period before the latest one of
    an account.
    """
    at_ms = claim.at_ms
    for account in accounts:
        at_ms = account.not_before(at_ms)
    starts = [(account, account.terms.start_ms(at_ms)) for account in accounts]
    places = [Place(account, start, account.balance(start)) for account, start in starts]
    return msgspec.structs.replace(claim, at_ms=at_ms), places


def obstacle(
    places: Iterable[Place], nanodollars: int, *, served: Account | None = None
) -> Account | None:
    """The first budget in which held money is in the way; None: there is room in all.

    Who comes where others wait stands behind them, but for the account whose queue is being
    `served`. Raises InsufficientQuotaError where the spent money alone leaves no room.
    """
    blocking: Account | None = None
    for place in places:
        account, balance = place.account, place.balance
        terms = account.terms
        limit, hard = terms.limit_nanodollars, terms.hard
        spent = balance.spent + nanodollars
        if hard and spent > limit:
            raise _exhausted(terms, balance.spent, nanodollars)
        taken = spent + balance.held
        if taken > INT64_MAX:
            raise InsufficientQuotaError(f"{terms.label} has reached the most that can be counted")
        if hard and blocking is None:
            queued = account.waiters and account is not served
            if queued or taken > limit:
                blocking = account
    return blocking


_OWN_KINDS = frozenset({"key", "group"})


def _exhausted(terms: BudgetTerms, spent: int, nanodollars: int) -> InsufficientQuotaError:
    limit = terms.limit_nanodollars
    if terms.prepaid and spent < limit:
        return InsufficientQuotaError(
            f"the prepaid balance of {terms.label} is {dollars(limit - spent)}, "
            f"and this request may cost {dollars(nanodollars)}",
            hint="lower max_tokens, or have the balance of the group credited",
        )
    is_own = terms.scope_kind in _OWN_KINDS  # others have spent of the rest, and it is their matter
    if spent >= limit:
        told = f" ({dollars(spent)} of {dollars(limit)})" if is_own else ""
        return InsufficientQuotaError(f"{terms.spent_up}{told}")
    if not is_own:
        return InsufficientQuotaError(
            f"{terms.label} has too little left of its budget for this request, which may cost "
            f"{dollars(nanodollars)}",
            hint="lower max_tokens, or raise the budget",
        )
    return InsufficientQuotaError(
        f"{terms.label} has {dollars(limit - spent)} left of its budget of {dollars(limit)}, "
        f"and this request may cost {dollars(nanodollars)}",
        hint="lower max_tokens, or raise the budget",
    )


def _in_order(accounts: tuple[Account, ...]) -> tuple[Account, ...]:
    """By kind of scope as `SCOPE_KINDS` has them, then the oldest first."""
    return tuple(
        sorted(accounts, key=lambda a: (SCOPE_KINDS.index(a.terms.scope_kind), a.terms.id))
    )
