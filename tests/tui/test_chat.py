"""The chat screen: asking, streaming, stopping, failing, and what is kept."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, Markdown

from conduit.client.conversations import Conversations
from conduit.core.keys import make_virtual_key
from conduit.core.paths import state_folder
from conduit.tui.chat.composer import Composer
from conduit.tui.state.session import Look
from tests.fakes.answering import REQUEST_ID, AnsweringServer, answering
from tests.tui.chats import (
    CALL,
    ask,
    chat_app,
    chat_of,
    ready,
)
from tests.tui.events import event, finished
from tests.tui.screens import assert_kept_nowhere
from tests.tui.support import (
    SIZES,
    link_of,
    running,
    screen_text,
    until,
    until_shown,
)


@pytest.fixture
async def server() -> AsyncIterator[AnsweringServer]:
    async with answering() as found:
        yield found


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


async def test_without_a_virtual_key_the_first_question_makes_one(server: AnsweringServer) -> None:
    secret = make_virtual_key()
    made: Any = {"id": "key_1", "name": "tui-1", "secret": secret, "version": 1}
    app = chat_app(server.url, key=None, **{"keys.create": made})
    async with running(app) as pilot:
        await ready(app, pilot)
        await until_shown("The first question makes a virtual key", pilot)
        server.say("fine")
        await pilot.press(*"hi", "enter")
        await until_shown("fine", pilot)
        [(_, _, body)] = [call for call in link_of(app).calls if call[0] == "keys.create"]
        assert body["name"].startswith("conduit-tui-")
        assert body["budget"] == {"limit": "5", "period": "total"}
        assert (body["tags"], bool(body["expires_at"])) == ({"made-by": "conduit-tui"}, True)
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


async def test_an_edited_question_is_a_branch_and_the_old_one_stays(
    server: AnsweringServer,
) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        await ask(app, pilot, "hello", server, "first answer")
        await ask(app, pilot, "more", server, "second answer")
        await pilot.press("ctrl+e", "ctrl+e")
        await until(lambda: app.frame.query_one(Composer).text == "hello", pilot)
        await until_shown("editing", pilot)
        assert "second answer" in screen_text(app)
        await ask(app, pilot, "!", server, "another way")
        await until_shown("another way", pilot)
        assert [m["content"] for m in server.asked[-1]["messages"]] == ["hello!"]
        await until(lambda: "second answer" not in screen_text(app), pilot)
        await pilot.press("alt+left")
        await until_shown("second answer", pilot)
        kept = Conversations().all()[0]
        assert [turn.text for turn in kept.turns] == [
            "hello",
            "first answer",
            "more",
            "second answer",
        ]
        assert [turn.text for turn in kept.others] == ["hello!", "another way"]
        app.perform("chat.ways")
        await until_shown("ways that the conversation took", pilot)
        await pilot.press(*"another", "enter")
        await until_shown("another way", pilot)
        await until(lambda: chat_of(app).dialogue.turns[0].text == "hello!", pilot)


async def test_escape_ends_editing_and_asks_nothing(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        await ask(app, pilot, "hello", server, "an answer")
        await pilot.press("ctrl+e")
        await until_shown("editing", pilot)
        await pilot.press("escape")
        await until(lambda: app.frame.query_one(Composer).text == "", pilot)
        await ask(app, pilot, "next", server, "goes on")
        assert len(chat_of(app).dialogue.turns) == 4


async def test_another_answer_is_an_alternate_and_one_flips_between_them(
    server: AnsweringServer,
) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        await ask(app, pilot, "hi", server, "one of them")
        server.say("the other one")
        await pilot.press("ctrl+r")
        await until_shown("2/2", pilot)
        assert "one of them" not in screen_text(app)
        assert len(server.asked[1]["messages"]) == 1
        await pilot.press("alt+left")
        await until_shown("1/2", pilot)
        assert "one of them" in screen_text(app)
        [kept] = Conversations().all()
        assert [turn.text for turn in kept.turns] == ["hi", "one of them"]
        assert [turn.text for turn in kept.others] == ["the other one"]


async def test_reasoning_is_folded_until_somebody_wants_it(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        server.say({"reasoning_content": "let me think about it"}, end=False)
        await pilot.press(*"hi", "enter")
        await until_shown("thinking", pilot)
        await until_shown("> reasoning, about 6 tok", pilot)
        server.say("done")
        await until_shown("34 out", pilot)
        assert "let me think" not in screen_text(app)
        await pilot.press("ctrl+g")
        await until_shown("let me think about it", pilot)
        assert Conversations().all()[0].turns[1].reasoning == "let me think about it"


async def test_tools_are_offered_shown_and_their_results_told(
    server: AnsweringServer, tmp_path: Path
) -> None:
    app = chat_app(server.url)
    file = tmp_path / "tools.json"
    file.write_text('[{"name": "weather", "parameters": {"type": "object"}}]')
    async with running(app) as pilot:
        await ready(app, pilot)
        app.perform("chat.tools")
        await until_shown("File of tools", pilot)
        app.screen.query_one(Input).value = str(file)
        await pilot.press("ctrl+s")
        await until_shown("tools 1", pilot)
        await ask(app, pilot, "hi", server, CALL)
        await until_shown('weather({"city": "Oslo"})', pilot)
        await until_shown("^x tells the results", pilot)
        assert server.asked[0]["tools"][0]["function"]["name"] == "weather"
        await pilot.press("ctrl+x")
        await until_shown("Results of tools", pilot)
        server.say("It rains.")
        await pilot.press(*"rain", "ctrl+s")
        await until_shown("It rains.", pilot)
        called, told = server.asked[1]["messages"][1:]
        assert called["tool_calls"][0]["id"] == "c1"
        assert told == {"role": "tool", "tool_call_id": "c1", "content": "rain"}


PIXEL = b"\x89PNG\r\n\x1a\n" + bytes(40)


async def test_a_file_goes_along_once_its_sign_was_seen(
    server: AnsweringServer, tmp_path: Path
) -> None:
    app = chat_app(server.url)
    picture, notes = tmp_path / "p.png", tmp_path / "notes.txt"
    picture.write_bytes(PIXEL)
    notes.write_text("the notes")
    async with running(app) as pilot:
        await ready(app, pilot)
        await pilot.press("ctrl+f")
        await until_shown("File or URL", pilot)
        app.screen.query_one(Input).value = str(notes)
        await pilot.press("ctrl+s")
        await until_shown("[File #1] text notes.txt", pilot)
        message = app.frame.query_one(Composer)
        message.text = f"what is @{picture}"
        await pilot.press("enter")
        await until(lambda: message.text == "what is [Image #1]", pilot)
        assert server.asked == []
        await ask(app, pilot, "?", server, "a pixel")
        words, text, image = server.asked[0]["messages"][0]["content"]
        assert words["text"] == "what is [Image #1]?"
        assert text["text"].endswith("the notes")
        assert image["image_url"]["url"].startswith("data:image/png;base64,")
        await until_shown("[image PNG", pilot)
        assert chat_of(app).dialogue.waiting == []


async def test_a_file_that_cannot_go_along_says_why(
    server: AnsweringServer, tmp_path: Path
) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        await pilot.press("ctrl+f")
        await until_shown("File or URL", pilot)
        app.screen.query_one(Input).value = str(tmp_path / "absent")
        await pilot.press("ctrl+s")
        await until_shown("No such file", pilot)
        assert chat_of(app).dialogue.waiting == []


@pytest.mark.parametrize(("name", "holds"), [("c.md", "## gpt-4o"), ("c.json", '"turns": [')])
async def test_a_conversation_is_exported_for_its_owner_alone(
    server: AnsweringServer, tmp_path: Path, name: str, holds: str
) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        await ask(app, pilot, "hi", server, "kept words")
        await pilot.press("ctrl+s")
        await until_shown("Export", pilot)
        path = tmp_path / name
        app.screen.query_one(Input).value = str(path)
        await pilot.press("ctrl+s")
        await until(path.exists, pilot)
        await until(lambda: app.screen is app.frame, pilot)
        assert holds in path.read_text()
        assert "kept words" in path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600


async def test_two_models_answer_side_by_side_and_both_are_kept(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    server.say("from the first", model="gpt-4o")
    server.say("from the second", model="claude")
    async with running(app, SIZES["120x40"]) as pilot:
        await ready(app, pilot)
        await pilot.press("ctrl+d")
        await until_shown("Compare gpt-4o with", pilot)
        await pilot.press(*"claude", "ctrl+s")
        await until_shown("model gpt-4o | claude", pilot)
        await pilot.press(*"hi", "enter")
        await until_shown("from the first", pilot)
        await until(lambda: chat_of(app).dialogue.turns, pilot)
        lines = screen_text(app).splitlines()
        assert any("from the first" in line and "from the second" in line for line in lines)
        assert sorted(body["model"] for body in server.asked) == ["claude", "gpt-4o"]
        [kept] = Conversations().all()
        assert [turn.text for turn in kept.ways(1)] == ["from the first", "from the second"]
        assert kept.turns[1].model == "gpt-4o"


async def test_one_of_two_models_may_fail_in_its_column(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    server.say("from the first", model="gpt-4o")
    server.say({"error": {"message": "broke down", "code": "upstream_error"}}, model="claude")
    async with running(app, SIZES["120x40"]) as pilot:
        await ready(app, pilot)
        chat_of(app).dialogue.rivals = ["claude"]
        await pilot.press(*"hi", "enter")
        await until_shown("broke down", pilot)
        await until(lambda: chat_of(app).dialogue.turns, pilot)
        assert [turn.text for turn in chat_of(app).dialogue.conversation.every()] == [
            "hi",
            "from the first",
        ]


async def test_comparing_needs_a_wide_screen(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        await pilot.press("ctrl+d")
        await until_shown("needs 120 columns", pilot)


async def test_an_error_in_mid_stream_keeps_what_has_come(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        server.say("half of", {"error": {"message": "it broke", "code": "upstream_error"}})
        await pilot.press(*"hi", "enter")
        await until_shown("it broke  [upstream_error]", pilot)
        assert "half of" in screen_text(app)
        assert Conversations().all()[0].turns[1].cut
        server.say("all of it")
        await pilot.press("ctrl+r")
        await until_shown("all of it", pilot)
        await until_shown("2/2", pilot)
        assert "it broke" not in screen_text(app)


async def test_a_refused_key_says_how_to_get_another(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    server.refusal = 401
    async with running(app) as pilot:
        await ready(app, pilot)
        await pilot.press(*"hi", "enter")
        await until_shown("[invalid_api_key]", pilot)
        await until_shown("^k makes or takes another key", pilot)


async def test_the_picker_tells_what_models_can_do(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        await until(lambda: app.store.table("models").is_loaded, pilot)
        await pilot.press("ctrl+o")
        await until_shown("vision tools 128k $2.50/$10.00  now", pilot)
        await pilot.press(*"vision", "enter")
        await until_shown("model gpt-4o", pilot)


async def test_where_one_was_in_a_conversation_stays(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        await ask(app, pilot, "hi", server, "\n\n".join(f"line {n}" for n in range(60)))
        turns = app.frame.query_one("#turns")
        await until(lambda: turns.max_scroll_y > 40 and turns.scroll_y > 40, pilot)
        await pilot.press("pageup")
        await until(lambda: turns.scroll_y < turns.max_scroll_y, pilot)
        place = turns.scroll_y
        await pilot.press("f8")
        await until(lambda: app.here == "overview", pilot)
        await pilot.press("f2")
        await until(lambda: app.here == "chat", pilot)
        await until_shown("line", pilot)
        assert turns.scroll_y == place


async def test_a_deleted_conversation_is_gone_from_the_disk(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        await ask(app, pilot, "hi", server, "soon gone")
        app.perform("chat.forget")
        await until_shown("Delete 'hi'?", pilot)
        await pilot.press("y")
        await until(lambda: Conversations().all() == [], pilot)
        await until(lambda: "soon gone" not in screen_text(app), pilot)


async def test_secrets_that_are_typed_are_kept_nowhere(server: AnsweringServer) -> None:
    secret, told = make_virtual_key(), "sk-proj-" + "a1B2" * 10
    app = chat_app(server.url)
    async with running(app) as pilot:
        await ready(app, pilot)
        await pilot.press("ctrl+k", "down", "enter")
        await until_shown("Virtual key", pilot)
        await pilot.press(*secret)
        assert secret not in app.export_screenshot()
        await pilot.press("ctrl+s")
        await until(lambda: app.screen is app.frame, pilot)
        await ask(app, pilot, f"use {told}", server, "better not")
        assert server.keys == [f"Bearer {secret}"]
        assert server.asked[0]["messages"][0]["content"] == f"use {told}"
        await pilot.press("ctrl+n")
        await until(lambda: not app.frame.query(Markdown), pilot)
        assert_kept_nowhere(app, secret)
        written = [path.read_text() for path in state_folder().rglob("*") if path.is_file()]
        assert any("better not" in text for text in written)
        assert not any(secret in text or told in text for text in written)


async def test_an_earlier_conversation_is_found_by_what_was_said(server: AnsweringServer) -> None:
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
        await pilot.press(*"remember", "enter")
        await until(lambda: app.frame.query(Markdown), pilot)
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


@pytest.mark.parametrize("columns", [60, 80, 120])
async def test_no_hint_is_cut(server: AnsweringServer, columns: int) -> None:
    app = chat_app(server.url)
    async with running(app, (columns, 24)) as pilot:
        await ready(app, pilot)
        await until_shown("Enter sends, ^j begins a new line, @path attaches a file", pilot)
        footer = screen_text(app).splitlines()[-1]
        hints = [f"{action.shown_key} {action.hint}" for action in app.actions() if action.hint]
        hints.append("F1 help")  # as `?` is typed here
        shown = [hint for hint in hints if f"{hint}  " in f"{footer}  "]
        assert {"F1 help", "^p palette", "^q quit"} <= set(shown)
        rest = footer
        for hint in sorted(shown, key=len, reverse=True):
            rest = rest.replace(hint, "", 1)
        assert not rest.strip()
        chat_of(app).dialogue.editing = 0
        app.frame.query_one("#progress").refresh()
        await until_shown("editing: Enter asks it as a branch, Esc leaves it", pilot)


async def test_without_a_key_and_a_connection_it_says_why_nothing_can_be_asked(
    server: AnsweringServer,
) -> None:
    app = chat_app(server.url, key=None)
    app.store.connectivity.lost("the connection was refused", 4)
    async with running(app) as pilot:
        await until_shown("a chat needs a virtual key: ^k takes one", pilot)
        await pilot.press(*"hi", "enter")
        assert server.asked == []
