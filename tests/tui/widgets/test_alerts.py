"""Alerts on the start screen, the breakers of providers, and what is spent."""

import asyncio
from typing import Any

import pytest

from conduit.client.errors import AuthenticationFailed
from conduit.tui.state.session import Look
from conduit.tui.widgets.alerts import subject_place
from conduit.tui.widgets.providers import breakers
from tests.tui.allowed import alert, budget, deployment
from tests.tui.events import event, figures, key, provider
from tests.tui.screens import back, sent
from tests.tui.support import (
    NOW_MS,
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

BUDGET = alert(1, "budget_threshold", "ci has reached 80 % of its budget")
FAILED = alert(
    2,
    "credential_failed",
    "credential default of groq was refused",
    severity="critical",
    subject={"kind": "credential", "id": "groq/default", "name": "default"},
)
EXPIRY = alert(3, "key_expiring", 'key "ci" expires within 7 days', severity="info")
SPEND = alert(4, "unusual_spend", "the gateway spends 9 times as much as usual")
DATA: dict[str, Answer] = {
    "providers.list": page(provider("openai-main"), provider("groq")),
    "keys.list": page(key("ci")),
    "notifications.list": page(SPEND, EXPIRY, FAILED, BUDGET),
}


async def test_alerts_are_counted_in_the_title_and_listed_the_worst_first() -> None:
    async with running(make_app(DATA)) as pilot:
        await until_shown("4 alerts", pilot)
        await until_shown("was refused", pilot)
        app: Any = pilot.app
        assert [row["id"] for row in app.frame._alerts._rows] == [
            "ntf_2",
            "ntf_1",
            "ntf_4",
            "ntf_3",
        ]
        lines = screen_text(app).splitlines()
        assert any("credential" in line and "groq was refused" in line for line in lines)


async def test_what_a_newer_gateway_calls_severe_is_listed_last() -> None:
    rows = page({**SPEND, "severity": "dire"}, BUDGET)
    async with running(make_app({**DATA, "notifications.list": rows})) as pilot:
        await until_shown("9 times as much", pilot)
        app: Any = pilot.app
        assert [row["id"] for row in app.frame._alerts._rows] == ["ntf_1", "ntf_4"]
        rows["data"].pop()
        link_of(app).refresh({"notifications"})
        await until_shown("1 alert", pilot)


async def test_without_alerts_nothing_stands_in_their_place() -> None:
    async with running(make_app({**DATA, "notifications.list": page()})) as pilot:
        await until_shown("openai-main", pilot)
        app: Any = pilot.app
        assert "ALERT" not in screen_text(app)
        await pilot.press("a")
        await until_shown("there are no alerts", pilot)


async def test_one_alert_is_acknowledged_dimmed_meanwhile_and_then_gone() -> None:
    answered = asyncio.Event()

    async def acknowledge(id: str, body: Any) -> Any:
        await answered.wait()
        return {**FAILED, "acknowledged_at": "2026-11-20T14:00:00Z"}

    app = make_app({**DATA, "notifications.acknowledge": acknowledge})
    async with running(app) as pilot:
        await until_shown("4 alerts", pilot)
        await pilot.press("a")
        await until(lambda: app.store.table("notifications").is_unconfirmed("ntf_2"), pilot)
        await until_shown(f"{app.glyphs.dim} credential", pilot)
        await pilot.press("a")  # once is enough
        answered.set()
        await until_shown("3 alerts", pilot)
        assert len(sent(app, "notifications.acknowledge")) == 1


async def test_an_alert_that_could_not_be_acknowledged_is_back() -> None:
    refused = refusal(503, "the database is away", "unavailable")
    app = make_app({**DATA, "notifications.acknowledge": refused})
    async with running(app) as pilot:
        await until_shown("4 alerts", pilot)
        await pilot.press("a")
        await until_shown("the database is away", pilot)
        await until_shown(f"{app.glyphs.bad} credential", pilot)
        assert "4 alerts" in screen_text(app)


async def test_all_are_acknowledged_after_a_yes() -> None:
    app = make_app({**DATA, "notifications.acknowledge_all": {"acknowledged": 4}})
    async with running(app) as pilot:
        await until_shown("4 alerts", pilot)
        await pilot.press("A")
        await until_shown("Acknowledge 4 alerts?", pilot)
        await pilot.press("n")
        await back(app, pilot)
        assert not sent(app, "notifications.acknowledge_all")
        link_of(app).answers["notifications.list"] = page()
        await pilot.press("A")
        await until_shown("Acknowledge 4 alerts?", pilot)
        await pilot.press("y")
        await until_shown("acknowledged 4 alerts", pilot)
        await until(lambda: "ALERT" not in screen_text(app), pilot)


async def test_an_alert_that_is_raised_appears_and_one_acknowledged_elsewhere_goes() -> None:
    app = make_app({**DATA, "notifications.list": page()})
    async with running(app) as pilot:
        await until_shown("openai-main", pilot)
        link_of(app).answers["notifications.list"] = page(BUDGET)
        link_of(app)._note_changes([event(1, "notification.raised", BUDGET)])
        await until_shown("1 alert", pilot)
        link_of(app).answers["notifications.list"] = page()
        link_of(app)._note_changes([event(2, "notification.acknowledged", {"id": "ntf_1"})])
        await until(lambda: "ALERT" not in screen_text(app), pilot)


async def test_enter_on_an_alert_shows_what_it_is_about() -> None:
    app = make_app(DATA)
    async with running(app) as pilot:
        await until_shown("4 alerts", pilot)
        await pilot.press("tab")
        screen: Any = app.frame
        await until(lambda: screen.is_at_alerts, pilot)
        await pilot.press("enter")
        await until(lambda: app.here == "providers", pilot)
        await until(lambda: app.frame.can_draw, pilot)


@pytest.mark.parametrize(
    ("subject", "place"),
    [
        (("key", "key_1", "ci"), ("keys", "key_1")),
        (("budget", "b1", "key:ci"), ("keys", "ci")),
        (("budget", "b1", "group:eng"), ("groups", "eng")),
        (("budget", "b1", "mapping:gpt-4o"), ("mappings", "gpt-4o")),
        (("budget", "b1", "gateway"), ("keys", "")),
        (("credential", "groq/default", "default"), ("providers", "groq")),
        (("model", "groq/llama", "groq/llama"), ("prices", "")),
        (("gateway", "gateway", "gateway"), ("live", "")),
        (("planet", "mars", "mars"), None),
    ],
)
def test_what_an_alert_is_about_has_a_screen(
    subject: tuple[str, str, str], place: tuple[str, str] | None
) -> None:
    kind, subject_id, name = subject
    assert subject_place({"kind": kind, "id": subject_id, "name": name}) == place


@pytest.mark.parametrize("pressed", ["a", "A"])
async def test_without_a_connection_nothing_is_acknowledged(pressed: str) -> None:
    app = make_app(DATA)
    async with running(app) as pilot:
        await until_shown("4 alerts", pilot)
        app.store.connectivity.lost("connection refused", 4)
        await pilot.press(pressed)
        await until_shown("not connected to the gateway", pilot)
        assert not sent(app, "notifications.acknowledge", "notifications.acknowledge_all")


async def test_a_refused_master_key_is_shown_in_the_title() -> None:
    refused = AuthenticationFailed("unauthorized", "the master key is not one of this gateway's")
    async with running(make_app({**DATA, "notifications.acknowledge": refused})) as pilot:
        await until_shown("4 alerts", pilot)
        await pilot.press("a")
        await until_shown("AUTH FAILED", pilot)


# Breakers

OPEN = {"breaker": "open", "until": "2026-11-20T22:02:38Z"}


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ([], "-"),
        ([{}], "closed"),
        ([{}, {"breaker": "half_open"}], "half"),
        ([OPEN, {}], "1/2 open"),
        ([OPEN, {**OPEN, "until": "2026-11-20T23:02:38Z"}], "open 27s"),
        ([{**OPEN, "until": None}], "open"),
    ],
)
def test_a_provider_is_told_of_by_the_worst_of_its_targets(states: list[Any], told: str) -> None:
    made = [deployment("groq", f"m{number}", **state) for number, state in enumerate(states)]
    assert breakers.told(made, NOW_MS).text == told


async def test_a_breaker_that_opens_is_shown_when_the_event_comes() -> None:
    app = make_app({**DATA, "health.deployments": page(deployment("groq", "llama"))})
    async with running(app) as pilot:
        await until_shown("closed", pilot)
        link_of(app).answers["health.deployments"] = page(deployment("groq", "llama", **OPEN))
        link_of(app)._note_changes([event(1, "provider.health_changed", {"provider": "groq"})])
        await until_shown("open 27s", pilot)


async def test_two_credentials_of_one_model_are_two_targets() -> None:
    two = page(deployment("groq", "llama"), deployment("groq", "llama", credential="b", **OPEN))
    async with running(make_app({**DATA, "health.deployments": two})) as pilot:
        await until_shown("1/2 open", pilot)


# Spending


async def test_spending_names_whose_budget_it_is_the_nearest_to_its_end_first() -> None:
    budgets = page(
        budget("gateway", "", "100", "41.2"),
        budget("group", "eng", "10", "9"),
        budget("key", "ci", "50", "10"),
    )
    spent = {
        "groups": [
            {"group": "2026-11-19", "cost": "79.02"},
            {"group": "2026-11-20", "cost": "41.20"},
        ]
    }
    app = make_app({**DATA, "budgets.list": budgets, "usage.show": spent})
    async with running(app, SIZES["120x40"]) as pilot:
        await until_shown("today $41.20  yesterday $79.02", pilot)
        await until_shown("group:eng", pilot)
        text = screen_text(app)
        assert text.index("group:eng") < text.index(" 41% of $100") < text.index(" 20% of $50")


async def test_what_was_spent_is_read_again_only_when_something_was() -> None:
    app = make_app(DATA, look=Look())
    async with running(app) as pilot:
        await until_shown("today $0.00", pilot)
        screen: Any = app.frame
        screen._spending.read()
        assert len(sent(app, "usage.show")) == len(("by day", "by provider"))
        app.store.receive([event(1, "stats.sampled", figures())])
        screen._spending.read()
        assert len(sent(app, "usage.show")) == len(("by day", "by provider"))
        app.store.received["request.finished"] += 1
        screen._spending.read()
        await until(lambda: len(sent(app, "usage.show")) == 4, pilot)


async def test_spending_that_cannot_be_read_leaves_the_rate() -> None:
    refused = refusal(500, "the database is busy", "unavailable")
    app = make_app({**DATA, "usage.show": refused})
    async with running(app) as pilot:
        app.store.receive([event(1, "stats.sampled", figures())])
        await until_shown("$0.4100 a minute now", pilot)
        assert not app.store.messages
