"""Small charts of what the gateway samples once a second."""

from collections.abc import Callable, Sequence

from textual.content import Content
from textual.widget import Widget

from conduit.tui.state.store import Sample
from conduit.tui.widgets.frame import app_of
from conduit.tui.widgets.kept import Kept

SPAN_MS = 15 * 60 * 1000

Reading = Callable[[Sample], float | None]


def series(
    samples: Sequence[Sample], reading: Reading, columns: int, now_ms: int
) -> list[float | None]:
    """The last quarter of an hour in so many columns, each with its highest value.

    The gateway samples only what has changed, so a value holds until the next one.
    """
    values: list[float | None] = [None] * columns
    begun_ms = now_ms - SPAN_MS
    held: float | None = None
    filled = 0
    for sample in samples:
        column = (sample.at_ms - begun_ms) * columns // SPAN_MS
        while filled < min(column, columns):
            values[filled] = _higher(values[filled], held)
            filled += 1
        held = reading(sample)
        if 0 <= column < columns:
            values[column] = _higher(values[column], held)
    for left in range(filled, columns):
        values[left] = _higher(values[left], held)
    return values


def _higher(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


class Chart(Kept, Widget):
    """Bars as high as there is room, with the present value behind them; in --lite it alone."""

    DEFAULT_CSS = """
    Chart { height: 1fr; width: 1fr; }
    """

    def __init__(
        self, title: str, reading: Reading, shown: Callable[[float], str], *, id: str
    ) -> None:
        super().__init__(id=id, classes="pane")
        self.border_title = title
        self._reading = reading
        self._shown = shown
        self._drawn: object = None

    def redraw(self) -> None:
        """Draw again if that changes anything."""
        if self.is_on_screen and self._content() != self._drawn:
            self.refresh()

    def render(self) -> Content:
        text, lines = self._drawn = self._content()
        blank = " " * len(text)
        return Content("\n").join(
            Content.assemble((line, "$accent"), (blank if more else text, "bold $foreground"))
            for more, line in zip(reversed(range(len(lines))), lines, strict=True)
        )

    def _content(self) -> tuple[str, tuple[str, ...]]:
        app, width = app_of(self), self.content_size.width
        samples = app.store.samples
        shown = app.store.last_figures
        latest = None if shown is None else self._reading(Sample(0, shown))
        text = "-" if latest is None else self._shown(latest)
        columns = width - len(text) - 1
        if app.look.lite or columns < 4 or not samples:
            return text, ("",)
        values = series(list(samples), self._reading, columns, app.store.wall_ms())
        return f" {text}", tuple(app.glyphs.towers(values, max(1, self.content_size.height)))
