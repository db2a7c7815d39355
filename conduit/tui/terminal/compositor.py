"""What of a screen is drawn again after a change: those lines of those widgets, and no others.

Textual asks every widget that touches the box around all changes for all its lines, the boxes
behind the lists too, and cuts and stacks them to find out what is in front. Which widget is in
front in which place changes with the layout only, so here that is found out once for each line.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.console import Console
from textual._compositor import Compositor, CompositorUpdate
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class Part(NamedTuple):
    """The cells `left` to `right` of a line, and the widget in front there; `region` is all of it
    that can be seen, `x` and `y` where it begins, seen or not."""

    left: int
    right: int
    widget: Widget
    region: Region
    x: int
    y: int


class Lines(CompositorUpdate):
    """Pieces of lines, each (x, y, strip)."""

    def __init__(self, pieces: Sequence[tuple[int, int, Strip]]) -> None:
        self.pieces = pieces

    def render_segments(self, console: Console) -> str:
        """What a terminal is sent."""
        return "".join(
            [f"\x1b[{y + 1};{x + 1}H{strip.render(console)}" for x, y, strip in self.pieces]
        )


class SparingCompositor(Compositor):
    """Textual's compositor with a shorter way for changes that leave the layout as it is."""

    _planned_for: object = None
    _plan: dict[int, Sequence[Part]]

    def render_partial_update(self) -> Lines | None:  # type: ignore[override]  # used as any update
        """The lines that have changed."""
        spans = list(self._regions_to_spans(self._dirty_regions))
        self._dirty_regions.clear()
        if not spans:
            return None
        changed = [
            (y, max(left, part.left), min(right, part.right), part)
            for y, left, right in spans
            for part in self._parts(y)
            if part.left < right and left < part.right
        ]
        drawn = _drawn(changed)
        pieces: list[tuple[int, int, Strip]] = []
        for y, left, right, part in changed:
            strip, begin = drawn[part.widget, y], part.region.x
            if (left, right) != part.region.column_span:
                strip = strip.crop(left - begin, right - begin)
            pieces.append((left, y, strip))
        return Lines(pieces)

    def _parts(self, y: int) -> Sequence[Part]:
        """Who is in front where in a line, from one layout to the next."""
        visible = self.visible_widgets
        if visible is not self._planned_for:
            self._planned_for, self._plan = visible, {}
        found = self._plan.get(y)
        if found is None:
            found = self._plan[y] = _parts_of(y, self.size.width, visible)
        return found


def _parts_of(
    y: int, width: int, visible: Mapping[Widget, tuple[Region, Region]]
) -> Sequence[Part]:
    """The parts of one line; `visible` holds (region, clip) of each widget, the front ones first.

    A line outside of the screen has none.
    """
    parts: list[Part] = []
    free = [(0, width)]
    for widget, (region, clip) in visible.items():
        shown = region.intersection(clip)
        if not shown.y <= y < shown.bottom:
            continue
        rest: list[tuple[int, int]] = []
        for left, right in free:
            begin, end = max(left, shown.x), min(right, shown.right)
            if begin >= end:
                rest.append((left, right))
                continue
            parts.append(Part(begin, end, widget, shown, region.x, region.y))
            rest += [(a, b) for a, b in ((left, begin), (end, right)) if a < b]
        free = rest
        if not free:
            break
    return sorted(parts, key=lambda part: part.left)


def _drawn(changed: Sequence[tuple[int, int, int, Part]]) -> Mapping[tuple[Widget, int], Strip]:
    """The lines of widgets by widget and place on the screen; lines that follow one another are
    asked for together."""
    runs: dict[Widget, list[tuple[int, int, Part]]] = {}
    for y, _, _, part in changed:
        of_widget = runs.setdefault(part.widget, [])
        if of_widget and y <= of_widget[-1][1] + 1:
            of_widget[-1] = (of_widget[-1][0], y, part)
        else:
            of_widget.append((y, y, part))
    drawn: dict[tuple[Widget, int], Strip] = {}
    for widget, of_widget in runs.items():
        for first, last, part in of_widget:
            x, y = part.region.x - part.x, first - part.y
            lines = widget.render_lines(Region(x, y, part.region.width, last - first + 1))
            drawn.update(((widget, first + place), line) for place, line in enumerate(lines))
    return drawn
