"""The event socket, through the real client library and a real port."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
import socketio

from conduit.core.events import EventKind
from conduit.gateway.events.bus import Bus
from conduit.gateway.events.socketio import NAMESPACE, SocketLimits
from tests.gateway.events.serving import (
    QUICK,
    TOKEN,
    Listener,
    Serving,
    listening,
    serving,
    with_fanout,
)

STARTED = EventKind.REQUEST_STARTED
FINISHED = EventKind.REQUEST_FINISHED


@pytest.mark.parametrize("transports", [("websocket",), ("polling",), ("polling", "websocket")])
async def test_a_listener_hears_events_as_they_happen(transports: tuple[str, ...]) -> None:
    async with (
        serving(Bus("b1", lambda: 7)) as at,
        listening(at, transports=transports) as listener,
    ):
        assert await listener.subscribe() == {"boot": "b1", "seq": 0, "recovered": 0, "gap": None}
        at.bus.publish(STARTED, {"id": "req_1", "alias": "gpt-4o"})
        await listener.until(lambda: listener.seqs == [1])
        assert listener.contents("events")[0] == [
            {
                "boot": "b1",
                "seq": 1,
                "at_ms": 7,
                "kind": "request.started",
                "data": {"id": "req_1", "alias": "gpt-4o"},
            }
        ]


async def test_events_of_one_interval_leave_in_one_message() -> None:
    async with serving(Bus("b1")) as at, listening(at) as listener:
        await listener.subscribe()
        for number in range(300):
            at.bus.publish(STARTED, {"n": number})
        await listener.until(lambda: len(listener.seqs) == 300)
        # One flush, or two where the interval ended between two publications.
        assert len(listener.contents("events")) <= 2
        assert listener.seqs == list(range(1, 301))


async def test_a_large_batch_is_cut_by_count_and_by_bytes() -> None:
    async with (
        serving(Bus("b1"), limits=with_fanout(batch_events=100, batch_bytes=10_000)) as at,
        listening(at) as listener,
    ):
        await listener.subscribe()
        for _ in range(150):
            at.bus.publish(STARTED, {})
        for _ in range(3):
            at.bus.publish(STARTED, {"text": "x" * 6_000})
        await listener.until(lambda: len(listener.seqs) == 153)
        assert max(map(len, listener.contents("events"))) <= 100
        assert [len(batch) for batch in listener.contents("events")][-2:] == [1, 1]


@pytest.mark.parametrize("token", ["wrong", "", None, 7, "é", "x" * 10_000, {"a": 1}])
async def test_a_wrong_token_is_refused_and_gets_no_namespace(token: object) -> None:
    async with serving(Bus("b1")) as at:
        listener = Listener()
        with pytest.raises(socketio.exceptions.ConnectionError, match="failed to connect"):
            await listener.client.connect(
                at.url, auth={"token": token}, namespaces=[NAMESPACE], wait_timeout=5
            )
        assert listener.refusal["data"] == {"code": "invalid_api_key"}
        assert TOKEN not in str(listener.refusal)
        assert at.socket.listeners == 0


async def test_no_auth_at_all_and_other_namespaces_are_refused() -> None:
    async with serving(Bus("b1")) as at:
        for namespace in (NAMESPACE, "/"):
            client = socketio.AsyncClient(reconnection=False, handle_sigint=False)
            with pytest.raises(socketio.exceptions.ConnectionError, match="failed to connect"):
                await client.connect(at.url, namespaces=[namespace], wait_timeout=5)


async def test_a_connection_that_never_shows_a_token_is_closed() -> None:
    limits = SocketLimits(batch_interval_s=0.02, sweep_interval_s=0.02, stranger_s=0.1, close_s=0.2)
    async with (
        serving(Bus("b1"), limits=limits) as at,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{at.url}/socket.io/?EIO=4&transport=websocket") as stranger,
        asyncio.timeout(10),
    ):
        assert (await stranger.receive()).data.startswith("0{")
        assert (await stranger.receive()).data == "1"  # engine.io's "close"


async def test_a_revoked_token_ends_its_connections() -> None:
    valid = {TOKEN}
    async with (
        serving(Bus("b1"), check=lambda token: token in valid) as at,
        listening(at) as listener,
    ):
        await listener.subscribe()
        valid.clear()
        async with asyncio.timeout(10):
            await listener.ended.wait()
        assert at.socket.listeners == 0


async def test_kinds_and_filter_choose_what_is_heard() -> None:
    async with (
        serving(Bus("b1")) as at,
        listening(at) as failures,
        listening(at) as keys,
        listening(at) as both,
    ):
        await failures.subscribe(kinds=["request.finished"], filter="status:>=400 -provider:main")
        await keys.subscribe(kinds=["key.created"])
        await both.subscribe(filter="status:>=400")
        at.bus.publish(FINISHED, {"status": 200, "provider": "b"})
        at.bus.publish(FINISHED, {"status": 500, "provider": "main"})
        at.bus.publish(EventKind.KEY_CREATED, {"id": "key_1"})
        at.bus.publish(FINISHED, {"status": 500, "provider": "b"})
        at.bus.publish(STARTED, {"id": "req_9"})
        await failures.until(lambda: failures.seqs == [4])
        await keys.until(lambda: keys.seqs == [3])
        await both.until(lambda: both.seqs == [2, 3, 4])


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"filter": "statsu:1"}, "unknown field 'statsu'"),
        ({"filter": 7}, "filter is a text"),
        ({"filter": "a\ud800"}, "cannot be printed"),
        ({"kinds": ["request.ended"]}, "unknown kind of event 'request.ended'"),
        ({"kinds": "request.finished"}, "kinds is a list"),
        ({"after_seq": -1}, "after_seq is a number"),
        ({"after_seq": True}, "after_seq is a number"),
        ({"boot": 7}, "boot is the text"),
        ({"colour": "red"}, "subscribe has no field 'colour'"),
        ([1], "subscribe takes an object"),
    ],
)
async def test_a_wish_that_cannot_be_read_is_answered_with_a_sentence(
    wish: object, sentence: str
) -> None:
    async with serving(Bus("b1")) as at, listening(at) as listener:
        answer = await listener.client.call("subscribe", wish, namespace=NAMESPACE, timeout=5)
        assert sentence in answer["error"]["message"]
        await listener.until(lambda: bool(listener.contents("error")))
        assert listener.contents("error")[0] == answer["error"]
        assert await listener.subscribe() != answer


async def test_a_late_listener_gets_what_the_ring_holds_and_then_live_events_once_each() -> None:
    bus = Bus("b1")
    for _ in range(2_500):
        bus.publish(STARTED, {})
    async with serving(bus) as at, listening(at) as listener:
        answer = await listener.subscribe(after_seq=10, boot="b1")
        assert answer["recovered"] == 2_490
        for _ in range(50):
            at.bus.publish(STARTED, {})
            await asyncio.sleep(0)
        await listener.until(lambda: 2_550 in listener.seqs)
        assert listener.seqs == list(range(11, 2_551))
        assert not listener.contents("gap")


async def test_what_the_ring_has_lost_is_one_gap() -> None:
    bus = Bus("b1", ring_events=100)
    for _ in range(250):
        bus.publish(STARTED, {})
    async with serving(bus) as at, listening(at) as listener:
        answer = await listener.subscribe(after_seq=20, boot="b1")
        assert answer["gap"] == {"from": 21, "to": 150}
        await listener.until(lambda: 250 in listener.seqs)
        assert listener.contents("gap") == [{"from": 21, "to": 150}]
        assert listener.seqs == list(range(151, 251))


async def test_another_boot_is_a_gap_of_unknown_end_and_the_whole_ring() -> None:
    bus = Bus("b2")
    bus.publish(STARTED, {})
    async with serving(bus) as at, listening(at) as listener:
        await listener.subscribe(after_seq=120, boot="b1")
        await listener.until(lambda: listener.seqs == [1])
        assert listener.contents("gap") == [{"from": 121, "to": None}]


async def test_heartbeats_tell_the_boot_and_how_far_everything_was_sent() -> None:
    async with serving(Bus("b1")) as at, listening(at) as listener:
        await listener.subscribe()
        at.bus.publish(STARTED, {})
        await listener.until(
            lambda: any(beat["seq"] == 1 for beat in listener.contents("heartbeat"))
        )
        names = [name for name, _ in listener.heard]
        beats = [
            index
            for index, (name, content) in enumerate(listener.heard)
            if name == "heartbeat" and content["seq"] == 1
        ]
        assert names.index("events") < beats[0]
        assert listener.contents("heartbeat")[0]["boot"] == "b1"


@asynccontextmanager
async def _stalled(at: Serving) -> AsyncIterator[asyncio.StreamReader]:
    """A listener that subscribed over a raw websocket; it reads when it is read from."""
    reader, writer = await asyncio.open_connection("127.0.0.1", at.port, limit=1024)
    try:
        writer.write(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n"
            b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        for text in (f'40/admin,{{"token":"{TOKEN}"}}', '42/admin,["subscribe",{}]'):
            payload = text.encode()
            writer.write(bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0]) + payload)
        await writer.drain()
        yield reader
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # what it looks at is inside the server
            await asyncio.sleep(0.01)


async def test_a_slow_listener_gets_one_gap_and_holds_up_nobody() -> None:
    limits = with_fanout(batch_events=50, queue_events=200, waiting_packets=2)
    async with (
        serving(Bus("b1"), limits=limits) as at,
        listening(at) as quick,
        _stalled(at) as slow,
    ):
        await quick.subscribe()
        fanout = at.socket._fanout
        await _until(lambda: len(fanout) == 2 and not fanout.behind())
        # Until the buffers of both ends are full, and then more than its queue may hold.
        while not fanout.behind():
            _publish(at.bus, 40)
            await asyncio.sleep(0.01)
            assert at.bus.last_seq < 50_000
        _publish(at.bus, 1_000)
        published = at.bus.last_seq
        await quick.until(lambda: len(quick.seqs) == published)
        assert quick.seqs == list(range(1, published + 1))
        assert not quick.contents("gap")
        assert len(fanout.behind()) == 1
        assert max(each.queue.qsize() for each in at.socket._server.eio.sockets.values()) < 10
        heard = bytearray()
        async with asyncio.timeout(20):
            while f'"seq":{published},' not in heard[-100_000:].decode("ascii", "ignore"):
                heard += await slow.read(65_536)
        assert heard.count(b'42/admin,["gap",{"from":') == 1
        seqs = [int(each) for each in re.findall(rb'"seq":(\d+),"at_ms":\d+,"kind"', heard)]
        [(first, last)] = re.findall(rb'\["gap",\{"from":(\d+),"to":(\d+)\}\]', heard)
        assert sorted([*seqs, *range(int(first), int(last) + 1)]) == list(range(1, published + 1))
        assert published - int(last) == 200
        await _until(lambda: not fanout.behind())


def _publish(bus: Bus, count: int) -> None:
    for _ in range(count):
        bus.publish(STARTED, {"text": "x" * 2_000})


async def test_too_many_messages_end_the_connection() -> None:
    async with serving(Bus("b1")) as at, listening(at) as listener:
        for _ in range(30):
            await listener.client.emit("nonsense", {}, namespace=NAMESPACE)
        async with asyncio.timeout(10):
            await listener.ended.wait()
        assert listener.contents("error")[0]["code"] == "rate_limit_exceeded"


async def test_an_address_has_so_many_connections() -> None:
    limits = SocketLimits(batch_interval_s=0.05, connections_per_ip=3, close_s=0.5)
    async with (
        serving(Bus("b1"), limits=limits) as at,
        aiohttp.ClientSession() as session,
    ):
        url = f"{at.url}/socket.io/?EIO=4&transport=polling"
        statuses = []
        for _ in range(4):
            async with session.get(url) as response:
                statuses.append(response.status)
        assert statuses == [200, 200, 200, 429]


async def test_pages_of_the_web_may_not_listen() -> None:
    async with serving(Bus("b1")) as at, aiohttp.ClientSession() as session:
        url = f"{at.url}/socket.io/?EIO=4&transport=polling"
        async with session.get(url, headers={"Origin": at.url}) as response:
            assert response.status == 403
            assert not any(name.lower().startswith("access-control") for name in response.headers)
        async with session.get(f"{url}&j=1") as response:
            assert response.status == 400
        async with session.get(url) as response:
            assert response.status == 200
            assert not any(name.lower().startswith("access-control") for name in response.headers)


async def test_messages_over_the_limit_end_the_connection() -> None:
    async with serving(Bus("b1")) as at, listening(at) as listener:
        await listener.client.emit("subscribe", {"filter": "x" * 70_000}, namespace=NAMESPACE)
        async with asyncio.timeout(10):
            await listener.ended.wait()


async def test_data_that_json_cannot_say_is_sent_as_text() -> None:
    async with serving(Bus("b1")) as at, listening(at) as listener:
        await listener.subscribe()
        at.bus.publish(STARTED, {"agent": "a\udc80b"})
        at.bus.publish(STARTED, {"thing": object})
        at.bus.publish(STARTED, {"fine": 1})
        await listener.until(lambda: listener.seqs == [1, 2, 3])
        events = [event for batch in listener.contents("events") for event in batch]
        assert events[0]["data"] == {"agent": "a\udc80b"}
        assert events[1]["data"] == {"thing": "<class 'object'>"}


async def test_stopping_delivers_the_last_events_and_closes() -> None:
    bus = Bus("b1")
    listener = Listener()
    async with serving(bus, limits=QUICK) as at:
        await listener.client.connect(
            at.url, auth={"token": TOKEN}, namespaces=[NAMESPACE], wait_timeout=5
        )
        await listener.subscribe()
        bus.publish(EventKind.GATEWAY_STOPPING, {})
    await listener.until(lambda: listener.seqs == [1])
    async with asyncio.timeout(5):
        await listener.ended.wait()


async def test_a_subscription_replaces_the_one_before() -> None:
    async with serving(Bus("b1")) as at, listening(at) as listener:
        await listener.subscribe(kinds=["key.created"])
        await listener.subscribe(kinds=["key.deleted"])
        at.bus.publish(EventKind.KEY_CREATED, {})
        at.bus.publish(EventKind.KEY_DELETED, {})
        await listener.until(lambda: listener.seqs == [2])
        assert at.socket.listeners == 1
