"""The requests in flight: who they are, and how they are ended from outside."""

import asyncio

from conduit.core.errors import ConduitError, ShuttingDownError
from conduit.gateway.exchange import Exchange

_COME_AGAIN_S = 1.0


class LiveExchanges:
    """Knows every running exchange and the task that serves it."""

    def __init__(self) -> None:
        self.closed = False
        """Whether new exchanges are refused; connections that are kept alive may bring some."""
        self.tasks: dict[Exchange, asyncio.Task[object]] = {}
        """All there are, in the order in which they came."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._emptied: asyncio.Event | None = None  # while somebody waits for it

    def __len__(self) -> int:
        return len(self.tasks)

    def enter(self, exchange: Exchange) -> None:
        """The exchange is live until it leaves, and runs in the present task.

        Raises ShuttingDownError once the gateway takes no more.
        """
        if self.closed:
            raise ShuttingDownError("the gateway is shutting down", retry_after_s=_COME_AGAIN_S)
        loop = self._loop
        if loop is None:  # asking for the one that runs is a system call each time
            loop = self._loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("an exchange runs in a task")
        self.tasks[exchange] = task

    def leave(self, exchange: Exchange) -> None:
        del self.tasks[exchange]
        if self._emptied is not None and not self.tasks:
            self._emptied.set()
            self._emptied = None

    def running(self) -> list[Exchange]:
        """The exchanges in the order in which they came."""
        return list(self.tasks)

    def is_running(self, request_id: str) -> bool:
        return any(exchange.id == request_id for exchange in self.tasks)

    def stop(self, request_id: str, reason: ConduitError) -> Exchange | None:
        """End one exchange as `stop_all` does; None where it is not running (any more)."""
        for exchange, task in self.tasks.items():
            if exchange.id == request_id:
                # A second order must not break off what the first one has begun.
                if exchange.stopping is None:
                    exchange.stopping = reason
                    task.cancel()
                return exchange
        return None

    async def wait_until_empty(self, timeout_s: float) -> bool:
        """Whether all exchanges ended within the time."""
        if not self.tasks:
            return True
        if self._emptied is None:
            self._emptied = asyncio.Event()
        try:
            async with asyncio.timeout(timeout_s):
                await self._emptied.wait()
        except TimeoutError:
            return False
        return True

    def stop_all(self, reason: ConduitError) -> int:
        """End every exchange; each settles and tells its caller the reason where it still can."""
        for exchange, task in self.tasks.items():
            exchange.stopping = reason
            task.cancel()
        return len(self.tasks)
