"""The live screen: following, holding still, filtering, stopping what runs."""

import pytest

from conduit.tui.glyphs import UNICODE
from conduit.tui.screens.chat import ChatScreen
from conduit.tui.state.traffic import Mark
from tests.tui.events import event, figures, recorded, request_events
from tests.tui.lives import BODIES, arrive, grid_of, live_app, routed, showing
from tests.tui.snapshots import assert_looks
from tests.tui.support import NOW_MS, SIZES, link_of, page, screen_text, until, until_shown

CURSOR = UNICODE.cursor


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


async def test_a_request_is_opened_in_the_chat_and_not_sent() -> None:
    app = live_app()
    link_of(app).answers |= {
        "requests.bodies": BODIES,
        "mappings.list": page(),
        "models.list": page(),
    }
    async with showing(app) as pilot:
        await pilot.press("o")
        await until(lambda: app.here == "chat", pilot)
        await until_shown("brought to the chat", pilot)
        await until_shown("why ", pilot)
        chat = app.frame
        assert isinstance(chat, ChatScreen)
        assert chat.dialogue.model == "gpt-4o"
        assert chat.dialogue.conversation.system == "be terse"
        assert chat.dialogue.asked is None


RUNNING = {
    "id": f"req_{77:026}",
    "at": "2026-11-20T22:01:11Z",
    "age_ms": 12_000,
    "state": "answering",
    "operation": "chat",
    "stream": True,
    "key_id": "key_1",
    "key": "ci",
    "alias": "gpt-4o",
    "provider": "openai-main",
    "model": "gpt-4o-2024",
    "attempts": 1,
    "input_tokens": 10,
    "output_tokens": 312,
    "held": "0.05",
    "ttft_ms": 300,
    "client_ip": None,
}


async def test_a_request_in_flight_is_stopped_after_a_question() -> None:
    app = live_app()
    link_of(app).answers |= {"requests.in_flight": page(RUNNING), "requests.cancel": {}}
    async with showing(app) as pilot:
        await pilot.press("i")
        await until_shown("answering  312 tokens", pilot)
        await pilot.press("enter")
        await until_shown(f"Stop the request {RUNNING['id']}?", pilot)
        await pilot.press("n")
        await until(lambda: app.screen is app.frame, pilot)
        assert not [name for name, _, _ in link_of(app).calls if name == "requests.cancel"]
        await pilot.press("i")
        await until_shown("answering  312 tokens", pilot)
        await pilot.press("enter")
        await until_shown("Stop the request", pilot)
        await pilot.press("y")
        await until_shown("stopped req_", pilot)
        stopped = [names for name, names, _ in link_of(app).calls if name == "requests.cancel"]
        assert stopped == [(RUNNING["id"],)]


async def test_where_nothing_runs_it_says_so() -> None:
    app = live_app()
    link_of(app).answers["requests.in_flight"] = page()
    async with showing(app) as pilot:
        await pilot.press("i")
        await until_shown("no request is in flight", pilot)


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
    [
        *("data", "empty", "loading", "error", "offline", "gap", "events"),
        *("inspector", "timeline", "route", "differences"),
    ],
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
        if state == "route":
            link_of(app).answers["requests.show"] = routed
            await pilot.press("enter", "3")
            await until_shown("it takes no images", pilot)
        if state == "differences":
            link_of(app).answers["requests.bodies"] = BODIES
            await pilot.press("enter", "5", "n")
            await until_shown('+ "gpt-4o-2024"', pilot)
        await assert_looks(pilot, f"live-{size}-{state}")
