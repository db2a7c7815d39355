"""A pane of a few lines of text."""

from textual.content import Content
from textual.geometry import Region
from textual.widget import Widget

from conduit.tui.widgets.kept import Kept


class Figures(Kept, Widget):
    """A few lines, each drawn again when it says something new."""

    _drawn: Content | None = None

    def redraw(self) -> None:
        """Draw again what would be different."""
        content = self.content()
        if content == self._drawn:
            return
        size = self.content_size
        before = [] if self._drawn is None else self._drawn.split("\n")
        now = content.split("\n")
        if len(before) != len(now) or any(line.cell_length > size.width for line in before + now):
            self.refresh()  # one that is broken moves those below it
            return
        changed = [y for y in range(len(now)) if now[y] != before[y]]
        self.refresh(*(Region(0, y, size.width, 1) for y in changed))

    def render(self) -> Content:
        self._drawn = self.content()
        return self._drawn

    def content(self) -> Content:
        """What the lines say now."""
        return Content()
