"""The screen of what was used and spent."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from conduit.tui.app import ConduitApp
from conduit.tui.screens.usage import UsageScreen, command_of
from conduit.tui.state.reports import Ask
from conduit.tui.state.session import Look
from conduit.tui.widgets.grid import Grid
from tests.tui.events import key, request_events
from tests.tui.made import report, row
from tests.tui.screens import LOST, NOTHING, STATES
from tests.tui.snapshots import assert_looks
from tests.tui.support import (
    SIZES,
    Answer,
    ByQuery,
    make_app,
    page,
    running,
    screen_text,
    until,
    until_shown,
)

TOTAL: Mapping[str, Any] = {
    "requests": 1_304,
    "attempts": 1_310,
    "input_tokens": 2_208_310,
    "output_tokens": 48_210,
    "cache_read_tokens": 90_000,
    "cost": "13.20",
    "estimated": 3,
    "open_holds": 2,
    "held": "0.10",
}
MODELS = (
    row("gpt-4o", requests=1_100, input_tokens=2_204_000, output_tokens=40_000, cost="12.50"),
    row("claude-sonnet", requests=104, input_tokens=4_310, output_tokens=8_210, cost="0.40"),
    row("own", requests=100, cost="0.30"),
)
KEYS = tuple(
    {**row(name, requests=requests, cost=cost), "key_id": f"key_{name}"}
    for name, requests, cost in (("ci", 1_200, "13.00"), ("web", 104, "0.20"))
)


def _days(query: Mapping[str, Any]) -> list[dict[str, Any]]:
    factor = 3 if query.get("model") == "own" else 1
    return [
        row(f"2026-11-{day:02}", requests=day * 7, input_tokens=day * 1_000, cost=f"0.{day * 3}")
        for day in range(2, 21, factor)
    ]


def answer(query: Mapping[str, Any]) -> dict[str, Any]:
    """Sums as a gateway would have them."""
    match query["by"]:
        case "model":
            return report(query, *MODELS, **TOTAL)
        case "key":
            return report(query, *KEYS, **TOTAL)
        case "day":
            return report(query, *_days(query), **TOTAL)
        case "hour":
            hours = (f"2026-11-20T{hour:02}:00:00Z" for hour in range(8, 22, 2))
            return report(query, *(row(hour, requests=9, cost="0.5") for hour in hours), **TOTAL)
        case _:
            return report(query, row("eng", cost="13.20"), **TOTAL)


def usage_app(given: Answer | None = None, **options: Any) -> tuple[ConduitApp, ByQuery]:
    asked = ByQuery(answer if given is None else lambda _: given)
    answers: dict[str, Answer] = {**NOTHING, "usage.show": asked}
    return make_app(answers, look=Look(screen="usage", **options)), asked


def screen_of(app: ConduitApp) -> UsageScreen:
    assert isinstance(app.frame, UsageScreen)
    return app.frame


async def all_read(app: ConduitApp, asked: ByQuery, pilot: Pilot[Any], count: int = 5) -> None:
    """Wait for the report, its course, and those of its rows."""
    await until(lambda: len(asked.queries) >= count, pilot)
    await until_shown("sum", pilot)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", STATES)
async def test_it_looks_as_it_was_looked_at(state: str, size: str) -> None:
    app, asked = usage_app(LOST if state == "error" else None)
    if state == "empty":
        asked.answer = report
    if state == "loading":
        app = make_app({}, look=Look(screen="usage"))
    async with running(app, SIZES[size]) as pilot:
        if state in ("data", "offline"):
            await all_read(app, asked, pilot)
        if state == "offline":
            app.store.connectivity.lost("connection refused", 4)
            await until_shown("connection refused", pilot)
        await assert_looks(pilot, f"usage-{size}-{state}")


async def test_in_ascii_it_is_ascii() -> None:
    app, asked = usage_app(ascii=True)
    async with running(app) as pilot:
        await all_read(app, asked, pilot)
        await pilot.pause()
        assert screen_text(app).isascii(), screen_text(app)


async def test_lite_draws_no_plot() -> None:
    app, asked = usage_app(lite=True)
    async with running(app) as pilot:
        await all_read(app, asked, pilot)
        await until_shown("/day", pilot)
        assert not set("▁▂▃▄▅▆▇") & set(screen_text(app).split("MODEL")[0])


async def test_the_sum_is_what_the_gateway_says_and_not_a_sum_of_rows() -> None:
    """The rows come to less: there are more than one answer holds."""
    app, asked = usage_app()
    async with running(app, SIZES["120x40"]) as pilot:
        await all_read(app, asked, pilot)
        line = next(line for line in screen_text(app).splitlines() if line.startswith("  sum"))
        assert line.split()[1:] == ["1,304", "2,208,310", "48,210", "90,000", "$13.20"]
        await until_shown("$0.10 held for 2 open calls", pilot)
        await until_shown("3 of 1,310 attempts estimated", pilot)


async def test_rows_stand_with_their_share_and_their_course() -> None:
    app, asked = usage_app()
    async with running(app) as pilot:
        await all_read(app, asked, pilot)
        await until(lambda: "▁" in _line(app, "own"), pilot)
        assert "95%" in _line(app, "gpt-4o")
        assert "$12.50" in _line(app, "gpt-4o")
        asked_for = [query.get("model") for query in asked.queries]
        assert asked_for == [None, None, "gpt-4o", "claude-sonnet", "own"]


def _line(app: ConduitApp, name: str) -> str:
    return next((line for line in screen_text(app).splitlines() if f" {name} " in line), "")


async def test_a_period_and_a_grouping_are_chosen_by_two_keys() -> None:
    app, asked = usage_app()
    async with running(app) as pilot:
        await all_read(app, asked, pilot)
        assert asked.queries[0]["since"] == "2026-10-22T00:00:00Z"
        await pilot.press("p", "m")
        await until(lambda: asked.queries[-1]["since"] == "2026-11-01T00:00:00Z", pilot)
        await pilot.press("b", "k")
        await until_shown("ci", pilot)
        assert screen_of(app).ask.by == "key"


async def test_a_tag_is_chosen_among_those_that_keys_have() -> None:
    asked = ByQuery(answer)
    keys = page(key("ci", tags={"team": "a", "env": "ci"}), key("web"))
    answers: dict[str, Answer] = {**NOTHING, "usage.show": asked, "keys.list": keys}
    app = make_app(answers, look=Look(screen="usage"))
    async with running(app) as pilot:
        await all_read(app, asked, pilot)
        await pilot.press("b", "t")
        await until_shown("by which tag", pilot)
        await pilot.press(*"team", "enter")
        await until(lambda: "tag:team" in [each["by"] for each in asked.queries], pilot)
        await until_shown("TAG:TEAM", pilot)
        why = screen_of(app).why_not(next(a for a in screen_of(app).ACTIONS if a.verb == "open"))
        assert why == "the rows of a tag cannot be asked for alone"
        app.run_line("usage 7d tag:env")
        await until(lambda: "tag:env" in [each["by"] for each in asked.queries], pilot)
        assert screen_of(app).period.name == "7d"


@pytest.mark.parametrize("route", ["click", "line"])
async def test_a_period_is_chosen_by_the_mouse_and_by_the_command_line(route: str) -> None:
    app, asked = usage_app()
    async with running(app) as pilot:
        await all_read(app, asked, pilot)
        if route == "click":
            line = screen_text(app).splitlines()[2]
            await pilot.click(offset=(line.index("today") + 1, 2))
        else:
            app.run_line("usage today")
        await until(lambda: asked.queries[-1]["since"] == "2026-11-20T00:00:00Z", pilot)


async def test_an_unknown_word_of_the_command_line_is_told() -> None:
    app, asked = usage_app()
    async with running(app) as pilot:
        await all_read(app, asked, pilot)
        app.run_line("usage by nonsense")
        await until_shown("nonsense", pilot)


async def test_enter_looks_into_a_row_and_escape_goes_back() -> None:
    app, asked = usage_app()
    async with running(app) as pilot:
        await all_read(app, asked, pilot)
        await pilot.press("down", "enter")
        await until_shown("only model claude-sonnet", pilot)
        await until(lambda: screen_of(app).reading.value is not None, pilot)
        assert screen_of(app).ask == Ask(
            "key", "2026-10-22T00:00:00Z", None, (("model", "claude-sonnet"),)
        )
        await pilot.press("enter")
        await until_shown("only model claude-sonnet, key ci", pilot)
        assert ("key", "key_ci") in screen_of(app).ask.only
        await pilot.press("escape", "escape")
        await until(lambda: "only" not in screen_text(app), pilot)
        assert screen_of(app).ask.by == "model"
        assert app.why_not(next(a for a in app.actions() if a.id == "usage.back"))


async def test_what_is_looked_at_stays_when_another_screen_is_shown() -> None:
    app, asked = usage_app()
    async with running(app) as pilot:
        await all_read(app, asked, pilot)
        await pilot.press("down", "enter")
        await until_shown("only model claude-sonnet", pilot)
        await pilot.press("f8")
        await until(lambda: app.here == "overview", pilot)
        before = len(asked.queries)
        await pilot.press("g", "u")
        await until_shown("only model claude-sonnet", pilot)
        await until_shown("ci", pilot)
        assert len(asked.queries) <= before + 2, "what is known is not asked for again"


async def test_the_plot_shows_spend_requests_and_tokens_in_turn() -> None:
    app, asked = usage_app()
    async with running(app) as pilot:
        await all_read(app, asked, pilot)
        await until_shown("Spend $13.20", pilot)
        await pilot.press("m")
        await until_shown("Requests 1,304, most 140/day", pilot)
        await pilot.press("m")
        await until_shown("Tokens 2.26M, most 20,000/day", pilot)


async def test_where_there_is_room_all_three_are_shown() -> None:
    app, asked = usage_app()
    async with running(app, SIZES["120x40"]) as pilot:
        await all_read(app, asked, pilot)
        for title in ("Spend $13.20", "Requests 1,304", "Tokens 2.26M"):
            await until_shown(title, pilot)


async def test_requests_that_come_in_have_the_sums_read_again() -> None:
    app, asked = usage_app()
    async with running(app) as pilot:
        await all_read(app, asked, pilot)
        await until(lambda: not screen_of(app).reading.is_reading, pilot)
        before = len(asked.queries)
        app.store.receive(request_events(1))
        await until(lambda: len(asked.queries) >= before + 2, pilot)


async def test_after_a_failure_the_next_connection_reads_again() -> None:
    app, _ = usage_app(LOST)
    async with running(app) as pilot:
        await until_shown("timed out", pilot)
        app.store.connectivity.lost("connection refused", 4)
        await until_shown("connection refused", pilot)
        app.link.answers["usage.show"] = ByQuery(answer)  # type: ignore[attr-defined]
        app.store.connectivity.connected()
        await until_shown("gpt-4o", pilot)


async def test_another_gateway_is_looked_at_from_the_beginning() -> None:
    app, asked = usage_app()
    async with running(app) as pilot:
        await all_read(app, asked, pilot)
        await pilot.press("enter")
        await until_shown("only model gpt-4o", pilot)
        before = len(asked.queries)
        app.store.begin()
        app.store.connectivity.connected()
        await until(lambda: len(asked.queries) > before, pilot)
        assert screen_of(app).ask.only == ()
        await until(lambda: "only" not in screen_text(app), pilot)


async def test_a_later_failure_leaves_what_was_read() -> None:
    app, asked = usage_app()
    async with running(app) as pilot:
        await all_read(app, asked, pilot)
        await until(lambda: not screen_of(app).reading.is_reading, pilot)
        app.link.answers["usage.show"] = LOST  # type: ignore[attr-defined]
        app.store.receive(request_events(1))
        await until_shown("timed out", pilot)
        assert "gpt-4o" in screen_text(app)


async def export(pilot: Pilot[Any], path: Path, form: str = "csv") -> None:
    app = pilot.app
    assert isinstance(app, ConduitApp)
    await pilot.press("E")
    await until_shown("export the report", pilot)
    app.screen.query_one("#field-path").value = str(path)  # type: ignore[attr-defined]
    app.screen.query_one("#field-form").value = form  # type: ignore[attr-defined]
    await pilot.press("ctrl+s")


@pytest.mark.parametrize("form", ["csv", "json"])
async def test_the_report_that_is_shown_is_exported(form: str, tmp_path: Path) -> None:
    app, asked = usage_app()
    path = tmp_path / f"november.{form}"
    async with running(app) as pilot:
        await all_read(app, asked, pilot)
        await export(pilot, path, form)
        await until_shown("wrote 3 rows", pilot)
        shown = screen_of(app).reading.value
    assert shown is not None
    if form == "json":
        assert json.loads(path.read_text()) == shown
    else:
        assert path.read_text().splitlines()[1].startswith("gpt-4o,,1100,")


async def test_an_export_replaces_no_file_unasked(tmp_path: Path) -> None:
    app, asked = usage_app()
    path = tmp_path / "november.csv"
    path.write_text("mine")
    async with running(app) as pilot:
        await all_read(app, asked, pilot)
        await export(pilot, path)
        await until_shown("there is such a file already", pilot)
        assert path.read_text() == "mine"
        app.screen.query_one("#field-over").value = True  # type: ignore[attr-defined]
        await pilot.press("ctrl+s")
        await until_shown("wrote 3 rows", pilot)
    assert path.read_text().startswith("model,id,")


async def test_a_file_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    app, asked = usage_app()
    async with running(app) as pilot:
        await all_read(app, asked, pilot)
        await export(pilot, tmp_path / "nowhere" / "november.csv")
        await until_shown("No such file or directory", pilot)


async def test_sixty_by_sixteen_shows_rows_and_the_sum() -> None:
    app, asked = usage_app()
    async with running(app, (60, 16)) as pilot:
        await all_read(app, asked, pilot)
        assert app.frame.query_one("#grid", Grid).size.height > 1
        assert "$13.20" in screen_text(app)


def test_the_command_for_a_report_is_one_of_the_command_line() -> None:
    ask = Ask("key", "2026-11-01T00:00:00Z", None, (("model", "gpt-4o"),))
    assert command_of(ask) == ("conduit usage --by key --since 2026-11-01T00:00:00Z --model gpt-4o")
    assert "--since ever" in command_of(Ask("day", None, None))
