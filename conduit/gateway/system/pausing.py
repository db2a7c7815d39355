"""Waiting of tasks beside the requests until they are told to stop, and for them to end."""

import asyncio
from contextlib import suppress
from typing import Final

_CLOSING_S: Final = 5.0


async def pause(seconds: float, stopping: asyncio.Event) -> None:
    """Wait, unless the end comes first."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()


async def let_end(task: asyncio.Task[None] | None) -> None:
    """Wait for a task that was told to stop; what takes too long is given up."""
    if task is None:
        return
    # Not cancelled at once: a transaction may be under way in its thread.
    await asyncio.wait([task], timeout=_CLOSING_S)
    task.cancel()
    await asyncio.wait([task])
