"""Scroll bars: after a move, what is drawn again is enough, and little."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from textual.geometry import Size
from textual.scrollbar import ScrollBar

from conduit.tui.widgets.drawing.bars import passed, thumb_of

CELLS = 20
ROWS = st.integers(CELLS + 1, 600)


class Bar(ScrollBar):
    """A bar that stands on no screen."""

    @property
    def size(self) -> Size:
        return Size(1, CELLS)


def bar_at(rows: int, part: float) -> Bar:
    bar = Bar()
    bar.set_reactive(ScrollBar.window_virtual_size, rows)
    bar.set_reactive(ScrollBar.window_size, CELLS)
    bar.set_reactive(ScrollBar.position, float(round((rows - CELLS) * part)))
    return bar


def drawn(bar: Bar) -> list[object]:
    """Its lines as Textual draws them, with what a click on each of them does."""
    rendered = bar.renderer.render_bar(
        size=CELLS,
        virtual_size=bar.window_virtual_size,
        window_size=bar.window_size,
        position=bar.position,
    )
    return [
        (segment.text, segment.style, None if segment.style is None else segment.style.meta)
        for segment in rendered.segments
    ]


@given(ROWS, ROWS, st.floats(0, 1), st.floats(0, 1))
def test_the_lines_that_an_end_of_the_thumb_has_passed_are_all_that_look_different(
    rows: int, later_rows: int, part: float, later_part: float
) -> None:
    before, after = bar_at(rows, part), bar_at(later_rows, later_part)
    lines = zip(drawn(before), drawn(after), strict=True)
    different = {y for y, (was, is_now) in enumerate(lines) if was != is_now}
    assert different <= passed(thumb_of(before), thumb_of(after)) <= set(range(CELLS))


def test_a_list_that_grows_at_its_end_has_a_line_or_two_of_its_bar_drawn_again() -> None:
    bars = [thumb_of(bar_at(rows, 1.0)) for rows in range(100, 300)]
    counts = [len(passed(before, after)) for before, after in pairwise(bars)]
    assert max(counts) <= 2
