"""The timer of a call: rings when it must, and is armed seldom."""

import asyncio

from conduit.gateway.upstream import TransportFault
from conduit.gateway.upstream.deadline import CallTimer


class Recording(CallTimer):
    def __init__(self, total_s: float | None) -> None:
        super().__init__(asyncio.get_running_loop(), total_s)
        self.rang = asyncio.Event()

    def expired(self) -> None:
        self.rang.set()


async def elapsed_until_rung(timer: Recording, began: float) -> float:
    await asyncio.wait_for(timer.rang.wait(), 2)
    return asyncio.get_running_loop().time() - began


async def test_a_later_step_moves_the_deadline() -> None:
    timer = Recording(None)
    began = asyncio.get_running_loop().time()
    timer.step(TransportFault.POOL_TIMEOUT, 0.02)
    timer.step(TransportFault.HEAD_TIMEOUT, 0.1)
    assert await elapsed_until_rung(timer, began) >= 0.099
    assert timer.fault is TransportFault.HEAD_TIMEOUT


async def test_a_shorter_step_after_a_longer_one_is_not_missed() -> None:
    timer = Recording(None)
    began = asyncio.get_running_loop().time()
    timer.step(TransportFault.HEAD_TIMEOUT, 60)
    timer.step(TransportFault.GAP_TIMEOUT, 0.05)
    assert await elapsed_until_rung(timer, began) < 1
    assert timer.fault is TransportFault.GAP_TIMEOUT


async def test_the_whole_rings_while_a_step_rests() -> None:
    timer = Recording(0.05)
    timer.step(TransportFault.HEAD_TIMEOUT, 0.01)
    timer.rest()
    await asyncio.wait_for(timer.rang.wait(), 2)
    assert timer.fault is TransportFault.TOTAL_TIMEOUT


async def test_a_step_after_a_rest_without_a_whole_is_armed_again() -> None:
    timer = Recording(None)
    timer.step(TransportFault.HEAD_TIMEOUT, 0.01)
    timer.rest()
    await asyncio.sleep(0.03)
    assert timer.fault is None
    timer.step(TransportFault.GAP_TIMEOUT, 0.02)
    await asyncio.wait_for(timer.rang.wait(), 2)
    assert timer.fault is TransportFault.GAP_TIMEOUT


async def test_a_stopped_timer_never_rings() -> None:
    timer = Recording(0.02)
    timer.step(TransportFault.HEAD_TIMEOUT, 0.01)
    timer.stop()
    await asyncio.sleep(0.05)
    assert timer.fault is None
    assert not timer.rang.is_set()
