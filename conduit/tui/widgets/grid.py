"""A list of records in columns: draws what is visible, writes only the lines that changed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBar
from textual.strip import Strip

from conduit.tui.glyphs import Glyphs
from conduit.tui.state.traffic import Mark
from conduit.tui.widgets.drawing.bars import passed, thumb_of
from conduit.tui.widgets.frame import app_of

Tone = Literal["", "good", "warn", "bad", "dim", "accent"]
_GUTTER = 2
_GAP = 1
_MOST_DRAWN = 120
_UNCONFIRMED = "~"
_FAINT = Style(dim=True, bold=False)


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one place, and how it is meant."""

    text: str
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `cell` draws a record; `width` is the least, `grow` its part of the rest.

    `priority` 0 is always shown; where there is no room the highest goes first.
    """

    title: str
    cell: Callable[[Any, Glyphs], Cell | str]
    width: int
    grow: int = 0
    right: bool = False
    priority: int = 1
    sort: Callable[[Any], Any] | None = None


def laid_out(columns: Sequence[Column], width: int) -> list[tuple[Column, int]]:
    """The columns that fit into a width, and how wide each of them is."""
    kept = list(columns)
    room = width - _GUTTER
    while len(kept) > 1 and sum(c.width for c in kept) + _GAP * (len(kept) - 1) > room:
        lowest = max(column.priority for column in kept)
        if lowest == 0:
            break
        del kept[max(i for i, column in enumerate(kept) if column.priority == lowest)]
    left = max(0, room - sum(c.width for c in kept) - _GAP * (len(kept) - 1))
    growing = sum(column.grow for column in kept)
    widths = []
    for column in kept:
        share = left * column.grow // growing if growing else 0
        left, growing = left - share, growing - column.grow
        widths.append((column, column.width + share))
    return widths


@dataclass(frozen=True, slots=True)
class Pen:
    """What all rows of one drawing share: looked up once, not for every cell. `styles` fills up
    with those of components, each on the ground of the list."""

    columns: Sequence[Column]
    layout: Sequence[tuple[Column, int]]
    width: int
    style: Style
    glyphs: Glyphs
    styles: dict[str, Style] = field(default_factory=dict)


class Grid(ScrollView, can_focus=True):
    """Rows with a cursor and marks. Override `count`, `row_at` and `key_at` for other sources."""

    HAS_CURSOR: ClassVar[bool] = True

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "grid--header",
        "grid--cursor",
        "grid--cursor-blurred",
        "grid--good",
        "grid--warn",
        "grid--bad",
        "grid--dim",
        "grid--accent",
    }
    DEFAULT_CSS = """
    Grid { height: 1fr; background: $background; color: $foreground; scrollbar-size-vertical: 1;
           overflow-x: hidden; }
    Grid .grid--header { color: $dim; text-style: bold; }
    Grid .grid--cursor { background: $cursor; color: $cursor-text; text-style: bold; }
    Grid .grid--cursor-blurred { background: $panel; color: $foreground; }
    Grid .grid--good { color: $good; }
    Grid .grid--warn { color: $warn; }
    Grid .grid--bad { color: $bad; }
    Grid .grid--dim { color: $dim; }
    Grid .grid--accent { color: $accent; }
    """
    BINDINGS = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "edge(-1)", "First", show=False),
        Binding("end,G", "edge(1)", "Last", show=False),
    ]

    class Opened(Message):
        """A row was clicked twice."""

    class Moved(Message):
        """The cursor stands on another row."""

        def __init__(self, grid: "Grid", key: str | None) -> None:
            super().__init__()
            self.grid = grid
            self.key = key

        @property
        def control(self) -> "Grid":
            return self.grid

    def __init__(self, columns: Sequence[Column], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.columns = columns
        self.cursor = 0
        self.marked: set[str] = set()
        self.unconfirmed: set[str] = set()
        """The rows that are dimmed, for the gateway has not confirmed them yet."""
        self._rows: Sequence[Any] = ()
        self._keys: Sequence[str] = ()
        self._strips: dict[int, Strip] = {}
        self._due: set[int] = set()
        self._pen: Pen | None = None
        self._heading: Strip | None = None
        self._is_scrolling = False
        self._bar_due: set[int] = set()
        self._lets_bar_wait = False

    # The rows

    def count(self) -> int:
        return len(self._rows)

    def row_at(self, index: int) -> Any:
        return self._rows[index]

    def key_at(self, index: int) -> str:
        return self._keys[index]

    def across(self, row: Any) -> Cell | None:
        """What takes the whole line of a row in place of the columns, or None."""
        return Cell(row.text, "warn") if isinstance(row, Mark) else None

    def set_rows(self, rows: Sequence[Any], keys: Sequence[str]) -> None:
        """Show these rows; the cursor stays on its record, or near where it was."""
        at = self.cursor_key
        self._rows, self._keys = rows, keys
        self.marked &= set(keys)
        self.cursor = max(0, min(len(rows) - 1, self.cursor))
        if at is not None and self.cursor_key != at and at in keys:
            self.cursor = list(keys).index(at)
        self.resized()
        self.repaint()
        if self.cursor_key != at:
            self.post_message(self.Moved(self, self.cursor_key))

    @property
    def cursor_key(self) -> str | None:
        return self.key_at(self.cursor) if 0 <= self.cursor < self.count() else None

    @property
    def cursor_row(self) -> Any | None:
        return self.row_at(self.cursor) if 0 <= self.cursor < self.count() else None

    def move_to(self, index: int) -> None:
        """Put the cursor on a row and show it."""
        before = self.cursor_key
        self.cursor = max(0, min(self.count() - 1, index))
        self._show_cursor()
        if self.cursor_key != before:
            self.post_message(self.Moved(self, self.cursor_key))

    def move_to_key(self, key: str) -> bool:
        for index in range(self.count()):
            if self.key_at(index) == key:
                self.move_to(index)
                return True
        return False

    def toggle_mark(self, key: str) -> None:
        self.marked ^= {key}
        self.repaint()

    def resized(self) -> None:
        """Tell the scroll bar how many rows there are."""
        size = Size(self.container_size.width, self.count() + 1)
        if size == self.virtual_size:
            return
        if self.show_vertical_scrollbar and size.height > self.container_size.height:
            # Nothing moves but the bar; Textual would lay out the whole screen anew.
            self.set_reactive(Grid.virtual_size, size)
            self._move_bar()
        else:
            self.virtual_size = size

    def _move_bar(self) -> None:
        """Tell the scroll bar where the rows are; it is drawn by `show_bar`."""
        bar = self.vertical_scrollbar
        before = thumb_of(bar)
        bar.set_reactive(ScrollBar.window_virtual_size, self.virtual_size.height)
        bar.set_reactive(ScrollBar.position, self.scroll_y)
        self._bar_due |= passed(before, thumb_of(bar))
        if not self._lets_bar_wait:
            self.show_bar()

    def show_bar(self) -> None:
        """Draw the scroll bar where it has moved."""
        if self._bar_due:
            bar, spans = self.vertical_scrollbar, _spans(sorted(self._bar_due))
            bar.refresh(*(Region(0, y, bar.size.width, count) for y, count in spans))
            self._bar_due.clear()

    # Keys and mouse

    def action_move(self, by: int) -> None:
        self.move_to(self.cursor + by)

    def action_page(self, pages: int) -> None:
        self.move_to(self.cursor + pages * max(1, self.size.height - 2))

    def action_edge(self, side: int) -> None:
        self.move_to(0 if side < 0 else self.count() - 1)

    def on_click(self, event: events.Click) -> None:
        index = self.scroll_offset.y + event.y - 1
        if event.y >= 1 and index < self.count():
            self.move_to(index)
            if event.chain == 2:
                self.post_message(self.Opened())

    def _show_cursor(self) -> None:
        """Scroll to where the cursor can be seen, and draw."""
        visible = self.size.height - 1
        top = self.scroll_offset.y
        self._is_scrolling = True
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, immediate=True)
        elif visible > 0 and self.cursor >= top + visible:
            self.scroll_to(y=self.cursor - visible + 1, animate=False, immediate=True)
        self._is_scrolling = False
        self.repaint()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        # Not Textual's own, which would write every line anew, the heading too.
        if self.show_vertical_scrollbar:
            self._move_bar()
        if not self._is_scrolling:
            self.repaint()

    def on_resize(self) -> None:
        self._forget()
        self.resized()
        self._show_cursor()

    def on_focus(self) -> None:
        self.repaint()

    def on_blur(self) -> None:
        self.repaint()

    # Drawing

    def repaint(self) -> None:
        """Write the lines that differ from what stands on the screen."""
        pen = self._pen_now()
        for y in range(self.size.height):
            strip, drawn = self._line(y, pen), self._strips.get(y)
            if strip is not drawn and strip != drawn:
                self._strips[y] = strip
                self._due.add(y)
        if self._due:
            spans = _spans(sorted(self._due))
            self.refresh(*(Region(0, y, pen.width, count) for y, count in spans))

    def _forget(self) -> None:
        """What has been drawn, or is about to be, is of another size or in other colours."""
        self._strips.clear()
        self._due.clear()
        self._pen = self._heading = None

    def notify_style_update(self) -> None:
        self._forget()
        super().notify_style_update()

    def render_lines(self, crop: Region) -> list[Strip]:
        if self.styles.gutter or self.opacity < 1:
            return super().render_lines(crop)
        # Nothing goes around or over a list, so Textual's second pass over every line is left out.
        strips = [self.render_line(y) for y in crop.line_range]
        if filters := self.get_line_filters():
            ground = self.background_colors[1]
            for each in filters:
                strips = [strip.apply_filter(each, ground) for strip in strips]
        if crop.column_span == (0, self.size.width):
            return strips
        return [strip.crop(*crop.column_span) for strip in strips]

    def render_line(self, y: int) -> Strip:
        if y in self._due:  # drawn a moment ago, to see whether it differs
            self._due.discard(y)
        else:
            self._strips[y] = self._line(y, self._pen_now())
        return self._strips[y]

    def _pen_now(self) -> Pen:
        pen, width = self._pen, self.scrollable_content_region.width
        if pen is None or pen.width != width or pen.columns is not self.columns:
            layout = laid_out(self.columns, width)
            pen = Pen(self.columns, layout, width, self.rich_style, app_of(self).glyphs)
            self._pen, self._heading = pen, None
        return pen

    def _line(self, y: int, pen: Pen) -> Strip:
        if y == 0:
            if self._heading is None:
                self._heading = self._header(pen)
            return self._heading
        index = self.scroll_offset.y + y - 1
        if index >= self.count():
            return Strip.blank(pen.width, pen.style)
        return self._row(index, pen)

    def _header(self, pen: Pen) -> Strip:
        style = pen.style + self.get_component_rich_style("grid--header", partial=True)
        titles = (_padded(column.title, cells, column, pen) for column, cells in pen.layout)
        text = " " * _GUTTER + (" " * _GAP).join(titles)
        return Strip([Segment(text, style)]).adjust_cell_length(pen.width, style)

    def _row(self, index: int, pen: Pen) -> Strip:
        row, key = self.row_at(index), self.key_at(index)
        here = index == self.cursor and self.HAS_CURSOR
        style, plain = pen.style, False
        if here:
            # On the cursor the word says it: colours meant for the ground would be hard to read.
            plain = self.has_focus
            style = self._style("cursor" if plain else "cursor-blurred", pen, partial=False)
        cursor = pen.glyphs.cursor if here else " "
        is_unconfirmed = key in self.unconfirmed
        if is_unconfirmed:
            style += _FAINT
        mark = pen.glyphs.mark if key in self.marked else _UNCONFIRMED if is_unconfirmed else " "
        if (whole := self.across(row)) is not None:
            sign = pen.glyphs.gap
            text = shortened(f"{sign} {whole.text} {sign}", pen.width - _GUTTER, pen.glyphs)
            cells: Sequence[Cell] = [Cell(text, whole.tone)]
        else:
            cells = self._cells(key, row, pen)
        segments: list[Segment] = []
        untoned = f"{cursor}{mark}"
        for place, cell in enumerate(cells):
            gap = " " * _GAP if place else ""
            if plain or is_unconfirmed or not cell.tone:  # most of a row is one run of one style
                untoned += gap + cell.text
                continue
            if untoned + gap:
                segments.append(Segment(untoned + gap, style))
            segments.append(Segment(cell.text, style + self._style(cell.tone, pen, partial=True)))
            untoned = ""
        if untoned:
            segments.append(Segment(untoned, style))
        # A tone may be no different from the ground.
        return Strip(segments).simplify().adjust_cell_length(pen.width, style)

    def _cells(self, key: str, row: Any, pen: Pen) -> Sequence[Cell]:
        """What stands in the columns of a row, as wide as they are."""
        found = []
        for column, width in pen.layout:
            drawn = column.cell(row, pen.glyphs)
            text, tone = (drawn.text, drawn.tone) if isinstance(drawn, Cell) else (drawn, "")
            found.append(Cell(_padded(text, width, column, pen), tone))
        return found

    def _style(self, name: str, pen: Pen, *, partial: bool) -> Style:
        """The style of a component; where it is not partial, on the ground of the list."""
        style = pen.styles.get(name)
        if style is None:
            style = self.get_component_rich_style(f"grid--{name}", partial=partial)
            pen.styles[name] = style = style if partial else pen.style + style
        return style


class LastingGrid(Grid):
    """A list of what never changes and only moves: each row is drawn once in each style."""

    _rows_drawn: dict[str, Strip]
    _drawn_with: Pen | None = None
    _latest: tuple[Pen, str, Sequence[Cell]] | None = None

    def _cells(self, key: str, row: Any, pen: Pen) -> Sequence[Cell]:
        # The last row with the cursor on it is mostly the next one to be drawn without.
        if self._latest is None or self._latest[0] is not pen or self._latest[1] != key:
            self._latest = (pen, key, super()._cells(key, row, pen))
        return self._latest[2]

    def _row(self, index: int, pen: Pen) -> Strip:
        if index == self.cursor and self.HAS_CURSOR:
            return super()._row(index, pen)
        if pen is not self._drawn_with:
            self._rows_drawn = {}
            self._drawn_with = pen
        key = self.key_at(index)
        drawn = self._rows_drawn.get(key)
        if drawn is None:
            drawn = self._rows_drawn[key] = super()._row(index, pen)
            if len(self._rows_drawn) > _MOST_DRAWN:
                # The first to be drawn has moved the furthest.
                del self._rows_drawn[next(iter(self._rows_drawn))]
        return drawn


def _spans(lines: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(first line, how many) of lines that stand together; they come in order."""
    first = count = 0
    for y in lines:
        if count and y == first + count:
            count += 1
            continue
        if count:
            yield first, count
        first, count = y, 1
    if count:
        yield first, count


def _padded(text: str, cells: int, column: Column, pen: Pen) -> str:
    text = one_line(text)
    length = cell_len(text)
    if length > cells:
        return set_cell_size(shortened(text, cells, pen.glyphs), cells)
    blank = " " * (cells - length)
    return blank + text if column.right else text + blank


def one_line(text: str) -> str:
    """The text without what would break a line or move the cursor."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def shortened(text: str, cells: int, glyphs: Glyphs) -> str:
    """The text in at most so many cells, with a sign where it was cut."""
    if cell_len(text) <= cells:
        return text
    sign = glyphs.ellipsis
    if cells <= cell_len(sign):
        return set_cell_size(text, cells)
    return set_cell_size(text, cells - cell_len(sign)).rstrip() + sign
