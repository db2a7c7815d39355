"""The live screen: following, holding still, filtering, looking into one request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.pilot import Pilot

from conduit.tui.app import ConduitApp
from conduit.tui.glyphs import UNICODE
from conduit.tui.screens.live import LiveScreen
from conduit.tui.session import Look
from conduit.tui.traffic import Mark
from conduit.tui.widgets.ring_grid import RingGrid
from tests.tui.events import event, figures, recorded, request_events
from tests.tui.snapshots import assert_looks
from tests.tui.support import (
    NOW_MS,
    SIZES,
    link_of,
    make_app,
    page,
    refusal,
    running,
    screen_text,
    until,
    until_shown,
)

LIVE = Look(screen="live")
CURSOR = UNICODE.cursor
ATTEMPT = {
    "id": "att_1",
    "provider": "openai-main",
    "model": "gpt-4o-2024",
    "state": "done",
    "outcome": "succeeded",
    "status": 200,
    "error_code": None,
    "ambiguous": False,
    "hold": "0.05",
    "cost": "0.0041",
    "billed": "0.0041",
    "price_version": "2026-11-01",
    "usage_source": "provider",
    "input_tokens": 1_000,
    "cache_read_tokens": 0,
    "cache_write_tokens": 0,
    "output_tokens": 204,
    "reasoning_tokens": 0,
}


def detail_of(number: int) -> dict[str, object]:
    """A request with a refused attempt before the one that answered."""
    record = recorded(number)
    at = record["at"].replace("Z", "")
    refused = ATTEMPT | {
        "id": "att_0",
        "provider": "groq",
        "outcome": "refused",
        "status": 429,
        "error_code": "rate_limit_exceeded",
        "cost": "0",
        "held_at": f"{at}.002Z",
        "settled_at": f"{at}.120Z",
    }
    answered = ATTEMPT | {"held_at": f"{at}.121Z", "settled_at": f"{at}.810Z"}
    return record | {"attempts": 2, "attempt_list": [refused, answered]}


def live_app(*, count: int = 30, look: Look = LIVE, connected: bool = True) -> ConduitApp:
    app = make_app(
        {
            "providers.list": page(),
            "keys.list": page(),
            "requests.show": lambda name, body: detail_of(int(name.removeprefix("req_"))),
        },
        look=look,
        connected=connected,
    )
    app.store.receive(request_events(*range(1, count + 1)))
    return app


def grid_of(app: ConduitApp) -> RingGrid:
    screen = app.frame
    assert isinstance(screen, LiveScreen)
    return screen.grid


@asynccontextmanager
async def showing(app: ConduitApp, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Pilot[None]]:
    """The screen once it has taken in what the ring holds."""
    async with running(app, size) as pilot:
        await until(lambda: grid_of(app).count() == len(app.store.traffic), pilot)
        yield pilot


async def arrive(app: ConduitApp, pilot: Pilot[None], *numbers: int, **fields: object) -> None:
    """New requests come, and the screen has drawn what is to be drawn of them."""
    app.store.receive(request_events(*numbers, **fields))
    app.frame.show_store()
    await pilot.pause()


async def test_it_follows_what_arrives() -> None:
    app = live_app()
    async with showing(app) as pilot:
        await arrive(app, pilot, 31)
        grid = grid_of(app)
        assert grid.cursor_key == f"req_{31:026}"
        assert "new" not in screen_text(app).splitlines()[-2]


async def test_what_is_looked_at_stays_while_others_arrive() -> None:
    app = live_app()
    async with showing(app) as pilot:
        await pilot.press("home")
        before = screen_text(app).splitlines()[3:8]
        await arrive(app, pilot, *range(31, 41))
        assert screen_text(app).splitlines()[3:8] == before
        await until_shown("10 new, End follows", pilot)
        await pilot.press("end")
        await until(lambda: grid_of(app).following, pilot)
        assert grid_of(app).cursor_key == f"req_{40:026}"


async def test_the_row_under_the_cursor_stays_when_old_ones_leave_the_ring() -> None:
    app = live_app(count=0)
    app.store.receive(request_events(*range(1, 10_001)))
    async with showing(app) as pilot:
        await pilot.press("end", "up", "up")
        at = grid_of(app).cursor_key
        shown = [line for line in screen_text(app).splitlines() if CURSOR in line]
        await arrive(app, pilot, *range(10_001, 10_006))
        assert grid_of(app).cursor_key == at
        assert [line for line in screen_text(app).splitlines() if CURSOR in line] == shown
        assert grid_of(app).count() == 10_000


async def test_a_pause_takes_nothing_in_and_counts_what_waits() -> None:
    app = live_app()
    async with showing(app) as pilot:
        await pilot.press("space")
        await arrive(app, pilot, 31, 32)
        assert grid_of(app).count() == 30
        await until_shown("2 new, space goes on", pilot)
        await until_shown("PAUSED", pilot)
        await pilot.press("space")
        await until(lambda: grid_of(app).count() == 32, pilot)
        await until(lambda: "PAUSED" not in screen_text(app), pilot)


async def test_a_filter_counts_for_old_and_new_requests() -> None:
    app = live_app()
    app.store.receive(request_events(31, status=429, alias="llama", error_code="rate_limit"))
    async with showing(app) as pilot:
        await pilot.press("slash", *"status:>=400", "enter")
        await until(lambda: grid_of(app).count() == 1, pilot)
        await arrive(app, pilot, 32, status=502)
        await arrive(app, pilot, 33)
        assert grid_of(app).count() == 2
        await until_shown("2 of 33", pilot)
        await pilot.press("escape")
        await until(lambda: grid_of(app).count() == 33, pilot)


async def test_a_filter_fits_requests_from_the_records_too() -> None:
    app = live_app(count=0)
    app.store.merge_requests([recorded(1), recorded(2)], epoch=app.store.epoch)
    async with showing(app) as pilot:
        await pilot.press("slash", *"key:ci cost:>0.001", "enter")
        await until(lambda: "2 of 2" in screen_text(app), pilot)


async def test_a_filter_that_cannot_be_read_says_why_and_leaves_the_last_one() -> None:
    app = live_app()
    app.store.receive(request_events(31, status=429))
    async with showing(app) as pilot:
        await pilot.press("slash", *"status:429")
        await until(lambda: grid_of(app).count() == 1, pilot)
        await pilot.press(*" colour:")
        await until_shown("unknown field 'colour'", pilot)
        await pilot.press("escape")
        await until(lambda: grid_of(app).count() == 31, pilot)


async def test_where_nothing_fits_it_says_so() -> None:
    app = live_app()
    async with showing(app) as pilot:
        await pilot.press("slash", *"status:500", "enter")
        await until_shown("Nothing fits 'status:500'", pilot)


async def test_the_same_alias_is_one_key_away() -> None:
    app = live_app()
    app.store.receive(request_events(31, alias="odd one"))
    async with showing(app) as pilot:
        await pilot.press("a")
        await until(lambda: grid_of(app).count() == 1, pilot)


async def test_the_inspector_shows_the_record_and_its_steps() -> None:
    app = live_app()
    async with showing(app) as pilot:
        await pilot.press("enter")
        await until_shown("gpt-4o → openai-main/gpt-4o-2024", pilot)
        await until_shown("not stored", pilot)
        await pilot.press("2")
        await until_shown("[rate_limit_exceeded]", pilot)
        await pilot.press("3")
        await until_shown('"alias": "gpt-4o"', pilot)
        await pilot.press("escape")
        await until(lambda: not app.frame.has_class("-inspecting"), pilot)


async def test_the_inspector_goes_to_the_neighbours_without_closing() -> None:
    app = live_app()
    async with showing(app, SIZES["120x40"]) as pilot:
        await pilot.press("enter", "K", "K", "J")
        await until_shown(f"req_{29:026}", pilot)
        asked = [names for name, names, _ in link_of(app).calls if name == "requests.show"]
        assert asked[-1] == (f"req_{29:026}",)


async def test_a_record_that_cannot_be_read_leaves_what_the_event_told() -> None:
    app = live_app()
    link_of(app).answers["requests.show"] = refusal(503, "the database is not available")
    async with showing(app) as pilot:
        await pilot.press("enter")
        await until_shown("the database is not available", pilot)
        await until_shown("openai-main", pilot)


async def test_a_gap_is_a_line_between_the_requests() -> None:
    app = live_app(count=2)
    app.store.mark(Mark("lost:1", NOW_MS, "lost", 37))
    app.store.receive(request_events(3))
    async with showing(app) as pilot:
        await until_shown("gap: 37 events lost", pilot)


async def test_other_events_have_a_list_of_their_own() -> None:
    app = live_app(count=1)
    app.store.receive([event(2, "key.created", {"id": "key_2", "name": "web", "version": 1})])
    async with showing(app) as pilot:
        await pilot.press("v")
        await until_shown("key.created", pilot)
        await pilot.press("enter")
        await until_shown('"version": 1', pilot)


async def test_clearing_shows_only_what_comes_from_then_on() -> None:
    app = live_app()
    async with showing(app) as pilot:
        await pilot.press("c")
        await until(lambda: grid_of(app).count() == 0, pilot)
        await arrive(app, pilot, 31)
        assert grid_of(app).count() == 1


async def test_draft_filter_and_place_survive_another_screen() -> None:
    app = live_app()
    async with showing(app) as pilot:
        await pilot.press("slash", *"key:ci", "enter", "up", "up")
        at = grid_of(app).cursor_key
        await pilot.press("f8")
        await until(lambda: app.here == "overview", pilot)
        await pilot.press("minus")
        await until(lambda: app.here == "live", pilot)
        assert grid_of(app).cursor_key == at
        assert app.frame.query_one("#filter").display


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "state",
    ["data", "empty", "loading", "error", "offline", "inspector", "timeline", "gap", "events"],
)
async def test_it_looks_as_it_did(size: str, state: str) -> None:
    nothing_yet = state in ("empty", "loading", "error")
    app = live_app(count=0 if nothing_yet else 40, connected=state != "loading")
    app.store.receive([event(41, "stats.sampled", figures())])
    if state == "gap":
        app.store.mark(Mark("lost:1", NOW_MS, "lost", 37))
        app.store.receive(request_events(42, status=429, error_code="rate_limit_exceeded"))
    if state == "offline":
        app.store.connectivity.lost("the connection was refused", 4)
    if state == "error":
        app.store.connectivity.refused("the master key is missing or wrong")
    if state == "events":
        app.store.receive([event(2, "key.created", {"id": "key_2", "name": "web", "version": 1})])
    async with showing(app, SIZES[size]) as pilot:
        if state == "events":
            await pilot.press("v")
            await until_shown("key.created", pilot)
        if state in ("inspector", "timeline"):
            await pilot.press("enter")
            await until_shown("2  (2 timeline)", pilot)
        if state == "timeline":
            await pilot.press("2")
            await until_shown("[rate_limit_exceeded]", pilot)
        await assert_looks(pilot, f"live-{size}-{state}")
