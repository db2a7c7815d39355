"""Dialogs before something is changed: are you sure, and type the name."""

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input, Static

from conduit.tui.widgets.dialogs.modal import Modal


class Confirm(Modal[bool]):
    """Names the thing and the effect; `y` confirms, the focus is on Cancel."""

    BINDINGS = [
        Binding("y", "decide(True)", "Yes"),
        Binding("n,q,escape", "decide(False)", "No"),
        Binding("left,right,h,l", "app.focus_next", show=False),
    ]
    AUTO_FOCUS = "#cancel"

    def __init__(self, question: str, effect: str, *, verb: str = "Delete") -> None:
        super().__init__()
        self._question = question
        self._effect = effect
        self._verb = verb

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog confirm"):
            yield Static(self._question, classes="question", markup=False)
            yield Static(self._effect, classes="effect", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Cancel  n", id="cancel", compact=True)
                yield Button(f"{self._verb}  y", id="confirm", variant="error", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.answer(event.button.id == "confirm")

    def action_decide(self, sure: bool) -> None:
        self.answer(sure)


class TypeName(Modal[bool]):
    """For what cannot be undone: the name has to be typed."""

    BINDINGS = [Binding("escape", "cancel", "Cancel")]
    AUTO_FOCUS = "Input"

    def __init__(self, question: str, effect: str, name: str) -> None:
        super().__init__()
        self._question = question
        self._effect = effect
        self._name_wanted = name

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog confirm"):
            yield Static(self._question, classes="question", markup=False)
            yield Static(self._effect, classes="effect", markup=False)
            yield Static(f"Type {self._name_wanted} to go on:", markup=False)
            yield Input(compact=True)
            yield Static("", id="mismatch", classes="field-error", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Cancel  Esc", id="cancel", compact=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.value == self._name_wanted:
            self.answer(True)
        else:
            self.query_one("#mismatch", Static).update(f"that is not {self._name_wanted}")

    def on_button_pressed(self) -> None:
        self.answer(False)

    def action_cancel(self) -> None:
        self.answer(False)
