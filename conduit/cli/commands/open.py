"""`conduit open`: a page of the gateway in the browser."""

import os
import sys
from typing import Annotated

import typer

from conduit.cli.call import Call
from conduit.cli.failures import Failure
from conduit.cli.verbs import Noun, verb

noun = Noun("Open a page of the gateway in the browser, or print its address.")
_PATHS = {"openapi": "/openapi.json", "metrics": "/metrics", "health": "/health/ready"}


@verb(noun)
def open_page(
    call: Call,
    page: Annotated[
        str, typer.Argument(metavar="[PAGE]", help="openapi, metrics or health.")
    ] = "openapi",
) -> None:
    """Print the address of a page of the gateway; on a desktop, open it too.

    The address holds no key: where a page needs one, the browser is refused.
    """
    if page not in _PATHS:
        raise Failure(f"PAGE: {', '.join(_PATHS)} is expected, not {page!r}")
    url = call.where.admin + _PATHS[page]
    call.console.data(url)
    if not (_has_desktop() and call.console.out.is_terminal):
        return
    import webbrowser  # noqa: PLC0415  # deferred: only on a desktop

    if not webbrowser.open(url):
        call.console.say("no browser could be started", "dim")


def _has_desktop() -> bool:
    """Whether there is a screen for a browser; one for text would take the terminal over."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
