"""Bars of text over time, several rows high."""

from collections.abc import Sequence

from textual.content import Content
from textual.widget import Widget

from conduit.tui.state.reports import columns_of
from conduit.tui.widgets.frame import app_of
from conduit.tui.widgets.kept import Kept


class Plot(Kept, Widget):
    """The border tells what is drawn and from when to when. In --lite nothing is drawn."""

    DEFAULT_CSS = """
    Plot { height: 1fr; width: 1fr; color: $accent; border-subtitle-color: $dim; }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, classes="pane")
        self._values: Sequence[float] = ()

    def show(self, values: Sequence[float], title: str, span: str) -> None:
        """Draw these values, each as wide as there is room for."""
        self.border_title, self.border_subtitle = title, span
        if values != self._values:
            self._values = values
            self.refresh()

    def render(self) -> Content:
        app, size = app_of(self), self.content_size
        if app.look.lite:
            return Content("")
        columns = columns_of(self._values, size.width)
        return Content("\n".join(plotted(columns, size.height, app.glyphs.bars)))


def plotted(values: Sequence[float], height: int, bars: str) -> list[str]:
    """The lines of a plot, the highest first; `bars` are the signs from low to high.

    What is not 0 is never drawn as nothing.
    """
    top, steps = max(values, default=0.0), len(bars)
    lines = []
    for row in range(height - 1, -1, -1):
        below = row * steps
        line = ""
        for value in values:
            filled = max(1, round(value / top * height * steps)) if top > 0 and value > 0 else 0
            here = min(steps, filled - below)
            line += bars[here - 1] if here > 0 else " "
        lines.append(line.rstrip())
    return lines
