"""What is known of one thing: a name and a value on each line, long values on several."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from conduit.tui.widgets.grid import Tone, one_line

_LEAST_CELLS = 8
_NOTE_INDENT = 2  # as far as the rows of a list


@dataclass(frozen=True, slots=True)
class Fact:
    """One line. Without a value the name is a heading, without a name the value is a note.

    `bar` stands before the value.
    """

    name: str
    value: str = ""
    tone: Tone = ""
    bar: str = ""


BLANK = Fact("")


class Facts(Widget):
    """As high as what it shows."""

    DEFAULT_CSS = """
    Facts { height: auto; width: 1fr; }
    """
    LABEL_CELLS = 11

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._facts: Sequence[Fact] = ()

    def show(self, facts: Sequence[Fact]) -> None:
        """Show these instead; nothing is drawn when they are the same."""
        if facts != self._facts:
            self._facts = facts
            self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._lines(width))

    def render(self) -> Content:
        return Content("\n").join(self._lines(self.content_size.width))

    def _lines(self, width: int) -> list[Content]:
        return [line for fact in self._facts for line in self._lines_of(fact, width)]

    def _lines_of(self, fact: Fact, width: int) -> list[Content]:
        if not fact.value and not fact.bar:
            return [Content.styled(fact.name, "bold $accent")]
        label_cells = self.LABEL_CELLS if fact.name else _NOTE_INDENT
        room = max(_LEAST_CELLS, width - label_cells)
        value = f"{fact.bar} {one_line(fact.value)}" if fact.bar else one_line(fact.value)
        style = f"${fact.tone}" if fact.tone else "$foreground"
        names = [fact.name, *[""] * len(value)]
        return [
            Content.assemble((name.ljust(label_cells), "$dim"), (text, style))
            for name, text in zip(names, wrapped(value, room), strict=False)
        ]


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines, broken between words where it can be."""
    return textwrap.wrap(text, width, break_on_hyphens=False) or [""]
