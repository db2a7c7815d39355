"""Rules are parsed once, and again where what they refer to has changed."""

from collections import Counter
from typing import Any

import pytest
from textual.css import parse as textual_parse
from textual.css import stylesheet as textual_stylesheet

from tests.tui.support import make_app, running, until
from tests.tui.test_app import ANSWERS


async def test_no_source_is_parsed_twice_until_a_theme_changes_the_colours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parsed: Counter[tuple[object, object]] = Counter()

    def counting(scope: str, css: str, read_from: Any, **more: Any) -> Any:
        # Its place among the others is a part of each of its rules.
        parsed[read_from, more["tie_breaker"]] += 1
        return textual_parse.parse(scope, css, read_from, **more)

    monkeypatch.setattr(textual_stylesheet, "parse", counting)
    app = make_app(ANSWERS)
    async with running(app) as pilot:
        for name in ("keys", "providers", "usage", "overview"):
            app.go(name)
            await until(lambda name=name: app.current_mode == name, pilot)  # type: ignore[misc]
        assert len(parsed) > 10
        assert set(parsed.values()) == {1}
        before = app.screen.styles.background
        app.theme = "conduit-light"
        await until(lambda: app.screen.styles.background != before, pilot)
        assert max(parsed.values()) == 2
