"""The gateway's settings: what counts and where it comes from; changes are seen before they go."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from textual.app import ComposeResult

from conduit.client.setting_values import typed
from conduit.tui.actions import LIST_VERBS, Action, listed
from conduit.tui.fitting import Piece
from conduit.tui.glyphs import Glyphs
from conduit.tui.state.drafts import Draft, is_in_file, shown
from conduit.tui.state.gateway import ANOTHER_GATEWAY, GatewayLink, Refused
from conduit.tui.state.traffic import Record
from conduit.tui.widgets.detailed import Reading, closing
from conduit.tui.widgets.dialogs.forms import Field, FormDialog, Values
from conduit.tui.widgets.dialogs.levels import is_agreed
from conduit.tui.widgets.facts import BLANK, Fact, Facts
from conduit.tui.widgets.grid import Cell, Column
from conduit.tui.widgets.records import Empty
from conduit.tui.widgets.sections import SectionScreen

_BEFORE_THE_FILE = ("flag ", "env ", ".env ")


class ConfigScreen(SectionScreen):
    """What is entered is kept until it is applied or undone, whatever else is looked at."""

    PLACE = "config"
    TABLE = "config"
    NOUN = "setting"
    PLURAL = "settings"
    PANE_KEYS = "e edit  w apply"
    CSS_PATH = ["detailed.tcss", "sections.tcss"]
    EMPTY = Empty("The gateway tells no settings.", "conduit config list")
    ACTIONS = (
        *listed("config", "setting", (verb for verb in LIST_VERBS if "mark" not in verb)),
        Action("config.edit", "Edit the setting", ("e",), "edit", 1, changes=True),
        Action(
            "config.apply", "Apply: see the differences first", ("w",), "apply", 2, changes=True
        ),
        Action("config.undo", "Undo the change that is not applied", ("u",), "undo", 4),
        Action(
            "config.unset",
            "Take the setting out of the file: its default counts",
            ("D",),
            "unset",
            5,
            changes=True,
        ),
        Action("config.reload", "Have the gateway read its settings again", ("R",), changes=True),
        closing("config"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.draft = Draft()
        self._draft_of = -1
        self.columns = (
            Column("SETTING", lambda row, _: row["name"], 26, grow=1, priority=0),
            Column("VALUE", self._value, 20, grow=2, priority=0),
            Column("ORIGIN", lambda row, _: row["origin"], 10, grow=1, priority=1),
            Column("COUNTS", _counts, 9, priority=2),
        )

    def compose_detail(self) -> ComposeResult:
        yield Facts(id="facts")

    # What is shown

    def title_pieces(self) -> Sequence[Piece]:
        pieces = [*super().title_pieces()]
        count = len(self.draft.values)
        return [*pieces, Piece(f"{count} not applied", 1, "bold $warn")] if count else pieces

    def show_store(self) -> None:
        if self._draft_of != self.store.epoch:  # another gateway has other settings
            self._draft_of = self.store.epoch
            self.draft.clear()
        super().show_store()

    def _value(self, row: Record, glyphs: Glyphs) -> Cell | str:
        if row["name"] in self.draft.values:
            new = self.draft.values[row["name"]]
            text = "default" if new is None else shown(new)
            return Cell(f"{shown(row['value'])} {glyphs.arrow} {text}", "warn")
        return Cell("-", "dim") if row["value"] is None else shown(row["value"])

    def draw_detail(self, row: Record, reading: Reading | None) -> None:
        self.query_one("#facts", Facts).show([*self._facts(row)])

    def _facts(self, row: Record) -> Iterator[Fact]:
        yield Fact("", row["description"] or "-")
        yield BLANK
        yield Fact("value", shown(row["value"]))
        if row["name"] in self.draft.values:
            new = self.draft.values[row["name"]]
            text = "the default" if new is None else shown(new)
            yield Fact("draft", f"{text}: w applies it, u undoes it", "warn")
        yield Fact("origin", row["origin"])
        yield Fact("counts", "after a restart" if row["restart_needed"] else "at once")
        fixed = _why_fixed(row)
        if fixed is not None:
            yield Fact("fixed", fixed, "dim")

    # Verbs

    def why_not(self, action: Action) -> str | None:
        if not self.can_draw:
            return None
        row = self.row
        match action.verb:
            case "apply" if not self.draft.values:
                return "nothing has been changed here"
            case "edit" | "unset" | "undo" if row is None:
                return "there is no setting to choose"
            case "undo" if row is not None and row["name"] not in self.draft.values:
                return "this setting was not changed here"
            case "edit" | "unset" if row is not None and (fixed := _why_fixed(row)) is not None:
                return fixed
            case "unset" if row is not None and not is_in_file(row):
                return "it does not stand in the settings file"
        return super().why_not(action)

    def is_busy(self) -> str | None:
        count = len(self.draft.values)
        return f"{count} changed settings are not applied" if count else None

    def _redraw(self) -> None:
        self.grid.repaint()
        self.show_record(self.row)
        self.refresh_frame()

    async def do_edit(self) -> None:
        row, link = self.row, self.conduit.link
        if row is None:
            return

        async def enter(values: Values) -> Mapping[str, Any]:
            if not link.is_current:  # the draft is of its settings now
                raise Refused(f"not entered: {ANOTHER_GATEWAY}")
            self.draft.put(row, values["value"])
            return {"name": row["name"]}

        dialog = FormDialog(f"setting {row['name']}", [_field(row)], enter, verb="Enter")
        if await self.conduit.push_screen_wait(dialog) is not None:
            self._redraw()

    def do_unset(self) -> None:
        if (row := self.row) is not None:
            self.draft.unset(row)
            self._redraw()

    def do_undo(self) -> None:
        if (row := self.row) is not None:
            self.draft.drop(row["name"])
            self._redraw()

    async def do_apply(self) -> None:
        """Read the settings as they are now, show what would change, and send that."""
        link = self.conduit.link
        await link.load("config")
        differences = self.draft.differences(self.table.rows.values())
        if not differences:
            self.draft.clear()
            self._redraw()
            self.conduit.tell("the settings are that way already")
            return
        count = len(differences)
        what = "this setting" if count == 1 else f"these {count} settings"
        effect = "\n".join(each.told(self.glyphs.arrow) for each in differences)
        if not await self.sure(f"Apply {what}?", effect, "Apply"):
            return
        values = {each.name: each.new for each in differences}
        # What was shown is what changes. Of the others the file may say something else already.
        shown = {each.name: each.old for each in differences if not each.restart_needed}
        body = {"values": values, "expected": shown}
        answer = await link.change("config.update", body=body)
        self.draft.clear()
        await self._reloaded(answer, link)

    async def do_reload(self) -> None:
        question, name = "Have the settings read again?", self.conduit.target.name
        link = self.conduit.link
        effect = "What was changed in the settings file counts from then on."
        if not await is_agreed(self, "mild", question, effect, name=name, verb="Read again"):
            return
        await self._reloaded(await link.change("config.reload"), link)

    async def _reloaded(self, answer: Record, link: GatewayLink) -> None:
        """Say what a change or a reload did, and show it."""
        await link.load("config")
        self._redraw()
        changed, later = answer["changed"], answer["restart_needed"]
        said = f"changed: {', '.join(changed)}" if changed else "nothing in force has changed"
        self.conduit.tell(said)
        if later:
            self.conduit.tell(f"restart the gateway for {', '.join(later)}", severity="warning")

    def curl_of(self, row: Record) -> str:
        url = f"{self.conduit.target.admin_url}/admin/config"
        return f'curl -s {url} -H "Authorization: Bearer $CONDUIT_MASTER_KEY"'


def _why_fixed(row: Record) -> str | None:
    """Why a setting cannot be changed from here, or None."""
    if row["settable"]:
        return None
    origin = str(row["origin"])
    if origin.startswith(_BEFORE_THE_FILE):
        return f"given by {origin}, which counts before the settings file"
    return "only where the gateway is started: it opens the gateway or its data"


def _field(row: Record) -> Field:
    """The field of a setting; its kind is that of its present value."""
    value, hint = row["value"], row["description"]
    if isinstance(value, bool):
        return Field("value", row["name"], value, kind="bool", hint="on")
    text = "" if value is None else str(value)
    return Field("value", row["name"], text, required=True, hint=hint, check=_checker(value))


def _checker(present: Any) -> Any:
    def check(text: str) -> Any:
        """What is meant by a text. Raises ValueError."""
        value = typed(text, present)
        if isinstance(present, int | float) and not isinstance(value, int | float):
            raise ValueError("a number is expected")
        return value

    return check


def _counts(row: Record, _: Glyphs) -> Cell | str:
    if row["restart_needed"]:
        return Cell("restart", "warn")
    return Cell("fixed", "dim") if not row["settable"] else "at once"
