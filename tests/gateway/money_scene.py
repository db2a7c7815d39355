"""A gateway's ledger and limits on clocks of a test's own, beside the second account of both.

What `test_money_machine` does to them is there; here is how they begin and end, and what is
compared after each step.
"""

import asyncio
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import select

from conduit.core.errors import (
    InsufficientQuotaError,
)
from conduit.core.limits import Limit
from conduit.gateway.day_counts import day_counts
from conduit.gateway.ledger.binding import FILE_NAME
from conduit.gateway.ledger.checks import check_database
from conduit.gateway.ledger.entries import AttemptOutcome, Hold
from conduit.gateway.ledger.local import LocalLedger
from conduit.gateway.ledger.records import Claim
from conduit.gateway.limits.limiter import Limiter, Permit, Scope
from conduit.gateway.limits.meters import Now
from conduit.gateway.storage.engine import Database, reading
from conduit.gateway.storage.schema import balances
from tests.gateway.ideal_books import Attempt, IdealBooks
from tests.gateway.ideal_limits import IdealLimits, Part
from tests.gateway.ledger.building import (
    attempts,
    opened,
    request_rows,
)
from tests.gateway.ledger.committed import Committed, journalled_attempts
from tests.gateway.raw_checks import broken

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ZONES = ("Europe/Berlin", "America/New_York", "America/Santiago", "UTC")
BEGINNINGS = ("2026-03-28T20:00", "2026-10-24T20:00", "2026-12-31T22:59", "2026-05-31T12:00")
KEYS = ("key_1", "key_2")
GROUPS = (None, "grp_1")
ALIASES = ("fast", "slow")
BUDGET_SCOPES = (
    ("key", "key_1"),
    ("key", "key_2"),
    ("group", "grp_1"),
    ("mapping", "fast"),
    ("gateway", ""),
)
LIMIT_SCOPES = (
    Scope("key_1", 'the key "key_1"', ()),
    Scope("key_2", 'the key "key_2"', ()),
    Scope("grp_1", 'the group "grp_1"', (), "group"),
    Scope("map_fast", 'the model "fast"', (), "mapping", "fast"),
    Scope("gateway", "the gateway", (), "gateway"),
)
RATES = (0, 1_000_000, 3_000_000)  # nano-dollars for a million tokens: each costs 0, 1 or 3
PATIENT_S = 1000.0
DONE = (AttemptOutcome.SUCCEEDED, AttemptOutcome.CLIENT_GONE, AttemptOutcome.CUT)


COUNTS: Counter[str] = Counter()
"""How much was done over all examples, for the figures of a soak."""


class Clock:
    """Wall time that can be set, and monotonic time that only runs."""

    def __init__(self) -> None:
        self.at_ms = 0
        self.mono_ns = 10**9

    def __call__(self) -> Now:
        return Now(self.mono_ns, self.at_ms)

    def pass_ms(self, milliseconds: int) -> None:
        self.at_ms += milliseconds
        self.mono_ns += milliseconds * 10**6


@dataclass(eq=False)
class Request:
    """A client's request: what it has taken of limits, and its attempts, one after the other."""

    id: str
    key_id: str
    group_id: str | None
    alias: str
    permit: Permit
    parts: list[Part]
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def last(self) -> Attempt:
        return self.attempts[-1]


@dataclass(eq=False)
class Waiting:
    """A claim that waits for held money."""

    claim: Claim
    request: Request
    task: asyncio.Task[Hold]


class MoneyScene(RuleBasedStateMachine):
    """Without rules of its own, but that all is looked at once it is applied."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="money-machine-"))
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.zone = "UTC"
        self.set_back = False  # what is told of a budget's present may be of different periods
        self.crashes = self.requests_made = self.corrections = self.budgets_made = 0
        self.price = ("book-0", RATES[1])
        self.limits: dict[str, tuple[Limit, ...]] = {scope.id: () for scope in LIMIT_SCOPES}
        self.books = IdealBooks()
        self.ideal = IdealLimits(self.books.count_day)
        self.requests: list[Request] = []
        self.waiting: list[Waiting] = []
        self.sent: set[str] = set()
        self.engine: Database
        self.committed: Committed
        self.ledger: LocalLedger
        self.limiter: Limiter

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    async def start(self, folder: Path) -> None:
        self.committed = Committed(f"sqlite:///{self.database_file}")
        self.ledger = await opened(
            self.engine,
            folder,
            clock_ms=lambda: self.clock.at_ms,
            apply_interval_s=0.001,
            rotate_bytes=3_000,
        )
        self.limiter = Limiter(day_counts(self.engine, self.ledger), clock=self.clock)

    @property
    def database_file(self) -> Path:
        return Path(str(self.engine.url.database))

    async def drop(self) -> None:
        """End the process that was killed; nothing of it is used any more."""
        for each in self.waiting:
            each.task.cancel()
        await asyncio.gather(*(each.task for each in self.waiting), return_exceptions=True)
        self.waiting.clear()
        self.requests.clear()
        await self.ledger.close(timeout_s=0.0)
        await self.engine.dispose()

    def kill(self) -> None:
        self.committed.close()
        self.run(self.drop())

    def teardown(self) -> None:
        COUNTS["examples"] += 1
        try:
            if hasattr(self, "ledger"):
                self.check_applied()
        finally:
            if hasattr(self, "ledger"):
                self.kill()
            self.run(self.loop.shutdown_default_executor())
            self.loop.close()
            shutil.rmtree(self.folder)

    def held(self, request: Request, hold: Hold) -> None:
        """A commit: in no hard budget do spent and held money exceed the limit."""
        told = hold.claim
        attempt = Attempt(
            *(told.attempt_id, request.id, request.key_id, request.group_id, request.alias),
            *(told.at_ms, hold.nanodollars, told.stream, told.input_tokens, told.output_rate),
            *(told.price_version, hold),
        )
        _, places = self.books.place(request.key_id, request.alias, request.group_id, told.at_ms)
        self.books.add(attempt, places)
        assert attempt.scopes == set(hold.scopes)
        self.within_limits(hold)
        COUNTS["holds"] += 1
        self.sent.add(attempt.id)
        request.attempts.append(attempt)
        if request not in self.requests:
            self.requests.append(request)

    def within_limits(self, hold: Hold) -> None:
        for budget_id, start_ms in hold.scopes:
            account = self.ledger._balances.get(budget_id)
            if account is not None and account.terms.hard:
                balance = account.periods[start_ms]
                assert balance.spent + balance.held <= account.terms.limit_nanodollars

    def is_waited_for(self, places: list[Any]) -> bool:
        """Who comes where others wait stands behind them."""
        accounts = [self.ledger._balances.get(budget.terms.id) for budget, _ in places]
        return any(a is not None and a.terms.hard and a.waiters for a in accounts)

    # What holds after every step

    @rule()
    def check_applied(self) -> None:
        """All that was journalled is in the tables, and nothing else."""
        self.run(self.ledger.caught_up())
        assert self.violations() == self.stale()
        expected = {
            scope: (sums.spent, sums.held)
            for scope, sums in self.books.balances.items()
            if scope[1] in self.books.budgets[scope[0]].stored
        }
        assert self.run(self.stored_balances()) == expected
        rows = self.run(attempts(self.engine))
        kept = {row.attempt_id: row for row in rows.values() if row.adjusts is None}
        assert kept.keys() == {each.id for each in self.books.attempts} == self.sent
        costs: dict[str, int] = {}
        for each in self.books.attempts:
            assert kept[each.id].price_version == each.version
            assert kept[each.id].held_at_ms == each.at_ms
            costs[each.request_id] = costs.get(each.request_id, 0) + (each.cost or 0)
        running = {request.id for request in self.requests}
        records = self.run(request_rows(self.engine))
        assert {name: row.cost_nanodollars for name, row in records.items()} == {
            name: cost for name, cost in costs.items() if name not in running
        }

    async def stored_balances(self) -> dict[tuple[str, int], tuple[int, int]]:
        async with reading(self.engine) as connection:
            rows = await connection.execute(select(balances))
            return {
                (row.budget_id, row.period_start_ms): (row.spent_nanodollars, row.held_nanodollars)
                for row in rows
            }

    def violations(self) -> list[str]:
        checked = check_database(self.engine, seen=self.sent, at_ms=self.clock.at_ms)
        findings, _ = self.run(checked)
        return sorted(
            f"{finding.invariant}: {text}" for finding in findings for text in finding.violations
        )

    def stale(self) -> list[str]:
        """Calls that the clock has left behind: a day for streams, eleven minutes for others."""
        return sorted(f"I6: {each.id}" for each in self.books.running() if self.is_too_old(each))

    def is_too_old(self, attempt: Attempt) -> bool:
        return attempt.at_ms < self.clock.at_ms - (DAY_MS if attempt.stream else 660_000)

    @invariant()
    def everything_is_as_the_second_account_says(self) -> None:
        if not hasattr(self, "ledger"):
            return
        COUNTS["steps"] += 1
        self.run(self.let_waiters_go_on())
        self.collect_waiting()
        for budget in self.books.budgets.values():
            present = self.books.present(budget, self.clock.at_ms)
            sums = self.books.balances.get(present)
            told = (0, 0) if sums is None else (sums.spent, sums.held)
            assert self.ledger.balance_of(budget.terms.id, self.clock.at_ms) == (
                *told,
                present[1],
            )
            assert min(told) >= 0
        assert self.ledger.state().open_holds == len(self.books.running())
        assert broken(self.database_file) == []  # as of the last commit
        self.no_commit_breaks_an_invariant()
        now = self.clock()
        for scope in LIMIT_SCOPES:
            limited = self.limited(scope)
            left = {each.limit.kind: each.remaining for each, _ in self.limiter.standings(limited)}
            assert left == self.ideal.remaining(limited, now)
        self.ideal.check_stretches()

    def no_commit_breaks_an_invariant(self) -> None:
        """I1 to I6 as `doctor ledger` has them, applied or not; calls may be too old by the clock.

        Of those, all are found that run and of which the database knows.
        """
        journalled = journalled_attempts(self.database_file.parent / "journal")
        found = self.committed.violations(self.sent - journalled, self.clock.at_ms)
        assert [each for each in found if each[0] != "I6"] == []
        too_old = {attempt_id for _, attempt_id in found}
        assert too_old <= {each.id for each in self.books.attempts if self.is_too_old(each)}
        known = [each for each in self.books.running() if each.id not in journalled]
        assert too_old >= {each.id for each in known if self.is_too_old(each)}

    async def let_waiters_go_on(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)

    def collect_waiting(self) -> None:
        """Claims that got their money; of those that wait, none stands where there is room."""
        for each in [each for each in self.waiting if each.task.done()]:
            self.waiting.remove(each)
            if each.task.cancelled():
                continue
            error = each.task.exception()
            if error is None:
                self.held(each.request, each.task.result())
            else:
                assert isinstance(error, InsufficientQuotaError)
        for each in self.waiting:
            _, places = self.books.place(
                each.request.key_id, each.request.alias, None, each.claim.at_ms
            )
            fits = each.claim.hold_nanodollars <= self.books.room(places)[1]
            assert not fits or len(self.waiting) > 1

    def scopes_of(self, key_id: str, group_id: str | None, alias: str) -> list[Scope]:
        wanted = {key_id, group_id, "map_fast" if alias == "fast" else None, "gateway"}
        return [self.limited(scope) for scope in LIMIT_SCOPES if scope.id in wanted]

    def limited(self, scope: Scope) -> Scope:
        return Scope(scope.id, scope.label, self.limits[scope.id], scope.kind, scope.alias)


def copy_of_disk(database: Path, folder: Path, *, torn: bool, unbound: bool) -> None:
    """What a process that is killed now leaves behind; `torn`: in the middle of a write.

    `unbound`: without the file that says which of the database's journals it is, so that nobody
    knows how far it was applied, and it is read again from its beginning.

    The database first: what it lacks is in the journal still, as only the loop deletes files.
    """
    folder.mkdir()
    source, target = sqlite3.connect(database), sqlite3.connect(folder / "conduit.db")
    source.backup(target)
    source.close()
    target.close()
    shutil.copytree(database.parent / "journal", folder / "journal")
    if not unbound:
        shutil.copy(database.parent / FILE_NAME, folder)
    if torn:
        last = max((folder / "journal").iterdir())
        with last.open("ab") as file:
            file.write(b'0123abcd ["settle","att_')
