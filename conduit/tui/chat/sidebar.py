"""The conversations beside the one that is shown, on wide screens."""

from collections.abc import Sequence

from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from conduit.client.conversations import Listed

_MOST = 200


class ConversationList(OptionList):
    """Posts `Wanted` with the id of a conversation."""

    class Wanted(Message):
        """A conversation is to be shown."""

        def __init__(self, id: str) -> None:
            super().__init__()
            self.id = id

    def __init__(self) -> None:
        super().__init__(id="conversations", compact=True, markup=False)
        self.border_title = "conversations"
        self._shown: tuple[tuple[str, str], ...] = ()

    def show_all(self, conversations: Sequence[Listed], present: str) -> None:
        """List them; the present one stands out."""
        rows = tuple((each.id, each.title or each.id) for each in conversations[:_MOST])
        if rows != self._shown:
            self._shown = rows
            self.clear_options()
            self.add_options([Option(title, id=name) for name, title in rows])
        ids = [name for name, _ in rows]
        self.highlighted = ids.index(present) if present in ids else None

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option_id is not None:
            self.post_message(self.Wanted(event.option_id))
