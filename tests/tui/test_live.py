"""The live screen: following, holding still, filtering, looking into one request."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot

from conduit.core.keys import make_virtual_key
from conduit.tui.app import ConduitApp
from conduit.tui.glyphs import UNICODE
from conduit.tui.screens.chat import ChatScreen
from conduit.tui.screens.live import LiveScreen
from conduit.tui.state.session import Look
from conduit.tui.state.traffic import Mark
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
        await pilot.press("2")
        await until_shown("[rate_limit_exceeded]", pilot)
        await pilot.press("8")
        await until_shown('"alias": "gpt-4o"', pilot)
        await pilot.press("escape")
        await until(lambda: not app.frame.has_class("-inspecting"), pilot)


async def test_what_is_looked_into_stays_while_others_arrive() -> None:
    app = live_app()
    async with showing(app, SIZES["120x40"]) as pilot:
        await pilot.press("enter")
        await until_shown("gpt-4o → openai-main/gpt-4o-2024", pilot)
        await arrive(app, pilot, 31, 32)
        await pilot.press("2")
        await arrive(app, pilot, 33)
        assert grid_of(app).cursor_key == f"req_{30:026}"
        asked = [names for name, names, _ in link_of(app).calls if name == "requests.show"]
        assert asked == [(f"req_{30:026}",)]
        await until_shown("3 new, f follows", pilot)
        await pilot.press("escape")
        assert grid_of(app).cursor_key == f"req_{33:026}"
        assert grid_of(app).following


async def test_the_neighbour_that_is_looked_into_stays_too_and_f_goes_on() -> None:
    app = live_app()
    async with showing(app) as pilot:
        await pilot.press("enter", "K", "J")
        await arrive(app, pilot, 31)
        assert grid_of(app).cursor_key == f"req_{30:026}"
        await pilot.press("J")
        await arrive(app, pilot, 32)
        assert grid_of(app).cursor_key == f"req_{31:026}"
        await pilot.press("escape")
        assert grid_of(app).cursor_key == f"req_{31:026}"
        assert not grid_of(app).following
        await pilot.press("enter", "f")
        await arrive(app, pilot, 33)
        assert grid_of(app).cursor_key == f"req_{33:026}"


ROUTE = {
    "legs": [
        {
            "alias": "gpt-4o",
            "strategy": "lowest-cost",
            "because": None,
            "sticky": False,
            "candidates": [
                {
                    "provider": "groq",
                    "model": "llama",
                    "score": 0.5,
                    "state": "ready",
                    "reason": None,
                },
                {
                    "provider": "local",
                    "model": "llama",
                    "score": 1.0,
                    "state": "open",
                    "reason": "its breaker is open for 27 s",
                },
            ],
            "left_out": [
                {
                    "provider": "old",
                    "model": "gpt-3",
                    "score": None,
                    "state": "left_out",
                    "reason": "it takes no images",
                }
            ],
        }
    ],
    "attempts": [
        {
            "provider": "groq",
            "model": "llama",
            "credential": "main",
            "because": None,
            "waited_ms": 0,
            "error": "rate_limit",
        },
        {
            "provider": "openai-main",
            "model": "gpt-4o-2024",
            "credential": "first",
            "because": "rate_limit",
            "waited_ms": 40,
            "error": None,
        },
    ],
    "trimmed": 0,
}


def routed(name: str, body: object) -> dict[str, object]:
    return detail_of(int(name.removeprefix("req_"))) | {"route": ROUTE}


async def test_the_inspector_tells_the_route_why_not_others_and_the_price_of_each_call() -> None:
    app = live_app()
    link_of(app).answers["requests.show"] = routed
    async with showing(app) as pilot:
        await pilot.press("enter", "3")
        await until_shown("gpt-4o  lowest-cost", pilot)
        for text in (
            "its breaker is open for 27 s",
            "it takes no images",
            "429 refused, rate_limit_exceeded, credential main",
            "after rate_limit, waited 40ms",
            "1,000 in, 204 out, cost $0.0041, billed $0.0041",
            "price 2026-11-01",
        ):
            await until_shown(text, pilot)


def body(content: object, **headers: str) -> dict[str, Any]:
    text = content if isinstance(content, str) else json.dumps(content)
    return {
        "headers": headers,
        "body": text,
        "encoding": "utf-8",
        "bytes": len(text),
        "truncated": False,
    }


SECRET = make_virtual_key()  # shown shortened, and with the same ends in no two runs
QUESTION = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "be terse"},
        {"role": "user", "content": f"why {SECRET}?"},
    ],
}
BODIES = {
    "id": "req_1",
    "at": "2026-11-20T22:01:11Z",
    "key_id": "key_1",
    "path": "/v1/chat/completions",
    "status": 200,
    "request": body(QUESTION, **{"user-agent": "tests/1"}),
    "attempts": [
        {
            "id": "att_1",
            "provider": "openai-main",
            "model": "gpt-4o-2024",
            "url": "https://api.example/v1/chat/completions",
            "request": body(QUESTION | {"model": "gpt-4o-2024", "seed": 7}),
            "status": 200,
            "response": body({"id": "chatcmpl-1"}, **{"x-request-id": "up_1"}),
        }
    ],
    "response": body({"choices": [{"text": "because"}]}),
}


async def test_the_inspector_shows_what_was_sent_and_answered_and_only_what_differs() -> None:
    app = live_app()
    link_of(app).answers["requests.bodies"] = BODIES
    async with showing(app) as pilot:
        await pilot.press("enter")
        await until_shown("gpt-4o → openai-main", pilot)
        assert not [name for name, _, _ in link_of(app).calls if name == "requests.bodies"]
        await pilot.press("4")
        await until_shown('"content": "be terse"', pilot)
        assert SECRET not in screen_text(app)
        await pilot.press("5")
        await until_shown("POST https://api.example/v1/chat/completions", pilot)
        await until_shown('"model": "gpt-4o-2024"', pilot)
        await pilot.press("n")
        await until(lambda: "be terse" not in screen_text(app), pilot)
        await until_shown('+ "gpt-4o-2024"', pilot)
        await until_shown("+ 7", pilot)
        await pilot.press("6")
        await until_shown('"text": "because"', pilot)
        await pilot.press("7")
        await until_shown("user-agent: tests/1", pilot)
        await until_shown("x-request-id: up_1", pilot)
        assert len([name for name, _, _ in link_of(app).calls if name == "requests.bodies"]) == 1
        await pilot.press("K")
        await until(
            lambda: len([n for n, _, _ in link_of(app).calls if n == "requests.bodies"]) == 2, pilot
        )


async def test_bodies_that_are_not_kept_say_why() -> None:
    app = live_app()
    link_of(app).answers["requests.bodies"] = refusal(404, "none are kept: log_bodies is off")
    async with showing(app) as pilot:
        await pilot.press("enter", "4")
        await until_shown("none are kept: log_bodies is off", pilot)


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


async def test_the_record_of_a_request_that_has_just_ended_is_asked_for_again() -> None:
    app = live_app()
    asked: list[str] = []

    def on_its_way(name: str, body: object) -> dict[str, object]:
        asked.append(name)
        if len(asked) < 3:
            raise refusal(404, f"there is no record of a request {name}")
        return detail_of(60)

    link_of(app).answers["requests.show"] = on_its_way
    app.store.receive(request_events(60))
    async with showing(app) as pilot:
        await pilot.press("enter", "2")
        await until_shown("[rate_limit_exceeded]", pilot)
        assert len(asked) == 3


async def test_a_record_that_is_gone_is_asked_for_once() -> None:
    app = live_app()
    link_of(app).answers["requests.show"] = refusal(404, "there is no record of it")
    async with showing(app) as pilot:
        await pilot.press("enter")
        await until_shown("there is no record of it", pilot)
        assert len([name for name, _, _ in link_of(app).calls if name == "requests.show"]) == 1


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
