"""Jump mode: letters on all that can have the focus, on screens and in dialogs."""

import pytest
from textual import events
from textual.widgets import Input, TextArea

from conduit.tui.app import ConduitApp
from conduit.tui.state.session import Look
from conduit.tui.widgets.dialogs.forms import FormDialog
from conduit.tui.widgets.jumping import LETTERS, Jumper, targets_of
from tests.tui.events import key
from tests.tui.support import make_app, page, running, screen_text, until, until_shown


def keys_app(screen: str = "keys") -> ConduitApp:
    answers = {
        "keys.list": page(key("ci")),
        "providers.list": page(),
        "mappings.list": page(),
        "models.list": page(),
        "conversations.list": page(),
    }
    return make_app(answers, look=Look(screen=screen))


@pytest.mark.parametrize("pressed", ["ctrl+space", "ctrl+@", "f10"])
async def test_a_letter_takes_the_focus_to_a_field_of_a_form(pressed: str) -> None:
    app = keys_app()
    async with running(app) as pilot:
        await until_shown("ci", pilot)
        await pilot.press("a")
        await until_shown("new key", pilot)
        form = app.screen
        assert isinstance(form, FormDialog)
        await pilot.press("n", "i", "g", "h", "t", "l", "y")
        await pilot.press(pressed)
        await until(lambda: isinstance(app.screen, Jumper), pilot)
        place = targets_of(form).index(form.query_one("#field-limit"))
        assert f" {LETTERS[place]} " in screen_text(app)
        await pilot.press(LETTERS[place])
        await until(lambda: app.screen is form, pilot)
        await until(lambda: form.focused is form.query_one("#field-limit"), pilot)
        assert form.query_one("#field-name", Input).value == "nightly"


async def test_it_works_on_screens_and_any_other_key_is_a_no() -> None:
    app = keys_app("chat")
    async with running(app) as pilot:
        await until(lambda: isinstance(app.focused, TextArea), pilot)
        composer = app.focused
        await pilot.press("ctrl+@")
        await until(lambda: isinstance(app.screen, Jumper), pilot)
        await pilot.press("escape")
        await until(lambda: app.screen is app.frame, pilot)
        assert app.focused is composer
        assert isinstance(composer, TextArea)
        assert not composer.text


async def test_keys_that_are_typed_ahead_close_no_second_screen() -> None:
    app = keys_app()
    async with running(app) as pilot:
        await until_shown("ci", pilot)
        await pilot.press("a")
        await until_shown("new key", pilot)
        form = app.screen
        await pilot.press("ctrl+@")
        await until(lambda: isinstance(app.screen, Jumper), pilot)
        jumper = app.screen
        for _ in range(3):  # as they stand in its queue when the first one closes it
            jumper.post_message(events.Key("s", "s"))
        await until(lambda: app.screen is not jumper, pilot)
        await pilot.pause()
        assert app.screen is form
        assert app.is_running


async def test_what_is_scrolled_out_of_sight_has_no_letter() -> None:
    app = keys_app()
    async with running(app) as pilot:
        await until_shown("ci", pilot)
        await pilot.press("a")
        await until_shown("new key", pilot)
        await pilot.pause()
        seen = targets_of(app.screen)
        assert 1 < len(seen) < len(app.screen.focus_chain)


async def test_the_footer_shows_only_keys_that_act_where_text_is_typed() -> None:
    app = keys_app("chat")
    async with running(app, (120, 40)) as pilot:
        await until(lambda: isinstance(app.focused, TextArea), pilot)
        await until_shown("F1 help", pilot)
        foot = screen_text(app).splitlines()[-1]
        assert "? help" not in foot
        assert "g go" not in foot
        assert "^p palette" in foot
