"""Holds, queues, settlements and budgets of a running ledger."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from conduit.core.errors import (
    InsufficientQuotaError,
    LedgerUnavailableError,
)
from conduit.gateway.conversation import Usage
from conduit.gateway.ledger import journal as journal_module
from conduit.gateway.ledger.batches import Position
from conduit.gateway.ledger.entries import Ledger
from conduit.gateway.ledger.local import LocalLedger
from conduit.gateway.ledger.reading import JournalReader
from conduit.gateway.ledger.records import (
    INT64_MAX,
    Claim,
    ProgressRecord,
    Record,
    TopUpRecord,
)
from conduit.gateway.storage.ledger.statements import Engine
from tests.gateway.ledger.building import (
    AT_MS,
    attempts,
    balance,
    claim,
    ending,
    opened,
    request_record,
    request_rows,
    store_budget,
    store_key,
    terms,
    violations,
    waiting,
)
from tests.gateway.ledger.test_journal import files_no_larger_than

DAY_MS = 86_400_000


def written(folder: Path) -> tuple[Record, ...]:
    return JournalReader(folder / "journal", Position(1, 0)).read(100_000).records


async def test_it_is_the_ledger_that_the_request_path_knows(ledger: LocalLedger) -> None:
    known: Ledger = ledger
    assert known.state().available


async def test_the_hold_is_in_the_journal_when_it_is_granted(
    ledger: LocalLedger, tmp_path: Path
) -> None:
    hold = await ledger.hold(claim(4000))
    [record] = [r for r in written(tmp_path) if isinstance(r, Claim)]
    assert record.attempt_id == hold.claim.attempt_id
    assert hold.scopes == (("bud_1", 0),)
    assert balance(ledger) == (0, 4000)
    assert ledger.state().open_holds == 1
    assert ledger.state().held_nanodollars == 4000


async def test_a_settlement_replaces_the_hold_once(ledger: LocalLedger, engine: Engine) -> None:
    hold = await ledger.hold(claim(4000))
    ledger.settle(hold, ending(600))
    ledger.settle(hold, ending(9000))
    ledger.record(request_record(hold.claim))
    assert balance(ledger) == (600, 0)
    await ledger.caught_up()
    row = (await attempts(engine))[hold.claim.attempt_id]
    assert (row.state, row.outcome, row.cost_nanodollars) == ("done", "succeeded", 600)
    assert (row.hold_nanodollars, row.input_tokens, row.output_tokens) == (4000, 10, 20)
    assert (row.settled_at_ms, row.price_version, row.status) == (AT_MS + 50, "book-1", 200)
    assert (await request_rows(engine))[hold.claim.request_id].cost_nanodollars == 600
    assert await violations(engine) == []


async def test_hold_and_settlement_applied_apart_make_the_same_row(
    ledger: LocalLedger, engine: Engine
) -> None:
    together, apart = claim(4000), claim(4000)
    apart_hold = await ledger.hold(apart)
    await ledger.caught_up()
    assert (await attempts(engine))[apart.attempt_id].state == "open"
    ledger.settle(await ledger.hold(together), ending(600))
    ledger.settle(apart_hold, ending(600))
    await ledger.caught_up()
    rows = await attempts(engine)
    assert rows[together.attempt_id][2:] == rows[apart.attempt_id][2:]


async def test_spent_money_that_leaves_no_room_is_final_and_names_the_budget(
    ledger: LocalLedger,
) -> None:
    ledger.settle(await ledger.hold(claim(10_000)), ending(9_000))
    with pytest.raises(InsufficientQuotaError) as caught:
        await ledger.hold(claim(2_000))
    assert 'key "acme" has $0.000001 left of its budget of $0.00001' in caught.value.message
    ledger.settle(await ledger.hold(claim(1_000)), ending(1_000))
    with pytest.raises(InsufficientQuotaError) as caught:
        await ledger.hold(claim(1))
    assert caught.value.message == ('key "acme" has spent its budget ($0.00001 of $0.00001)')
    assert caught.value.should_retry is False
    assert ledger.exhausted("key_1") is not None
    assert ledger.affordable("key_1") == 0


async def test_what_a_key_can_afford_is_its_tightest_hard_budget(
    ledger: LocalLedger, engine: Engine
) -> None:
    assert ledger.affordable("key_2") is None
    assert ledger.exhausted("key_2") is None
    for budget in (
        terms(7_000, id="bud_2", scope_kind="gateway", scope_id=""),
        terms(1, id="bud_3", mode="soft"),
        terms(1, id="bud_4", scope_kind="mapping", scope_id="fast", scope_name=None),
    ):
        await store_budget(engine, budget)
        await ledger.open_budget(budget)
    assert ledger.affordable("key_1") == 7_000
    hold = await ledger.hold(claim(5_000, alias="other"))
    assert ledger.affordable("key_1") == 7_000  # what is held may come back
    assert balance(ledger, "bud_3") == (0, 5_000)
    assert balance(ledger, "bud_4") == (0, 0)
    ledger.settle(hold, ending(4_000))
    assert ledger.affordable("key_1") == 3_000
    with pytest.raises(InsufficientQuotaError, match='mapping "fast"'):
        await ledger.hold(claim(5))


async def test_a_stream_holds_more_while_there_is_money(
    ledger: LocalLedger, engine: Engine, tmp_path: Path
) -> None:
    hold = await ledger.hold(claim(4_000, stream=True))
    assert await ledger.top_up(hold, 5_000)
    assert not await ledger.top_up(hold, 1_001)
    assert not await ledger.top_up(hold, -1)
    assert (hold.nanodollars, balance(ledger)) == (9_000, (0, 9_000))
    await ledger.caught_up()
    assert (await attempts(engine))[hold.claim.attempt_id].hold_nanodollars == 9_000
    assert await violations(engine) == []
    ledger.settle(hold, ending(8_000))
    assert not await ledger.top_up(hold, 1)
    assert balance(ledger) == (8_000, 0)
    assert [r.hold_nanodollars for r in written(tmp_path) if isinstance(r, TopUpRecord)] == [9_000]


async def test_progress_is_noted_every_256_tokens_or_every_second(
    ledger: LocalLedger, tmp_path: Path, engine: Engine
) -> None:
    hold = await ledger.hold(claim(4_000, stream=True))
    for tokens in range(600):
        ledger.progress(hold, tokens)
    hold.noted_at -= 1.0
    ledger.progress(hold, 601)
    ledger.progress(hold, 602)
    await ledger.caught_up()
    notes = [r.output_tokens for r in written(tmp_path) if isinstance(r, ProgressRecord)]
    assert notes == [256, 512, 601]
    assert (await attempts(engine))[hold.claim.attempt_id].progress_tokens == 601
    ledger.settle(hold, ending())
    ledger.progress(hold, 5_000)
    await ledger.caught_up()
    assert (await attempts(engine))[hold.claim.attempt_id].progress_tokens == 601


async def test_a_full_disk_refuses_holds_and_keeps_settlements(
    ledger: LocalLedger, engine: Engine, tmp_path: Path
) -> None:
    running = await ledger.hold(claim(4_000))
    await ledger.caught_up()
    size = (tmp_path / "journal" / ledger.state().journal_file).stat().st_size
    with files_no_larger_than(size + 20):
        with pytest.raises(LedgerUnavailableError, match="cannot be written"):
            await ledger.hold(claim(1_000))
        assert balance(ledger) == (0, 4_000)
        ledger.settle(running, ending(600))
        ledger.record(request_record(running.claim))
        ledger.progress(running, 5_000)
        assert not ledger.state().available
        with pytest.raises(LedgerUnavailableError):
            await ledger.hold(claim(1_000))
    await ledger.caught_up()
    assert ledger.state().available
    assert (await attempts(engine))[running.claim.attempt_id].state == "done"
    assert running.claim.request_id in await request_rows(engine)
    await ledger.hold(claim(1_000))


async def test_who_hangs_up_before_the_journal_is_written_holds_nothing(
    ledger: LocalLedger, engine: Engine
) -> None:
    gone = asyncio.ensure_future(ledger.hold(claim(4_000)))
    served = asyncio.ensure_future(ledger.hold(claim(1_000)))
    await asyncio.sleep(0)
    assert balance(ledger) == (0, 5_000)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    ledger.settle(await served, ending(600))
    assert balance(ledger) == (600, 0)
    await ledger.caught_up()
    assert {row.state for row in (await attempts(engine)).values()} == {"done"}
    assert await violations(engine) == []


async def test_who_hangs_up_on_a_full_disk_holds_nothing(
    ledger: LocalLedger, engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    size = (tmp_path / "journal" / ledger.state().journal_file).stat().st_size
    with files_no_larger_than(size + 20):
        before, behind = (asyncio.ensure_future(ledger.hold(claim(4_000))) for _ in range(2))
        await asyncio.sleep(0)
        before.cancel()  # the write is yet to fail
        asyncio.get_running_loop().call_soon(behind.cancel)  # it has failed
        assert {
            type(each) for each in await asyncio.gather(before, behind, return_exceptions=True)
        } <= {asyncio.CancelledError, LedgerUnavailableError}
        assert balance(ledger) == (0, 0)
    await ledger.caught_up()
    assert await violations(engine) == []
    assert "whose hold it does not have" not in caplog.text
    assert (await ledger.hold(claim(5_000))).nanodollars == 5_000


async def test_request_records_are_dropped_rather_than_kept_without_end(
    ledger: LocalLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conduit.gateway.ledger.journalled._MOST_WAITING", 3)
    hold = await ledger.hold(claim(1))
    await ledger.caught_up()
    size = (tmp_path / "journal" / ledger.state().journal_file).stat().st_size
    with files_no_larger_than(size + 1):
        for _ in range(5):
            ledger.record(request_record(hold.claim))
            await asyncio.sleep(0)
    await ledger.caught_up()
    assert ledger.state().reason == "2 request records were dropped while the disk was full"
    assert ledger.state().available


async def test_what_providers_report_is_bounded_to_64_bits(
    ledger: LocalLedger, engine: Engine
) -> None:
    odd = claim(5, input_tokens=-1, output_rate=2**80)
    hold = await ledger.hold(odd)
    ledger.settle(hold, ending(2**90, usage=Usage(input_tokens=2**70, output_tokens=-5)))
    ledger.record(request_record(odd, output_tokens=2**70, cost_nanodollars=-1))
    await ledger.caught_up()
    request = (await request_rows(engine))[odd.request_id]
    assert (request.output_tokens, request.cost_nanodollars) == (INT64_MAX, 0)
    row = (await attempts(engine))[odd.attempt_id]
    assert (row.input_tokens, row.output_tokens) == (INT64_MAX, 0)
    assert row.cost_nanodollars == INT64_MAX == balance(ledger)[0]
    assert await violations(engine) == []


async def test_the_search_units_of_a_ranking_stand_in_its_row(
    ledger: LocalLedger, engine: Engine
) -> None:
    ranking, chat, odd = (claim(5, operation=name) for name in ("rerank", "chat", "rerank"))
    open_still = claim(5, operation="rerank")
    for each, units in ((ranking, 3), (chat, 1), (odd, 2**70)):
        ledger.settle(await ledger.hold(each), ending(5, usage=Usage(requests=units)))
    held = await ledger.hold(open_still)
    await ledger.caught_up()
    rows = await attempts(engine)
    found = [rows[each.attempt_id].search_units for each in (ranking, chat, odd, open_still)]
    assert found == [3, None, INT64_MAX, None]
    ledger.settle(held, ending(5, usage=Usage(requests=0)))  # whose row is there already
    await ledger.caught_up()
    assert (await attempts(engine))[open_still.attempt_id].search_units == 0


async def test_no_balance_exceeds_64_bits(engine: Engine, tmp_path: Path) -> None:
    soft = terms(0, mode="soft")
    async with await opened(engine, tmp_path, soft) as ledger:
        first = await ledger.hold(claim(INT64_MAX - 10))
        with pytest.raises(InsufficientQuotaError, match="the most that can be counted"):
            await ledger.hold(claim(11))
        assert not await ledger.top_up(first, 11)
        second = await ledger.hold(claim(10))
        ledger.settle(first, ending(INT64_MAX))
        ledger.settle(second, ending(10))
        assert balance(ledger) == (INT64_MAX, 0)
        unlimited = await ledger.hold(claim(INT64_MAX, key_id="key_2"))
        assert not await ledger.top_up(unlimited, 1)
        await ledger.caught_up()
        assert await violations(engine) == []


async def test_an_attempt_can_be_held_once(ledger: LocalLedger) -> None:
    one = claim()
    await ledger.hold(one)
    with pytest.raises(ValueError, match="held already"):
        await ledger.hold(one)


async def test_with_sync_always_a_hold_waits_for_the_disk(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[int] = []
    monkeypatch.setattr(journal_module, "_fdatasync", syncs.append)
    async with await opened(engine, tmp_path, sync="always") as ledger:
        await ledger.hold(claim())
        assert syncs


async def test_with_sync_always_a_hold_in_vain_costs_nothing(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    async with await opened(engine, tmp_path, terms(), sync="always") as ledger:
        gone = asyncio.ensure_future(ledger.hold(claim()))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        monkeypatch.setattr(journal_module, "_fdatasync", broken)
        with pytest.raises(LedgerUnavailableError, match="cannot be synced"):
            await ledger.hold(claim())
        monkeypatch.undo()
        assert balance(ledger) == (0, 0)
        await ledger.caught_up()
        outcomes = {row.outcome for row in (await attempts(engine)).values()}
        assert outcomes == {"stopped"}
        assert await violations(engine) == []


async def test_a_budget_opened_in_traffic_counts_what_was_before(
    engine: Engine, tmp_path: Path
) -> None:
    await store_key(engine)
    async with await opened(engine, tmp_path) as ledger:
        ledger.settle(await ledger.hold(claim(5_000)), ending(700))
        running = await ledger.hold(claim(300))
        budget = terms(10_000)
        await store_budget(engine, budget)
        opening = asyncio.ensure_future(ledger.open_budget(budget))
        await asyncio.sleep(0)
        meanwhile = await ledger.hold(claim(40))
        ledger.settle(running, ending(100))
        await opening
        assert balance(ledger) == (800, 40)
        ledger.settle(meanwhile, ending(40))
        await ledger.caught_up()
        assert balance(ledger) == (840, 0)
        assert await violations(engine) == []
    async with await opened(engine, tmp_path) as ledger:
        assert balance(ledger) == (840, 0)


async def test_a_budget_is_opened_once_and_only_of_a_scope_that_is_counted(
    ledger: LocalLedger,
) -> None:
    with pytest.raises(ValueError, match="open already"):
        await ledger.open_budget(terms())
    with pytest.raises(ValueError, match="provider"):
        await ledger.open_budget(terms(id="bud_2", scope_kind="provider"))


async def test_a_raised_limit_lets_waiters_pass(ledger: LocalLedger) -> None:
    await ledger.hold(claim(10_000))
    queue = asyncio.ensure_future(ledger.hold(claim(5_000)))
    await waiting(ledger, 1)
    ledger.change_budget(terms(15_000, scope_name="renamed"))
    assert (await queue).nanodollars == 5_000
    with pytest.raises(ValueError, match="cannot be changed"):
        ledger.change_budget(terms(period="day"))
    with pytest.raises(KeyError):
        ledger.change_budget(terms(id="bud_9"))


async def test_a_closed_budget_is_in_nobodys_way(ledger: LocalLedger, engine: Engine) -> None:
    running = await ledger.hold(claim(10_000))
    queue = asyncio.ensure_future(ledger.hold(claim(5_000)))
    await waiting(ledger, 1)
    ledger.close_budget("bud_1")
    ledger.close_budget("bud_1")
    await queue
    ledger.settle(running, ending(10))
    await ledger.caught_up()
    with pytest.raises(KeyError):
        ledger.balance_of("bud_1", AT_MS)
    assert ledger.affordable("key_1") is None


async def test_closing_one_of_two_budgets_of_a_key_leaves_the_other(
    ledger: LocalLedger, engine: Engine
) -> None:
    second = terms(500, id="bud_2")
    await store_budget(engine, second)
    await ledger.open_budget(second)
    ledger.close_budget("bud_1")
    assert ledger.affordable("key_1") == 500


async def test_closing_while_opening_is_no_trouble(engine: Engine, tmp_path: Path) -> None:
    async with await opened(engine, tmp_path) as ledger:
        opening = asyncio.ensure_future(ledger.open_budget(terms()))
        await asyncio.sleep(0)
        ledger.close_budget("bud_1")
        await opening
        assert ledger.affordable("key_1") is None


async def test_a_new_day_is_a_new_balance_and_the_old_one_is_never_opened_again(
    engine: Engine, tmp_path: Path
) -> None:
    now = [AT_MS]
    daily = terms(1_000, period="day", timezone="Europe/Berlin")
    async with await opened(engine, tmp_path, daily, clock_ms=lambda: now[0]) as ledger:
        late = await ledger.hold(claim(600))
        now[0] += DAY_MS
        ledger.settle(await ledger.hold(claim(900, at_ms=now[0])), ending(900))
        ledger.settle(late, ending(600))
        assert balance(ledger, at_ms=now[0]) == (900, 0)
        assert ledger.affordable("key_1") == 100
        now[0] -= DAY_MS  # the clock was wrong
        assert ledger.affordable("key_1") == 100
        with pytest.raises(InsufficientQuotaError):
            await ledger.hold(claim(200, at_ms=now[0]))
        ledger.settle(await ledger.hold(claim(50, at_ms=now[0])), ending(50))
        await ledger.caught_up()
        assert balance(ledger, at_ms=now[0]) == (950, 0)
        assert await violations(engine) == []
        now[0] += 3 * DAY_MS
        assert ledger.balance_of("bud_1", now[0])[:2] == (0, 0)
        await ledger.hold(claim(1_000, at_ms=now[0]))


async def test_an_attempt_of_yesterday_does_not_count_in_a_budget_opened_today(
    engine: Engine, tmp_path: Path
) -> None:
    now = [AT_MS]
    async with await opened(engine, tmp_path, clock_ms=lambda: now[0]) as ledger:
        yesterday = await ledger.hold(claim(600))
        now[0] += DAY_MS
        daily = terms(1_000, period="day")
        await store_budget(engine, daily)
        await ledger.open_budget(daily)
        ledger.settle(yesterday, ending(600))
        await ledger.caught_up()
        assert balance(ledger, at_ms=now[0]) == (0, 0)
        assert await violations(engine) == []


async def test_a_closed_ledger_holds_nothing_and_can_be_closed_again(
    engine: Engine, tmp_path: Path
) -> None:
    ledger = await opened(engine, tmp_path)
    await ledger.close()
    await ledger.close()
    with pytest.raises(LedgerUnavailableError, match="closed"):
        await ledger.hold(claim())
    again = await opened(engine, tmp_path)
    await again.close()


async def test_too_long_a_journal_refuses_holds(engine: Engine, tmp_path: Path) -> None:
    limits: dict[str, Any] = {"most_unapplied_bytes": 1, "apply_interval_s": 60.0}
    async with await opened(engine, tmp_path, **limits) as ledger:
        one = claim()
        await ledger.hold(one)
        with pytest.raises(LedgerUnavailableError, match="too much waits"):
            await ledger.hold(claim())
        assert ledger.state().journal_bytes_unapplied > 1
        await ledger.caught_up()
        assert ledger.state().journal_bytes_unapplied == 0
        await ledger.hold(claim())


async def test_a_key_that_has_spent_its_day_is_let_in_the_next_day(
    engine: Engine, tmp_path: Path
) -> None:
    now = [AT_MS]
    soft = terms(1, id="bud_0", mode="soft")
    daily = terms(600, period="day")
    async with await opened(engine, tmp_path, soft, daily, clock_ms=lambda: now[0]) as ledger:
        assert ledger.exhausted("key_1") is None
        ledger.settle(await ledger.hold(claim(600)), ending(600))
        assert ledger.exhausted("key_1") == daily
        now[0] += DAY_MS
        assert ledger.exhausted("key_1") is None
        now[0] -= DAY_MS
        assert ledger.exhausted("key_1") == daily


async def test_a_budget_of_nothing_lets_nobody_in(engine: Engine, tmp_path: Path) -> None:
    nothing = terms(0)
    async with await opened(engine, tmp_path, nothing) as ledger:
        assert ledger.exhausted("key_1") == nothing
