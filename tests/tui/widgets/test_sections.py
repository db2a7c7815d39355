"""Kept answers, notifications and contexts: what stands behind the tab of the configuration."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from conduit.client import contexts
from conduit.client.contexts import config_file
from conduit.tui.app import ConduitApp
from conduit.tui.state.session import Look
from conduit.tui.widgets.sections import SECTIONS
from tests.tui.events import event, key
from tests.tui.made import cache, counts, notification, price, setting
from tests.tui.screens import NOTHING, STATES, back, in_state, list_of, on_screen, sent
from tests.tui.snapshots import assert_looks
from tests.tui.support import (
    SIZES,
    Answer,
    link_of,
    make_app,
    page,
    running,
    screen_text,
    until,
    until_said,
    until_shown,
)

KEPT = cache(
    {**counts(entries=40, bytes=812_000, hits=300, misses=100, avoided="1.20"), "alias": "gpt-4o"},
    {**counts(entries=2, bytes=4_000, misses=2, bypassed=9), "alias": "claude-sonnet"},
    entries=42,
    bytes=816_000,
    hits=300,
    misses=102,
    bypassed=9,
    avoided="1.20",
)
OPEN = page(
    notification(3, severity="critical", message="key ci has spent 100 % of its budget of $50"),
    notification(
        2,
        kind="credential_failed",
        subject={"kind": "credential", "id": "openai-main/default", "name": "default"},
        message="openai-main refused the credential default: 401",
    ),
    notification(
        1,
        kind="unusual_spend",
        subject={"kind": "gateway", "id": "gateway", "name": "gateway"},
        message="$12.00 were spent in an hour, usual are $1.00",
    ),
)
DATA: dict[str, Answer] = {
    "cache.show": KEPT,
    "cache.clear": {"cleared": 42},
    "notifications.list": OPEN,
    "notifications.acknowledge": notification(3),
    "notifications.acknowledge_all": {"acknowledged": 3},
    "keys.list": page(key("ci", limit="50", spent="50")),
    "config.list": page(setting("log_level", "info")),
    "prices.list": page(price("openai", "gpt-4o")),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("place", ["cache", "notifications"])
async def test_it_looks_as_it_was_looked_at(place: str, state: str, size: str) -> None:
    async with in_state(place, state, DATA, size) as (_, pilot):
        await assert_looks(pilot, f"{place}-{size}-{state}")


async def test_digits_lead_from_one_to_the_other() -> None:
    async with on_screen("config", DATA) as (app, pilot):
        for digit, place in reversed(list(enumerate(SECTIONS, 1))):
            await pilot.press(str(digit))
            await until(partial(_is_at, app, place.name), pilot)
            await until_shown("1 Settings", pilot)


def _is_at(app: ConduitApp, name: str) -> bool:
    return app.here == name


# Kept answers


async def test_kept_answers_are_summed_above_the_aliases() -> None:
    async with on_screen("cache", DATA) as (app, pilot):
        await until_shown("claude-sonnet", pilot)
        names = [row["name"] for row in list_of(app).shown_rows()]
        assert names == ["all of them", "gpt-4o", "claude-sonnet"]
        await pilot.press("s", "1", "s", "1")
        await until(lambda: list_of(app).shown_rows()[1]["name"] == "gpt-4o", pilot)
        assert list_of(app).shown_rows()[0]["name"] == "all of them", "the sum stays above"
        assert "75%" in screen_text(app)


@pytest.mark.parametrize(
    ("downs", "question", "body"),
    [
        (0, "Forget all kept answers?", {}),
        (1, "Forget the kept answers of gpt-4o?", {"alias": "gpt-4o"}),
    ],
)
async def test_kept_answers_are_forgotten_once_that_is_sure(
    downs: int, question: str, body: dict[str, str]
) -> None:
    async with on_screen("cache", DATA) as (app, pilot):
        await until_shown("claude-sonnet", pilot)
        await pilot.press(*["down"] * downs, "D")
        await until_shown(question, pilot)
        assert not sent(app, "cache.clear")
        read = len(sent(app, "cache.show"))
        await pilot.press("y")
        await until_shown("forgot 42 answers", pilot)
        assert sent(app, "cache.clear")[0][2] == body
        await until(lambda: len(sent(app, "cache.show")) > read, pilot)


async def test_kept_answers_are_counted_anew_whenever_the_screen_is_shown() -> None:
    async with on_screen("cache", DATA) as (app, pilot):
        await until_shown("claude-sonnet", pilot)
        link_of(app).answers["cache.show"] = cache()
        await pilot.press("f8", "g", "a")
        await until(lambda: "claude-sonnet" not in screen_text(app), pilot)


# Notifications


async def test_a_notification_is_acknowledged_and_gone() -> None:
    async with on_screen("notifications", DATA) as (app, pilot):
        await until_shown("3 notifications", pilot)
        await pilot.press("a")
        await until_shown("2 notifications", pilot)
        assert sent(app, "notifications.acknowledge")[0][1] == ("ntf_3",)


async def test_marked_ones_and_all_are_acknowledged_together() -> None:
    async with on_screen("notifications", DATA) as (app, pilot):
        await pilot.press("space", "space", "a")
        await until(lambda: len(sent(app, "notifications.acknowledge")) == 2, pilot)
        await until_shown("acknowledged 2 notifications", pilot)
        await pilot.press("A")
        await until_shown("Acknowledge 1 notification?", pilot)
        await pilot.press("y")
        await until_shown("acknowledged 3 notifications", pilot)
        await back(app, pilot)


async def test_a_notification_leads_to_what_it_is_about() -> None:
    async with on_screen("notifications", DATA) as (app, pilot):
        await pilot.press("o")
        await until(lambda: app.here == "keys", pilot)
        await until_shown("$50.00 of $50.00", pilot)


async def test_what_no_screen_is_about_says_so() -> None:
    strange = notification(1, subject={"kind": "planet", "id": "mars", "name": "mars"})
    async with on_screen("notifications", {"notifications.list": page(strange)}) as (_, pilot):
        await pilot.press("o")
        await until_said("no screen is about a planet alone", pilot)


async def test_a_notification_leads_where_the_alert_of_the_overview_does() -> None:
    spent = {"kind": "budget", "id": "budget_1", "name": "key:ci"}
    answers = {**DATA, "notifications.list": page(notification(1, subject=spent))}
    async with on_screen("notifications", answers) as (app, pilot):
        await pilot.press("o")
        await until(lambda: app.here == "keys", pilot)
        await until_shown("$50.00 of $50.00", pilot)


async def test_an_answer_that_cannot_be_read_does_not_load_for_ever() -> None:
    app = make_app({**NOTHING, "cache.show": {"entries": 0}}, look=Look(screen="cache"))
    async with running(app) as pilot:
        await until(lambda: app.store.table("cache").error, pilot)
        await until_shown("the answer could not be read", pilot)
        assert not app.store.table("cache").loading
        link_of(app).answers["cache.show"] = KEPT
        await pilot.press("r")
        await until(lambda: app.store.table("cache").is_loaded, pilot)


async def test_a_new_notification_comes_by_itself() -> None:
    async with on_screen("notifications", {}) as (app, pilot):
        await until_shown("Nothing is open.", pilot)
        link_of(app).answers["notifications.list"] = OPEN
        told = [event(1, "notification.raised", notification(1))]
        app.store.receive(told)
        app.link._note_changes(told)
        await until_shown("3 notifications", pilot)


# Contexts


def two_contexts() -> None:
    contexts.save(contexts.Context("prod", "https://gateway.example", confirm_typed=True))
    contexts.save(contexts.Context("other", "http://other.invalid:5000", read_only=True))
    contexts.store_secrets("other", "http://other.invalid:5000", master_key="condt_mk_other")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", STATES)
async def test_contexts_look_as_they_were_looked_at(
    state: str, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read from a file: loading is as long as the disk takes, offline is no hindrance."""
    if state in ("data", "offline"):
        two_contexts()
    elif state == "error":
        monkeypatch.setattr(contexts, "load", _unreadable)
    elif state == "loading":
        monkeypatch.setattr("conduit.tui.screens.contexts.ContextsScreen.read_rows", _never)
    app = make_app(NOTHING, look=Look(screen="contexts"))
    async with running(app, SIZES[size]) as pilot:
        if state == "offline":
            await until_shown("read only", pilot)
            app.store.connectivity.lost("connection refused", 4)
            await until_shown("connection refused", pilot)
        await assert_looks(pilot, f"contexts-{size}-{state}")


def _unreadable() -> Any:
    raise contexts.ContextError("config.toml: line 3 is no TOML")


async def _never(screen: object) -> Any:

    await asyncio.Event().wait()


async def contexts_shown(pilot: Pilot[Any]) -> ConduitApp:
    app = pilot.app
    assert isinstance(app, ConduitApp)
    await until_shown("read only", pilot)
    return app


async def test_another_context_is_used_from_the_list() -> None:
    two_contexts()
    app = make_app(NOTHING, look=Look(screen="contexts"))
    async with running(app) as pilot:
        await contexts_shown(pilot)
        assert "in use" in next(line for line in screen_text(app).splitlines() if "prod  " in line)
        app.run_line("contexts other")
        await until(lambda: (list_of(app).row or {}).get("name") == "other", pilot)
        await pilot.press("u")
        await until(lambda: app.target.name == "other", pilot)
        assert app.target.master_key == "condt_mk_other"
        await until_shown("READ-ONLY", pilot)
        assert "condt_mk_other" not in screen_text(app)


async def test_no_key_of_a_context_is_in_the_store() -> None:
    two_contexts()
    app = make_app(NOTHING, look=Look(screen="contexts"))
    async with running(app) as pilot:
        await contexts_shown(pilot)
        assert "condt_mk_other" not in repr(app.store.table("contexts").rows)


async def test_a_file_of_contexts_that_cannot_be_read_says_why() -> None:
    path: Path = config_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[contexts\n")
    app = make_app(NOTHING, look=Look(screen="contexts"))
    async with running(app) as pilot:
        await until_shown("config.toml", pilot)
        path.unlink()
        await pilot.press("r")
        await until_shown("There are no contexts yet.", pilot)
