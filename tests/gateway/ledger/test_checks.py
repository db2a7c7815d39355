"""The invariants find what is wrong, and nothing where all is well."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from conduit.core.errors import BudgetHeldError, InsufficientQuotaError
from conduit.gateway.ledger.checks import check_database, check_journal, unapplied_bytes
from conduit.gateway.ledger.journal import journal_path
from conduit.gateway.ledger.records import ProgressRecord, storable_line
from conduit.gateway.storage import schema
from conduit.gateway.storage.engine import reading, writing
from conduit.gateway.storage.ledger.statements import Engine
from conduit.gateway.storage.schema import balances, ledger
from tests.gateway.ledger.building import (
    AT_MS,
    claim,
    ending,
    limits_in_force,
    opened,
    store_budget,
    store_key,
    store_limit,
    terms,
)

MINUTE_MS = 60_000


@pytest.fixture
async def engine(database: Engine, tmp_path: Path) -> Engine:
    """With a done attempt of 600, an open one of 300, and budgets of all scopes and periods."""
    await store_key(database)
    budgets_of_all = (
        terms(1_000),
        terms(1_000, id="bud_2", period="day"),
        terms(2_000, id="bud_3", scope_kind="gateway", scope_id=""),
        terms(2_000, id="bud_4", scope_kind="mapping", scope_id="fast", period="month"),
        terms(2_000, id="bud_5", scope_kind="gateway", scope_id="", period="week"),
        terms(2_000, id="bud_6", scope_id="key_9"),
    )
    async with await opened(database, tmp_path, *budgets_of_all) as running:
        running.settle(await running.hold(claim(700)), ending(600))
        await running.hold(claim(300))
    return database


async def execute(engine: Engine, statement: Any) -> None:
    async with writing(engine) as connection:
        await connection.execute(statement)


async def found(engine: Engine, **options: Any) -> dict[str, tuple[str, ...]]:
    findings, _ = await check_database(engine, **({"at_ms": AT_MS} | options))
    return {f.invariant: f.violations for f in findings if not f.ok}


async def test_all_is_well(engine: Engine) -> None:
    findings, counts = await check_database(engine, at_ms=AT_MS)
    assert [f.invariant for f in findings if f.ok] == ["I1", "I2", "I3", "I5", "I6"]
    assert findings[0].detail == "6 budgets checked"
    assert counts == {
        "attempts": 2,
        "corrections": 0,
        "open": 1,
        "recovered": 0,
        "ambiguous": 0,
        "requests": 0,
        "budgets": 6,
    }


@pytest.mark.parametrize("budget_id", ["bud_1", "bud_2", "bud_3", "bud_4"])
async def test_a_balance_that_differs_is_found(engine: Engine, budget_id: str) -> None:
    of_budget = balances.c.budget_id == budget_id
    await execute(engine, update(balances).where(of_budget).values(spent_nanodollars=599))
    assert list(await found(engine)) == ["I1"]
    await execute(
        engine, update(balances).where(of_budget).values(spent_nanodollars=600, held_nanodollars=1)
    )
    violations = await found(engine)
    assert list(violations) == ["I2"]
    assert "the balance says $0.000000001, the attempts $0.0000003" in violations["I2"][0]


async def test_a_balance_without_attempts_is_no_overshoot(engine: Engine) -> None:
    of_budget = balances.c.budget_id == "bud_6"
    await execute(engine, update(balances).where(of_budget).values(spent_nanodollars=9_999))
    assert list(await found(engine)) == ["I1"]


async def test_a_missing_attempt_is_found_in_every_budget(engine: Engine) -> None:
    await execute(engine, delete(ledger).where(ledger.c.state == "done"))
    assert len((await found(engine))["I1"]) == 5


@pytest.mark.parametrize(
    "values",
    [{"state": "lost"}, {"settled_at_ms": None}, {"billed_nanodollars": -1}],
)
async def test_a_row_that_contradicts_itself_is_found(
    engine: Engine, values: dict[str, Any]
) -> None:
    await execute(engine, update(ledger).where(ledger.c.state == "done").values(values))
    assert "I3" in await found(engine)
    findings, _ = await check_database(engine, at_ms=AT_MS)
    assert "1 violation" in [finding.detail for finding in findings]


async def test_calls_that_have_no_row_are_found(engine: Engine) -> None:
    seen = {"att_unknown"}
    assert (await found(engine, seen=seen))["I4"] == ("att_unknown",)
    assert await found(engine, seen=()) == {}


async def test_attempts_open_for_too_long_are_found(engine: Engine) -> None:
    assert "I6" not in await found(engine, at_ms=AT_MS + 10 * MINUTE_MS)
    assert len((await found(engine, at_ms=AT_MS + 12 * MINUTE_MS))["I6"]) == 1
    await execute(engine, update(ledger).where(ledger.c.state == "open").values(stream=True))
    assert "I6" not in await found(engine, at_ms=AT_MS + 12 * MINUTE_MS)
    assert len((await found(engine, at_ms=AT_MS + 1500 * MINUTE_MS))["I6"]) == 1


async def limit_to(engine: Engine, budget_id: str, **in_force: int) -> None:
    """As if a ledger had granted all that there is by this limit."""
    changed = terms(in_force["limit_nanodollars"], id=budget_id)
    await store_limit(engine, changed, at_ms=AT_MS)
    of_budget = schema.limits_in_force.c.budget_id == budget_id
    await execute(engine, update(schema.limits_in_force).where(of_budget).values(in_force))


async def test_an_overshot_limit_is_found(engine: Engine) -> None:
    await limit_to(engine, "bud_1", limit_nanodollars=900)
    assert await found(engine) == {}
    await limit_to(engine, "bud_1", limit_nanodollars=899)
    assert "$0.000000001 over its limit" in (await found(engine))["I5"][0]


async def test_what_had_been_taken_of_a_limit_that_was_lowered_is_no_overshoot(
    engine: Engine,
) -> None:
    lowered = {"limit_nanodollars": 5, "period_start_ms": 0}
    await limit_to(engine, "bud_1", **lowered, taken_nanodollars=900)
    assert await found(engine) == {}
    await limit_to(engine, "bud_1", **lowered, taken_nanodollars=899)
    assert "$0.000000001 over its limit" in (await found(engine))["I5"][0]


async def test_a_limit_bounds_the_periods_since_it_is_in_force(engine: Engine) -> None:
    """What was taken before is of one period alone."""
    [period_ms] = await column(
        engine, select(balances.c.period_start_ms).where(balances.c.budget_id == "bud_2")
    )
    changed = {"limit_nanodollars": 5, "taken_nanodollars": 900}
    await limit_to(engine, "bud_2", **changed, period_start_ms=period_ms + 1)
    assert await found(engine) == {}
    await limit_to(engine, "bud_2", **changed, period_start_ms=period_ms - 1)
    assert "$0.000000895 over its limit" in (await found(engine))["I5"][0]


async def test_a_limit_that_has_not_come_into_force_says_nothing(engine: Engine) -> None:
    await store_limit(engine, terms(5), at_ms=AT_MS)
    findings, _ = await check_database(engine, at_ms=AT_MS)
    [overshot] = [finding for finding in findings if finding.invariant == "I5"]
    assert overshot.ok
    assert overshot.detail == "5 budgets checked; 1 limit about to change"


async def test_a_limit_comes_into_force_where_the_ledger_stands(
    database: Engine, tmp_path: Path
) -> None:
    """As it changes, or with the next start, where that was prevented; whatever the clocks say."""
    await store_key(database)
    async with await opened(database, tmp_path, terms(1_000)) as running:
        await running.hold(claim(600, at_ms=AT_MS + MINUTE_MS))
        await store_limit(database, terms(300), at_ms=AT_MS)
        running.change_budget(terms(300))
        with pytest.raises(InsufficientQuotaError):
            await running.hold(claim(301))
        with pytest.raises(BudgetHeldError):
            await running.hold(claim(1), wait_s=0)
        await running.caught_up()
        assert await limits_in_force(database) == [("bud_1", 300, 0, 600)]
        assert await found(database) == {}
        # A change whose gateway is killed before the ledger hears of it.
        await store_limit(database, terms(400), at_ms=AT_MS)
    async with await opened(database, tmp_path):
        assert await limits_in_force(database) == [("bud_1", 400, 0, 600)]
        assert await found(database) == {}


async def test_what_was_spent_before_a_budget_came_is_no_overshoot(
    database: Engine, tmp_path: Path
) -> None:
    await store_key(database)
    async with await opened(database, tmp_path) as running:
        running.settle(await running.hold(claim(600)), ending(600))
        await store_budget(database, terms(5))
        await running.open_budget(terms(5))
        await running.caught_up()
        assert await limits_in_force(database) == [("bud_1", 5, 0, 600)]
        assert await found(database) == {}


async def column(engine: Engine, statement: Any) -> list[Any]:
    async with reading(engine, 5.0) as connection:
        return list((await connection.execute(statement)).scalars())


async def test_cost_beyond_the_hold_is_within_the_bound(engine: Engine, tmp_path: Path) -> None:
    async with await opened(engine, tmp_path) as running:
        running.settle(await running.hold(claim(100)), ending(100_000))
    assert await found(engine) == {}


async def test_a_budget_that_is_not_open_yet_is_left_out(engine: Engine) -> None:
    await store_budget(engine, terms(1, id="bud_9"))
    assert await found(engine) == {}


async def test_what_waits_in_the_journal_is_counted(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    assert await unapplied_bytes(engine, folder) == 0
    async with await opened(engine, tmp_path, apply_interval_s=60.0) as running:
        await running.hold(claim(5))
        assert await unapplied_bytes(engine, folder) == running.state().journal_bytes_unapplied > 0


LINES = [storable_line(ProgressRecord(f"att_{n}", n))[1] for n in range(3)]


def in_journal(folder: Path, *contents: bytes) -> None:
    """Journal files that no database has seen."""
    folder.mkdir()
    for number, content in enumerate(contents, 7):
        journal_path(folder, number).write_bytes(content)


@pytest.mark.parametrize(
    ("contents", "detail"),
    [
        ((), "0 records to apply"),
        ((LINES[0],), "1 record to apply"),
        ((LINES[0] + b"\n\n" + LINES[1], LINES[2]), "3 records to apply"),
        (
            (LINES[0] + LINES[1][:9], LINES[2] + b"\x00\n\x00"),
            "2 records to apply; the next start cuts a torn end off",
        ),
    ],
)
async def test_a_journal_that_the_next_start_can_replay_is_well(
    engine: Engine, tmp_path: Path, contents: tuple[bytes, ...], detail: str
) -> None:
    folder = tmp_path / "unapplied"
    in_journal(folder, *contents)
    finding = await check_journal(engine, folder)
    assert (finding.ok, finding.detail, finding.violations) == (True, detail, ())
    files = sorted(folder.iterdir())
    assert [file.read_bytes() for file in files] == list(contents)


@pytest.mark.parametrize("bad", [LINES[1].replace(b"att", b"tta"), LINES[1][5:], b"\x00\n"])
async def test_damage_behind_what_has_been_applied_is_found(
    engine: Engine, tmp_path: Path, bad: bytes
) -> None:
    folder = tmp_path / "unapplied"
    in_journal(folder, LINES[0], LINES[0] + bad + LINES[2])
    finding = await check_journal(engine, folder)
    assert not finding.ok
    assert "2 records to apply, then damage" in finding.detail
    (violation,) = finding.violations
    assert f"{journal_path(folder, 8)} is damaged at byte {len(LINES[0])}" in violation
    assert "Restore the file from a copy; or" in violation
    assert journal_path(folder, 8).read_bytes() == LINES[0] + bad + LINES[2]


async def test_what_has_been_applied_is_not_read_again(engine: Engine, tmp_path: Path) -> None:
    async with await opened(engine, tmp_path) as running:
        await running.hold(claim(5))
        await running.caught_up()
        assert (await check_journal(engine, tmp_path / "journal")).detail == "0 records to apply"
