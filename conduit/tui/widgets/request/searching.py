"""The line for a text that is looked for within a page of the inspector."""

from textual.binding import Binding
from textual.widgets import Input

from conduit.tui.widgets.request.inspector import Inspector


class SearchLine(Input):
    """Finds while one types; Enter and Down go to the next place, Up to the one before."""

    BINDINGS = [
        Binding("escape", "leave", show=False),
        Binding("down", "step(1)", show=False),
        Binding("up", "step(-1)", show=False),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(
            id=id, placeholder="a text to find; Enter goes to the next place", compact=True
        )
        self.display = False

    @property
    def _inspector(self) -> Inspector:
        return self.screen.query_one(Inspector)

    def begin(self) -> None:
        self.display = True
        self.value = ""
        self.focus()

    def action_leave(self) -> None:
        self.display = False
        self._inspector.find("")
        self._inspector.focus()

    def action_step(self, by: int) -> None:
        self._inspector.step(by)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.display:
            self._inspector.find(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._inspector.step(1)
