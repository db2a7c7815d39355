"""Videos: what goes through the gateway today."""

from conduit.tui.actions import Action
from conduit.tui.widgets.facts import BLANK, Fact
from conduit.tui.widgets.notes import NoteScreen


class VideoScreen(NoteScreen):
    """There is no endpoint that makes videos yet."""

    PLACE = "video"
    ACTIONS = (Action("video.models", "Go to the mappings", ("enter",), "mappings", 1),)
    FACTS = (
        Fact("Video"),
        Fact("", "This gateway does not make videos: it has no /v1/videos endpoints yet."),
        BLANK,
        Fact("What works today"),
        Fact("prices", "A price a second of video can be set: conduit prices set --unit."),
        Fact("models", "conduit models list --capability shows what each model takes."),
    )

    def do_models(self) -> None:
        self.conduit.go("mappings")
