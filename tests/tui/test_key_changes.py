"""Keys that several people change: merging, moving, tagging, and their budgets."""

from dataclasses import replace
from typing import Any

import pytest

from conduit.client.errors import AuthenticationFailed
from conduit.tui.state.allowances import limits_told
from conduit.tui.state.session import Look
from conduit.tui.widgets.dialogs.merging import MergeDialog, differences
from tests.tui.allowed import group, limit, monthly
from tests.tui.events import key, mapping
from tests.tui.screens import back, fill, list_of, on_screen, sent
from tests.tui.snapshots import assert_looks
from tests.tui.support import (
    TARGET,
    Answer,
    link_of,
    make_app,
    page,
    refusal,
    running,
    until,
    until_shown,
)

STALE = refusal(409, "key ci is at version 2, not 1", "conflict")
ENG = {"group": "eng", "group_id": "group_eng"}
RATE = limit("rpm", 60)
CI = key("ci", limit="50", spent="41.00", limits=[RATE], tags={"team": "a"}, **ENG)
DATA: dict[str, Answer] = {
    "keys.list": page(CI, key("web", **ENG), key("demo", tags={"env": "ci"})),
    "mappings.list": page(mapping("gpt-4o")),
    "groups.list": page(group("eng", keys=2), group("batch")),
}


def stale_once(name: str, *, then: Any) -> Any:
    """Refuses version 1, as somebody else has saved version 2."""

    def update(*_: str, body: Any) -> Any:
        if body["version"] == 1:
            raise STALE
        return then

    return {name: update}


# Merging


async def test_two_changes_of_other_fields_are_shown_and_saved_together() -> None:
    theirs = {**CI, "allowed_models": ["gpt-4o"], "version": 2}
    saved = {**theirs, "name": "ci2", "version": 3}
    answers = {**DATA, **stale_once("keys.update", then=saved), "keys.show": theirs}
    async with on_screen("keys", answers) as (app, pilot):
        await pilot.press("e")
        await until_shown("key ci, version 1", pilot)
        await pilot.press("end", "2", "ctrl+s")
        await until_shown("in other fields than you", pilot)
        await pilot.press("enter")
        await until_shown("changed ci2", pilot)
        bodies = [call[2] for call in sent(app, "keys.update")]
        assert bodies == [{"name": "ci2", "version": 1}, {"name": "ci2", "version": 2}]


@pytest.mark.parametrize(
    ("pressed", "sent_body"),
    [
        (["enter"], {"name": "mine", "version": 2}),
        (["space", "enter"], None),
    ],
)
async def test_of_one_field_that_both_changed_one_is_chosen(
    pressed: list[str], sent_body: Any
) -> None:
    theirs = {**CI, "name": "theirs", "version": 2}
    saved = {**theirs, "name": "mine", "version": 3}
    answers = {**DATA, **stale_once("keys.update", then=saved), "keys.show": theirs}
    async with on_screen("keys", answers) as (app, pilot):
        await pilot.press("e")
        await until_shown("key ci, version 1", pilot)
        await fill("name", "mine", app, pilot)
        await pilot.press("ctrl+s")
        await until_shown("You both changed 1 field.", pilot)
        await pilot.press(*pressed)
        await back(app, pilot)
        bodies = [call[2] for call in sent(app, "keys.update")][1:]
        assert bodies == ([] if sent_body is None else [sent_body])


async def test_escape_from_a_merge_saves_nothing_and_keeps_what_was_typed() -> None:
    theirs = {**CI, "tags": {"team": "b"}, "name": "theirs", "version": 2}
    answers = {**DATA, **stale_once("keys.update", then=theirs), "keys.show": theirs}
    async with on_screen("keys", answers) as (app, pilot):
        await pilot.press("e")
        await until_shown("key ci, version 1", pilot)
        await fill("name", "mine", app, pilot)
        await pilot.press("ctrl+s")
        await until(lambda: isinstance(app.screen, MergeDialog), pilot)
        await until_shown("team=b", pilot)
        await assert_looks(pilot, "keys-80x24-merge")
        await pilot.press("escape")
        await until_shown("nothing was saved", pilot)
        assert len(sent(app, "keys.update")) == 1
        values = {name: app.screen.query_one(f"#field-{name}").value for name in ("name", "tags")}  # type: ignore[attr-defined]
        assert values == {"name": "mine", "tags": "team=b"}


async def test_a_change_elsewhere_in_the_record_is_no_question() -> None:
    theirs = {**CI, "enabled": False, "version": 2}
    saved = {**theirs, "name": "ci2", "version": 3}
    answers = {**DATA, **stale_once("keys.update", then=saved), "keys.show": theirs}
    async with on_screen("keys", answers) as (app, pilot):
        await pilot.press("e")
        await until_shown("key ci, version 1", pilot)
        await pilot.press("end", "2", "ctrl+s")
        await until_shown("changed ci2", pilot)
        assert sent(app, "keys.update")[-1][2] == {"name": "ci2", "version": 2}


async def test_a_budget_that_somebody_changed_is_merged_and_the_key_not_saved_twice() -> None:
    saved = {**CI, "name": "ci2", "version": 2}
    budget = {**CI["budgets"][0], "limit": "60.00", "version": 2}
    theirs = {**saved, "budgets": [budget]}
    answers = {
        **DATA,
        "keys.update": saved,
        **stale_once("budgets.update", then={}),
        "keys.show": theirs,
    }
    async with on_screen("keys", answers) as (app, pilot):
        await pilot.press("e")
        await until_shown("key ci, version 1", pilot)
        await pilot.press("end", "2")
        await fill("limit", "75", app, pilot)
        await pilot.press("ctrl+s")
        await until_shown("60.00", pilot)
        await pilot.press("enter")
        await until_shown("changed ci2", pilot)
        assert len(sent(app, "keys.update")) == 1
        assert sent(app, "budgets.update")[-1][2] == {"limit": "75.00", "version": 2}


def test_a_difference_is_a_clash_only_where_both_changed_into_something_else() -> None:
    labels = {"a": "A", "b": "B", "c": "C", "d": "D"}
    was = {"a": 1, "b": 1, "c": 1, "d": 1}
    theirs = {"a": 2, "b": 1, "c": 2, "d": 2}
    yours = {"a": 1, "b": 3, "c": 3, "d": 2}
    found = {each.name: each for each in differences(labels, was, theirs, yours)}
    assert [name for name, each in found.items() if each.is_clash] == ["c"]
    assert {name: each.chosen for name, each in found.items()} == {"a": 2, "b": 3, "c": 3, "d": 2}


# Limits


async def test_a_limit_that_stays_is_sent_as_it_is_with_the_one_that_changed() -> None:
    row = {**CI, "limits": [limit("rpm", 60, burst=20), limit("tpd", 9, timezone="Europe/Rome")]}
    answers = {**DATA, "keys.list": page(row), "keys.update": {**row, "version": 2}}
    async with on_screen("keys", answers) as (app, pilot):
        await pilot.press("e")
        await until_shown("60,burst=20", pilot)
        await fill("tpd", "10", app, pilot)
        await fill("concurrent", "4", app, pilot)
        await pilot.press("ctrl+s")
        await until_shown("changed ci", pilot)
        usual = {"burst": None, "shadow": False, "on_store_down": "degrade"}
        assert sent(app, "keys.update")[0][2]["limits"] == [
            {**usual, "kind": "rpm", "limit": 60, "burst": 20, "timezone": "UTC"},
            {**usual, "kind": "tpd", "limit": 10, "timezone": "Europe/Rome"},
            {**usual, "kind": "concurrent", "limit": 4},
        ]


async def test_a_limit_that_is_emptied_is_taken_away() -> None:
    answers = {**DATA, "keys.update": {**CI, "limits": [], "version": 2}}
    async with on_screen("keys", answers) as (app, pilot):
        await pilot.press("e")
        await until_shown("key ci, version 1", pilot)
        await fill("rpm", "", app, pilot)
        await pilot.press("ctrl+s")
        await until_shown("changed ci", pilot)
        assert sent(app, "keys.update")[0][2] == {"limits": [], "version": 1}


async def test_limits_of_a_kind_that_is_not_known_are_shown_last_by_its_name() -> None:
    row = {**CI, "limits": [limit("images", 7), RATE]}
    async with on_screen("keys", {**DATA, "keys.list": page(row)}, "120x40") as (_, pilot):
        await until_shown("7 images", pilot)
        assert limits_told(row["limits"]) == "60 rpm, 7 images"


# Moving and tagging


def updated(id: str, body: Any) -> Any:
    name = id.removeprefix("key_")
    known = {row["name"]: row for row in DATA["keys.list"]["data"]}  # type: ignore[index]
    changes = {field: value for field, value in body.items() if field != "version"}
    return {**known[name], **changes, "version": 2}


async def test_marked_keys_are_moved_to_a_group() -> None:
    async with on_screen("keys", {**DATA, "keys.update": updated}) as (app, pilot):
        await pilot.press("asterisk", "m")
        await until_shown("move 3 keys to", pilot)
        await pilot.press(*"eng", "enter")
        await until_shown("moved to eng: demo", pilot)
        assert [call[1:] for call in sent(app, "keys.update")] == [
            (("key_demo",), {"group": "eng", "version": 1})
        ]
        assert not list_of(app).grid.marked


async def test_a_key_is_moved_out_of_its_group() -> None:
    async with on_screen("keys", {**DATA, "keys.update": updated}) as (app, pilot):
        await pilot.press("m")
        await until_shown("move ci to", pilot)
        await pilot.press(*"no group", "enter")
        await until_shown("moved out of their groups: ci", pilot)
        assert sent(app, "keys.update")[0][2] == {"group": None, "version": 1}


async def test_tags_are_added_to_what_each_key_has() -> None:
    async with on_screen("keys", {**DATA, "keys.update": updated}) as (app, pilot):
        await pilot.press("asterisk", "T")
        await until_shown("tags of 3 keys", pilot)
        await pilot.press("ctrl+s")
        await until_shown("a tag to add, or one below", pilot)
        await pilot.press(*"cost=ops", "tab", *"env", "ctrl+s")
        await until_shown("tagged 3 keys", pilot)
        bodies = {call[1][0]: call[2]["tags"] for call in sent(app, "keys.update")}
        assert bodies == {
            "key_ci": {"team": "a", "cost": "ops"},
            "key_web": {"cost": "ops"},
            "key_demo": {"cost": "ops"},
        }


async def test_what_fails_of_several_is_told_and_the_rest_is_done() -> None:
    def update(id: str, body: Any) -> Any:
        if id == "key_web":
            raise refusal(404, "there is no key key_web", "not_found")
        return updated(id, body)

    async with on_screen("keys", {**DATA, "keys.update": update}) as (app, pilot):
        await pilot.press("asterisk", "T")
        await until_shown("tags of 3 keys", pilot)
        await pilot.press(*"cost=ops", "ctrl+s")
        await until_shown("tagged 2 keys", pilot)
        assert "web: there is no key key_web" in [message.text for message in app.store.messages]


async def test_a_refused_master_key_while_moving_is_shown_in_the_title() -> None:
    refused = AuthenticationFailed("unauthorized", "the master key is not one of this gateway's")
    async with on_screen("keys", {**DATA, "keys.update": refused}) as (_, pilot):
        await pilot.press("m")
        await until_shown("move ci to", pilot)
        await pilot.press(*"batch", "enter")
        await until_shown("AUTH FAILED", pilot)


async def test_a_context_that_wants_names_typed_asks_before_keys_are_switched_off() -> None:
    target = replace(TARGET, confirm_typed=True)
    answers = {**DATA, "keys.update": updated}
    app = make_app(answers, look=Look(screen="keys"), target=target)
    async with running(app) as pilot:
        await until_shown("ci", pilot)
        await pilot.press("x")
        await until_shown("Disable ci?", pilot)
        await pilot.press("n")
        await back(app, pilot)
        assert not [call for call in link_of(app).calls if call[0] == "keys.update"]
        await pilot.press("x")
        await until_shown("Disable ci?", pilot)
        await pilot.press("y")
        await until_shown("disabled ci", pilot)


# Budgets


async def test_a_budget_of_a_period_and_zone_is_added() -> None:
    fresh = {**CI, "budgets": [*CI["budgets"], monthly("key", "ci", "100")]}
    answers = {**DATA, "budgets.create": monthly("key", "ci", "100"), "keys.show": fresh}
    async with on_screen("keys", answers) as (app, pilot):
        await pilot.press("b", "a")
        await until_shown("new budget of ci", pilot)
        await pilot.press("ctrl+s")
        await until_shown("is needed", pilot)
        await pilot.press(*"100")
        await fill("timezone", "Europe/Berlin", app, pilot)
        await pilot.press("ctrl+s")
        await until_shown("added a budget to ci", pilot)
        assert sent(app, "budgets.create")[0][2] == {
            "scope": {"kind": "key", "id": "key_ci"},
            "limit": "100.00",
            "period": "total",
            "timezone": "Europe/Berlin",
            "mode": "hard",
        }


async def test_of_several_budgets_one_is_chosen_to_be_changed_and_a_conflict_merged() -> None:
    more = monthly("key", "ci", "100", "20")
    row = {**CI, "budgets": [*CI["budgets"], more]}
    answers = {
        **DATA,
        "keys.list": page(row),
        "keys.show": row,
        "budgets.show": {**more, "mode": "soft", "version": 2},
        **stale_once("budgets.update", then=more),
    }
    async with on_screen("keys", answers) as (app, pilot):
        await pilot.press("b", "e")
        await until_shown("which budget of ci", pilot)
        await pilot.press(*"month", "enter")
        await until_shown("budget of ci: a month", pilot)
        await fill("limit", "120", app, pilot)
        await pilot.press("ctrl+s")
        await until_shown("in other fields than you", pilot)
        await pilot.press("enter")
        await until_shown("changed a budget of ci", pilot)
        bodies = [call[2] for call in sent(app, "budgets.update")]
        assert bodies[-1] == {"limit": "120.00", "version": 2}


async def test_deleting_a_budget_says_what_holds_the_key_then() -> None:
    answers = {**DATA, "budgets.delete": {}, "keys.show": {**CI, "budgets": []}}
    async with on_screen("keys", answers) as (app, pilot):
        await pilot.press("b", "D")
        await until_shown("without limit then.", pilot)
        await pilot.press("y")
        await until_shown("deleted a budget of ci", pilot)
        assert sent(app, "budgets.delete")[0][1] == ("budget_ci",)
        await until_shown("ci           eng      \u25cf active   no budget", pilot)


async def test_of_a_key_without_budgets_none_can_be_changed() -> None:
    async with on_screen("keys", DATA) as (_, pilot):
        await pilot.press("down", "b", "e")
        await until_shown("web has no budget", pilot)
