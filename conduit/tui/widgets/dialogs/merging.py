"""Two people changed one record: what it was, what it is now, and what was to be saved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Static

from conduit.core import people
from conduit.tui.glyphs import Glyphs
from conduit.tui.widgets.dialogs.modal import Modal
from conduit.tui.widgets.grid import Cell, Column, Grid

_MOST_LINES = 12
_ROOM = 14


@dataclass(frozen=True, slots=True)
class Difference:
    """One field as it was, as somebody else left it, and as it stands in the form."""

    name: str
    label: str
    was: Any
    theirs: Any
    yours: Any
    keeps_yours: bool

    @property
    def is_clash(self) -> bool:
        """Whether both changed it, and not into the same."""
        return self.yours not in (self.was, self.theirs) and self.theirs != self.was

    @property
    def chosen(self) -> Any:
        return self.yours if self.keeps_yours else self.theirs


def differences(
    labels: Mapping[str, str],
    was: Mapping[str, Any],
    theirs: Mapping[str, Any],
    yours: Mapping[str, Any],
) -> list[Difference]:
    """The fields in which the three are not the same; what only one changed is taken from there."""
    return [
        Difference(
            name,
            label,
            was[name],
            theirs[name],
            yours[name],
            keeps_yours=yours[name] != was[name],
        )
        for name, label in labels.items()
        if name in theirs and not was[name] == theirs[name] == yours[name]
    ]


class MergeDialog(Modal[list[Difference] | None]):
    """Answers with the differences and what was chosen of each, or None. Space chooses."""

    BINDINGS = [
        Binding("space,left,right", "swap", "Other", show=False, priority=True),
        Binding("enter", "save", "Save", show=False, priority=True),
        Binding("ctrl+s", "save", "Save", show=False, priority=True),
        Binding("escape,q", "leave", "Back", show=False),
    ]
    AUTO_FOCUS = "Grid"
    DEFAULT_CSS = """
    MergeDialog Grid { background: $surface; }
    MergeDialog #whole { margin: 1 0 0 0; }
    MergeDialog .keys { color: $dim; margin: 1 0 0 0; }
    """

    def __init__(self, title: str, found: Sequence[Difference]) -> None:
        super().__init__()
        self._title = title
        self._found = list(found)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog merge") as dialog:
            dialog.border_title = self._title
            yield Static(self._said(), classes="question", markup=False)
            grid = Grid(_COLUMNS, id="differences")
            grid.styles.height = 1 + min(_MOST_LINES, len(self._found))
            yield grid
            yield Static("", id="whole", markup=False)
            yield Static(
                "space takes the other   Enter saves it so   Esc back to the form", classes="keys"
            )

    def _said(self) -> str:
        clashes = sum(each.is_clash for each in self._found)
        if clashes:
            fields = people.counted(clashes, "field")
            return f"Somebody else has saved it meanwhile. You both changed {fields}."
        return "Somebody else has saved it meanwhile, in other fields than you."

    def on_mount(self) -> None:
        self._fill()
        first = next((i for i, each in enumerate(self._found) if each.is_clash), 0)
        self.query_one(Grid).move_to(first)
        self.on_grid_moved()

    def _fill(self) -> None:
        self.query_one(Grid).set_rows(self._found, [each.name for each in self._found])

    def action_swap(self) -> None:
        at = self.query_one(Grid).cursor
        now = self._found[at]
        self._found[at] = replace(now, keeps_yours=not now.keeps_yours)
        self._fill()

    def on_grid_moved(self) -> None:
        """Say in full what the columns may have cut: what differs may stand at its end."""
        row = self._found[self.query_one(Grid).cursor]
        told = {"theirs": _told(row.theirs), "yours": _told(row.yours)}
        is_cut = any(cell_len(text) > _ROOM for text in told.values())
        whole = self.query_one("#whole", Static)
        whole.display = is_cut
        whole.update("\n".join(f"{whose:<7} {text}" for whose, text in told.items()))

    def on_grid_opened(self) -> None:
        self.action_swap()

    def action_save(self) -> None:
        self.answer(self._found)

    def action_leave(self) -> None:
        self.answer(None)


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) or "-"


def _choice(row: Difference, glyphs: Glyphs) -> Cell | str:
    word = "yours" if row.keeps_yours else "theirs"
    return Cell(word, "warn" if row.is_clash else "")


_COLUMNS = (
    Column("FIELD", lambda row, _: row.label, 13, priority=0),
    Column("WAS", lambda row, _: Cell(_told(row.was), "dim"), 12, grow=1, priority=2),
    Column("THEIRS", lambda row, _: _told(row.theirs), _ROOM, grow=1, priority=0),
    Column("YOURS", lambda row, _: _told(row.yours), _ROOM, grow=1, priority=0),
    Column("SAVED", _choice, 6, priority=0),
)
