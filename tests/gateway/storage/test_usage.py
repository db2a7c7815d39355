"""Statements for what was used and spent: they equal the ledger, whatever is asked."""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, text

from conduit.core.ids import new_id
from conduit.core.periods import offsets_ms, period_start_ms
from conduit.gateway.storage import usage
from conduit.gateway.storage.engine import Database, reading, writing
from conduit.gateway.storage.requests import EVER, Span
from conduit.gateway.storage.schema import ledger
from conduit.gateway.storage.usage import Chosen, Grouping, Spent
from tests.gateway.records import attempt_row

Row = dict[str, Any]

# Around both changes of the clocks of Berlin, the second of which makes an hour come twice.
_CHANGES = [
    int(datetime(2026, month, day, 1, tzinfo=UTC).timestamp() * 1000)
    for month, day in ((3, 29), (10, 25))
]
_TOKENS = (
    *("input", "cache_read", "cache_write", "output", "reasoning", "audio"),
    *("cache_write_1h", "output_audio"),
)
_MOST = 2**63 - 1
BY = ("model", "key", "group", "provider", "alias", "day", "hour")


def random_attempts(chance: random.Random, count: int) -> list[Row]:
    """Attempts of a few requests, keys, groups and models, and corrections of some that have ended.

    Some are open, some dear beyond every sum.
    """
    requests = [new_id("req") for _ in range(max(1, count // 2))]
    made = [_random_attempt(chance, number, chance.choice(requests)) for number in range(count)]
    corrected = [row for row in made if row["state"] == "done" and chance.random() < 0.2]
    return made + [_correction(chance, row) for row in corrected]


def _correction(chance: random.Random, row: Row) -> Row:
    """A row of its own, of the attempt's moment, that may take away as well as add."""
    nothing = dict.fromkeys([f"{name}_tokens" for name in _TOKENS], 0)
    return (
        row
        | nothing
        | {
            "attempt_id": new_id("cor"),
            "adjusts": row["attempt_id"],
            "outcome": "corrected",
            "cost_nanodollars": chance.randrange(-row["cost_nanodollars"], 10**7),
            "billed_nanodollars": 0,
            "hold_nanodollars": 0,
            "usage_source": "none",
            "ambiguous": False,
        }
    )


def _random_attempt(chance: random.Random, number: int, request_id: str) -> Row:
    held_at_ms = chance.choice(_CHANGES) + chance.randrange(-90_000_000, 90_000_000)
    is_open = chance.random() < 0.2
    most = chance.choice([0, 10**7, _MOST])
    ended = {
        "cost_nanodollars": most - chance.randrange(most // 2 + 1),
        "billed_nanodollars": most - chance.randrange(most // 2 + 1),
        "usage_source": chance.choice(["provider", "estimated", "recovered", "none"]),
        "ambiguous": chance.random() < 0.3,
    }
    still_open = {
        "state": "open",
        "outcome": None,
        "cost_nanodollars": 0,
        "billed_nanodollars": 0,
        "usage_source": "none",
        "settled_at_ms": None,
    }
    return attempt_row(
        number,
        request_id,
        # A clock that was put back: the id need not be of the moment that counts.
        attempt_id=new_id("att", held_at_ms + chance.choice([0, -5, 7_200_000, -7_200_000])),
        held_at_ms=held_at_ms,
        key_id=f"key_{chance.randrange(3)}",
        provider=chance.choice(["one", "two"]),
        model=chance.choice(["m-1", "m-2", "M-1"]),
        alias=chance.choice(["fast", "slow"]),
        group_id=chance.choice([None, "grp_0", "grp_1"]),
        adjusts=None,
        hold_nanodollars=most,
        **{f"{name}_tokens": chance.randrange(1000) for name in _TOKENS},
        **(still_open if is_open else ended),
    )


def random_choice(chance: random.Random) -> Chosen:
    since, until = (
        chance.choice([None, chance.choice(_CHANGES) + chance.randrange(-(10**8), 10**8)])
        for _ in range(2)
    )
    return Chosen(
        Span(since, until),
        key_id=chance.choice([None, None, "key_0", "key_none"]),
        provider=chance.choice([None, None, "one"]),
        model=chance.choice([None, None, "m-1"]),
        alias=chance.choice([None, None, "fast"]),
        group_id=chance.choice([None, None, "grp_0", "grp_1"]),
    )


def fits(row: Row, chosen: Chosen) -> bool:
    since_ms, until_ms = chosen.span.since_ms, chosen.span.until_ms
    fields = ("key_id", "provider", "model", "alias", "group_id")
    wanted = {name: getattr(chosen, name) for name in fields}
    return (
        all(value in (None, row[name]) for name, value in wanted.items())
        and (since_ms is None or row["held_at_ms"] >= since_ms)
        and (until_ms is None or row["held_at_ms"] < until_ms)
    )


def summed(group: object, rows: Sequence[Row]) -> Spent:
    """The sums as Python makes them, whose numbers have no end."""
    done = [row for row in rows if row["state"] == "done"]
    still_open = [row for row in rows if row["state"] == "open"]
    times = [row["held_at_ms"] for row in rows]
    sources = [row["usage_source"] for row in done]
    amounts = (*(f"{name}_tokens" for name in _TOKENS), "cost_nanodollars", "billed_nanodollars")
    return Spent(
        group=group,  # type: ignore[arg-type]  # what it is depends on what is asked
        first_ms=min(times, default=None),
        last_ms=max(times, default=None),
        requests=len({row["request_id"] for row in done}),
        attempts=sum(row["adjusts"] is None for row in done),
        estimated=sources.count("estimated"),
        recovered=sources.count("recovered"),
        ambiguous=sum(row["ambiguous"] for row in done),
        open_holds=len(still_open),
        held_nanodollars=sum(row["hold_nanodollars"] for row in still_open),
        **{name: sum(row[name] for row in done) for name in amounts},
    )


def group_of(by: str, zone: str) -> Callable[[Row], object]:
    """What an attempt is of: told from the calendar rather than from offsets."""

    def local(row: Row) -> datetime:
        return datetime.fromtimestamp(row["held_at_ms"] / 1000, ZoneInfo(zone))

    match by:
        case "day":
            return lambda row: local(row).date().toordinal() - 719_163
        case "hour":
            return lambda row: int(
                local(row).replace(minute=0, second=0, microsecond=0).timestamp() * 1000
            )
        case "key":
            return lambda row: row["key_id"]
        case "group":
            return lambda row: row["group_id"] or ""
        case _:
            return lambda row: row[by]


@pytest.mark.parametrize("by", [None, *BY])
@pytest.mark.parametrize("seed", range(3))
async def test_sums_equal_those_of_the_ledger_for_any_choice(
    database: Database, by: str | None, seed: int, soaking: bool
) -> None:
    chance = random.Random(f"{seed} {by}")
    rows = random_attempts(chance, 60)
    async with writing(database) as connection:
        await connection.execute(insert(ledger), rows)
    for _ in range(100 if soaking else 12):
        chosen = random_choice(chance)
        zone = chance.choice(["UTC", "Europe/Berlin", "America/New_York"])
        meant = [row for row in rows if fits(row, chosen)]
        async with reading(database) as connection:
            total = await usage.total(connection, chosen)
            assert total == summed(None, meant)
            if by is None or total.first_ms is None or total.last_ms is None:
                continue
            grouping = Grouping(by, offsets_ms(zone, total.first_ms, total.last_ms))
            found = await usage.groups(connection, chosen, grouping, 1000)
        groups: dict[object, list[Row]] = {}
        for row in meant:
            groups.setdefault(group_of(by, zone)(row), []).append(row)
        assert {each.group: each for each in found} == {
            group: summed(group, of) for group, of in groups.items()
        }
        order = [each.group if grouping.is_of_time else each.cost_nanodollars for each in found]
        assert order == sorted(order, reverse=True)  # type: ignore[type-var]  # numbers, all


@pytest.mark.parametrize("by", ["model", "key", "provider", "alias"])
@pytest.mark.parametrize("step", ["day", "hour"])
async def test_what_groups_cost_over_time_is_what_they_cost_in_all(
    database: Database, by: str, step: str
) -> None:
    chance = random.Random(f"{by} {step}")
    rows = random_attempts(chance, 60)
    async with writing(database) as connection:
        await connection.execute(insert(ledger), rows)
    zone = "Europe/Berlin"
    async with reading(database) as connection:
        total = await usage.total(connection, Chosen())
        assert total.first_ms is not None
        assert total.last_ms is not None
        time = Grouping(step, offsets_ms(zone, total.first_ms, total.last_ms))
        groups = await usage.groups(connection, Chosen(), Grouping(by), 1000)
        wanted = [str(each.group) for each in groups[:-1]]
        found = await usage.series(connection, Chosen(), Grouping(by), time, wanted)
    costs: dict[tuple[object, object], int] = {}
    for row in rows:
        if (group := group_of(by, zone)(row)) in wanted and row["state"] == "done":
            place = group, group_of(step, zone)(row)
            costs[place] = costs.get(place, 0) + row["cost_nanodollars"]
    assert {(each.group, each.at): each.cost_nanodollars for each in found} == {
        place: cost for place, cost in costs.items() if cost
    }
    for group in wanted:
        times = [each.at for each in found if each.group == group]
        assert times == sorted(times)


async def test_groups_are_the_dearest_or_the_last(database: Database) -> None:
    day = 86_400_000
    rows = [
        attempt_row(n, "req_1", model=f"m-{n}", cost_nanodollars=n, held_at_ms=n * day)
        for n in range(1, 6)
    ]
    async with writing(database) as connection:
        await connection.execute(insert(ledger), rows)
    async with reading(database) as connection:
        dear = await usage.groups(connection, Chosen(), Grouping("model"), 2)
        late = await usage.groups(connection, Chosen(), Grouping("day"), 2)
    assert [each.group for each in dear] == ["m-5", "m-4"]
    assert [each.group for each in late] == [5, 4]


@pytest.mark.parametrize("kind", ["sqlite"])  # a server chooses by what it knows of the table
async def test_a_stretch_of_time_is_read_by_an_index(database: Database) -> None:
    chosen = Chosen(Span(1, 2))
    statement = usage.statement_of_total(chosen).compile(
        database.sync_engine, compile_kwargs={"literal_binds": True}
    )
    async with reading(database) as connection:
        plan = [
            str(row) for row in await connection.execute(text(f"EXPLAIN QUERY PLAN {statement}"))
        ]
    assert any(
        "ix_ledger_key_held (key_id=? AND held_at_ms>? AND held_at_ms<?)" in row for row in plan
    )
    assert not any("'SCAN ledger" in row and "INDEX" not in row for row in plan)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "Africa/Casablanca"])
def test_a_day_by_offsets_is_the_day_of_a_period(zone: str) -> None:
    chance = random.Random(zone)
    first_ms, last_ms = 1_700_000_000_000, 1_800_000_000_000
    offsets = offsets_ms(zone, first_ms, last_ms)
    assert [from_ms for from_ms, _ in offsets] == sorted(from_ms for from_ms, _ in offsets)
    for _ in range(500):
        at_ms = chance.randrange(first_ms, last_ms)
        offset_ms = [ms for from_ms, ms in offsets if from_ms <= at_ms][-1]
        start = datetime.fromtimestamp(period_start_ms("day", zone, at_ms) / 1000, ZoneInfo(zone))
        assert (at_ms + offset_ms) // 86_400_000 == start.date().toordinal() - 719_163


def test_a_whole_ledger_is_read_without_a_look_at_every_key() -> None:
    assert "recursive" not in str(usage.statement_of_total(Chosen(EVER))).lower()
