"""Keys of the operator's own: which count, what is told of the others, and that they act."""

from pathlib import Path
from typing import Any

import pytest
from textual.binding import Binding

from conduit.client.contexts import config_file
from conduit.tui.app import ConduitApp
from conduit.tui.keymap import OF_LISTS, checked, read
from conduit.tui.state.session import Look
from conduit.tui.widgets.grid import Grid
from tests.tui.events import key
from tests.tui.support import make_app, page, running, screen_text, until, until_shown


def configured(text: str) -> Path:
    path = config_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("wanted", "keys"),
    [
        ("Z", ("Z",)),
        ("ctrl+r", ("ctrl+r",)),
        ("ctrl+r, f12", ("ctrl+r", "f12")),
        (["alt+k", "!"], ("alt+k", "exclamation_mark")),
        (",", ("comma",)),
        (["Z", "Z"], ("Z",)),
        ("exclamation_mark", ("exclamation_mark",)),
        ("insert", ("insert",)),
    ],
)
def test_a_key_is_written_as_people_or_textual_name_it(wanted: Any, keys: tuple[str, ...]) -> None:
    found = checked({"keys.rotate": wanted})
    assert (found.keys, found.problems) == ({"keys.rotate": keys}, ())


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ({"keys.rotat": "Z"}, "keys.rotat: there is no such action"),
        ({"keys.rotate": "ctl+r"}, "keys.rotate: no key is called 'ctl+r'"),
        ({"keys.rotate": 5}, "keys.rotate: a key is a text, such as 'ctrl+r'"),
        ({"keys.rotate": ""}, "keys.rotate: a key is missing"),
        ({"keys.rotate": "e"}, "keys.rotate: e is the key of keys.edit on Keys"),
        ({"keys.rotate": "g"}, "keys.rotate: g is the key of app.goto on Keys"),
        ({"keys.rotate": "f8"}, "keys.rotate: f8 is the key of go.overview on Keys"),
        ({"app.goto": "R"}, "app.goto: R is the key of keys.rotate on Keys"),
        ({"keys.rotate": "j"}, "keys.rotate: j is for getting about in lists and forms"),
        ({"go.chat": "f8"}, "go.chat: f8 is the key of go.overview on Chat"),
        ({"go.live": "f8"}, "go.live: f8 is the key of go.overview on Chat"),
        ({"goto.live": "c"}, "goto.live: c is the key of goto.chat after the key of app.goto"),
        ({"goto.live": "escape"}, "goto.live: escape is for going nowhere"),
        ({"goto.lives": "e"}, "goto.lives: there is no such action"),
    ],
)
def test_what_cannot_be_had_is_left_out_and_told(wanted: dict[str, Any], problem: str) -> None:
    found = checked(wanted)
    assert (found.keys, found.problems) == ({}, (problem,))


def test_the_keys_of_lists_are_no_ones_else() -> None:
    bindings = [each for each in Grid.BINDINGS if isinstance(each, Binding)]
    keys = {key for each in bindings for key in each.key.split(",")}
    assert keys == OF_LISTS


async def test_a_new_key_is_typed_where_text_is_typed() -> None:
    configured('[tui.keymap]\n"keys.rotate" = "z"\n"keys.reset-spend" = "R"\n')
    app = keys_app()
    async with running(app) as pilot:
        await until_shown("z rotate", pilot)
        await pilot.press("slash", "z")
        await until_shown("Nothing fits 'z'", pilot)
        assert app.screen is app.frame


def test_keys_can_be_swapped() -> None:
    found = checked({"keys.rotate": "e", "keys.edit": "R"})
    assert not found.problems
    assert found.keys == {"keys.rotate": ("e",), "keys.edit": ("R",)}


def test_letters_of_screens_can_be_swapped_and_be_those_of_lists() -> None:
    found = checked({"goto.live": "c", "goto.chat": "l", "goto.usage": "j"})
    assert not found.problems
    shown = found.shown_keys()
    assert (shown["live"], shown["usage"], shown["chat"]) == ("gc", "gj", "F2")


def test_ids_may_be_written_as_tables(tmp_path: Path) -> None:
    configured('[tui.keymap]\n"keys.edit" = "M"\n[tui.keymap.keys]\nrotate = "Z"\n')
    assert read().keys == {"keys.edit": ("M",), "keys.rotate": ("Z",)}


@pytest.mark.parametrize(
    "text", ["tui = 5", "[tui]\nkeymap = 5", "[tui]\nkeymap = []", "[tui", "[tui]"]
)
def test_a_file_of_another_shape_is_told_of_and_breaks_nothing(text: str) -> None:
    configured(text)
    found = read()
    assert not found.keys
    assert bool(found.problems) == (text != "[tui]")


def keys_app() -> ConduitApp:
    answers = {"keys.list": page(key("ci")), "providers.list": page()}
    return make_app(answers, look=Look(screen="keys"))


async def test_the_new_key_acts_and_is_shown_and_the_old_one_does_nothing() -> None:
    configured('[tui.keymap]\n"keys.rotate" = "Z"\n"app.help" = "f12"\n"go.chat" = "f11"\n')
    app = keys_app()
    async with running(app, (120, 40)) as pilot:
        await until_shown("Z rotate", pilot)
        assert "F12 help" in screen_text(app)
        assert "F11 Chat" in screen_text(app)
        await until_shown("ci", pilot)
        await pilot.press("R")
        await pilot.pause()
        assert app.screen is app.frame
        await pilot.press("Z")
        await until_shown("rotate key ci", pilot)
        await pilot.press("escape", "f12")
        await until_shown("help: keys", pilot)
        await pilot.press("escape", "f11")
        await until(lambda: app.here == "chat", pilot)


async def test_a_screen_has_another_letter_or_a_key_that_it_had_not() -> None:
    configured(
        '[tui.keymap]\n"app.goto" = "alt+g"\n"goto.usage" = "!"\n'
        '"go.live" = ["f11", "alt+l"]\n"goto.live" = "e"\n'
    )
    app = keys_app()
    async with running(app, (120, 40)) as pilot:
        await until_shown("alt+g! Usage", pilot)
        assert "F11 Live" in screen_text(app)
        await pilot.press("alt+g")
        await until_shown("e Live", pilot)
        await pilot.press("exclamation_mark")
        await until(lambda: app.here == "usage", pilot)
        for keys in (["f11"], ["alt+l"], ["alt+g", "e"]):
            await pilot.press(*keys)
            await until(lambda: app.here == "live", pilot)
            await pilot.press("f7")
            await until(lambda: app.here == "keys", pilot)
        await pilot.press("alt+g", "l")
        await pilot.pause()
        assert app.here == "keys"


async def test_help_lists_what_is_left_out() -> None:
    configured('[tui.keymap]\n"keys.rotate" = "e"\n')
    app = keys_app()
    async with running(app, (120, 40)) as pilot:
        await until(lambda: len(app.store.messages) == 1, pilot)
        await pilot.press("f1", *"keymap")
        await until_shown("keymap: keys.rotate: e is the key of keys.edit on Keys", pilot)
        assert "left out; see conduit doctor" in screen_text(app)


async def test_a_start_tells_what_is_left_out_and_goes_on() -> None:
    configured('[tui.keymap]\n"keys.rotate" = "e"\nnonsense = "x"\n')
    app = keys_app()
    async with running(app) as pilot:
        await until(lambda: len(app.store.messages) == 2, pilot)
        texts = [message.text for message in app.store.messages]
        assert "keymap: nonsense: there is no such action" in texts
        assert "keymap: keys.rotate: e is the key of keys.edit on Keys" in texts
        assert len(app._notifications) == 1
        await until_shown("and 1 more, see :messages", pilot)
        await until_shown("R rotate", pilot)
