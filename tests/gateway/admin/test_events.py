"""Backfill of events over HTTP."""

import aiohttp
import pytest

from conduit.core.events import EventKind
from conduit.core.resources.status import EventPage
from conduit.gateway.events.bus import Bus
from tests.gateway.events.serving import serving

FINISHED = EventKind.REQUEST_FINISHED


async def page_of(bus: Bus, query: str) -> EventPage:
    async with (
        serving(bus) as at,
        aiohttp.ClientSession() as session,
        session.get(f"{at.url}/admin/events{query}") as response,
    ):
        assert response.status == 200
        return EventPage.model_validate_json(await response.read())


def filled(count: int, ring_events: int = 1_000) -> Bus:
    bus = Bus("b1", lambda: 7, ring_events=ring_events)
    for number in range(1, count + 1):
        bus.publish(FINISHED, {"status": 500 if number % 10 == 0 else 200})
    return bus


@pytest.mark.parametrize(
    ("query", "seqs"),
    [
        ("", list(range(151, 201))),
        ("?limit=2", [199, 200]),
        ("?after=100&limit=3", [101, 102, 103]),
        ("?after=198&boot=b1", [199, 200]),
        ("?after=200", []),
        ("?after=999", []),
        ("?after=0&filter=status:500&limit=3", [10, 20, 30]),
        ("?filter=status:500&limit=1", [200]),
        ("?after=0&kinds=key.created", []),
        ("?after=197&kinds=key.created,request.finished", [198, 199, 200]),
    ],
)
async def test_a_page_holds_what_was_asked_for(query: str, seqs: list[int]) -> None:
    page = await page_of(filled(200), query)
    assert [event.seq for event in page.data] == seqs
    assert (page.boot, page.last_seq, page.gap) == ("b1", 200, None)


async def test_what_the_ring_lost_is_a_gap() -> None:
    page = await page_of(filled(200, ring_events=10), "?after=20")
    assert page.gap == {"from": 21, "to": 190}
    assert [event.seq for event in page.data] == list(range(191, 201))


async def test_the_newest_ones_have_no_gap_before_them() -> None:
    assert (await page_of(filled(200, ring_events=10), "?limit=5")).gap is None


async def test_another_boot_is_a_gap_of_unknown_end() -> None:
    page = await page_of(filled(2), "?after=120&boot=b0")
    assert page.gap == {"from": 121, "to": None}
    assert [event.seq for event in page.data] == [1, 2]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?after=x", "after: must be a whole number"),
        ("?after=-1", "after: must be a whole number"),
        ("?limit=0", "limit: Input should be"),
        ("?limit=1001", "limit: Input should be"),
        ("?filter=statsu:1", "filter: unknown field 'statsu'"),
        ("?kinds=a,b", "kinds: unknown kind of event 'a'"),
        ("?since=1", "since: there is no such field"),
    ],
)
async def test_what_cannot_be_read_is_refused(query: str, sentence: str) -> None:
    async with (
        serving(Bus("b1")) as at,
        aiohttp.ClientSession() as session,
        session.get(f"{at.url}/admin/events{query}") as response,
    ):
        assert response.status == 422
        error = (await response.json())["error"]
        assert error["code"] == "validation_failed"
        assert sentence in error["message"]
