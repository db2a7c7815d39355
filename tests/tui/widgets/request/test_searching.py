"""A page of the inspector: searched, and shown in a pager."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from conduit.tui.screens.live import LiveScreen
from conduit.tui.widgets.request.finding import MOST_FOUND, places_of
from conduit.tui.widgets.request.payloads import MOST_LINES
from tests.tui.lives import BODIES, live_app, showing
from tests.tui.support import link_of, screen_text, until, until_shown

LONG = {"messages": [{"role": "user", "content": f"word {n}"} for n in range(MOST_LINES)]}


def with_body(body: object) -> dict[str, Any]:
    request: Any = BODIES["request"]
    return {**BODIES, "request": {**request, "body": json.dumps(body), "encoding": "utf-8"}}


async def test_a_text_is_found_in_a_body_and_the_next_place_with_enter() -> None:
    app = live_app()
    link_of(app).answers["requests.bodies"] = with_body(LONG)
    async with showing(app) as pilot:
        await pilot.press("enter", "4")
        await until_shown('"content": "word 0"', pilot)
        await pilot.press("slash", *"WORD 30")
        await until_shown("1 of 11", pilot)  # 30, and 300 to 309
        await until_shown('"word 30"', pilot)
        await pilot.press("enter")
        await until_shown("2 of 11", pilot)
        await until_shown('"word 300"', pilot)
        await pilot.press("up", "up")
        await until_shown("11 of 11", pilot)
        await until_shown('"word 309"', pilot)
        await pilot.press(*"x")
        await until_shown("not found", pilot)
        await pilot.press("escape")
        await until(lambda: "not found" not in screen_text(app), pilot)
        screen = app.frame
        assert isinstance(screen, LiveScreen)
        assert screen.inspector.has_focus
        await pilot.press("1", "slash")  # where there is no text to search, it filters
        await until(lambda: app.focused is screen.query_one("#filter"), pilot)


def test_places_are_found_in_any_case_and_not_without_end() -> None:
    assert places_of("A.", "xa.a.ab") == [(1, 3), (3, 5)]
    assert places_of("", "abc") == []
    assert len(places_of("a", "a" * 5000)) == MOST_FOUND


async def test_a_body_too_long_to_be_laid_out_is_read_whole_in_the_pager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pager, read = tmp_path / "pager", tmp_path / "read"
    pager.write_text(f"#!/bin/sh\ncat > '{read}'\n")
    pager.chmod(0o755)
    monkeypatch.setenv("PAGER", str(pager))
    monkeypatch.delenv("CONDUIT_PAGER", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    app = live_app()
    lent = []

    @contextmanager
    def suspend() -> Iterator[None]:
        lent.append("to the pager")
        yield

    monkeypatch.setattr(app, "suspend", suspend)
    link_of(app).answers["requests.bodies"] = with_body(LONG)
    async with showing(app) as pilot:
        await pilot.press("enter", "4")
        await until_shown('"content": "word 0"', pilot)
        screen = app.frame
        assert isinstance(screen, LiveScreen)
        assert "P shows all in your pager" in screen.inspector.text
        await pilot.press("P")
        await until(lambda: read.exists() and "word 1999" in read.read_text(), pilot)
        assert json.loads(read.read_text()) == LONG
        assert lent == ["to the pager"]


async def test_without_a_pager_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", "cat")
    monkeypatch.delenv("CONDUIT_PAGER", raising=False)
    async with showing(live_app()) as pilot:
        await pilot.press("enter", "P")
        await until_shown("there is no pager", pilot)
