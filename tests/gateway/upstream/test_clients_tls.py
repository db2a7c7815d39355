"""TLS to a provider, and the way through a proxy."""

import asyncio
import socket
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from conduit.gateway.upstream import Deadlines, TransportError, TransportFault, Upstreams
from conduit.gateway.upstream.options import ClientOptions
from tests.fakes.certificates import Authority
from tests.fakes.scripted import End, ScriptedServer
from tests.gateway.upstream.conftest import OpenClient

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
HOST = "provider.example"


class PointsAt(AbstractResolver):
    """Leads every name to one address."""

    def __init__(self, *addresses: str) -> None:
        self.asked: list[str] = []
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append(host)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self._addresses
        ]

    async def close(self) -> None:
        pass


async def fetch(client: Upstreams, url: str, *, allow_private: bool = True) -> bytes:
    endpoint = client.endpoint(url, allow_private=allow_private)
    response = await endpoint.send("/chat/completions", b"{}", {}, Deadlines())
    return await response.read(100)


async def test_the_name_is_verified_while_the_connection_goes_to_the_vetted_address(
    open_client: OpenClient,
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    options = ClientOptions(ssl_context=authority.client_context(), resolver=PointsAt("127.0.0.1"))
    client = open_client(options)
    async with ScriptedServer(OK, tls=authority.server_context(HOST)) as server:
        assert await fetch(client, server.base_url("https", HOST)) == b"ok"
        assert f"Host: {HOST}:{server.port}".encode() in server.heads[0]


@pytest.mark.parametrize("certificate", ["other.example", None])
async def test_a_wrong_certificate_is_a_tls_fault_and_nothing_was_sent(
    open_client: OpenClient, tmp_path: Path, certificate: str | None
) -> None:
    authority = Authority(tmp_path)
    signer = authority if certificate else Authority(tmp_path)
    options = ClientOptions(ssl_context=authority.client_context(), resolver=PointsAt("127.0.0.1"))
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
    resolver = PointsAt("93.184.216.34", "127.0.0.1")
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
    client = open_client(ClientOptions(resolver=PointsAt("10.0.0.1")))
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
        resolver = PointsAt("127.0.0.1")
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
    options = ClientOptions(ssl_context=authority.client_context(), resolver=PointsAt("127.0.0.1"))
    client = open_client(options)
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n"
    async with ScriptedServer(head, End.HANG, tls=authority.server_context(HOST)) as server:
        endpoint = client.endpoint(server.base_url("https", HOST), allow_private=True)
        response = await endpoint.send("/chat/completions", b"{}", {}, Deadlines())
        assert await anext(aiter(response)) == b"ok"
        response.close()
        await asyncio.wait_for(server.left.wait(), 1)
