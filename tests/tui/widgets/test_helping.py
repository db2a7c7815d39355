"""Help is for what has the focus, and runs what it lists."""

from conduit.tui.state.session import Look
from conduit.tui.widgets.dialogs.picker import Picker
from conduit.tui.widgets.grid import Grid
from tests.tui.made import setting
from tests.tui.screens import NOTHING, on_screen
from tests.tui.support import make_app, page, running, screen_text, until, until_shown

SETTINGS = page(*(setting(f"setting_{number}", number) for number in range(40)))


async def test_the_keys_of_a_list_are_in_its_help_and_can_be_pressed_from_there() -> None:
    async with on_screen("config", {"config.list": SETTINGS}) as (app, pilot):
        grid = app.frame.query_one("#grid", Grid)
        await pilot.press("f1", *"last")
        await until_shown("also G", pilot)
        await pilot.press("enter")
        await until(lambda: grid.cursor == 39, pilot)


async def test_the_actions_of_the_screen_stand_before_all_others() -> None:
    async with on_screen("config", {"config.list": SETTINGS}) as (app, pilot):
        await pilot.press("f1")
        await until(lambda: isinstance(app.screen, Picker), pilot)
        assert isinstance(app.screen, Picker)
        ids = [choice.id for choice in app.screen._choices]
        own = [action.id for action in app.frame.ACTIONS]
        assert ids[: len(own)] == own
        assert ids[len(own)].startswith("press:")


async def test_what_is_disabled_stands_there_with_its_reason_and_does_not_run() -> None:
    async with on_screen("config", {"config.list": SETTINGS}) as (app, pilot):
        await pilot.press("f1", *"apply")
        await until_shown("nothing has been changed here", pilot)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, Picker)


async def test_a_dialog_has_help_of_its_own() -> None:
    async with on_screen("config", {"config.list": SETTINGS}) as (app, pilot):
        await pilot.press("e")
        await until(lambda: app.screen is not app.frame, pilot)
        form = app.screen
        await pilot.press("f1")
        await until_shown("help: this dialog", pilot)
        text = screen_text(app)
        assert "Save" in text
        assert "Quit" not in text
        await pilot.press(*"cancel", "enter")
        await until(lambda: app.screen is app.frame, pilot)
        assert form is not app.screen


async def test_help_is_not_asked_for_help() -> None:
    app = make_app(NOTHING, look=Look(screen="overview"))
    async with running(app) as pilot:
        await pilot.press("f1")
        await until(lambda: isinstance(app.screen, Picker), pilot)
        first = app.screen
        await pilot.press("f1")
        await pilot.pause()
        assert app.screen is first
