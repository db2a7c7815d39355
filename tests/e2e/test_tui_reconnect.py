"""The gateway dies and comes back under the interface: it is said at once, and nothing is lost.

The times of both are printed (`-s`), never asserted.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from conduit.core.keys import make_master_key
from tests.e2e.processes import ROOT, GatewayProcess, free_port
from tests.fakes.upstream import FakeUpstream
from tests.tui.ptys import Terminal, on_terminal

QUIT = "\x11"
GATEWAY = {"CONDUIT_DRAIN_ACCEPT_S": "0", "CONDUIT_LOG_LEVEL": "warning"}


@asynccontextmanager
async def serving(folder: Path, fake: FakeUpstream) -> AsyncIterator["Served"]:
    gateway = GatewayProcess(folder / "home", make_master_key(), free_port(), GATEWAY)
    async with aiohttp.ClientSession() as session:
        await gateway.start(session)
        try:
            provider = {"name": "fake", "type": "openai_compatible", "base_url": fake.base_url}
            mapping = {"alias": "ask-*", "targets": [{"provider": "fake", "model": "fake"}]}
            await gateway.admin(session, "POST", "/providers", provider)
            await gateway.admin(session, "POST", "/mappings", mapping)
            await gateway.admin(session, "PUT", "/prices/fake/*", {"input": "1", "output": "2"})
            created = await gateway.admin(session, "POST", "/keys", {"name": "client"})
            yield Served(gateway, session, created["secret"])
        finally:
            await gateway.kill()


class Served:
    """A gateway in a process of its own and a caller with a key."""

    def __init__(self, gateway: GatewayProcess, session: aiohttp.ClientSession, key: str) -> None:
        self.gateway = gateway
        self._session = session
        self._headers = {"authorization": f"Bearer {key}"}

    async def ask(self, model: str) -> None:
        """One request, from its beginning to its end."""
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
        async with self._session.post(
            f"{self.gateway.url}/v1/chat/completions", json=body, headers=self._headers
        ) as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()

    async def records(self) -> list[dict[str, Any]]:
        page = await self.gateway.admin(self._session, "GET", "/requests?limit=100")
        found: list[dict[str, Any]] = page["data"]
        return found

    async def admin(self, method: str, path: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.gateway.admin(self._session, method, path)
        return found

    async def restart(self) -> None:
        await self.gateway.start(self._session)


def tui(served: Served, folder: Path, *options: str) -> Any:
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CONDUIT_")},
        "CONDUIT_HOME": str(folder / "client"),
        "CONDUIT_URL": served.gateway.url,
        "CONDUIT_MASTER_KEY": served.gateway.master_key,
        "TERM": "xterm-256color",
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "conduit.tui.main", *options]
    return on_terminal(command, size=(120, 40), env=env, cwd=ROOT)


def word_of(terminal: Terminal) -> str:
    """Row 1, where the state of the connection stands."""
    return terminal.lines()[0]


def is_lost(terminal: Terminal) -> bool:
    return any(word in word_of(terminal) for word in ("RETRY", "OFFLINE", "STALE"))


async def lost(terminal: Terminal) -> float:
    """Seconds until it said so."""
    began_s = time.perf_counter()
    await terminal.until(lambda: is_lost(terminal))
    return time.perf_counter() - began_s


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_restart_is_seen_marked_and_nothing_is_lost(
    number: signal.Signals, fake: FakeUpstream, tmp_path: Path
) -> None:
    async with (
        serving(tmp_path, fake) as served,
        tui(served, tmp_path, "--screen", "live") as terminal,
    ):
        await terminal.shows("LIVE", "Nothing has happened yet")
        await served.ask("ask-before")
        await terminal.shows("ask-before")

        # Killed before the event of this one can have been sent.
        await served.ask("ask-last")
        served.gateway.send(number)
        seen_s = await lost(terminal)
        await served.gateway.ended()
        # What was shown stays.
        assert "ask-before" in terminal.text()

        await served.restart()
        ready_s = time.perf_counter()
        # These end before the interface is back or after, as it comes: all of them must be there.
        await asyncio.gather(*(served.ask(f"ask-meanwhile-{each}") for each in range(5)))
        await terminal.until(lambda: "LIVE" in word_of(terminal))
        back_s = time.perf_counter() - ready_s
        await terminal.shows("the gateway was restarted", "ask-before")
        await terminal.shows("ask-last", *(f"ask-meanwhile-{each}" for each in range(5)))
        await served.ask("ask-after")
        await terminal.shows("ask-after")
        print(f"{number.name}: seen after {seen_s:.2f} s, live {back_s:.2f} s after it was ready")

        # Each once, and none that the records do not have.
        lines = [line for line in terminal.lines() if " ask-" in line]
        assert len(lines) == len(await served.records()) == 8
        terminal.type(QUIT)
        assert await terminal.ended() == 0


async def test_while_it_is_away_the_tries_are_told_and_then_the_time(
    fake: FakeUpstream, tmp_path: Path
) -> None:
    async with serving(tmp_path, fake) as served, tui(served, tmp_path) as terminal:
        await terminal.shows("LIVE", "fake")
        await served.gateway.kill()
        await terminal.until(lambda: "RETRY" in word_of(terminal))
        await terminal.shows("not connected to the gateway")
        await terminal.until(lambda: "OFFLINE" in word_of(terminal))
        await served.restart()
        await terminal.until(lambda: "LIVE" in word_of(terminal))
        await terminal.until(lambda: "not connected to the gateway" not in terminal.text())
        terminal.type(QUIT)
        assert await terminal.ended() == 0
