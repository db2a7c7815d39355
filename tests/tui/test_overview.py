"""The start screen: its figures, its states, its pictures."""

from collections.abc import Mapping
from typing import Any

import pytest
from textual.pilot import Pilot

from conduit.client.errors import Unreachable
from conduit.tui.app import ConduitApp
from conduit.tui.state.session import Look
from conduit.tui.state.store import Sample
from conduit.tui.state.traffic import Mark
from conduit.tui.widgets.drawing.charts import SPAN_MS, series
from tests.tui.allowed import alert, budget, deployment
from tests.tui.events import event, figures, finished, key, provider
from tests.tui.snapshots import assert_looks
from tests.tui.support import (
    NOW_MS,
    SIZES,
    ByQuery,
    link_of,
    make_app,
    page,
    running,
    screen_text,
    until,
    until_shown,
)

PROVIDERS = page(
    provider("openai-main"),
    provider("anthropic", type="anthropic"),
    provider("groq", type="groq"),
    provider("old", enabled=False),
    provider("sealed-one", credentials=[{**provider("x")["credentials"][0], "state": "sealed"}]),
)
KEYS = page(
    key("ci", limit="50", spent="41"),
    key("web", limit="99", spent="12.9"),
    key("demo", limit="5", spent="5"),
    key("free"),
)
BUDGETS = page(
    budget("key", "ci", "50", "41"),
    budget("key", "web", "99", "12.9"),
    budget("gateway", "", "100", "41.2"),
    budget("group", "eng", "5", "5"),
)
DEPLOYMENTS = page(
    deployment("openai-main", "gpt-4o"),
    deployment("anthropic", "claude-sonnet", breaker="half_open"),
    deployment("groq", "llama-70b", breaker="open", until="2026-11-20T22:02:38Z"),
    deployment("old", "x"),
    deployment("old", "y", breaker="open", until="2026-11-20T22:12:11Z"),
)
ALERTS = page(
    alert(58, "budget_threshold", 'key "ci" has reached 80 % of its budget: $41.00 of $50.00'),
    alert(
        59,
        "credential_failed",
        "credential default of sealed-one was refused",
        severity="critical",
        subject={"kind": "credential", "id": "sealed-one/default", "name": "default"},
    ),
)
SPENT = {
    "total": {"requests": 2, "cost": "120.22"},
    "groups": [{"group": "2026-11-19", "cost": "79.02"}, {"group": "2026-11-20", "cost": "41.20"}],
}
TOPS = {
    "key": {"ci": "12.90", "web": "28.30", "a-key-with-a-long-name": "0.004", "idle": "0"},
    "model": {"gpt-4o": "22.10", "claude-sonnet": "19.10"},
    "provider": {"openai-main": "22.10", "anthropic": "15.00", "groq": "0.90"},
}


def spent(query: Mapping[str, object]) -> dict[str, Any]:
    tops = TOPS.get(str(query["by"]))
    if tops is None:
        return SPENT
    return {"total": {}, "groups": [{"group": k, "cost": v} for k, v in tops.items()]}


DATA: dict[str, Any] = {
    "providers.list": PROVIDERS,
    "keys.list": KEYS,
    "budgets.list": BUDGETS,
    "health.deployments": DEPLOYMENTS,
    "notifications.list": ALERTS,
    "usage.show": ByQuery(spent),
}
EMPTY = {"providers.list": page(), "keys.list": page()}
LOST = Unreachable("no answer from the gateway at http://gateway.invalid:5000: timed out")
STATES = ["data", "empty", "loading", "error", "offline"]


def samples(count: int = 60) -> list[dict[str, Any]]:
    """A minute of figures that rise and fall."""
    made = []
    for number in range(count):
        wave = abs(number % 20 - 10)
        data = figures(
            requests_per_s_milli=2_400 + 1_000 * wave,
            latency_p95_ms=400 + 40 * wave,
            errors=6 if number % 7 else 45,
            tokens_per_s_milli=1_930_000 - 40_000 * wave,
        )
        at_ms = NOW_MS - (count - number) * SPAN_MS // count
        made.append({**event(number + 1, "stats.sampled", data), "at_ms": at_ms})
    return made


def requests() -> list[dict[str, Any]]:
    outcomes: list[dict[str, Any]] = [
        {},
        {"alias": "claude-sonnet", "provider": "anthropic", "duration_ms": 1_900},
        {"alias": "llama-70b", "provider": "groq", "status": 429, "error_code": "rate_limit"},
        {"alias": "gpt-4o", "key_name": "web", "cost_nanodollars": 3_000_000},
    ]
    return [
        event(100 + number, "request.finished", finished(number, **outcomes[number % 4]))
        for number in range(24)
    ]


async def arranged(app: ConduitApp, state: str, pilot: Pilot[Any]) -> None:
    """Bring the screen into a state."""
    app.store.set_status({"boot": "boot"}, epoch=app.store.epoch)
    if state in ("data", "offline"):
        app.store.receive([*samples(), *requests()])
        await until_shown("516", pilot)
        await until_shown("ALERT", pilot)
    if state == "offline":
        app.store.connectivity.lost("connection refused", 4)
        await until_shown("connection refused", pilot)


def answers_of(state: str) -> dict[str, Any]:
    match state:
        case "empty":
            return EMPTY
        case "loading":
            return {}
        case "error":
            return dict.fromkeys(DATA, LOST)
        case _:
            return DATA


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", STATES)
async def test_it_looks_as_it_was_looked_at(state: str, size: str) -> None:
    app = make_app(answers_of(state))
    async with running(app, SIZES[size]) as pilot:
        await arranged(app, state, pilot)
        await assert_looks(pilot, f"overview-{size}-{state}")


@pytest.mark.parametrize(
    ("name", "look", "size"),
    [
        ("60x16", Look(), (60, 16)),
        ("ascii", Look(ascii=True), (80, 24)),
        ("light", Look(theme="conduit-light"), (120, 40)),
        ("lite", Look(theme="ansi", lite=True), (120, 40)),
        ("high-contrast", Look(theme="high-contrast"), (80, 24)),
        ("deuteranopia", Look(theme="deuteranopia"), (80, 24)),
    ],
)
async def test_it_looks_right_in_every_dress(name: str, look: Look, size: tuple[int, int]) -> None:
    app = make_app(DATA, look=look)
    async with running(app, size) as pilot:
        await arranged(app, "data", pilot)
        await assert_looks(pilot, f"overview-{name}")


async def test_it_looks_right_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(DATA)
    async with running(app) as pilot:
        await arranged(app, "data", pilot)
        await assert_looks(pilot, "overview-no-color")


async def test_providers_show_their_state_as_a_word() -> None:
    app = make_app(DATA)
    async with running(app) as pilot:
        app.store.receive([event(1, "stats.sampled", figures())])
        await until_shown("openai-main", pilot)
        await until(lambda: "516" in screen_text(app), pilot)
        lines = {
            name: line
            for line in screen_text(app).splitlines()
            for name in ("openai-main", "groq", "old", "sealed-one")
            if f" {name} " in line
        }
        assert "up" in lines["openai-main"]
        assert "errors" in lines["groq"]
        assert "off" in lines["old"]
        assert "sealed" in lines["sealed-one"]


async def test_where_there_is_room_it_tells_where_today_goes_to_and_what_costs_most() -> None:
    app = make_app(DATA)
    async with running(app, SIZES["120x40"]) as pilot:
        app.store.receive([*samples(), *requests()])
        # $41.20 until 22:02 is $44.87 by midnight.
        await until_shown("projected $44.87 by 24:00 UTC", pilot)
        await until_shown("keys    web $28.30  ci $12.90", pilot)
        await until_shown("models  gpt-4o $22.10", pilot)
        assert "idle $0" not in screen_text(app)


@pytest.mark.parametrize("size", SIZES)
async def test_providers_show_what_they_cost_today(size: str) -> None:
    app = make_app(DATA)
    async with running(app, SIZES[size]) as pilot:
        await until_shown("$0.90", pilot)
        lines = [line.split() for line in screen_text(app).splitlines()]
        assert "$0.90" in next(line for line in lines if "groq" in line)
        assert "$0.00" in next(line for line in lines if "old" in line)


async def test_alerts_stand_beside_the_providers_where_there_is_room_and_below_otherwise() -> None:
    app = make_app(DATA)
    async with running(app, SIZES["120x40"]) as pilot:
        await until_shown("ALERT", pilot)
        heading = next(line for line in screen_text(app).splitlines() if "PROVIDER" in line)
        assert "ALERT" in heading
        await pilot.resize_terminal(80, 24)
        await until(lambda: "PROVIDER" in screen_text(app), pilot)
        await until(
            lambda: (
                not [
                    line
                    for line in screen_text(app).splitlines()
                    if "PROVIDER" in line and "ALERT" in line
                ]
            ),
            pilot,
        )
        await until_shown("ALERT", pilot)


async def test_keys_which_it_does_not_show_are_not_read() -> None:
    async with running(make_app(DATA)) as pilot:
        await until_shown("openai-main", pilot)
        app: Any = pilot.app
        await until(lambda: app.store.table("providers").is_loaded, pilot)
        asked = {call[0] for call in app.link.calls}
        assert "budgets.list" in asked
        assert "keys.list" not in asked


async def test_a_gap_is_a_line_between_the_requests() -> None:
    app = make_app(DATA)
    async with running(app) as pilot:
        app.store.receive(requests())
        app.store.mark(Mark("lost:1", NOW_MS, "lost", 120))
        await until_shown("gap: 120 events lost", pilot)


@pytest.mark.parametrize(
    ("models", "said"),
    [(12, "ok, 12 models, 41 ms"), (1, "ok, 1 model, 41 ms"), (None, "ok, 41 ms")],
)
async def test_a_provider_is_tested_from_here(models: int | None, said: str) -> None:
    found = {"ok": True, "provider": "openai-main", "latency_ms": 41, "models": models}
    app = make_app({**DATA, "providers.test": found})
    async with running(app) as pilot:
        await until_shown("openai-main", pilot)
        await pilot.press("t")
        await until_shown(f"openai-main: {said}", pilot)
        assert ("providers.test", ("prov_openai-main",), None) in link_of(app).calls


async def test_lite_draws_no_bars() -> None:
    app = make_app(DATA, look=Look(theme="ansi", lite=True))
    async with running(app, SIZES["120x40"]) as pilot:
        app.store.receive(samples())
        await until_shown("1,570", pilot)
        assert not set(screen_text(app)) & set(app.glyphs.bars[1:-1])


def sampled(at_ms: int, value: float) -> Sample:
    return Sample(at_ms, {"value": value})


def test_a_value_holds_until_the_next_sample_and_a_column_shows_its_highest() -> None:
    minute = SPAN_MS // 15
    begun = NOW_MS - SPAN_MS
    told = [
        sampled(begun + 3 * minute, 2.0),
        sampled(begun + 5 * minute, 9.0),
        sampled(begun + 5 * minute + 1, 1.0),
    ]
    values = series(told, lambda sample: float(sample.figures["value"]), 15, NOW_MS)
    assert values == [None] * 3 + [2.0, 2.0, 9.0] + [1.0] * 9


def test_samples_from_before_the_span_count_with_the_last_of_their_values() -> None:
    told = [sampled(NOW_MS - 2 * SPAN_MS, 5.0), sampled(NOW_MS - SPAN_MS - 1, 3.0)]
    values = series(told, lambda sample: float(sample.figures["value"]), 4, NOW_MS)
    assert values == [3.0] * 4
