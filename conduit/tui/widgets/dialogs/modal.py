"""What every dialog is: a screen before the others that answers with a value."""

from typing import Generic, TypeVar

from textual.binding import Binding
from textual.screen import ModalScreen

T = TypeVar("T")


class Modal(ModalScreen[T], Generic[T]):
    """A dialog. `answer` closes it with its result, from any handler, awaited by nobody."""

    # The program's own keys do not reach through a dialog.
    BINDINGS = [
        Binding("f1", "app.perform('app.help')", show=False, id="app.help"),
        Binding(
            "ctrl+space,ctrl+@,f10",
            "app.perform('app.jump')",
            show=False,
            priority=True,
            id="app.jump",
        ),
    ]

    def answer(self, result: T | None = None) -> None:
        # A key typed ahead may still reach a dialog that has closed: it must close no other screen.
        if self.is_current:
            _ = self.dismiss(result)
