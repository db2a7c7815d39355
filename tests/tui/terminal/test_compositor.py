"""A terminal that is sent only what has changed shows what it would if it were sent everything."""

from typing import Any

import pyte
import pytest
from rich.console import Console

from conduit.tui.app import ConduitApp
from conduit.tui.state.session import Look
from conduit.tui.terminal.compositor import Lines, SparingCompositor
from conduit.tui.terminal.driver import thrifty
from tests.tui.events import event, figures, key, provider, request_events
from tests.tui.support import SIZES, make_app, page, running, until

DATA = {
    "providers.list": page(provider("openai-main"), provider("groq")),
    "keys.list": page(key("ci", limit="50", spent="41")),
}
Cells = list[list[pyte.screens.Char]]


class Watched:
    """A terminal beside an application: it gets every update that the application draws."""

    def __init__(self, app: ConduitApp, monkeypatch: pytest.MonkeyPatch) -> None:
        self.updates: list[Any] = []
        self.fresh = False
        self._app = app
        self._console = Console(color_system="truecolor", force_terminal=True)
        self._screen, self._stream = self._begun()
        self._feed(self._stream, app.frame._compositor.render_full_update())
        monkeypatch.setattr(app, "_display", self._display)

    def _begun(self) -> tuple[pyte.Screen, pyte.Stream]:
        screen = pyte.Screen(*self._app.size)
        return screen, pyte.Stream(screen)

    def _display(self, _: object, update: Any) -> None:
        if update is not None:
            self.updates.append(update)
            self.fresh = True
            self._feed(self._stream, update)

    def _feed(self, stream: pyte.Stream, update: Any) -> None:
        stream.feed(thrifty(update.render_segments(self._console)))

    def _cells(self, screen: pyte.Screen) -> Cells:
        width, height = self._app.size
        return [[screen.buffer[y][x] for x in range(width)] for y in range(height)]

    @property
    def shown(self) -> Cells:
        return self._cells(self._screen)

    @property
    def wanted(self) -> Cells:
        """What a terminal shows that was sent everything just now."""
        screen, stream = self._begun()
        self._feed(stream, self._app.frame._compositor.render_full_update())
        return self._cells(screen)


def seen_by(app: ConduitApp, first: int) -> None:
    """A few requests and new figures."""
    numbers = range(first, first + 3)
    sampled = event(first + 500, "stats.sampled", figures(requests_per_s_milli=1000 * first))
    app.store.receive([*request_events(*numbers), sampled])


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("name", ["overview", "live"])
async def test_changed_lines_make_the_whole_picture(
    name: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(DATA, look=Look(screen=name))
    async with running(app, size) as pilot:
        seen_by(app, 1)
        app.notify("a toast in front of the lists", timeout=600)
        await until(lambda: app.frame.query("Toast"), pilot)
        await until(lambda: app.frame.store.figures is not None and app.frame.can_draw, pilot)
        await pilot.pause()
        watched = Watched(app, monkeypatch)
        for first in range(10, 100, 10):
            seen_by(app, first)
            watched.fresh = False
            app.frame.show()
            await until(lambda: watched.fresh, pilot)
        await until(lambda: watched.shown == watched.wanted, pilot)
        assert isinstance(app.frame._compositor, SparingCompositor)
        few = [update for update in watched.updates if isinstance(update, Lines)]
        assert few, "most changes leave the layout as it is"
        assert all(0 <= y < size[1] for update in few for _, y, _ in update.pieces)


async def test_nothing_is_sent_where_nothing_has_changed() -> None:
    async with running(make_app(DATA)) as pilot:
        await pilot.pause()
        compositor = pilot.app.screen._compositor
        compositor._dirty_regions.clear()
        assert compositor.render_partial_update() is None
