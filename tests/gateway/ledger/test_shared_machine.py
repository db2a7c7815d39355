"""Any order of holds, settlements, limits, days and crashes of two workers on one PostgreSQL.

What a worker has settled is in its journal at once, and in the database a moment later. A hold is
judged by the database, so that the model knows what must come of it where all has been applied;
where it has not, that no hold is beyond its limit is for the invariants to say. These are checked
after every step over the last commit.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from conduit.core.errors import BudgetHeldError, InsufficientQuotaError
from conduit.gateway.ledger.budgets import BudgetTerms
from conduit.gateway.ledger.entries import Hold
from conduit.gateway.ledger.opening import worker_folder
from conduit.gateway.ledger.shared import SharedLedger
from conduit.gateway.ledger.shared_opening import open_shared, take_for_workers
from conduit.gateway.storage import installation
from conduit.gateway.storage.engine import writing
from tests import postgresql
from tests.conftest import SOAKING
from tests.gateway.ledger.building import (
    AT_MS,
    claim,
    ending,
    store_budget,
    store_limit,
    store_transaction,
    terms,
    violations,
)
from tests.gateway.ledger.committed import Committed
from tests.gateway.ledger.test_shared import crash
from tests.migrated import migrated

WORKERS = (0, 1)
KEYS = ("key_1", "key_2")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
OF_GROUP: Any = {"scope_kind": "group", "scope_id": "grp_1"}
GROUPS = (None, "grp_1")
WANTED = st.tuples(
    st.sampled_from(WORKERS),
    st.sampled_from(KEYS),
    st.sampled_from(GROUPS),
    st.integers(0, 600),
    st.booleans(),
)
PREPAID = 3  # its place among the budgets


@dataclass
class Modelled:
    """An attempt as the model knows it, and which worker it belongs to."""

    worker: int
    key_id: str
    group_id: str | None
    at_ms: int
    amount: int
    stream: bool
    hold: Hold
    noted: int = 0
    cost: int | None = None
    billed: int = 0


class SharedLedgerMachine(RuleBasedStateMachine):
    """The model: attempts, three budgets with limits that change, and a prepaid balance."""

    def __init__(self) -> None:
        super().__init__()
        postgresql.require_server()
        self.folder = Path(tempfile.mkdtemp(prefix="shared-machine-"))
        self.loop = asyncio.new_event_loop()
        self.now = AT_MS
        self.attempts: list[Modelled] = []
        self.budgets: list[BudgetTerms] = [
            terms(900, id="bud_key", scope_id="key_1"),
            terms(700, id="bud_day", scope_id="key_2", period="day"),
            terms(1_500, id="bud_all", scope_kind="gateway", scope_id=""),
            terms(1_000, **OF_GROUP, id="bud_prepaid", period="prepaid", since_ms=self.now),
        ]
        self.stack = AsyncExitStack()
        self.run(self._open())

    async def _open(self) -> None:
        database = postgresql.database_url("postgresql", "")
        url = await self.stack.enter_async_context(database)
        self.engine = await migrated(url)
        self.committed = Committed(url)
        self.stack.push_async_callback(self.engine.dispose)
        taken = await self.stack.enter_async_context(
            take_for_workers(self.engine, self.folder, len(WORKERS))
        )
        self.epoch = taken.epoch
        for budget in self.budgets:
            await store_budget(self.engine, budget)
        await store_transaction(self.engine, "grp_1", self.budgets[PREPAID].limit_nanodollars)
        self.workers = [await self._worker(number) for number in WORKERS]
        for budget in self.budgets:
            await self._changed()
            await self.workers[0].open_budget(budget)

    async def _worker(self, number: int) -> SharedLedger:
        folder = worker_folder(self.folder, number + 1)
        return await open_shared(self.engine, folder, self.epoch, "off", clock_ms=lambda: self.now)

    async def _changed(self) -> None:
        async with writing(self.engine) as connection:
            await installation.raise_revision(connection)

    def run(self, work: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(work)

    def running(self, worker: int | None = None) -> list[Modelled]:
        return [a for a in self.attempts if a.cost is None and worker in (None, a.worker)]

    def sums(self, budget: BudgetTerms) -> tuple[int, int]:
        """What is spent and held in the present period."""
        start_ms = budget.start_ms(self.now)
        counted = [
            a
            for a in self.attempts
            if budget.covers(a.key_id, "fast", a.group_id) and budget.start_ms(a.at_ms) == start_ms
        ]
        done = [a for a in counted if a.cost is not None]
        spent = sum(a.billed if budget.prepaid else a.cost or 0 for a in done)
        return spent, sum(a.amount for a in counted if a.cost is None)

    def room(self, key_id: str, group_id: str | None) -> tuple[int, int]:
        """What spent money leaves, and what held money too leaves, over all budgets."""
        by_spent = by_all = 10**9
        for budget in self.budgets:
            if budget.covers(key_id, "fast", group_id):
                spent, held = self.sums(budget)
                by_spent = min(by_spent, budget.limit_nanodollars - spent)
                by_all = min(by_all, budget.limit_nanodollars - spent - held)
        return by_spent, by_all

    async def _applied(self) -> None:
        for each in self.workers:
            await each.caught_up()

    @rule(wanted=st.lists(WANTED, min_size=1, max_size=8), applied=st.booleans())
    def hold(self, wanted: list[tuple[int, str, str | None, int, bool]], applied: bool) -> None:
        """One after the other, by either worker."""
        for each in wanted:
            if applied:
                self.run(self._applied())
            self._hold(*each, applied=applied)

    def _hold(
        self,
        worker: int,
        key_id: str,
        group_id: str | None,
        amount: int,
        stream: bool,
        *,
        applied: bool,
    ) -> None:
        wanted = claim(amount, key_id=key_id, group_id=group_id, at_ms=self.now, stream=stream)
        by_spent, by_all = self.room(key_id, group_id)
        try:
            hold = self.run(self.workers[worker].hold(wanted, wait_s=0))
        except InsufficientQuotaError:
            assert not applied or amount > by_spent
        except BudgetHeldError:
            assert not applied or by_spent >= amount > by_all
        else:
            assert not applied or amount <= by_all
            made = Modelled(worker, key_id, group_id, self.now, amount, stream, hold)
            self.attempts.append(made)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), cost=st.integers(0, 900), delivered=st.booleans())
    def settle(self, data: st.DataObject, cost: int, delivered: bool) -> None:
        """Twice: the second settlement changes nothing."""
        attempt = data.draw(st.sampled_from(self.running()))
        ledger = self.workers[attempt.worker]
        billed = cost if delivered else 0
        ledger.settle(attempt.hold, ending(cost, billed_nanodollars=billed))
        ledger.settle(attempt.hold, ending(cost + 1))
        attempt.cost, attempt.billed = cost, billed

    @precondition(lambda self: self.running())
    @rule(data=st.data(), more=st.integers(1, 500))
    def top_up(self, data: st.DataObject, more: int) -> None:
        attempt = data.draw(st.sampled_from(self.running()))
        if self.run(self.workers[attempt.worker].top_up(attempt.hold, more)):
            attempt.amount += more

    @precondition(lambda self: self.running())
    @rule(data=st.data(), tokens=st.integers(256, 5_000))
    def progress(self, data: st.DataObject, tokens: int) -> None:
        attempt = data.draw(st.sampled_from(self.running()))
        if tokens - attempt.noted >= 256:
            self.workers[attempt.worker].progress(attempt.hold, tokens)
            attempt.noted = tokens

    @rule(number=st.integers(0, 2), limit=st.integers(0, 2_000))
    def change_limit(self, number: int, limit: int) -> None:
        """It counts from its commit on, for workers too that have not heard of it."""
        budget = self.budgets[number] = replace(self.budgets[number], limit_nanodollars=limit)
        self.run(store_limit(self.engine, budget, at_ms=self.now))
        self.run(self._changed())

    @rule(nanodollars=st.integers(-800, 800))
    def pay_in_or_out(self, nanodollars: int) -> None:
        """A credit or a debit of the prepaid balance, which may leave less than nothing."""
        before = self.budgets[PREPAID]
        limit = before.limit_nanodollars + nanodollars
        budget = self.budgets[PREPAID] = replace(before, limit_nanodollars=limit)
        self.run(store_limit(self.engine, budget, at_ms=self.now))
        self.run(store_transaction(self.engine, "grp_1", nanodollars))
        self.run(self._changed())

    @rule(hours=st.integers(1, 30))
    def time_passes(self, hours: int) -> None:
        self.now += hours * HOUR_MS

    @rule(worker=st.sampled_from(WORKERS))
    def crash_and_restart(self, worker: int) -> None:
        """A worker dies, with what it has written; the other one goes on."""
        dead = self.workers[worker]
        dead._journal.flush()
        self.run(crash(dead))
        for attempt in self.running(worker):
            noted = attempt.stream and attempt.noted
            cost = 100 + attempt.noted + 256
            attempt.cost = min(cost, attempt.amount) if noted else attempt.amount
        self.workers[worker] = self.run(self._worker(worker))

    @rule()
    def all_is_applied(self) -> None:
        self.run(self._applied())
        assert self.run(violations(self.engine)) == []
        for each in self.workers:
            self.run(each.reload())
            for budget in self.budgets:
                start_ms = budget.start_ms(self.now)
                told = each.balance_of(budget.id, self.now)
                assert told == (*self.sums(budget), start_ms)

    @invariant()
    def no_commit_breaks_an_invariant(self) -> None:
        """I1 to I6. All calls are covered by a budget, so that each was committed before it was
        sent; how old the ones are that run, and those that nobody has applied the end of, is for
        the rules to say.
        """
        found = self.committed.violations(
            {a.hold.claim.attempt_id for a in self.attempts}, self.now
        )
        assert [each for each in found if each[0] != "I6"] == []
        too_old = {
            a.hold.claim.attempt_id: a.cost is None
            for a in self.attempts
            if a.at_ms < self.now - (DAY_MS if a.stream else 660_000)
        }
        lost = {attempt_id for _, attempt_id in found}
        assert lost <= too_old.keys()
        assert lost >= {attempt_id for attempt_id, runs in too_old.items() if runs}

    def teardown(self) -> None:
        try:
            self.all_is_applied()
        finally:
            self.committed.close()
            for each in self.workers:
                self.run(each.close())
            self.run(self.stack.aclose())
            self.run(self.loop.shutdown_default_executor())
            self.loop.close()
            shutil.rmtree(self.folder)


TestSharedLedgerMachine = pytest.mark.soak(SharedLedgerMachine.TestCase)
TestSharedLedgerMachine.settings = settings(
    stateful_step_count=25, max_examples=100 if SOAKING else 4, deadline=None
)
