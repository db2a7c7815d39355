"""TLS to a provider, and the way through a proxy."""

import asyncio
import hashlib
import random
import ssl
from pathlib import Path

import pytest

from conduit.gateway.upstream import Deadlines, TransportError, TransportFault, Upstreams
from conduit.gateway.upstream.options import ClientOptions
from tests.fakes.certificates import Authority
from tests.fakes.playing import PlayingServer, Scene, says
from tests.fakes.proxying import ProxyServer
from tests.fakes.scripted import End, ScriptedServer
from tests.gateway.upstream.conftest import OpenClient
from tests.gateway.upstream.http1_calls import OK, Names, endpoint_at, send, whole

HOST = "provider.example"


async def fetch(client: Upstreams, url: str, *, allow_private: bool = True) -> bytes:
    endpoint = client.endpoint(url, allow_private=allow_private)
    response = await endpoint.send("/chat/completions", b"{}", {}, Deadlines())
    return await response.read(100)


async def test_the_name_is_verified_while_the_connection_goes_to_the_vetted_address(
    open_client: OpenClient,
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    options = ClientOptions(ssl_context=authority.client_context(), resolver=Names("127.0.0.1"))
    client = open_client(options)
    asked: list[str | None] = []
    context = authority.server_context(HOST)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    async with ScriptedServer(OK, tls=context) as server:
        assert await fetch(client, server.base_url("https", HOST)) == b"ok"
        assert f"Host: {HOST}:{server.port}".encode() in server.heads[0]
    assert asked == [HOST]


@pytest.mark.parametrize("certificate", ["other.example", None])
async def test_a_wrong_certificate_is_a_tls_fault_and_nothing_was_sent(
    open_client: OpenClient, tmp_path: Path, certificate: str | None
) -> None:
    authority = Authority(tmp_path)
    signer = authority if certificate else Authority(tmp_path)
    options = ClientOptions(ssl_context=authority.client_context(), resolver=Names("127.0.0.1"))
    client = open_client(options)
    async with ScriptedServer(OK, tls=signer.server_context(certificate or HOST)) as server:
        with pytest.raises(TransportError) as raised:
            await fetch(client, server.base_url("https", HOST))
        assert raised.value.fault is TransportFault.TLS
        assert not raised.value.sent
        assert server.heads == []


async def test_a_name_with_one_private_address_is_never_connected_to(
    open_client: OpenClient,
) -> None:
    resolver = Names("93.184.216.34", "127.0.0.1")
    client = open_client(ClientOptions(resolver=resolver))
    async with ScriptedServer(OK) as server:
        with pytest.raises(TransportError) as raised:
            await fetch(client, server.base_url("https", HOST), allow_private=False)
        assert raised.value.fault is TransportFault.REFUSED_ADDRESS
        assert not raised.value.sent
        assert server.connections == 0
    assert resolver.asked == [HOST]


async def test_localhost_may_not_lead_elsewhere(
    open_client: OpenClient,
) -> None:
    client = open_client(ClientOptions(resolver=Names("10.0.0.1")))
    with pytest.raises(TransportError) as raised:
        await fetch(client, "http://localhost:9/v1", allow_private=False)
    assert raised.value.fault is TransportFault.REFUSED_ADDRESS


async def test_a_proxy_of_the_environment_is_used_and_may_stand_anywhere(
    open_client: OpenClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ScriptedServer(b"HTTP/1.1 407 Login\r\ncontent-length: 0\r\n\r\n") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:pass@proxy.internal:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "direct.example")
        resolver = Names("127.0.0.1")
        client = open_client(ClientOptions(trust_env=True, resolver=resolver))
        with pytest.raises(TransportError) as raised:
            await fetch(client, "https://provider.example/v1", allow_private=False)
        assert raised.value.fault is TransportFault.CONNECT
        assert not raised.value.sent
        assert proxy.heads[0].startswith(b"CONNECT provider.example:443 ")
        assert b"Proxy-Authorization: Basic dXNlcjpwYXNz" in proxy.heads[0]
        assert "pass" not in str(raised.value)
        assert resolver.asked == ["proxy.internal"]
        with pytest.raises(TransportError) as raised:
            await fetch(client, "https://direct.example/v1", allow_private=False)
        assert raised.value.fault is TransportFault.REFUSED_ADDRESS


async def test_closing_a_tls_stream_stops_the_provider(
    open_client: OpenClient, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    options = ClientOptions(ssl_context=authority.client_context(), resolver=Names("127.0.0.1"))
    client = open_client(options)
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n"
    async with ScriptedServer(head, End.HANG, tls=authority.server_context(HOST)) as server:
        endpoint = client.endpoint(server.base_url("https", HOST), allow_private=True)
        response = await endpoint.send("/chat/completions", b"{}", {}, Deadlines())
        assert await anext(aiter(response)) == b"ok"
        response.close()
        await asyncio.wait_for(server.left.wait(), 1)


@pytest.mark.filterwarnings("ignore:.*TLSv1:DeprecationWarning")
async def test_an_old_tls_is_not_spoken(open_client: OpenClient, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = authority.server_context(HOST)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    options = ClientOptions(ssl_context=authority.client_context(), resolver=Names("127.0.0.1"))
    client = open_client(options)
    async with ScriptedServer(OK, tls=context) as server:
        with pytest.raises(TransportError) as raised:
            await fetch(client, server.base_url("https", HOST))
        assert raised.value.fault in (TransportFault.TLS, TransportFault.CONNECT)
        assert not raised.value.sent
        assert server.heads == []


@pytest.mark.soak
async def test_bodies_that_come_at_once_over_tls_are_not_mixed_up(
    open_client: OpenClient, tmp_path: Path, soaking: bool
) -> None:
    """All connections of the HTTP/1.1 client read into one buffer."""
    authority = Authority(tmp_path)
    chance = random.Random(3)
    blobs = [chance.randbytes(3_000_000 if soaking else 400_000) for _ in range(20)]
    deadlines = Deadlines(connect_s=60)  # twenty handshakes at once, on any machine

    async def part(scene: Scene) -> bool:
        blob = blobs[int(scene.body)]
        scene.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(blob) + blob)
        return True

    async with PlayingServer(part, tls=authority.server_context(HOST)) as server:
        options = ClientOptions(ssl_context=authority.client_context(), resolver=Names("127.0.0.1"))
        endpoint = endpoint_at(open_client(options), server.base_url("https", HOST))
        bodies = await asyncio.gather(
            *(whole(endpoint, b"%d" % n, deadlines=deadlines) for n in range(len(blobs)))
        )
        assert [hashlib.sha256(each).digest() for each in bodies] == [
            hashlib.sha256(each).digest() for each in blobs
        ]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_provider_is_read_no_faster_than_its_answer_is_taken(
    open_client: OpenClient, tmp_path: Path, scheme: str
) -> None:
    authority = Authority(tmp_path)
    size = 50 << 20
    sent = 0

    async def part(scene: Scene) -> bool:
        nonlocal sent
        scene.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while sent < size:
            scene.writer.write(b"x" * (1 << 16))
            await scene.writer.drain()
            sent += 1 << 16
        return True

    tls = authority.server_context(HOST) if scheme == "https" else None
    async with PlayingServer(part, tls=tls) as server:
        options = ClientOptions(ssl_context=authority.client_context(), resolver=Names("127.0.0.1"))
        endpoint = endpoint_at(open_client(options), server.base_url(scheme, HOST))
        response = await send(endpoint, deadlines=Deadlines(gap_s=0.2))
        before = -1
        while sent != before:  # until the server is stopped by what lies between
            before = sent
            await asyncio.sleep(0.3)  # longer than a gap may be: the silence is our own
        assert sent < 12 << 20  # most of it in the buffers of the sockets
        pieces = aiter(response)
        taken = len(await anext(pieces))
        assert taken <= 1 << 19
        async for piece in pieces:
            taken += len(piece)
        assert taken == size


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


async def test_tls_goes_through_a_tunnel_of_the_proxy(
    open_client: OpenClient, tmp_path: Path, no_proxies: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    async with (
        PlayingServer(says(OK), tls=authority.server_context(HOST)) as server,
        ProxyServer(server.port) as proxy,
    ):
        no_proxies.setenv("HTTPS_PROXY", f"http://user:p%40ss@proxy.internal:{proxy.port}")
        names = Names("127.0.0.1")
        options = ClientOptions(
            ssl_context=authority.client_context(), resolver=names, trust_env=True
        )
        endpoint = open_client(options).endpoint(f"https://{HOST}/v1", allow_private=False)
        for _ in range(3):
            assert await whole(endpoint) == b"ok"
        assert names.asked == ["proxy.internal"]
        assert server.connections == len(proxy.heads) == 1
        head = proxy.heads[0].split(b"\r\n")
        assert head[0] == b"CONNECT provider.example:443 HTTP/1.1"
        assert b"Proxy-Authorization: Basic dXNlcjpwQHNz" in head
        assert b"Proxy-Authorization" not in server.heads[0]


async def test_plain_http_names_the_whole_url_to_the_proxy(
    open_client: OpenClient, no_proxies: pytest.MonkeyPatch
) -> None:
    async with PlayingServer(says(OK)) as proxy:
        no_proxies.setenv("HTTP_PROXY", f"http://user:pass@127.0.0.1:{proxy.port}")
        client = open_client(ClientOptions(trust_env=True))
        assert await whole(endpoint_at(client, f"http://{HOST}:8080/v1")) == b"ok"
        head = proxy.heads[0]
        assert head.startswith(b"POST http://provider.example:8080/v1/chat/completions HTTP/1.1")
        assert b"\r\nHost: provider.example:8080\r\n" in head
        assert b"\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n" in head
