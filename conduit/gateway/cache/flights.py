"""Identical requests in flight: one of them leads, the others wait for what it brings."""

import asyncio
from typing import TypeAlias

from conduit.gateway.cache.store import Entry

Brought: TypeAlias = "Entry | Lead | None"
"""What a waiting request gets: an answer, the lead, or the word that it has to go on alone."""

_Waiting: TypeAlias = "dict[asyncio.Future[Brought], None]"


class Lead:
    """Held by the request that is sent for all. Ended once, in one of three ways; then no more."""

    __slots__ = ("_digest", "_leads", "_over", "_waiting")

    def __init__(self, leads: "dict[bytes, Lead]", digest: bytes, waiting: _Waiting) -> None:
        self._leads = leads
        self._digest = digest
        self._waiting = waiting
        self._over = False

    def land(self, entry: Entry) -> None:
        """All who wait have their answer."""
        self._end(entry)

    def release(self) -> None:
        """Its answer is for nobody else: all who wait go on by themselves."""
        self._end(None)

    def fail(self) -> None:
        """There is no answer: the first who waits still leads from now on."""
        if self._over:
            return
        self._over = True
        waiter = next((each for each in self._waiting if not each.done()), None)
        if waiter is None:
            self._leave()
            return
        del self._waiting[waiter]
        successor = Lead(self._leads, self._digest, self._waiting)
        if self._leads.get(self._digest) is self:
            self._leads[self._digest] = successor
        waiter.set_result(successor)

    def wait(self) -> "asyncio.Future[Brought]":
        """What it will bring, for one more request."""
        waiter: asyncio.Future[Brought] = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = None
        return waiter

    def forget(self, waiter: "asyncio.Future[Brought]") -> None:
        """Somebody waits no more."""
        self._waiting.pop(waiter, None)

    def _end(self, brought: Entry | None) -> None:
        if self._over:
            return
        self._over = True
        self._leave()
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(brought)
        self._waiting.clear()

    def _leave(self) -> None:
        if self._leads.get(self._digest) is self:  # it may have been parted from its place
            del self._leads[self._digest]


class Flights:
    """The leads of all requests in flight, by what they ask."""

    def __init__(self) -> None:
        self._leads: dict[bytes, Lead] = {}

    def __len__(self) -> int:
        return len(self._leads)

    async def join(self, digest: bytes, within_s: float) -> Brought:
        """Lead, or wait for whoever does; None where that takes longer than `within_s`."""
        lead = self._leads.get(digest)
        if lead is None:
            lead = self._leads[digest] = Lead(self._leads, digest, {})
            return lead
        waiter = lead.wait()
        try:
            async with asyncio.timeout(within_s):
                return await waiter
        except TimeoutError:
            return _brought(waiter)
        except asyncio.CancelledError:
            brought = _brought(waiter)
            if isinstance(brought, Lead):
                brought.fail()
            raise
        finally:
            lead.forget(waiter)

    def part(self) -> None:
        """Requests from now on wait for none of those in flight."""
        self._leads.clear()


def _brought(waiter: "asyncio.Future[Brought]") -> Brought:
    """What came in the very turn in which the wait ended otherwise."""
    return waiter.result() if waiter.done() and not waiter.cancelled() else None
