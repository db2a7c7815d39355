"""Notices when the wall clock was set, or the machine slept.

Periods of budgets go by the wall clock, everything else by the one that only goes forward: whoever
looks at a bill should know of the moment at which the two went apart.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from conduit.core.ids import now_ms

_log = logging.getLogger(__name__)

LEAST_MS: Final = 60_000
_LOOKS_EVERY_S: Final = 5.0


class ClockWatch:
    """Compares the two clocks; `on_jump` gets by how many milliseconds the wall clock went ahead
    of the other since the look before, below 0 where it fell back, if it is more than a minute.
    """

    def __init__(
        self,
        on_jump: Callable[[int], None],
        wall_ms: Callable[[], int] = now_ms,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_jump = on_jump
        self._wall_ms = wall_ms
        self._monotonic_s = monotonic_s
        self._apart_ms = self._measure()

    def look(self) -> None:
        apart_ms = self._measure()
        jump_ms, self._apart_ms = apart_ms - self._apart_ms, apart_ms
        if abs(jump_ms) > LEAST_MS:
            ahead = "ahead" if jump_ms > 0 else "back"
            _log.warning("the clock of this machine went %s by %d s", ahead, abs(jump_ms) // 1000)
            self._on_jump(jump_ms)

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await asyncio.sleep(_LOOKS_EVERY_S)
            self.look()

    def _measure(self) -> int:
        return self._wall_ms() - int(self._monotonic_s() * 1000)
