"""Claims that wait for money which others hold."""

import asyncio
from pathlib import Path

import pytest

from conduit.core.errors import (
    BudgetHeldError,
    InsufficientQuotaError,
)
from conduit.gateway.ledger.entries import Hold
from conduit.gateway.ledger.local import LocalLedger
from conduit.gateway.ledger.waiting import MOST_WAITERS
from conduit.gateway.storage.ledger.statements import Engine
from tests.gateway.ledger.building import (
    AT_MS,
    balance,
    claim,
    ending,
    opened,
    store_budget,
    terms,
    violations,
    waiting,
)


async def test_a_claim_waits_for_held_money_and_gets_it_in_order(ledger: LocalLedger) -> None:
    first = await ledger.hold(claim(10_000))
    order: list[str] = []

    async def asked(name: str, amount: int) -> Hold:
        hold = await ledger.hold(claim(amount))
        order.append(name)
        return hold

    large = asyncio.ensure_future(asked("large", 9_000))
    await waiting(ledger, 1)
    small = asyncio.ensure_future(asked("small", 1))
    await waiting(ledger, 2)
    ledger.settle(first, ending(500))
    await asyncio.gather(large, small)
    assert order == ["large", "small"]
    assert balance(ledger) == (500, 9_001)


async def test_a_newcomer_stands_behind_those_who_wait(ledger: LocalLedger) -> None:
    first = await ledger.hold(claim(6_000))
    large = asyncio.ensure_future(ledger.hold(claim(9_000)))
    await waiting(ledger, 1)
    with pytest.raises(BudgetHeldError) as caught:
        await ledger.hold(claim(10), wait_s=0)
    assert caught.value.retry_after_s == 1.0
    ledger.settle(first, ending(0))
    assert (await large).nanodollars == 9_000


async def test_waiting_ends_with_budget_held_and_lets_the_next_pass(ledger: LocalLedger) -> None:
    await ledger.hold(claim(6_000))
    large = asyncio.ensure_future(ledger.hold(claim(9_000), wait_s=0.05))
    await waiting(ledger, 1)
    small = asyncio.ensure_future(ledger.hold(claim(1_000)))
    with pytest.raises(BudgetHeldError):
        await large
    assert (await small).nanodollars == 1_000
    assert ledger.state().waiting == 0


async def test_a_grant_and_the_end_of_the_wait_in_one_turn_is_a_grant(ledger: LocalLedger) -> None:
    first = await ledger.hold(claim(9_000))
    queue = asyncio.ensure_future(ledger.hold(claim(9_000)))
    await waiting(ledger, 1)
    account = ledger._balances.get("bud_1")
    assert account is not None
    waiter = account.waiters[0]
    ledger.settle(first, ending(0))
    ledger._room._expire(waiter)
    assert (await queue).nanodollars == 9_000


async def test_the_queue_of_a_budget_is_bounded(ledger: LocalLedger) -> None:
    await ledger.hold(claim(10_000))
    queue = [asyncio.ensure_future(ledger.hold(claim(1))) for _ in range(MOST_WAITERS)]
    await waiting(ledger, MOST_WAITERS)
    with pytest.raises(BudgetHeldError):
        await ledger.hold(claim(1))
    for one in queue:
        one.cancel()
    await asyncio.gather(*queue, return_exceptions=True)
    assert balance(ledger) == (0, 10_000)


async def test_a_waiter_learns_that_the_money_was_spent(ledger: LocalLedger) -> None:
    first = await ledger.hold(claim(9_000))
    queue = asyncio.ensure_future(ledger.hold(claim(9_000)))
    await waiting(ledger, 1)
    ledger.settle(first, ending(2_000))
    with pytest.raises(InsufficientQuotaError):
        await queue


async def test_a_waiter_who_leaves_holds_nothing_and_lets_the_next_pass(
    ledger: LocalLedger,
) -> None:
    await ledger.hold(claim(6_000))
    large = asyncio.ensure_future(ledger.hold(claim(9_000)))
    await waiting(ledger, 1)
    small = asyncio.ensure_future(ledger.hold(claim(1_000)))
    await waiting(ledger, 2)
    large.cancel()
    assert (await small).nanodollars == 1_000
    assert balance(ledger) == (0, 7_000)


@pytest.mark.parametrize("settled_first", [True, False])
async def test_a_waiter_who_leaves_in_the_turn_of_the_settlement_holds_nothing(
    ledger: LocalLedger, settled_first: bool
) -> None:
    first = await ledger.hold(claim(9_000))
    queue = asyncio.ensure_future(ledger.hold(claim(9_000)))
    await waiting(ledger, 1)
    if settled_first:
        ledger.settle(first, ending(0))
        queue.cancel()
    else:
        queue.cancel()
        ledger.settle(first, ending(0))
    with pytest.raises(asyncio.CancelledError):
        await queue
    assert balance(ledger) == (0, 0)
    assert ledger.state().open_holds == 0


async def test_a_refused_waiter_who_leaves_in_the_same_turn_is_no_trouble(
    ledger: LocalLedger,
) -> None:
    first = await ledger.hold(claim(9_000))
    queue = asyncio.ensure_future(ledger.hold(claim(9_000)))
    await waiting(ledger, 1)
    ledger.settle(first, ending(5_000))
    queue.cancel()
    with pytest.raises(asyncio.CancelledError):
        await queue
    assert balance(ledger) == (5_000, 0)


async def test_who_waits_for_one_budget_may_have_to_wait_for_the_next(
    ledger: LocalLedger, engine: Engine
) -> None:
    gateway = terms(12_000, id="bud_2", scope_kind="gateway", scope_id="")
    await store_budget(engine, gateway)
    await ledger.open_budget(gateway)
    mine = await ledger.hold(claim(9_000))
    queue = asyncio.ensure_future(ledger.hold(claim(9_000)))
    await waiting(ledger, 1)
    other = asyncio.ensure_future(ledger.hold(claim(2_900, key_id="key_2")))
    other_hold = await other
    more = asyncio.ensure_future(ledger.hold(claim(9_050, key_id="key_2")))
    await waiting(ledger, 2)
    ledger.settle(mine, ending(0))  # queue fits its key now, but not the gateway before `more`
    assert (await more).nanodollars == 9_050
    ledger.settle(other_hold, ending(0))
    assert not queue.done()
    ledger.settle(await more, ending(0))
    assert (await queue).nanodollars == 9_000


async def test_who_cannot_enter_the_next_queue_is_refused(
    ledger: LocalLedger, engine: Engine
) -> None:
    gateway = terms(12_000, id="bud_2", scope_kind="gateway", scope_id="")
    await store_budget(engine, gateway)
    await ledger.open_budget(gateway)
    mine = await ledger.hold(claim(9_000))
    queue = asyncio.ensure_future(ledger.hold(claim(9_000)))
    await waiting(ledger, 1)
    await ledger.hold(claim(2_900, key_id="key_2"))
    crowd = [
        asyncio.ensure_future(ledger.hold(claim(10_000, key_id="key_2")))
        for _ in range(MOST_WAITERS)
    ]
    await waiting(ledger, MOST_WAITERS + 1)
    ledger.settle(mine, ending(0))
    with pytest.raises(BudgetHeldError):
        await queue
    for one in crowd:
        one.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)


async def test_a_thousand_claims_at_once_never_exceed_the_budget(
    ledger: LocalLedger, engine: Engine
) -> None:
    most = 0

    async def call() -> int:
        nonlocal most
        try:
            hold = await ledger.hold(claim(1_000))
        except (BudgetHeldError, InsufficientQuotaError):
            return 0
        most = max(most, sum(balance(ledger)))
        await asyncio.sleep(0)
        ledger.settle(hold, ending(900))
        return 900

    spent = sum(await asyncio.gather(*(call() for _ in range(1000))))
    assert most <= 10_000
    assert spent == balance(ledger)[0] == 9_900
    await ledger.caught_up()
    assert await violations(engine) == []


async def test_a_new_day_is_not_kept_waiting_by_who_waits_since_the_day_before(
    engine: Engine, tmp_path: Path
) -> None:
    now = [AT_MS]
    by_day = terms(1000, period="day")
    async with await opened(engine, tmp_path, by_day, clock_ms=lambda: now[0]) as ledger:
        hold = await ledger.hold(claim(1000))
        early = asyncio.create_task(ledger.hold(claim(400), wait_s=60))
        await waiting(ledger, 1)
        now[0] += 86_400_000
        late = await ledger.hold(claim(400, at_ms=now[0]), wait_s=0)
        assert (await early).claim.at_ms == late.claim.at_ms - late.claim.at_ms % 86_400_000
        assert balance(ledger, at_ms=now[0]) == (0, 800)
        ledger.settle(hold, ending(1000))
        await ledger.caught_up()
        assert await violations(engine) == []


async def test_a_new_day_serves_the_queue_of_each_budget_that_is_in_the_way(
    engine: Engine, tmp_path: Path
) -> None:
    now = [AT_MS]
    of_key = terms(1000, period="day")
    of_all = terms(1500, id="bud_2", scope_kind="gateway", scope_id="", period="day")
    ledger = await opened(engine, tmp_path, of_key, of_all, clock_ms=lambda: now[0])
    async with ledger:
        holds = [
            await ledger.hold(claim(1000)),
            await ledger.hold(claim(500, key_id="key_2")),
        ]
        early = [asyncio.create_task(ledger.hold(claim(100), wait_s=60))]
        await waiting(ledger, 1)
        early.append(asyncio.create_task(ledger.hold(claim(100, key_id="key_2"), wait_s=60)))
        await waiting(ledger, 2)
        now[0] += 86_400_000
        late = await ledger.hold(claim(100, at_ms=now[0]), wait_s=0)
        served = [await each for each in early]
        assert balance(ledger, "bud_2", at_ms=now[0]) == (0, 300)
        for hold in (*holds, *served, late):
            ledger.settle(hold, ending(10))
        await ledger.caught_up()
        assert await violations(engine) == []
