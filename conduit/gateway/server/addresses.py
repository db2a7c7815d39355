"""The address of a client: the one place that decides whose it is."""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from aiohttp import web

from conduit.core.networks import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_FORWARDED_FOR: Final = "X-Forwarded-For"
_MOST_HOPS: Final = 32
_LONGEST_HOP: Final = 64
_READ_ADDRESSES: Final = 4096


class ClientAddresses:
    """Tells the address of a request's client, by the reverse proxies that are trusted now.

    A proxy appends the address that it saw, so what it says stands on the right: the first hop
    from there that is no trusted proxy is the client. What others write is not looked at.
    """

    def __init__(self, trusted: Iterable[Network] = ()) -> None:
        self._trusted = tuple(trusted)

    def trust(self, networks: Iterable[Network]) -> None:
        """Trust these networks from now on, and no others."""
        self._trusted = tuple(networks)

    def of(self, request: web.BaseRequest) -> str:
        """The client's address in its plain form; empty where the connection has none."""
        peer = request.remote or ""
        if ":" in peer:
            peer = _plain(peer)
        if not self._trusted:
            return peer
        return self.behind(peer, request.headers.getall(_FORWARDED_FOR, ()))

    def behind(self, peer: str, forwarded: Sequence[str]) -> str:
        """The client's address where `peer` sent these X-Forwarded-For lines."""
        if not forwarded or not self._trusts(_address(peer)):
            return peer
        client = peer
        for hop in ",".join(forwarded).rsplit(",", _MOST_HOPS)[: -_MOST_HOPS - 1 : -1]:
            address = _address(_without_port(hop.strip()))
            if address is None:
                return peer
            client = str(address)
            if not self._trusts(address):
                break
        return client

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)


def network_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 that an IPv6 customer gets."""
    if ":" not in address:
        return address
    read = _address(address)
    if not isinstance(read, ipaddress.IPv6Address):
        return address
    return str(ipaddress.IPv6Address(int(read) >> 64 << 64))


def _plain(peer: str) -> str:
    read = _address(peer.partition("%")[0])
    return peer if read is None else str(read)


def _without_port(hop: str) -> str:
    """Some proxies append the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    host, colon, port = hop.partition(":")
    return host if colon and port.isdecimal() else hop


@lru_cache(maxsize=_READ_ADDRESSES)
def _address(text: str) -> Address | None:
    """The address, an IPv4 one where it is only mapped into IPv6; None for anything else."""
    # A zone ("%eth0") means something on one machine only, and may be any text.
    if not 0 < len(text) <= _LONGEST_HOP or "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
