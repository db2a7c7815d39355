"""The `:` line: the nouns and verbs of the command line, inside the interface."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.suggester import SuggestFromList
from textual.widgets import Input, Static

from conduit.tui.widgets.dialogs.modal import Modal


class CommandLine(Modal[str | None]):
    """One line at the foot of the screen; answers with what was typed, or None."""

    BINDINGS = [
        Binding("escape", "leave", show=False),
        Binding("up", "older", show=False, priority=True),
        Binding("down", "newer", show=False, priority=True),
        Binding("tab", "complete", show=False, priority=True),
    ]
    AUTO_FOCUS = "Input"

    def __init__(self, words: Sequence[str], history: Sequence[str]) -> None:
        super().__init__()
        self._words = words
        self._history = history
        self._place = len(history)

    def compose(self) -> ComposeResult:
        with Horizontal(id="command-line"):
            yield Static(":", id="command-sign")
            yield Input(
                compact=True,
                placeholder="keys  |  keys NAME  |  theme NAME  |  help  |  q",
                suggester=SuggestFromList(self._words, case_sensitive=False),
            )

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.answer(event.value.strip() or None)

    def action_leave(self) -> None:
        self.answer(None)

    def action_complete(self) -> None:
        self.query_one(Input).action_cursor_right()

    def action_older(self) -> None:
        self._show(self._place - 1)

    def action_newer(self) -> None:
        self._show(self._place + 1)

    def _show(self, place: int) -> None:
        self._place = max(0, min(len(self._history), place))
        line = self.query_one(Input)
        line.value = self._history[self._place] if self._place < len(self._history) else ""
        line.cursor_position = len(line.value)
