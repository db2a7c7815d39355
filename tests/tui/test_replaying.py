"""A kept request sent again from the live screen, to a gateway on a real socket."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from conduit.core.keys import make_virtual_key
from conduit.tui.app import ConduitApp
from tests.fakes.answering import REQUEST_ID, AnsweringServer, answering
from tests.tui.events import mapping, request_events
from tests.tui.lives import BODIES, grid_of, live_app, showing
from tests.tui.screens import fill
from tests.tui.support import link_of, page, refusal, until, until_said, until_shown


@pytest.fixture
async def server() -> AsyncIterator[AnsweringServer]:
    async with answering() as found:
        yield found


def app_at(server: AnsweringServer, *, key: str | None) -> ConduitApp:
    app = live_app(count=0)
    app.store.receive(request_events(5, 6, 7))
    target = replace(app.target, core_url=server.url, virtual_key=key)
    app.target = target
    link_of(app).answers |= {"requests.bodies": BODIES, "mappings.list": page(mapping("fast"))}
    return app


async def test_a_kept_request_is_sent_again_to_another_model(server: AnsweringServer) -> None:
    key = make_virtual_key()
    app = app_at(server, key=key)
    async with showing(app) as pilot:
        await pilot.press("R")
        await until_shown("again", pilot)
        await fill("model", "fast", app, pilot)
        server.say("because")
        app.store.receive(request_events(1))  # its id is the one that the server tells
        await pilot.press("ctrl+s")
        await until_said(f"sent again as {REQUEST_ID}: 200", pilot)
        assert server.asked[0]["model"] == "fast"
        assert server.keys == [f"Bearer {key}"]
        # Looked into, as its event is here.
        await until(lambda: grid_of(app).cursor_key == REQUEST_ID, pilot)
        await until(lambda: app.frame.has_class("-inspecting"), pilot)
        assert key not in repr(list(app.store.messages))


async def test_a_refusal_stands_in_the_form(server: AnsweringServer) -> None:
    server.refusal = 429
    app = app_at(server, key=make_virtual_key())
    async with showing(app) as pilot:
        await pilot.press("R")
        await until_shown("which is billed", pilot)
        await pilot.press("ctrl+s")
        await until_shown("has spent its budget", pilot)
        assert app.screen is not app.frame


async def test_without_a_key_one_is_asked_for(server: AnsweringServer) -> None:
    app = app_at(server, key=None)
    async with showing(app) as pilot:
        await pilot.press("R")
        await until_shown("Virtual key", pilot)
        await pilot.press("escape")
        await until(lambda: app.screen is app.frame, pilot)
        assert not server.asked


async def test_what_is_not_kept_whole_is_not_sent(server: AnsweringServer) -> None:
    app = app_at(server, key=make_virtual_key())
    request = {**BODIES["request"], "truncated": True, "bytes": 99_999}  # type: ignore[dict-item]
    link_of(app).answers["requests.bodies"] = {**BODIES, "request": request}
    async with showing(app) as pilot:
        await pilot.press("R")
        await until_said("only the beginning of its body is kept", pilot)
        link_of(app).answers["requests.bodies"] = refusal(409, "none are kept: log_bodies is off")
        await pilot.press("R")
        await until_said("none are kept: log_bodies is off", pilot)
        assert not server.asked
