"""The field in which a message is written: Enter sends, other keys begin a new line."""

from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.widgets import TextArea


class Composer(TextArea):
    """Posts `Sent` for Enter, unless the line ends in a backslash, which begins a new one."""

    BINDINGS = [Binding("ctrl+j,alt+enter,shift+enter", "new_line", show=False)]

    class Sent(Message):
        """The text is to be sent."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def action_new_line(self) -> None:
        self.insert("\n")

    async def _on_key(self, event: events.Key) -> None:
        if event.key != "enter":
            await super()._on_key(event)
            return
        event.stop()
        event.prevent_default()
        line = self.document.get_line(self.cursor_location[0])
        if line.endswith("\\") and self.cursor_location[1] == len(line):
            self.action_delete_left()
            self.insert("\n")
        elif self.text.strip():
            self.post_message(self.Sent(self.text.strip()))
