"""Thresholds of budgets: each once a period, whatever is restarted, reset or raised."""

from pathlib import Path
from typing import Any

import pytest

from conduit.core.events import EventKind
from conduit.core.money import parse_usd
from conduit.gateway.ledger.balances import Spending
from conduit.gateway.notifications.watch import NotificationWatch
from conduit.gateway.storage import notifications
from conduit.gateway.storage.engine import Database, writing
from tests.gateway.ledger.building import AT_MS as LEDGER_AT_MS
from tests.gateway.ledger.building import claim, ending, opened, terms
from tests.gateway.notifications.conftest import World

LIMIT = parse_usd("10")
MONTH_MS = 1_698_796_800_000  # 2023-11-01
NEXT_MONTH_MS = 1_701_388_800_000
ALL = [50, 75, 90, 100]


def spending(percent: float, start_ms: int = 0, limit: int = LIMIT, **changes: object) -> Spending:
    usual = {"period": "month" if start_ms else "total"}
    return Spending(terms(limit, **{**usual, **changes}), start_ms, int(LIMIT * percent / 100))


async def looked(world: World, watch: NotificationWatch, *spendings: Spending) -> list[int]:
    """The thresholds of all that has been told, after each of these states in turn."""
    for each in spendings:
        world.spendings = [each]
        await watch.look()
    return await world.thresholds()


async def test_each_threshold_is_told_once_when_it_is_reached(world: World) -> None:
    watch, shares = world.watch(), (1, 49.9, 50, 60, 74.9, 75, 89, 90, 99.9, 100, 120)
    assert await looked(world, watch, *map(spending, shares)) == [50, 75, 90, 100]


@pytest.mark.parametrize(
    ("percent", "told"), [(76, [50, 75]), (95, [50, 75, 90]), (400, [50, 75, 90, 100])]
)
async def test_a_jump_past_several_tells_each(world: World, percent: int, told: list[int]) -> None:
    watch = world.watch()
    assert await looked(world, watch, spending(10), spending(percent)) == told
    assert await looked(world, watch, spending(percent)) == told
    assert await looked(world, world.watch(), spending(percent)) == told


async def test_below_a_threshold_that_was_told_no_other_is_made_up_for(world: World) -> None:
    """Of a balance that has a single row of 90 %, say: written when a jump told the highest."""
    await looked(world, world.watch(), spending(91))
    async with writing(world.database) as connection:
        lower = [each.id for each in (await world.stored())[:2]]
        await notifications.remove(connection, lower)
    assert await looked(world, world.watch(), spending(91), spending(100)) == [90, 100]


async def test_what_is_told_is_a_sentence_with_its_numbers(world: World) -> None:
    await looked(world, world.watch(), spending(92.5, MONTH_MS))
    *lower, stored = await world.stored()
    assert [each.severity for each in lower] == ["info", "warning"]
    assert lower[0].message == 'key "acme" has reached 50 % of its monthly budget: $9.25 of $10.00'
    assert stored.message == 'key "acme" has reached 90 % of its monthly budget: $9.25 of $10.00'
    assert (stored.kind, stored.severity) == ("budget_threshold", "warning")
    subject = (stored.subject_kind, stored.subject_id, stored.subject_name)
    assert subject == ("budget", "bud_1", "key:acme")
    assert stored.details == {
        "threshold_percent": 90,
        "spent_nanodollars": parse_usd("9.25"),
        "limit_nanodollars": LIMIT,
        "period_start_ms": MONTH_MS,
    }
    kind, facts = world.events[-1]
    assert kind is EventKind.NOTIFICATION_RAISED
    assert facts["id"] == stored.id
    assert facts["subject"] == {"kind": "budget", "id": "bud_1", "name": "key:acme"}


@pytest.mark.parametrize(
    ("mode", "words"), [("hard", "calls are refused"), ("soft", "calls are served all the same")]
)
async def test_a_spent_budget_tells_what_comes_of_it(world: World, mode: str, words: str) -> None:
    await looked(world, world.watch(), spending(100, mode=mode, scope_kind="gateway"))
    *lower, stored = await world.stored()
    assert not any(words in each.message for each in lower)
    assert (
        stored.message == f"the gateway has reached 100 % of its budget: $10.00 of $10.00; {words}"
    )
    assert (stored.severity, stored.subject_name) == ("critical", "gateway")


async def test_a_group_is_told_of_by_its_name(world: World) -> None:
    of_group: dict[str, Any] = {"scope_kind": "group", "scope_id": "grp_1", "scope_name": "team"}
    await looked(world, world.watch(), spending(75, **of_group))
    _, stored = await world.stored()
    assert stored.message == 'group "team" has reached 75 % of its budget: $7.50 of $10.00'
    assert stored.subject_name == "group:team"


async def test_shares_of_a_prepaid_balance_are_of_what_was_left_at_the_last_credit(
    world: World,
) -> None:
    told: dict[str, Any] = {
        "scope_kind": "group",
        "scope_id": "grp_1",
        "scope_name": "team",
        "period": "prepaid",
    }
    watch = world.watch()
    before = spending(80, limit=LIMIT, since_ms=5, start_ms=5, **told)
    assert await looked(world, watch, before) == [50, 75]
    # Another $10 when $8 of the first $10 were spent: $12 are left, of which 6 are a half.
    watch.begin_anew("bud_1", 5)
    credited: dict[str, Any] = {**told, "limit": 2 * LIMIT, "spent_before": LIMIT * 8 // 10}
    terms_now = spending(0, since_ms=5, **credited).terms
    assert not terms_now.has_reached(50, LIMIT * 139 // 100)
    for percent, all_told in ((140, [50, 75, 50]), (200, [50, 75, 50, 75, 90, 100])):
        now = spending(percent, since_ms=5, start_ms=5, **credited)
        assert await looked(world, watch, now) == all_told
    assert (await world.stored())[-1].message == (
        'group "team" has reached 100 % of its prepaid balance: $12.00 of $12.00; calls are refused'
    )


async def test_a_credit_that_leaves_a_balance_below_nothing_is_no_news(world: World) -> None:
    told: dict[str, Any] = {"scope_kind": "group", "scope_id": "grp_1", "period": "prepaid"}
    watch = world.watch()
    overdrawn = spending(150, since_ms=5, start_ms=5, **told)
    assert await looked(world, watch, overdrawn) == ALL
    watch.begin_anew("bud_1", 5)  # $1 came back, and $4 are missing still
    refunded: dict[str, Any] = {**told, "limit": LIMIT * 11 // 10, "spent_before": LIMIT * 15 // 10}
    assert await looked(world, watch, spending(150, since_ms=5, start_ms=5, **refunded)) == ALL


async def test_a_restart_repeats_nothing_and_goes_on(world: World) -> None:
    await looked(world, world.watch(), spending(91))
    assert await looked(world, world.watch(), spending(80), spending(92)) == [50, 75, 90]
    assert await looked(world, world.watch(), spending(100)) == ALL
    assert len(world.events) == 4


async def test_a_new_period_begins_anew(world: World) -> None:
    watch = world.watch()
    await looked(world, watch, spending(91, MONTH_MS))
    world.at_ms = NEXT_MONTH_MS
    new = (spending(2, NEXT_MONTH_MS), spending(55, NEXT_MONTH_MS))
    assert await looked(world, watch, *new) == [50, 75, 90, 50]


async def test_nothing_is_told_of_a_period_that_is_over(world: World) -> None:
    world.at_ms = NEXT_MONTH_MS
    assert await looked(world, world.watch(), spending(91, MONTH_MS)) == []


async def test_a_reset_begins_anew(world: World) -> None:
    watch = world.watch()
    await looked(world, watch, spending(91))
    watch.begin_anew("bud_1", 0)
    assert await looked(world, watch, spending(1), spending(60)) == [50, 75, 90, 50]
    assert await looked(world, world.watch(), spending(61)) == [50, 75, 90, 50]


async def test_a_reset_is_not_forgotten_over_an_end(world: World) -> None:
    watch = world.watch()
    await looked(world, watch, spending(91))
    world.spendings = []
    watch.begin_anew("bud_1", 0)
    watch.start()
    await watch.close()
    assert await looked(world, world.watch(), spending(90)) == [50, 75, 90] * 2


async def test_a_raised_limit_repeats_nothing_and_tells_what_is_higher(world: World) -> None:
    watch = world.watch()
    await looked(world, watch, spending(95))
    raised = [spending(share, limit=10 * LIMIT) for share in (95, 500, 760, 950)]
    assert await looked(world, watch, *raised) == [50, 75, 90]
    assert await looked(world, world.watch(), raised[1]) == [50, 75, 90]
    assert await looked(world, watch, spending(1000, limit=10 * LIMIT)) == ALL


async def test_a_lowered_limit_tells_what_that_reaches(world: World) -> None:
    watch = world.watch()
    assert await looked(world, watch, spending(50), spending(50, limit=LIMIT // 2)) == ALL


async def test_budgets_are_told_of_apart(world: World) -> None:
    world.spendings = [spending(50), spending(75, id="bud_2", scope_id="key_2")]
    await world.watch().look()
    assert sorted(await world.thresholds()) == [50, 50, 75]


async def test_many_budgets_are_told_of_a_part_at_a_time(world: World) -> None:
    world.spendings = [spending(50, id=f"bud_{number}") for number in range(1_200)]
    await world.watch().look()
    assert len(world.events) == 1_200
    await world.watch().look()
    assert len(world.events) == 1_200


async def test_the_ledger_names_budgets_that_have_spent_a_share(
    database: Database, tmp_path: Path
) -> None:
    plenty = terms(1_000_000, id="bud_2", scope_kind="gateway", scope_id="")
    nothing = terms(0, id="bud_3", scope_id="key_3")
    soft = terms(500, id="bud_4", mode="soft")
    opening = (terms(10_000), plenty, nothing, soft)
    async with await opened(database, tmp_path, *opening) as ledger:
        hold = await ledger.hold(claim(9_000))
        assert list(ledger.spent_past(50)) == []  # what is held is not spent
        ledger.settle(hold, ending(5_000))
        assert list(ledger.spent_past(50)) == [
            Spending(terms(10_000), 0, 5_000),
            Spending(soft, 0, 5_000),
        ]
        assert [each.terms.id for each in ledger.spent_past(51)] == ["bud_4"]


async def test_a_ledger_of_a_month_is_told_of_by_its_period(world: World, tmp_path: Path) -> None:
    world.at_ms = LEDGER_AT_MS
    monthly = terms(10_000, period="month")
    async with await opened(world.database, tmp_path, monthly) as ledger:
        watch = NotificationWatch(
            world.database, ledger.spent_past, world.publish, clock_ms=lambda: world.at_ms
        )
        for cost, at_ms in ((8_000, LEDGER_AT_MS), (9_500, LEDGER_AT_MS + 31 * 86_400_000)):
            world.at_ms = at_ms
            hold = await ledger.hold(claim(cost, at_ms=at_ms))
            ledger.settle(hold, ending(cost))
            await watch.look()
            await watch.look()
        assert await world.thresholds() == [50, 75, 50, 75, 90]
        starts = [each.details["period_start_ms"] for each in await world.stored()]
        first, second = monthly.start_ms(LEDGER_AT_MS), monthly.start_ms(world.at_ms)
        assert starts == [first] * 2 + [second] * 3
