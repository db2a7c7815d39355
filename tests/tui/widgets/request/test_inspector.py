"""One request looked into: its record, its route, its bodies, its neighbours."""

from tests.tui.events import request_events
from tests.tui.lives import BODIES, SECRET, arrive, detail_of, grid_of, live_app, routed, showing
from tests.tui.support import SIZES, link_of, refusal, screen_text, until, until_shown


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
