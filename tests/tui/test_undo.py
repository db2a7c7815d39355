"""What is shown before the gateway has confirmed it, and what is undone."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from textual.pilot import Pilot

from conduit.client.errors import ApiError, ClientError, Unreachable
from conduit.tui.app import ConduitApp
from conduit.tui.state import undoing
from conduit.tui.state.gateway import Refused
from conduit.tui.state.store import Store, id_of
from conduit.tui.state.tentative import shown_at_once
from conduit.tui.state.traffic import Record
from conduit.tui.widgets.records import not_undone
from tests.tui.allowed import alert
from tests.tui.events import key, mapping, provider, target
from tests.tui.screens import list_of, on_screen, sent
from tests.tui.support import (
    NOW_MS,
    TARGET,
    Answer,
    FakeLink,
    FrozenClock,
    link_of,
    page,
    refusal,
    screen_text,
    until,
    until_said,
    until_shown,
)

CI, WEB = key("ci"), key("web")
FAST = mapping("fast", target("a", "one"), target("a", "two", 1), target("a", "three", 2))
LOST = Unreachable("no answer from the gateway")


@pytest.fixture(autouse=True)
def lasting_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undoing is offered until the test is over, however slow the machine is."""
    monkeypatch.setattr(undoing, "UNDO_S", 600.0)


class Keeper:
    """Records as a gateway keeps them: by version, and as slowly as a test wants."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = {id_of(row): row for row in rows}
        self.answers = asyncio.Event()
        self.answers.set()
        self.refuses: list[ClientError] = []
        self.answers_with: dict[str, Any] = {}

    def listed(self, _: Any = None, body: Any = None) -> dict[str, Any]:
        return page(*self.rows.values())

    async def update(self, *names: str, body: dict[str, Any]) -> dict[str, Any]:
        await self.answers.wait()
        if self.refuses:
            raise self.refuses.pop(0)
        row = self.rows[names[-1]]
        if body["version"] != row["version"]:
            raise refusal(409, f"it is at version {row['version']}", "conflict")
        self.rows[names[-1]] = {
            **row,
            **body,
            **self.answers_with,
            "version": row["version"] + 1,
        }
        return self.rows[names[-1]]

    def changed_by_another(self, id: str, **fields: Any) -> None:
        row = self.rows[id]
        self.rows[id] = {**row, **fields, "version": row["version"] + 1}

    def at(self, table: str) -> dict[str, Answer]:
        return {f"{table}.list": self.listed, f"{table}.update": self.update}


def enabled(app: ConduitApp, id: str, table: str = "keys") -> bool:
    return bool(app.store.table(table).rows[id]["enabled"])


def is_unconfirmed(app: ConduitApp, id: str, table: str = "keys") -> bool:
    return app.store.table(table).is_unconfirmed(id)


def models(app: ConduitApp) -> list[str]:
    return [each["model"] for each in app.store.table("mappings").rows["map_fast"]["targets"]]


async def settled(app: ConduitApp, pilot: Pilot[Any]) -> None:
    await until(lambda: not app.store.is_unconfirmed, pilot)


# Shown at once


async def test_a_toggle_is_shown_at_once_and_dimmed_until_it_is_confirmed() -> None:
    keeper = Keeper(CI, WEB)
    keeper.answers.clear()
    async with on_screen("keys", keeper.at("keys")) as (app, pilot):
        await pilot.press("x")
        await until_shown("~ci", pilot)
        line = next(line for line in screen_text(app).splitlines() if "~ci" in line)
        assert "off" in line
        assert "~web" not in screen_text(app)
        assert not enabled(app, "key_ci")
        assert app.store.table("keys").known["key_ci"]["enabled"]
        keeper.answers.set()
        await until_said("disabled ci", pilot)
        await until(lambda: "~ci" not in screen_text(app), pilot)
        assert app.store.table("keys").rows["key_ci"]["version"] == 2


async def test_a_pane_says_that_its_record_is_not_confirmed_yet() -> None:
    keeper = Keeper(provider("a"))
    keeper.answers.clear()
    async with on_screen("providers", keeper.at("providers")) as (app, pilot):
        await pilot.press("enter", "x")
        await until_shown("a, not confirmed yet", pilot)
        keeper.answers.set()
        await until(lambda: "not confirmed yet" not in screen_text(app), pilot)


@pytest.mark.parametrize("refused", [refusal(503, "the database is away", "unavailable"), LOST])
async def test_what_is_not_confirmed_is_taken_back_and_told(refused: ClientError) -> None:
    keeper = Keeper(CI)
    keeper.answers.clear()
    keeper.refuses = [refused]
    async with on_screen("keys", keeper.at("keys")) as (app, pilot):
        await pilot.press("x")
        await until(lambda: not enabled(app, "key_ci"), pilot)
        keeper.answers.set()
        await until_said(f"ci is shown as it was: {refused.message}", pilot)
        assert enabled(app, "key_ci")
        assert not is_unconfirmed(app, "key_ci")
        # What has arrived is not always known, so it is read again.
        await until(lambda: len(sent(app, "keys.list")) > 1, pilot)
        await pilot.press("u")
        await until_said("there is nothing to undo", pilot)


async def test_two_quick_toggles_are_sent_one_after_the_other() -> None:
    keeper = Keeper(CI)
    keeper.answers.clear()
    async with on_screen("keys", keeper.at("keys")) as (app, pilot):
        await pilot.press("x")
        await until(lambda: not enabled(app, "key_ci"), pilot)
        await pilot.press("x")
        await until(lambda: enabled(app, "key_ci"), pilot)
        assert len(sent(app, "keys.update")) == 1
        assert is_unconfirmed(app, "key_ci")
        keeper.answers.set()
        await until_said("enabled ci", pilot)
        await settled(app, pilot)
        bodies = [call[2] for call in sent(app, "keys.update")]
        assert bodies == [{"enabled": False, "version": 1}, {"enabled": True, "version": 2}]
        assert keeper.rows["key_ci"]["enabled"]


async def test_what_follows_a_refused_change_falls_with_it() -> None:
    keeper = Keeper(FAST)
    keeper.answers.clear()
    keeper.refuses = [refusal(503, "the database is away", "unavailable")]
    async with on_screen("mappings", keeper.at("mappings"), "120x40") as (app, pilot):
        await pilot.press("enter", "J")
        await until(lambda: models(app) == ["two", "one", "three"], pilot)
        await pilot.press("J")
        await until(lambda: models(app) == ["two", "three", "one"], pilot)
        keeper.answers.set()
        await until_said("the change before it was not made", pilot)
        await settled(app, pilot)
        assert models(app) == ["one", "two", "three"]
        assert len(sent(app, "mappings.update")) == 1


async def test_all_that_are_marked_change_at_once() -> None:
    keeper = Keeper(provider("a"), provider("b"))
    keeper.answers.clear()
    async with on_screen("providers", keeper.at("providers")) as (app, pilot):
        await pilot.press("asterisk", "x")
        await until(lambda: not enabled(app, "prov_b", "providers"), pilot)
        assert not enabled(app, "prov_a", "providers")
        assert len(sent(app, "providers.update")) == 1
        keeper.answers.set()
        await until_said("disabled 2 providers", pilot)
        await pilot.press("u")
        await until_said("undone: disabled 2 providers", pilot)
        assert all(row["enabled"] for row in keeper.rows.values())


async def test_a_credential_is_switched_at_once_and_back() -> None:
    row = provider("a")
    keeper = Keeper(*row["credentials"])
    keeper.answers.clear()

    def shown(*_: Any, body: Any) -> Any:
        return {**row, "credentials": [*keeper.rows.values()]}

    answers: dict[str, Answer] = {
        "providers.list": lambda body: page(shown(body=None)),
        "providers.show": shown,
        "credentials.update": keeper.update,
    }
    async with on_screen("providers", answers) as (app, pilot):

        def credential() -> Any:
            return app.store.table("providers").rows["prov_a"]["credentials"][0]

        await pilot.press("c", "x")
        await until(lambda: not credential()["enabled"], pilot)
        assert is_unconfirmed(app, "prov_a", "providers")
        keeper.answers.set()
        await until_said("disabled credential default of a", pilot)
        await pilot.press("u")
        await until_said("undone: credential default of a", pilot)
        assert credential()["enabled"]
        assert [call[2]["version"] for call in sent(app, "credentials.update")] == [1, 2]
        keeper.refuses = [LOST]
        await pilot.press("c", "x")
        await until_said("credential default of a is shown as it was", pilot)
        assert credential()["enabled"]


async def test_acknowledged_notifications_are_dimmed_until_they_go_and_do_not_come_back() -> None:
    answered = asyncio.Event()

    async def acknowledge(id: str, body: Any) -> Any:
        await answered.wait()
        return {}

    rows = page(alert(1, "price_unknown", "no price"), alert(2, "price_unknown", "none"))
    answers: dict[str, Answer] = {
        "notifications.list": rows,
        "notifications.acknowledge": acknowledge,
    }
    async with on_screen("notifications", answers) as (app, pilot):
        await pilot.press("asterisk", "a")
        await until(lambda: is_unconfirmed(app, "ntf_2", "notifications"), pilot)
        assert is_unconfirmed(app, "ntf_1", "notifications")
        answered.set()
        await until_said("acknowledged 2 notifications", pilot)
        assert not app.store.table("notifications").rows
        await pilot.press("u")
        await until_said("there is nothing to undo", pilot)


# Undoing


async def test_u_undoes_the_last_toggle_for_as_long_as_it_is_offered() -> None:
    keeper = Keeper(CI)
    async with on_screen("keys", keeper.at("keys")) as (app, pilot):
        await pilot.press("x")
        await until_shown("u undoes it", pilot)
        await pilot.press("u")
        await until_said("undone: disabled ci", pilot)
        await settled(app, pilot)
        assert keeper.rows["key_ci"]["enabled"]
        assert sent(app, "keys.update")[1][2] == {"enabled": True, "version": 2}
        await until(lambda: "u undoes it" not in screen_text(app), pilot)
        await pilot.press("u")
        await until_said("there is nothing to undo", pilot)


async def test_a_move_is_undone_from_the_command_line_and_stands_in_help_and_palette() -> None:
    keeper = Keeper(FAST)
    async with on_screen("mappings", keeper.at("mappings"), "120x40") as (app, pilot):
        offers = {choice.id: choice for choice in app._offers()}
        assert offers["app.undo"].reason == "there is nothing to undo"
        await pilot.press("enter", "J")
        await until_said("moved a/one later in fast", pilot)
        offers = {choice.id: choice for choice in app._offers()}
        assert offers["app.undo"].reason is None
        await pilot.press("colon", *"undo", "enter")
        await until_said("undone: moved a/one later in fast", pilot)
        assert [each["model"] for each in keeper.rows["map_fast"]["targets"]] == [
            "one",
            "two",
            "three",
        ]
        assert models(app) == ["one", "two", "three"]


async def test_what_somebody_has_changed_meanwhile_is_not_undone() -> None:
    keeper = Keeper(CI)
    async with on_screen("keys", keeper.at("keys")) as (app, pilot):
        await pilot.press("x")
        await until_said("disabled ci", pilot)
        keeper.changed_by_another("key_ci", name="ci2")
        await pilot.press("u")
        await until_said("ci: not undone, for somebody has changed it meanwhile", pilot)
        assert not keeper.rows["key_ci"]["enabled"]
        assert app.store.messages[-1].request_id == "req_0000000000TEST"
        await until(lambda: app.store.table("keys").rows["key_ci"]["name"] == "ci2", pilot)
        assert not enabled(app, "key_ci")


async def test_what_somebody_else_had_done_already_is_neither_sent_nor_undone() -> None:
    keeper = Keeper(CI)
    keeper.answers.clear()
    async with on_screen("keys", keeper.at("keys")) as (app, pilot):
        await pilot.press("x")
        await until(lambda: not enabled(app, "key_ci"), pilot)
        await pilot.press("x")
        await until(lambda: enabled(app, "key_ci"), pilot)
        keeper.answers_with = {"enabled": True}
        keeper.answers.set()
        await until_said("enabled ci", pilot)
        await pilot.press("u")
        await until_said("nothing was changed that could be undone", pilot)
        assert len(sent(app, "keys.update")) == 1


async def test_nothing_is_undone_while_a_change_is_not_confirmed() -> None:
    keeper = Keeper(CI, WEB)
    async with on_screen("keys", keeper.at("keys")) as (app, pilot):
        await pilot.press("x")
        await until_said("disabled ci", pilot)
        keeper.answers.clear()
        await pilot.press("down", "x")
        await until(lambda: is_unconfirmed(app, "key_web"), pilot)
        await pilot.press("u")
        await until_said("what was done last is not confirmed yet", pilot)
        keeper.answers.set()
        await until_said("disabled web", pilot)
        await pilot.press("u")
        await until_said("undone: disabled web", pilot)
        assert not keeper.rows["key_ci"]["enabled"]


async def test_at_another_gateway_there_is_nothing_to_undo() -> None:
    keeper = Keeper(CI)
    async with on_screen("keys", keeper.at("keys")) as (app, pilot):
        await pilot.press("x")
        await until_said("disabled ci", pilot)
        app.link = app._linked()
        app.store.connectivity.connected()
        await pilot.press("u")
        await until_said("there is nothing to undo", pilot)
        assert not sent(app, "keys.update")


async def test_an_offer_lapses_but_not_while_it_is_looked_for_and_then_it_asks() -> None:
    keeper = Keeper(CI)
    async with on_screen("keys", keeper.at("keys")) as (app, pilot):
        await pilot.press("x")
        await until_shown("u undoes it", pilot)
        await pilot.press("ctrl+p")
        await until(lambda: app.screen is not app.frame, pilot)
        app._lapse()
        await pilot.press("escape")
        await until(lambda: app.screen is app.frame, pilot)
        assert "u undoes it" in screen_text(app)
        app._lapse()
        await until(lambda: "u undoes it" not in screen_text(app), pilot)
        await pilot.press("u")
        await until_shown("Undo: disabled ci?", pilot)
        await pilot.press("n")
        await until(lambda: app.screen is app.frame, pilot)
        assert not keeper.rows["key_ci"]["enabled"]
        await pilot.press("u")
        await until_shown("Undo: disabled ci?", pilot)
        await pilot.press("y")
        await until_said("undone: disabled ci", pilot)
        assert keeper.rows["key_ci"]["enabled"]
        assert list_of(app).grid.has_focus
        assert link_of(app).is_current


async def test_moves_are_undone_one_by_one_the_last_first() -> None:
    keeper = Keeper(FAST)
    async with on_screen("mappings", keeper.at("mappings"), "120x40") as (app, pilot):
        await pilot.press("enter", "J")
        await until_said("moved a/one later in fast", pilot)
        await pilot.press("J")
        await until(lambda: models(app) == ["two", "three", "one"], pilot)
        await settled(app, pilot)
        await until(lambda: keeper.rows["map_fast"]["version"] == 3, pilot)
        await until(lambda: app.why_no_undo() is None, pilot)
        # The second one is pressed while the first one is on its way.
        await pilot.press("u", "u")
        await until(lambda: models(app) == ["one", "two", "three"], pilot)
        await settled(app, pilot)
        assert [call[2]["version"] for call in sent(app, "mappings.update")] == [1, 2, 3, 4]
        assert keeper.rows["map_fast"]["version"] == 5
        await until(lambda: app.why_no_undo() == undoing.NOTHING, pilot)


async def test_what_is_undone_next_is_named() -> None:
    keeper = Keeper(CI, WEB)
    async with on_screen("keys", keeper.at("keys")) as (app, pilot):
        await pilot.press("x")
        await until_said("disabled ci", pilot)
        await pilot.press("down", "x")
        await until_said("disabled web", pilot)
        await settled(app, pilot)
        await pilot.press("u")
        await until_said("undone: disabled web", pilot)
        await until_shown("before it: disabled ci", pilot)
        await pilot.press("u")
        await until_said("undone: disabled ci", pilot)
        assert all(row["enabled"] for row in keeper.rows.values())


async def test_a_change_in_between_by_somebody_else_ends_what_can_be_undone() -> None:
    keeper = Keeper(CI)
    async with on_screen("keys", keeper.at("keys")) as (app, pilot):
        await pilot.press("x")
        await until_said("disabled ci", pilot)
        keeper.changed_by_another("key_ci", name="ci2")
        app.link.refresh({"keys"})
        await until(lambda: app.store.table("keys").rows["key_ci"]["version"] == 3, pilot)
        await pilot.press("x")
        await until_said("enabled ci2", pilot)
        await settled(app, pilot)
        await pilot.press("u")
        await until_said("undone: enabled ci2", pilot)
        await pilot.press("u")
        await until_said("not undone, for somebody has changed it meanwhile", pilot)
        assert not keeper.rows["key_ci"]["enabled"]


async def test_each_screen_undoes_what_was_done_on_it() -> None:
    keeper, fast = Keeper(CI), Keeper(FAST)
    answers = keeper.at("keys") | fast.at("mappings")
    async with on_screen("keys", answers) as (app, pilot):
        await pilot.press("x")
        await until_shown("u undoes it", pilot)
        await pilot.press("g", "m")
        await until_shown("fast", pilot)
        await until(lambda: "u undoes it" not in screen_text(app), pilot)
        await pilot.press("u")
        await until_said("there is nothing to undo", pilot)
        await pilot.press("g", "k")
        await until(lambda: app.here == "keys" and app.why_no_undo() is None, pilot)
        await pilot.press("u")
        await until_shown("Undo: disabled ci?", pilot)
        await pilot.press("y")
        await until_said("undone: disabled ci", pilot)
        assert keeper.rows["key_ci"]["enabled"]


# The layer below


def linked(*rows: dict[str, Any], answers: dict[str, Answer] | None = None) -> FakeLink:
    store = Store(clock=FrozenClock(), wall_ms=lambda: NOW_MS)
    link = FakeLink(TARGET, store, on_error=None, answers=answers or {})
    store.connectivity.connected()
    store.fill("keys", rows, epoch=store.epoch)
    return link


def renamed(name: str) -> Callable[[Record], Record]:
    return lambda row: {**row, "name": row["name"] + name}


async def test_a_list_that_has_a_sent_change_already_is_not_changed_twice() -> None:
    link = linked(CI)
    store, sending = link.store, asyncio.Event()
    with shown_at_once(link, "keys", [CI], renamed("!")) as sender:

        async def send(known: Record) -> Record:
            sending.set()
            await asyncio.Event().wait()
            return known

        task = asyncio.create_task(sender.send(CI, send))
        await sending.wait()
        assert store.table("keys").rows["key_ci"]["name"] == "ci!"
        store.fill("keys", [{**CI, "name": "ci!", "version": 2}], epoch=store.epoch)
        assert store.table("keys").rows["key_ci"]["name"] == "ci!"
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert not store.is_unconfirmed


async def test_what_was_not_sent_is_taken_back_and_so_is_what_followed_it() -> None:
    link = linked(CI)
    with (
        shown_at_once(link, "keys", [CI], renamed("!")),
        shown_at_once(link, "keys", [CI], renamed("?")) as second,
    ):
        assert link.store.table("keys").rows["key_ci"]["name"] == "ci!?"
        waiting = asyncio.create_task(second.send(CI, _never))
        await asyncio.sleep(0)
    with pytest.raises(Refused):
        await waiting
    assert link.store.table("keys").rows["key_ci"] == CI


async def test_a_record_that_is_gone_is_not_changed() -> None:
    link = linked(CI)
    with shown_at_once(link, "keys", [CI], renamed("!")) as sender:
        link.store.drop("keys", "key_ci", epoch=link.epoch)
        with pytest.raises(Refused, match="it is gone"):
            await sender.send(CI, _never)


async def _never(known: Record) -> Record:
    raise AssertionError("it is not sent")


def test_a_list_that_was_asked_for_before_a_change_does_not_take_it_back() -> None:
    store = linked(CI, WEB).store
    store.loading("keys")
    store.put("keys", {**CI, "enabled": False, "version": 2}, epoch=store.epoch)
    store.drop("keys", "key_web", epoch=store.epoch)
    store.fill("keys", [CI, WEB], epoch=store.epoch)
    assert [(row["id"], row["version"]) for row in store.table("keys").rows.values()] == [
        ("key_ci", 2)
    ]
    store.loading("keys")
    store.fill("keys", [{**CI, "version": 3}, WEB], epoch=store.epoch)
    assert [row["version"] for row in store.table("keys").rows.values()] == [3, 1]


def test_only_a_conflict_is_somebody_else() -> None:
    busy = ApiError("unavailable", "the database is away", status=503)
    assert not_undone(busy) is busy


# What is kept


def step(link: FakeLink, text: str, place: str = "keys") -> undoing.Step:
    async def work() -> None:
        raise AssertionError("it is not undone")

    return undoing.Step(undoing.Undo(link, place, work), text, NOW_MS)


def test_the_last_twenty_steps_of_a_screen_are_kept() -> None:
    kept, link = undoing.Undoings(), linked()
    for number in range(undoing.STEPS + 5):
        kept.add(step(link, str(number)))
    kept.add(step(link, "elsewhere", "mappings"))
    found = []
    while (last := kept.last("keys")) is not None:
        found.append(last.text)
        kept.take(last)
    assert found == [str(number) for number in range(undoing.STEPS + 4, 4, -1)]
    assert kept.last("mappings") is not None


def test_a_record_that_was_put_back_counts_as_the_one_it_was() -> None:
    kept = undoing.Undoings()
    kept.add(step(linked(), "one"))
    kept.put_back("key_ci", 3, now=5)
    kept.put_back("key_ci", 1, now=6)
    kept.put_back("key_ci", 5, now=7)
    assert [kept.version_of("key_ci", version) for version in (1, 2, 3)] == [6, 2, 7]
    assert kept.version_of("key_web", 3) == 3
