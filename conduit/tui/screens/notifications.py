"""What an operator should know and nobody has acknowledged yet."""

from collections.abc import Iterator, Sequence

from textual.app import ComposeResult

from conduit.core import people
from conduit.tui.actions import LIST_VERBS, Action, listed
from conduit.tui.glyphs import Glyphs
from conduit.tui.state.connectivity import Tone
from conduit.tui.state.store import id_of
from conduit.tui.state.traffic import Record
from conduit.tui.widgets import standing
from conduit.tui.widgets.alerts import acknowledging, no_screen, open_subject, subject_place
from conduit.tui.widgets.detailed import Reading, closing
from conduit.tui.widgets.dialogs.levels import is_agreed
from conduit.tui.widgets.facts import BLANK, Fact, Facts
from conduit.tui.widgets.grid import Cell, Column
from conduit.tui.widgets.records import Empty
from conduit.tui.widgets.sections import SectionScreen

_TONES: dict[str, Tone] = {"critical": "bad", "warning": "warn"}


def _severity(row: Record, glyphs: Glyphs) -> Cell:
    return standing.pill(glyphs, _TONES.get(row["severity"], "good"), row["severity"])


class NotificationsScreen(SectionScreen):
    """Those that are open. An acknowledged one goes; the gateway keeps it."""

    PLACE = "notifications"
    TABLE = "notifications"
    NOUN = "notification"
    PANE_KEYS = "a acknowledge  o go to it"
    CSS_PATH = ["detailed.tcss", "sections.tcss"]
    EMPTY = Empty(
        "Nothing is open.", "What was acknowledged: conduit notifications list --state all"
    )
    ACTIONS = (
        *listed("notifications", "notification", LIST_VERBS),
        Action("notifications.ack", "Acknowledge", ("a",), "acknowledge", 1, changes=True),
        Action(
            "notifications.ack-all", "Acknowledge all that are open", ("A",), "all", 3, changes=True
        ),
        Action("notifications.goto", "Go to what it is about", ("o",), "go to it", 2),
        closing("notifications"),
    )
    COLUMNS = (
        Column("TIME", lambda row, _: people.moment(row["at"])[5:16], 11, priority=0),
        Column("SEVERITY", _severity, 11, priority=0),
        Column("MESSAGE", lambda row, _: row["message"], 30, grow=3, priority=0),
        Column("ABOUT", lambda row, _: row["subject"]["name"], 12, grow=1, priority=2),
    )

    def compose_detail(self) -> ComposeResult:
        yield Facts(id="facts")

    def draw_detail(self, row: Record, reading: Reading | None) -> None:
        self.query_one("#facts", Facts).show([*_facts(row)])

    def why_not(self, action: Action) -> str | None:
        if self.can_draw:
            if action.verb in ("ack", "ack-all", "goto") and self.row is None:
                return "nothing is open"
            subject = self.row["subject"] if self.row is not None else None
            if action.verb == "goto" and subject and subject_place(subject) is None:
                return no_screen(subject)
        return super().why_not(action)

    async def do_ack(self) -> None:
        rows, link = self.chosen(), self.conduit.link
        question = f"Acknowledge {people.counted(len(rows), 'notification')}?"
        if not await is_agreed(
            self, "mild", question, "They are open no more.", name="all", verb="Acknowledge"
        ):
            return

        with acknowledging(link, rows) as acknowledge:
            self.show_store()
            await self.for_each(rows, acknowledge, "acknowledged", link=link)
        self.show_store()

    async def do_ack_all(self) -> None:
        count, link = people.counted(len(self.table.rows), "notification"), self.conduit.link
        if await self.sure(f"Acknowledge {count}?", "They are open no more.", "Acknowledge"):
            answer = await link.change("notifications.acknowledge_all")
            done = people.counted(answer["acknowledged"], "notification")
            self.conduit.tell(f"acknowledged {done}")
            link.refresh({self.TABLE})

    def do_goto(self) -> None:
        if self.row is not None:
            open_subject(self, self.row["subject"])


def _facts(row: Record) -> Iterator[Fact]:
    yield Fact("", row["message"], _TONES.get(row["severity"], ""))
    yield BLANK
    subject = row["subject"]
    lines: Sequence[tuple[str, str]] = (
        ("at", people.moment(row["at"])),
        ("kind", row["kind"].replace("_", " ")),
        ("about", f"{subject['kind']} {subject['name']}"),
        ("id", id_of(row)),
    )
    for name, text in lines:
        yield Fact(name, text)
