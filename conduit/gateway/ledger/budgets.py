"""What the ledger knows of a budget, and which attempts count in which budgets."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from conduit.core.money import format_usd
from conduit.core.periods import period_end_ms, period_start_ms

Scope = tuple[str, int]  # (budget id, period start in ms): the key of a balance

SCOPE_KINDS = ("key", "group", "mapping", "gateway")
"""In the order in which they are held and refused."""

PREPAID = "prepaid"
"""The period of a prepaid balance: from the moment at which it was opened, without an end."""


@dataclass(frozen=True, slots=True)
class BudgetTerms:
    """A budget as far as holds need it. Only limit, mode and name can change while it is open.

    `scope_id` is the id of a key or a group, a mapping's alias, or anything for the gateway;
    `scope_name` is what a refusal calls it. A prepaid balance counts from `since_ms` on, and its
    limit is what was paid in; `spent_before` had been spent of it when it was last credited.
    """

    id: str
    scope_kind: str
    scope_id: str
    period: str
    timezone: str
    limit_nanodollars: int
    mode: str = "hard"
    scope_name: str | None = None
    since_ms: int = 0
    spent_before: int = 0
    hard: bool = field(init=False, compare=False, repr=False)
    prepaid: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hard", self.mode == "hard")
        object.__setattr__(self, "prepaid", self.period == PREPAID)

    @property
    def enforced_nanodollars(self) -> int | None:
        """What holds may not pass; None where the budget only alerts."""
        return self.limit_nanodollars if self.hard else None

    @property
    def label(self) -> str:
        """`key "acme"`, for messages."""
        if self.scope_kind == "gateway":
            return "the gateway"
        return f'{self.scope_kind} "{self.scope_name or self.scope_id}"'

    @property
    def spent_up(self) -> str:
        """The sentence of a refusal where nothing is left."""
        if self.prepaid:
            return f"the prepaid balance of {self.label} is used up"
        return f"{self.label} has spent its budget"

    def taken_by(self, cost: int, billed: int) -> int:
        """What an attempt takes of it: what a provider likely charges, but of what was paid in
        only what was delivered.
        """
        return billed if self.prepaid else cost

    def has_reached(self, percent: int, spent: int) -> bool:
        """Whether such a share is spent; of a prepaid balance, of what was left when it was last
        credited.
        """
        before = self.spent_before
        return (spent - before) * 100 >= (self.limit_nanodollars - before) * percent

    def covers(self, key_id: str, alias: str, group_id: str | None) -> bool:
        match self.scope_kind:
            case "key":
                return self.scope_id == key_id
            case "group":
                return self.scope_id == group_id
            case "mapping":
                return self.scope_id == alias
            case _:
                return self.scope_kind == "gateway"

    def start_ms(self, at_ms: int) -> int:
        """Where the period that holds `at_ms` begins."""
        match self.period:
            case "total":
                return 0
            case "prepaid":
                return self.since_ms if at_ms >= self.since_ms else 0
            case period:
                return period_start_ms(period, self.timezone, at_ms)

    def end_ms(self, at_ms: int) -> int | None:
        """Where the next period begins; None where there is none."""
        return None if self.prepaid else period_end_ms(self.period, self.timezone, at_ms)


class OpenBudgets:
    """The budgets that count attempts, each from the first period it was opened in.

    A balance is a pure function of the ledger and of these: the sum over the attempts that a
    budget covers, by the period of the moment at which they were held. An attempt of a period
    before the first one is not counted, now or when it settles.
    """

    def __init__(self) -> None:
        self._budgets: dict[str, tuple[BudgetTerms, int]] = {}
        self._by_key: dict[str, list[str]] = {}
        self._by_group: dict[str, list[str]] = {}
        self._others: list[str] = []  # of mappings and the gateway: few

    def add(self, terms: BudgetTerms, first_period_ms: int) -> None:
        self.remove(terms.id)
        self._budgets[terms.id] = (terms, first_period_ms)
        self._siblings(terms).append(terms.id)

    def remove(self, budget_id: str) -> None:
        if (known := self._budgets.pop(budget_id, None)) is not None:
            self._siblings(known[0]).remove(budget_id)

    def __contains__(self, budget_id: str) -> bool:
        return budget_id in self._budgets

    def terms(self, budget_id: str) -> BudgetTerms:
        """Raises KeyError for one that is not open."""
        return self._budgets[budget_id][0]

    def scopes_of(
        self, key_id: str, alias: str, held_at_ms: int, group_id: str | None
    ) -> Iterable[Scope]:
        """The balances in which an attempt counts."""
        of_group = () if group_id is None else self._by_group.get(group_id, ())
        for budget_id in (*self._by_key.get(key_id, ()), *of_group, *self._others):
            terms, first_period_ms = self._budgets[budget_id]
            if not terms.covers(key_id, alias, group_id):
                continue
            start_ms = terms.start_ms(held_at_ms)
            if start_ms >= first_period_ms:
                yield budget_id, start_ms

    def _siblings(self, terms: BudgetTerms) -> list[str]:
        if terms.scope_kind == "key":
            return self._by_key.setdefault(terms.scope_id, [])
        if terms.scope_kind == "group":
            return self._by_group.setdefault(terms.scope_id, [])
        return self._others


def dollars(nanodollars: int) -> str:
    """`$50` or `$0.125`, for messages."""
    return "$" + format_usd(nanodollars).removesuffix(".00")
