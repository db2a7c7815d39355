"""Opening connections to one origin: look-up, vetted addresses in turn, proxy, TLS."""

import asyncio
import ipaddress
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, cast

from aiohttp.abc import AbstractResolver

from conduit.gateway.upstream import TransportError, TransportFault
from conduit.gateway.upstream.egress import BaseUrl, RefusedAddressError
from conduit.gateway.upstream.faults import transport_error
from conduit.gateway.upstream.http1_connection import Connection, Kind
from conduit.gateway.upstream.http1_pool import Pool
from conduit.gateway.upstream.http1_tunnel import Proxy, ProxyError, Tunnel

Fault = TransportFault

_ADDRESSES_KEPT_S: Final = 10.0
_MOST_ADDRESSES: Final = 8


@dataclass(frozen=True, slots=True)
class Tls:
    """What TLS needs for a host: its name is sent and verified, whatever the address."""

    context: ssl.SSLContext
    name: str


class Addresses:
    """The vetted addresses of one host, looked up once for all who wait and kept for a while."""

    def __init__(self, resolver: AbstractResolver, host: str, port: int) -> None:
        self._resolver = resolver
        self._host = host
        self._port = port
        self._known: Sequence[str] = ()
        self._known_until = 0.0
        self._failure: tuple[type[OSError], tuple[object, ...]] | None = None
        self._failures = 0
        self._turn = asyncio.Lock()
        if _is_address(host):  # it was vetted with the base URL, or is the operator's own proxy
            self._known, self._known_until = (host,), float("inf")

    async def known(self) -> Sequence[str]:
        """Raises OSError, of which RefusedAddressError is one."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._known_until:
            return self._known
        failures = self._failures
        async with self._turn:
            if loop.time() < self._known_until:
                return self._known
            if self._failure is not None and self._failures != failures:
                kind, arguments = self._failure  # of the look-up that was waited for
                raise kind(*arguments)
            await self._look_up(loop)
        return self._known

    async def _look_up(self, loop: asyncio.AbstractEventLoop) -> None:
        self._failure = None
        try:
            results = await self._resolver.resolve(self._host, self._port)
        except OSError as error:
            self._failure = (type(error), error.args)
            self._failures += 1
            raise
        self._known = list(dict.fromkeys(result["host"] for result in results))[:_MOST_ADDRESSES]
        self._known_until = loop.time() + _ADDRESSES_KEPT_S


class Dialer:
    """Makes connections to the host of a base URL, straight or through a proxy."""

    def __init__(
        self,
        base: BaseUrl,
        kind: Kind,
        addresses: Addresses,
        tls: Tls | None,
        proxy: "ProxyRoute | None" = None,
    ) -> None:
        self._base = base
        self._kind = kind
        self._addresses = addresses
        self._tls = tls
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()

    async def __call__(self, pool: Pool, until: float) -> Connection:
        """Raises TransportError; `until` is when each address has had its share of time."""
        try:
            addresses = await self._addresses.known()
        except RefusedAddressError as error:
            raise self._error(Fault.REFUSED_ADDRESS) from error
        except OSError as error:
            raise self._error(Fault.NAME) from error
        try:
            return await self._connect(pool, addresses, until)
        except ProxyError as error:
            raise self._error(Fault.CONNECT, str(error)) from error
        except (ssl.SSLError, ssl.CertificateError) as error:
            raise self._error(Fault.TLS) from error
        except OSError as error:
            raise self._error(Fault.CONNECT) from error

    async def _connect(self, pool: Pool, addresses: Sequence[str], until: float) -> Connection:
        """Try one address after the other; what is wrong with TLS is not tried elsewhere."""
        for left in range(len(addresses), 1, -1):
            now = self._loop.time()
            try:
                async with asyncio.timeout_at(now + (until - now) / left):
                    return await self._connect_to(pool, addresses[-left])
            except ssl.SSLError:
                raise
            except OSError:  # a timeout is one
                continue
        return await self._connect_to(pool, addresses[-1])

    async def _connect_to(self, pool: Pool, address: str) -> Connection:
        if self._proxy is not None and self._proxy.tunnels:
            return await self._connect_through(self._proxy, pool, address)
        tls = self._proxy.tls if self._proxy is not None else self._tls
        port = self._proxy.proxy.port if self._proxy is not None else self._base.port
        _, connection = await self._open(lambda: self._kind(self._loop, pool), address, port, tls)
        return cast(Connection, connection)

    async def _connect_through(self, route: "ProxyRoute", pool: Pool, address: str) -> Connection:
        transport, protocol = await self._open(
            lambda: Tunnel(self._base.host, self._base.port, route.proxy.login),
            address,
            route.proxy.port,
            route.tls,
        )
        try:
            await cast(Tunnel, protocol).opened()
            connection = self._kind(self._loop, pool)
            assert self._tls is not None
            secured = await self._loop.start_tls(
                transport,
                cast(asyncio.Protocol, connection),
                self._tls.context,
                server_hostname=self._tls.name,
            )
        except BaseException:
            transport.abort()
            raise
        if secured is None:
            raise ProxyError("the proxy closed the connection")
        connection.connection_made(secured)
        return connection

    async def _open(
        self,
        make: Callable[[], asyncio.BaseProtocol],
        address: str,
        port: int,
        tls: Tls | None,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        if tls is None:
            return await self._loop.create_connection(make, address, port)
        return await self._loop.create_connection(
            make, address, port, ssl=tls.context, server_hostname=tls.name
        )

    def _error(self, fault: TransportFault, detail: str | None = None) -> TransportError:
        where = f"{self._base.host}:{self._base.port}"
        return transport_error(where, fault, detail, sent=False, reused=False)


@dataclass(frozen=True, slots=True)
class ProxyRoute:
    """A proxy on the way to an origin: it is asked for a tunnel, or takes whole URLs."""

    proxy: Proxy
    tls: Tls | None
    tunnels: bool


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
