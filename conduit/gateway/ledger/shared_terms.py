"""What a process knows of the budgets of a shared ledger, and how old that is."""

import time
from collections.abc import Callable, Iterable

from conduit.core.ids import now_ms
from conduit.gateway.ledger.balances import Account, Balance, Balances
from conduit.gateway.ledger.budgets import SCOPE_KINDS, OpenBudgets, Scope
from conduit.gateway.ledger.records import Claim
from conduit.gateway.ledger.recovery import (
    is_in_force,
    open_uncounted,
    put_limits_in_force,
    terms_of,
)
from conduit.gateway.storage.ledger.shared_tables import present_balances
from conduit.gateway.storage.ledger.statements import LedgerReader, LedgerWriter

FRESH_S = 1.0
"""What is older is asked for anew before anybody is told of it."""


class SharedTerms:
    """All budgets that count as of a revision, and their balances as they were seen last.

    The terms are exact within a transaction of `SharedTables`. The balances are a cache: only those
    that a transaction has locked are exact, and only as long as it lasts.
    """

    def __init__(
        self,
        clock_ms: Callable[[], int] = now_ms,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.revision = -1
        self.counting = OpenBudgets()
        self.balances = Balances()
        self.wanted: set[str] = set()
        """The budgets that were asked about since they were read last."""
        self._clock_ms = clock_ms
        self._clock = clock
        self._ids: set[str] = set()
        self._seen_at: dict[str, float] = {}

    @property
    def are_whole(self) -> bool:
        """Whether every budget counted that was stored when they were read."""
        return self.revision >= 0

    def load(self, reader: LedgerReader, revision: int) -> bool:
        """See `storage.ledger.shared_tables.Terms`. Accounts stay the same objects."""
        stored = {budget.id: budget for budget in reader.budgets()}
        present = {row[0]: row[1:] for row in present_balances(reader)}
        known = self._ids
        self._ids = stored.keys() & present.keys()
        for budget_id in known - self._ids:
            self.forget(budget_id)
        for budget_id in self._ids:
            terms = terms_of(stored[budget_id])
            first_ms, latest_ms, spent, held = present[budget_id]
            account = self.balances.get(budget_id)
            if account is None:
                account = Account(terms, first_ms, latest_ms, {latest_ms: Balance()})
                self.balances.add(account)
                self.counting.add(terms, first_ms)
            elif account.terms != terms:
                account.terms = terms
                self.counting.add(terms, account.first_ms)
            self.saw((budget_id, latest_ms), spent, held)
        self.revision = revision
        in_force = reader.limits_in_force()
        return all(
            budget.id in self._ids and is_in_force(budget, in_force)
            for budget in stored.values()
            if budget.scope_kind in SCOPE_KINDS
        )

    def open_uncounted(self, writer: LedgerWriter) -> None:
        """See `storage.ledger.shared_tables.Terms`."""
        stored = writer.budgets()
        open_uncounted(writer, stored, self.counting, self._clock_ms())
        put_limits_in_force(writer, stored)
        self.load(writer, writer.fence().revision)

    def forget(self, budget_id: str) -> None:
        """A budget is no more."""
        self._ids.discard(budget_id)
        self.balances.remove(budget_id)
        self.counting.remove(budget_id)
        self._seen_at.pop(budget_id, None)

    def scopes_of(self, claim: Claim) -> tuple[Scope, ...]:
        """The balances in which a claim counts that has been granted."""
        key_id, group_id = claim.key_id, claim.group_id
        return tuple(self.counting.scopes_of(key_id, claim.alias, claim.at_ms, group_id))

    def saw(self, scope: Scope, spent: int, held: int) -> None:
        """What the database said of a balance just now."""
        budget_id, start_ms = scope
        account = self.balances.get(budget_id)
        if account is not None and start_ms >= account.latest_ms:
            balance = account.balance(start_ms)
            balance.spent, balance.held = spent, held
            self._seen_at[budget_id] = self._clock()

    def is_fresh(self, budget_id: str) -> bool:
        """Whether its balance was read just now; one that was not is read soon."""
        self.wanted.add(budget_id)
        return self._clock() - self._seen_at.get(budget_id, -FRESH_S - 1) <= FRESH_S

    def refresh(self, reader: LedgerReader, budget_ids: Iterable[str] | None = None) -> None:
        """Read the present balances of some budgets, or all terms and balances anew."""
        if budget_ids is None:
            revision = reader.fence().revision
            # A transaction that waits for an answer goes by terms that are later.
            if revision >= self.revision and not self.load(reader, revision):
                self.revision = -1
            return
        for budget_id, _, latest_ms, spent, held in present_balances(reader, list(budget_ids)):
            self.saw((budget_id, latest_ms), spent, held)
