"""The frame around every screen: title, tabs, the body between, hints."""

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static, TextArea

from conduit.core.money import NANODOLLARS_PER_DOLLAR
from conduit.tui.actions import APP_ACTIONS, Action, acts_in_text
from conduit.tui.fitting import Piece
from conduit.tui.places import TABS, tab_of
from conduit.tui.state.connectivity import Phase
from conduit.tui.state.rates import MANY_ERRORS, error_share
from conduit.tui.terminal.compositor import SparingCompositor
from conduit.tui.widgets.kept import Kept
from conduit.tui.widgets.line import Line

if TYPE_CHECKING:
    from conduit.tui.app import ConduitApp
    from conduit.tui.glyphs import Glyphs
    from conduit.tui.state.store import Store

HORIZONTAL = [(0, "-tiny"), (60, "-narrow"), (80, "-std"), (110, "-wide"), (160, "-xl")]
VERTICAL = [(0, "-flat"), (16, "-short"), (24, "-high"), (36, "-tall")]
SMALLEST = (60, 16)


def bindings_of(actions: Iterable[Action]) -> list[BindingType]:
    """The keys of actions as Textual wants them; all of them go through the registry."""
    return [
        Binding(
            key,
            f"app.perform('{action.id}')",
            action.title,
            show=False,
            priority=action.always,
            key_display=action.shown_key,
            id=action.id,
        )
        for action in actions
        for key in action.keys
    ]


class TitleBar(Line):
    """Row 1: whose gateway this is and how it does."""

    def pieces(self) -> Sequence[Piece]:
        app = app_of(self)
        state = app.store.connectivity.shown()
        name = app.target.name or app.target.admin_url.partition("://")[2]
        pieces = [
            Piece("conduit", 9, "bold $accent"),
            Piece(f"[{name}]", 4, f"bold {app.target.color or ''}".strip()),
            Piece(app.glyphs.pill(state.tone, state.word), 0, f"bold ${state.tone}"),
        ]
        if app.target.read_only:
            pieces.append(Piece("READ-ONLY", 0, "bold $warn"))
        elif app.target.confirm_typed:
            pieces.append(Piece("TYPED", 3, "bold $warn"))
        return [*pieces, *_figures(app.store), *frame_of(self).title_pieces()]


def _figures(store: "Store") -> Iterable[Piece]:
    figures = store.figures
    if figures is None or not store.connectivity.is_live:
        return
    yield Piece(f"{figures['requests_per_s_milli'] / 1000:.1f} rq/s", 5)
    if figures["latency_p95_ms"] is not None:
        yield Piece(f"p95 {milliseconds(figures['latency_p95_ms'])}", 6)
    share = error_share(figures)
    yield Piece(f"err {share:.1%}", 7, "$bad" if share >= MANY_ERRORS else "")
    per_minute = figures["cost_nanodollars_per_min"] / NANODOLLARS_PER_DOLLAR
    yield Piece(f"${per_minute:.2f}/min", 8)


class TabStrip(Line):
    """Row 2: the screens; the present one stands out."""

    GAP = 1

    def pieces(self) -> Sequence[Piece]:
        here = tab_of(app_of(self).here)
        pieces = [Piece("F1 Help", 3, action="app.perform('app.help')")]
        for place in TABS:
            current = place.name == here
            pieces.append(
                Piece(
                    f"{app_of(self).shown_key_of(place)} {place.title}",
                    0 if current else place.rank + 1,
                    "current" if current else "",
                    f"app.go('{place.name}')",
                )
            )
        return pieces

    def draw(self, piece: Piece) -> Content:
        if piece.style == "current":
            return Content.styled(piece.text, "bold $cursor-text on $cursor")
        key, _, title = piece.text.partition(" ")
        return Content.assemble((f"{key} ", "$dim"), (title, "$foreground"))


class Hints(Line):
    """The last row: the keys that matter here, whole ones, by priority."""

    def pieces(self) -> Sequence[Piece]:
        app = app_of(self)
        if app.chord is not None:
            options = [Piece(f"{key} {label}", 1) for key, label in app.chord.labels()]
            return [
                Piece(app.chord.title, 0, "title"),
                *options,
                Piece("Esc cancel", 2, right=True),
            ]
        frame = frame_of(self)
        typing = isinstance(frame.focused, Input | TextArea)

        def keyed(action: Action) -> Action:
            found = app.keymap.on(action)
            if not typing:
                return found
            return replace(found, keys=tuple(key for key in found.keys if acts_in_text(key)))

        actions = [action for action in map(keyed, frame.ACTIONS) if action.hint and action.keys]
        pinned = [action for action in map(keyed, APP_ACTIONS) if action.hint and action.keys]
        return [
            *(self._hint(action, 3 + action.priority) for action in actions),
            *(self._hint(action, action.priority, right=True) for action in pinned),
        ]

    def _hint(self, action: Action, priority: int, *, right: bool = False) -> Piece:
        style = "off" if app_of(self).why_not(action) else ""
        text = f"{action.shown_key} {action.hint}"
        return Piece(text, priority, style, f"app.perform('{action.id}')", right)

    def draw(self, piece: Piece) -> Content:
        key, _, word = piece.text.partition(" ")
        if piece.style == "title":
            return Content.styled(piece.text, "bold")
        if piece.style == "off":
            return Content.styled(piece.text, "$dim strike")
        return Content.assemble((f"{key} ", "bold $accent"), (word, "$foreground"))


class Said(Static):
    """A text; a new one costs a layout of the screen, the same one costs nothing."""

    def __init__(self, *, id: str, classes: str = "") -> None:
        super().__init__("", id=id, classes=classes, markup=False)
        self._said = ""

    def say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self.update(text)


class Notice(Said):
    """Says that what is shown is old, as long as nobody can know better."""

    def show_state(self) -> None:
        """Appear while there is no connection, and go again."""
        app = app_of(self)
        connectivity = app.store.connectivity
        reason = connectivity.why_no_change()
        lost = reason is not None and connectivity.phase is not Phase.CONNECTING
        self.display = lost
        why = f": {connectivity.reason}" if connectivity.reason else ""
        self.say(f"{app.glyphs.bad} {reason}{why}" if lost else "")


class Body(Kept, Container):
    """What the screen is about stands in it."""


class TooSmall(Static):
    """Stands in for the body where there is no room for it."""

    def render(self) -> str:
        size = self.app.size
        width, height = SMALLEST
        return f"{size.width}x{size.height} is too small: {width}x{height} or more is needed"


class FrameScreen(Kept, Screen[None]):
    """A screen of the frame. A subclass names its place, its actions and the tables it reads."""

    PLACE: ClassVar[str] = ""
    ACTIONS: ClassVar[tuple[Action, ...]] = ()
    TABLES: ClassVar[frozenset[str]] = frozenset()
    HORIZONTAL_BREAKPOINTS = HORIZONTAL
    VERTICAL_BREAKPOINTS = VERTICAL
    AUTO_FOCUS = ""

    def __init_subclass__(cls, **options: Any) -> None:
        cls.BINDINGS = [*cls.__dict__.get("BINDINGS", ()), *bindings_of(cls.ACTIONS)]
        super().__init_subclass__(**options)

    first_text: str | None = None
    """What the next form of something new begins with, as the `:` line named it."""
    _composed = False
    _frame_lines: Sequence[Line] = ()

    def __init__(self) -> None:
        super().__init__()
        self._compositor = SparingCompositor()

    @property
    def can_draw(self) -> bool:
        """Whether there is anything to draw into: not before the first frame, not at the end."""
        return self._composed and self.app.is_running

    @property
    def conduit(self) -> "ConduitApp":
        return app_of(self)

    @property
    def store(self) -> "Store":
        return self.conduit.store

    @property
    def glyphs(self) -> "Glyphs":
        return self.conduit.glyphs

    def compose(self) -> ComposeResult:
        yield TitleBar(id="title")
        yield TabStrip(id="tabs")
        yield Notice(id="notice")
        with Body(id="body"):
            yield from self.compose_body()
        yield TooSmall(id="too-small")
        yield Hints(id="hints")

    def compose_body(self) -> ComposeResult:
        """What the screen is about."""
        yield from ()

    def title_pieces(self) -> Sequence[Piece]:
        """What the screen adds to row 1."""
        return ()

    def watched_tables(self) -> Collection[str]:
        """The tables that this screen keeps fresh while it is shown."""
        return self.TABLES

    def show_store(self) -> None:
        """Draw what the store says now. Called when it has changed, at most a few times a second,
        and whenever the screen is shown again."""

    def why_not(self, action: Action) -> str | None:
        """Why an action of this screen cannot be done now, or None."""
        return None

    def open_record(self, name: str) -> bool:
        """Show the record of this name; False where the screen knows none such."""
        return False

    def filter_by(self, text: str) -> None:
        """Show only what this filter admits, on screens that have one."""

    def is_busy(self) -> str | None:
        """What would be lost by leaving the program now, or None."""
        return None

    def show(self) -> None:
        """Draw what the store says now, and the frame around it."""
        self.show_store()
        self.refresh_frame()

    def refresh_frame(self) -> None:
        """Draw those lines of the frame and the body that would be different."""
        if not self.can_draw:
            return
        for line in self._frame_lines:
            line.redraw()
        self._notice.show_state()

    def refresh_title(self) -> None:
        """Draw row 1 if it would be different."""
        if self.can_draw:
            self._title.redraw()

    @cached_property
    def _title(self) -> TitleBar:
        return self.query_one(TitleBar)

    @cached_property
    def _notice(self) -> Notice:
        return self.query_one(Notice)

    def on_mount(self) -> None:
        self._composed = True
        self._frame_lines = tuple(self.query(Line))
        if self.is_current:
            self._begin()

    def on_screen_resume(self) -> None:
        # The first time this comes before there is anything to draw into.
        if self.can_draw:
            self._begin()

    def _begin(self) -> None:
        self.conduit.screen_shown(self)
        self.show()


def app_of(node: Any) -> "ConduitApp":
    """The application of a widget or screen, as what it is."""
    return cast("ConduitApp", node.app)


def frame_of(node: Any) -> FrameScreen:
    """The frame that a widget stands in."""
    return cast("FrameScreen", node.screen)


def milliseconds(value: int | None) -> str:
    """A duration for people: `812ms`, `3.9s`, `2m`."""
    if value is None:
        return "-"
    if value < 1_000:
        return f"{value}ms"
    if value < 120_000:
        return f"{value / 1000:.1f}s"
    return f"{value // 60_000}m"


def clock_time(at_ms: int) -> str:
    """A moment as lists show it: local hours, minutes, seconds."""
    return time.strftime("%H:%M:%S", time.localtime(at_ms // 1000))
