"""Money and rate limits together, on two clocks of the test's own, agree with a second account.

The ledger is the one of a single process on SQLite, with its journal; the limits are those of the
same process, and count days by what the ledger's books say. After every step all of both is
compared with `ideal_books` and `ideal_limits`, and the invariants of the ledger are checked over
the tables as they are at that moment, applied or not.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from sqlalchemy import delete, update

from conduit.core.errors import (
    BudgetHeldError,
    InsufficientQuotaError,
    RateLimitedError,
    TokensExceedLimitError,
)
from conduit.core.limits import Limit, LimitKind
from conduit.core.money import cost_of_units
from conduit.core.periods import offsets_ms, period_start_ms
from conduit.gateway.conversation import Usage
from conduit.gateway.ledger.budgets import BudgetTerms
from conduit.gateway.ledger.entries import EMPTY_USAGE, AttemptOutcome
from conduit.gateway.ledger.records import Claim, CorrectRecord
from conduit.gateway.limits.limiter import Permit, Scope
from conduit.gateway.storage.engine import create_engine, writing
from conduit.gateway.storage.schema import budgets
from tests.conftest import SOAKING
from tests.gateway.ideal_books import Attempt, Budget
from tests.gateway.ideal_limits import IdealLimits, Part
from tests.gateway.ledger.building import (
    claim,
    ending,
    request_record,
    store_budget,
    store_limit,
    store_transaction,
    terms,
)
from tests.gateway.money_scene import (
    ALIASES,
    BEGINNINGS,
    BUDGET_SCOPES,
    COUNTS,
    DAY_MS,
    DONE,
    GROUPS,
    HOUR_MS,
    KEYS,
    LIMIT_SCOPES,
    PATIENT_S,
    RATES,
    ZONES,
    MoneyScene,
    Request,
    Waiting,
    copy_of_disk,
)
from tests.migrated import migrated


@pytest.fixture(scope="module", autouse=True)
def figures() -> Iterator[None]:
    yield
    print(f"\n{dict(COUNTS)}")


class MoneyMachine(MoneyScene):
    """The rules are what happens to a gateway; the model is told of the same and asked alike."""

    # Beginning and crash

    @initialize(
        zone=st.sampled_from(ZONES),
        beginning=st.sampled_from(BEGINNINGS),
        limits=st.lists(
            st.tuples(
                st.integers(0, 4),
                st.sampled_from(["rpm", "tpm", "rpd", "tpd", "concurrent"]),
                st.integers(1, 12),
            ),
            max_size=4,
        ),
        caps=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3_000)), max_size=3),
    )
    def begin(
        self,
        zone: str,
        beginning: str,
        limits: list[tuple[int, LimitKind, int]],
        caps: list[tuple[int, int]],
    ) -> None:
        self.zone = zone
        started = datetime.fromisoformat(beginning).replace(tzinfo=UTC)
        self.clock.at_ms = int(started.timestamp()) * 1000
        self.engine = self.run(migrated(f"sqlite:///{self.folder / 'conduit.db'}"))
        self.run(self.start(self.folder))
        for index, kind, number in limits:
            self.set_limit(index, kind, number, shadow=False, small_burst=False)
        for index, cap in caps:
            self.open_budget(BUDGET_SCOPES[index], "day", "hard", cap)

    @rule(
        data=st.data(),
        torn=st.booleans(),
        unbound=st.booleans(),
        budget_between=st.booleans(),
    )
    def kill_and_restart(
        self, data: st.DataObject, torn: bool, unbound: bool, budget_between: bool
    ) -> None:
        """What another process would find: no record of this turn of the loop was written."""
        if running := self.books.running():
            unwritten = data.draw(st.sampled_from(running))
            assert unwritten.hold is not None
            self.ledger.settle(unwritten.hold, ending(0))
        self.crashes += 1
        COUNTS["kills"] += 1
        after = self.folder / f"after-{self.crashes}"
        copy_of_disk(self.database_file, after, torn=torn, unbound=unbound)
        self.kill()
        self.engine = create_engine(f"sqlite:///{after / 'conduit.db'}")
        self.books.crash()
        if budget_between:  # its row was stored, and the journal could not be told any more
            new = self.new_budget(("gateway", ""), "week", "soft", 0)
            self.run(store_budget(self.engine, new, at_ms=self.clock.at_ms))
            self.books.open(new, self.clock.at_ms)
        self.run(self.start(after))
        self.ideal = IdealLimits(self.books.count_day)
        self.check_applied()

    # Requests

    @rule(
        key_id=st.sampled_from(KEYS),
        group_id=st.sampled_from(GROUPS),
        alias=st.sampled_from(ALIASES),
        input_tokens=st.integers(1, 12),
        cap=st.integers(0, 300),
        guessed=st.sampled_from([0, 0, 8]),
        stream=st.booleans(),
    )
    def ask(
        self,
        key_id: str,
        group_id: str | None,
        alias: str,
        input_tokens: int,
        cap: int,
        guessed: int,
        stream: bool,
    ) -> None:
        """Limits first, then money; what gets no money gives its place back."""
        scopes = self.scopes_of(key_id, group_id, alias)
        found = self.run(self.taken_or_refused(scopes, input_tokens, guessed))
        expected = self.ideal.take(scopes, input_tokens, guessed, self.clock())
        if not isinstance(found, Permit):
            if found is None:
                assert expected is None
            else:
                assert not isinstance(expected, list)
                assert expected is not None
                # Told in nanoseconds, rounded up.
                assert abs(found - max(float(expected), 0.001)) < 1e-6
            return
        assert isinstance(expected, list)
        self.requests_made += 1
        request = Request(f"req_{self.requests_made:06d}", key_id, group_id, alias, found, expected)
        self.attempt(request, input_tokens, cap, stream=stream)

    @rule(
        keys=st.lists(st.sampled_from(KEYS), min_size=2, max_size=4),
        alias=st.sampled_from(ALIASES),
        cap=st.integers(0, 300),
        stream=st.booleans(),
    )
    def several_ask(self, keys: list[str], alias: str, cap: int, stream: bool) -> None:
        for key_id in keys:
            self.ask(key_id, "grp_1", alias, 5, cap, 0, stream)

    async def taken_or_refused(
        self, scopes: list[Scope], tokens: int, guessed: int
    ) -> Permit | float | None:
        try:
            return await self.limiter.take(scopes, tokens, guessed)
        except TokensExceedLimitError:
            return None
        except RateLimitedError as error:
            return error.retry_after_s or 0.0

    def attempt(self, request: Request, input_tokens: int, cap: int, *, stream: bool) -> None:
        """Hold for one attempt of a request, or end the request."""
        wanted = self.wanted(request, input_tokens, cap, stream=stream)
        amount = wanted.hold_nanodollars
        shown = self.ledger.affordable(request.key_id, request.alias, request.group_id)
        at_ms, places = self.books.place(
            request.key_id, request.alias, request.group_id, self.clock.at_ms
        )
        by_spent, by_all = self.books.room(places)
        if not self.set_back:
            hard = any(budget.terms.hard for budget, _ in places)
            assert shown == (max(by_spent, 0) if hard else None)
        try:
            hold = self.run(self.ledger.hold(wanted, wait_s=0))
        except InsufficientQuotaError:
            assert amount > by_spent
        except BudgetHeldError:
            assert by_spent >= amount
            assert amount > by_all or self.is_waited_for(places)
        else:
            assert amount <= by_all
            assert hold.claim.at_ms == at_ms
            self.held(request, hold)
            return
        self.end(request)

    def wanted(self, request: Request, input_tokens: int, cap: int, *, stream: bool) -> Claim:
        version, rate = self.price
        return claim(
            cost_of_units(input_tokens + cap, rate),
            request_id=request.id,
            key_id=request.key_id,
            group_id=request.group_id,
            alias=request.alias,
            stream=stream,
            at_ms=self.clock.at_ms,
            input_tokens=input_tokens,
            input_nanodollars=cost_of_units(input_tokens, rate),
            output_rate=rate,
            price_version=version,
        )

    @precondition(lambda self: len(self.waiting) < 3)
    @rule(key_id=st.sampled_from(KEYS), alias=st.sampled_from(ALIASES), tokens=st.integers(1, 600))
    def ask_and_wait(self, key_id: str, alias: str, tokens: int) -> None:
        """Without limits: for money that others hold, until it comes back."""
        self.requests_made += 1
        parts: list[Part] = []
        permit = Permit(self.clock, (), self.clock())
        request = Request(f"req_{self.requests_made:06d}", key_id, None, alias, permit, parts)
        wanted = self.wanted(request, tokens, 0, stream=False)
        self.books.place(key_id, alias, None, self.clock.at_ms)
        task = self.loop.create_task(self.ledger.hold(wanted, wait_s=PATIENT_S))
        self.waiting.append(Waiting(wanted, request, task))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def hang_up(self, data: st.DataObject) -> None:
        """The caller of a claim that waits has gone."""
        waiting = data.draw(st.sampled_from(self.waiting))
        waiting.task.cancel()

    @precondition(lambda self: self.requests)
    @rule(
        data=st.data(),
        output=st.integers(0, 340),
        outcome=st.sampled_from(DONE),
    )
    def finish(self, data: st.DataObject, output: int, outcome: AttemptOutcome) -> None:
        """The provider may have given more than was asked for; a second settlement is nothing."""
        request = data.draw(st.sampled_from(self.requests))
        attempt = request.last
        used = Usage(input_tokens=attempt.input_tokens, output_tokens=output)
        cost = cost_of_units(attempt.input_tokens + output, attempt.rate)
        self.settle(attempt, outcome, used, cost)
        self.end(request)

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), lost=st.booleans(), cap=st.integers(0, 300))
    def retry(self, data: st.DataObject, lost: bool, cap: int) -> None:
        """The next target: what refused costs nothing, what was lost the whole hold."""
        request = data.draw(st.sampled_from(self.requests))
        attempt = request.last
        outcome = AttemptOutcome.AMBIGUOUS if lost else AttemptOutcome.REFUSED
        self.settle(attempt, outcome, EMPTY_USAGE, attempt.amount if lost else 0)
        self.attempt(request, attempt.input_tokens, cap, stream=attempt.stream)

    def settle(self, attempt: Attempt, outcome: AttemptOutcome, used: Usage, cost: int) -> None:
        hold = attempt.hold
        assert hold is not None
        billed = 0 if outcome is AttemptOutcome.AMBIGUOUS else cost
        for more in (0, 1):
            self.ledger.settle(
                hold,
                ending(
                    cost + more,
                    billed_nanodollars=billed,
                    outcome=outcome,
                    usage=used,
                    at_ms=self.clock.at_ms,
                ),
            )
        tokens = used.total_input_tokens + used.total_output_tokens
        self.books.settle(attempt, cost, tokens, billed=billed)

    def end(self, request: Request) -> None:
        """The record, and what the limits get back; twice, which changes nothing."""
        tokens = sum(each.tokens for each in request.attempts)
        for _ in range(2):
            request.permit.end(tokens)
        self.ideal.end(request.parts, tokens, self.clock())
        if request in self.requests:
            self.requests.remove(request)
        if request.attempts:
            cost = sum(each.cost or 0 for each in request.attempts)
            told = claim(
                request_id=request.id, key_id=request.key_id, at_ms=request.attempts[0].at_ms
            )
            self.ledger.record(
                request_record(told, cost_nanodollars=cost, attempts=len(request.attempts))
            )

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), more=st.integers(0, 300))
    def top_up(self, data: st.DataObject, more: int) -> None:
        attempt = data.draw(st.sampled_from(self.requests)).last
        scopes = [(self.books.budgets[scope[0]], scope) for scope in self.books.scopes_of(attempt)]
        _, by_all = self.books.room(scopes)
        assert attempt.hold is not None
        granted = self.run(self.ledger.top_up(attempt.hold, more))
        assert granted == (more <= by_all)
        if granted:
            self.books.grow(attempt, more)
            self.within_limits(attempt.hold)

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), tokens=st.integers(256, 2_000))
    def progress(self, data: st.DataObject, tokens: int) -> None:
        attempt = data.draw(st.sampled_from(self.requests)).last
        if tokens - attempt.noted >= 256:
            assert attempt.hold is not None
            self.ledger.progress(attempt.hold, tokens)
            attempt.noted = tokens

    # Time

    @rule(milliseconds=st.one_of(st.integers(1, 5_000), st.integers(1, 300_000)))
    def a_moment_passes(self, milliseconds: int) -> None:
        self.clock.pass_ms(milliseconds)

    @rule(hours=st.integers(1, 40 * 24))
    def hours_pass(self, hours: int) -> None:
        self.clock.pass_ms(hours * HOUR_MS)

    @rule(
        edge=st.sampled_from(["day", "week", "month", "clocks change"]),
        zone=st.sampled_from(ZONES),
        milliseconds=st.sampled_from([-1, 0, 1, HOUR_MS]),
    )
    def an_edge_comes(self, edge: str, zone: str, milliseconds: int) -> None:
        """The next midnight, Monday, first of a month or change of clocks, or just beside it."""
        now = self.clock.at_ms
        if edge == "clocks change":
            changes = offsets_ms(zone, now, now + 300 * DAY_MS)
            at_ms = changes[1][0] if len(changes) > 1 else now
        else:
            later = now
            while (at_ms := period_start_ms(edge, zone, later)) <= now:
                later += 20 * HOUR_MS
        self.clock.pass_ms(max(0, at_ms + milliseconds - now))

    @rule(
        milliseconds=st.one_of(
            st.integers(-2_000, 2_000),
            st.integers(-4 * HOUR_MS, 4 * HOUR_MS),
            st.integers(-3 * DAY_MS, 40 * DAY_MS),
        )
    )
    def the_clock_is_set(self, milliseconds: int) -> None:
        """By NTP or by hand, or the machine slept: only the wall clock jumps."""
        self.clock.at_ms += milliseconds
        self.set_back = self.set_back or milliseconds < 0

    # Administration

    @rule(rate=st.sampled_from(RATES))
    def the_price_changes(self, rate: int) -> None:
        """Whatever is held already settles at the price that it was held at."""
        self.price = (f"book-{int(self.price[0][5:]) + 1}", rate)

    @rule(
        index=st.integers(0, 4),
        kind=st.sampled_from(["rpm", "tpm", "rpd", "tpd", "concurrent"]),
        number=st.integers(0, 40),
        shadow=st.sampled_from([False, False, False, True]),
        small_burst=st.booleans(),
    )
    def set_limit(
        self, index: int, kind: LimitKind, number: int, shadow: bool, small_burst: bool
    ) -> None:
        """An administrator sets a limit of a scope, or takes it away; calls go on."""
        scope_id = LIMIT_SCOPES[index].id
        others = tuple(each for each in self.limits[scope_id] if each.kind != kind)
        if not number:
            self.limits[scope_id] = others
            return
        burst = (number + 1) // 2 if small_burst and kind in ("rpm", "tpm") else None
        limit = Limit(kind, number, burst, shadow=shadow, timezone=self.zone)
        self.limits[scope_id] = (*others, limit)

    @precondition(lambda self: len(self.books.budgets) < 6)
    @rule(
        scope=st.sampled_from(BUDGET_SCOPES),
        period=st.sampled_from(["total", "day", "week", "month"]),
        mode=st.sampled_from(["hard", "hard", "soft"]),
        cap=st.integers(0, 3_000),
    )
    def open_budget(self, scope: tuple[str, str], period: str, mode: str, cap: int) -> None:
        budget = self.new_budget(scope, period, mode, cap)
        self.run(store_budget(self.engine, budget, at_ms=self.clock.at_ms))
        self.books.open(budget, self.clock.at_ms)
        self.run(self.ledger.open_budget(budget))

    def new_budget(self, scope: tuple[str, str], period: str, mode: str, cap: int) -> BudgetTerms:
        self.budgets_made += 1
        return terms(
            cap,
            id=f"bud_{self.budgets_made:03d}",
            scope_kind=scope[0],
            scope_id=scope[1],
            period=period,
            timezone=self.zone,
            mode=mode,
        )

    @precondition(lambda self: self.prepaid() is None)
    @rule(paid_in=st.integers(0, 3_000))
    def open_prepaid(self, paid_in: int) -> None:
        """A first transaction of the group: what its calls cost before is left out of it."""
        told = {"scope_kind": "group", "scope_id": "grp_1", "period": "prepaid"}
        budget = terms(paid_in, id="bud_prepaid", since_ms=self.clock.at_ms, **told)
        self.run(store_budget(self.engine, budget, at_ms=self.clock.at_ms))
        self.run(store_transaction(self.engine, "grp_1", paid_in))
        self.books.open(budget, self.clock.at_ms)
        self.run(self.ledger.open_budget(budget))

    @precondition(lambda self: self.prepaid() is not None)
    @rule(nanodollars=st.integers(-1_500, 1_500))
    def pay_in_or_out(self, nanodollars: int) -> None:
        """A credit or a debit, which may leave less than nothing: it counts at once."""
        budget = self.prepaid()
        assert budget is not None
        self.books.change(budget, budget.terms.limit_nanodollars + nanodollars, "hard")
        self.run(store_limit(self.engine, budget.terms, at_ms=self.clock.at_ms))
        self.run(store_transaction(self.engine, "grp_1", nanodollars))
        self.ledger.change_budget(budget.terms)

    def prepaid(self) -> Budget | None:
        return self.books.budgets.get("bud_prepaid")

    @precondition(lambda self: self.changeable())
    @rule(data=st.data(), cap=st.integers(0, 3_000), mode=st.sampled_from(["hard", "hard", "soft"]))
    def change_budget(self, data: st.DataObject, cap: int, mode: str) -> None:
        budget = self.drawn_budget(data)
        self.books.change(budget, cap, mode)
        changed = {"limit_nanodollars": cap, "mode": mode, "updated_at_ms": self.clock.at_ms}
        self.run(self.write(update(budgets).where(budgets.c.id == budget.terms.id), changed))
        self.ledger.change_budget(budget.terms)

    @precondition(lambda self: self.changeable())
    @rule(data=st.data())
    def reset_budget(self, data: st.DataObject) -> None:
        budget = self.drawn_budget(data)
        sums = self.books.sums(self.books.present(budget, self.clock.at_ms))
        assert self.run(self.ledger.reset_spent(budget.terms.id)) == sums.spent
        sums.spent = 0

    @precondition(lambda self: self.changeable())
    @rule(data=st.data())
    def close_budget(self, data: st.DataObject) -> None:
        budget_id = self.drawn_budget(data).terms.id
        self.run(self.write(delete(budgets).where(budgets.c.id == budget_id)))
        self.ledger.close_budget(budget_id)
        self.books.close(budget_id)

    def changeable(self) -> list[Budget]:
        """Nobody changes a prepaid balance but by transactions."""
        return [each for each in self.books.budgets.values() if not each.terms.prepaid]

    def drawn_budget(self, data: st.DataObject) -> Budget:
        return data.draw(st.sampled_from(self.changeable()))

    @precondition(lambda self: len(self.books.running()) < len(self.books.attempts))
    @rule(data=st.data(), cost=st.integers(0, 900))
    def correct(self, data: st.DataObject, cost: int) -> None:
        done = [each for each in self.books.attempts if each.cost is not None]
        attempt = data.draw(st.sampled_from(done))
        assert attempt.cost is not None
        self.corrections += 1
        record = CorrectRecord(
            f"cor_{self.corrections:06d}",
            attempt.id,
            *(cost - attempt.cost, cost, "the invoice", "master key", self.clock.at_ms),
        )
        self.run(
            self.ledger.correct(
                record, attempt.key_id, attempt.alias, attempt.at_ms, attempt.group_id
            )
        )
        self.books.correct(attempt, cost)

    async def write(self, statement: Any, values: dict[str, Any] | None = None) -> None:
        async with writing(self.engine) as connection:
            await connection.execute(statement if values is None else statement.values(values))


TestMoneyMachine = pytest.mark.soak(MoneyMachine.TestCase)
TestMoneyMachine.settings = settings(
    stateful_step_count=50 if SOAKING else 30, max_examples=300 if SOAKING else 10
)
