"""How much is asked before something is done: nothing, a `y`, or the name typed."""

from typing import TYPE_CHECKING, Literal

from conduit.client.errors import ClientError
from conduit.tui.widgets.frame import FrameScreen

if TYPE_CHECKING:
    from conduit.tui.widgets.dialogs.modal import Modal

Level = Literal["mild", "moderate", "severe"]


async def is_agreed(
    screen: FrameScreen, level: Level, question: str, effect: str, *, name: str, verb: str
) -> bool:
    """Ask as the level wants; a context that wants names typed asks one level more.

    Mild is what can be undone at once, severe what cannot be undone at all.
    """
    app = screen.conduit
    if app.target.confirm_typed:
        level = "moderate" if level == "mild" else "severe"
    if level == "mild":
        return True
    from conduit.tui.widgets.dialogs.confirming import Confirm, TypeName  # noqa: PLC0415  # deferred: rare

    dialog: Modal[bool] = Confirm(question, effect, verb=verb)
    if level == "severe":
        dialog = TypeName(question, effect, name)
    sure: bool = await app.push_screen_wait(dialog)
    return sure


async def must_agree(
    screen: FrameScreen, level: Level, question: str, effect: str, *, name: str, verb: str
) -> None:
    """Ask from within a form, which stays with what was typed. Raises ClientError on a no."""
    if not await is_agreed(screen, level, question, effect, name=name, verb=verb):
        raise ClientError("nothing was sent")
