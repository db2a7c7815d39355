"""What the gateway wants an operator to know, listed until it is acknowledged."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from textual.app import ComposeResult

from conduit.core import people
from conduit.tui.actions import Action
from conduit.tui.fitting import Piece
from conduit.tui.glyphs import Glyphs
from conduit.tui.state.connectivity import Tone
from conduit.tui.state.gateway import GatewayLink
from conduit.tui.state.store import id_of
from conduit.tui.state.tentative import shown_at_once
from conduit.tui.state.traffic import Record
from conduit.tui.widgets import standing
from conduit.tui.widgets.dialogs.levels import is_agreed
from conduit.tui.widgets.frame import FrameScreen
from conduit.tui.widgets.grid import Cell, Column, Grid

TABLE = "notifications"
ALERT_ACTIONS = (
    Action("overview.acknowledge", "Acknowledge the alert", ("a",), "ack", 2, changes=True),
    Action(
        "overview.acknowledge-all", "Acknowledge all alerts", ("A",), "ack all", 5, changes=True
    ),
)
_WORDS: Mapping[str, str] = {
    "budget_threshold": "budget",
    "key_expiring": "expiry",
    "credential_failed": "credential",
    "price_unknown": "price",
    "unusual_spend": "spending",
}
_TONES: Mapping[str, Tone] = {"info": "dim", "warning": "warn", "critical": "bad"}
_RANKS = ("critical", "warning", "info")
_PLACES: Mapping[str, str] = {"key": "keys", "group": "groups", "mapping": "mappings"}


class AlertsScreen(FrameScreen):
    """The list of alerts of a screen, and its verbs."""

    def __init__(self) -> None:
        super().__init__()
        self._alerts_height = -1
        self._alert_columns = (
            Column("ALERT", self._kind, 13, priority=0),
            Column("SINCE", lambda row, _: row["at"][5:16].replace("T", " "), 11, priority=1),
            Column("WHAT", lambda row, _: row["message"], 20, grow=1, priority=0),
        )

    def compose_alerts(self) -> ComposeResult:
        """The list; it takes no room while there are none."""
        alerts = Grid(self._alert_columns, id="alerts")
        alerts.display = False
        yield alerts

    @property
    def _alerts(self) -> Grid:
        return self.query_one("#alerts", Grid)

    @property
    def is_at_alerts(self) -> bool:
        """Whether the keys go to the alerts."""
        return self.focused is not None and self.focused.id == "alerts"

    @property
    def alert(self) -> Record | None:
        """The alert under the cursor."""
        found: Record | None = self._alerts.cursor_row
        return found

    def title_pieces(self) -> Sequence[Piece]:
        rows = self.store.table(TABLE).rows.values()
        if not rows:
            return ()
        worst = min((row["severity"] for row in rows), key=_severity_rank)
        tone = _TONES.get(worst, "dim")
        text = people.counted(len(rows), "alert")
        return [Piece(self.glyphs.pill(tone, text), 1, f"bold ${tone}")]

    def show_alerts(self) -> None:
        """The worst first; more of them where the terminal is high."""
        rows = sorted(self.store.table(TABLE).rows.values(), key=_rank)
        grid = self._alerts
        grid.unconfirmed = {change.id for change in self.store.table(TABLE).laid}
        grid.set_rows(rows, [id_of(row) for row in rows])
        most = 6 if self.has_class("-tall") else 1 if self.has_class("-short") else 3
        height = 1 + min(most, len(rows)) if rows else 0
        if height != self._alerts_height:
            # Only then: it is the layout of the whole screen that follows.
            self._alerts_height = height
            if not rows and self.is_at_alerts:
                self.query_one(self.AUTO_FOCUS).focus()
            grid.display = bool(rows)
            grid.styles.height = max(1, height)

    def _kind(self, row: Record, glyphs: Glyphs) -> Cell:
        is_going = self.store.table(TABLE).is_unconfirmed(id_of(row))
        tone: Tone = "dim" if is_going else _TONES.get(row["severity"], "dim")
        return standing.pill(glyphs, tone, _WORDS.get(row["kind"], row["kind"]))

    # Verbs

    def why_not(self, action: Action) -> str | None:
        acknowledges = action.verb in ("acknowledge", "acknowledge-all")
        if acknowledges and self.can_draw and not self.store.table(TABLE).rows:
            return "there are no alerts"
        return super().why_not(action)

    async def do_acknowledge(self) -> None:
        """Dimmed at once, gone when the gateway has it, and back as it was when it has not."""
        row = self.alert
        if row is None or self.store.table(TABLE).is_unconfirmed(id_of(row)):
            return
        link = self.conduit.link
        question, effect = "Acknowledge the alert?", f"{row['message']}."
        if not await is_agreed(self, "mild", question, effect, name=id_of(row), verb="Acknowledge"):
            return
        with acknowledging(link, [row]) as acknowledge:
            self.show_store()
            await acknowledge(row)

    async def do_acknowledge_all(self) -> None:
        count, link = len(self.store.table(TABLE).rows), self.conduit.link
        question = f"Acknowledge {people.counted(count, 'alert')}?"
        effect = "So are those that came meanwhile. Alerts come again when there is reason to."
        if await is_agreed(self, "moderate", question, effect, name="all", verb="Acknowledge"):
            answer = await link.change("notifications.acknowledge_all")
            self.conduit.tell(f"acknowledged {people.counted(answer['acknowledged'], 'alert')}")
            link.refresh({TABLE})

    def open_alert(self) -> None:
        """Show what the alert under the cursor is about."""
        row = self.alert
        if row is None:
            return
        if not open_subject(self, row["subject"]):
            self.conduit.tell(no_screen(row["subject"]), severity="warning")


@contextmanager
def acknowledging(
    link: GatewayLink, rows: Sequence[Record]
) -> Iterator[Callable[[Record], Awaitable[object]]]:
    """Show that these are going, until each has been acknowledged. There is no way back from it."""
    with shown_at_once(link, TABLE, rows, lambda row: row) as sender:

        async def send(known: Record) -> None:
            await link.change("notifications.acknowledge", id_of(known))

        yield lambda row: sender.send(row, send)


def open_subject(screen: FrameScreen, subject: Record) -> bool:
    """Show what an alert is about; False where no screen does."""
    found = subject_place(subject)
    if found is None:
        return False
    place, name = found
    if name:
        screen.conduit.open_record(place, name)
    else:
        screen.conduit.go(place)
    return True


def no_screen(subject: Record) -> str:
    """Why it cannot be shown what an alert is about."""
    return f"no screen is about a {subject['kind']} alone"


def subject_place(subject: Record) -> tuple[str, str] | None:
    """The screen that shows what an alert is about, and its record there; "" where it has none."""
    match subject["kind"]:
        case "key":
            return "keys", str(subject["id"])
        case "credential":
            return "providers", subject["id"].partition("/")[0]
        case "model":
            return "prices", ""  # it has none yet: it is set there
        case "budget":
            kind, _, name = subject["name"].partition(":")
            return _PLACES.get(kind, "keys"), name
        case "gateway":
            return "live", ""
        case _:
            return None


def _severity_rank(severity: str) -> int:
    """What a newer gateway may tell of beside these comes last."""
    return _RANKS.index(severity) if severity in _RANKS else len(_RANKS)


def _rank(row: Record) -> tuple[int, str]:
    return _severity_rank(row["severity"]), row["at"]
