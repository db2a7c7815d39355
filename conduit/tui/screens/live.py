"""Requests and other events as they happen, with a look into each."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Static, TextArea

from conduit.client.bodies import question_of
from conduit.client.errors import ApiError, ClientError
from conduit.client.timeline import curl_of
from conduit.core import people
from conduit.core.filters import compile_filter, parse_filter
from conduit.tui.actions import Action
from conduit.tui.fitting import Piece
from conduit.tui.glyphs import Glyphs
from conduit.tui.pace import Pace
from conduit.tui.state.ring import Ring
from conduit.tui.state.traffic import Finished, Happened, Mark, Record
from conduit.tui.widgets.dialogs.confirming import Confirm
from conduit.tui.widgets.dialogs.picker import Choice, Picker
from conduit.tui.widgets.frame import FrameScreen, clock_time, milliseconds
from conduit.tui.widgets.grid import Cell, Column
from conduit.tui.widgets.kept import Kept
from conduit.tui.widgets.line import Line
from conduit.tui.widgets.records import FilterLine, as_json
from conduit.tui.widgets.request.inspector import (
    OF_BODIES,
    PAGES,
    SEARCHED,
    Inspected,
    Inspector,
    Page,
)
from conduit.tui.widgets.request.searching import SearchLine
from conduit.tui.widgets.ring_grid import RingGrid, everything

Entry = Finished | Happened | Mark
_COUNT_EVERY_S = 1.5  # longer than from one of the gateway's figures to the next
_NOT_FOUND = 404
_FRESH_MS = 10_000
_SEEN_TRIES = 30  # its event comes moments after its answer
_SEEN_PAUSE_S = 0.1
_ON_ITS_WAY_S = (0.2, 0.4, 0.8, 1.6)

_EMPTY = 'Nothing has happened yet.\n\nAsk a model, here with F2 or with: conduit chat "hello"'
_FILTER_HELP = 'field:op value, such as  status:>=400 alias:gpt* ms:>2000 -key:ci "rate limit"'


def _clock(entry: Entry, _: Glyphs) -> str:
    return clock_time(entry.at_ms)


REQUEST_COLUMNS = (
    Column("TIME", _clock, 8, priority=0),
    Column("ST", lambda e, _: Cell(str(e.status), e.tone), 3, priority=0),
    Column("ALIAS", lambda e, _: e.alias or "-", 13, grow=3, priority=0),
    Column("PROVIDER", lambda e, _: e.provider or "-", 11, grow=1, priority=1),
    Column("MS", lambda e, _: milliseconds(e.duration_ms), 6, right=True, priority=1),
    Column("TOK", lambda e, _: f"{e.tokens:,}", 6, right=True, priority=3),
    Column("COST", lambda e, _: people.money(e.cost_usd), 9, right=True, priority=2),
    Column("KEY", lambda e, _: e.key_name or "-", 7, grow=1, priority=2),
    Column("ERROR", lambda e, _: e.error_code or "", 18, grow=1, priority=4),
    Column("ID", lambda e, _: e.key, 30, priority=5),
)
EVENT_COLUMNS = (
    Column("TIME", _clock, 8, priority=0),
    Column("EVENT", lambda e, _: Cell(e.kind, "accent"), 22, priority=0),
    Column("WHAT", lambda e, _: told(e), 30, grow=1, priority=0),
)


def told(event: Happened) -> str:
    """An event's data on one line."""
    return "  ".join(f"{name}={value}" for name, value in event.data.items() if value is not None)


class Lists(Kept, Horizontal):
    """The list that is shown, with the inspector beside it."""


class LiveScreen(FrameScreen):
    """Two lists over the rings of the store, and an inspector beside or before them."""

    PLACE = "live"
    CSS_PATH = "live.tcss"
    AUTO_FOCUS = "#requests"
    ACTIONS = (
        Action("live.pause", "Pause, or go on", ("space",), "pause", 1),
        Action("live.inspect", "Look into the request", ("enter",), "inspect", 1),
        Action(
            "live.filter", "Filter; in a page of the inspector: search", ("slash",), "filter", 2
        ),
        Action("live.view", "Requests, or other events", ("v",), "events", 3),
        Action("live.follow", "Follow the newest", ("f",), "follow", 4),
        Action("live.fit", "Filter by the alias of this request", ("a",), "same alias", 6),
        Action("live.next", "The next one, looked into", ("J",)),
        Action("live.before", "The one before, looked into", ("K",)),
        Action("live.summary", "Page of the inspector: summary", ("1",)),
        Action("live.timeline", "Page of the inspector: timeline", ("2",)),
        Action("live.route", "Page of the inspector: the route, and why not others", ("3",)),
        Action("live.request", "Page of the inspector: what the client sent", ("4",)),
        Action("live.sent", "Page of the inspector: what the provider was sent", ("5",)),
        Action("live.answer", "Page of the inspector: what was answered", ("6",)),
        Action("live.headers", "Page of the inspector: headers", ("7",)),
        Action("live.json", "Page of the inspector: the record as JSON", ("8",)),
        Action("live.differences", "Only where the provider was sent something else", ("n",)),
        Action("live.pager", "The page in your pager: $PAGER", ("P",), "pager", 6),
        Action("live.chat", "Open in chat", ("o",), "chat", 6),
        Action("live.replay", "Send it again, to a model", ("R",), "replay", 6),
        Action("live.copy", "Copy: id, curl, JSON or the page", ("y",), "copy", 5),
        Action("live.running", "Requests in flight; stop one", ("i",), "in flight", 5),
        Action("live.export", "Export what is shown", ("E",), "export", 6),
        Action("live.clear", "Clear the list", ("c",), "clear", 6),
        Action("live.close", "Close the inspector or the filter", ("escape", "q")),
    )

    def __init__(self) -> None:
        super().__init__()
        self._filter_text = ""
        self._filter_error = ""
        self._shows_events = False
        self._counted = ""
        self._figures: Record | None = None
        self._counting = Pace(self, _COUNT_EVERY_S, self._count)

    def compose_body(self) -> ComposeResult:
        yield FilterLine(id="filter", placeholder=_FILTER_HELP, compact=True)
        yield SearchLine(id="search")
        yield Static("", id="banner", classes="banner", markup=False)
        with Lists(id="lists"):
            yield RingGrid(REQUEST_COLUMNS, self._traffic, id="requests")
            yield RingGrid(EVENT_COLUMNS, self._events, id="events")
            yield Inspector(id="inspector")
        yield Static("", id="state", classes="state", markup=False)
        yield BelowLine(id="below")

    def on_mount(self) -> None:
        self.query_one("#filter").display = False

    def _traffic(self) -> Ring[Finished | Mark]:
        return self.store.traffic

    def _events(self) -> Ring[Happened | Mark]:
        return self.store.events

    @property
    def grid(self) -> RingGrid:
        return self._lists[self._shows_events]

    @cached_property
    def _lists(self) -> Sequence[RingGrid]:
        return [self.query_one(name, RingGrid) for name in ("#requests", "#events")]

    @cached_property
    def _state(self) -> Static:
        return self.query_one("#state", Static)

    @property
    def inspector(self) -> Inspector:
        return self.query_one("#inspector", Inspector)

    @property
    def _inspecting(self) -> bool:
        return self.has_class("-inspecting")

    @property
    def entry(self) -> Finished | Happened | None:
        """What the cursor stands on; a mark is nothing to look into."""
        found = self.grid.cursor_row
        return None if isinstance(found, Mark) else found

    def title_pieces(self) -> Sequence[Piece]:
        if not self.is_mounted:
            return ()
        grid = self.grid
        paused = [Piece("PAUSED", 1, "bold $warn")] if grid.paused else []
        return [*paused, Piece(self._counted, 3)]

    # What is shown

    def show(self) -> None:
        """As somebody has changed what is to be seen: with the counts of this moment."""
        self.show_store()
        self._counting.now()
        self.refresh_frame()

    def _count(self) -> None:
        """Say how many there are. Paced: row 1 is far from the list, and Textual draws all that
        stands between two places that have changed."""
        grid = self.grid
        ring = self._events() if self._shows_events else self._traffic()
        self._counted = f"{grid.count():,} of {len(ring):,}"
        grid.show_bar()
        self.refresh_title()

    def show_store(self) -> None:
        grid = self.grid
        before = grid.cursor_key
        grid.take()
        if self._inspecting and grid.cursor_key != before:
            self._inspect()
        nothing = grid.count() == 0
        state = self._state
        text = self._state_text() if nothing else ""
        if state.content != text:  # an update lays the whole screen out anew
            state.update(text)
            state.set_class(nothing, "-on")
        if self.store.figures is not self._figures:
            # Row 1 is drawn then anyhow.
            self._figures = self.store.figures
            self._counting.now()
        else:
            self._counting.wish()

    def _state_text(self) -> str:
        if self._filter_text and not self._shows_events:
            return f"Nothing fits {self._filter_text!r}. / and then Esc shows everything again."
        return _EMPTY

    def on_grid_moved(self) -> None:
        if self._inspecting:
            self._inspect()
        self.refresh_frame()

    def on_grid_opened(self) -> None:
        self.conduit.perform("live.inspect")

    # Verbs

    def why_not(self, action: Action) -> str | None:
        if not self.is_mounted:
            return None
        if action.verb in ("inspect", "copy", "next", "before") and self.entry is None:
            return "there is nothing to choose"
        if action.verb == "export" and not self.grid.count():
            return "nothing is shown"
        if action.verb == "fit" and not isinstance(self.entry, Finished):
            return "there is no request to choose"
        if action.verb in (*PAGES, "differences", "pager") and not self._inspecting:
            return "the inspector is closed"
        if action.verb in ("chat", "replay") and not isinstance(self.entry, Finished):
            return "there is no request to choose"
        return None

    def do_pause(self) -> None:
        self.grid.pause(not self.grid.paused)
        self.show()

    def do_follow(self) -> None:
        self.grid.follow()
        self.show()

    def do_clear(self) -> None:
        self.grid.clear()
        self.show()

    def _exported(self) -> list[Finished | Happened]:
        """What the list shows, without its marks."""
        grid = self.grid
        entries = (grid.row_at(index) for index in range(grid.count()))
        return [entry for entry in entries if not isinstance(entry, Mark)]

    async def do_export(self) -> None:
        from conduit.tui.widgets.exporting import export, record_of  # noqa: PLC0415  # deferred: rare

        noun = "event" if self._shows_events else "request"
        await export(self, f"{noun}s", noun, [record_of(each) for each in self._exported()])

    def do_view(self) -> None:
        self._shows_events = not self._shows_events
        self.set_class(self._shows_events, "-events")
        self._close_inspector()
        self.show()

    def do_filter(self) -> None:
        if self._inspecting and self.inspector.page in SEARCHED:
            self.query_one(SearchLine).begin()
            return
        line = self.query_one("#filter", Input)
        line.display = True
        line.focus()

    def do_fit(self) -> None:
        if isinstance(self.entry, Finished) and self.entry.alias:
            self.set_filter(f'alias:"{self.entry.alias}"')

    def set_filter(self, text: str) -> None:
        """Filter as if it had been typed."""
        line = self.query_one("#filter", Input)
        line.value = text
        line.display = bool(text)

    def filter_by(self, text: str) -> None:
        self.set_filter(text)

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.id == "filter":
            self._apply_filter(event.value.strip())

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input.id == "filter":
            self.action_end_filter(False)

    def action_end_filter(self, clear: bool) -> None:
        """Enter, Down and Esc in the filter line."""
        line = self.query_one("#filter", Input)
        if clear:
            line.value = ""
        line.display = bool(line.value)
        self.grid.focus()

    def _apply_filter(self, text: str) -> None:
        """Filter while it is typed; a filter that cannot be read changes nothing."""
        banner = self.query_one("#banner", Static)
        try:
            wanted = parse_filter(text)
        except ValueError as error:
            banner.update(f"{self.glyphs.bad} {error}")
            banner.set_class(True, "-on")
            return
        banner.set_class(False, "-on")
        self._filter_text = text
        grid = self.query_one("#requests", RingGrid)
        if not wanted.terms:
            grid.set_filter(everything)
        else:
            fits = compile_filter(wanted)
            grid.set_filter(lambda entry: isinstance(entry, Mark) or fits(entry.record))
        self.show()

    # The inspector

    def do_inspect(self) -> None:
        self.set_class(True, "-inspecting")
        self.grid.hold()
        self._inspect()
        self.refresh_frame()

    def _inspect(self) -> None:
        entry = self.entry
        if entry is None:
            self.inspector.show(None)
            return
        self.inspector.show(Inspected(entry))
        if isinstance(entry, Finished):
            self.conduit.attempt(self._load(entry), "Read the request", group="inspect")

    async def _load(self, entry: Finished) -> None:
        """The record with its attempts; dropped when something else is shown by then."""
        epoch = self.store.epoch
        detail, failure = None, None
        try:
            detail = await self._ask("requests.show", entry)
        except ClientError as error:
            failure = error.message
        if epoch == self.store.epoch and self._shows(entry):
            self.inspector.show(Inspected(entry, detail, failure))
            await self._load_bodies(entry)

    async def _ask(self, name: str, entry: Finished) -> Record:
        """Ask for more of a request; one that has just ended may be on its way to the database."""
        link = self.conduit.link
        for pause_s in _ON_ITS_WAY_S:
            try:
                return await link.call(name, entry.key)
            except ApiError as error:
                age_ms = self.store.wall_ms() - entry.at_ms - entry.duration_ms
                if error.status != _NOT_FOUND or age_ms > _FRESH_MS or not self._shows(entry):
                    raise
            await asyncio.sleep(pause_s)
        return await link.call(name, entry.key)

    def _shows(self, entry: Finished) -> bool:
        shown = self.inspector.shown
        return shown is not None and shown.entry.key == entry.key

    async def _load_bodies(self, entry: Finished) -> Inspected | None:
        """Read what was sent and answered, once and only where somebody looks."""
        shown = self.inspector.shown
        if shown is None or self.inspector.page not in OF_BODIES:
            return shown
        if shown.bodies is None and shown.bodies_error is None:
            await self._read_bodies(entry)
        return self.inspector.shown

    async def _read_bodies(self, entry: Finished) -> Record | None:
        epoch = self.store.epoch
        bodies: Record | None = None
        failure: ClientError | None = None
        try:
            bodies = await self._ask("requests.bodies", entry)
        except ClientError as error:
            failure = error
        shown = self.inspector.shown
        if epoch == self.store.epoch and shown is not None and self._shows(entry):
            self.inspector.show(replace(shown, bodies=bodies, bodies_error=failure))
        return bodies

    def do_next(self) -> None:
        self.grid.action_move(1)

    def do_before(self) -> None:
        self.grid.action_move(-1)

    def do_summary(self) -> None:
        self._turn_to("summary")

    def do_timeline(self) -> None:
        self._turn_to("timeline")

    def do_route(self) -> None:
        self._turn_to("route")

    def do_request(self) -> None:
        self._turn_to("request")

    def do_sent(self) -> None:
        self._turn_to("sent")

    def do_answer(self) -> None:
        self._turn_to("answer")

    def do_headers(self) -> None:
        self._turn_to("headers")

    def do_json(self) -> None:
        self._turn_to("json")

    def _turn_to(self, page: Page) -> None:
        self.inspector.turn_to(page)
        shown = self.inspector.shown
        if page in OF_BODIES and shown is not None and isinstance(shown.entry, Finished):
            self.conduit.attempt(self._load_bodies(shown.entry), "Read the bodies", group="bodies")

    def do_differences(self) -> None:
        self.inspector.only_differences = not self.inspector.only_differences
        self._turn_to("sent")

    def do_pager(self) -> None:
        from conduit.tui.widgets.paging import page  # noqa: PLC0415  # deferred: rare

        page(self, self.inspector.whole)

    async def do_chat(self) -> None:
        """The model of the request in a new conversation, with its question where it is kept."""
        entry = self.entry
        if not isinstance(entry, Finished):
            return
        bodies = await self._read_bodies(entry)
        question = None if bodies is None else question_of(bodies)
        self.conduit.go("chat")
        if not await self.conduit.arrived("chat"):
            return
        chat = self.conduit.frame
        reason = chat.is_busy()
        if reason is not None:
            self.conduit.tell(f"not brought to the chat: {reason}", severity="warning")
            return
        from conduit.tui.chat.bringing import bring  # noqa: PLC0415  # deferred: rare
        from conduit.tui.screens.chat import ChatScreen  # noqa: PLC0415  # loaded by now

        assert isinstance(chat, ChatScreen), "the chat's screen"
        chat.do_new()
        brought = bring(chat.dialogue, entry.alias, question)
        if question is not None:
            chat.query_one("#message", TextArea).text = question.text
        self.conduit.tell(f"brought to the chat: {brought}")

    async def do_replay(self) -> None:
        """Send the request again where it is kept, and look into what became of it."""
        entry = self.entry
        if not isinstance(entry, Finished):
            return
        from conduit.tui.chat.replaying import replayed  # noqa: PLC0415  # deferred: rare

        bodies = await self._ask("requests.bodies", entry)
        asked = await replayed(self, entry, bodies)
        for _ in range(_SEEN_TRIES if asked is not None else 0):
            if self.open_record(str(asked)):
                return
            await asyncio.sleep(_SEEN_PAUSE_S)

    # Requests in flight

    async def do_running(self) -> None:
        """Choose one of those that run, and stop it."""
        link = self.conduit.link
        found = (await link.call("requests.in_flight"))["data"]
        choices = [Choice(each["id"], *running_told(each)) for each in found]
        picker = Picker("in flight: Enter stops one", choices, empty="no request is in flight")
        chosen = await self.conduit.push_screen_wait(picker)
        running = next((each for each in found if each["id"] == chosen), None)
        if running is None:
            return
        reason = link.why_no_change()
        if reason is not None:
            self.conduit.tell(f"not stopped: {reason}", severity="warning")
            return
        question = Confirm(
            f"Stop the request {running['id']}?",
            f"{running_told(running)[0]}\nIts client gets an error; what has come is billed.",
            verb="Stop",
        )
        if await self.conduit.push_screen_wait(question):
            await link.change("requests.cancel", running["id"])
            self.conduit.tell(f"stopped {running['id']}")

    def do_close(self) -> None:
        if self._inspecting:
            self._close_inspector()
        elif self._filter_text:
            self.set_filter("")

    def _close_inspector(self) -> None:
        self.set_class(False, "-inspecting")
        for grid in self._lists:
            grid.release()
        self.query_one(SearchLine).action_leave()
        self.grid.focus()
        self.refresh_frame()

    def do_copy(self) -> None:
        entry = self.entry
        if entry is None:
            return
        copy = self.conduit.copy_text
        options: dict[str, tuple[str, Callable[[], object]]] = {
            "j": ("JSON", lambda: copy(as_json(_record_of(entry))))
        }
        if isinstance(entry, Finished):
            record, url = entry.record, self.conduit.target.core_url
            options |= {
                "i": ("id", lambda: copy(entry.key)),
                "c": ("curl", lambda: copy(curl_of(record, url))),
            }
            if self._inspecting:
                options["p"] = ("page", lambda: copy(self.inspector.text))
        self.conduit.ask_key("copy", options)

    def open_record(self, name: str) -> bool:
        """A request by its id, as far as the ring holds it."""
        if self._shows_events:
            self.do_view()
        self.set_filter("")
        self.grid.take()
        if not self.grid.move_to_key(name):
            return False
        self.do_inspect()
        return True


def running_told(request: Record) -> tuple[str, str, str]:
    """A request in flight on one line, no key, and since when."""
    target = f"{request['provider']}/{request['model']}" if request["provider"] else "-"
    tokens = f"{request['output_tokens']:,} tokens"
    text = f"{request['alias'] or '-'}  {target}  {request['state']}  {tokens}"
    return text, "", f"{milliseconds(request['age_ms'])}, {request['key'] or 'no key'}"


def _record_of(entry: Finished | Happened) -> dict[str, object]:
    return dict(entry.record if isinstance(entry, Finished) else entry.data)


class BelowLine(Line):
    """How much has come since one stopped following."""

    def pieces(self) -> Sequence[Piece]:
        screen = self.screen
        if not isinstance(screen, LiveScreen) or not screen.is_mounted:
            return ()
        grid = screen.grid
        inspecting = screen.has_class("-inspecting")
        if (grid.following or (inspecting and not grid.behind)) and not grid.paused:
            return ()
        new = f"{screen.glyphs.down} {grid.behind:,} new"
        follows = "f follows" if inspecting else "End follows"
        hint = "space goes on" if grid.paused else follows
        return [Piece(f"{new}, {hint}", 0, "bold $warn", "app.perform('live.follow')", right=True)]
