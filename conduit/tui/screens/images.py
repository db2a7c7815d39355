"""Pictures: what goes through the gateway today."""

from conduit.tui.widgets.facts import BLANK, Fact
from conduit.tui.widgets.notes import NoteScreen, chat_action


class ImagesScreen(NoteScreen):
    """There is no endpoint that makes pictures yet."""

    PLACE = "images"
    ACTIONS = (chat_action("images"),)
    FACTS = (
        Fact("Images"),
        Fact("", "This gateway does not make pictures: it has no /v1/images endpoints yet."),
        BLANK,
        Fact("What works today"),
        Fact("in chats", "Pictures go to models that see, as part of a message, in every dialect."),
        Fact("command", "conduit chat -a picture.png What is this?"),
        Fact("prices", "Prices a picture are known, where a provider sells them by the piece."),
    )

    def do_chat(self) -> None:
        self.conduit.go("chat")
