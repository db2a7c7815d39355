"""Every client against servers that behave, and that do not."""

import asyncio
import json
from collections.abc import Mapping

import pytest

from conduit import __version__
from conduit.core.errors import InvalidRequestError
from conduit.gateway.upstream import (
    Deadlines,
    TransportError,
    TransportFault,
    UpstreamResponse,
    Upstreams,
)
from conduit.gateway.upstream.options import ClientOptions
from tests.fakes.behaviour import Behaviour
from tests.fakes.scripted import End, ScriptedServer
from tests.fakes.upstream import FakeUpstream
from tests.gateway.upstream.conftest import OpenClient

QUICK = Deadlines(pool_s=0.3, connect_s=0.3, first_event_s=0.3, gap_s=0.3, total_s=None)
PATIENT = Deadlines()
# Short is only the deadline that is to be met: on a busy machine another one might be met first.
SHORT = {
    TransportFault.HEAD_TIMEOUT: Deadlines(first_event_s=0.3),
    TransportFault.GAP_TIMEOUT: Deadlines(gap_s=0.3),
}
LIMIT = 1 << 24
CHAT = "/chat/completions"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def request(model: str = "fake", **fields: object) -> bytes:
    messages = [{"role": "user", "content": "hello"}]
    return json.dumps({"model": model, "messages": messages, **fields}).encode()


async def send(
    upstreams: Upstreams,
    base_url: str,
    body: bytes = b"{}",
    *,
    deadlines: Deadlines = PATIENT,
    headers: Mapping[str, str] | None = None,
) -> UpstreamResponse:
    endpoint = upstreams.endpoint(base_url, allow_private=False)
    return await endpoint.send(CHAT, body, headers or {}, deadlines)


async def whole(
    upstreams: Upstreams,
    base_url: str,
    body: bytes = b"{}",
    deadlines: Deadlines = PATIENT,
) -> bytes:
    response = await send(upstreams, base_url, body, deadlines=deadlines)
    try:
        return await response.read(LIMIT)
    finally:
        response.close()


async def test_what_is_sent_is_what_was_given(upstreams: Upstreams, fake: FakeUpstream) -> None:
    body = request("fake")
    response = await send(
        upstreams, fake.base_url, body, headers={"authorization": "Bearer provider-secret"}
    )
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json"
    assert json.loads(await response.read(LIMIT))["usage"]["total_tokens"] == 46
    received = fake.requests[0]
    assert (received.method, received.path) == ("POST", "/v1/chat/completions")
    assert received.body == body
    assert dict(received.headers) == {
        "host": f"127.0.0.1:{fake.port}",
        "user-agent": f"conduit/{__version__}",
        "accept": "*/*",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "authorization": "Bearer provider-secret",
    }


async def test_models_are_asked_for_with_get(upstreams: Upstreams, fake: FakeUpstream) -> None:
    endpoint = upstreams.endpoint(fake.base_url, allow_private=False)
    response = await endpoint.get("/models", {}, PATIENT)
    assert [row["id"] for row in json.loads(await response.read(LIMIT))["data"]] == [*fake.models]
    assert fake.requests[0].method == "GET"


async def test_chunks_arrive_while_the_next_is_not_sent(
    upstreams: Upstreams, fake: FakeUpstream
) -> None:
    gate = asyncio.Event()
    fake.script(Behaviour(chunks=3, gate=gate))
    response = await send(upstreams, fake.base_url, request("any", stream=True))
    pieces = aiter(response)
    first = await anext(pieces)
    assert b"word0" in first
    assert b"word1" not in first
    gate.set()
    rest = b"".join([piece async for piece in pieces])
    assert rest.endswith(b"data: [DONE]\n\n")


async def test_a_connection_is_used_again_after_a_whole_body(
    upstreams: Upstreams, fake: FakeUpstream
) -> None:
    for _ in range(5):
        await whole(upstreams, fake.base_url, request())
        stream = await send(upstreams, fake.base_url, request(stream=True))
        assert [piece async for piece in stream]
        stream.close()
        stream.close()
    assert fake.connections == 1


async def test_closing_before_the_end_stops_the_provider(
    upstreams: Upstreams, fake: FakeUpstream
) -> None:
    response = await send(upstreams, fake.base_url, request("fake-n1000-gap20", stream=True))
    await anext(aiter(response))
    response.close()
    received = await fake.request(1)
    await asyncio.wait_for(received.aborted.wait(), 1)
    assert received.chunks_sent < 100


async def test_cancelling_before_the_head_stops_the_provider(
    upstreams: Upstreams, fake: FakeUpstream
) -> None:
    task = asyncio.create_task(send(upstreams, fake.base_url, request("fake-silent")))
    received = await fake.request(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(received.aborted.wait(), 1)


async def test_a_close_from_elsewhere_wakes_the_reader(
    upstreams: Upstreams, fake: FakeUpstream
) -> None:
    response = await send(upstreams, fake.base_url, request("fake-stall-at1", stream=True))
    pieces = aiter(response)
    await anext(pieces)
    reading = asyncio.ensure_future(anext(pieces))
    await asyncio.sleep(0)
    response.close()
    with pytest.raises(TransportError) as raised:
        await asyncio.wait_for(reading, 1)
    assert raised.value.fault is TransportFault.CUT


@pytest.mark.parametrize(
    ("model", "stream", "fault"),
    [
        ("fake-reset_before_head", False, TransportFault.RESET),
        ("fake-fin_before_head", False, TransportFault.RESET),
        ("fake-reset_after_head", True, TransportFault.CUT),
        ("fake-cut_fin", False, TransportFault.CUT),
        ("fake-cut_rst", False, TransportFault.CUT),
        ("fake-cut_fin", True, TransportFault.CUT),
        ("fake-cut_rst", True, TransportFault.CUT),
        ("fake-cut_in_event", True, TransportFault.CUT),
        ("fake-silent", True, TransportFault.HEAD_TIMEOUT),
        ("fake-delay2000", False, TransportFault.HEAD_TIMEOUT),
        ("fake-stall", False, TransportFault.GAP_TIMEOUT),
        ("fake-stall", True, TransportFault.GAP_TIMEOUT),
        ("fake-gap2000", True, TransportFault.GAP_TIMEOUT),
    ],
)
@pytest.mark.parametrize("reused", [False, True])
async def test_a_failed_call_says_what_failed(
    upstreams: Upstreams,
    fake: FakeUpstream,
    model: str,
    stream: bool,
    fault: TransportFault,
    reused: bool,
) -> None:
    if reused:
        await whole(upstreams, fake.base_url, request())
    body = request(model, stream=stream)
    with pytest.raises(TransportError) as raised:
        await whole(upstreams, fake.base_url, body, SHORT.get(fault, PATIENT))
    assert raised.value.fault is fault
    assert raised.value.sent
    assert raised.value.reused is reused
    await fake.until(lambda server: server.in_flight == 0, timeout_s=1)


async def test_a_stream_that_sends_its_head_early_may_think_as_long_as_one_that_does_not(
    upstreams: Upstreams,
) -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    deadlines = Deadlines(first_event_s=0.4, gap_s=0.05)
    async with ScriptedServer(head, End.HANG) as server:
        began = asyncio.get_running_loop().time()
        response = await send(upstreams, server.base_url(), deadlines=deadlines)
        with pytest.raises(TransportError) as raised:
            await response.read(LIMIT)
        assert raised.value.fault is TransportFault.HEAD_TIMEOUT
        assert asyncio.get_running_loop().time() - began >= 0.39


async def test_a_body_that_trickles_meets_the_deadline_of_the_whole(
    upstreams: Upstreams, fake: FakeUpstream
) -> None:
    deadlines = Deadlines(gap_s=0.3, total_s=0.4)
    body = request("fake-n200-gap20", stream=True)
    response = await send(upstreams, fake.base_url, body, deadlines=deadlines)
    with pytest.raises(TransportError) as raised:
        await response.read(LIMIT)
    assert raised.value.fault is TransportFault.TOTAL_TIMEOUT
    await fake.until(lambda server: server.in_flight == 0, timeout_s=1)


async def test_a_reader_that_takes_its_time_is_not_the_providers_silence(
    upstreams: Upstreams, fake: FakeUpstream
) -> None:
    deadlines = Deadlines(gap_s=0.05)
    response = await send(
        upstreams, fake.base_url, request("fake-n3", stream=True), deadlines=deadlines
    )
    pieces = []
    async for piece in response:
        pieces.append(piece)
        await asyncio.sleep(0.1)
    assert b"".join(pieces).endswith(b"[DONE]\n\n")


async def test_a_shorter_deadline_holds_on_a_connection_that_had_a_longer_one(
    upstreams: Upstreams, fake: FakeUpstream
) -> None:
    await whole(upstreams, fake.base_url, request())
    with pytest.raises(TransportError) as raised:
        await asyncio.wait_for(
            send(
                upstreams,
                fake.base_url,
                request("fake-silent"),
                deadlines=SHORT[TransportFault.HEAD_TIMEOUT],
            ),
            10,
        )
    assert raised.value.fault is TransportFault.HEAD_TIMEOUT
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_waiting_for_a_connection_has_a_deadline(
    open_client: OpenClient, fake: FakeUpstream
) -> None:
    upstreams = open_client(ClientOptions(connection_limit=1))
    held = await send(upstreams, fake.base_url, request("fake-stall-at1", stream=True))
    with pytest.raises(TransportError) as raised:
        await send(upstreams, fake.base_url, request(), deadlines=QUICK)
    assert raised.value.fault is TransportFault.POOL_TIMEOUT
    assert not raised.value.sent
    held.close()
    assert await whole(upstreams, fake.base_url, request())


async def test_a_refused_connection_was_not_sent(upstreams: Upstreams) -> None:
    async with ScriptedServer(OK) as server:
        base_url = server.base_url()
    with pytest.raises(TransportError) as raised:
        await send(upstreams, base_url)
    assert raised.value.fault is TransportFault.CONNECT
    assert (raised.value.sent, raised.value.reused) == (False, False)


async def test_an_unknown_name_was_not_sent(upstreams: Upstreams) -> None:
    with pytest.raises(TransportError) as raised:
        await send(upstreams, "https://no-such-host.invalid/v1")
    assert raised.value.fault is TransportFault.NAME
    assert not raised.value.sent


async def test_an_unanswered_handshake_meets_the_deadline_of_connecting(
    upstreams: Upstreams,
) -> None:
    async with ScriptedServer(b"", End.HANG) as server:
        with pytest.raises(TransportError) as raised:
            await send(upstreams, server.base_url("https"), deadlines=QUICK)
        assert raised.value.fault is TransportFault.CONNECT_TIMEOUT
        assert not raised.value.sent


@pytest.mark.parametrize("value", ["Bearer a\r\nx: y", "Bearer a\nx: y", "Bearer a\0"])
async def test_a_line_break_in_a_header_is_refused_before_anything_is_sent(
    upstreams: Upstreams, fake: FakeUpstream, value: str
) -> None:
    with pytest.raises(TransportError) as raised:
        await send(upstreams, fake.base_url, headers={"authorization": value})
    assert raised.value.fault is TransportFault.PROTOCOL
    assert not raised.value.sent
    assert "Bearer" not in str(raised.value)
    assert fake.requests == []


@pytest.mark.parametrize("piece", [0, 1, 3])
@pytest.mark.parametrize(
    ("answer", "body", "end"),
    [
        (OK, b"ok", End.KEEP),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"", End.KEEP),
        (b"HTTP/1.1 204 No\r\n\r\n", b"", End.KEEP),
        (b"HTTP/1.1 304 No\r\ncontent-length: 9\r\n\r\n", b"", End.KEEP),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
            b"5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nx-t: 1\r\n\r\n",
            b"hello world",
            End.KEEP,
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\n\r\n" + OK, b"ok", End.KEEP),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end", End.FIN),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end", End.FIN),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", b"ok", End.KEEP),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", b"ok", End.KEEP),
    ],
)
async def test_every_framing_gives_the_whole_body(
    upstreams: Upstreams, answer: bytes, body: bytes, end: End, piece: int
) -> None:
    async with ScriptedServer(answer, end, piece=piece) as server:
        for _ in range(2):
            assert await whole(upstreams, server.base_url()) == body
        ends = end is End.FIN or b"close" in answer or b"HTTP/1.0" in answer
        assert server.connections == (2 if ends else 1)


@pytest.mark.parametrize("end", [End.FIN, End.RST])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
    ],
)
async def test_a_cut_body_is_an_error_and_never_a_short_one(
    upstreams: Upstreams, answer: bytes, end: End
) -> None:
    async with ScriptedServer(answer, end) as server:
        with pytest.raises(TransportError) as raised:
            await whole(upstreams, server.base_url())
        assert raised.value.fault is TransportFault.CUT


async def test_a_reset_is_no_end_of_a_body_without_a_length(upstreams: Upstreams) -> None:
    async with ScriptedServer(b"HTTP/1.1 200 OK\r\n\r\nhalf", End.RST) as server:
        with pytest.raises(TransportError) as raised:
            await whole(upstreams, server.base_url())
        assert raised.value.fault is TransportFault.CUT


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200 OK\r\nbad header: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-encoding: br\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nok\r\n",
    ],
)
async def test_what_is_not_http_is_a_protocol_error(upstreams: Upstreams, answer: bytes) -> None:
    async with ScriptedServer(answer) as server:
        with pytest.raises(TransportError) as raised:
            await whole(upstreams, server.base_url())
        assert raised.value.fault is TransportFault.PROTOCOL
        assert raised.value.sent
        await asyncio.wait_for(server.left.wait(), 2)


async def test_bytes_after_an_answer_never_reach_the_next_request(
    upstreams: Upstreams,
) -> None:
    evil = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"
    async with ScriptedServer(OK + evil) as server:
        for _ in range(3):
            assert await whole(upstreams, server.base_url()) == b"ok"
        assert server.connections == 3


async def test_a_redirect_is_not_followed(upstreams: Upstreams, fake: FakeUpstream) -> None:
    fake.script(Behaviour(status=307, headers={"location": "http://169.254.169.254/latest"}))
    response = await send(upstreams, fake.base_url, request())
    assert response.status == 307
    response.close()


async def test_cookies_are_not_kept(upstreams: Upstreams, fake: FakeUpstream) -> None:
    fake.script(Behaviour(headers={"set-cookie": "session=1"}))
    for _ in range(2):
        await whole(upstreams, fake.base_url, request())
    assert "cookie" not in fake.requests[1].headers


async def test_a_body_larger_than_asked_for_is_refused(
    upstreams: Upstreams, fake: FakeUpstream
) -> None:
    for model, stream in (("fake-huge", False), ("fake-size300000", True), ("fake", False)):
        response = await send(upstreams, fake.base_url, request(model, stream=stream))
        with pytest.raises(TransportError) as raised:
            await response.read(20)
        assert raised.value.fault is TransportFault.TOO_LARGE
    await fake.until(lambda server: server.in_flight == 0, timeout_s=1)


async def test_a_large_upload_arrives_whole(upstreams: Upstreams, fake: FakeUpstream) -> None:
    body = request("fake", pad="x" * (5 << 20))
    assert await whole(upstreams, fake.base_url, body)
    assert fake.requests[0].body == body


async def test_an_answer_in_the_middle_of_an_upload_is_not_lost(
    upstreams: Upstreams,
) -> None:
    answer = b"HTTP/1.1 413 Large\r\ncontent-length: 2\r\n\r\nno"
    async with ScriptedServer(answer, End.HANG, reads_body=False) as server:
        response = await send(upstreams, server.base_url(), b"x" * (20 << 20))
        assert (response.status, await response.read(LIMIT)) == (413, b"no")
        response.close()


async def test_a_stalled_reader_stalls_the_provider(upstreams: Upstreams) -> None:
    size = 50 << 20
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n".encode()
    async with ScriptedServer(head + b"x" * size, End.KEEP, piece=1 << 20) as server:
        response = await send(upstreams, server.base_url())
        pieces = aiter(response)
        taken = len(await anext(pieces))
        await asyncio.sleep(0.3)
        buffered = len(await anext(pieces))
        assert buffered <= 1 << 19
        taken += buffered
        async for piece in pieces:
            taken += len(piece)
        assert taken == size


async def test_a_hundred_cancellations_leave_no_place_taken(
    open_client: OpenClient, fake: FakeUpstream
) -> None:
    upstreams = open_client(ClientOptions(connection_limit=4))

    async def one(index: int) -> None:
        try:
            async with asyncio.timeout(0.001 * (index % 17)):
                response = await send(upstreams, fake.base_url, request("fake-delay5"))
                response.close()
        except TimeoutError:
            pass

    await asyncio.gather(*(one(index) for index in range(100)))
    results = await asyncio.gather(*(whole(upstreams, fake.base_url, request()) for _ in range(8)))
    assert all(results)


async def test_a_base_url_that_may_not_be_called_makes_no_endpoint(
    upstreams: Upstreams,
) -> None:
    with pytest.raises(InvalidRequestError):
        upstreams.endpoint("http://10.0.0.1/v1", allow_private=False)
    for url in ("http://user:pass@a.example/v1", "http://a.example/v 1", "ftp://a.example/v1"):
        with pytest.raises(InvalidRequestError):
            upstreams.endpoint(url, allow_private=True)
    upstreams.endpoint("http://10.0.0.1/v1", allow_private=True)
