"""Pictures of screens, compared with those that were looked at and kept.

`CONDUIT_UPDATE_SNAPSHOTS=1` writes the pictures anew. What differs by run and says nothing about
the screen (random ids of the SVG, places that depend on them) is taken out before comparing.
"""

import asyncio
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from conduit.tui.app import ConduitApp

FOLDER = Path(__file__).parent / "snapshots"
# Read now: the tests themselves run without any setting of the person who runs them.
UPDATING = os.environ.get("CONDUIT_UPDATE_SNAPSHOTS") == "1"
PATIENCE_S = 60.0
_SETTLED_ROUNDS = 12
_ID = re.compile(r"terminal-\d+")
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def picture_of(app: ConduitApp) -> str:
    """The screen as an SVG that is the same on every machine and in every run."""
    svg = app.export_screenshot(title="conduit-tui")
    # The fonts name a host to load them from; readers have monospaced ones of their own.
    return _FONTS.sub("", _ID.sub("terminal", svg))


def assert_snapshot(app: ConduitApp, name: str) -> None:
    """The screen looks as it did when `tests/tui/snapshots/<name>.svg` was kept."""
    picture, kept = picture_of(app), FOLDER / f"{name}.svg"
    if UPDATING:
        FOLDER.mkdir(exist_ok=True)
        kept.write_text(picture, encoding="utf-8")
        return
    if kept.exists() and kept.read_text(encoding="utf-8") == picture:
        return
    folder = Path(tempfile.mkdtemp(prefix="conduit-snapshot-"))
    new = folder / f"{name}.svg"
    new.write_text(picture, encoding="utf-8")
    raise AssertionError(f"{name} looks different:\n  kept: {kept}\n  new:  {new}")


async def assert_looks(pilot: Pilot[Any], name: str) -> None:
    """The screen comes to look as it did when its picture was kept.

    Waits for that, and not for a time: on a busy machine it only takes longer.
    """
    app = pilot.app
    assert isinstance(app, ConduitApp), "the application under test"
    if UPDATING:
        await _settled(app, pilot)
    elif (FOLDER / f"{name}.svg").exists():
        kept = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
        for _ in range(round(PATIENCE_S / 0.1)):
            if picture_of(app) == kept:
                return
            await pilot.pause(0.1)
    assert_snapshot(app, name)


async def _settled(app: ConduitApp, pilot: Pilot[Any]) -> None:
    """Wait until the screen has stopped changing, for a picture that is to be kept."""
    same, before = 0, ""
    async with asyncio.timeout(PATIENCE_S):
        while same < _SETTLED_ROUNDS:
            picture = picture_of(app)
            same = same + 1 if picture == before else 0
            before = picture
            await pilot.pause(0.1)
