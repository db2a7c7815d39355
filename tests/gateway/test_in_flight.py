"""Exchanges that run: how they are counted, and waited for."""

import asyncio

import pytest

from conduit.core.errors import ShuttingDownError
from conduit.gateway.exchange import Exchange
from conduit.gateway.in_flight import LiveExchanges
from conduit.gateway.provider import Operation
from tests.gateway.exchanges import entered, snapshot


def exchange() -> Exchange:
    return Exchange(Operation.CHAT, snapshot([]))


async def test_exchanges_are_live_from_their_entrance_until_they_leave() -> None:
    live = LiveExchanges()
    first, second = exchange(), exchange()
    with entered(live, first), entered(live, second):
        assert (len(live), live.running()) == (2, [first, second])
        assert set(live.tasks.values()) == {asyncio.current_task()}
        assert live.is_running(second.id)
    assert (len(live), live.running()) == (0, [])


async def test_none_enters_once_they_are_closed() -> None:
    live = LiveExchanges()
    live.closed = True
    with pytest.raises(ShuttingDownError):
        live.enter(exchange())
    assert len(live) == 0


async def test_all_who_wait_for_the_last_to_leave_are_told() -> None:
    live = LiveExchanges()
    assert await live.wait_until_empty(0)
    for _ in range(2):
        with entered(live, exchange()):
            assert not await live.wait_until_empty(0.001)
            waiting = [asyncio.create_task(live.wait_until_empty(30)) for _ in range(2)]
            await asyncio.sleep(0)
        assert await asyncio.gather(*waiting) == [True, True]
