"""A list to choose from by typing: help, themes, contexts, columns, messages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from conduit.tui.widgets.dialogs.modal import Modal

MOST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of a picker. `reason` says why it cannot be chosen now."""

    id: str
    text: str
    key: str = ""
    note: str = ""
    reason: str | None = None

    def matches(self, words: Sequence[str]) -> bool:
        haystack = f"{self.key} {self.text} {self.note}".lower()
        return all(word in haystack for word in words)


class Picker(Modal[str | None]):
    """Answers with the id of the chosen line, or None."""

    BINDINGS = [
        Binding("escape", "leave", "Close", show=False),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("pagedown", "move(10)", show=False, priority=True),
        Binding("pageup", "move(-10)", show=False, priority=True),
    ]
    AUTO_FOCUS = "Input"

    def __init__(
        self, title: str, choices: Sequence[Choice], *, empty: str = "nothing fits"
    ) -> None:
        super().__init__()
        self._title = title
        self._choices = choices
        self._empty = empty

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog picker") as dialog:
            dialog.border_title = self._title
            yield Input(placeholder="type to filter", compact=True)
            yield OptionList(compact=True)
            yield Static(self._empty, classes="empty")

    def on_mount(self) -> None:
        self.query_one(OptionList).can_focus = False
        self._fill("")

    def offer(self, choices: Sequence[Choice]) -> None:
        """Have other choices from now on; what is highlighted stays so if it is among them."""
        self._choices = choices
        if not self.is_mounted:
            return  # they are shown when it is
        options = self.query_one(OptionList)
        before = options.highlighted_option
        self._fill(self.query_one(Input).value)
        if before is not None and any(option.id == before.id for option in options.options):
            options.highlighted = options.get_option_index(str(before.id))

    def on_input_changed(self, event: Input.Changed) -> None:
        self._fill(event.value)

    def on_input_submitted(self) -> None:
        options = self.query_one(OptionList)
        option = options.highlighted_option
        if option is None or option.id is None:
            return
        chosen = next(choice for choice in self._choices if choice.id == option.id)
        if chosen.reason is not None:
            self.app.notify(chosen.reason, severity="warning")
            return
        self.answer(chosen.id)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.on_input_submitted()

    def action_leave(self) -> None:
        self.answer(None)

    def action_move(self, by: int) -> None:
        options = self.query_one(OptionList)
        if options.option_count:
            at = (options.highlighted or 0) + by
            options.highlighted = max(0, min(options.option_count - 1, at))

    def on_click(self, event: events.Click) -> None:
        if event.widget is self:
            self.answer(None)

    def fitting(self, words: Sequence[str]) -> Iterable[Choice]:
        """The choices that all of the words, in lower case, fit."""
        return (choice for choice in self._choices if choice.matches(words))

    def _fill(self, text: str) -> None:
        shown = list(islice(self.fitting(text.lower().split()), MOST_SHOWN))
        width = max((len(choice.key) for choice in shown), default=0)
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([Option(_drawn(choice, width), id=choice.id) for choice in shown])
        options.highlighted = 0 if shown else None
        self.set_class(not shown, "-nothing")


def _drawn(choice: Choice, key_width: int) -> Content:
    parts: list[tuple[str, str]] = []
    if key_width:
        parts.append((f"{choice.key:<{key_width}}  ", "bold $accent"))
    parts.append((choice.text, "$dim" if choice.reason else "$foreground"))
    note = choice.reason or choice.note
    if note:
        parts.append((f"  {note}", "$warn" if choice.reason else "$dim"))
    return Content.assemble(*parts)
