"""A text in the reader's pager, which has the terminal to itself meanwhile."""

import os

from textual.app import SuspendNotSupported

from conduit.client.pager import pager_of, shown
from conduit.tui.widgets.frame import FrameScreen

_LESS = "R"


def page(screen: FrameScreen, text: str) -> None:
    """Show it, and wait until it has been read: nothing may be drawn over the pager."""
    command = pager_of(os.environ)
    if not command:
        screen.conduit.tell("there is no pager: set PAGER", severity="warning")
        return
    try:
        with screen.conduit.suspend():
            started = shown(text, command, less=_LESS)
    except SuspendNotSupported:
        screen.conduit.tell("this terminal cannot be lent to a pager", severity="warning")
        return
    if not started:
        screen.conduit.tell(f"{command[0]} could not be started", severity="warning")
