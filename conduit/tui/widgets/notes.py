"""A screen that says what the gateway can do today, and what it cannot."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import VerticalScroll

from conduit.tui.actions import Action
from conduit.tui.widgets.facts import Fact, Facts
from conduit.tui.widgets.frame import FrameScreen


class NoteScreen(FrameScreen):
    """Subclasses give FACTS and what else they draw."""

    CSS_PATH = "notes.tcss"
    AUTO_FOCUS = "#note"
    FACTS: ClassVar[Sequence[Fact]] = ()

    def compose_body(self) -> ComposeResult:
        with VerticalScroll(id="note"):
            yield Facts(id="facts")

    def facts(self) -> Sequence[Fact]:
        return self.FACTS

    def show_store(self) -> None:
        self.query_one("#facts", Facts).show(self.facts())


def chat_action(place: str) -> Action:
    """What every such screen offers: to where it can be done today."""
    return Action(f"{place}.chat", "Go to the chat, which takes pictures", ("enter",), "chat", 1)
