"""Draws docs/pictures anew: `conduit-tui` over a gateway of its own, with some simulated traffic.

    .venv/bin/python -m scripts.pictures

The program, the gateway and what it answers are the real ones; no provider but the simulator is
asked. Runs for about a minute.
"""

import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from textual.pilot import Pilot

from conduit.client import contexts
from conduit.client.contexts import Choice
from conduit.tui.app import ConduitApp
from conduit.tui.state.session import Look, target_of

FOLDER: Final = Path(__file__).parents[1] / "docs" / "pictures"
PORT: Final = "5077"
SIZE: Final = (120, 40)
_CONDUIT: Final = str(Path(sys.executable).with_name("conduit"))
_PATIENCE_S: Final = 60.0
_FONTS: Final = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
_ID: Final = re.compile(r"terminal-\d+")
_QUESTIONS: Final = (
    "Name three uses of a gateway.",
    "Summarise this ticket in one line.",
    "Translate: good morning.",
    "Write a haiku about budgets.",
)
_MODELS: Final = ("fast", "careful", "simulated-small", "unknown")
_SHARES: Final = (50, 30, 18, 2)
_COMMANDS: Final = (
    "providers add simulator --name backup",
    "mappings add fast --to simulator/simulated-small --to backup/simulated-small "
    "--strategy lowest-latency",
    "mappings add careful --to simulator/simulated-large --fallback error=fast",
    "groups create team-a --budget 20 --period month --prepaid --rpm 600",
    "groups credit team-a 50 --reason paid",
    "keys create web --group team-a --budget 5 --period day --rpm 300 --tags app=web",
    "keys create ci --group team-a --budget 0.01 --expires 5d --tags app=ci",
    "keys create notebook --budget 2",
)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="conduit-pictures-") as home:
        os.environ |= {"CONDUIT_HOME": home, "CONDUIT_PORT": PORT}
        with _gateway():
            keys = _set_up()
            _traffic(keys, rounds=40)
            asyncio.run(_draw(keys))


@contextmanager
def _gateway() -> Iterator[None]:
    command = [_CONDUIT, "up", "--simulator"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await_ready()
        yield
    finally:
        process.terminate()
        process.wait()


def _await_ready() -> None:
    give_up = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health/ready", timeout=5):
                return
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)


def _set_up() -> list[str]:
    """The keys that were made."""
    secrets = []
    for line in _COMMANDS:
        command = [_CONDUIT, *line.split(), "-q"]
        outcome = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        if line.startswith("keys create"):
            secrets.append(outcome.stdout.strip())
    return secrets


def _traffic(keys: list[str], rounds: int) -> None:
    chance = random.Random(3)
    for number in range(rounds):
        model = chance.choices(_MODELS, _SHARES)[0]
        body = {
            "model": model,
            "stream": number % 3 == 0,
            "max_tokens": chance.choice((8, 20, 60)),
            "messages": [{"role": "user", "content": chance.choice(_QUESTIONS)}],
        }
        _ask(chance.choice(keys), body)


def _ask(key: str, body: Mapping[str, Any]) -> None:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    url = f"http://127.0.0.1:{PORT}/v1/chat/completions"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()
    except urllib.error.HTTPError as error:  # refusals are part of the picture
        error.close()


async def _draw(keys: list[str]) -> None:
    target = target_of(contexts.resolve(contexts.load(), Choice(), os.environ))
    app = ConduitApp(target, Look())
    async with app.run_test(size=SIZE) as pilot:
        traffic = asyncio.create_task(asyncio.to_thread(_traffic, keys, 60))
        await _shown(app, pilot, "LIVE")
        await _seconds(pilot, 6)
        _keep(app, "overview")
        app.go("live")
        await _seconds(pilot, 2)
        await pilot.press("down", "enter")
        await _seconds(pilot, 2)
        _keep(app, "live")
        await pilot.press("escape")
        await traffic
        for place in ("keys", "groups", "mappings", "usage", "config"):
            app.go(place)
            await _seconds(pilot, 3)
            _keep(app, place)
        await _chat(app, pilot)


async def _chat(app: ConduitApp, pilot: Pilot[Any]) -> None:
    app.go("chat")
    await _seconds(pilot, 2)
    await pilot.press(*"What do you do?", "enter")
    await _shown(app, pilot, "streaming")
    async with asyncio.timeout(_PATIENCE_S):
        while "streaming" in app.export_screenshot():
            await pilot.pause(0.1)
    await _seconds(pilot, 2)
    _keep(app, "chat")


async def _shown(app: ConduitApp, pilot: Pilot[Any], text: str) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while text not in app.export_screenshot():
            await pilot.pause(0.1)


async def _seconds(pilot: Pilot[Any], seconds: float) -> None:
    """Let the program run: what it shows meanwhile is what the picture is of."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        await pilot.pause(0.1)


def _keep(app: ConduitApp, name: str) -> None:
    svg = _FONTS.sub("", _ID.sub("terminal", app.export_screenshot(title="conduit-tui")))
    (FOLDER / f"{name}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
