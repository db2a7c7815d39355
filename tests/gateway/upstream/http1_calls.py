"""What the tests of the clients share: calls, and a look into the pools of the HTTP/1.1 client."""

import asyncio
import socket
from collections.abc import Mapping

from aiohttp.abc import AbstractResolver, ResolveResult

from conduit.gateway.upstream import Deadlines, Endpoint, UpstreamResponse, Upstreams
from conduit.gateway.upstream.http1 import Http1Endpoint, Http1Upstreams
from conduit.gateway.upstream.http1_pool import Pool

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
LIMIT = 1 << 26
PATIENT = Deadlines()
QUICK = Deadlines(pool_s=0.3, connect_s=0.3, first_event_s=0.3, gap_s=0.3, total_s=None)


class Names(AbstractResolver):
    """Leads every name to the same addresses, or fails, or never answers."""

    def __init__(self, *addresses: str, error: OSError | None = None, hangs: bool = False) -> None:
        self.asked: list[str] = []
        self.hangs = hangs
        self.error = error
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append(host)
        await asyncio.sleep(0)
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self._addresses
        ]

    async def close(self) -> None:
        pass


def endpoint_at(upstreams: Upstreams, base_url: str) -> Endpoint:
    return upstreams.endpoint(base_url, allow_private=True)


def endpoint_of(upstreams: Http1Upstreams, base_url: str) -> Http1Endpoint:
    return upstreams.endpoint(base_url, allow_private=True)


def pool_of(endpoint: Http1Endpoint) -> Pool:
    return endpoint._pool


async def send(
    endpoint: Endpoint,
    body: bytes = b"{}",
    *,
    deadlines: Deadlines = PATIENT,
    headers: Mapping[str, str] | None = None,
) -> UpstreamResponse:
    return await endpoint.send("/chat/completions", body, headers or {}, deadlines)


async def whole(
    endpoint: Endpoint, body: bytes = b"{}", *, deadlines: Deadlines = PATIENT
) -> bytes:
    response = await send(endpoint, body, deadlines=deadlines)
    try:
        return await response.read(LIMIT)
    finally:
        response.close()


def is_at_rest(endpoint: Http1Endpoint) -> bool:
    """Whether every place of the pool belongs to an idle connection."""
    pool = pool_of(endpoint)
    return pool.places == pool.idle == len(pool._all) and not pool._waiting
