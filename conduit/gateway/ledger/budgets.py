"""What the ledger knows of a budget, and which attempts count in which budgets."""

from collections.abc import Iterable
from dataclasses import dataclass

from conduit.core.money import format_usd
from conduit.gateway.ledger.periods import period_start_ms

Scope = tuple[str, int]  # (budget id, period start in ms): the key of a balance

SCOPE_KINDS = ("key", "mapping", "gateway")


@dataclass(frozen=True, slots=True)
class BudgetTerms:
    """A budget as far as holds need it. Only limit, mode and name can change while it is open.

    `scope_id` is a key's id, a mapping's alias, or anything for the gateway; `scope_name` is what
    a refusal calls it.
    """

    id: str
    scope_kind: str
    scope_id: str
    period: str
    timezone: str
    limit_nanodollars: int
    mode: str = "hard"
    scope_name: str | None = None

    @property
    def hard(self) -> bool:
        return self.mode == "hard"

    @property
    def label(self) -> str:
        """`key "acme"`, for messages."""
        if self.scope_kind == "gateway":
            return "the gateway"
        return f'{self.scope_kind} "{self.scope_name or self.scope_id}"'

    def covers(self, key_id: str, alias: str) -> bool:
        match self.scope_kind:
            case "key":
                return self.scope_id == key_id
            case "mapping":
                return self.scope_id == alias
            case _:
                return self.scope_kind == "gateway"

    def start_ms(self, at_ms: int) -> int:
        """Where the period that holds `at_ms` begins."""
        return 0 if self.period == "total" else period_start_ms(self.period, self.timezone, at_ms)


class OpenBudgets:
    """The budgets that count attempts, each from the first period it was opened in.

    A balance is a pure function of the ledger and of these: the sum over the attempts that a
    budget covers, by the period of the moment at which they were held. An attempt of a period
    before the first one is not counted, now or when it settles.
    """

    def __init__(self) -> None:
        self._budgets: dict[str, tuple[BudgetTerms, int]] = {}
        self._by_key: dict[str, list[str]] = {}
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

    def scopes_of(self, key_id: str, alias: str, held_at_ms: int) -> Iterable[Scope]:
        """The balances in which an attempt counts."""
        for budget_id in (*self._by_key.get(key_id, ()), *self._others):
            terms, first_period_ms = self._budgets[budget_id]
            if not terms.covers(key_id, alias):
                continue
            start_ms = terms.start_ms(held_at_ms)
            if start_ms >= first_period_ms:
                yield budget_id, start_ms

    def _siblings(self, terms: BudgetTerms) -> list[str]:
        if terms.scope_kind == "key":
            return self._by_key.setdefault(terms.scope_id, [])
        return self._others


def dollars(nanodollars: int) -> str:
    """`$50` or `$0.125`, for messages."""
    return "$" + format_usd(nanodollars).removesuffix(".00")
