"""Where the gateway may connect to: the one check of base URLs and of the addresses of names."""

import ipaddress
import re
import socket
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address as IPv4
from ipaddress import IPv6Address as IPv6
from typing import Final
from urllib.parse import SplitResult, urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from conduit.core.errors import InvalidRequestError

Address = IPv4 | IPv6

# Networks whose addresses carry an IPv4 address, and how far from the right it stands: a
# translator or a tunnel delivers to the address inside.
_CARRIERS: Final = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),  # mapped
    (ipaddress.IPv6Network("::ffff:0:0:0/96"), 0),  # translated, RFC 2765
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),  # NAT64, RFC 6052
    (ipaddress.IPv6Network("64:ff9b:1::/96"), 0),  # NAT64 for local use, RFC 8215
    (ipaddress.IPv6Network("::/96"), 0),  # compatible, deprecated
    (ipaddress.IPv6Network("2002::/16"), 80),  # 6to4
)
# All of IPv6 that is given to anybody; the rest is for special purposes, or for nobody yet.
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
# Special too, but global to older versions of Python: protocol assignments, documentation.
_SPECIAL: Final = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv6Network("3fff::/20"))
# Where clouds hand credentials to whoever asks from the machine, beside the link-local addresses
# (Azure, which has it in a public range; Alibaba; Oracle; AWS), and what is every machine's.
_NOT_A_PROVIDER: Final[frozenset[Address]] = frozenset(
    {
        IPv4("168.63.129.16"),
        IPv4("100.100.100.200"),
        IPv4("192.0.0.192"),
        IPv6("fd00:ec2::254"),
        IPv4("255.255.255.255"),
    }
)

_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"0x[0-9a-f]*|[0-9]+")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """A base URL that may be called, in the one form in which it is called.

    `url` has no trailing slash, its host in ASCII and its numbers canonical, so that what was
    checked is what is connected to.
    """

    url: str
    host: str
    port: int
    is_loopback: bool


class RefusedAddressError(OSError):
    """A name that leads to an address the gateway does not connect to."""


def check_base_url(url: str, *, allow_private: bool) -> BaseUrl:
    """Refuse what no provider may have as a base URL; raises InvalidRequestError.

    Plain http and private addresses need `allow_private`; loopback is taken as said. What no
    provider can be is refused in any case: see `may_be_private`.
    """
    parts = _split(url)
    host, address = _host(parts)
    if address is not None and allow_private and not may_be_private(address):
        raise _refused(f"{host} is an address that no provider has")
    loopback = address.is_loopback if address is not None else _is_localhost(host)
    if not (allow_private or loopback):
        if parts.scheme == "http":
            raise _refused(
                "plain http to a host that is not this machine is refused",
                "use https, or allow private addresses for this provider",
            )
        if address is not None and not is_public(address):
            raise _refused(
                f"{host} is not a public address",
                "allow private addresses for this provider if it stands in your own network",
            )
    port = _port(parts)
    shown = f"[{host}]" if isinstance(address, IPv6) else host
    suffix = "" if port == _DEFAULT_PORTS[parts.scheme] else f":{port}"
    path = parts.path.rstrip("/")
    return BaseUrl(f"{parts.scheme}://{shown}{suffix}{path}", host, port, loopback)


def is_public(address: Address) -> bool:
    """Whether an address, or the IPv4 address that it carries, is anybody's on the internet."""
    inner = judged(address)
    if not may_be_private(inner):
        return False
    if isinstance(inner, IPv6) and inner not in _GLOBAL_UNICAST:
        return False
    special = inner.is_reserved or any(inner in network for network in _SPECIAL)
    return inner.is_global and not special


def may_be_private(address: Address) -> bool:
    """Whether a provider can have the address at all, in a network of the operator's own.

    Link-local addresses are where clouds keep the credentials of their machines; the others are
    not one machine's.
    """
    inner = judged(address)
    return not (inner.is_link_local or inner.is_multicast or inner in _NOT_A_PROVIDER)


def judged(address: Address) -> Address:
    """The address that decides: the IPv4 address inside a mapped, translated or tunnelled one."""
    if isinstance(address, IPv6):
        for network, shift in _CARRIERS:
            if address in network and int(address) > 1:  # :: and ::1 are themselves
                return IPv4((int(address) >> shift) & 0xFFFFFFFF)
    return address


class VettedResolver(AbstractResolver):
    """Looks names up and refuses one if any of its addresses is not public.

    The connection goes to the addresses given here, so that a name cannot change its mind between
    check and use. Names of this machine must lead to this machine. `exempt` are hosts that the
    operator configured himself: the egress proxies.
    """

    def __init__(
        self,
        *,
        allow_private: bool,
        resolver: AbstractResolver | None = None,
        exempt: Collection[str] = (),
    ) -> None:
        self._allow_private = allow_private
        self._resolver = resolver or ThreadedResolver()
        self._exempt = frozenset(exempt)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        results = await self._resolver.resolve(host, port, family)
        if not results:
            raise OSError(None, f"{host} has no address")
        if host not in self._exempt:
            for result in results:
                # A zone index ("%eth0") says by which interface, not to which address.
                address = ipaddress.ip_address(result["host"].partition("%")[0])
                if not self._accepts(host, address):
                    raise RefusedAddressError(
                        None, f"{host} leads to an address that is not public"
                    )
        return results

    def _accepts(self, host: str, address: Address) -> bool:
        if self._allow_private:
            return may_be_private(address)
        if _is_localhost(host.rstrip(".")):
            return judged(address).is_loopback
        return is_public(address)

    async def close(self) -> None:
        await self._resolver.close()


def _refused(message: str, hint: str | None = None) -> InvalidRequestError:
    return InvalidRequestError(f"base_url: {message}", param="base_url", hint=hint)


def _split(url: str) -> SplitResult:
    if not url or any(ord(c) <= 0x20 or ord(c) == 0x7F or c == "\\" for c in url):
        raise _refused("spaces, control characters and backslashes are not allowed")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _refused("it is not a URL") from error
    if parts.scheme not in _DEFAULT_PORTS:
        raise _refused("it must begin with https:// (or http:// for this machine)")
    if "@" in parts.netloc:
        raise _refused("user and password are not allowed", "store the secret as a credential")
    if "?" in url or "#" in url:
        raise _refused("a query or a fragment is not allowed")
    if any(segment in (".", "..") for segment in parts.path.split("/")):
        raise _refused("the path may not hold . or ..")
    return parts


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError as error:
        raise _refused("the port is not a number up to 65535") from error
    if port == 0:
        raise _refused("port 0 cannot be connected to")
    return port or _DEFAULT_PORTS[parts.scheme]


def _host(parts: SplitResult) -> tuple[str, Address | None]:
    """The host in ASCII as it will be connected to, and its address if it is one."""
    text = parts.hostname or ""
    if parts.netloc.startswith("["):
        try:
            address: Address = IPv6(text)
        except ValueError as error:
            raise _refused("the IPv6 address is not valid") from error
        if "%" in text:
            raise _refused("an address with a zone is not allowed")
        return _canonical(address)
    host = _ascii(text).rstrip(".")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        return _canonical(_odd_ipv4(host))
    if not host or len(host) > 253 or not all(_LABEL.fullmatch(x) for x in host.split(".")):
        raise _refused("the host name is not valid")
    return host, None


def _canonical(address: Address) -> tuple[str, Address]:
    inner = judged(address)
    # A mapped address is written as the IPv4 address it is; NAT64 and 6to4 keep their own way.
    if isinstance(address, IPv6) and address.ipv4_mapped is not None:
        return str(inner), inner
    return str(address), address


def _ascii(host: str) -> str:
    """The name in lower-case ASCII: full-width digits and dots become what they stand for."""
    if "%" in host or not host:
        raise _refused("the host name is not valid")
    try:
        return (URL.build(scheme="https", host=host).raw_host or "").lower()
    except ValueError as error:
        raise _refused("the host name is not valid") from error


def _odd_ipv4(host: str) -> IPv4:
    """The IPv4 address that C libraries read: 1 to 4 numbers, decimal, octal or hexadecimal."""
    parts = host.split(".")
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        raise _refused("the host looks like an address and is none")
    try:
        numbers = [_number(part) for part in parts]
    except ValueError as error:
        raise _refused("the host looks like an address and is none") from error
    *front, last = numbers
    if any(n > 255 for n in front) or last >= 256 ** (5 - len(parts)):
        raise _refused("the host looks like an address and is none")
    value = last
    for index, number in enumerate(front):
        value += number << (24 - 8 * index)
    return IPv4(value)


def _number(text: str) -> int:
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    return int(text, 8) if len(text) > 1 and text.startswith("0") else int(text)


def _is_localhost(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")
