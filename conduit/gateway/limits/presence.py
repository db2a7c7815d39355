"""What keeps a gateway and its calls known to those that it shares limits with."""

import asyncio
from contextlib import suppress
from itertools import islice
from typing import Final

from conduit.core.ids import new_ulid
from conduit.gateway.limits.alone import Alone
from conduit.gateway.limits.counters import ENDS_AT_ONCE, Counters
from conduit.gateway.limits.store import Asked, Ended, StoreDownError

_RENEWALS: Final = 3
"""How often a lease is renewed within its length."""
_BEAT_S: Final = 5.0
_AGAIN_S: Final = 1.0
_NODE_US: Final = int(3 * _BEAT_S * 1_000_000)


class Presence:
    """Works beside the calls; what it hears of other gateways is for when it is `alone`."""

    def __init__(self, counters: Counters, alone: Alone) -> None:
        self._counters = counters
        self._alone = alone
        self._node = new_ulid()

    async def run(self) -> None:
        """Tell that this gateway is there, give back what calls have not used, and renew leases;
        until it is cancelled.
        """
        loop, counters = asyncio.get_running_loop(), self._counters
        beat_at = renew_at = loop.time()
        was_up = True
        while True:
            now = loop.time()
            try:
                if now >= beat_at or not was_up:
                    beat_at = now + min(_BEAT_S, counters.lease_s / _RENEWALS)
                    await self._beat()
                if now >= renew_at or not was_up:
                    renew_at = now + counters.lease_s / _RENEWALS
                    await self._renew()
                while counters.ends:
                    await counters.send([], [])
                was_up = True
            except StoreDownError:
                was_up = False
            counters.ending.clear()
            if counters.ends and was_up:
                continue
            if was_up:
                await _set_within(counters.ending, max(0.0, beat_at - loop.time()))
            else:
                await asyncio.sleep(min(_AGAIN_S, beat_at - now))

    async def close(self) -> None:
        """Give back what is left to give back, and be no gateway any more."""
        counters = self._counters
        try:
            while counters.ends:
                await counters.send([], [])
            await counters.send([counters.prefix + "nodes"], [], Ended("gone", 1, self._node))
        except StoreDownError:
            pass  # what is left ends with its lease
        await counters.store.close()

    async def _beat(self) -> None:
        key = self._counters.prefix + "nodes"
        told = Ended("node", 1, self._node, _NODE_US)
        asked = Asked(kind="slots", key=1, limit=1, amount=0)
        _, _, [(nodes, _, _)] = await self._counters.send([key], [asked], told)
        self._alone.nodes = max(1, nodes)

    async def _renew(self) -> None:
        """Keep the slots of the calls that run; also of those that Redis does not know of."""
        slots = list(self._counters.leases)
        for first in range(0, len(slots), ENDS_AT_ONCE):
            keys: list[str] = []
            renewed = []
            for slot in islice(slots, first, first + ENDS_AT_ONCE):
                for key in self._counters.leases.get(slot, ()):
                    keys.append(key)
                    renewed.append(Ended("renew", len(keys), slot))
            await self._counters.send(keys, [], *renewed)


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
