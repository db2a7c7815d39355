"""How the HTTP/1.1 client gets a connection: names, addresses, TLS, proxies, deadlines."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conduit.core.errors import InvalidRequestError
from conduit.gateway.upstream import Deadlines, TransportError, TransportFault
from conduit.gateway.upstream.http1 import Http1Upstreams
from conduit.gateway.upstream.options import ClientOptions
from tests.fakes.certificates import Authority
from tests.fakes.playing import PlayingServer, Scene, says, until
from tests.fakes.proxying import ProxyServer
from tests.fakes.scripted import End, ScriptedServer
from tests.gateway.upstream.conftest import OpenHttp1
from tests.gateway.upstream.http1_calls import (
    OK,
    QUICK,
    Names,
    endpoint_of,
    pool_of,
    send,
    whole,
)

HOST = "provider.example"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextmanager
def unanswered_port() -> Iterator[int]:
    """A port of 127.0.0.1 on which a connection is neither made nor refused."""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(server.getsockname())
        yield server.getsockname()[1]


async def failure(url: str, client: Http1Upstreams, deadlines: Deadlines = QUICK) -> TransportError:
    """The error of a call that nothing of was sent."""
    endpoint = endpoint_of(client, url)
    with pytest.raises(TransportError) as raised:
        await whole(endpoint, deadlines=deadlines)
    assert (raised.value.sent, raised.value.reused) == (False, False)
    await until(lambda: pool_of(endpoint).places == 0)
    return raised.value


@pytest.mark.skipif(not hasattr(socket, "SO_INCOMING_CPU"), reason="a full backlog is Linux's")
async def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    open_http1: OpenHttp1,
) -> None:
    with unanswered_port() as port:
        client = open_http1(ClientOptions(resolver=Names("127.0.0.1", "127.0.0.2")))
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        other = await loop.create_server(Speaking, "127.0.0.2", port)
        endpoint = endpoint_of(client, f"http://{HOST}:{port}/v1")
        assert await whole(endpoint, deadlines=Deadlines(connect_s=0.6)) == b"ok"
        other.close()
        error = await failure(f"http://127.0.0.1:{port}/v1", client)
        assert error.fault is TransportFault.CONNECT_TIMEOUT
        error = await failure(
            f"http://127.0.0.1:{port}/v1", client, Deadlines(connect_s=5, total_s=0.2)
        )
        assert error.fault is TransportFault.TOTAL_TIMEOUT
        pool_of(endpoint).close()


class Speaking(asyncio.Protocol):
    """Answers whatever it is sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(OK)  # type: ignore[attr-defined]


async def test_a_name_is_looked_up_once_for_all_who_wait(open_http1: OpenHttp1) -> None:
    async with PlayingServer(says(OK)) as server:
        names = Names("127.0.0.1")
        client = open_http1(ClientOptions(resolver=names))
        endpoint = endpoint_of(client, server.base_url(host=HOST))
        assert set(await asyncio.gather(*(whole(endpoint) for _ in range(20)))) == {b"ok"}
        assert names.asked == [HOST]
        names = Names(error=socket.gaierror(-2, "unknown"))
        client = open_http1(ClientOptions(resolver=names))
        endpoint = endpoint_of(client, server.base_url(host=HOST))
        ends = await asyncio.gather(*(whole(endpoint) for _ in range(20)), return_exceptions=True)
        assert {end.fault for end in ends if isinstance(end, TransportError)} == {
            TransportFault.NAME
        }
        assert names.asked == [HOST]
        await failure(server.base_url(host=HOST), client)
        assert names.asked == [HOST, HOST]


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "::ffff:10.0.0.1"])
async def test_one_address_that_is_not_public_refuses_the_name(
    open_http1: OpenHttp1, address: str
) -> None:
    client = open_http1(ClientOptions(resolver=Names("93.184.216.34", address)))
    endpoint = client.endpoint(f"https://{HOST}/v1", allow_private=False)
    with pytest.raises(TransportError) as raised:
        await whole(endpoint)
    assert raised.value.fault is TransportFault.REFUSED_ADDRESS
    assert not raised.value.sent


async def test_the_name_is_sent_and_verified_at_the_vetted_address(
    open_http1: OpenHttp1, authority: Authority
) -> None:
    asked: list[str | None] = []
    context = authority.server_context(HOST)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with PlayingServer(says(OK), tls=context) as server:
        options = ClientOptions(ssl_context=authority.client_context(), resolver=Names("127.0.0.1"))
        endpoint = endpoint_of(open_http1(options), server.base_url("https", HOST))
        for _ in range(2):
            assert await whole(endpoint) == b"ok"
        assert (asked, server.connections) == ([HOST], 1)
        (connection,) = pool_of(endpoint)._all
        assert connection._transport is not None
        session = connection._transport.get_extra_info("ssl_object")
        assert session.selected_alpn_protocol() == "http/1.1"


@pytest.mark.filterwarnings("ignore:.*TLSv1:DeprecationWarning")
@pytest.mark.parametrize("flaw", ["name", "authority", "old", "plain"])
async def test_what_is_wrong_with_tls_ends_the_call_before_it_is_sent(
    open_http1: OpenHttp1, authority: Authority, tmp_path: Path, flaw: str
) -> None:
    signer = Authority(tmp_path) if flaw == "authority" else authority
    context = signer.server_context("other.example" if flaw == "name" else HOST)
    if flaw == "old":
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    tls = None if flaw == "plain" else context
    async with ScriptedServer(b"SSH-2.0-OpenSSH_9\r\n", tls=tls) as server:
        options = ClientOptions(ssl_context=authority.client_context(), resolver=Names("127.0.0.1"))
        url = server.base_url("https", HOST)
        error = await failure(url, open_http1(options), Deadlines(connect_s=1))
        expected = {
            "plain": TransportFault.CONNECT_TIMEOUT,  # it waits for the end of a line
            "old": TransportFault.CONNECT,  # it hangs up without a word
        }
        assert error.fault is expected.get(flaw, TransportFault.TLS)
        assert server.heads == []


async def test_a_stalled_reader_over_tls_holds_little(
    open_http1: OpenHttp1, authority: Authority
) -> None:
    size = 20 << 20
    sent = 0

    async def part(scene: Scene) -> bool:
        nonlocal sent
        scene.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while sent < size:
            scene.writer.write(b"x" * (1 << 16))
            await scene.writer.drain()
            sent += 1 << 16
        return True

    async with PlayingServer(part, tls=authority.server_context(HOST)) as server:
        options = ClientOptions(ssl_context=authority.client_context(), resolver=Names("127.0.0.1"))
        endpoint = endpoint_of(open_http1(options), server.base_url("https", HOST))
        response = await send(endpoint)
        (connection,) = pool_of(endpoint)._all
        await until(lambda: connection._reading_paused)
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < size
        taken = len(await anext(aiter(response)))
        assert taken <= 1 << 19
        async for piece in response:
            taken += len(piece)
        assert taken == size


async def test_a_reset_and_a_cut_over_tls_are_told(
    open_http1: OpenHttp1, authority: Authority
) -> None:
    options = ClientOptions(ssl_context=authority.client_context(), resolver=Names("127.0.0.1"))
    half = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nhalf"
    for end in (End.FIN, End.RST):
        async with ScriptedServer(half, end, tls=authority.server_context(HOST)) as server:
            endpoint = endpoint_of(open_http1(options), server.base_url("https", HOST))
            with pytest.raises(TransportError) as raised:
                await whole(endpoint)
            assert raised.value.fault is TransportFault.CUT


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"HTTP/1.1 407 Login\r\ncontent-length: 0\r\n\r\n", TransportFault.CONNECT),
        (b"SSH-2.0-OpenSSH_9\r\n", TransportFault.CONNECT),
        (b"HTTP/1.1 200 " + b"x" * 40_000, TransportFault.CONNECT),
        (b"HTTP/1.1 200 OK\r\n\r\nnoise", TransportFault.CONNECT),
        (b"HTTP/1.1 200 OK\r\n\r\n", TransportFault.CONNECT),
        (b"HTTP/1.1 200 OK\r\nx", TransportFault.CONNECT),
        (b"", TransportFault.CONNECT_TIMEOUT),
    ],
)
async def test_a_proxy_that_does_not_let_through_is_told_without_its_login(
    open_http1: OpenHttp1, no_proxies: pytest.MonkeyPatch, answer: bytes, fault: TransportFault
) -> None:
    async with ProxyServer(0, answer=answer) as proxy:
        no_proxies.setenv("HTTPS_PROXY", f"http://user:passw@127.0.0.1:{proxy.port}")
        error = await failure(f"https://{HOST}/v1", open_http1(ClientOptions(trust_env=True)))
        assert error.fault in (fault, TransportFault.TLS)
        assert "passw" not in str(error)
        assert error.fault is fault or answer.endswith(b"OK\r\n\r\n")


async def test_only_the_named_proxies_may_stand_anywhere(
    open_http1: OpenHttp1, no_proxies: pytest.MonkeyPatch
) -> None:
    """NO_PROXY and ALL_PROXY stand beside the proxies, and were once taken for some."""
    no_proxies.setenv("HTTPS_PROXY", "http://proxy.internal:1")
    no_proxies.setenv("ALL_PROXY", "http://all.example:1")
    no_proxies.setenv("NO_PROXY", "direct.example,all.example")
    client = open_http1(ClientOptions(trust_env=True, resolver=Names("10.0.0.1")))
    for host in ("direct.example", "all.example"):
        endpoint = client.endpoint(f"https://{host}/v1", allow_private=False)
        with pytest.raises(TransportError) as raised:
            await whole(endpoint)
        assert raised.value.fault is TransportFault.REFUSED_ADDRESS


async def test_a_proxy_of_another_kind_makes_no_endpoint(
    open_http1: OpenHttp1, no_proxies: pytest.MonkeyPatch
) -> None:
    no_proxies.setenv("HTTPS_PROXY", "socks5://user:pass@proxy.internal:1080")
    client = open_http1(ClientOptions(trust_env=True))
    with pytest.raises(InvalidRequestError) as raised:
        client.endpoint(f"https://{HOST}/v1", allow_private=False)
    assert "pass" not in str(raised.value)
