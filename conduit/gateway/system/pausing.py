"""Waiting of tasks that run beside the requests until they are told to stop."""

import asyncio
from contextlib import suppress


async def pause(seconds: float, stopping: asyncio.Event) -> None:
    """Wait, unless the end comes first."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()
