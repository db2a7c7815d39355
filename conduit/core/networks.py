"""Networks that an address may come from."""

import ipaddress
from functools import lru_cache

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def normal_network(text: str) -> str:
    """A network or a single address in its usual form: `192.0.2.7` → `192.0.2.7/32`.

    Raises ValueError; host bits are refused, as they are most often a slip.
    """
    return str(_network(text.strip()))


def networks_of(text: str | None) -> tuple[Network, ...]:
    """The networks in a list like "10.0.0.0/8, 2001:db8::/32". Raises ValueError."""
    names = [name.strip() for name in (text or "").split(",")]
    return tuple(_network(name) for name in names if name)


def _network(name: str) -> Network:
    """An IPv4 network where it is only mapped into IPv6, as a client's address would be.

    Raises ValueError.
    """
    network = ipaddress.ip_network(name)
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        inner = network.network_address.ipv4_mapped
        return ipaddress.ip_network((str(inner), network.prefixlen - _MAPPED.prefixlen))
    return network


def network_names(text: str | None) -> tuple[str, ...]:
    """The same in their usual form, as `is_within` takes them. Raises ValueError."""
    return tuple(str(network) for network in networks_of(text))


def is_within(address: str | None, networks: tuple[str, ...]) -> bool:
    """Whether an address lies in one of the networks; one that is not known lies in none."""
    return address is not None and _is_within(address, networks)


@lru_cache(maxsize=4096)
def _is_within(address: str, networks: tuple[str, ...]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in ipaddress.ip_network(network) for network in networks)
