"""Statements for request records."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from conduit.core.errors import NotFoundError
from conduit.core.filters import Filter, Term, matches, parse_filter
from conduit.core.ids import first_id, new_id
from conduit.gateway.storage import installation, requests
from conduit.gateway.storage.engine import Database, reading, writing
from conduit.gateway.storage.requests import EVER, Recorded, Span
from conduit.gateway.storage.rows import Window
from conduit.gateway.storage.schema import installation as installations
from conduit.gateway.storage.schema import ledger
from conduit.gateway.storage.schema import requests as table
from tests.gateway.records import AT_MS, attempt_row, request_row

ROWS = [
    request_row(1),
    request_row(2, status=429, outcome="refused", error_code="budget_held", provider=None),
    request_row(3, alias="GPT-4o/mini", model="gpt-4o_mini%", stream=True, ttft_ms=40),
    request_row(4, key_name=None, alias=None, provider=None, model=None, client_ip=None),
    request_row(5, provider="groq", input_tokens=1000, output_tokens=0, cost_nanodollars=0),
    request_row(6, duration_ms=9000, outcome="cut", error_code="upstream_error", status=200),
    request_row(7, model="back\\slash", user_agent=None, operation="embedding"),
]


async def store(database: Database) -> None:
    async with writing(database) as connection:
        await connection.execute(insert(table), ROWS)


async def numbers_of(database: Database, wanted: Filter) -> list[int]:
    async with reading(database) as connection:
        found = await requests.page(connection, wanted, Window(limit=100))
    return [record.at_ms - AT_MS for record in found.rows]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", [7, 6, 5, 4, 3, 2, 1]),
        ("status:429", [2]),
        ("status:>=400", [2]),
        ("status:200,429 ms:>100", [6]),
        ("alias:gpt-4o*", [3]),
        ("model:gpt-4o_mini%", [3]),
        ("model:*_mini%", [3]),
        ("model:gpt-4o.mini*", []),
        ("model:back\\slash*", [7]),
        ("-provider:openai", [5, 4, 2]),
        ("error:*", [6, 2]),
        ("-error:*", [7, 5, 4, 3, 1]),
        ("stream:true", [3]),
        ("-ttft:>0", [7, 6, 5, 4, 2, 1]),
        ("tokens:>=1000", [5]),
        ("cost:0", [5]),
        ("cost:<0.0041", [5]),
        ("groq", [5]),
        ("-groq status:200 operation:chat", [6, 4, 3, 1]),
        ("mini", [3]),
        ("ip:127.0.0.* key:ci outcome:cut,refused", [6, 2]),
        ("id:*0004", [4]),
    ],
)
async def test_a_filter_selects_records_newest_first(
    database: Database, text: str, numbers: list[int]
) -> None:
    await store(database)
    assert await numbers_of(database, parse_filter(text)) == numbers


_TEXTS = st.sampled_from(
    ["*", "openai", "OPEN*", "*mini*", "gpt-4o_mini%", "%", "_", "\\", "*\\*", "a", "c*"]
)
_TEXT_TERMS = st.builds(
    Term,
    st.sampled_from([None, "key", "alias", "provider", "model", "outcome", "error", "ip"]),
    st.just("="),
    st.lists(_TEXTS, min_size=1, max_size=2).map(tuple),
    st.booleans(),
)
_NUMBER_TERMS = st.builds(
    Term,
    st.sampled_from(["status", "ms", "ttft", "tokens"]),
    st.sampled_from(["=", ">", ">=", "<", "<="]),
    st.sampled_from(["0", "30", "40", "100", "200", "429", "9000"]).map(lambda value: (value,)),
    st.booleans(),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(terms=st.lists(_TEXT_TERMS | _NUMBER_TERMS, max_size=3))
async def test_the_database_and_the_live_view_agree_on_every_filter(
    database: Database, terms: list[Term]
) -> None:
    async with reading(database) as connection:
        empty = not (await requests.page(connection, Filter(), Window())).rows
    if empty:
        await store(database)
    wanted = Filter(tuple(terms))
    expected = [row["at_ms"] - AT_MS for row in reversed(ROWS) if matches(wanted, row)]
    assert await numbers_of(database, wanted) == expected


async def test_pages_go_back_in_time_while_new_records_arrive(database: Database) -> None:
    await store(database)
    async with reading(database) as connection:
        first = await requests.page(connection, Filter(), Window(limit=4))
    async with writing(database) as connection:
        await connection.execute(insert(table), [request_row(8)])
    async with reading(database) as connection:
        second = await requests.page(
            connection, Filter(), Window(limit=4, cursor=first.next_cursor)
        )
    assert [record.at_ms - AT_MS for record in first.rows] == [7, 6, 5, 4]
    assert [record.at_ms - AT_MS for record in second.rows] == [3, 2, 1]
    assert second.next_cursor is None


async def test_a_record_comes_with_its_attempts_in_order(database: Database) -> None:
    await store(database)
    request_id: Any = ROWS[0]["id"]
    async with writing(database) as connection:
        await connection.execute(
            insert(ledger),
            [
                attempt_row(2, request_id),
                attempt_row(1, request_id, outcome="refused", status=500, cost_nanodollars=0),
                attempt_row(3, "req_other"),
            ],
        )
    async with reading(database) as connection:
        record = await requests.find(connection, request_id)
        attempts = await requests.attempts_of(connection, request_id)
    assert record.key_name == "ci"
    assert [attempt.outcome for attempt in attempts] == ["refused", "succeeded"]


async def test_a_request_that_nobody_recorded_is_not_found(database: Database) -> None:
    async with reading(database) as connection:
        with pytest.raises(NotFoundError):
            await requests.find(connection, "req_x")


DAY_MS = 86_400_000
LARGEST = 2**63 - 1


def row_at(at_ms: int, number: int = 1, **values: Any) -> dict[str, Any]:
    """A row whose id is of its time, as those of the gateway are."""
    return request_row(number, id=new_id("req", at_ms), at_ms=at_ms, **values)


async def insert_rows(database: Database, *rows: dict[str, Any]) -> None:
    async with writing(database) as connection:
        await connection.execute(insert(table), list(rows))


async def recorded(
    database: Database, by: str | None = None, span: Span = EVER, limit: int = 100
) -> tuple[Recorded, ...]:
    async with reading(database) as connection:
        return await requests.recorded_of_key(connection, "key_ci", span, by, limit)


async def test_a_span_of_time_is_exact_to_the_millisecond(database: Database) -> None:
    times = [AT_MS - 1, AT_MS, AT_MS + 99, AT_MS + 100]
    await insert_rows(database, *(row_at(at_ms) for at_ms in times))
    # A record that a recovery made is of its first attempt, later than its id.
    await insert_rows(database, row_at(AT_MS - 60_000) | {"at_ms": AT_MS + 5})
    async with reading(database) as connection:
        span = Span(AT_MS, AT_MS + 100)
        found = await requests.page(connection, Filter(), Window(), span)
    assert sorted(record.at_ms for record in found.rows) == [AT_MS, AT_MS + 5, AT_MS + 99]


async def test_the_records_of_one_key_are_counted(database: Database) -> None:
    await insert_rows(
        database,
        row_at(AT_MS, status=502, outcome="failed"),
        row_at(AT_MS + 1),
        row_at(AT_MS + 2, cache="hit", avoided_nanodollars=7, attempts=0),
        row_at(AT_MS + 2, key_id="key_other", avoided_nanodollars=1000),
        row_at(AT_MS + 3, key_id=None, avoided_nanodollars=1000),
    )
    assert await recorded(database) == (Recorded(None, 3, 1, 7),)


async def test_no_records_are_counted_as_none(database: Database) -> None:
    assert await recorded(database) == (requests.NOTHING_RECORDED,)
    assert await recorded(database, "day") == ()


async def test_sums_beyond_64_bits_are_exact(database: Database) -> None:
    await insert_rows(
        database, *(row_at(AT_MS + n, avoided_nanodollars=LARGEST - n) for n in range(3))
    )
    (total,) = await recorded(database)
    assert total.avoided_nanodollars == 3 * LARGEST - 3


async def test_records_by_day_begin_each_at_midnight_utc_and_shows_the_last_first(
    database: Database,
) -> None:
    midnight = AT_MS // DAY_MS * DAY_MS
    times = [midnight - 1, midnight, midnight + DAY_MS - 1, midnight + DAY_MS]
    await insert_rows(database, *(row_at(at_ms) for at_ms in times))
    day = midnight // DAY_MS
    found = [(each.group, each.requests) for each in await recorded(database, "day")]
    assert found == [(day + 1, 1), (day, 2), (day - 1, 1)]
    latest = await recorded(database, "day", limit=1)
    assert [each.group for each in latest] == [day + 1]
    (only,) = await recorded(database, "day", Span(midnight, midnight + DAY_MS))
    assert (only.group, only.requests) == (day, 2)


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("alias", ["fast", "dear"]),
        ("model", ["m-1", "m-2"]),
        ("provider", ["openai", "groq"]),
    ],
)
async def test_other_groups_come_with_the_most_records_first(
    database: Database, by: str, groups: list[str | None]
) -> None:
    await insert_rows(
        database,
        row_at(AT_MS + 1),
        row_at(AT_MS + 2),
        row_at(AT_MS + 3, alias="dear", model="m-2", provider="groq"),
    )
    assert [each.group for each in await recorded(database, by)] == groups


async def test_a_purge_deletes_what_began_before_and_no_attempt(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "_PURGED_A_TRANSACTION", 2)
    rows = [row_at(AT_MS + n) for n in (-3, -2, -1, 0, 1)]
    await insert_rows(database, *rows)
    async with writing(database) as connection:
        await connection.execute(insert(ledger), [attempt_row(1, rows[0]["id"])])
    deleted: list[int] = []
    while not deleted or deleted[-1]:
        async with writing(database) as connection:
            deleted.append(await requests.purge(connection, AT_MS))
    assert deleted == [2, 1, 0]
    async with reading(database) as connection:
        left = await requests.page(connection, Filter(), Window())
        attempts = await requests.attempts_of(connection, rows[0]["id"])
    assert [record.at_ms for record in left.rows] == [AT_MS + 1, AT_MS]
    assert len(attempts) == 1


async def test_how_far_was_purged_never_goes_back(database: Database) -> None:
    for before_ms in (AT_MS, AT_MS - 1000, AT_MS + 5):
        async with writing(database) as connection:
            await installation.note_purge_of_requests(connection, before_ms)
    async with reading(database) as connection:
        row = (await connection.execute(select(installations))).one()
    assert row.requests_purged_before_ms == AT_MS + 5


@pytest.mark.parametrize("at_ms", [-(10**15), 0, AT_MS, 10**18])
def test_the_first_id_of_a_moment_sorts_before_all_that_are_made_then(at_ms: int) -> None:
    bound = first_id("req", at_ms)
    assert len(bound) == len(new_id("req"))
    moment = min(max(at_ms, 0), 2**48 - 1)
    assert bound <= new_id("req", moment)
    if moment:
        assert new_id("req", moment - 1) < bound
