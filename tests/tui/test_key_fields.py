"""What the forms of keys and of groups ask for, beside what the admin API takes."""

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Checkbox, Select

from conduit.core.limits import KINDS
from conduit.core.resources.budgets import BudgetPatch, NewBudget
from conduit.core.resources.groups import GroupPatch, NewGroup
from conduit.core.resources.keys import KeyBudget, KeyPatch, KeyRotation, NewKey
from conduit.tui.app import ConduitApp
from conduit.tui.widgets.dialogs.forms import FormDialog
from tests.tui.allowed import group
from tests.tui.events import key, usage
from tests.tui.screens import at_field, fill, list_of, on_screen, sent
from tests.tui.support import Answer, page, refusal, screen_text, until, until_shown

SECRET = "condt_abcdefghijklmnopqrstuvwx1234"
KEPT = {"owner": "Ada", "ticket": 12}
NOTED: dict[str, Any] = {
    "allow_direct": True,
    "priority": True,
    "log_bodies": False,
    "metadata": KEPT,
}
DATA: dict[str, Answer] = {
    "keys.list": page(key("ci", limit="50", **NOTED), key("web")),
    "keys.usage": usage("ci"),
    "groups.list": page(group("eng", budgets=[])),
    "group_transactions.list": page(),
}
BUDGET = {"limit", "period", "timezone", "mode"}
ELSEWHERE = {"enabled", "version"}
"""What no form asks for: `x` switches, and the version goes along."""


def fields_of(app: ConduitApp) -> set[str]:
    """The names of the fields of the form that is shown, as the admin API calls them."""
    entries = app.screen.query("Input, Select, Checkbox")
    names = {str(entry.id).removeprefix("field-") for entry in entries}
    kinds = names & set(KINDS)
    return (names - kinds) | ({"limits"} if kinds else set())


@pytest.mark.parametrize(
    ("place", "keys", "wanted"),
    [
        ("keys", ["a"], set(NewKey.model_fields) - {"budget"} | set(KeyBudget.model_fields)),
        ("keys", ["e"], set(KeyPatch.model_fields) - ELSEWHERE | {"limit"}),
        ("keys", ["R"], set(KeyRotation.model_fields)),
        ("keys", ["b", "a"], set(NewBudget.model_fields) - {"scope"}),
        ("keys", ["b", "e"], set(BudgetPatch.model_fields) - ELSEWHERE),
        ("groups", ["a"], set(NewGroup.model_fields) - ELSEWHERE | BUDGET),
        ("groups", ["e"], set(GroupPatch.model_fields) - ELSEWHERE | {"limit"}),
    ],
)
async def test_a_form_asks_for_all_that_the_admin_api_takes(
    place: str, keys: list[str], wanted: set[str]
) -> None:
    async with on_screen(place, DATA) as (app, pilot):
        await pilot.press(*keys)
        await until(lambda: isinstance(app.screen, FormDialog), pilot)
        await until(lambda: app.screen.query("#field-limit, #field-grace_s"), pilot)
        assert fields_of(app) == wanted


async def choose(name: str, value: str, app: ConduitApp) -> None:
    app.screen.query_one(f"#field-{name}", Select).value = value


async def tick(name: str, app: ConduitApp, pilot: Pilot[Any]) -> None:
    box = app.screen.query_one(f"#field-{name}", Checkbox)
    before = box.value
    await at_field(name, app, pilot)
    await pilot.press("space")
    await until(lambda: box.value is not before, pilot)


async def test_what_is_kept_of_a_key_and_what_it_may_do_is_sent() -> None:
    made = {**key("new", **NOTED), "secret": SECRET}
    async with on_screen("keys", {**DATA, "keys.create": made}) as (app, pilot):
        await pilot.press("a")
        await until_shown("new key", pilot)
        await pilot.press(*"new")
        await tick("allow_direct", app, pilot)
        await tick("priority", app, pilot)
        await choose("log_bodies", "off", app)
        await fill("metadata", '{"owner": "Ada", "ticket": 12}', app, pilot)
        await until_shown("Metadata", pilot)  # the form has scrolled to its end
        await pilot.press("enter")
        await until_shown("shown once", pilot)
        assert sent(app, "keys.create")[0][2] == {"name": "new", **NOTED}


async def test_what_is_taken_from_a_key_is_sent_as_nothing() -> None:
    changed = key("ci", limit="50", version=2)
    async with on_screen("keys", {**DATA, "keys.update": changed}) as (app, pilot):
        await pilot.press("e")
        await until_shown("key ci, version 1", pilot)
        await tick("allow_direct", app, pilot)
        await tick("priority", app, pilot)
        await choose("log_bodies", "default", app)
        await fill("metadata", "none", app, pilot)
        await pilot.press("ctrl+s")
        await until_shown("changed ci", pilot)
        nothing: dict[str, Any] = {
            "allow_direct": False,
            "priority": False,
            "log_bodies": None,
            "metadata": {},
        }
        assert sent(app, "keys.update")[0][2] == {**nothing, "version": 1}


async def test_a_form_that_nothing_was_changed_in_sends_nothing() -> None:
    async with on_screen("keys", DATA) as (app, pilot):
        await pilot.press("e")
        await until_shown("key ci, version 1", pilot)
        await pilot.press("ctrl+s")
        await until(lambda: app.screen is app.frame, pilot)
        assert not sent(app, "keys.update")


@pytest.mark.parametrize("typed", ["owner", "[1]", "12", '{"a": NaN}', '{"a": 1'])
async def test_metadata_that_is_no_object_is_said_before_it_is_sent(typed: str) -> None:
    async with on_screen("keys", DATA) as (app, pilot):
        await pilot.press("a")
        await until_shown("new key", pilot)
        await pilot.press(*"new")
        await fill("metadata", typed, app, pilot)
        await pilot.press("ctrl+s")
        await until_shown("a JSON object is expected", pilot)
        assert app.focused is not None
        assert app.focused.id == "field-metadata"
        assert not sent(app, "keys.create")


async def test_the_first_wrong_field_is_shown_wherever_the_form_stands() -> None:
    async with on_screen("keys", DATA) as (app, pilot):
        await pilot.press("a")
        await until_shown("new key", pilot)
        await fill("metadata", "owner", app, pilot)
        await pilot.press("ctrl+s")
        await until(lambda: app.focused is not None and app.focused.id == "field-name", pilot)
        await until_shown("is needed", pilot)


@pytest.mark.parametrize(
    ("param", "message", "field"),
    [
        ("metadata", "metadata: is at most 8192 bytes of JSON", "metadata"),
        ("budget.limit", "budget.limit: is too much", "limit"),
        ("name", "a deleted key is called so; choose another name", "name"),
    ],
)
async def test_what_the_gateway_refuses_stands_at_the_field_that_its_error_names(
    param: str, message: str, field: str
) -> None:
    refused = refusal(422, message, "validation_failed", param)
    async with on_screen("keys", {**DATA, "keys.create": refused}) as (app, pilot):
        await pilot.press("a")
        await until_shown("new key", pilot)
        await pilot.press(*"new", "ctrl+s")
        await until(lambda: app.focused is not None and app.focused.id == f"field-{field}", pilot)
        await until_shown(message.removeprefix(f"{param}: "), pilot)


async def test_the_pane_tells_what_is_kept_of_a_key_and_what_it_may_do() -> None:
    async with on_screen("keys", DATA, "120x40") as (app, pilot):
        told = ["provider/model too", "reserved slots", "not kept", '{"owner": "Ada"']
        await until(shows(app, told), pilot)
        assert list_of(app).open_record("web")
        await until_shown("no budget", pilot)
        await until(lambda: "reserved slots" not in screen_text(app), pilot)


def shows(app: ConduitApp, told: list[str]) -> Callable[[], bool]:
    return lambda: all(text in screen_text(app) for text in told)
