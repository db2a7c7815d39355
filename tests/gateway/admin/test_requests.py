"""Admin operations on request records."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from sqlalchemy import insert

from conduit.core.errors import RequestCancelledError
from conduit.core.events import EventKind
from conduit.core.ids import new_id
from conduit.gateway.dialects.openai.wire import decode_call
from conduit.gateway.exchange import Attempt, Candidate, Exchange
from conduit.gateway.in_flight import LiveExchanges
from conduit.gateway.ledger.entries import Hold
from conduit.gateway.provider import Operation
from conduit.gateway.routing.trace import Trace, TracedAttempt, TracedCandidate, TracedLeg
from conduit.gateway.storage.engine import Database, writing
from conduit.gateway.storage.schema import ledger, requests
from tests.gateway.admin.calls import AdminApi
from tests.gateway.admin.test_keys import claim
from tests.gateway.exchanges import RATES, chat_body, entered, grant, snapshot, upstream
from tests.gateway.records import AT_MS, attempt_row, request_row

TRACE = Trace(
    [
        TracedLeg(
            "fast",
            "weighted",
            [TracedCandidate("b", "m", 0.5), TracedCandidate("a", "m", None, "throttled", "why")],
            [TracedCandidate("c", "m", None, "left_out", "it is disabled")],
        )
    ],
    [TracedAttempt("b", "m", "default", "rate_limit", 120, "upstream_error")],
)
ROWS = [
    request_row(1, route=msgspec.json.encode(TRACE).decode()),
    request_row(2, status=429, outcome="refused", error_code="budget_held", route=None),
    request_row(3, alias="other", route=None),
]


@pytest.fixture(autouse=True)
async def stored(database: Database) -> None:
    async with writing(database) as connection:
        await connection.execute(insert(requests), ROWS)
        await connection.execute(insert(ledger), [attempt_row(1, ROWS[0]["id"])])


async def test_records_are_listed_newest_first(api: AdminApi) -> None:
    found = await api.listed("/admin/requests?limit=1")
    assert [each["id"] for each in found] == [row["id"] for row in reversed(ROWS)]


async def test_a_filter_is_applied_by_the_gateway(api: AdminApi) -> None:
    found = await api.listed("/admin/requests?filter=status:%3E%3D400%20-alias:other")
    assert [each["error_code"] for each in found] == ["budget_held"]


async def test_a_record_shows_money_time_and_attempts(api: AdminApi) -> None:
    shown = (await api.get(f"/admin/requests/{ROWS[0]['id']}")).body
    assert (shown["cost"], shown["tokens_per_s"], shown["key"]) == ("0.0041", 12.5, "ci")
    assert shown["at"] == "2023-11-14T22:13:20.001Z"
    (attempt,) = shown["attempt_list"]
    assert (attempt["hold"], attempt["state"]) == ("0.009", "done")
    assert attempt["settled_at"] == "2023-11-14T22:13:20.051Z"


async def test_a_record_shows_its_route_with_every_field(api: AdminApi) -> None:
    shown = (await api.get(f"/admin/requests/{ROWS[0]['id']}")).body
    (leg,) = shown["route"]["legs"]
    assert (leg["alias"], leg["strategy"], leg["because"]) == ("fast", "weighted", None)
    assert leg["sticky"] is False
    assert leg["candidates"] == [
        {"provider": "b", "model": "m", "score": 0.5, "state": "ready", "reason": None},
        {"provider": "a", "model": "m", "score": None, "state": "throttled", "reason": "why"},
    ]
    assert [each["reason"] for each in leg["left_out"]] == ["it is disabled"]
    assert shown["route"]["attempts"] == [msgspec.structs.asdict(TRACE.attempts[0])]
    assert (await api.get(f"/admin/requests/{ROWS[1]['id']}")).body["route"] is None


async def test_a_record_that_is_not_there_is_not_found(api: AdminApi) -> None:
    assert (await api.get("/admin/requests/req_x")).status == 404


async def test_records_of_a_stretch_of_time_are_listed(api: AdminApi, database: Database) -> None:
    rows = [request_row(n, id=new_id("req", AT_MS + n), at_ms=AT_MS + n) for n in (0, 1000)]
    async with writing(database) as connection:
        await connection.execute(insert(requests), rows)
    query = "since=2023-11-14T22:13:20.500Z&until=2023-11-14T22:13:22Z"
    assert [row["id"] for row in await api.listed(f"/admin/requests?{query}")] == [rows[1]["id"]]
    assert (await api.get("/admin/requests?since=yesterday")).status == 422


def exchange(**changes: Any) -> Exchange:
    return Exchange(Operation.CHAT, snapshot([]), **changes)


async def test_requests_in_flight_are_listed_as_far_as_they_have_come(
    api: AdminApi, live: LiveExchanges
) -> None:
    assert await api.listed("/admin/requests/in-flight") == []
    early = exchange(client_ip="127.0.0.9")
    late = exchange(key=grant(), call=decode_call(Operation.CHAT, chat_body("fast", stream=True)))
    attempt = Attempt(Candidate(upstream(), "m-1", {}, RATES), 1, estimated_input_tokens=7)
    attempt.output_tokens = 40
    late.attempts.append(attempt)
    with entered(live, early), entered(live, late):
        first, second = await api.listed("/admin/requests/in-flight?limit=1")
        assert (first["id"], first["state"], first["key"]) == (early.id, "authenticating", None)
        assert first["client_ip"] == "127.0.0.9"
        assert (second["id"], second["state"], second["key"]) == (late.id, "holding", "test")
        assert (second["alias"], second["provider"], second["model"]) == ("fast", "one", "m-1")
        assert (second["input_tokens"], second["output_tokens"]) == (7, 40)
        assert (second["stream"], second["held"]) == (True, "0.00")
        attempt.hold = hold_of(50_000_000)
        [second] = (await api.listed("/admin/requests/in-flight"))[1:]
        assert (second["state"], second["held"]) == ("calling", "0.05")
        attempt.answering = True
        [second] = (await api.listed("/admin/requests/in-flight"))[1:]
        assert second["state"] == "answering"


def hold_of(nanodollars: int) -> Hold:
    """A hold that no ledger knows of."""
    return Hold(claim("key_1", nanodollars), (), nanodollars, noted_at=0.0)


async def test_a_request_is_cancelled_once_with_a_reason(
    api: AdminApi, live: LiveExchanges
) -> None:
    running = exchange()
    cancelled = asyncio.Event()
    begun = asyncio.Event()

    async def serve() -> None:
        with entered(live, running):
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                await finish.wait()
                raise

    finish = asyncio.Event()
    task = asyncio.create_task(serve())
    await begun.wait()
    answer = await api.post(f"/admin/requests/{running.id}/cancel")
    assert (answer.status, answer.body["state"]) == (200, "stopping")
    async with asyncio.timeout(30):
        await cancelled.wait()
    assert isinstance(running.stopping, RequestCancelledError)
    # The clean-up of the first order is not broken off by a second one.
    assert (await api.post(f"/admin/requests/{running.id}/cancel")).status == 200
    assert not task.done()
    finish.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    gone = await api.post(f"/admin/requests/{running.id}/cancel")
    assert (gone.status, gone.error) == (404, "not_found")


async def test_a_purge_is_done_in_several_calls_and_told_of(
    api: AdminApi,
    database: Database,
    published: list[tuple[EventKind, Mapping[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("conduit.gateway.storage.requests._PURGED_A_TRANSACTION", 1)
    monkeypatch.setattr("conduit.gateway.admin.requests._TRANSACTIONS_A_PURGE", 2)
    order = {"before": "2100-01-01T00:00:00Z"}
    assert (await api.post("/admin/requests/purge", order)).status == 422
    order = {"before": "2023-11-15T00:00:00Z"}
    first = (await api.post("/admin/requests/purge", order)).body
    second = (await api.post("/admin/requests/purge", order)).body
    assert first == {"deleted": 2, "bodies": 0, "more": True}
    assert second == {"deleted": 1, "bodies": 0, "more": False}
    assert await api.listed("/admin/requests") == []
    purged = [facts["deleted"] for kind, facts in published if kind is EventKind.REQUESTS_PURGED]
    assert purged == [2, 1]
    assert (await api.post("/admin/requests/purge", {})).status == 422
