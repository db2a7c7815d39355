"""Providers' servers over HTTP/1.1, by a client of our own that knows what became of each call."""

import asyncio
import math
import ssl
from collections.abc import Coroutine, Mapping
from typing import Any
from urllib.request import getproxies, proxy_bypass
from weakref import WeakValueDictionary

from conduit.core.errors import InvalidRequestError
from conduit.gateway.upstream import (
    Deadlines,
    Departure,
    TransportError,
    TransportFault,
    UpstreamResponse,
)
from conduit.gateway.upstream.egress import BaseUrl, VettedResolver, check_base_url
from conduit.gateway.upstream.faults import transport_error
from conduit.gateway.upstream.http1_connection import (
    BufferedConnection,
    Kind,
    PlainConnection,
)
from conduit.gateway.upstream.http1_decoding import readable
from conduit.gateway.upstream.http1_dial import Addresses, Dialer, ProxyRoute, Tls
from conduit.gateway.upstream.http1_pool import Pool
from conduit.gateway.upstream.http1_request import RequestHeads, UnsendableError
from conduit.gateway.upstream.http1_tunnel import Proxy, proxy_hosts, proxy_of
from conduit.gateway.upstream.options import ClientOptions

Fault = TransportFault

_BUFFER_BYTES = 1 << 16


class Http1Upstreams:
    """Endpoints of one origin share a pool, one for public addresses and one for private ones."""

    def __init__(self, options: ClientOptions | None = None) -> None:
        self._options = options or ClientOptions()
        self._proxies = _proxies() if self._options.trust_env else {}
        self._proxy_hosts = proxy_hosts(self._proxies.values())
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._context = self._options.ssl_context
        # A pool lives as long as an endpoint, a connection or a call of it.
        self._pools: WeakValueDictionary[tuple[str, str, int, bool], Pool] = WeakValueDictionary()

    def endpoint(self, base_url: str, *, allow_private: bool) -> "Http1Endpoint":
        """Raises InvalidRequestError for a base URL that may not be called."""
        base = check_base_url(base_url, allow_private=allow_private)
        secure = base.url.startswith("https:")
        proxy = self._proxy(base, secure=secure)
        key = (base.url.partition(":")[0], base.host, base.port, allow_private)
        pool = self._pools.get(key)
        if pool is None:
            dialer = self._dialer(base, proxy, secure=secure, allow_private=allow_private)
            where = f"{base.host}:{base.port}"
            pool = self._pools[key] = Pool(where, dialer, self._options, self._buffer)
        through = None
        if proxy is not None and not secure:
            through = {"Proxy-Authorization": proxy.login} if proxy.login else {}
        return Http1Endpoint(pool, RequestHeads(base, through))

    async def close(self) -> None:
        for pool in list(self._pools.values()):
            pool.close()
        await asyncio.sleep(0)  # in which the transports let go of their sockets

    def _dialer(
        self, base: BaseUrl, proxy: Proxy | None, *, secure: bool, allow_private: bool
    ) -> Dialer:
        resolver = VettedResolver(
            allow_private=allow_private, resolver=self._options.resolver, exempt=self._proxy_hosts
        )
        tls = self._tls(base.host) if secure else None
        if proxy is None:
            addresses = Addresses(resolver, base.host, base.port)
            return Dialer(base, _kind(), addresses, tls)
        addresses = Addresses(resolver, proxy.host, proxy.port)
        proxy_tls = self._tls(proxy.host) if proxy.secure else None
        route = ProxyRoute(proxy, proxy_tls, tunnels=secure)
        return Dialer(base, _kind(), addresses, tls, route)

    def _tls(self, host: str) -> Tls:
        if self._context is None:
            self._context = ssl.create_default_context()
        self._context.set_alpn_protocols(["http/1.1"])
        return Tls(self._context, host)

    def _proxy(self, base: BaseUrl, *, secure: bool) -> Proxy | None:
        url = self._proxies.get("https" if secure else "http")
        if url is None or proxy_bypass(base.host):
            return None
        try:
            return proxy_of(url)
        except ValueError as error:
            raise InvalidRequestError("the environment names a proxy of another kind") from error


class Http1Endpoint:
    """One provider's base URL on the pool of its origin."""

    __slots__ = ("_heads", "_loop", "_pool")

    def __init__(self, pool: Pool, heads: RequestHeads) -> None:
        self._pool = pool
        self._heads = heads
        self._loop = asyncio.get_running_loop()

    def send(
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        deadlines: Deadlines,
        departure: Departure | None = None,
    ) -> Coroutine[Any, Any, UpstreamResponse]:
        """POST `body`, once: a connection that ends before the answer is an error."""
        return self._call(path, body, headers, deadlines, departure=departure)

    async def get(
        self, path: str, headers: Mapping[str, str], deadlines: Deadlines
    ) -> UpstreamResponse:
        """GET; once more on a new connection where one that had been idle turns out to be lost."""
        began = self._loop.time()
        try:
            return await self._call(path, None, headers, deadlines)
        except TransportError as error:
            if error.fault is not Fault.RESET or not error.reused:
                raise
        return await self._call(path, None, headers, deadlines, again_since=began)

    async def _call(
        self,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        deadlines: Deadlines,
        *,
        again_since: float | None = None,
        departure: Departure | None = None,
    ) -> UpstreamResponse:
        """A GET where there is no body; one that is made again has the time of the first."""
        heads, pool = self._heads, self._pool
        try:
            if body is None:
                head, body = heads.get(path, headers), b""
            else:
                head = heads.post(path, headers, len(body))
        except ValueError as error:
            raise self._unsendable(error) from error
        now, total_s = self._loop.time(), deadlines.total_s
        if again_since is None:
            total_at = math.inf if total_s is None else now + total_s
            connection = pool.take(now) or await pool.acquire(deadlines, total_at)
        else:
            total_at = math.inf if total_s is None else again_since + total_s
            connection = await pool.acquire(deadlines, total_at, fresh=True)
        if departure is not None:
            departure.sent = True
        response = connection.ask(deadlines, total_at)
        try:
            if not connection.write(head, body):
                await connection.upload(response, body, deadlines.first_event_s)
            while not response.status:
                await response.change()
        except BaseException:
            response.close()
            raise
        return response if response.encoding is None else readable(response, response.encoding)

    def _unsendable(self, error: ValueError) -> TransportError:
        return transport_error(
            self._pool.where, Fault.PROTOCOL, _said(error), sent=False, reused=False
        )


def _proxies() -> dict[str, str]:
    """The environment's proxies by scheme; what else is told there names no proxy of ours."""
    return {scheme: url for scheme, url in getproxies().items() if scheme in ("http", "https")}


def _said(error: ValueError) -> str:
    """Our own sentence; that of a library may quote what must not be told."""
    return str(error) if type(error) is UnsendableError else "the request cannot be sent"


def _kind() -> Kind:
    proactor = "Proactor" in type(asyncio.get_running_loop()).__name__
    return PlainConnection if proactor else BufferedConnection
