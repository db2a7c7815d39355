"""The interface on a terminal: what it writes, how it leaves, what it survives.

Refusals (no terminal, a wrong key, no gateway) are in `test_main.py`.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from conduit.core.keys import make_master_key
from tests.tui.ptys import ALTERNATE_OFF, ALTERNATE_ON, CURSOR_OFF, Terminal, on_terminal
from tests.tui.standin import StandIn, standing_in

ROOT = Path(__file__).parents[2]
QUIT = "\x11"
QUIET_S = 1.5
RING_ENTRIES = 10_000
FLUSH_BYTES = 30_000
"""A whole screen of 120x40 with colours, and as much again."""
TRIFLE_BYTES = 4_000

Open = Callable[..., AbstractAsyncContextManager[Terminal]]


@pytest.fixture
def stand_in() -> StandIn:
    return StandIn(make_master_key())


@pytest.fixture
async def url(stand_in: StandIn) -> AsyncIterator[str]:
    async with standing_in(stand_in) as found:
        yield found


@pytest.fixture
def tui(url: str, stand_in: StandIn, tmp_path: Path) -> Open:
    """Opens the interface on a terminal of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONDUIT_")}
    env = {
        **kept,
        "CONDUIT_HOME": str(tmp_path / "client"),
        "CONDUIT_URL": url,
        "CONDUIT_MASTER_KEY": stand_in.master_key,
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
    }

    def opened(
        *options: str, size: tuple[int, int] = (80, 24)
    ) -> AbstractAsyncContextManager[Terminal]:
        command = [sys.executable, "-m", "conduit.tui.main", *options]
        return on_terminal(command, size=size, env=env, cwd=ROOT)

    return opened


async def test_it_takes_the_screen_draws_and_gives_it_back(tui: Open) -> None:
    async with tui() as terminal:
        await terminal.shows("LIVE", "openai-main")
        frame = terminal.first_frame()
        assert frame is not None
        assert ALTERNATE_ON in terminal.output
        assert CURSOR_OFF in terminal.output
        assert not terminal.is_restored
        print(f"first frame after {frame.at_s - terminal.began_s:.2f} s")
        terminal.type(QUIT)
        assert await terminal.ended() == 0
        assert terminal.is_restored


@pytest.fixture
def paged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a pager has read that shows a word and waits for Enter, as its reader's would."""
    pager, read = tmp_path / "pager", tmp_path / "read"
    pager.write_text(f"#!/bin/sh\ncat > '{read}'\necho PAGED\nread line < /dev/tty\n")
    pager.chmod(0o755)
    monkeypatch.setenv("PAGER", str(pager))
    return read


async def test_a_page_of_the_inspector_is_lent_the_terminal_and_gives_it_back(
    paged: Path, tui: Open, stand_in: StandIn
) -> None:
    async with tui("--screen", "live") as terminal:
        await terminal.shows("LIVE")
        await stand_in.fill(3)
        await terminal.shows("3 of 3")
        terminal.type("\r")
        await terminal.shows("8 json")
        terminal.type("8")
        await terminal.shows('"alias":')
        terminal.type("P")
        await terminal.shows("PAGED")
        assert not terminal.is_on(ALTERNATE_ON, ALTERNATE_OFF)
        assert json.loads(paged.read_text())["alias"]
        await stand_in.fill(5)
        await terminal.settled(QUIET_S)  # nothing is drawn over the pager
        terminal.type("\n")
        await terminal.until(lambda: terminal.is_on(ALTERNATE_ON, ALTERNATE_OFF))
        await terminal.shows("LIVE", '"alias":')
        terminal.type("\x1b")
        await terminal.shows("8 of 8")
        terminal.type(QUIT)
        assert await terminal.ended() == 0
        assert terminal.is_restored


MOUSE_ON, MOUSE_OFF = b"\x1b[?1000h", b"\x1b[?1000l"


async def test_the_mouse_is_left_to_the_terminal_and_taken_again(tui: Open) -> None:
    async with tui() as terminal:
        await terminal.shows("LIVE")
        assert terminal.is_on(MOUSE_ON, MOUSE_OFF)
        for taken in (False, True):
            terminal.type(":")
            await terminal.shows("theme NAME")
            terminal.type("mouse\r")
            await terminal.until(lambda: terminal.is_on(MOUSE_ON, MOUSE_OFF) is taken)  # noqa: B023


async def test_the_mouse_is_not_taken_where_it_is_not_wanted(tui: Open) -> None:
    async with tui("--no-mouse") as terminal:
        await terminal.shows("LIVE")
        assert MOUSE_ON not in terminal.output


@pytest.fixture
def over_ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22")


async def test_a_terminal_that_is_far_away_is_told_what_helps(over_ssh: None, tui: Open) -> None:
    async with tui() as terminal:
        await terminal.shows("LIVE")
        await terminal.until(lambda: b"\x1b[6n" in terminal.output)
        await asyncio.sleep(0.2)  # the way there and back
        terminal.type("\x1b[1;1R")
        await terminal.shows("ms away", "--lite")


MAY_LOAD = {"conduit", "platformdirs", "rich", "textual", "typing_extensions"}
"""The packages beside Python's own that the first frame may cost."""


@pytest.mark.parametrize("screen", ["overview", "live", "usage", "security", "config"])
async def test_a_start_loads_what_the_first_frame_needs_and_no_other_screen(
    screen: str, tmp_path: Path
) -> None:
    """As far as the link is started, which is after the first frame."""
    code = """
import asyncio, json, sys
from conduit.tui.app import ConduitApp
from conduit.tui.state.gateway import GatewayLink
from conduit.tui.state.session import Look, Target

loaded = []

class Seen(GatewayLink):
    def start(self):
        loaded.extend(sys.modules)
        app.exit()

async def main():
    async with app.run_test():
        while not loaded:
            await asyncio.sleep(0.01)

target = Target("", "http://127.0.0.1:9", "http://127.0.0.1:9", "key")
app = ConduitApp(target, Look(screen=sys.argv[1]), make_link=Seen)
asyncio.run(main())
print(json.dumps(loaded))
"""
    env = {**os.environ, "CONDUIT_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    outcome = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", code, screen],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = set(json.loads(outcome.stdout))
    assert "textual.app" in loaded
    ours = {"__main__", "_distutils_hack", *sys.stdlib_module_names}
    assert {name.partition(".")[0] for name in loaded} - ours <= MAY_LOAD
    screens = {name for name in loaded if name.startswith("conduit.tui.screens.")}
    assert screens == {f"conduit.tui.screens.{screen}"}
    assert not loaded & {"sqlite3", "textual.widgets._markdown"}


async def test_a_quiet_gateway_makes_it_write_nothing(tui: Open) -> None:
    async with tui() as terminal:
        await terminal.shows("LIVE", "openai-main")
        # Whatever still comes after the start; then a second and a half without one byte.
        await terminal.settled(QUIET_S)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
async def test_a_signal_ends_it_and_the_screen_is_given_back(
    tui: Open, number: signal.Signals
) -> None:
    async with tui() as terminal:
        await terminal.shows("LIVE")
        terminal.send(number)
        assert await terminal.ended() == 128 + number
        assert terminal.is_restored


async def test_it_ends_when_the_terminal_goes_away(tui: Open) -> None:
    async with tui() as terminal:
        await terminal.shows("LIVE")
        terminal.close()
        # No code is asked for: there is nobody to tell.
        await asyncio.to_thread(terminal.process.wait, 60)


async def test_it_survives_every_size(tui: Open) -> None:
    sizes = [(1, 1), (60, 16), (2, 50), (200, 1), (59, 15), (300, 90), (1, 40), (80, 24)]
    async with tui("--screen", "live") as terminal:
        await terminal.shows("LIVE")
        for size in sizes * 3:
            terminal.resize(*size)
            await asyncio.sleep(0.02)
        terminal.resize(59, 15)
        await terminal.shows("59x15 is too small")
        for size in ((60, 16), (120, 40), (80, 24)):
            terminal.resize(*size)
            await terminal.shows("LIVE", "Nothing has happened yet")
        terminal.type(QUIT)
        assert await terminal.ended() == 0


async def test_a_second_key_that_is_typed_ahead_still_belongs_to_the_first(tui: Open) -> None:
    async with tui() as terminal:
        await terminal.shows("LIVE", "openai-main")
        terminal.type("gl")
        await terminal.shows("Nothing has happened yet")
        terminal.type("gh")
        await terminal.shows("openai-main")
        # And no key is waited for any more: the next one acts at once.
        terminal.type(QUIT)
        assert await terminal.ended() == 0


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        (":keys\r", ("2 keys",)),
        (":keys\r/docs", ("1 of 2 keys",)),
        ("gkanamed-at-once", ("new key", "named-at-once")),
        ("gk/\x1b[200~docs\x1b[201~", ("1 of 2 keys",)),
    ],
    ids=["command", "filter", "form", "paste"],
)
async def test_what_is_typed_ahead_goes_to_what_the_keys_before_it_open(
    tui: Open, typed: str, shown: tuple[str, ...]
) -> None:
    async with tui() as terminal:
        await terminal.shows("LIVE", "openai-main")
        terminal.type(typed)
        await terminal.shows(*shown)


async def test_however_much_happens_at_once_one_screen_is_written(
    tui: Open, stand_in: StandIn
) -> None:
    async with tui("--screen", "live", size=(120, 40)) as terminal:
        await terminal.shows("LIVE", "Nothing has happened yet")
        await stand_in.hush()
        await stand_in.fill(RING_ENTRIES)
        await terminal.shows("10,000 of 10,000")
        await terminal.settled()
        before = terminal.written
        stand_in.finish(200, alias="the-newest")
        await terminal.shows("the-newest")
        await terminal.settled()
        # The events may come in two parts.
        assert terminal.written - before < 2 * FLUSH_BYTES
        print(f"200 events on a full ring: {terminal.written - before} bytes")


async def test_one_more_request_is_little_to_write_while_another_screen_is_shown(
    tui: Open, stand_in: StandIn
) -> None:
    async with tui("--screen", "keys", size=(120, 40)) as terminal:
        await terminal.shows("LIVE", "docs")
        await stand_in.hush()
        await terminal.settled()
        before, asked = terminal.written, stand_in.asked["keys"]
        stand_in.finish(200)
        # The events have come when the keys are read again for what they have spent.
        await terminal.until(lambda: stand_in.asked["keys"] > asked)
        await terminal.settled(QUIET_S)
        assert terminal.written - before < TRIFLE_BYTES
