"""The overview's figures of the run before, as the first frame shows them."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from conduit.tui.app import ConduitApp
from conduit.tui.state import remembering
from conduit.tui.state.remembering import Recalled, file_of, keep, recall
from conduit.tui.state.store import Store
from tests.tui.events import event, figures, provider
from tests.tui.made import report
from tests.tui.support import (
    NOW_MS,
    TARGET,
    FrozenClock,
    link_of,
    make_app,
    page,
    running,
    screen_text,
    until,
    until_shown,
)

URL = TARGET.admin_url
SECRET = "sk-canary-0123456789"
MINUTE_MS = 60_000
BUDGET = {
    "id": "bud_1",
    "scope": {"kind": "key", "id": "key_1"},
    "scope_name": "ci",
    "limit": "50",
    "spent": "41",
    "held": "0",
    "mode": "hard",
    "period": "total",
}


def known_store() -> Store:
    """One that knows what an overview shows, and a few things that are nobody's business."""
    store = Store(clock=FrozenClock(), wall_ms=lambda: NOW_MS - 3 * MINUTE_MS)
    told = provider("openai-main") | {"base_url": f"https://{SECRET}.invalid"}
    store.fill("providers", [told], epoch=store.epoch)
    store.fill("budgets", [BUDGET], epoch=store.epoch)
    store.fill("keys", [{"id": "key_1", "name": SECRET}], epoch=store.epoch)
    sample = figures(requests_per_s_milli=12_400, secret=SECRET)
    store.receive([event(1, "stats.sampled", sample)])
    store.know_spent(remembering.Spent({"2026-11-20": "41.20"}, {"openai-main": "22.10"}))
    return store


def kept() -> Recalled:
    found = known_store().remembered()
    assert found is not None
    keep(URL, found)
    return found


def overview(**answers: Any) -> ConduitApp:
    return make_app({"keys.list": page(), **answers}, connected=False)


def test_it_is_kept_for_its_owner_alone_and_holds_no_more_than_figures_and_names() -> None:
    found = kept()
    path = file_of(URL)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SECRET not in path.read_text()
    assert recall(URL) == found


def test_another_gateway_has_another_file() -> None:
    kept()
    assert recall("http://other.invalid:5000") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": "0", "url": "x"}',
        "[" * 100_000,
        "\x00\xff",
        " " * (remembering.MOST_BYTES + 1),
    ],
    ids=["empty", "cut", "list", "null", "older", "deep", "noise", "large"],
)
def test_a_file_that_cannot_be_read_is_nothing(text: str) -> None:
    kept()
    file_of(URL).write_text(text)
    assert recall(URL) is None


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("at_ms", "soon"),
        ("figures", {"requests": 1}),
        ("figures", []),
        ("days", {"2026-11-20": "NaN"}),
        ("by_provider", None),
        ("tables", {"providers": [{"name": "x"}]}),
        ("tables", {"budgets": [{"scope": None}]}),
        ("tables", []),
    ],
)
def test_a_file_of_another_shape_is_nothing(part: str, value: object) -> None:
    kept()
    path = file_of(URL)
    path.write_text(json.dumps(json.loads(path.read_text()) | {part: value}))
    assert recall(URL) is None


def test_what_is_too_much_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembering, "MOST_BYTES", 100)
    kept()
    assert not file_of(URL).exists()


def test_a_folder_that_cannot_be_written_costs_nothing() -> None:
    folder = file_of(URL).parent
    folder.parent.mkdir(parents=True)
    folder.write_text("in the way")
    kept()
    assert recall(URL) is None


async def test_the_first_frame_shows_what_was_known_and_how_old_it_is() -> None:
    kept()
    app = overview()
    async with running(app) as pilot:
        await until_shown("openai-main", pilot)
        await until_shown("cached 3m ago", pilot)
        text = screen_text(app)
        assert "12.4 rq/s" in text
        assert "82% of $50.00" in text
        assert "today $41.20" in text
        assert "$22.10" in text
        assert "LIVE" not in text


async def test_it_gives_way_to_what_the_gateway_tells() -> None:
    kept()
    app = overview(
        **{
            "providers.list": page(provider("anthropic")),
            "health.deployments": page(),
            "budgets.list": page(),
            "usage.show": report({"by": "day"}),
        }
    )
    async with running(app) as pilot:
        app.store.connectivity.connected()
        await until_shown("anthropic", pilot)
        app.store.set_status({}, epoch=app.store.epoch)
        app.frame.show_store()
        await until(lambda: app.store.recalled is None, pilot)
        app.frame.show()
        await pilot.pause()
        text = screen_text(app)
        assert "cached" not in text
        assert "openai-main" not in text
        assert "12.4" not in text


async def test_what_is_known_at_the_end_is_there_at_the_next_start() -> None:
    app = make_app({"providers.list": page(provider("openai-main")), "keys.list": page()})
    async with running(app) as pilot:
        await until_shown("openai-main", pilot)
    assert recall(URL) is not None
    async with running(overview()) as pilot:
        await until_shown("openai-main", pilot)
        await until_shown("cached 0s ago", pilot)


async def test_other_screens_take_none_of_it_for_records(tmp_path: Path) -> None:
    kept()
    app = overview()
    async with running(app) as pilot:
        await until_shown("cached 3m ago", pilot)
        app.go("providers")
        await until(lambda: app.here == "providers" and app.frame.can_draw, pilot)
        assert not app.store.table("providers").rows
        assert not link_of(app).store.table("budgets").rows
