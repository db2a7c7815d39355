"""How a question in the chat ends: stopped at any moment, and after a change of gateways."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from conduit.client.conversations import Conversations
from conduit.core.keys import make_virtual_key
from tests.fakes.answering import AnsweringServer, answering
from tests.tui.chats import ask, chat_app, chat_of, ready
from tests.tui.support import SIZES, link_of, running, screen_text, until, until_shown


@pytest.fixture
async def server() -> AsyncIterator[AnsweringServer]:
    async with answering() as found:
        yield found


async def test_a_stop_at_once_leaves_the_chat_usable(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        await ask(app, pilot, "hi", server, "first answer")
        chat = chat_of(app)
        chat.do_retry()
        chat.do_stop()
        await until(lambda: chat.dialogue.asked is None, pilot)
        await until_shown("first answer", pilot)
        await ask(app, pilot, "more", server, "second answer")
        await until_shown("second answer", pilot)


async def test_two_stops_at_once_keep_what_has_come(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        server.say("half of it", end=False)
        await pilot.press(*"hi", "enter")
        await until_shown("half of it", pilot)
        chat = chat_of(app)
        asking = chat._asking
        assert asking is not None
        chat.do_stop()
        await until(lambda: server.hung_up.is_set() or asking.done(), pilot)
        chat.do_stop()
        await until(lambda: chat.dialogue.asked is None, pilot)
        await until_shown("stopped before its end", pilot)
        assert Conversations().all()[0].turns[1].text == "half of it"


async def test_a_stop_keeps_the_answer_that_had_come_whole(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    server.say("all of it", model="gpt-4o")
    server.say("half", end=False, model="claude")
    async with running(app, SIZES["120x40"]) as pilot:
        await ready(app, pilot)
        chat = chat_of(app)
        chat.dialogue.rivals = ["claude"]
        await pilot.press(*"hi", "enter")
        await until_shown("half", pilot)
        asked = chat.dialogue.asked
        assert asked is not None
        await until(lambda: asked.answers[0].is_over, pilot)
        chat.do_stop()
        await until(lambda: chat.dialogue.asked is None, pilot)
        whole, half = [turn for turn in chat.dialogue.conversation.every() if turn.model]
        assert (whole.text, whole.cut, whole.output_tokens) == ("all of it", False, 34)
        assert (half.text, half.cut) == ("half", True)


async def test_after_a_change_of_gateways_the_old_key_goes_to_the_old_one_alone(
    server: AnsweringServer,
) -> None:
    app = chat_app(server.url)
    async with answering() as other, running(app) as pilot:
        await ready(app, pilot)
        server.say("from the old one", end=False)
        await pilot.press(*"hi", "enter")
        await until_shown("from the old one", pilot)
        key = make_virtual_key()
        app.target = replace(app.target, name="other", core_url=other.url, virtual_key=key)
        link_of(app).target = app.target
        app.store.begin()
        server.say(", whole")
        chat = chat_of(app)
        await until(lambda: chat.dialogue.asked is None, pilot)
        await until(lambda: chat.dialogue.conversation.url == other.url, pilot)
        chat.dialogue.model = "gpt-4o"
        await ask(app, pilot, "new", other, "from the new one")
        assert other.keys == [f"Bearer {key}"]
        assert [message["content"] for message in other.asked[0]["messages"]] == ["new"]
        kept = {each.url: each.turns[1].text for each in Conversations().all()}
        assert kept == {server.url: "from the old one, whole", other.url: "from the new one"}


async def test_a_question_goes_to_the_gateway_of_its_key(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    async with answering() as other, running(app) as pilot:
        await ready(app, pilot)
        chat, old = chat_of(app), app.target
        app.target = replace(old, name="other", core_url=other.url, virtual_key=None)
        server.say("from the old one")
        chat.ask(chat.dialogue.begin("hi", chat.now_s()))
        await until(lambda: chat.dialogue.asked is None, pilot)
        assert (server.keys, other.keys) == ([f"Bearer {old.virtual_key}"], [])


async def test_a_key_that_is_typed_while_the_gateway_changes_is_not_the_new_one_s(
    server: AnsweringServer,
) -> None:
    app = chat_app(server.url, key=None)
    async with answering() as other, running(app) as pilot:
        await ready(app, pilot)
        await pilot.press("ctrl+k", "down", "enter")
        await until_shown("Virtual key", pilot)
        own = make_virtual_key()
        app.target = replace(app.target, name="other", core_url=other.url, virtual_key=own)
        link_of(app).target = app.target
        app.store.begin()
        chat = chat_of(app)
        await until(lambda: chat._target is app.target, pilot)
        await pilot.press(*make_virtual_key(), "enter")
        await until(lambda: app.screen is chat, pilot)
        assert chat._key == own


@pytest.mark.parametrize("keys", [("ctrl+r",), ("ctrl+e", "ctrl+e", "!", "enter")])
async def test_what_failed_to_be_replaced_is_shown_again(
    server: AnsweringServer, keys: tuple[str, ...]
) -> None:
    app = chat_app(server.url)
    async with running(app, SIZES["120x40"]) as pilot:
        await ready(app, pilot)
        await ask(app, pilot, "one", server, "first answer")
        await ask(app, pilot, "two", server, "second answer")
        server.refusal = 429
        await pilot.press(*keys)
        await until_shown("[insufficient_quota]", pilot)
        await until(lambda: "second answer" in screen_text(app), pilot)
        assert "first answer" in screen_text(app)
        server.refusal = None
        await ask(app, pilot, "three", server, "third answer")
        said = [message["content"] for message in server.asked[-1]["messages"]]
        assert said == ["one", "first answer", "two", "second answer", "three"]
        await until(lambda: "[insufficient_quota]" not in screen_text(app), pilot)
