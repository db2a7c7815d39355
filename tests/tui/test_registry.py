"""Every action can be reached by its key, from the palette and from the help."""

from typing import Any

import pytest

from conduit.tui.actions import APP_ACTIONS, with_those_of_app
from conduit.tui.places import PLACES
from conduit.tui.state.session import Look
from conduit.tui.widgets.dialogs.picker import Choice, Picker
from tests.tui.support import make_app, running, until

LOADED = [place.load() for place in PLACES]
ACTIONS = [*APP_ACTIONS, *(action for screen in LOADED for action in screen.ACTIONS)]


def test_no_two_actions_have_one_id() -> None:
    ids = [action.id for action in ACTIONS]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("screen", LOADED, ids=lambda screen: screen.PLACE)
def test_on_one_screen_no_key_means_two_things(screen: Any) -> None:
    keys = [key for action in with_those_of_app(screen.ACTIONS) for key in action.keys]
    keys += [place.key for place in PLACES if place.key]
    assert sorted(keys) == sorted(set(keys))


def test_only_undoing_leaves_its_key_to_screens_that_have_it_for_something_else() -> None:
    without = set()
    for screen in LOADED:
        now = {action.id: action.keys for action in with_those_of_app(screen.ACTIONS)}
        without |= {each.id for each in APP_ACTIONS if each.keys != now[each.id]}
    assert without == {"app.undo"}


@pytest.mark.parametrize("screen", LOADED, ids=lambda screen: screen.PLACE)
def test_every_action_belongs_to_its_screen_which_does_it(screen: Any) -> None:
    for action in screen.ACTIONS:
        assert action.owner == screen.PLACE
        assert callable(getattr(screen, action.method, None)), action.id


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
@pytest.mark.parametrize("opened_by", ["ctrl+p", "f1"])
async def test_all_that_can_be_done_here_is_in_the_palette_and_the_help(
    place: Any, opened_by: str
) -> None:
    app = make_app({}, look=Look(screen=place.name))
    async with running(app) as pilot:
        wanted = {action.id: action.shown_key for action in app.actions()}
        app.set_focus(None)
        await pilot.press(opened_by)
        await until(lambda: isinstance(app.screen, Picker), pilot)
        assert isinstance(app.screen, Picker)
        offered = {choice.id: choice.key for choice in app.screen._choices}
        assert wanted.items() <= offered.items()


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
async def test_each_key_runs_its_action(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app({}, look=Look(screen=place.name))
    async with running(app) as pilot:
        await until(lambda: app.frame.can_draw, pilot)
        run: list[str] = []
        monkeypatch.setattr(app, "perform", run.append)
        for action in app.actions():
            for key in action.keys:
                run.clear()
                app.set_focus(None)
                await pilot.press(key)
                await until(lambda: run, pilot)
                assert run == [action.id]


def test_a_choice_is_found_by_its_key_its_words_and_its_note() -> None:
    choice = Choice("x", "Delete the key", "D", ":keys delete")
    for text in ("delete", "KEY del", "d", "keys delete"):
        assert choice.matches(text.lower().split())
    assert not choice.matches(["nothing"])
