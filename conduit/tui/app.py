"""The application: screens, keys, palette, `:` line, messages, and the link behind them."""

import asyncio
import inspect
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from textual import events
from textual.binding import Binding
from textual.driver import Driver
from textual.scrollbar import ScrollBar, ScrollBarRender
from textual.widgets import Input, TextArea

from conduit.client import contexts
from conduit.client.errors import ClientError
from conduit.core.redaction import redacted
from conduit.tui import commanding, keymap
from conduit.tui import glyphs as glyph_tables
from conduit.tui.actions import APP, APP_ACTIONS, Action, with_those_of_app
from conduit.tui.farewell import Farewell, farewell_of
from conduit.tui.journal import write_trace
from conduit.tui.keymap import GO
from conduit.tui.keymap import NOTHING as NO_KEYMAP
from conduit.tui.places import PLACES, SHOW_TRAFFIC, START, Place, place_named
from conduit.tui.state import remembering
from conduit.tui.state.gateway import GatewayLink
from conduit.tui.state.session import DEFAULT_LOOK, Look, Target, target_of
from conduit.tui.state.store import Rhythm, Store, label_of
from conduit.tui.terminal import garbage
from conduit.tui.terminal.stylesheet import ParsedOnce
from conduit.tui.terminal.typing_ahead import TypeAhead, Typed
from conduit.tui.terminal_side import TerminalApp
from conduit.tui.themes import THEMES, register_with
from conduit.tui.trail import Chord, Trail
from conduit.tui.widgets.command_line import CommandLine
from conduit.tui.widgets.dialogs.picker import Choice, Picker
from conduit.tui.widgets.dialogs.secrets import hidden
from conduit.tui.widgets.drawing.bars import AsciiScrollBar
from conduit.tui.widgets.frame import FrameScreen, bindings_of, clock_time
from conduit.tui.widgets.helping import PRESS, help_choices

MakeLink = Callable[..., GatewayLink]
_SETTLE_S = 0.02
_CLOCK_S = 1.0
_STARTED_S = 10
_REMEMBER_EVERY_S = 60
_GONE_WITHIN_S = 2.0
_SIGNALLED = 128
_GO = "go:"
_KEYMAP = "keymap:"
_OPEN = "open:"
_OPEN_S = 10.0
_OPEN_POLL_S = 0.02


class ConduitApp(TerminalApp):
    """`conduit-tui`."""

    CSS_PATH = "app.tcss"
    TITLE = "conduit"
    ENABLE_COMMAND_PALETTE = False  # ours is the picker, fed by the registry
    BINDINGS = bindings_of(APP_ACTIONS)
    NOTIFICATION_TIMEOUT = 5

    def __init__(
        self,
        target: Target,
        look: Look = DEFAULT_LOOK,
        *,
        store: Store | None = None,
        make_link: MakeLink = GatewayLink,
        check: "Future[ClientError | None] | None" = None,
    ) -> None:
        self.target = target
        self.look = look
        self.store = store or Store()
        self.glyphs = glyph_tables.ASCII if look.ascii else glyph_tables.UNICODE
        self.chord: Chord | None = None
        self._type_ahead = TypeAhead(self, self._deal_with)
        self.keymap = NO_KEYMAP
        self._shown_keys = self.keymap.shown_keys()
        self.farewell: Farewell | None = None
        self.trail = Trail()
        known = {place.name for place in PLACES}
        self._first = look.screen if look.screen in known else START
        self._make_link = make_link
        self._check = check
        self._lines: list[str] = []
        self._rhythm = Rhythm()
        self._is_calm = False
        self._has_strip = False
        self.has_mouse = look.mouse
        self._seconds = 0
        self.link: GatewayLink = self._linked()
        # Of this run: the first frame is already that of the screen that was asked for.
        self.DEFAULT_MODE = self._first  # type: ignore[misc]
        super().__init__(driver_class=driver_class())
        self.stylesheet = ParsedOnce(self.get_css_variables())
        register_with(self)
        self.theme = look.theme
        for place in PLACES:
            self.add_mode(place.name, place.load_screen)
            if place.key:
                self._bind_place(place, place.key)
        if look.lite:
            self.animation_level = "none"
        ScrollBar.renderer = AsciiScrollBar if look.ascii else ScrollBarRender
        self.set_class(look.ascii, "-ascii")
        self.set_class(look.lite, "-lite")
        self.set_class(target.confirm_typed, "-typed")

    def _bind_place(self, place: Place, key: str) -> None:
        binding = Binding(
            key,
            f"app.go('{place.name}')",
            place.title,
            show=False,
            priority=True,
            id=f"{GO}.{place.name}",
        )
        self._bindings.key_to_bindings.setdefault(key, []).append(binding)

    def shown_key_of(self, place: Place) -> str:
        """The key of a screen, as people write it."""
        return self._shown_keys[place.name]

    def _take_keymap(self) -> None:
        """The operator's own keys, after the first frame: to check them loads every screen."""
        self.keymap = keymap.read()
        self._shown_keys = self.keymap.shown_keys()
        for place in PLACES:
            own = self.keymap.keys.get(f"{GO}.{place.name}")
            if own and not place.key:
                self._bind_place(place, own[0])
        self.set_keymap({name: ",".join(keys) for name, keys in self.keymap.keys.items()})
        if self.keymap.problems:
            self._tell_of_keymap([f"keymap: {problem}" for problem in self.keymap.problems])
        self.frame.refresh_frame()

    def _tell_of_keymap(self, problems: Sequence[str]) -> None:
        """Keep each for `:messages`, but no heap of toasts; help lists them too."""
        for problem in problems:
            self.store.say(problem, severity="warning", hint=keymap.LEFT_OUT)
        others = f"\nand {len(problems) - 1} more, see :messages" if len(problems) > 1 else ""
        text = f"{problems[0]}{others}\n{keymap.LEFT_OUT}"
        self.notify(text, severity="warning", markup=False)

    # Life

    def on_mount(self) -> None:
        self.trail.visit(self._first)
        self._redrawing = self.set_interval(1 / self.look.flush_hz, self._draw_changes)
        self.store.wakes(self._redrawing.resume)
        # Not a timer of Textual's: by its messages a quiet second would cost several times as much.
        self._clock = asyncio.create_task(self._watch_clock(), name="clock")
        # The network's libraries come after the first frame.
        self.call_after_refresh(self.link.start)
        self.call_after_refresh(self._take_keymap)
        if self._check is not None:
            self.attempt(self._end_if_refused(self._check), "the first look at the gateway")
        if os.name == "posix" and not self.is_headless:
            self._heed_signals()
            if not self.look.lite:
                self.set_timer(_CLOCK_S, self.ask_terminal)

    def _heed_signals(self) -> None:
        """Give the terminal back before ending, as a shell expects of whoever took it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end_by, number)

        def terminal_gone(number: int, _frame: object) -> None:
            # Whoever still writes to it may wait for ever, the loop itself among them.
            last = threading.Timer(_GONE_WITHIN_S, os._exit, (_SIGNALLED + number,))
            last.daemon = True
            last.start()
            loop.call_soon_threadsafe(self._end_by, number)

        signal.signal(signal.SIGHUP, terminal_gone)

    def _end_by(self, number: int) -> None:
        self.exit(return_code=_SIGNALLED + number)

    async def on_unmount(self) -> None:
        self._clock.cancel()
        self._remember()
        await self.link.stop()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        # A blinking cursor is all the traffic that an idle screen would have.
        if isinstance(event.widget, Input | TextArea):
            event.widget.cursor_blink = False
        if self.screen is self.frame:
            self.frame.refresh_frame()  # other keys act where text is typed

    def _linked(self) -> GatewayLink:
        """A link to the gateway, of which only what was kept is known so far."""
        link = self._make_link(self.target, self.store, on_error=self._link_failed)
        self.store.recall(remembering.recall(self.target.admin_url))
        return link

    def _remember(self) -> None:
        """Keep what the next start shows first."""
        known = self.store.remembered()
        if known is not None:
            remembering.keep(self.target.admin_url, known)

    def _link_failed(self, what: str, error: BaseException) -> None:
        self.crashed(what, error)

    async def _end_if_refused(self, check: "Future[ClientError | None]") -> None:
        """Leave when the very first answer says that this cannot work."""
        error = await asyncio.wrap_future(check)
        if error is not None and self.store.boot is None:
            self.farewell = farewell_of(error)
            self.exit(return_code=self.farewell.exit_code)

    def _handle_exception(self, error: Exception) -> None:
        # Textual would print a trace with all local variables, secrets among them.
        path = write_trace("the interface failed", error)
        if not self.is_running:
            return  # it is being taken down: a widget missed another that has gone already
        summary = redacted(f"{type(error).__name__}: {error}".splitlines()[0])
        where = f"\n  details: {path}" if path else ""
        self.farewell = Farewell(1, f"error: unexpected failure: {summary}{where}")
        self._return_code = 1
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        self._close_messages_no_wait()

    # Where one is

    @property
    def here(self) -> str:
        return self.current_mode

    @property
    def frame(self) -> FrameScreen:
        """The screen of the present place, whatever dialog stands before it."""
        bottom = self.screen_stack[0]
        assert isinstance(bottom, FrameScreen), "every mode begins with a frame"
        return bottom

    def go(self, name: str, *, remember: bool = True) -> None:
        """Show a place."""
        if name == self.here:
            return
        if remember:
            self.trail.visit(name)
        _ = self.switch_mode(name)

    def action_go(self, name: str) -> None:
        self.go(name)

    def screen_shown(self, screen: FrameScreen) -> None:
        """A place came to the front: its tables are the ones to keep fresh."""
        self.link.watch(screen.watched_tables())
        self.offer_only_on(screen.PLACE)
        self._place_strip(screen)

    def open_record(self, place_name: str, name: str) -> None:
        """Show a record by its name, on its screen."""
        self.go(place_name)
        self.attempt(self.open_there(place_name, name), f"Open {name}")

    async def open_there(self, place_name: str, name: str) -> bool:
        """Open a record once its screen knows its records; says whether there was one."""
        if not await self.arrived(place_name):
            return False
        found = self.frame.open_record(name)
        if not found:
            verbs = ", ".join(action.verb for action in self.frame.ACTIONS if action.changes)
            hint = f"what can be done there: {verbs}" if verbs and " " in name else None
            self.tell(f"no {place_name} record is called {name!r}", hint=hint, severity="warning")
        return found

    async def arrived(self, place_name: str) -> bool:
        """Wait until a screen stands with its records; False when somebody has left it."""
        place = place_named(place_name)
        assert place is not None, "one of ours"
        with suppress(TimeoutError):
            async with asyncio.timeout(_OPEN_S):
                # Frame, table and place change in three hands: a look each 20 ms is simplest.
                while self.here == place_name and not self._knows_records(place):  # noqa: ASYNC110
                    await asyncio.sleep(_OPEN_POLL_S)
        return self.here == place_name and self.frame.can_draw

    def _knows_records(self, place: Place) -> bool:
        table = self.store.table(place.table) if place.table else None
        known = table is None or table.is_loaded or table.error is not None
        return known and self.frame.can_draw

    # Actions

    def actions(self) -> list[Action]:
        """What can be done here: the screen's first."""
        return with_those_of_app(self.frame.ACTIONS, self.keymap.on)

    def why_not(self, action: Action) -> str | None:
        """Why an action cannot be done now, or None."""
        if action.owner != APP:
            reason = self.frame.why_not(action)
            if reason is not None:
                return reason
        if action.id == "app.strip" and self.here in SHOW_TRAFFIC:
            return "requests are shown here already"
        if action.id == "app.undo" and (reason := self.why_no_undo()) is not None:
            return reason
        return self.link.why_no_change() if action.changes else None

    def perform(self, id: str) -> None:
        """Do an action, or say why not."""
        action = next((action for action in self.actions() if action.id == id), None)
        if action is None:
            return
        if self.screen is not self.frame and action.owner != APP:
            return
        reason = self.why_not(action)
        if reason is not None:
            self.tell(f"{action.title}: {reason}", severity="warning")
            return
        owner = self if action.owner == APP else self.frame
        outcome = getattr(owner, action.method)()
        if inspect.iscoroutine(outcome):
            self.attempt(outcome, action.title)

    def action_perform(self, id: str) -> None:
        self.perform(id)

    def ask_key(self, title: str, options: Mapping[str, tuple[str, Callable[[], object]]]) -> None:
        """Wait for one of these keys; the footer shows them, any other key is a no."""
        self.chord = Chord(title, options)
        self.frame.refresh_frame()

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.CursorPosition):
            self.terminal_answered()
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            await self._type_ahead.take(event)
            return
        await super().on_event(event)

    async def _deal_with(self, key: Typed) -> None:
        if self.chord is None or isinstance(key, events.Paste):
            await super().on_event(key)
            return
        chord, self.chord = self.chord, None
        self.frame.refresh_frame()
        found = chord.options.get(key.character or "") or chord.options.get(key.key)
        if found is not None:
            outcome = found[1]()
            if inspect.iscoroutine(outcome):
                self.attempt(outcome, chord.title)

    # What the app itself does

    def do_palette(self) -> None:
        if self.screen is self.frame:
            picker = Picker("palette", [*self._offers(), *self._record_offers()])
            _ = self.push_screen(picker, self._run_offer)
            self.attempt(self._read_for(picker), "Read the records", group="palette")

    async def _read_for(self, picker: Picker) -> None:
        for table in (place.table for place in PLACES if place.table):
            if await self.link.load_missing(table) and self.screen is picker:
                picker.offer([*self._offers(), *self._record_offers()])

    def _offers(self) -> Iterator[Choice]:
        """All that can be done, and all places."""
        for action in self.actions():
            notes = ", ".join(f":{command}" for command in action.commands)
            reason = self.why_not(action)
            yield Choice(action.id, action.title, action.shown_key, notes, reason)
        for place in PLACES:
            yield Choice(f"{_GO}{place.name}", f"Go to {place.title}", self.shown_key_of(place))
        for problem in self.keymap.problems:
            yield Choice(f"{_KEYMAP}{problem}", f"keymap: {problem}", reason=keymap.LEFT_OUT)

    def _record_offers(self) -> Iterator[Choice]:
        for place in PLACES:
            rows = self.store.table(place.table).rows if place.table else {}
            for row in rows.values():
                name = label_of(row)
                yield Choice(f"{_OPEN}{place.name} {name}", f"{place.nouns[1]} {name}", note="open")

    def _run_offer(self, id: str | None) -> None:
        if id is None:
            return
        if id.startswith(_GO):
            self.go(id.removeprefix(_GO))
        elif id.startswith(_OPEN):
            self.open_record(*id.removeprefix(_OPEN).split(" ", 1))
        elif id.startswith(PRESS):
            self.call_later(self.simulate_key, id.removeprefix(PRESS))
        else:
            self.call_later(self.perform, id)

    def do_goto(self) -> None:
        options = {
            key: (letter.title, lambda name=letter.verb: self.go(name))
            for letter in map(self.keymap.on, keymap.letters())
            for key in letter.keys
        }
        self.ask_key("go to", options)

    def do_jump(self) -> None:
        """Put a letter on all that can have the focus, of a dialog where one stands there."""
        from conduit.tui.widgets.jumping import jump  # noqa: PLC0415  # deferred: rare

        jump(self.screen)

    def do_previous(self) -> None:
        before = self.trail.step(-1)
        if before is not None:
            # `-` goes to and fro between two screens.
            self.trail.at += 1
            self.go(before)

    def do_back(self) -> None:
        self._travel(-1)

    def do_forward(self) -> None:
        self._travel(1)

    def _travel(self, by: int) -> None:
        name = self.trail.step(by)
        if name is not None:
            self.go(name, remember=False)

    def do_help(self) -> None:
        if not isinstance(self.screen, Picker):
            what = self.here if self.screen is self.frame else "this dialog"
            choices = help_choices(self.screen, self._offers())
            _ = self.push_screen(Picker(f"help: {what}", choices), self._run_offer)

    def do_messages(self) -> None:
        choices = [
            Choice(str(number), message.text, clock_time(message.at_ms), _note_of(message))
            for number, message in reversed(list(enumerate(self.store.messages)))
        ]
        picker = Picker("messages: Enter copies", choices, empty="nothing has been said yet")
        _ = self.push_screen(picker, self._copy_message)

    def _copy_message(self, number: str | None) -> None:
        if number is not None:
            message = self.store.messages[int(number)]
            self.copy_text(" ".join(filter(None, (message.text, message.hint, message.request_id))))

    def do_theme(self) -> None:
        choices = [Choice(name, name, note="now" if name == self.theme else "") for name in THEMES]
        _ = self.push_screen(Picker("theme", choices), self._set_theme)

    def _set_theme(self, name: str | None) -> None:
        if name is not None:
            self.theme = name

    def do_context(self) -> None:
        known = contexts.load().by_name
        choices = [
            Choice(name, name, note=context.url, reason=None) for name, context in known.items()
        ]
        picker = Picker("context", choices, empty="none yet: conduit context add NAME --url URL")
        _ = self.push_screen(picker, self.use_context)

    def use_context(self, name: str | None) -> None:
        if name is not None:
            self.attempt(self.switch_context(name), "Switch to another context")

    async def switch_context(self, name: str) -> None:
        """Look at another gateway from now on."""
        try:
            found = contexts.resolve(contexts.load(), contexts.Choice(context=name), os.environ)
        except contexts.ContextError as error:
            self.tell(str(error), severity="error")
            return
        if found.master_key is None:
            self.tell(f"no master key is stored for {name}: conduit auth login", severity="error")
            return
        self._remember()
        await self.link.stop()
        self.target = target_of(found)
        self.set_class(self.target.confirm_typed, "-typed")
        self.link = self._linked()
        self.link.watch(self.frame.watched_tables())
        self.link.start()
        self._draw_changes()

    def do_strip(self) -> None:
        """Show the newest requests at the foot of every screen, or no longer."""
        self._has_strip = not self._has_strip
        self._place_strip(self.frame)

    def _place_strip(self, screen: FrameScreen) -> None:
        wanted = self._has_strip and screen.PLACE not in SHOW_TRAFFIC
        if wanted or screen.query("#strip"):
            from conduit.tui.widgets.newest import place_strip  # noqa: PLC0415  # deferred: rare

            place_strip(screen, wanted=wanted)

    def do_reconnect(self) -> None:
        self.link.reconnect()

    async def do_quit(self) -> None:
        busy = next((why for screen in self._frames() if (why := screen.is_busy())), None)
        if busy is not None:
            from conduit.tui.widgets.dialogs.confirming import Confirm  # noqa: PLC0415  # deferred: rare

            if not await self.push_screen_wait(Confirm("Quit?", busy, verb="Quit")):
                return
        self.exit()

    async def action_quit(self) -> None:
        await self.do_quit()

    def _frames(self) -> Iterator[FrameScreen]:
        for stack in self._screen_stacks.values():
            if stack and isinstance(stack[0], FrameScreen):
                yield stack[0]

    def do_command(self) -> None:
        line = CommandLine(commanding.words_of(self), self._lines)
        _ = self.push_screen(line, self.run_line)

    def run_line(self, line: str | None) -> None:
        """Do what a `:` line says."""
        if line:
            self._lines.append(line)
            commanding.run(self, line)

    # Drawing

    def delay_update(self, delay: float = _SETTLE_S) -> None:
        """Hold drawing back until a screen that comes to the front has found its shape."""
        super().delay_update(delay)

    def export_screenshot(self, *, title: str | None = None, simplify: bool = False) -> str:
        """An SVG of the screen, without the secrets that may stand on it or beneath."""
        with hidden(self.screen_stack):
            return super().export_screenshot(title=title, simplify=simplify)

    def _draw_changes(self) -> None:
        """Draw what has changed, and rest where nothing has until the store wakes the timer.

        A rested timer fires at once when it is woken, so what comes after a silence is not late.
        """
        seen = self.store.seen()
        if self._rhythm.is_silent(seen):
            if self.store.connectivity.is_live:
                self._redrawing.pause()
            return
        frame = self.frame
        if not frame.can_draw or not self._rhythm.is_due(seen):
            return
        frame.show_store()
        frame.refresh_frame()

    async def _watch_clock(self) -> None:
        while True:
            await asyncio.sleep(_CLOCK_S)
            self._second_passed()

    def _second_passed(self) -> None:
        """What comes about by time alone: a link goes stale, a new size never reached the screen.

        Textual tells the screen of a size by a timer that goes off once; on a busy machine it may
        be overdue before it waits, is dropped then, and no later size is told of.
        """
        self._seconds += 1
        live = self.store.connectivity.is_live
        if not live:
            self._redrawing.resume()
        if not self._is_calm and (live or self._seconds >= _STARTED_S):
            self._is_calm = True
            garbage.calm()  # all that is imported is there, unless there is no gateway
        if live and self._seconds % _REMEMBER_EVERY_S == 0:
            self._remember()  # whoever is cut off has the figures of a minute ago
        if self.screen.outer_size != self.size:
            self.screen.post_message(events.Resize(self.size, self.size))


def driver_class() -> type[Driver] | None:
    """What writes to the terminal; None: what Textual would choose."""
    if os.name != "posix" or "TEXTUAL_DRIVER" in os.environ:
        return None
    from conduit.tui.terminal.driver import ThriftyDriver  # noqa: PLC0415  # deferred: not on Windows

    return ThriftyDriver


def _note_of(message: Any) -> str:
    return "  ".join(filter(None, (message.hint, message.request_id)))
