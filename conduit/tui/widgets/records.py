"""A screen that lists the records of one noun, with the same verbs and states everywhere."""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.timer import Timer
from textual.widgets import Input, Static

from conduit.client.api import build_request
from conduit.client.errors import ApiError, ClientError
from conduit.core.redaction import redacted_fields
from conduit.tui.actions import Action
from conduit.tui.fitting import Piece
from conduit.tui.state.gateway import ANOTHER_GATEWAY, GatewayLink
from conduit.tui.state.store import Table, id_of, label_of
from conduit.tui.state.tentative import shown_at_once
from conduit.tui.state.traffic import Record
from conduit.tui.state.undoing import Undo
from conduit.tui.widgets.dialogs.confirming import Confirm, TypeName
from conduit.tui.widgets.dialogs.forms import CONFLICT, Field, FormDialog, Reread, begun_with
from conduit.tui.widgets.dialogs.levels import is_agreed
from conduit.tui.widgets.dialogs.modal import Modal
from conduit.tui.widgets.frame import FrameScreen
from conduit.tui.widgets.grid import Cell, Column, Grid

LOADING_AFTER_S = 0.3
_SORT_KEYS = "123456789"


@dataclass(frozen=True, slots=True)
class Empty:
    """What stands in an empty list: what is missing, and the two ways to add it."""

    text: str
    command: str


_OF_A_ROW = ("open", "edit", "test", "toggle", "delete", "copy", "mark", "mark-range")


class FilterLine(Input):
    """The line that `/` opens; Esc empties and closes it, Enter and Down go to the list."""

    BINDINGS = [
        Binding("escape", "screen.end_filter(True)", show=False),
        Binding("down", "screen.end_filter(False)", show=False),
    ]


class RecordsScreen(FrameScreen):
    """Subclasses give TABLE, NOUN, COLUMNS, EMPTY, ACTIONS, and what is special to the noun."""

    TABLE: ClassVar[str] = ""
    NOUN: ClassVar[str] = ""
    PLURAL: ClassVar[str] = ""
    """What several of them are called, where that is not the name of the table."""
    COLUMNS: ClassVar[Sequence[Column]] = ()
    EMPTY: ClassVar[Empty] = Empty("", "")
    SEVERE: ClassVar[bool] = False
    """Whether deleting asks for the name to be typed."""
    AUTO_FOCUS = "Grid"

    def __init__(self) -> None:
        super().__init__()
        self.columns: Sequence[Column] = self.COLUMNS
        """Those of the class, or what a subclass that needs the store for them puts here."""
        self._filter = ""
        self._sort: tuple[Column, bool] | None = None
        self._loading_shown = False
        self._loading_timer: Timer | None = None
        self._drawn: tuple[object, ...] = ()

    def compose_body(self) -> ComposeResult:
        yield Static("", id="banner", classes="banner", markup=False)
        yield FilterLine(id="filter", placeholder="words that a row must have", compact=True)
        yield from self.compose_list()
        yield Static("", id="state", classes="state", markup=False)

    def compose_list(self) -> ComposeResult:
        """The list; a subclass puts panes beside it here."""
        yield Grid(self.columns, id="grid")

    def on_mount(self) -> None:
        self.query_one("#filter").display = False

    @property
    def grid(self) -> Grid:
        return self.query_one("#grid", Grid)

    @property
    def table(self) -> Table:
        return self.store.table(self.TABLE)

    @property
    def row(self) -> Record | None:
        """The record under the cursor, as it is known now, which may be drawn a moment later."""
        drawn: Record | None = self.grid.cursor_row
        return drawn if drawn is None else self.table.rows.get(id_of(drawn), drawn)

    def chosen(self) -> list[Record]:
        """The marked records, else the one under the cursor."""
        marked = [row for row in self.shown_rows() if id_of(row) in self.grid.marked]
        return marked or ([self.row] if self.row is not None else [])

    def watched_tables(self) -> frozenset[str]:
        return self.TABLES | {self.TABLE}

    def title_pieces(self) -> Sequence[Piece]:
        if not self.can_draw or not self.table.is_loaded:
            return ()
        every, shown = len(self.table.rows), self.grid.count()
        more = "+" if self.table.truncated else ""
        counted = f"{every:,}{more} {self.NOUN if every == 1 else self.PLURAL or self.TABLE}"
        pieces = [Piece(counted if shown == every else f"{shown:,} of {counted}", 3)]
        marked = len(self.grid.marked)
        return [*pieces, Piece(f"{marked:,} marked", 2, "bold")] if marked else pieces

    # What is shown

    def shown_rows(self) -> list[Record]:
        rows = [row for row in self.table.rows.values() if self._fits(row)]
        if self._sort is not None:
            column, backwards = self._sort
            key = column.sort or (lambda row: text_of(column, row, self).lower())
            rows.sort(key=key, reverse=backwards)
        return rows

    def _fits(self, row: Record) -> bool:
        if not self._filter:
            return True
        text = " ".join(text_of(column, row, self) for column in self.columns).lower()
        return all(word in text for word in self._filter.split())

    def show_store(self) -> None:
        table = self.table
        loading = self._loading()
        drawn = (
            table.revision,
            self.store.epoch,
            table.error,
            loading,
            self._filter,
            self._sort,
            self.store.connectivity.phase,
        )
        if drawn != self._drawn:
            self._drawn = drawn
            self.draw_list(loading)

    def draw_list(self, loading: bool) -> None:
        rows = self.shown_rows()
        self.grid.unconfirmed = {change.id for change in self.table.laid}
        self.grid.set_rows(rows, [id_of(row) for row in rows])
        self.grid.display = bool(rows)
        state = "" if rows else self.state_text(loading)
        self._say("#state", state)
        failed = self.table.error is not None and bool(self.table.rows)
        self._say("#banner", f"{self.table.error}  (r reads again)" if failed else "")
        if rows and self.focused is None:
            self.grid.focus()
        if rows:
            self.show_record(self.row)

    def _say(self, selector: str, text: str) -> None:
        line = self.query_one(selector, Static)
        line.update(text)
        line.set_class(bool(text), "-on")

    def state_text(self, loading: bool) -> str:
        """What stands there instead of rows."""
        table, connectivity = self.table, self.store.connectivity
        if table.rows:
            return f"Nothing fits {self._filter!r}. Esc shows everything again."
        if table.error is not None:
            return f"{self.glyphs.bad} {table.error}\n\nr reads again."
        if table.is_loaded:
            return f"{self.EMPTY.text}\n\nPress a, or run: {self.EMPTY.command}"
        reason = connectivity.why_no_change()
        if reason is not None and connectivity.phase != "connecting":
            return f"{self.glyphs.bad} {reason}\n\n{connectivity.reason}"
        return "loading" + self.glyphs.ellipsis if loading else ""

    def _loading(self) -> bool:
        """Whether to say that something is being loaded, which is not said of short waits."""
        if self.table.is_loaded or self.table.error is not None:
            self._loading_shown = False
        elif not self._loading_shown and self._loading_timer is None:
            self._loading_timer = self.set_timer(LOADING_AFTER_S, self._loading_is_due)
        return self._loading_shown

    def _loading_is_due(self) -> None:
        self._loading_timer = None
        self._loading_shown = not self.table.is_loaded
        self.show_store()

    def show_record(self, row: Record | None) -> None:
        """The cursor stands on another record, or its record has changed: draw what hangs on it."""

    def on_grid_moved(self) -> None:
        self.show_record(self.row)
        self.refresh_frame()

    def on_grid_opened(self) -> None:
        self.conduit.perform(f"{self.TABLE}.open")

    def open_record(self, name: str) -> bool:
        row = self.table.find(name)
        if row is None:
            return False
        self._set_filter("")
        return self.grid.move_to_key(id_of(row))

    def why_not(self, action: Action) -> str | None:
        needs_row = action.verb in _OF_A_ROW
        if needs_row and self.can_draw and self.row is None:
            return f"there is no {self.NOUN} to choose"
        if action.verb == "export" and self.can_draw and not self.grid.count():
            return "nothing is shown"
        return None

    # Verbs

    def do_open(self) -> None:
        """Enter: a subclass shows more of the record."""
        self.show_record(self.row)

    async def do_export(self) -> None:
        from conduit.tui.widgets.exporting import export  # noqa: PLC0415  # deferred: rare

        rows = self.chosen() if self.grid.marked else self.shown_rows()
        await export(self, self.TABLE, self.NOUN, rows)

    def do_refresh(self) -> None:
        self.conduit.link.refresh(self.watched_tables())

    def do_mark(self) -> None:
        if (key := self.grid.cursor_key) is not None:
            self.grid.toggle_mark(key)
            self.grid.action_move(1)
            self.refresh_frame()

    def do_mark_all(self) -> None:
        every = {id_of(row) for row in self.shown_rows()}
        self.grid.marked = set() if self.grid.marked >= every else every
        self.grid.repaint()
        self.refresh_frame()

    def do_mark_range(self) -> None:
        """All between a marked row and the cursor; where none is marked, the one that it is on."""
        keys = [id_of(row) for row in self.shown_rows()]
        if self.grid.cursor_key not in keys:
            return
        at = keys.index(self.grid.cursor_key)
        marked = [place for place, key in enumerate(keys) if key in self.grid.marked]
        nearest = min(marked, key=lambda place: abs(place - at), default=at)
        self.grid.marked |= set(keys[min(at, nearest) : max(at, nearest) + 1])
        self.grid.repaint()
        self.refresh_frame()

    def do_filter(self) -> None:
        line = self.query_one("#filter", Input)
        line.display = True
        line.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.id == "filter":
            self._filter = event.value.lower().strip()
            self.show_store()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input.id == "filter":
            self.action_end_filter(False)

    def action_end_filter(self, clear: bool) -> None:
        if clear:
            self._set_filter("")
        line = self.query_one("#filter", Input)
        line.display = bool(line.value)
        self.grid.focus()

    def _set_filter(self, text: str) -> None:
        self.query_one("#filter", Input).value = text
        self._filter = text.lower().strip()
        self.show_store()

    def filter_by(self, text: str) -> None:
        self._set_filter(text)
        self.query_one("#filter", Input).display = bool(text)

    def do_sort(self) -> None:
        titled = [column for column in self.columns if column.title]
        options: dict[str, tuple[str, Callable[[], object]]] = {
            key: (column.title.lower(), partial(self._sort_by, column))
            for key, column in zip(_SORT_KEYS, titled, strict=False)
        }
        options["0"] = ("as listed", lambda: self._sort_by(None))
        self.conduit.ask_key("sort", options)

    def _sort_by(self, column: Column | None) -> None:
        if column is None:
            self._sort = None
        else:
            again = self._sort == (column, False)
            self._sort = (column, again)
        self.show_store()

    def do_copy(self) -> None:
        row = self.row
        if row is None:
            return
        copy = self.conduit.copy_text
        self.conduit.ask_key(
            "copy",
            {
                "i": ("id", lambda: copy(id_of(row))),
                "n": ("name", lambda: copy(label_of(row))),
                "j": ("JSON", lambda: copy(as_json(row))),
                "c": ("curl", lambda: copy(self.curl_of(row))),
            },
        )

    def curl_of(self, row: Record) -> str:
        """A command that reads this record; the key stays a variable."""
        request = build_request(f"{self.TABLE}.show", *self.names_of(row))
        url = shlex.quote(self.conduit.target.admin_url + request.target)
        return f'curl -s {url} -H "Authorization: Bearer $CONDUIT_MASTER_KEY"'

    # Changing

    def names_of(self, row: Record) -> tuple[str, ...]:
        """What names the record in a path."""
        return (id_of(row),)

    async def change(
        self,
        row: Record,
        body: Mapping[str, Any],
        *,
        link: GatewayLink,
        versioned: bool = True,
    ) -> Record:
        """Update a record; refused when somebody has changed it since. Raises ClientError.

        `link` leads to the gateway that was looked at when the change began.
        """
        sent = {**body, "version": row["version"]} if versioned else body
        operation = f"{self.TABLE}.update"
        try:
            answer = await link.change(operation, *self.names_of(row), body=sent)
        except ApiError as error:
            if error.status == CONFLICT:
                link.refresh({self.TABLE})
            raise
        self.store.put(self.TABLE, answer, epoch=link.epoch)
        return answer

    async def read_again(self, row: Record, link: GatewayLink) -> Record:
        """The record as it stands now: what hangs on it has changed. Raises ClientError."""
        record = await link.call(f"{self.TABLE}.show", *self.names_of(row))
        self.store.put(self.TABLE, record, epoch=link.epoch)
        return record

    async def do_toggle(self) -> None:
        """Enable what is disabled and the other way round; of several in both states, ask."""
        rows, link = self.chosen(), self.conduit.link
        states = {row["enabled"] for row in rows}
        if len(states) == 1:
            await self.switch(rows, enabled=not states.pop(), link=link)
        elif rows:
            options: dict[str, tuple[str, Callable[[], object]]] = {
                "e": ("enable", lambda: self.switch(rows, enabled=True, link=link)),
                "d": ("disable", lambda: self.switch(rows, enabled=False, link=link)),
            }
            self.conduit.ask_key(f"all {len(rows)} {self.TABLE}", options)

    async def switch(self, rows: Sequence[Record], *, enabled: bool, link: GatewayLink) -> None:
        """Put these into a state; those that are in it stay as they are."""
        others = [row for row in rows if row["enabled"] is not enabled]
        if not others or not await self.may_switch(others, enabled=enabled):
            return
        done = "enabled" if enabled else "disabled"
        await self.put_at_once(others, "enabled", lambda _: enabled, done, link=link)

    async def may_switch(self, rows: Sequence[Record], *, enabled: bool) -> bool:
        """Ask where that is wanted."""
        name = label_of(rows[0]) if len(rows) == 1 else f"{len(rows)} {self.TABLE}"
        verb = "Enable" if enabled else "Disable"
        effect = "It counts from the next call on."
        return await is_agreed(self, "mild", f"{verb} {name}?", effect, name=name, verb=verb)

    async def put_at_once(
        self,
        rows: Sequence[Record],
        field: str,
        value: Callable[[Record], Any],
        done: str,
        *,
        link: GatewayLink,
        versions: Mapping[str, int] | None = None,
    ) -> Mapping[str, tuple[Record, Record]]:
        """Change one field of records: shown at once, confirmed or taken back, then to be undone.

        `versions` are those that the records must have still, for undoing: it has no undoing.
        Returns what was changed by its id, before and after.
        """
        changed: dict[str, tuple[Record, Record]] = {}
        undoings = self.conduit.undoings

        async def send(known: Record) -> Record:
            wanted, key = value(known), id_of(known)
            if wanted == known[field]:
                return known
            version = undoings.version_of(key, versions[key]) if versions else known["version"]
            try:
                answer = await self.change(
                    {**known, "version": version}, {field: wanted}, link=link
                )
            except ApiError as error:
                raise (not_undone(error) if versions else error) from None
            changed[key] = known, answer
            return answer

        with shown_at_once(
            link, self.TABLE, rows, lambda row: {**row, field: value(row)}
        ) as sender:
            self.show_store()
            undo = Undo(link, self.PLACE, lambda: self._put_back(changed, field, done, link))
            await self.for_each(
                rows,
                lambda row: sender.send(row, send),
                done,
                link=link,
                failed=label_of if versions else _as_it_was,
                undo=None if versions else undo,
            )
        self.show_store()
        return changed

    async def _put_back(
        self,
        changed: Mapping[str, tuple[Record, Record]],
        field: str,
        done: str,
        link: GatewayLink,
    ) -> None:
        """Undo: each gets its former value, unless somebody has changed it since."""
        if not changed:  # somebody else had done the same just before
            self.conduit.tell("nothing was changed that could be undone", severity="warning")
            return
        rows = [answer for _, answer in changed.values()]
        versions = {id_of(row): row["version"] for row in rows}
        put_back = await self.put_at_once(
            rows,
            field,
            lambda row: changed[id_of(row)][0][field],
            f"undone: {done}",
            link=link,
            versions=versions,
        )
        for key, (_, answer) in put_back.items():
            before = changed[key][0]["version"]
            self.conduit.undoings.put_back(key, before, now=answer["version"])

    async def do_delete(self) -> None:
        rows, link = self.chosen(), self.conduit.link
        if not rows or not await self.is_sure(rows):
            return

        async def delete(row: Record) -> None:
            await link.change(f"{self.TABLE}.delete", *self.names_of(row))
            self.store.drop(self.TABLE, id_of(row), epoch=link.epoch)

        await self.for_each(rows, delete, "deleted", link=link)

    async def is_sure(self, rows: Sequence[Record]) -> bool:
        """Ask before deleting."""
        if len(rows) == 1:
            name = label_of(rows[0])
            question = f"Delete the {self.NOUN} {name}?"
        else:
            name = str(len(rows))
            names = ", ".join(label_of(row) for row in rows[:5])
            more = "" if len(rows) <= 5 else f" and {len(rows) - 5} more"
            question = f"Delete {len(rows)} {self.TABLE}: {names}{more}?"
        effect = self.delete_effect(rows)
        dialog: Modal[bool] = Confirm(question, effect)
        if self.SEVERE or self.conduit.target.confirm_typed:
            dialog = TypeName(question, effect, name)
        sure: bool = await self.conduit.push_screen_wait(dialog)
        return sure

    def delete_effect(self, rows: Sequence[Record]) -> str:
        """What deleting these does, for the dialog."""
        return "This cannot be undone."

    async def for_each(
        self,
        rows: Sequence[Record],
        work: Callable[[Record], Any],
        done: str,
        *,
        link: GatewayLink,
        failed: Callable[[Record], str] = label_of,
        undo: Undo | None = None,
    ) -> None:
        """Do it to each; failures are told one by one, successes together, with how to undo them.

        `link` is that of the rows: once another gateway is looked at, the rest stays undone.
        """
        good = 0
        for number, row in enumerate(rows):
            if self.is_stopped(link, number, len(rows)):
                break
            try:
                await work(row)
            except ClientError as error:
                self.conduit.report(error, failed(row))
            else:
                good += 1
        if good:
            what = label_of(rows[0]) if len(rows) == 1 else f"{good} {self.TABLE}"
            self.conduit.tell(f"{done} {what}", undo=undo)
            self.grid.marked.clear()
        self.grid.repaint()
        self.refresh_frame()

    def is_stopped(self, link: GatewayLink, done: int, count: int) -> bool:
        """Whether another gateway is looked at than the one that some of these were done for."""
        if link.is_current:
            return False
        text = f"stopped after {done} of {count}: {ANOTHER_GATEWAY}"
        self.conduit.tell(text, severity="warning")
        return True

    async def ask_form(
        self,
        title: str,
        fields: Sequence[Field],
        submit: Callable[[dict[str, Any]], Any],
        *,
        verb: str = "Save",
        only_changes: bool = False,
        reread: Reread | None = None,
    ) -> Record | None:
        """Show a form; the record that it made is put into the table.

        `submit` sends by the link that there was when the form was opened: it refuses once another
        gateway is looked at.
        """
        epoch = self.store.epoch
        named, self.first_text = self.first_text, None
        fields = begun_with(fields, named)
        dialog = FormDialog(
            title, fields, submit, verb=verb, only_changes=only_changes, reread=reread
        )
        record: Record | None = await self.conduit.push_screen_wait(dialog)
        if (
            record
            and "id" in record
            and self.store.put(self.TABLE, without_secret(record), epoch=epoch)
        ):
            self.show_store()
            self.grid.move_to_key(id_of(record))
        return record


def text_of(column: Column, row: Record, screen: FrameScreen) -> str:
    """What a column says of a record, without its tone."""
    drawn = column.cell(row, screen.glyphs)
    return drawn.text if isinstance(drawn, Cell) else drawn


def _as_it_was(row: Record) -> str:
    return f"{label_of(row)} is shown as it was"


def not_undone(error: ApiError) -> ApiError:
    """The refusal of an undoing, in words of what was wanted."""
    if error.status != CONFLICT:
        return error
    text = "not undone, for somebody has changed it meanwhile"
    return ApiError(error.code, text, request_id=error.request_id, status=error.status)


def as_json(row: Record) -> str:
    return json.dumps(redacted_fields(row), indent=2, ensure_ascii=False)


def without_secret(record: Record) -> Record:
    """A record as lists hold it: the store keeps no secrets."""
    return {name: value for name, value in record.items() if name != "secret"}
