"""Any order of holds, settlements, corrections, crashes and budgets agrees with a simple model."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from conduit.core.errors import BudgetHeldError, InsufficientQuotaError
from conduit.gateway.ledger.budgets import BudgetTerms
from conduit.gateway.ledger.entries import Hold
from conduit.gateway.ledger.local import LocalLedger
from conduit.gateway.ledger.records import CorrectRecord
from tests import postgresql
from tests.conftest import SOAKING
from tests.gateway.ledger.building import (
    AT_MS,
    claim,
    ending,
    opened,
    store_budget,
    store_limit,
    store_transaction,
    terms,
    violations,
)
from tests.gateway.ledger.committed import Committed, journalled_attempts
from tests.migrated import migrated

KEYS = ("key_1", "key_2")
GROUPS = (None, "grp_1", "grp_2")
HOUR_MS = 3_600_000


@dataclass
class Modelled:
    """An attempt as the model knows it."""

    key_id: str
    group_id: str | None
    at_ms: int
    amount: int
    stream: bool
    noted: int = 0
    cost: int | None = None
    billed: int = 0
    hold: Hold | None = field(default=None, repr=False)
    attempt_id: str = ""


@dataclass
class Budget:
    terms: BudgetTerms
    first_ms: int


class LedgerMachine(RuleBasedStateMachine):
    """The model: a list of attempts; a balance is a sum over it."""

    kind = "sqlite"

    def __init__(self) -> None:
        super().__init__()
        if self.kind == "postgresql":
            postgresql.require_server()
        self.folder = Path(tempfile.mkdtemp(prefix="ledger-machine-"))
        self.loop = asyncio.new_event_loop()
        self.now = AT_MS
        self.attempts: list[Modelled] = []
        self.corrections = 0
        self.budgets: list[Budget] = []
        self.database = postgresql.database_url(self.kind, self.folder / "conduit.db")
        url = self.run(self.database.__aenter__())
        self.engine = self.run(migrated(url))
        self.committed = Committed(url)
        everything = terms(0, id="bud_all", scope_kind="gateway", scope_id="", mode="soft")
        self.ledger = self.run(self.start(everything))
        self.budgets.append(Budget(everything, 0))

    def run(self, work: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(work)

    async def start(self, *new: BudgetTerms) -> LocalLedger:
        return await opened(
            self.engine,
            self.folder,
            *new,
            clock_ms=lambda: self.now,
            apply_interval_s=0.001,
            rotate_bytes=3_000,
        )

    def sums(self, budget: Budget, start_ms: int) -> tuple[int, int]:
        counted = [
            a
            for a in self.attempts
            if budget.terms.covers(a.key_id, "fast", a.group_id)
            and budget.terms.start_ms(a.at_ms) == start_ms
            and start_ms >= budget.first_ms
        ]
        done = [a for a in counted if a.cost is not None]
        spent = sum(a.billed if budget.terms.prepaid else a.cost or 0 for a in done)
        return spent, sum(a.amount for a in counted if a.cost is None)

    def room(self, key_id: str, group_id: str | None) -> tuple[int, int]:
        """What spent money leaves, and what held money too leaves, over all hard budgets."""
        by_spent = by_all = 10**9
        for budget in self.budgets:
            if budget.terms.hard and budget.terms.covers(key_id, "fast", group_id):
                spent, held = self.sums(budget, budget.terms.start_ms(self.now))
                by_spent = min(by_spent, budget.terms.limit_nanodollars - spent)
                by_all = min(by_all, budget.terms.limit_nanodollars - spent - held)
        return by_spent, by_all

    def running(self) -> list[Modelled]:
        return [a for a in self.attempts if a.cost is None]

    @rule(
        key_id=st.sampled_from(KEYS),
        group_id=st.sampled_from(GROUPS),
        amount=st.integers(0, 400),
        stream=st.booleans(),
    )
    def hold(self, key_id: str, group_id: str | None, amount: int, stream: bool) -> None:
        """Of a key that is in another group each time."""
        changes = {"key_id": key_id, "group_id": group_id, "at_ms": self.now, "stream": stream}
        wanted = claim(amount, **changes)
        by_spent, by_all = self.room(key_id, group_id)
        try:
            hold = self.run(self.ledger.hold(wanted, wait_s=0))
        except InsufficientQuotaError:
            assert amount > by_spent
        except BudgetHeldError:
            assert by_spent >= amount > by_all
        else:
            assert amount <= by_all
            made = Modelled(key_id, group_id, self.now, amount, stream, hold=hold)
            made.attempt_id = wanted.attempt_id
            self.attempts.append(made)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), cost=st.integers(0, 500), delivered=st.booleans())
    def settle(self, data: st.DataObject, cost: int, delivered: bool) -> None:
        attempt = data.draw(st.sampled_from(self.running()))
        assert attempt.hold is not None
        billed = cost if delivered else 0
        self.ledger.settle(attempt.hold, ending(cost, billed_nanodollars=billed))
        self.ledger.settle(attempt.hold, ending(cost + 1))
        attempt.cost, attempt.billed = cost, billed

    @precondition(lambda self: self.running())
    @rule(data=st.data(), more=st.integers(0, 300))
    def top_up(self, data: st.DataObject, more: int) -> None:
        attempt = data.draw(st.sampled_from(self.running()))
        assert attempt.hold is not None
        if self.run(self.ledger.top_up(attempt.hold, more)):
            attempt.amount += more

    @precondition(lambda self: self.running())
    @rule(data=st.data(), tokens=st.integers(256, 5_000))
    def progress(self, data: st.DataObject, tokens: int) -> None:
        attempt = data.draw(st.sampled_from(self.running()))
        assert attempt.hold is not None
        if tokens - attempt.noted >= 256:
            self.ledger.progress(attempt.hold, tokens)
            attempt.noted = tokens

    @precondition(lambda self: len(self.budgets) < 6)
    @precondition(lambda self: len(self.running()) < len(self.attempts))
    @rule(data=st.data(), cost=st.integers(0, 600))
    def correct(self, data: st.DataObject, cost: int) -> None:
        attempt = data.draw(st.sampled_from([a for a in self.attempts if a.cost is not None]))
        assert attempt.cost is not None
        self.corrections += 1
        record = CorrectRecord(
            f"cor_{self.corrections}",
            attempt.attempt_id,
            *(cost - attempt.cost, cost, "the invoice", "master key", self.now),
        )
        self.run(
            self.ledger.correct(record, attempt.key_id, "fast", attempt.at_ms, attempt.group_id)
        )
        attempt.cost = cost

    @precondition(lambda self: len(self.budgets) < 5)
    @rule(
        scope=st.sampled_from(
            [("key", "key_1"), ("key", "key_2"), ("group", "grp_1"), ("gateway", "")]
        ),
        period=st.sampled_from(["total", "day"]),
        mode=st.sampled_from(["hard", "soft"]),
        limit=st.integers(0, 2_000),
    )
    def open_budget(self, scope: tuple[str, str], period: str, mode: str, limit: int) -> None:
        budget = terms(
            limit,
            id=f"bud_{len(self.budgets)}",
            scope_kind=scope[0],
            scope_id=scope[1],
            period=period,
            mode=mode,
        )
        self.run(store_budget(self.engine, budget, at_ms=self.now))
        self.run(self.ledger.open_budget(budget))
        self.budgets.append(Budget(budget, budget.start_ms(self.now)))

    @precondition(lambda self: self.prepaid() is None)
    @rule(paid_in=st.integers(0, 2_000))
    def open_prepaid(self, paid_in: int) -> None:
        told = {"scope_kind": "group", "scope_id": "grp_1", "period": "prepaid"}
        budget = terms(paid_in, id="bud_prepaid", **told, since_ms=self.now)
        self.run(store_budget(self.engine, budget, at_ms=self.now))
        self.run(store_transaction(self.engine, "grp_1", paid_in))
        self.run(self.ledger.open_budget(budget))
        self.budgets.append(Budget(budget, self.now))

    @precondition(lambda self: self.prepaid() is not None)
    @rule(nanodollars=st.integers(-1_000, 1_000))
    def change_prepaid(self, nanodollars: int) -> None:
        budget = self.prepaid()
        assert budget is not None
        limit = budget.terms.limit_nanodollars + nanodollars
        budget.terms = replace(budget.terms, limit_nanodollars=limit)
        self.run(store_limit(self.engine, budget.terms, at_ms=self.now))
        self.run(store_transaction(self.engine, "grp_1", nanodollars))
        self.ledger.change_budget(budget.terms)

    def prepaid(self) -> Budget | None:
        return next((each for each in self.budgets if each.terms.prepaid), None)

    @rule(hours=st.integers(1, 30))
    def time_passes(self, hours: int) -> None:
        self.now += hours * HOUR_MS

    @rule()
    def apply(self) -> None:
        self.run(self.ledger.caught_up())
        assert self.run(violations(self.engine)) == []

    @rule(applied=st.booleans())
    def crash_and_restart(self, applied: bool) -> None:
        """A close that may apply nothing leaves the same files as a crash does."""
        self.run(self.ledger.close(timeout_s=5.0 if applied else 0.0))
        for attempt in self.running():
            attempt.hold = None
            noted = attempt.stream and attempt.noted
            cost = 100 + attempt.noted + 256
            attempt.cost = min(cost, attempt.amount) if noted else attempt.amount
        self.ledger = self.run(self.start())
        assert self.run(violations(self.engine)) == []

    @invariant()
    def the_balances_are_those_of_the_model(self) -> None:
        for budget in self.budgets:
            start_ms = budget.terms.start_ms(self.now)
            spent, held = self.sums(budget, start_ms)
            assert self.ledger.balance_of(budget.terms.id, self.now) == (spent, held, start_ms)
            assert spent >= 0
            assert held >= 0
        assert self.ledger.state().open_holds == len(self.running())

    @invariant()
    def no_commit_breaks_an_invariant(self) -> None:
        """I1 to I6 over what was applied by now, or was not; calls may be too old by the clock."""
        journalled = journalled_attempts(self.folder / "journal")
        sent = {attempt.attempt_id for attempt in self.attempts}
        found = self.committed.violations(sent - journalled, self.now)
        assert [each for each in found if each[0] != "I6"] == []
        too_old = {
            attempt.attempt_id: attempt.cost is None
            for attempt in self.attempts
            if attempt.at_ms < self.now - (24 * HOUR_MS if attempt.stream else 660_000)
        }
        lost = {attempt_id for _, attempt_id in found}
        assert lost <= too_old.keys()
        assert lost >= {a for a, runs in too_old.items() if runs} - journalled

    def teardown(self) -> None:
        self.committed.close()
        self.run(self.ledger.caught_up())
        try:
            assert [v for v in self.run(violations(self.engine)) if not v.startswith("I6")] == []
        finally:
            self.run(self.ledger.close())
            self.run(self.engine.dispose())
            self.run(self.database.__aexit__(None, None, None))
            self.run(self.loop.shutdown_default_executor())
            self.loop.close()
            shutil.rmtree(self.folder)


class LedgerMachineOnPostgreSQL(LedgerMachine):
    kind = "postgresql"


TestLedgerMachine = pytest.mark.soak(LedgerMachine.TestCase)
TestLedgerMachine.settings = settings(stateful_step_count=30, max_examples=1000 if SOAKING else 15)
TestLedgerMachineOnPostgreSQL = pytest.mark.soak(LedgerMachineOnPostgreSQL.TestCase)
TestLedgerMachineOnPostgreSQL.settings = settings(
    stateful_step_count=20, max_examples=100 if SOAKING else 5
)
