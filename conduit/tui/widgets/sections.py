"""The screens that stand behind one tab, with a line that leads from one to the other."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding

from conduit.client.errors import ClientError
from conduit.tui.fitting import Piece
from conduit.tui.places import PLACES
from conduit.tui.state.traffic import Record
from conduit.tui.widgets.detailed import DetailedScreen
from conduit.tui.widgets.dialogs.confirming import Confirm, TypeName
from conduit.tui.widgets.dialogs.modal import Modal
from conduit.tui.widgets.frame import app_of
from conduit.tui.widgets.line import Line

SECTIONS = tuple(place for place in PLACES if "config" in (place.name, place.part_of))


class SectionLine(Line):
    """The screens behind the tab with the digits that show them."""

    def pieces(self) -> Sequence[Piece]:
        here = app_of(self).here
        return [
            Piece(
                f"{digit} {place.title if place.name != 'config' else 'Settings'}",
                0 if place.name == here else 2,
                "bold $accent" if place.name == here else "$dim",
                f"app.go('{place.name}')",
            )
            for digit, place in enumerate(SECTIONS, 1)
        ]


class SectionScreen(DetailedScreen):
    """One of them; its table is kept fresh by the link."""

    BINDINGS = [
        Binding(str(digit), f"app.go('{place.name}')", f"Go to {place.title}", show=False)
        for digit, place in enumerate(SECTIONS, 1)
    ]

    def compose_body(self) -> ComposeResult:
        yield SectionLine(id="sections")
        yield from super().compose_body()

    async def sure(self, question: str, effect: str, verb: str) -> bool:
        """Ask before something is changed; a strict context wants its name typed."""
        target = self.conduit.target
        dialog: Modal[bool] = Confirm(question, effect, verb=verb)
        if target.confirm_typed:
            dialog = TypeName(question, effect, target.name)
        answer: bool = await self.conduit.push_screen_wait(dialog)
        return answer

    def state_text(self, loading: bool) -> str:
        if self.table.is_loaded and not self.table.rows:
            return f"{self.EMPTY.text}\n\n{self.EMPTY.command}"
        return super().state_text(loading)


class ReadScreen(SectionScreen):
    """One whose rows no list of the admin API is: it reads them itself whenever it is shown."""

    def watched_tables(self) -> frozenset[str]:
        return frozenset()

    def can_read(self) -> bool:
        return self.store.connectivity.is_live

    async def read_rows(self) -> list[Record]:
        """The rows as they are now. Raises ClientError."""
        raise AssertionError("a screen that reads its rows says how")

    def _begin(self) -> None:
        self.table.outdated = True
        super()._begin()

    def do_refresh(self) -> None:
        self.table.outdated = True
        super().do_refresh()
        self.show_store()

    def show_store(self) -> None:
        table = self.table
        if table.outdated and not table.loading and self.can_read():
            self.store.loading(self.TABLE)
            self.conduit.attempt(self._fill(), f"Read {self.TABLE}", group="rows")
        super().show_store()

    async def _fill(self) -> None:
        epoch, failure = self.store.epoch, "the answer could not be read"
        rows: list[Record] | None = None
        try:
            rows = await self.read_rows()
        except ClientError as error:
            failure = error.message
        finally:
            # Whatever goes wrong, it does not say "loading" for ever.
            if rows is not None:
                self.store.fill(self.TABLE, rows, epoch=epoch)
            elif self.store.fail(self.TABLE, failure, epoch=epoch):
                # Tried again when asked to, or after the next connection.
                self.table.outdated = False
