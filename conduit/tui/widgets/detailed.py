"""A list with the chosen record beside it, or before it where there is no room for both."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.timer import Timer
from textual.widget import Widget

from conduit.client.errors import ClientError
from conduit.tui.actions import Action
from conduit.tui.state.store import id_of, label_of
from conduit.tui.state.traffic import Record
from conduit.tui.widgets.grid import Grid
from conduit.tui.widgets.records import RecordsScreen

READ_AFTER_S = 0.15
"""How long the cursor stands on a record before more of it is read."""


def closing(place: str) -> Action:
    """What every such screen has: back from the record to the list."""
    return Action(f"{place}.close", "Back to the list", ("escape", "q"))


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a record beside itself, or why it could not be; `stamp` is of that time."""

    stamp: object
    value: Any = None
    error: str | None = None


class Detail(VerticalScroll, can_focus=True):
    """The pane of the record."""

    BINDINGS = [
        Binding("j", "scroll_down", show=False),
        Binding("k", "scroll_up", show=False),
    ]


class Listed(Grid, can_focus=False):
    """Rows within the record, without a cursor, as high as they are many."""

    HAS_CURSOR = False

    def show(self, rows: Sequence[Any], keys: Sequence[str]) -> None:
        """Show these; nothing at all where there are none."""
        self.display = bool(rows)
        self.styles.height = len(rows) + 1
        self.set_rows(rows, keys)


class DetailedScreen(RecordsScreen):
    """Subclasses give `compose_detail` and `draw_detail`; and `read_detail` with `detail_stamp`
    where the record alone does not tell all. What was read is read again when the stamp changes."""

    PANE_KEYS: ClassVar[str] = ""
    """What stands below the pane: the keys that matter there."""

    def __init__(self) -> None:
        super().__init__()
        self._readings: dict[str, Reading] = {}
        self._readings_epoch = 0
        self._read_timer: Timer | None = None

    def compose_list(self) -> ComposeResult:
        with Horizontal(id="sides"):
            with Vertical(id="list"):
                yield Grid(self.columns, id="grid")
            with Detail(id="detail", classes="pane") as detail:
                detail.border_subtitle = f"{self.PANE_KEYS}  Esc back".strip()
                yield from self.compose_detail()

    def compose_detail(self) -> ComposeResult:
        """What the pane is made of."""
        yield from ()

    def draw_detail(self, row: Record, reading: Reading | None) -> None:
        """Show the record in the pane, with what was read of it so far."""

    def detail_stamp(self, row: Record) -> object:
        """Changes when what was read of the record is outdated; None: nothing is to be read."""
        return None

    async def read_detail(self, row: Record) -> Any:  # what a screen makes of it
        """Ask the gateway for what the record does not tell. Raises ClientError."""
        raise AssertionError("a screen with a stamp reads")

    @property
    def is_opened(self) -> bool:
        """Whether the record was asked for, which is what shows it where room is short."""
        return self.has_class("-opened")

    @property
    def detail_shown(self) -> bool:
        return self.is_opened or self.has_class("-wide") or self.has_class("-xl")

    @property
    def detail(self) -> Detail:
        return self.query_one(Detail)

    def draw_list(self, loading: bool) -> None:
        super().draw_list(loading)
        self.set_class(self.grid.count() == 0, "-nothing")

    def show_record(self, row: Record | None) -> None:
        if row is None or not self.can_draw:
            return
        if self._readings_epoch != self.store.epoch:
            self._readings_epoch = self.store.epoch
            self._readings.clear()
        is_unconfirmed = self.table.is_unconfirmed(id_of(row))
        note = ", not confirmed yet" if is_unconfirmed else ""
        self.detail.border_title = f"{label_of(row)}{note}"
        self.detail.set_class(is_unconfirmed, "-unconfirmed")
        reading = self._readings.get(id_of(row))
        self.draw_detail(row, reading)
        if self.detail_shown and self.store.connectivity.is_live:
            stamp = self.detail_stamp(row)
            if stamp is not None and (reading is None or reading.stamp != stamp):
                self._read_soon()

    def _read_soon(self) -> None:
        if self._read_timer is not None:
            self._read_timer.stop()
        self._read_timer = self.set_timer(READ_AFTER_S, self._read_now)

    def _read_now(self) -> None:
        self._read_timer = None
        if (row := self.row) is not None and self.is_current:
            self.conduit.attempt(self._read(row), f"Read {label_of(row)}", group="detail")

    async def _read(self, row: Record) -> None:
        epoch, stamp = self.store.epoch, self.detail_stamp(row)
        try:
            reading = Reading(stamp, await self.read_detail(row))
        except ClientError as error:
            before = self._readings.get(id_of(row))
            reading = Reading(stamp, before.value if before else None, error.message)
        self.note_reading(row, reading, epoch=epoch)

    def note_reading(self, row: Record, reading: Reading, *, epoch: int) -> None:
        """Keep what was read, and show it if the cursor still stands there."""
        if epoch != self.store.epoch or not self.can_draw:
            return
        self._readings[id_of(row)] = reading
        if (now := self.row) is not None and id_of(now) == id_of(row):
            self.draw_detail(now, reading)

    def reading_of(self, row: Record) -> Reading | None:
        return self._readings.get(id_of(row))

    # Opening and closing

    def do_open(self) -> None:
        self.add_class("-opened")
        self.opened_focus().focus()
        self.show_record(self.row)
        self.refresh_frame()

    def opened_focus(self) -> Widget:
        """What gets the keys when a record is opened."""
        return self.detail

    def do_close(self) -> None:
        """Back to the list; from the list itself, to all of its rows."""
        if not self.is_opened and not self.detail.has_focus_within:
            self.action_end_filter(True)
        self.remove_class("-opened")
        if self.grid.display:
            self.grid.focus()
        self.refresh_frame()

    def open_record(self, name: str) -> bool:
        found = super().open_record(name)
        if found:
            self.do_open()
        return found

    def do_refresh(self) -> None:
        self._readings.clear()
        super().do_refresh()
        self.show_record(self.row)

    def on_resize(self) -> None:
        self.call_after_refresh(self._resized)

    def _resized(self) -> None:
        if self.can_draw and self.row is not None:
            self.show_record(self.row)
