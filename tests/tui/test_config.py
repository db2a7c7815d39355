"""The screen of the gateway's settings."""

from typing import Any

import pytest
from textual.pilot import Pilot

from conduit.tui.app import ConduitApp
from conduit.tui.screens.config import ConfigScreen
from tests.tui.made import setting
from tests.tui.screens import STATES, back, in_state, on_screen, sent
from tests.tui.snapshots import assert_looks
from tests.tui.support import (
    SIZES,
    TARGET,
    Answer,
    link_of,
    page,
    refusal,
    screen_text,
    until,
    until_said,
    until_shown,
)

FILE = "file /etc/conduit/gateway.toml"
SETTINGS = (
    setting("max_attempts", 3),
    setting("log_level", "info", FILE),
    setting("workers", 2, FILE, restart_needed=True),
    setting("port", 5000, "env CONDUIT_PORT", settable=False, restart_needed=True),
    setting("master_key", "***", "file master.key", settable=False),
    setting("log_bodies", False),
    setting("default_price", None),
)
DATA: dict[str, Answer] = {
    "config.list": page(*SETTINGS),
    "config.update": {"changed": ["max_attempts"], "restart_needed": ["workers"]},
    "config.reload": {"changed": [], "restart_needed": []},
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", STATES)
async def test_it_looks_as_it_was_looked_at(state: str, size: str) -> None:
    async with in_state("config", state, DATA, size) as (app, pilot):
        if state == "data":
            await enter(app, pilot, "5")
        await assert_looks(pilot, f"config-{size}-{state}")


async def test_differences_look_as_they_were_looked_at() -> None:
    async with on_screen("config", DATA) as (app, pilot):
        await enter(app, pilot, "5")
        await pilot.press("w")
        await until_shown("Apply this setting?", pilot)
        await assert_looks(pilot, "config-80x24-differences")


def screen_of(app: ConduitApp) -> ConfigScreen:
    assert isinstance(app.frame, ConfigScreen)
    return app.frame


async def enter(app: ConduitApp, pilot: Pilot[Any], text: str) -> None:
    """Change the setting under the cursor."""
    await pilot.press("e")
    await until(lambda: app.screen is not app.frame, pilot)
    app.screen.query_one("#field-value").value = text  # type: ignore[attr-defined]
    await pilot.press("ctrl+s")
    await back(app, pilot)


async def test_a_change_is_seen_before_it_is_sent_and_then_told() -> None:
    async with on_screen("config", DATA) as (app, pilot):
        await enter(app, pilot, "5")
        await until_shown("3 \u2192 5", pilot)
        await until_shown("1 not applied", pilot)
        assert not sent(app, "config.update")
        await pilot.press("w")
        await until_shown("max_attempts: 3 \u2192 5", pilot)
        assert not sent(app, "config.update")
        await pilot.press("y")
        await until(lambda: sent(app, "config.update"), pilot)
        expected = {"max_attempts": 3}
        assert sent(app, "config.update")[0][2] == {
            "values": {"max_attempts": 5},
            "expected": expected,
        }
        await until_said("restart the gateway for workers", pilot)
        assert not screen_of(app).draft.values


async def test_what_is_not_applied_stays_when_another_screen_is_shown_and_is_asked_about() -> None:
    async with on_screen("config", DATA) as (app, pilot):
        await enter(app, pilot, "5")
        await pilot.press("f8")
        await until(lambda: app.here == "overview", pilot)
        await pilot.press("ctrl+q")
        await until_shown("1 changed settings are not applied", pilot)
        await pilot.press("n")
        await back(app, pilot)
        await pilot.press("f9")
        await until_shown("3 \u2192 5", pilot)
        await pilot.press("u")
        await until(lambda: "3 \u2192 5" not in screen_text(app), pilot)


async def test_what_is_refused_is_told_and_not_lost() -> None:
    refused = refusal(422, "max_attempts: at most 10", "invalid_request")
    async with on_screen("config", {**DATA, "config.update": refused}) as (app, pilot):
        await enter(app, pilot, "50")
        await pilot.press("w")
        await until_shown("max_attempts: 3 \u2192 50", pilot)
        await pilot.press("y")
        await until_said("at most 10", pilot)
        assert screen_of(app).draft.values == {"max_attempts": 50}


async def test_the_differences_are_to_what_the_gateway_says_now() -> None:
    async with on_screen("config", DATA) as (app, pilot):
        await enter(app, pilot, "5")
        now = page(setting("max_attempts", 4), *SETTINGS[1:])
        link_of(app).answers["config.list"] = now
        await pilot.press("w")
        await until_shown("max_attempts: 4 \u2192 5", pilot)
        await pilot.press("n")
        await back(app, pilot)
        link_of(app).answers["config.list"] = page(setting("max_attempts", 5), *SETTINGS[1:])
        await pilot.press("w")
        await until_said("the settings are that way already", pilot)
        assert not sent(app, "config.update")


async def test_a_setting_of_the_file_is_taken_out_of_it() -> None:
    async with on_screen("config", DATA) as (app, pilot):
        await pilot.press("down", "D")
        await until_shown("info \u2192 default", pilot)
        await pilot.press("w")
        await until_shown("log_level: info \u2192 its default", pilot)
        await pilot.press("y")
        await until(lambda: sent(app, "config.update"), pilot)
        expected = {"log_level": "info"}
        assert sent(app, "config.update")[0][2] == {
            "values": {"log_level": None},
            "expected": expected,
        }


@pytest.mark.parametrize(
    ("downs", "verb", "reason"),
    [
        (0, "unset", "it does not stand in the settings file"),
        (0, "apply", "nothing has been changed here"),
        (0, "undo", "this setting was not changed here"),
        (3, "edit", "given by env CONDUIT_PORT, which counts before the settings file"),
        (4, "edit", "only where the gateway is started: it opens the gateway or its data"),
    ],
)
async def test_what_cannot_be_done_says_why(downs: int, verb: str, reason: str) -> None:
    async with on_screen("config", DATA) as (app, pilot):
        await pilot.press(*["down"] * downs)
        await until(lambda: screen_of(app).row == SETTINGS[downs], pilot)
        action = next(each for each in app.actions() if each.id == f"config.{verb}")
        assert app.why_not(action) == reason


async def test_a_number_stays_one() -> None:
    async with on_screen("config", DATA) as (app, pilot):
        await pilot.press("e")
        await until(lambda: app.screen is not app.frame, pilot)
        app.screen.query_one("#field-value").value = "many"  # type: ignore[attr-defined]
        await pilot.press("ctrl+s")
        await until_shown("a number is expected", pilot)


async def test_a_strict_context_wants_its_name_typed() -> None:
    async with on_screen("config", DATA) as (app, pilot):
        app.target = type(TARGET)(**{**_fields(app.target), "confirm_typed": True})
        await enter(app, pilot, "5")
        await pilot.press("w")
        await until_shown("Type prod to go on", pilot)
        await pilot.press(*"prod", "enter")
        await until(lambda: sent(app, "config.update"), pilot)


def _fields(target: Any) -> dict[str, Any]:
    return {name: getattr(target, name) for name in target.__dataclass_fields__}


async def test_a_reload_says_what_it_changed() -> None:
    async with on_screen("config", DATA) as (app, pilot):
        await pilot.press("R")
        await until_said("nothing in force has changed", pilot)
        assert sent(app, "config.reload")


async def test_a_setting_is_found_by_the_command_line() -> None:
    async with on_screen("config", DATA) as (app, pilot):
        app.run_line("config workers")
        await until_shown("after a restart", pilot)
        assert screen_of(app).row == SETTINGS[2]
