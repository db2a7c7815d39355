"""The gateways that this machine knows by name, and which of them is looked at."""

import asyncio
from collections.abc import Iterator

from textual.app import ComposeResult

from conduit.client import contexts
from conduit.client.errors import ClientError
from conduit.tui.actions import Action, listed
from conduit.tui.glyphs import Glyphs
from conduit.tui.state.traffic import Record
from conduit.tui.widgets import standing
from conduit.tui.widgets.detailed import Reading, closing
from conduit.tui.widgets.facts import Fact, Facts
from conduit.tui.widgets.grid import Cell, Column
from conduit.tui.widgets.records import Empty
from conduit.tui.widgets.sections import ReadScreen


class ContextsScreen(ReadScreen):
    """Read from this machine's files: no gateway has to answer."""

    PLACE = "contexts"
    TABLE = "contexts"
    NOUN = "context"
    PANE_KEYS = "u use"
    CSS_PATH = ["detailed.tcss", "sections.tcss"]
    EMPTY = Empty("There are no contexts yet.", "conduit context add NAME --url URL")
    ACTIONS = (
        *listed("contexts", "context", ("open", "filter", "sort", "refresh")),
        Action("contexts.use", "Look at this gateway from now on", ("u",), "use", 1),
        closing("contexts"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.columns = (
            Column("NAME", lambda row, _: row["name"], 14, grow=1, priority=0),
            Column("STATE", self._state, 12, priority=0),
            Column("URL", lambda row, _: row["url"], 28, grow=2, priority=0),
            Column("MAY", lambda row, _: _may(row), 9, priority=1),
        )

    def can_read(self) -> bool:
        return True

    async def read_rows(self) -> list[Record]:
        try:
            known = await asyncio.to_thread(contexts.load)
        except contexts.ContextError as error:
            raise ClientError(str(error)) from error
        return [
            {
                "name": name,
                "url": context.url,
                "admin_url": context.admin,
                "read_only": context.read_only,
                "confirm_typed": context.confirm_typed,
                "default_model": context.default_model,
                "has_key": name in known.credentials
                and known.credentials[name].master_key is not None,
                "is_default": name == known.current,
            }
            for name, context in known.by_name.items()
        ]

    def _state(self, row: Record, glyphs: Glyphs) -> Cell:
        if row["name"] == self.conduit.target.name:
            return standing.pill(glyphs, "good", "in use")
        if not row["has_key"]:
            return standing.pill(glyphs, "warn", "no key")
        return standing.pill(glyphs, "dim", "ready")

    def compose_detail(self) -> ComposeResult:
        yield Facts(id="facts")

    def draw_detail(self, row: Record, reading: Reading | None) -> None:
        self.query_one("#facts", Facts).show([*_facts(row)])

    def why_not(self, action: Action) -> str | None:
        if action.verb == "use" and self.can_draw:
            if self.row is None:
                return "there is no context to choose"
            if self.row["name"] == self.conduit.target.name:
                return "it is the one that is looked at"
        return super().why_not(action)

    async def do_use(self) -> None:
        if self.row is not None:
            await self.conduit.switch_context(self.row["name"])
            self.show()


def _may(row: Record) -> str:
    if row["read_only"]:
        return "read only"
    return "typed" if row["confirm_typed"] else "all"


def _facts(row: Record) -> Iterator[Fact]:
    yield Fact("clients", row["url"])
    yield Fact("admin", row["admin_url"])
    yield Fact("key", "is stored" if row["has_key"] else "conduit auth login stores one")
    if row["read_only"]:
        yield Fact("changes", "are refused: it is read-only", "warn")
    elif row["confirm_typed"]:
        yield Fact("changes", "want a name typed")
    if row["default_model"]:
        yield Fact("model", row["default_model"])
    if row["is_default"]:
        yield Fact("default", "conduit uses it where none is named")
