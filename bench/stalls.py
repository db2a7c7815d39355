"""Runs `conduit-tui` and writes down how long its event loop was kept from turning, at the most.

    python bench/stalls.py FILE [option of conduit-tui …]

Of the time between SIGUSR1 and SIGUSR2, in seconds; looks every 5 ms, which costs CPU of its own.
"""

import asyncio
import signal
import sys
import time
from pathlib import Path

from conduit.tui.app import ConduitApp
from conduit.tui.main import main

_LOOK_S = 0.005


class Watch:
    """The longest time that the loop came too late."""

    def __init__(self) -> None:
        self.worst_s = 0.0
        self.ended = False

    def begin(self, app: ConduitApp) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self.forget)
        loop.add_signal_handler(signal.SIGUSR2, self.end)
        app.watch_task = loop.create_task(self.run())

    def forget(self) -> None:
        self.worst_s = 0.0

    def end(self) -> None:
        self.ended = True

    async def run(self) -> None:
        while not self.ended:
            began_s = time.perf_counter()
            await asyncio.sleep(_LOOK_S)
            self.worst_s = max(self.worst_s, time.perf_counter() - began_s - _LOOK_S)


if __name__ == "__main__":
    watch = Watch()
    # Not a subclass: Textual looks for its style sheet beside the class.
    ConduitApp.on_load = lambda app: watch.begin(app)
    code = main(sys.argv[2:])
    Path(sys.argv[1]).write_text(f"{watch.worst_s:.4f}")
    raise SystemExit(code)
