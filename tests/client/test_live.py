"""Live events as a front-end reads them, through a real gateway socket."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from conduit.client.errors import ApiError, AuthenticationFailed, Unreachable
from conduit.client.link import Inbox, Lost
from conduit.client.live import (
    Backoff,
    Connected,
    Disconnected,
    Events,
    Gap,
    LiveItem,
    Resumed,
    tail_events,
)
from conduit.core.events import EventKind
from conduit.gateway.events.bus import Bus
from conduit.gateway.events.socketio import SocketLimits
from tests.gateway.events.serving import TOKEN, listening, serving, with_fanout

STARTED = EventKind.REQUEST_STARTED
FINISHED = EventKind.REQUEST_FINISHED
_ROOT = Path(__file__).parents[2]
QUICK = Backoff(first_s=0.05, longest_s=0.2, connect_s=5, stale_s=1.0)


class Tail:
    """What a tail yields, in order, read by a task of its own."""

    def __init__(self, items: AsyncIterator[LiveItem]) -> None:
        self.items: list[LiveItem] = []
        self._source = items
        self._changed = asyncio.Event()
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for item in self._source:
                self.items.append(item)
                self._changed.set()
        finally:
            self._changed.set()

    @property
    def seqs(self) -> list[int]:
        return [
            event["seq"] for item in self.items if isinstance(item, Events) for event in item.events
        ]

    def of(self, kind: type[LiveItem]) -> list[Any]:
        return [item for item in self.items if isinstance(item, kind)]

    async def until_seqs(self, seqs: list[int]) -> None:
        await self._until(lambda: self.seqs == seqs)

    async def until_some(self, kind: type[LiveItem], count: int = 1) -> list[Any]:
        await self._until(lambda: len(self.of(kind)) >= count)
        return self.of(kind)

    async def _until(self, condition: Any) -> None:  # a lambda
        async with asyncio.timeout(15):
            while not condition():
                assert not self.task.done(), self.task.exception()
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def tailing(url: str, token: str = TOKEN, **options: Any) -> AsyncIterator[Tail]:
    tail = Tail(tail_events(url, token, backoff=QUICK, **options))
    try:
        yield tail
    finally:
        tail.task.cancel()
        await asyncio.wait([tail.task])


async def test_a_tail_connects_and_yields_events() -> None:
    async with serving(Bus("b1")) as at, tailing(at.url) as tail:
        assert await tail.until_some(Connected) == [Connected("b1", 0)]
        at.bus.publish(STARTED, {"id": "req_1"})
        await tail.until_seqs([1])
        assert tail.of(Events)[0].events[0]["data"] == {"id": "req_1"}


async def test_a_tail_chooses_kinds_and_filters() -> None:
    async with (
        serving(Bus("b1")) as at,
        tailing(at.url, kinds=["request.finished"], filter="status:>=500") as tail,
    ):
        await tail.until_some(Connected)
        at.bus.publish(STARTED, {})
        at.bus.publish(FINISHED, {"status": 200})
        at.bus.publish(FINISHED, {"status": 503})
        await tail.until_seqs([3])


async def test_a_tail_begins_after_a_number() -> None:
    bus = Bus("b1", ring_events=5)
    for _ in range(10):
        bus.publish(STARTED, {})
    async with serving(bus) as at, tailing(at.url, after_seq=2, boot="b1") as tail:
        await tail.until_seqs([6, 7, 8, 9, 10])
        assert tail.of(Gap) == [Gap(3, 5)]
        assert Gap(3, 5).lost == 3


async def test_a_lost_connection_is_told_and_what_was_missed_is_recovered() -> None:
    bus = Bus("b1")
    async with serving(bus) as first:
        tail = Tail(tail_events(first.url, TOKEN, backoff=QUICK))
        await tail.until_some(Connected)
        bus.publish(STARTED, {})
        await tail.until_seqs([1])
        port = first.port
    [lost, *_] = await tail.until_some(Disconnected)
    assert lost.retry_in_s > 0
    assert lost.reason
    for _ in range(37):
        bus.publish(STARTED, {})
    async with serving(bus, port=port):
        assert await tail.until_some(Resumed) == [Resumed(37)]
        await tail.until_seqs(list(range(1, 39)))
        assert not tail.of(Gap)
        assert len(tail.of(Connected)) == 1
        tail.task.cancel()
        await asyncio.wait([tail.task])


async def test_a_restarted_gateway_is_a_gap_and_then_its_own_events() -> None:
    async with serving(Bus("b1")) as first:
        tail = Tail(tail_events(first.url, TOKEN, backoff=QUICK))
        await tail.until_some(Connected)
        for _ in range(5):
            first.bus.publish(STARTED, {})
        await tail.until_seqs([1, 2, 3, 4, 5])
        port = first.port
    second = Bus("b2")
    second.publish(EventKind.GATEWAY_STARTED, {})
    async with serving(second, port=port):
        assert await tail.until_some(Resumed) == [Resumed(1)]
        assert tail.of(Gap) == [Gap(6, None)]
        assert tail.seqs == [1, 2, 3, 4, 5, 1]
        second.publish(STARTED, {})
        await tail.until_seqs([1, 2, 3, 4, 5, 1, 2])
        tail.task.cancel()
        await asyncio.wait([tail.task])


_PROCESS = """
import asyncio, sys
from conduit.core.events import EventKind
from conduit.gateway.events.bus import Bus
from tests.gateway.events.serving import serving

async def main() -> None:
    boot, port = sys.argv[1], int(sys.argv[2])
    bus = Bus(boot)
    async with serving(bus, port=port) as at:
        print(at.port, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            bus.publish(EventKind.REQUEST_STARTED, {"boot": boot})

asyncio.run(main())
"""


@asynccontextmanager
async def process(
    boot: str, port: int = 0
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A gateway of events in a process of its own, killed at the end; a line is an event."""
    pipe = asyncio.subprocess.PIPE
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROCESS, boot, str(port), stdin=pipe, stdout=pipe, cwd=_ROOT
    )
    assert running.stdout is not None
    try:
        async with asyncio.timeout(30):
            yield running, int(await running.stdout.readline())
    finally:
        running.kill()
        await running.communicate()


async def test_a_killed_gateway_is_noticed_and_its_successor_is_followed() -> None:
    async with process("b1") as (running, port):
        tail = Tail(tail_events(f"http://127.0.0.1:{port}", TOKEN, backoff=QUICK))
        await tail.until_some(Connected)
        assert running.stdin is not None
        running.stdin.write(b"\n\n")
        await tail.until_seqs([1, 2])
    await tail.until_some(Disconnected)
    async with process("b2", port) as (running, _):
        await tail.until_some(Resumed)
        assert await tail.until_some(Gap) == [Gap(3, None)]
        assert running.stdin is not None
        running.stdin.write(b"\n")
        await tail.until_seqs([1, 2, 1])
        tail.task.cancel()
        await asyncio.wait([tail.task])


async def test_nothing_missed_is_told_too() -> None:
    bus = Bus("b1")
    async with serving(bus) as first:
        tail = Tail(tail_events(first.url, TOKEN, backoff=QUICK))
        await tail.until_some(Connected)
        port = first.port
    async with serving(bus, port=port):
        assert await tail.until_some(Resumed) == [Resumed(0)]
        tail.task.cancel()
        await asyncio.wait([tail.task])


async def test_a_heartbeat_moves_a_filtered_tail_on_so_that_it_resumes_without_a_gap() -> None:
    bus = Bus("b1", ring_events=20)
    async with serving(bus) as first, listening(first) as witness:
        await witness.subscribe()
        tail = Tail(tail_events(first.url, TOKEN, filter="status:500", backoff=QUICK))
        await tail.until_some(Connected)
        for sent in range(15, 61, 15):
            for _ in range(15):
                bus.publish(FINISHED, {"status": 200})
            await witness.until(lambda: len(witness.seqs) == sent)  # noqa: B023  # awaited here
        # All get the same heartbeats: after the second one the tail has had the first.
        await witness.until(
            lambda: [beat["seq"] for beat in witness.contents("heartbeat")].count(60) == 2
        )
        port = first.port
    async with serving(bus, port=port):
        assert await tail.until_some(Resumed) == [Resumed(0)]
        assert not tail.of(Gap)
        tail.task.cancel()
        await asyncio.wait([tail.task])


async def test_a_dropped_queue_is_refilled_from_the_ring_over_http() -> None:
    # A queue of ten: what one flush cannot hold is dropped by the socket, not by the ring.
    bus = Bus("b1")
    async with (
        serving(bus, limits=with_fanout(queue_events=10, waiting_packets=0)) as at,
        tailing(at.url) as tail,
    ):
        await tail.until_some(Connected)
        # No packet may wait, so the listener is always behind until the bound is lifted again.
        for _ in range(2_500):
            bus.publish(STARTED, {})
        fanout = at.socket._fanout
        object.__setattr__(fanout._limits, "waiting_packets", 4)
        await tail.until_seqs(list(range(1, 2_501)))
        assert not tail.of(Gap)


async def test_a_wrong_token_ends_a_tail_at_once() -> None:
    async with serving(Bus("b1")) as at:
        items = tail_events(at.url, "condt_mk_wrong", backoff=QUICK)
        with pytest.raises(AuthenticationFailed, match="not one of this gateway's") as refused:
            await anext(items)
        assert refused.value.code == "invalid_api_key"
        assert "condt_mk_wrong" not in str(refused.value)


@pytest.mark.parametrize("wish", [{"filter": "statsu:1"}, {"kinds": ["request.ended"]}])
async def test_a_wrong_filter_or_kind_ends_a_tail_at_once(wish: dict[str, Any]) -> None:
    async with serving(Bus("b1")) as at:
        with pytest.raises(ApiError, match="unknown") as refused:
            await anext(tail_events(at.url, TOKEN, backoff=QUICK, **wish))
        assert refused.value.status == 422


async def test_a_tail_gives_up_after_the_time_it_may_be_offline() -> None:
    async with serving(Bus("b1")) as at:
        url = at.url
    tail = Tail(tail_events(url, TOKEN, max_offline_s=0.4, backoff=QUICK))
    with pytest.raises(Unreachable, match=r"no connection to http://127\.0\.0\.1"):
        await tail.task
    assert tail.items
    assert tail.items == tail.of(Disconnected)


async def test_silence_is_a_lost_connection() -> None:
    # Everything stands but no heartbeat comes.
    mute = SocketLimits(batch_interval_s=0.05, heartbeat_interval_s=60, close_s=0.5)
    async with serving(Bus("b1"), limits=mute) as at, tailing(at.url) as tail:
        [lost, *_] = await tail.until_some(Disconnected)
        assert lost.reason == "no sign of life for 1 s"
        assert await tail.until_some(Resumed)


async def test_a_proxy_that_knows_no_websockets_is_passed_by_polling() -> None:
    @web.middleware
    async def refuse(request: web.Request, handler: Any) -> web.StreamResponse:
        if request.query.get("transport") == "websocket":
            return web.Response(status=502)
        answer: web.StreamResponse = await handler(request)
        return answer

    async with serving(Bus("b1"), middleware=refuse) as at, tailing(at.url) as tail:
        await tail.until_some(Connected)
        at.bus.publish(STARTED, {})
        await tail.until_seqs([1])


async def test_a_gateway_below_a_path_is_found() -> None:
    async with serving(Bus("b1"), prefix="/llm") as at, tailing(f"{at.url}/llm/") as tail:
        await tail.until_some(Connected)
        at.bus.publish(STARTED, {})
        await tail.until_seqs([1])


@pytest.mark.parametrize(("failures", "delay"), [(1, 0.5), (2, 1), (4, 4), (6, 15), (5_000, 15)])
def test_delays_double_up_to_the_longest_and_are_jittered(failures: int, delay: float) -> None:
    delays = {Backoff().delay_s(failures) for _ in range(50)}
    assert len(delays) > 1
    assert all(0.8 * delay <= each <= 1.2 * delay for each in delays)


async def test_a_full_inbox_drops_its_oldest_and_leaves_one_gap() -> None:
    inbox = Inbox()
    inbox.put("gap", {"from": 1, "to": 4})
    for start in range(5, 20_005, 100):
        inbox.put("events", [{"seq": seq} for seq in range(start, start + 100)])
    gap = await inbox.next(1)
    assert gap is not None
    assert gap.name == "gap"
    assert gap.content["from"] == 1
    following = await inbox.next(1)
    assert following is not None
    assert following.content[0]["seq"] == gap.content["to"] + 1


async def test_an_inbox_that_ended_is_read_to_its_end() -> None:
    inbox = Inbox()
    inbox.put("heartbeat", {})
    inbox.end("gone")
    assert await inbox.next(1) is not None
    assert await inbox.next(1) is None
    with pytest.raises(Lost, match="no sign of life"):
        await Inbox().next(0.01)
