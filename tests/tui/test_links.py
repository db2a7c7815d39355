"""What is begun at one gateway never goes on at another that is chosen meanwhile."""

import ast
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

import conduit.tui
from conduit.client.api import OPERATIONS
from conduit.tui.app import ConduitApp
from conduit.tui.state.gateway import ANOTHER_GATEWAY
from conduit.tui.widgets.dialogs.forms import FormDialog
from tests.tui.allowed import group
from tests.tui.events import key, mapping
from tests.tui.screens import back, fill, on_screen
from tests.tui.support import FakeLink, link_of, page, until, until_shown

TUI = Path(conduit.tui.__file__).parent
SOURCES = sorted([*TUI.glob("screens/*.py"), *TUI.glob("widgets/*.py")])
KEY = key("ci", limit="50", spent="41.00")
DATA: dict[str, Any] = {
    "keys.list": page(KEY),
    "groups.list": page(group("eng")),
    "group_transactions.list": page(),
    "mappings.list": page(mapping("fast")),
}


async def look_elsewhere(app: ConduitApp) -> FakeLink:
    """Look at another gateway, as a chosen context does; the answer is the link left behind."""
    before = link_of(app)
    app._make_link = partial(FakeLink, answers=dict.fromkeys(before.answers, page()))
    await app.link.stop()
    app.target = replace(app.target, name="staging", admin_url="http://other.invalid:5000")
    app.link = app._linked()
    app.link.start()
    return before


def changes(link: FakeLink) -> list[Any]:
    return [call for call in link.calls if not OPERATIONS[call[0]].idempotent]


async def typed(what: dict[str, str], app: ConduitApp, pilot: Pilot[Any]) -> None:
    await until(lambda: isinstance(app.screen, FormDialog), pilot)
    for name, text in what.items():
        await fill(name, text, app, pilot)


@pytest.mark.parametrize(
    ("place", "keys", "fields", "agreed"),
    [
        ("keys", ["a"], {"name": "new"}, []),
        ("keys", ["e"], {"name": "ci2"}, []),
        ("keys", ["R"], {}, [*"ci", "enter"]),
        ("keys", ["b", "a"], {"limit": "5"}, []),
        ("keys", ["b", "e"], {"limit": "5"}, []),
        ("groups", ["a"], {"name": "new"}, []),
        ("groups", ["e"], {"name": "eng2"}, []),
        ("groups", ["p", "c"], {"amount": "5", "reason": "paid"}, ["y"]),
        ("mappings", ["a"], {"alias": "new", "targets": "groq/m"}, []),
        ("mappings", ["e"], {"targets": "groq/m"}, []),
    ],
)
async def test_a_form_is_not_sent_to_another_gateway_than_it_was_opened_for(
    place: str, keys: list[str], fields: dict[str, str], agreed: list[str]
) -> None:
    async with on_screen(place, DATA) as (app, pilot):
        await pilot.press(*keys)
        await typed(fields, app, pilot)
        before = await look_elsewhere(app)
        app.store.connectivity.connected()
        await pilot.press("ctrl+s")
        if agreed:
            await until(lambda: not isinstance(app.screen, FormDialog), pilot)
            await pilot.press(*agreed)
        await until_shown(f"not sent: {ANOTHER_GATEWAY}", pilot)
        assert not changes(link_of(app))
        assert not changes(before)
        assert isinstance(app.screen, FormDialog), "what was typed stays"
        await pilot.press("escape", "escape")
        await back(app, pilot)


async def test_a_setting_is_not_entered_into_the_draft_of_another_gateway() -> None:
    row = {
        "name": "max_attempts",
        "value": 3,
        "description": "how often",
        "origin": "default",
        "settable": True,
        "restart_needed": False,
        "default": 3,
    }
    async with on_screen("config", {"config.list": page(row)}) as (app, pilot):
        await pilot.press("e")
        await typed({"value": "5"}, app, pilot)
        await look_elsewhere(app)
        await pilot.press("ctrl+s")
        await until_shown(f"not entered: {ANOTHER_GATEWAY}", pilot)


Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_link_is_taken_before_anything_is_waited_for(path: Path) -> None:
    """Whoever waits first, or sends from within a form, may send to another gateway."""
    tree = ast.parse(path.read_text())
    late = [
        f"{path.name}:{access.lineno}: take the link before the first await"
        for function in ast.walk(tree)
        if isinstance(function, ast.AsyncFunctionDef)
        for access in _late(function)
    ]
    assert not late


def _late(function: ast.AsyncFunctionDef) -> Iterator[ast.Attribute]:
    """Where a method asks for the present link after an await, or in a function within it."""
    own = [node for node in ast.walk(function) if isinstance(node, ast.Await)]
    first = min(((each.end_lineno, each.end_col_offset) for each in own), default=None)
    inner = [node for node in ast.walk(function) if isinstance(node, Function) and node != function]
    within = {access for each in inner for access in ast.walk(each)}
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and node.attr == "link" and _is_of_app(node.value):
            after = first is not None and (node.lineno, node.col_offset) > first
            if after or node in within:
                yield node


def _is_of_app(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "conduit"
