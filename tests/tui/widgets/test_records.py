"""What every list does, shown with one that has all the verbs."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import ModalScreen

from conduit.client.api import OPERATIONS
from conduit.client.errors import Unreachable
from conduit.tui.actions import RECORD_VERBS, listed
from conduit.tui.app import ConduitApp
from conduit.tui.state.session import DEFAULT_LOOK, Look
from conduit.tui.terminal import clipboard
from conduit.tui.widgets.dialogs.forms import Field, faults_of
from conduit.tui.widgets.dialogs.secrets import SecretDialog, SecretText
from conduit.tui.widgets.grid import Cell, Column, laid_out
from conduit.tui.widgets.records import Empty, RecordsScreen
from tests.tui.events import key
from tests.tui.support import (
    Answer,
    link_of,
    make_app,
    page,
    refusal,
    running,
    screen_text,
    until,
    until_said,
    until_shown,
)

SECRET = "condt_abcdefghijklmnopqrstuvwx1234"


def amount(text: str) -> str:
    if not text.replace(".", "", 1).isdigit():
        raise ValueError("an amount such as 5 or 12.50")
    return text


class ThingsScreen(RecordsScreen):
    """Keys, with a form of every kind of field."""

    PLACE = "things"
    TABLE = "keys"
    NOUN = "key"
    ACTIONS = listed("things", "key", RECORD_VERBS)
    EMPTY = Empty("There are no keys yet.", "conduit keys create NAME")
    COLUMNS = (
        Column("NAME", lambda row, _: row["name"], 12, grow=1, priority=0),
        Column(
            "STATE",
            lambda row, g: Cell(g.pill("good", "on") if row["enabled"] else g.pill("dim", "off")),
            6,
            priority=0,
        ),
    )

    async def do_add(self) -> None:
        async def submit(values: dict[str, Any]) -> Mapping[str, Any]:
            return await self.conduit.link.change("keys.create", body=values)

        fields = [
            Field("name", "Name", required=True),
            Field("limit", "Budget", check=amount),
            Field("enabled", "Enabled", True, kind="bool"),
            Field("mode", "Mode", "hard", kind="choice", choices=("hard", "soft")),
            Field("token", "Token", kind="secret"),
        ]
        made = await self.ask_form("add a key", fields, submit, verb="Create")
        if made is not None:
            dialog = SecretDialog("key", made["secret"], file_name="things.key")
            await self.conduit.push_screen_wait(dialog)


class SevereScreen(ThingsScreen):
    SEVERE = True


ROWS = [key("beta"), key("alpha"), key("gamma", enabled=False)]


@asynccontextmanager
async def listing(
    answers: Mapping[str, Answer] = {},
    *,
    screen: type[RecordsScreen] = ThingsScreen,
    connected: bool = True,
    look: Look = DEFAULT_LOOK,
) -> AsyncIterator[tuple[ConduitApp, Pilot[Any]]]:
    every = {"keys.list": page(*ROWS), "providers.list": page(), **answers}
    app = make_app(every, look=look, connected=connected)
    app.add_mode("things", screen)
    async with running(app) as pilot:
        app.go("things")
        await until(lambda: app.here == "things" and app.frame.can_draw, pilot)
        yield app, pilot


def list_of(app: ConduitApp) -> RecordsScreen:
    assert isinstance(app.frame, RecordsScreen)
    return app.frame


def shown(app: ConduitApp) -> list[str]:
    return [row["name"] for row in list_of(app).shown_rows()]


def changes(app: ConduitApp) -> list[tuple[str, tuple[str, ...], Any]]:
    return [call for call in link_of(app).calls if not OPERATIONS[call[0]].idempotent]


async def test_records_stand_in_the_order_of_the_gateway_until_they_are_sorted() -> None:
    async with listing() as (app, pilot):
        await until_shown("gamma", pilot)
        assert shown(app) == ["beta", "alpha", "gamma"]
        await pilot.press("s", "1")
        await until(lambda: shown(app) == ["alpha", "beta", "gamma"], pilot)
        await pilot.press("s", "1")
        await until(lambda: shown(app) == ["gamma", "beta", "alpha"], pilot)
        await pilot.press("s", "0")
        await until(lambda: shown(app) == ["beta", "alpha", "gamma"], pilot)


async def test_the_cursor_stays_on_its_record_when_others_come_and_go() -> None:
    async with listing() as (app, pilot):
        await until_shown("gamma", pilot)
        await pilot.press("down")
        assert list_of(app).grid.cursor_key == "key_alpha"
        app.store.fill("keys", [key("zeta"), *ROWS[1:]], epoch=app.store.epoch)
        await until_shown("zeta", pilot)
        assert list_of(app).grid.cursor_key == "key_alpha"
        app.store.drop("keys", "key_alpha", epoch=app.store.epoch)
        await until(lambda: list_of(app).grid.cursor_key == "key_gamma", pilot)


async def test_a_filter_hides_what_does_not_fit_and_escape_shows_all_again() -> None:
    async with listing() as (app, pilot):
        await until_shown("gamma", pilot)
        await pilot.press("slash", *"amm")
        await until(lambda: shown(app) == ["gamma"], pilot)
        await pilot.press(*"x")
        await until_shown("Nothing fits 'ammx'", pilot)
        await pilot.press("escape")
        await until(lambda: len(shown(app)) == 3, pilot)
        await pilot.press("down")
        assert list_of(app).grid.has_focus


async def test_marked_records_are_changed_together_each_with_its_version() -> None:
    def update(id: str, body: Any) -> Any:
        return {**key(id.removeprefix("key_")), "enabled": body["enabled"], "version": 2}

    async with listing({"keys.update": update}) as (app, pilot):
        await until_shown("gamma", pilot)
        await pilot.press("space", "space", "x")
        await until_shown("disabled 2 keys", pilot)
        assert changes(app) == [
            ("keys.update", ("key_beta",), {"enabled": False, "version": 1}),
            ("keys.update", ("key_alpha",), {"enabled": False, "version": 1}),
        ]
        assert not list_of(app).grid.marked


async def test_a_range_is_marked_from_the_nearest_marked_row() -> None:
    async with listing() as (app, pilot):
        await until_shown("gamma", pilot)
        grid = list_of(app).grid
        await pilot.press("V")
        assert grid.marked == {grid.key_at(0)}
        await pilot.press("end", "V")
        assert grid.marked == {grid.key_at(place) for place in range(grid.count())}


async def test_several_are_not_gone_on_with_at_another_gateway() -> None:
    async with listing({"keys.delete": {}}) as (app, pilot):
        await until_shown("gamma", pilot)
        first = link_of(app)
        await pilot.press("asterisk", "D")
        await until_shown("Delete 3 keys", pilot)

        def switch(id: str, body: Any) -> Any:
            app.link = app._linked()
            app.store.connectivity.connected()
            return {}

        first.answers["keys.delete"] = switch
        await pilot.press("y")
        await until_shown("stopped after 1 of 3", pilot)
        calls = [*first.calls, *link_of(app).calls]
        asked = [call[1] for call in calls if call[0] == "keys.delete"]
        assert asked == [("key_beta",)]


async def test_what_is_agreed_to_is_not_done_at_a_gateway_that_was_chosen_meanwhile() -> None:
    async with listing({"keys.delete": {}}) as (app, pilot):
        await until_shown("gamma", pilot)
        first = link_of(app)
        await pilot.press("D")
        await until_shown("Delete the key beta", pilot)
        app.link = app._linked()
        app.store.connectivity.connected()
        app.store.put("keys", ROWS[0], epoch=app.store.epoch)
        await pilot.press("y")
        await until_shown("stopped after 0 of 1", pilot)
        calls = [*first.calls, *link_of(app).calls]
        assert not [call for call in calls if call[0] == "keys.delete"]
        assert "key_beta" in app.store.table("keys").rows


async def test_a_conflict_is_told_with_the_record_and_changes_nothing_here() -> None:
    refused = refusal(409, "key beta is at version 2, not 1", "conflict")
    async with listing({"keys.update": refused}) as (app, pilot):
        await until_shown("gamma", pilot)
        await pilot.press("x")
        await until_said("beta is shown as it was: key beta is at version 2", pilot)
        assert app.store.table("keys").rows["key_beta"]["enabled"]
        assert app.store.messages[-1].request_id == "req_0000000000TEST"


async def test_deleting_asks_with_the_focus_on_cancel() -> None:
    async with listing({"keys.delete": {}}) as (app, pilot):
        await until_shown("gamma", pilot)
        await pilot.press("D")
        await until_shown("Delete the key beta?", pilot)
        await until(lambda: app.focused is not None and app.focused.id == "cancel", pilot)
        await pilot.press("enter")
        await until(lambda: app.screen is app.frame, pilot)
        assert not changes(app)
        await pilot.press("D")
        await until_shown("Delete the key beta?", pilot)
        await pilot.press("y")
        await until(lambda: shown(app) == ["alpha", "gamma"], pilot)
        assert changes(app) == [("keys.delete", ("key_beta",), None)]


async def test_what_is_severe_wants_the_name_typed() -> None:
    async with listing({"keys.delete": {}}, screen=SevereScreen) as (app, pilot):
        await until_shown("gamma", pilot)
        await pilot.press("D")
        await until_shown("Type beta to go on", pilot)
        await pilot.press(*"bet", "enter")
        await until_shown("that is not beta", pilot)
        assert not changes(app)
        await pilot.press("a", "enter")
        await until(lambda: shown(app) == ["alpha", "gamma"], pilot)


async def test_an_empty_list_names_the_key_and_the_command_that_fill_it() -> None:
    async with listing({"keys.list": page()}) as (app, pilot):
        await until_shown("There are no keys yet.", pilot)
        assert "Press a, or run: conduit keys create NAME" in screen_text(app)


async def test_a_slow_list_says_that_it_is_loading() -> None:
    every = make_app({"providers.list": page()})
    every.add_mode("things", ThingsScreen)
    async with running(every) as pilot:
        every.go("things")
        await until_shown("loading", pilot)


async def test_a_list_that_cannot_be_read_says_why_and_is_read_again_on_demand() -> None:
    async with listing({"keys.list": Unreachable("no answer within 15 s")}) as (app, pilot):
        await until_shown("no answer within 15 s", pilot)
        link_of(app).answers["keys.list"] = page(*ROWS)
        await pilot.press("r")
        await until_shown("gamma", pilot)


async def test_known_records_stay_when_reading_them_again_fails() -> None:
    async with listing() as (app, pilot):
        await until_shown("gamma", pilot)
        link_of(app).answers["keys.list"] = Unreachable("no answer within 15 s")
        await pilot.press("r")
        await until_shown("no answer within 15 s  (r reads again)", pilot)
        assert "gamma" in screen_text(app)


async def test_without_a_connection_nothing_is_changed() -> None:
    async with listing({"keys.delete": {}}) as (app, pilot):
        await until_shown("gamma", pilot)
        app.store.connectivity.lost("connection refused", 4)
        await until_shown("RETRY 1", pilot)
        await pilot.press("D")
        await until_shown("Delete the key: not connected", pilot)
        assert app.screen is app.frame
        assert not changes(app)


async def test_offline_from_the_start_says_so() -> None:
    every = make_app({}, connected=False)
    every.add_mode("things", ThingsScreen)
    async with running(every) as pilot:
        every.store.connectivity.lost("connection refused", 4)
        every.go("things")
        await until_shown("not connected to the gateway", pilot)


# Copying


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was sent to the terminal's clipboard."""
    texts: list[str] = []
    monkeypatch.setattr(clipboard, "_TOOLS", ())
    monkeypatch.setattr(ConduitApp, "copy_to_clipboard", lambda self, text: texts.append(text))
    return texts


@pytest.mark.parametrize(
    ("letter", "text"),
    [
        ("i", "key_beta"),
        ("n", "beta"),
        (
            "c",
            "curl -s http://gateway.invalid:5000/admin/keys/key_beta "
            '-H "Authorization: Bearer $CONDUIT_MASTER_KEY"',
        ),
    ],
)
async def test_a_record_is_copied_in_the_form_that_was_chosen(
    copied: list[str], letter: str, text: str
) -> None:
    async with listing() as (_, pilot):
        await until_shown("gamma", pilot)
        await pilot.press("y", letter)
        await until_shown("OSC 52", pilot)
        assert copied == [text]


def test_a_long_text_goes_into_a_file_of_its_owner() -> None:
    sent: list[str] = []
    outcome = clipboard.copy("x" * 80_000, sent.append, {})
    assert outcome.way == "file"
    assert not sent
    assert clipboard.copy_file().read_text() == "x" * 80_000
    assert clipboard.copy_file().stat().st_mode & 0o777 == 0o600


def test_a_tool_of_this_machine_comes_first_but_not_over_ssh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "wl-copy"
    tool.write_text(f'#!/bin/sh\ncat > "{tmp_path}/pasted"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    sent: list[str] = []
    environ = {"WAYLAND_DISPLAY": "wayland-0"}
    assert clipboard.copy("text", sent.append, environ).note == "copied with wl-copy"
    assert (tmp_path / "pasted").read_text() == "text"
    over_ssh = clipboard.copy("text", sent.append, {**environ, "SSH_CONNECTION": "x"})
    assert over_ssh.way == "osc52"
    assert sent == ["text"]


# Forms and secrets


async def test_a_form_checks_here_before_anything_is_sent() -> None:
    async with listing({"keys.create": {}}) as (app, pilot):
        await until_shown("gamma", pilot)
        await pilot.press("a")
        await until_shown("add a key", pilot)
        await pilot.press("ctrl+s")
        await until_shown("is needed", pilot)
        await pilot.press(*"ci", "tab", *"much", "tab")
        await until_shown("an amount such as 5 or 12.50", pilot)
        await pilot.press("ctrl+s")
        await until(lambda: app.focused is not None and app.focused.id == "field-limit", pilot)
        assert not changes(app)


async def test_what_the_gateway_refuses_stands_at_the_fields_it_names() -> None:
    refused = refusal(422, "name: is taken; budget.limit: too small; mode is odd")
    async with listing({"keys.create": refused}) as (_, pilot):
        await until_shown("gamma", pilot)
        await pilot.press("a")
        await until_shown("add a key", pilot)
        await pilot.press(*"ci", "ctrl+s")
        await until_shown("is taken", pilot)
        await until_shown("too small", pilot)
        await until_shown("mode is odd", pilot)


@pytest.mark.parametrize(
    ("message", "param", "by_field", "rest"),
    [
        ("name: is taken", "name", {"name": "is taken"}, ""),
        ("there is a key ci already", "name", {"name": "there is a key ci already"}, ""),
        ("name: none of a; b; c", "name", {"name": "none of a; b; c"}, ""),
        ("budget.limit: too small; x: odd", "budget.limit", {"limit": "too small"}, "x: odd"),
        ("x: odd; name: is taken", "x", {"name": "is taken"}, "x: odd"),
        ("x: odd", "x", {}, "x: odd"),
        ("name: is said in words", None, {}, "name: is said in words"),
        ("limits.0.limit: too small", "limits.0.limit", {}, "limits.0.limit: too small"),
        ("name.0.x: a: b", "name.0.x", {"name": "a: b"}, ""),
    ],
)
def test_a_refusal_is_taken_apart_by_field(
    message: str, param: str | None, by_field: dict[str, str], rest: str
) -> None:
    assert faults_of(message, {"name", "limit"}, param) == (by_field, rest)


async def test_a_form_with_something_typed_is_not_left_by_one_escape() -> None:
    async with listing() as (app, pilot):
        await until_shown("gamma", pilot)
        await pilot.press("a")
        await until_shown("add a key", pilot)
        await pilot.press(*"ci", "escape")
        await until_shown("Esc again discards", pilot)
        await pilot.press("escape")
        await until(lambda: app.screen is app.frame, pilot)
        assert not changes(app)


@asynccontextmanager
async def secret_shown() -> AsyncIterator[tuple[ConduitApp, Pilot[Any]]]:
    """A key has just been made with everything that the form takes."""
    made = {**key("ci"), "secret": SECRET}
    async with listing({"keys.create": made}) as (app, pilot):
        await until_shown("gamma", pilot)
        await pilot.press("a")
        await until_shown("add a key", pilot)
        await pilot.press(*"ci", "tab", *"5", "ctrl+s")
        await until_shown("shown once", pilot)
        sent = changes(app)[0][2]
        assert (sent["name"], sent["limit"], sent["mode"]) == ("ci", "5", "hard")
        yield app, pilot


async def test_a_new_secret_is_dots_until_it_is_revealed_and_never_in_the_store() -> None:
    async with secret_shown() as (app, pilot):
        assert SECRET not in screen_text(app)
        await pilot.press("q")
        await until_shown(SECRET, pilot)
        assert SECRET not in app.export_screenshot()
        await until_shown(SECRET, pilot)
        assert "secret" not in app.store.table("keys").rows["key_ci"]
        assert not [message for message in app.store.messages if SECRET in message.text]
        await pilot.press("q")
        await until(lambda: SECRET not in screen_text(app), pilot)


async def test_a_picture_hides_a_secret_beneath_another_dialog_too() -> None:
    async with secret_shown() as (app, pilot):
        await pilot.press("q")
        await until_shown(SECRET, pilot)
        await until_shown(SECRET, pilot)
        await app.push_screen(ModalScreen())
        await until_shown(SECRET, pilot)
        assert SECRET not in app.export_screenshot()
        await until_shown(SECRET, pilot)


async def test_a_secret_that_was_not_kept_is_closed_by_the_second_escape_only() -> None:
    async with secret_shown() as (app, pilot):
        await pilot.press("escape")
        await until_shown("neither copied nor saved", pilot)
        await pilot.press("escape")
        await until(lambda: app.screen is app.frame, pilot)
        assert not app.query(SecretText)


async def test_a_copied_secret_closes_at_once(copied: list[str]) -> None:
    async with secret_shown() as (app, pilot):
        await pilot.press("y")
        await until_shown("OSC 52", pilot)
        assert copied == [SECRET]
        await pilot.press("escape")
        await until(lambda: app.screen is app.frame, pilot)


async def test_a_secret_is_saved_for_its_owner_alone_and_never_over_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "things.key").write_text("precious")
    async with secret_shown() as (app, pilot):
        await pilot.press("s")
        await until(lambda: app.focused is not None, pilot)
        await pilot.press("enter")
        await until_shown("not saved: File exists", pilot)
        assert (tmp_path / "things.key").read_text() == "precious"
        await pilot.press("2", "enter")
        await until_shown("readable by you alone", pilot)
        saved = tmp_path / "things.key2"
        assert saved.read_text() == SECRET + "\n"
        assert saved.stat().st_mode & 0o777 == 0o600


# Columns


def columns(*widths: tuple[int, int, int]) -> list[Column]:
    return [
        Column(str(number), lambda row, _: "", width, grow=grow, priority=priority)
        for number, (width, grow, priority) in enumerate(widths)
    ]


@pytest.mark.parametrize(
    ("width", "laid"),
    [
        (40, {"0": 20, "1": 5, "2": 5}),
        (25, {"0": 11, "1": 5, "2": 5}),
        (20, {"0": 12, "1": 5}),
        (12, {"0": 10}),
    ],
)
def test_columns_that_do_not_fit_go_by_priority_and_the_rest_grows(
    width: int, laid: dict[str, int]
) -> None:
    found = laid_out(columns((10, 1, 0), (5, 0, 1), (5, 0, 2)), width)
    assert {column.title: cells for column, cells in found} == laid | (
        {"0": width - 2 - 12} if len(found) == 3 else {}
    )
