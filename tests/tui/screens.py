"""What the tests of all list screens share: a screen in one of its states, and what was sent."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input

from conduit.client.errors import AuthenticationFailed, Unreachable
from conduit.tui.app import ConduitApp
from conduit.tui.journal import journal_file
from conduit.tui.state.session import Look
from conduit.tui.widgets.detailed import DetailedScreen
from conduit.tui.widgets.records import RecordsScreen
from tests.tui.made import cache
from tests.tui.support import (
    SIZES,
    Answer,
    link_of,
    make_app,
    page,
    running,
    until,
    until_shown,
)

STATES = ["data", "empty", "loading", "error", "offline"]
LOST = Unreachable("no answer from the gateway at http://gateway.invalid:5000: timed out")
REFUSED = AuthenticationFailed("unauthorized", "the master key is not one of this gateway's")
NOTHING: Mapping[str, Answer] = {
    "keys.list": page(),
    "providers.list": page(),
    "mappings.list": page(),
    "config.list": page(),
    "prices.list": page(),
    "notifications.list": page(),
    "cache.show": cache(),
    "groups.list": page(),
}


@asynccontextmanager
async def on_screen(
    place: str, answers: Mapping[str, Answer], size: str = "80x24"
) -> AsyncIterator[tuple[ConduitApp, Pilot[Any]]]:
    """The application on this screen, whose records are there when one is named."""
    app = make_app({**NOTHING, **answers}, look=Look(screen=place))
    async with running(app, SIZES[size]) as pilot:
        tables = list_of(app).watched_tables()
        await until(lambda: all(app.store.table(name).is_loaded for name in tables), pilot)
        await until(lambda: list_of(app).grid.count() == len(app.store.table(place).rows), pilot)
        yield app, pilot


@asynccontextmanager
async def in_state(
    place: str, state: str, answers: Mapping[str, Answer], size: str
) -> AsyncIterator[tuple[ConduitApp, Pilot[Any]]]:
    """The application on this screen in one of the five states."""
    given: Mapping[str, Answer] = {**NOTHING, **answers}
    if state == "empty":
        given = NOTHING
    elif state == "loading":
        given = {}
    elif state == "error":
        given = dict.fromkeys(NOTHING, LOST)
    app = make_app(given, look=Look(screen=place))
    async with running(app, SIZES[size]) as pilot:
        if state in ("data", "offline"):
            await until(lambda: app.store.table(place).rows, pilot)
            await until(lambda: list_of(app).grid.count(), pilot)
        if state == "offline":
            if size == "120x40":
                await until(lambda: is_read(detailed(app)), pilot)
            app.store.connectivity.lost("connection refused", 4)
            await until_shown("connection refused", pilot)
        yield app, pilot


def detailed(app: ConduitApp) -> DetailedScreen:
    assert isinstance(app.frame, DetailedScreen), "a list with its record beside it"
    return app.frame


def is_read(screen: DetailedScreen) -> bool:
    """Whether the pane shows all that there is of the record under the cursor."""
    row = screen.row
    if row is None or screen.detail_stamp(row) is None:
        return row is not None
    return screen.reading_of(row) is not None


def list_of(app: ConduitApp) -> RecordsScreen:
    assert isinstance(app.frame, RecordsScreen), "a list is shown"
    return app.frame


def sent(app: ConduitApp, *operations: str) -> list[tuple[str, tuple[str, ...], Any]]:
    """The calls of these operations."""
    return [call for call in link_of(app).calls if call[0] in operations]


async def at_field(name: str, app: ConduitApp, pilot: Pilot[Any]) -> None:
    """Go to a field of the form that is shown, with the cursor at its end."""
    field = app.screen.query_one(f"#field-{name}")
    field.focus()
    await until(lambda: app.focused is field, pilot)
    if isinstance(field, Input):
        await pilot.press("end")


async def fill(name: str, text: str, app: ConduitApp, pilot: Pilot[Any]) -> None:
    """Type a text into a field of the form instead of what stands there."""
    await at_field(name, app, pilot)
    await pilot.press("ctrl+u", *text)


async def back(app: ConduitApp, pilot: Pilot[Any]) -> None:
    """Wait until no dialog stands before the screen."""
    await until(lambda: app.screen is app.frame, pilot)


def assert_kept_nowhere(app: ConduitApp, secret: str) -> None:
    """A secret stands in no table, message, toast, journal or picture."""
    tables = repr([table.rows for table in app.store.tables.values()])
    said = repr([(message.text, message.hint) for message in app.store.messages])
    toasts = repr([toast.message for toast in app._notifications])
    journal = journal_file()
    written = journal.read_text() if journal.exists() else ""
    for place in (tables, said, toasts, written, app.export_screenshot()):
        assert secret not in place
