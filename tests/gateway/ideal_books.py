"""What the ledger should hold, said a second time: a list of attempts, and sums over it."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from conduit.core.money import cost_of_units
from conduit.gateway.ledger.budgets import SCOPE_KINDS, BudgetTerms
from conduit.gateway.ledger.entries import Hold
from conduit.gateway.limits.limiter import Scope as LimitScope

UNNOTED_TOKENS = 256
NO_BOUND = 10**15

Scope = tuple[str, int]


@dataclass(eq=False)
class Attempt:
    """An attempt as the model knows it; `cost` is None while it runs."""

    id: str
    request_id: str
    key_id: str
    group_id: str | None
    alias: str
    at_ms: int
    amount: int
    stream: bool
    input_tokens: int
    rate: int
    version: str
    hold: Hold | None
    scopes: set[Scope] = field(default_factory=set)
    noted: int = 0
    cost: int | None = None
    billed: int = 0
    tokens: int = 0  # as the books have them
    corrections: int = 0

    @property
    def recovered_cost(self) -> int:
        """What a crash makes of it."""
        if not (self.stream and self.noted):
            return self.amount
        output = cost_of_units(self.noted + UNNOTED_TOKENS, self.rate)
        return min(cost_of_units(self.input_tokens, self.rate) + output, self.amount)


@dataclass(eq=False)
class Budget:
    terms: BudgetTerms
    first_ms: int
    latest_ms: int
    stored: set[int]  # the periods of which the database has a balance


@dataclass(eq=False)
class Sums:
    spent: int = 0
    held: int = 0


class IdealBooks:
    """All budgets and attempts; balances are kept as they change, and sums tell the same."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.budgets: dict[str, Budget] = {}
        self.balances: dict[Scope, Sums] = {}

    @property
    def latest_ms(self) -> int:
        return max((each.at_ms for each in self.attempts), default=0)

    def running(self) -> list[Attempt]:
        return [each for each in self.attempts if each.cost is None]

    def covering(self, key_id: str, alias: str, group_id: str | None) -> list[Budget]:
        found = [b for b in self.budgets.values() if b.terms.covers(key_id, alias, group_id)]
        return sorted(found, key=lambda b: (SCOPE_KINDS.index(b.terms.scope_kind), b.terms.id))

    def place(
        self, key_id: str, alias: str, group_id: str | None, at_ms: int
    ) -> tuple[int, list[tuple[Budget, Scope]]]:
        """The moment that decides the periods, before none that has been begun; and the scopes."""
        budgets = self.covering(key_id, alias, group_id)
        later = [b.latest_ms for b in budgets if b.terms.start_ms(at_ms) < b.latest_ms]
        at_ms = max([at_ms, *later])
        places = []
        for budget in budgets:
            start_ms = budget.terms.start_ms(at_ms)
            budget.latest_ms = max(budget.latest_ms, start_ms)
            places.append((budget, (budget.terms.id, start_ms)))
        return at_ms, places

    def room(self, places: list[tuple[Budget, Scope]]) -> tuple[int, int]:
        """What spent money leaves, and what held money too leaves, over all hard budgets."""
        by_spent = by_all = NO_BOUND
        for budget, scope in places:
            if budget.terms.hard:
                sums, limit = self.sums(scope), budget.terms.limit_nanodollars
                by_spent = min(by_spent, limit - sums.spent)
                by_all = min(by_all, limit - sums.spent - sums.held)
        return by_spent, by_all

    def sums(self, scope: Scope) -> Sums:
        return self.balances.setdefault(scope, Sums())

    def present(self, budget: Budget, at_ms: int) -> Scope:
        return budget.terms.id, max(budget.terms.start_ms(at_ms), budget.latest_ms)

    def add(self, attempt: Attempt, places: list[tuple[Budget, Scope]]) -> None:
        self.attempts.append(attempt)
        for budget, scope in places:
            attempt.scopes.add(scope)
            budget.stored.add(scope[1])
            self.sums(scope).held += attempt.amount

    def grow(self, attempt: Attempt, more: int) -> None:
        attempt.amount += more
        for scope in self.scopes_of(attempt):
            self.sums(scope).held += more

    def settle(self, attempt: Attempt, cost: int, tokens: int, *, billed: int) -> None:
        """What was paid in falls by what is `billed` alone."""
        attempt.cost, attempt.tokens, attempt.hold = cost, tokens, None
        attempt.billed = billed
        for scope in self.scopes_of(attempt):
            sums = self.sums(scope)
            sums.held -= attempt.amount
            sums.spent += billed if self.budgets[scope[0]].terms.prepaid else cost

    def correct(self, attempt: Attempt, cost: int) -> None:
        """A budget that was set to nothing since gets nothing back; what is billed stays."""
        assert attempt.cost is not None, "it is done"
        for scope in self.scopes_of(attempt):
            if self.budgets[scope[0]].terms.prepaid:
                continue
            sums = self.sums(scope)
            sums.spent = max(0, sums.spent + cost - attempt.cost)
        attempt.cost = cost

    def open(self, terms: BudgetTerms, now_ms: int) -> None:
        """Count the attempts of the present period, and none of an earlier one."""
        at_ms = max(now_ms, self.latest_ms, terms.since_ms)
        first_ms = terms.start_ms(at_ms)
        self.budgets[terms.id] = Budget(terms, first_ms, first_ms, {first_ms})
        scope = (terms.id, first_ms)
        sums = self.sums(scope)
        for attempt in self.attempts:
            covered = terms.covers(attempt.key_id, attempt.alias, attempt.group_id)
            if not covered or terms.start_ms(attempt.at_ms) < first_ms:
                continue
            attempt.scopes.add(scope)
            if attempt.cost is None:
                sums.held += attempt.amount
            else:
                sums.spent += attempt.billed if terms.prepaid else attempt.cost

    def change(self, budget: Budget, limit: int, mode: str) -> None:
        budget.terms = replace(budget.terms, limit_nanodollars=limit, mode=mode)

    def close(self, budget_id: str) -> None:
        del self.budgets[budget_id]
        for scope in [scope for scope in self.balances if scope[0] == budget_id]:
            del self.balances[scope]

    def crash(self) -> None:
        """What runs is charged the most that it may have cost; what is only in memory is gone."""
        for attempt in self.running():
            output = attempt.noted + UNNOTED_TOKENS if attempt.noted else 0
            tokens = attempt.input_tokens + output
            self.settle(attempt, attempt.recovered_cost, tokens, billed=0)
        for budget in self.budgets.values():
            budget.latest_ms = max(budget.stored)

    def scopes_of(self, attempt: Attempt) -> Iterator[Scope]:
        return (scope for scope in attempt.scopes if scope[0] in self.budgets)

    def count_day(self, scope: LimitScope, since_ms: int, of_tokens: bool) -> int:
        """What a limit a day begins with: see `IdealLimits`."""
        found = [each for each in self.attempts if each.at_ms >= since_ms and _is_of(scope, each)]
        if not of_tokens:
            return len({each.request_id for each in found})
        return sum(each.input_tokens if each.cost is None else each.tokens for each in found)


def _is_of(scope: LimitScope, attempt: Attempt) -> bool:
    match scope.kind:
        case "key":
            return attempt.key_id == scope.id
        case "group":
            return attempt.group_id == scope.id
        case "mapping":
            return attempt.alias == scope.alias
        case _:
            return True
