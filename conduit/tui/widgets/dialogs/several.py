"""A list to choose several from: typed words narrow it, space marks."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input, Static

from conduit.tui.widgets.dialogs.modal import Modal
from conduit.tui.widgets.grid import Column, Grid

_MOST_LINES = 14


class NamesFilter(Input):
    """Leaves the space bar to the list: no name has a blank."""

    def check_consume_key(self, key: str, character: str | None) -> bool:
        return key != "space" and super().check_consume_key(key, character)


class SeveralPicker(Modal[list[str] | None]):
    """Answers with the chosen names in their order, or None. Without marks, with the one shown."""

    BINDINGS = [
        Binding("escape", "leave", "Close", show=False),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("pagedown", "move(10)", show=False, priority=True),
        Binding("pageup", "move(-10)", show=False, priority=True),
        Binding("space", "mark", show=False, priority=True),
        Binding("ctrl+a", "mark_all", show=False, priority=True),
    ]
    AUTO_FOCUS = "Input"
    DEFAULT_CSS = """
    SeveralPicker Grid { background: $surface; }
    SeveralPicker #marked { color: $dim; }
    """

    def __init__(self, title: str, names: Sequence[str], *, verb: str) -> None:
        super().__init__()
        self._title = title
        self._names = names
        self._verb = verb
        # Kept here: those of the grid are only of the rows that it shows.
        self._marked: set[str] = set()

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog picker") as dialog:
            dialog.border_title = self._title
            yield NamesFilter(placeholder="type to filter", compact=True)
            grid = Grid([Column("NAME", lambda name, _: name, 20, grow=1)], id="names")
            grid.can_focus = False
            yield grid
            yield Static("", id="marked", markup=False)

    def on_mount(self) -> None:
        self._fill("")

    @property
    def _grid(self) -> Grid:
        return self.query_one("#names", Grid)

    def _fill(self, text: str) -> None:
        words = text.lower().split()
        shown = [name for name in self._names if all(word in name.lower() for word in words)]
        grid = self._grid
        grid.marked = self._marked & set(shown)
        grid.styles.height = 1 + max(1, min(_MOST_LINES, len(self._names)))
        grid.set_rows(shown, shown)
        self._say()

    def _say(self) -> None:
        keys = f"space marks  ^a all  Enter {self._verb}  Esc none"
        self.query_one("#marked", Static).update(f"{len(self._marked)} marked  {keys}")

    def on_input_changed(self, event: Input.Changed) -> None:
        self._fill(event.value)

    def on_input_submitted(self) -> None:
        at = self._grid.cursor_key
        chosen = [name for name in self._names if name in self._marked]
        if chosen or at is not None:
            self.answer(chosen or [str(at)])

    def on_grid_opened(self) -> None:
        self.action_mark()

    def action_leave(self) -> None:
        self.answer(None)

    def action_move(self, by: int) -> None:
        self._grid.action_move(by)

    def action_mark(self) -> None:
        if (name := self._grid.cursor_key) is not None:
            self._marked ^= {name}
            self._grid.toggle_mark(name)
            self._grid.action_move(1)
            self._say()

    def action_mark_all(self) -> None:
        """All that are shown, or none of them when they are marked already."""
        shown = {str(self._grid.key_at(index)) for index in range(self._grid.count())}
        self._marked = self._marked - shown if self._marked >= shown else self._marked | shown
        self._grid.marked = self._marked & shown
        self._grid.repaint()
        self._say()
