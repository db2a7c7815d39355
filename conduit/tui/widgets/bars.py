"""Scroll bars for terminals that draw ASCII only."""

from typing import ClassVar

from textual.scrollbar import ScrollBarRender


class AsciiScrollBar(ScrollBarRender):
    """Whole cells: the eighths that smooth the ends elsewhere are no ASCII."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "] * 8
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "] * 8
