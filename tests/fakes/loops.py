"""The event loops that everything on a socket is tested on."""

import asyncio
import sys
from collections.abc import Callable

BOTH_LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}

if sys.platform != "win32":  # uvloop does not exist there
    import uvloop

    BOTH_LOOPS["uvloop"] = uvloop.new_event_loop
