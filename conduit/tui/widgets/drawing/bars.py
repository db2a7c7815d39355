"""Scroll bars: for terminals that draw ASCII only, and which of their lines have changed."""

import math
from typing import ClassVar

from textual.scrollbar import ScrollBar, ScrollBarRender

_EIGHTHS = 8


class AsciiScrollBar(ScrollBarRender):
    """Whole cells: the eighths that smooth the ends elsewhere are no ASCII."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "] * 8
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "] * 8


def thumb_of(bar: ScrollBar) -> tuple[int, int]:
    """Where the thumb of a scroll bar begins and ends, in eighths of cells: nothing finer is
    drawn."""
    cells, all_rows, rows = bar.size.height, bar.window_virtual_size, bar.window_size
    if rows >= all_rows or not cells:
        return (0, 0)
    # Step by step as Textual does: in another order it is an eighth more or less at times.
    length = max(1, rows / (all_rows / cells))
    begin = int((cells - length) * (bar.position / (all_rows - rows)) * _EIGHTHS)
    return (begin, begin + math.ceil(length * _EIGHTHS))


def passed(before: tuple[int, int], after: tuple[int, int]) -> set[int]:
    """The lines of a scroll bar that look different once its thumb has moved: those that one of its
    ends has passed."""
    lines: set[int] = set()
    for left, reached in zip(before, after, strict=True):
        if left != reached:
            first, last = sorted((left, reached))
            lines.update(range(first // _EIGHTHS, -(-last // _EIGHTHS)))
    return lines
