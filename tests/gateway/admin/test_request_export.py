"""All records of a time, as they come: whole, in order, at the client's pace, or visibly cut."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.client.records import FIELDS
from conduit.core.filters import Filter
from conduit.core.ids import new_id
from conduit.gateway.admin import request_export
from conduit.gateway.storage import requests
from conduit.gateway.storage.engine import Database, writing
from conduit.gateway.storage.requests import Span, StoredRequest
from conduit.gateway.storage.rows import Found, Window
from conduit.gateway.storage.schema import requests as table
from tests import postgresql
from tests.gateway.admin.calls import AdminApi
from tests.gateway.records import AT_MS, request_row

PATH = "/admin/requests/export"
COUNT = 1234
QUOTED = 'a,"b"\nc é'


def row(number: int, **values: Any) -> dict[str, Any]:
    """A record whose id is of its time, as ids are."""
    return request_row(number, id=new_id("req", AT_MS + number), **values)


@pytest.fixture(params=postgresql.ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
async def stored(database: Database) -> None:
    rows = [
        row(n, status=200 if n % 2 else 500, user_agent=QUOTED if n == 7 else None)
        for n in range(COUNT)
    ]
    async with writing(database) as connection:
        await connection.execute(insert(table), rows)


async def text_of(api: AdminApi, client: TestClient[Any, Any], query: str = "") -> str:
    async with client.get(f"{PATH}{query}", headers=api._headers) as response:
        assert response.status == 200
        assert response.headers["cache-control"] == "no-store"
        return await response.text()


async def test_lines_are_the_records_of_the_list_in_its_order(
    api: AdminApi, client: TestClient[Any, Any]
) -> None:
    lines = (await text_of(api, client)).splitlines()
    listed = await api.listed("/admin/requests?limit=1000")
    assert [json.loads(line) for line in lines] == listed
    assert len(listed) == COUNT


async def test_csv_has_a_heading_and_the_same_values(
    api: AdminApi, client: TestClient[Any, Any]
) -> None:
    text = await text_of(api, client, "?format=csv&filter=status:200")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert tuple(rows[0]) == FIELDS
    listed = await api.listed("/admin/requests?limit=1000&filter=status:200")
    assert [row["id"] for row in rows] == [row["id"] for row in listed]
    assert (rows[0]["cost"], rows[0]["stream"], rows[0]["error_code"]) == ("0.0041", "false", "")
    assert QUOTED in {row["user_agent"] for row in rows}
    nothing = await text_of(api, client, "?format=csv&filter=status:999")
    assert nothing == ",".join(FIELDS) + "\n"


async def test_a_time_and_a_filter_choose_and_nonsense_is_refused(
    api: AdminApi, client: TestClient[Any, Any]
) -> None:
    since = "2023-11-14T22:13:20.600Z"
    lines = (
        await text_of(api, client, f"?since={since}&until=2023-11-14T22:13:20.700Z")
    ).splitlines()
    ats = [json.loads(line)["at"] for line in lines]
    assert len(ats) == 100
    assert min(ats) == since
    for query in ("?filter=colour:red", "?format=parquet", "?limit=5", "?since=yesterday"):
        assert (await api.get(f"{PATH}{query}")).status == 422, query


async def test_what_is_written_meanwhile_is_no_part_of_it(
    api: AdminApi, client: TestClient[Any, Any], database: Database
) -> None:
    async with client.get(PATH, headers=api._headers) as response:
        first = await response.content.readline()
        async with writing(database) as connection:
            await connection.execute(insert(table), [row(COUNT + 1)])
        rest = await response.text()
    assert len([first.decode(), *rest.splitlines()]) == COUNT


class Failing:
    """Reads of which the second fails; how many there were."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.reads = 0

    async def page(
        self, connection: AsyncConnection, wanted: Filter, window: Window, span: Span
    ) -> Found[StoredRequest]:
        self.reads += 1
        if self.reads == 2 and self.error is not None:
            raise self.error
        return await requests.page(connection, wanted, window, span)


@pytest.mark.parametrize("error", [RuntimeError("a fault"), TimeoutError()])
@pytest.mark.parametrize("form", ["jsonl", "csv"])
async def test_an_error_in_the_middle_is_no_end(
    error: Exception,
    form: str,
    api: AdminApi,
    client: TestClient[Any, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing = Failing(error)
    monkeypatch.setattr(request_export, "requests", failing)
    async with client.get(f"{PATH}?format={form}", headers=api._headers) as response:
        assert response.status == 200
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
            await response.read()
    assert failing.reads == 2


async def test_an_error_before_the_first_record_is_an_answer_of_its_own(
    api: AdminApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(TimeoutError())
    failing.reads = 1
    monkeypatch.setattr(request_export, "requests", failing)
    assert (await api.get(PATH)).status == 503


@pytest.fixture
async def raw(client: TestClient[Any, Any]) -> AsyncIterator[asyncio.StreamWriter]:
    """A connection whose client reads nothing."""
    reader, writer = await asyncio.open_connection(
        str(client.host), int(client.port or 0), limit=1024
    )
    yield writer
    writer.close()
    del reader


async def settled(failing: Failing) -> int:
    """How many reads there are once no more come."""
    before = -1
    while failing.reads != before or not before:
        before = failing.reads
        await asyncio.sleep(0.3)  # long enough for many reads, were they not held back
    return before


async def test_a_client_that_reads_nothing_is_not_read_for_and_one_that_hangs_up_ends_it(
    api: AdminApi,
    database: Database,
    raw: asyncio.StreamWriter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with writing(database) as connection:
        big = "x" * 2_000
        rows = [row(10_000 + n, user_agent=big) for n in range(15_000)]
        await connection.execute(insert(table), rows)
    watched = Failing(None)
    monkeypatch.setattr(request_export, "requests", watched)
    closed = asyncio.Event()
    pieces = request_export._pieces

    async def noted(*given: Any) -> AsyncIterator[bytes]:
        try:
            async for piece in pieces(*given):
                yield piece
        finally:
            closed.set()

    monkeypatch.setattr(request_export, "_pieces", noted)
    key = api._headers["authorization"]
    raw.write(f"GET {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\n\r\n".encode())
    reads = await settled(watched)
    assert 1 <= reads < 25  # of more than 30; what was read lies in the buffers of sockets
    assert not closed.is_set()
    raw.transport.abort()
    async with asyncio.timeout(10):
        await closed.wait()
    assert watched.reads <= reads + 1
