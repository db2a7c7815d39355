"""A secret that is shown once: copied or saved, and then gone."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import Input, Static

from conduit.tui.widgets.dialogs.modal import Modal
from conduit.tui.widgets.frame import app_of


class SecretText(Static):
    """Shown as dots until it is revealed; never in an exported picture."""

    revealed = reactive(False)

    def __init__(self, secret: str) -> None:
        super().__init__(id="secret", markup=False)
        self._secret = secret
        self._exported = False

    @property
    def exported(self) -> bool:
        return self._exported

    @exported.setter
    def exported(self, exported: bool) -> None:
        self._exported = exported
        self.refresh()

    def render(self) -> str:
        glyph = app_of(self).glyphs.dot
        if self._exported:
            return "(hidden)"
        return self._secret if self.revealed else glyph * 24 + self._secret[-4:]


@contextmanager
def hidden(screens: Sequence[Screen[object]]) -> Iterator[None]:
    """Meanwhile no secret stands on these screens, which are drawn one over the other."""
    texts = [text for screen in screens for text in screen.query(SecretText)]
    _set_exported(texts, screens, True)
    try:
        yield
    finally:
        _set_exported(texts, screens, False)


def _set_exported(texts: Sequence[SecretText], screens: Sequence[Screen[object]], on: bool) -> None:
    for text in texts:
        text.exported = on
    for screen in screens if texts else ():
        screen.refresh()  # it keeps a drawing of what is beneath it


class SecretDialog(Modal[None]):
    """`y` copies, `s` saves, `q` reveals. Closing asks twice unless the secret was kept."""

    BINDINGS = [
        Binding("y", "copy", "Copy"),
        Binding("s", "save", "Save"),
        Binding("q", "reveal", "Reveal"),
        Binding("escape,enter", "close", "Close"),
    ]
    AUTO_FOCUS = ""

    def __init__(self, title: str, secret: str, *, file_name: str, note: str = "") -> None:
        super().__init__()
        self._title = title
        self._secret = secret
        self._file_name = file_name
        self._note = note
        self._kept = False
        self._warned = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog secret") as dialog:
            dialog.border_title = self._title
            yield Static("This is shown once and cannot be read again.", classes="effect")
            yield SecretText(self._secret)
            if self._note:
                yield Static(self._note, classes="effect", markup=False)
            yield Static("", id="secret-state", markup=False)
            yield Input(id="secret-path", compact=True, select_on_focus=False)
            yield Static("y copy   s save (0600)   q reveal   Esc close", classes="keys")

    def on_mount(self) -> None:
        self.query_one("#secret-path").display = False

    async def action_copy(self) -> None:
        outcome = await app_of(self).copied(self._secret)
        # A copy that went into a file is as good as a saved one.
        self._kept = self._kept or outcome.way != "none"
        self._say(outcome.note)

    def action_reveal(self) -> None:
        text = self.query_one(SecretText)
        text.revealed = not text.revealed

    def action_save(self) -> None:
        path = self.query_one("#secret-path", Input)
        path.value = str(Path.cwd() / self._file_name)
        path.display = True
        path.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        try:
            save_new(Path(event.value).expanduser(), self._secret)
        except OSError as error:
            self._say(f"not saved: {error.strerror or error}")
            return
        event.input.display = False
        self.set_focus(None)
        self._kept = True
        self._say(f"saved to {event.value}, readable by you alone")

    def action_close(self) -> None:
        path = self.query_one("#secret-path", Input)
        if path.display:
            path.display = False
            self.set_focus(None)
        elif self._kept or self._warned:
            self.answer(None)
        else:
            self._warned = True
            self._say("neither copied nor saved: Esc again closes it for good")

    def _say(self, text: str) -> None:
        self.query_one("#secret-state", Static).update(text)


def save_new(path: Path, secret: str) -> None:
    """Write a secret into a file that did not exist, for its owner alone. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(secret + "\n")
