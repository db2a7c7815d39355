"""Reading the answer of a provider to its end although the client has hung up.

Where a provider bills a call in full that is broken off, breaking it off saves nothing, and what it
cost would be a guess: its answer is read, and thrown away, for the usage at its end.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from conduit.gateway.exchange import Attempt, ClientGone, Exchange, Relay

Ask = Callable[[Relay], Awaitable[None]]


class Drain:
    """Asks providers in tasks of their own, which outlive the client.

    At most `most` answers are read without one at a time, each for `longest_s` at most.
    """

    def __init__(self, most: int, longest_s: float) -> None:
        self.most = most
        self.longest_s = longest_s
        self.running = 0

    async def __call__(self, exchange: Exchange, attempt: Attempt, ask: Ask, relay: Relay) -> None:
        """Ask, and give the answer to the client for as long as there is one.

        Once the client has gone, what tells of that is raised when the answer has ended.
        """
        outlet = _Outlet(self, attempt, relay)
        asking = outlet.asking = asyncio.ensure_future(ask(outlet))
        try:
            await asyncio.wait({asking})  # it is not cancelled with this task
        except asyncio.CancelledError:
            if exchange.stopping is None and outlet.close():
                await asyncio.wait({asking})
            raise
        finally:
            await outlet.end()
        if outlet.closed:
            raise ClientGone
        asking.result()


class _Outlet:
    """The way to the client until it has gone; from then on what is written is dropped."""

    def __init__(self, drain: Drain, attempt: Attempt, relay: Relay) -> None:
        self._drain = drain
        self._attempt = attempt
        self._relay = relay
        self._late: asyncio.TimerHandle | None = None
        self.asking: asyncio.Future[None] | None = None
        self.closed = False

    def close(self) -> bool:
        """The client has gone; whether there is room to read its answer on."""
        drain, attempt, asking = self._drain, self._attempt, self.asking
        if self.closed or asking is None or drain.running >= drain.most:
            return self.closed
        drain.running += 1
        self.closed = True
        attempt.drained = True
        attempt.unread = not attempt.answering
        self._late = asyncio.get_running_loop().call_later(drain.longest_s, asking.cancel)
        return True

    async def end(self) -> None:
        """Wait for what was asked, broken off where it has not ended."""
        if self._late is not None:
            self._late.cancel()
            self._drain.running -= 1
        asking = self.asking
        if asking is not None and not asking.done():
            asking.cancel()
            await asyncio.wait({asking})
        if asking is not None and self.closed and not asking.cancelled():
            asking.exception()  # the attempt has what is to be known of it

    async def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        if not self.closed:
            await self._unless_gone(self._relay.answer(status, headers, body))

    async def start(self, headers: Mapping[str, str]) -> None:
        if not self.closed:
            await self._unless_gone(self._relay.start(headers))

    async def write(self, data: bytes) -> None:
        if not self.closed:
            await self._unless_gone(self._relay.write(data))

    def push(self, data: bytes) -> bool:
        return self.closed or self._relay.push(data)

    async def _unless_gone(self, giving: Awaitable[None]) -> None:
        try:
            await giving
        except ClientGone:
            if not self.close():
                raise
