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
        self._tasks: dict[Exchange, asyncio.Task[object]] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._tasks)

    def entered(self, exchange: Exchange) -> "Entered":
        """Count the exchange as live for as long as the block runs, in the present task.

        Raises ShuttingDownError once the gateway takes no more.
        """
        if self.closed:
            raise ShuttingDownError("the gateway is shutting down", retry_after_s=_COME_AGAIN_S)
        return Entered(self._tasks, self._empty, exchange)

    def running(self) -> list[Exchange]:
        """The exchanges in the order in which they came."""
        return list(self._tasks)

    def is_running(self, request_id: str) -> bool:
        return any(exchange.id == request_id for exchange in self._tasks)

    def stop(self, request_id: str, reason: ConduitError) -> Exchange | None:
        """End one exchange as `stop_all` does; None where it is not running (any more)."""
        for exchange, task in self._tasks.items():
            if exchange.id == request_id:
                # A second order must not break off what the first one has begun.
                if exchange.stopping is None:
                    exchange.stopping = reason
                    task.cancel()
                return exchange
        return None

    async def wait_until_empty(self, timeout_s: float) -> bool:
        """Whether all exchanges ended within the time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def stop_all(self, reason: ConduitError) -> int:
        """End every exchange; each settles and tells its caller the reason where it still can."""
        for exchange, task in self._tasks.items():
            exchange.stopping = reason
            task.cancel()
        return len(self._tasks)


class Entered:
    """The block in which an exchange is live: a class, as one is made for every request."""

    __slots__ = ("_empty", "_exchange", "_tasks")

    def __init__(
        self, tasks: dict[Exchange, asyncio.Task[object]], empty: asyncio.Event, exchange: Exchange
    ) -> None:
        self._tasks = tasks
        self._empty = empty
        self._exchange = exchange

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an exchange runs in a task")
        if not self._tasks:
            self._empty.clear()
        self._tasks[self._exchange] = task

    def __exit__(self, *_: object) -> None:
        del self._tasks[self._exchange]
        if not self._tasks:
            self._empty.set()
