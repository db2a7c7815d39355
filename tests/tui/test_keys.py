"""The screen of virtual keys."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Select

from conduit.tui.app import ConduitApp
from conduit.tui.state.allowances import expiry, grace, names
from conduit.tui.state.session import Look
from conduit.tui.widgets.keys.kinds import Kinds
from tests.tui.allowed import group, limit, spent_by_day
from tests.tui.events import event, key, mapping, usage
from tests.tui.screens import (
    REFUSED,
    STATES,
    assert_kept_nowhere,
    back,
    fill,
    in_state,
    list_of,
    on_screen,
    sent,
)
from tests.tui.snapshots import assert_looks
from tests.tui.support import (
    SIZES,
    Answer,
    link_of,
    make_app,
    page,
    refusal,
    running,
    screen_text,
    until,
    until_shown,
)

SECRET = "condt_abcdefghijklmnopqrstuvwx1234"
USED = usage(
    "ci",
    {"group": "gpt-4o", "requests": 1_100, "input_tokens": 2_204_000, "cost": "12.50"},
    {"group": "claude-sonnet", "requests": 104, "output_tokens": 4_310, "cost": "0.40"},
    requests=1_204,
    failed=3,
    cost="12.90",
)
ENG = {"group": "eng", "group_id": "group_eng"}
KEYS = page(
    key(
        "ci",
        limit="50",
        spent="41.00",
        last_used_at="2026-11-20T22:02:09Z",
        limits=[limit("concurrent", 8), limit("rpm", 60, 58, burst=20)],
        allowed_ips=["10.0.0.0/8"],
        tags={"team": "a", "env": "ci"},
        **ENG,
    ),
    key("web", limit="99", spent="12.90", expires_at="2026-11-25T10:00:00Z", **ENG),
    key("demo", limit="5", spent="5.00", allowed_models=["gpt-4o", "claude-*"]),
    key("gone", state="expired", expires_at="2026-11-01T10:00:00Z"),
    key("old", enabled=False),
)
MAPPINGS = page(mapping("gpt-4o"), mapping("claude-sonnet"))
GROUPS = page(group("eng", keys=2), group("batch", enabled=False))
DAYS = spent_by_day(d02="0.40", d17="4.10", d18="1.20", d19="3.00", d20="2.20")
DATA: dict[str, Answer] = {
    "keys.list": KEYS,
    "keys.usage": USED,
    "mappings.list": MAPPINGS,
    "groups.list": GROUPS,
    "usage.show": DAYS,
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", STATES)
async def test_it_looks_as_it_was_looked_at(state: str, size: str) -> None:
    async with in_state("keys", state, DATA, size) as (_, pilot):
        await assert_looks(pilot, f"keys-{size}-{state}")


async def test_a_key_in_full_looks_as_it_was_looked_at() -> None:
    async with on_screen("keys", DATA) as (_, pilot):
        await pilot.press("enter")
        await until_shown("1,204, 3 failed", pilot)
        await assert_looks(pilot, "keys-80x24-detail")


# The list


async def test_a_key_shows_its_state_as_a_word_and_its_budget_as_a_share() -> None:
    async with on_screen("keys", DATA) as (app, pilot):
        await until_shown("old", pilot)
        lines = screen_text(app).splitlines()
        shown = {line.split()[1 if line[0] == "\u203a" else 0]: line for line in lines[4:9]}
        assert "active" in shown["ci"]
        assert "$41.00 / $50.00" in shown["ci"]
        assert "82%" in shown["ci"]
        assert "2s" in shown["ci"]
        assert "4d" in shown["web"]
        assert "spent" in shown["demo"]
        assert "100%" in shown["demo"]
        assert "expired" in shown["gone"]
        assert "off" in shown["old"]
        assert "no budget" in shown["old"]


async def test_in_ascii_no_state_is_cut() -> None:
    app = make_app(DATA, look=Look(screen="keys", ascii=True))
    async with running(app) as pilot:
        await until_shown("XX expired", pilot)
        assert screen_text(app).isascii()


async def test_keys_are_sorted_by_what_they_spent_and_not_by_its_letters() -> None:
    rows = page(key("a", limit="90", spent="9"), key("b", limit="90", spent="41"), key("c"))
    async with on_screen("keys", {"keys.list": rows}) as (app, pilot):
        await pilot.press("s", "4")
        await until(lambda: [r["name"] for r in list_of(app).shown_rows()] == [*"cab"], pilot)


async def test_the_title_counts_keys_and_marks() -> None:
    async with on_screen("keys", DATA) as (_, pilot):
        await until_shown("5 keys", pilot)
        await pilot.press("space", "space")
        await until_shown("2 marked", pilot)
        await pilot.press("slash", *"web")
        await until_shown("1 of 5 keys", pilot)


# In full


async def test_enter_shows_the_key_with_its_usage_and_escape_goes_back() -> None:
    async with on_screen("keys", DATA) as (app, pilot):
        await pilot.press("down", "down", "enter")
        await until_shown("gpt-4o, claude-*", pilot)
        await until_shown("1,204, 3 failed", pilot)
        assert sent(app, "keys.usage")[-1][1] == ("key_demo",)
        await pilot.press("escape")
        await until_shown("SPENT / BUDGET", pilot)
        assert list_of(app).grid.has_focus


async def test_usage_is_read_again_when_the_key_was_used() -> None:
    async with on_screen("keys", DATA, "120x40") as (app, pilot):
        await until_shown("1,204, 3 failed", pilot)
        link_of(app).answers["keys.usage"] = usage("ci", requests=1_205)
        now = key("ci", limit="50", spent="41.10", last_used_at="2026-11-20T22:02:10Z")
        app.store.put("keys", now, epoch=app.store.epoch)
        await until_shown("1,205", pilot)


async def test_usage_that_cannot_be_read_says_why_in_the_pane() -> None:
    refused = refusal(500, "the database is busy", "unavailable")
    async with on_screen("keys", {**DATA, "keys.usage": refused}, "120x40") as (app, pilot):
        await until_shown("the database is busy", pilot)
        link_of(app).answers["keys.usage"] = USED
        await pilot.press("r")
        await until_shown("1,204, 3 failed", pilot)


async def test_the_former_secret_is_told_of_as_long_as_it_is_good() -> None:
    rows = page(key("ci", former_expires_at="2026-11-21T22:02:11Z"))
    async with on_screen("keys", {**DATA, "keys.list": rows}, "120x40") as (_, pilot):
        await until_shown("good until 2026-11-21", pilot)


# Making one


async def create(app: ConduitApp, pilot: Pilot[Any]) -> None:
    """Fill the form for a key called `new`."""
    await pilot.press("a")
    await until_shown("new key", pilot)
    await pilot.press(*"new", "tab", *"12.5")
    await fill("allowed_models", "gpt-4o,cl", app, pilot)
    await until_shown("gpt-4o,claude-sonnet", pilot)
    await pilot.press("right")
    await fill("expires_at", "30d", app, pilot)


async def test_a_key_is_made_from_what_was_typed_and_its_secret_shown_once() -> None:
    made = {**key("new", limit="12.50"), "secret": SECRET}
    async with on_screen("keys", {**DATA, "keys.create": made}) as (app, pilot):
        await create(app, pilot)
        await assert_looks(pilot, "keys-80x24-form")
        await pilot.press("ctrl+s")
        await until_shown("shown once", pilot)
        body = sent(app, "keys.create")[0][2]
        expires = datetime.fromisoformat(body.pop("expires_at"))
        assert abs(expires - datetime.now(UTC) - timedelta(days=30)) < timedelta(hours=1)
        assert body == {
            "name": "new",
            "budget": {"limit": "12.50", "period": "total", "mode": "hard"},
            "allowed_models": ["gpt-4o", "claude-sonnet"],
        }
        await assert_looks(pilot, "keys-80x24-secret")
        await pilot.press("q")
        await until_shown(SECRET, pilot)
        assert_kept_nowhere(app, SECRET)
        await pilot.press("escape", "escape")
        await back(app, pilot)
        assert SECRET not in screen_text(app)
        assert_kept_nowhere(app, SECRET)
        assert list_of(app).grid.cursor_key == "key_new"


async def test_what_the_gateway_says_of_a_field_stands_below_it() -> None:
    refused = refusal(422, "budget.limit: too much; name: is taken", "invalid")
    async with on_screen("keys", {**DATA, "keys.create": refused}) as (app, pilot):
        await create(app, pilot)
        await pilot.press("ctrl+s")
        await until_shown("is taken", pilot)
        await until_shown("too much", pilot)
        await until(lambda: app.focused is not None and app.focused.id == "field-name", pilot)


@pytest.mark.parametrize(
    ("field", "typed", "fault"),
    [
        ("limit", "much", "not an amount in USD"),
        ("timezone", "Mars/Olympus", "no time zone is called so"),
        ("group", "sales", "no group is called 'sales'"),
        ("allowed_models", "gpt-4o claude", "a comma is needed between names"),
        ("rpm", "many", "a whole number such as 50, 100k or 1M"),
        ("rpm", "10,burst=20", "a burst is at most the limit"),
        ("concurrent", "5,burst=2", "says nothing of a limit"),
        ("expires_at", "soon", "neither a time"),
        ("expires_at", "2020-01-31", "that is past already"),
        ("allowed_ips", "10.0.0.1/8", "10.0.0.0/8 is meant?"),
        ("allowed_ips", "10.0.0", "is no address and no network"),
        ("tags", "team", "name=value is expected"),
    ],
)
async def test_what_cannot_be_meant_is_said_before_it_is_sent(
    field: str, typed: str, fault: str
) -> None:
    async with on_screen("keys", DATA) as (app, pilot):
        await pilot.press("a")
        await until_shown("new key", pilot)
        await pilot.press(*"new")
        await fill(field, typed, app, pilot)
        await pilot.press("shift+tab")  # said as the field is left
        await until_shown(fault, pilot)
        await pilot.press("ctrl+s")
        await until(lambda: app.focused is not None and app.focused.id == f"field-{field}", pilot)
        assert not sent(app, "keys.create")


async def test_all_that_a_key_may_do_is_sent_as_the_gateway_takes_it() -> None:
    made = {**key("new"), "secret": SECRET}
    typed = {
        "limit": "12.5",
        "timezone": "Europe/Berlin",
        "group": "eng",
        "rpm": "60,burst=20",
        "tpm": "100000,shadow",
        "rpd": "5000",
        "tpd": "2000000,closed",
        "concurrent": "8",
        "allowed_ips": "10.0.0.0/8, 203.0.113.7",
        "tags": "team=a, env=ci",
    }
    async with on_screen("keys", {**DATA, "keys.create": made}) as (app, pilot):
        await pilot.press("a")
        await until_shown("new key", pilot)
        await pilot.press(*"new")
        for name, text in typed.items():
            await fill(name, text, app, pilot)
        app.screen.query_one("#field-period", Select).value = "month"
        await pilot.press("ctrl+s")
        await until_shown("shown once", pilot)
        usual = {"burst": None, "shadow": False, "on_store_down": "degrade"}
        assert sent(app, "keys.create")[0][2] == {
            "name": "new",
            "group": "eng",
            "allowed_ips": ["10.0.0.0/8", "203.0.113.7/32"],
            "tags": {"team": "a", "env": "ci"},
            "limits": [
                {**usual, "kind": "rpm", "limit": 60, "burst": 20},
                {**usual, "kind": "tpm", "limit": 100_000, "shadow": True},
                {**usual, "kind": "rpd", "limit": 5_000},
                {**usual, "kind": "tpd", "limit": 2_000_000, "on_store_down": "closed"},
                {**usual, "kind": "concurrent", "limit": 8},
            ],
            "budget": {
                "limit": "12.50",
                "period": "month",
                "timezone": "Europe/Berlin",
                "mode": "hard",
            },
        }


async def test_a_form_is_not_left_while_its_answer_is_on_the_way() -> None:
    async with on_screen("keys", DATA) as (app, pilot):
        await pilot.press("a")
        await until_shown("new key", pilot)
        await pilot.press(*"new", "ctrl+s")
        await until(lambda: sent(app, "keys.create"), pilot)
        await pilot.press("escape", "escape")
        await until_shown("wait: the gateway has been asked", pilot)
        assert app.screen is not app.frame


# Changing one


async def test_only_what_was_changed_is_sent_with_the_version() -> None:
    changed = key("ci", limit="50", spent="41.00", allowed_models=["gpt-4o"], version=2)
    async with on_screen("keys", {**DATA, "keys.update": changed}) as (app, pilot):
        await pilot.press("e")
        await until_shown("key ci, version 1", pilot)
        await fill("allowed_models", "gpt-4o", app, pilot)
        await pilot.press("ctrl+s")
        await until_shown("changed ci", pilot)
        body = {"allowed_models": ["gpt-4o"], "version": 1}
        assert sent(app, "keys.update") == [("keys.update", ("key_ci",), body)]
        assert not sent(app, "budgets.update")


@pytest.mark.parametrize(
    ("row", "typed", "operation", "body"),
    [
        ("ci", "75", "budgets.update", {"limit": "75.00", "version": 1}),
        ("ci", "", "budgets.delete", None),
        (
            "gone",
            "5",
            "budgets.create",
            {"scope": {"kind": "key", "id": "key_gone"}, "limit": "5.00", "period": "total"},
        ),
    ],
)
async def test_a_budget_is_changed_taken_away_or_given(
    row: str, typed: str, operation: str, body: Any
) -> None:
    answers = {**DATA, operation: {}, "keys.show": key(row, limit="75", version=1)}
    async with on_screen("keys", answers) as (app, pilot):
        assert list_of(app).open_record(row)
        await pilot.press("e")
        await until_shown(f"key {row}, version 1", pilot)
        await pilot.press("tab", "ctrl+u", *typed, "ctrl+s")
        await until_shown(f"changed {row}", pilot)
        assert [call[2] for call in sent(app, operation)] == [body]
        assert not sent(app, "keys.update")


async def test_a_budget_that_is_refused_after_its_key_was_saved_is_told_as_that() -> None:
    answers = {
        **DATA,
        "keys.update": key("ci2", limit="50", version=2),
        "budgets.update": refusal(422, "limit: too much", "invalid"),
    }
    async with on_screen("keys", answers) as (app, pilot):
        await pilot.press("e")
        await until_shown("key ci, version 1", pilot)
        await pilot.press("end", "2")
        await fill("limit", "75", app, pilot)
        await pilot.press("ctrl+s")
        await until_shown("the key is saved, its budget is not: limit: too much", pilot)


async def test_escape_in_the_list_shows_all_rows_again() -> None:
    async with on_screen("keys", DATA) as (app, pilot):
        await pilot.press("slash", *"web", "enter")
        await until(lambda: list_of(app).grid.has_focus, pilot)
        assert len(list_of(app).shown_rows()) == 1
        await pilot.press("enter", "escape")
        assert len(list_of(app).shown_rows()) == 1
        await pilot.press("escape")
        await until(lambda: len(list_of(app).shown_rows()) == 5, pilot)


async def test_a_name_that_is_taken_is_said_at_its_field_and_the_list_read_again() -> None:
    refused = refusal(409, "there is a key ci2 already", "conflict", param="name")
    answers = {**DATA, "keys.update": refused, "keys.show": KEYS["data"][0]}
    async with on_screen("keys", answers) as (app, pilot):
        await pilot.press("e")
        await until_shown("key ci, version 1", pilot)
        reads = len(sent(app, "keys.list"))
        await pilot.press("end", "2", "ctrl+s")
        await until_shown("there is a key ci2 already", pilot)
        assert app.focused is not None
        assert app.focused.id == "field-name"
        await until(lambda: len(sent(app, "keys.list")) > reads, pilot)
        assert app.screen is not app.frame


async def test_marked_keys_of_both_states_are_switched_into_the_one_that_is_chosen() -> None:
    def update(id: str, body: Any) -> Any:
        return key(id.removeprefix("key_"), enabled=body["enabled"], version=2)

    async with on_screen("keys", {**DATA, "keys.update": update}) as (app, pilot):
        await pilot.press("asterisk", "x")
        await until_shown("all 5 keys", pilot)
        await pilot.press("d")
        await until_shown("Disable 4 keys?", pilot)
        assert not sent(app, "keys.update")
        await pilot.press("y")
        await until_shown("disabled 4 keys", pilot)
        assert {call[1][0] for call in sent(app, "keys.update")} == {
            "key_ci",
            "key_web",
            "key_demo",
            "key_gone",
        }


# Rotating, resetting, deleting


async def test_rotating_gives_a_new_secret_and_says_what_becomes_of_the_former() -> None:
    made = {**key("ci", former_expires_at="2026-11-21T22:02:11Z"), "secret": SECRET}
    async with on_screen("keys", {**DATA, "keys.rotate": made}) as (app, pilot):
        await pilot.press("R")
        await until_shown("rotate key ci", pilot)
        await pilot.press(*"24h", "enter")
        await until_shown("The former secret ends in 1d", pilot)
        assert not sent(app, "keys.rotate")
        await pilot.press("y")
        await until_shown("The former secret is good until 2026-11-21 22:02:11Z", pilot)
        assert sent(app, "keys.rotate") == [("keys.rotate", ("key_ci",), {"grace_s": 86_400})]
        assert_kept_nowhere(app, SECRET)


async def test_rotating_without_grace_ends_the_former_secret() -> None:
    made = {**key("ci"), "secret": SECRET}
    async with on_screen("keys", {**DATA, "keys.rotate": made}) as (app, pilot):
        await pilot.press("R")
        await until_shown("rotate key ci", pilot)
        await pilot.press("ctrl+s")
        await until_shown("former secret is refused at once", pilot)
        await pilot.press("escape")
        await until_shown("nothing was sent", pilot)
        assert not sent(app, "keys.rotate")
        await pilot.press("ctrl+s")
        await until_shown("Type ci to go on", pilot)
        await pilot.press(*"ci", "enter")
        await until_shown("The former secret has ended", pilot)
        assert sent(app, "keys.rotate")[0][2] == {"grace_s": 0}


async def test_resetting_names_the_sum_asks_and_shows_the_key_anew() -> None:
    answers = {**DATA, "budgets.reset_spend": {}, "keys.show": key("ci", limit="50")}
    async with on_screen("keys", answers) as (app, pilot):
        await pilot.press("z")
        await until_shown("$41.00 of $50.00 in all: it", pilot)
        await pilot.press("n")
        await back(app, pilot)
        assert not sent(app, "budgets.reset_spend")
        await pilot.press("z")
        await until_shown("Reset what ci spent?", pilot)
        await pilot.press("y")
        await until_shown("$0.00 / $50.00", pilot)
        assert sent(app, "budgets.reset_spend")[0][1] == ("budget_ci",)


async def test_drawing_the_frame_does_not_go_through_all_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with on_screen("keys", DATA) as (app, pilot):
        screen: Any = list_of(app)
        line, table = screen.query_one(Kinds), app.store.table("keys")
        await until_shown("budgeted", pilot)
        before = line.pieces()
        monkeypatch.setattr(screen, "shown_rows", lambda: pytest.fail("all rows were read"))
        reset = next(action for action in screen.ACTIONS if action.verb == "reset-spend")
        assert screen.why_not(reset) is None
        monkeypatch.undo()
        unread = dict(table.rows)
        table.rows.clear()  # without a revision nobody looks
        assert line.pieces() == before
        table.rows.update(unread)
        app.store.drop("keys", "key_ci", epoch=app.store.epoch)
        assert line.pieces() != before


async def test_a_key_without_a_budget_has_nothing_to_reset() -> None:
    async with on_screen("keys", DATA) as (_, pilot):
        await pilot.press("end", "z")
        await until_shown("there is no budget", pilot)


async def test_deleting_wants_the_name_typed() -> None:
    async with on_screen("keys", {**DATA, "keys.delete": {}}) as (app, pilot):
        await pilot.press("D")
        await until_shown("Type ci to go on", pilot)
        await pilot.press(*"no", "enter")
        await until_shown("that is not ci", pilot)
        assert not sent(app, "keys.delete")
        await pilot.press("ctrl+u", *"ci", "enter")
        await until_shown("deleted ci", pilot)
        assert sent(app, "keys.delete") == [("keys.delete", ("key_ci",), None)]
        assert "key_ci" not in app.store.table("keys").rows


# Refusals


async def test_a_refused_master_key_is_shown_in_the_title() -> None:
    async with on_screen("keys", {**DATA, "keys.update": REFUSED}) as (app, pilot):
        await pilot.press("x")
        await until_shown("AUTH FAILED", pilot)
        assert app.store.table("keys").rows["key_ci"]["enabled"]
        await pilot.press("x")
        await until_shown("the gateway refused the master key", pilot)
        assert len(sent(app, "keys.update")) == 1


@pytest.mark.parametrize("pressed", ["a", "e", "x", "D", "R", "z", "m", "T"])
async def test_without_a_connection_nothing_is_changed_and_the_reason_said(pressed: str) -> None:
    async with on_screen("keys", DATA) as (app, pilot):
        app.store.connectivity.lost("connection refused", 4)
        await pilot.press(pressed)
        await until_shown("not connected to the gateway", pilot)
        assert app.screen is app.frame
        assert not [call for call in link_of(app).calls if not call[0].endswith(".list")]


async def test_a_connection_that_is_lost_over_a_form_keeps_what_was_typed() -> None:
    async with on_screen("keys", DATA) as (app, pilot):
        await create(app, pilot)
        app.store.connectivity.lost("connection refused", 4)
        await pilot.press("ctrl+s")
        await until_shown("not sent: not connected to the gateway", pilot)
        assert not sent(app, "keys.create")
        assert "gpt-4o,claude-sonnet" in screen_text(app)


async def test_a_key_that_another_operator_made_appears() -> None:
    async with on_screen("keys", DATA) as (app, pilot):
        link_of(app).answers["keys.list"] = page(*KEYS["data"], key("theirs"))
        link_of(app)._note_changes([event(1, "key.created", {"id": "key_theirs"})])
        await until_shown("theirs", pilot)


# What is typed


@pytest.mark.parametrize(
    ("text", "found"), [("a", ["a"]), (" a , b,", ["a", "b"]), ("gpt-*", ["gpt-*"])]
)
def test_names_stand_between_commas(text: str, found: list[str]) -> None:
    assert names(text) == found


def test_an_expiry_is_ahead_or_never() -> None:
    assert expiry("never") is None
    assert expiry("2099-01-31T00:00:00Z") == "2099-01-31T00:00:00Z"
    with pytest.raises(ValueError, match="past already"):
        expiry("2020-01-31")


@pytest.mark.parametrize("text", ["0.2s", "later", ""])
def test_a_grace_is_at_least_a_second(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        grace(text)
