"""The chat screen: asking, streaming, stopping, failing, and what is kept."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from textual.widgets import Markdown

from conduit.client.conversations import Conversations
from conduit.core.keys import make_virtual_key
from conduit.tui.app import ConduitApp
from conduit.tui.dialogue import Answering
from conduit.tui.screens.chat import ChatScreen
from conduit.tui.session import Look
from conduit.tui.widgets.composer import Composer
from tests.fakes.answering import REQUEST_ID, AnsweringServer, answering
from tests.tui.events import event, finished
from tests.tui.snapshots import assert_looks
from tests.tui.support import (
    SIZES,
    TARGET,
    link_of,
    make_app,
    page,
    running,
    screen_text,
    until,
    until_shown,
)

LOOK = Look(screen="chat")


@pytest.fixture
async def server() -> AsyncIterator[AnsweringServer]:
    async with answering() as found:
        yield found


def mapping(alias: str) -> dict[str, Any]:
    return {"id": f"map_{alias}", "alias": alias, "enabled": True, "targets": [], "version": 1}


def chat_app(url: str, *, key: str | None = "", look: Look = LOOK, **answers: Any) -> ConduitApp:
    """A chat with the server; `key` None is a gateway for which no virtual key is known."""
    virtual_key = make_virtual_key() if key == "" else key
    target = replace(TARGET, core_url=url, virtual_key=virtual_key)
    found = {"mappings.list": page(mapping("gpt-4o"), mapping("claude"))} | answers
    return make_app(found, look=look, target=target)


def chat_of(app: ConduitApp) -> ChatScreen:
    screen = app.frame
    assert isinstance(screen, ChatScreen)
    return screen


def answering_of(app: ConduitApp) -> Answering:
    found = chat_of(app).dialogue.answering
    assert found is not None
    return found


async def ready(app: ConduitApp, pilot: Any) -> None:
    await until(lambda: chat_of(app).dialogue.model is not None, pilot)


async def test_an_answer_streams_in_and_is_kept(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        await pilot.press(*"hello", "enter")
        server.say("Good ", end=False)
        await until_shown("Good", pilot)
        await until_shown("streaming", pilot)
        server.say("**morning**")
        await until_shown("12 in / 34 out", pilot)
        assert "morning" in screen_text(app)
        assert "**" not in screen_text(app)
        [kept] = Conversations().all()
        assert [(turn.role, turn.text) for turn in kept.turns] == [
            ("user", "hello"),
            ("assistant", "Good **morning**"),
        ]
        assert server.asked[0]["model"] == "gpt-4o"
        assert server.keys == [f"Bearer {app.target.virtual_key}"]


async def test_the_next_question_carries_what_was_said(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        for question, answer in (("one", "first answer"), ("two", "second answer")):
            server.say(answer)
            await pilot.press(*question, "enter")
            await until_shown(answer, pilot)
            await until(lambda: chat_of(app).dialogue.answering is None, pilot)
        assert [message["content"] for message in server.asked[1]["messages"]] == [
            "one",
            "first answer",
            "two",
        ]


async def test_the_cost_is_told_by_the_event_of_its_end(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        server.say("done")
        await pilot.press(*"hi", "enter")
        await until(lambda: chat_of(app).dialogue.turns, pilot)
        app.store.receive([event(1, "request.finished", finished(1, id=REQUEST_ID))])
        await until_shown("chat $0.0041", pilot)
        assert Conversations().all()[0].turns[1].cost == "0.0041"


async def test_escape_twice_stops_and_keeps_what_has_come(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        server.say("half of it", end=False)
        await pilot.press(*"hi", "enter")
        await until_shown("half of it", pilot)
        await pilot.press("escape", "escape")
        await until_shown("stopped before its end", pilot)
        await server.hung_up.wait()
        assert Conversations().all()[0].turns[1].cut


async def test_a_refusal_is_shown_and_can_be_asked_again(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    server.refusal = 429
    async with running(app) as pilot:
        await ready(app, pilot)
        await pilot.press(*"hi", "enter")
        await until_shown("has spent its budget  [insufficient_quota]", pilot)
        assert Conversations().all() == []
        server.refusal = None
        server.say("now it works")
        await pilot.press("ctrl+r")
        await until_shown("now it works", pilot)
        await until(lambda: len(chat_of(app).dialogue.turns) == 2, pilot)
        assert "has spent its budget" not in screen_text(app)


async def test_a_gateway_that_is_gone_is_an_error_in_place_of_the_answer() -> None:
    app = chat_app("http://127.0.0.1:9")
    async with running(app) as pilot:
        await ready(app, pilot)
        await pilot.press(*"hi", "enter")
        await until_shown("[unreachable]", pilot)


async def test_without_a_virtual_key_it_says_so_and_makes_one(server: AnsweringServer) -> None:
    secret = make_virtual_key()
    made: Any = {"id": "key_1", "name": "tui-1", "secret": secret, "version": 1}
    app = chat_app(server.url, key=None, **{"keys.create": made})
    async with running(app) as pilot:
        await ready(app, pilot)
        await until_shown("a chat needs a virtual key", pilot)
        await pilot.press(*"hi", "enter")
        assert server.asked == []
        await pilot.press("ctrl+k", "enter")
        await until(lambda: "keys.create" in [call[0] for call in link_of(app).calls], pilot)
        server.say("fine")
        await pilot.press("enter")
        await until_shown("fine", pilot)
        assert server.keys == [f"Bearer {secret}"]
        assert secret not in screen_text(app)


async def test_a_line_that_ends_in_a_backslash_goes_on(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        await pilot.press(*"one\\", "enter", *"two", "ctrl+j", *"three", "enter")
        await until(lambda: server.asked, pilot)
        assert server.asked[0]["messages"][-1]["content"] == "one\ntwo\nthree"


async def test_draft_and_stream_survive_another_screen(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        server.say("begun", end=False)
        await pilot.press(*"hi", "enter")
        await until_shown("begun", pilot)
        await pilot.press(*"draft", "f8")
        await until(lambda: app.here == "overview", pilot)
        server.say(" and ended")
        await pilot.press("f2")
        await until_shown("begun and ended", pilot)
        assert app.frame.query_one(Composer).text == "draft"


async def test_parameters_and_system_text_go_along(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        await pilot.press("ctrl+t", *"Be terse.", "tab", *"0.2", "ctrl+s")
        await until_shown("temperature 0.2", pilot)
        server.say("ok")
        await pilot.press(*"hi", "enter")
        await until(lambda: server.asked, pilot)
        assert server.asked[0]["temperature"] == 0.2
        assert server.asked[0]["messages"][0] == {"role": "system", "content": "Be terse."}


async def test_the_last_question_can_be_edited(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        server.say("an answer")
        await pilot.press(*"hello", "enter")
        await until(lambda: chat_of(app).dialogue.turns, pilot)
        await pilot.press("ctrl+e")
        await until(lambda: app.frame.query_one(Composer).text == "hello", pilot)
        assert chat_of(app).dialogue.turns == ()


async def test_an_earlier_conversation_can_be_opened(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        server.say("remember me")
        await pilot.press(*"first", "enter")
        await until(lambda: chat_of(app).dialogue.turns, pilot)
        await pilot.press("ctrl+n")
        await until(lambda: not app.frame.query(Markdown), pilot)
        await pilot.press("ctrl+b")
        await until_shown("conversations", pilot)
        await pilot.press("enter")
        await until_shown("remember me", pilot)


async def test_another_model_can_be_chosen(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        await pilot.press("ctrl+o", *"clau", "enter")
        await until_shown("model claude", pilot)


async def test_lite_mode_shows_plain_text(server: AnsweringServer) -> None:
    app = chat_app(server.url, look=Look(screen="chat", lite=True, theme="ansi"))
    async with running(app) as pilot:
        await ready(app, pilot)
        server.say("**plain**")
        await pilot.press(*"hi", "enter")
        await until_shown("**plain**", pilot)


ANSWER = """A token bucket refills at a fixed rate:

```python
class Bucket:
    def take(self) -> bool: ...
```

- burst is the capacity
- **rate** is what it refills in a second
"""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", ["data", "empty", "loading", "no-key", "error", "offline"])
async def test_it_looks_as_it_did(server: AnsweringServer, size: str, state: str) -> None:
    app = chat_app(server.url, key=None if state == "no-key" else "")
    server.refusal = 429 if state == "error" else None
    if state == "offline":
        app.store.connectivity.lost("the connection was refused", 4)
    async with running(app, SIZES[size]) as pilot:
        if state not in ("offline", "loading"):
            await ready(app, pilot)
        if state == "loading":
            server.say("half an an", end=False)
            chat_of(app).dialogue.model = "gpt-4o"
            await pilot.press(*"Sketch a bucket", "enter")
            await until_shown("half an an", pilot)
            chat_of(app).now_s = lambda: answering_of(app).began_s + 2.0  # type: ignore[method-assign]
            app.frame.query_one("#progress").refresh()
            await until_shown("2.0 s", pilot)
        if state in ("data", "error"):
            server.say(ANSWER)
            await pilot.press(*"Sketch a bucket", "enter")
            await until_shown("[insufficient_quota]" if state == "error" else "34 out", pilot)
        await until_shown("virtual key" if state == "no-key" else "model", pilot)
        await assert_looks(pilot, f"chat-{size}-{state}")
