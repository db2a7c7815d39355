"""Jump mode: a letter on everything that can have the focus, and the focus goes where it says."""

from collections.abc import Iterator, Sequence
from typing import Any

from textual import events
from textual.app import ComposeResult
from textual.geometry import Offset
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from conduit.tui.widgets.dialogs.modal import Modal
from conduit.tui.widgets.frame import app_of

LETTERS = "asdfghjklqwertyuiopzxcvbnm1234567890"


def targets_of(screen: Screen[Any]) -> list[Widget]:
    """What can have the focus and is to be seen, in the order in which Tab goes."""
    view = screen.region
    return [each for each in screen.focus_chain if each.region.overlaps(view) and _is_seen(each)]


def _is_seen(widget: Widget) -> bool:
    """Whether any of it is within what it is scrolled in."""
    seen = widget.region
    for parent in widget.ancestors:
        if isinstance(parent, Widget):
            seen = seen.intersection(parent.region)
    return bool(seen.area)


class Jumper(Modal[Widget | None]):
    """Stands before a screen that is still seen; answers with what was chosen, or None."""

    DEFAULT_CSS = """
    Jumper { background: transparent; align: left top; }
    Jumper > Static {
        position: absolute; width: 3; height: 1;
        background: $cursor; color: $cursor-text; text-style: bold;
    }
    """

    def __init__(self, targets: Sequence[Widget]) -> None:
        super().__init__()
        self._by_letter = dict(zip(LETTERS, targets, strict=False))

    def compose(self) -> ComposeResult:
        for letter, place in self._placed():
            label = Static(f" {letter} ", markup=False)
            label.styles.offset = (place.x, place.y)
            yield label

    def _placed(self) -> Iterator[tuple[str, Offset]]:
        for letter, target in self._by_letter.items():
            yield letter, target.region.offset

    def on_key(self, event: events.Key) -> None:
        """Its letter chooses, any other key is a no."""
        event.stop()
        event.prevent_default()
        self.answer(self._by_letter.get(event.character or ""))

    def on_click(self) -> None:
        self.answer(None)

    def on_resize(self, event: events.Resize) -> None:
        if self._size_before not in (None, event.size):
            self.answer(None)  # all of it stands elsewhere now
        self._size_before = event.size

    _size_before: object = None


def jump(screen: Screen[Any]) -> None:
    """Ask for a letter over this screen, and give what has it the focus."""
    if isinstance(screen, Jumper):
        screen.answer(None)
        return
    targets = targets_of(screen)
    if not targets:
        app_of(screen).tell("nothing here takes the focus", severity="warning")
        return

    def go(target: Widget | None) -> None:
        if target is not None:
            screen.set_focus(target)

    _ = screen.app.push_screen(Jumper(targets), go)
