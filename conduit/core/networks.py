"""Networks that an address may come from."""

import ipaddress
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def normal_network(text: str) -> str:
    """A network or a single address in its usual form: `192.0.2.7` → `192.0.2.7/32`.

    Raises ValueError; host bits are refused, as they are most often a slip.
    """
    return str(ipaddress.ip_network(text.strip()))


def networks_of(text: str | None) -> tuple[Network, ...]:
    """The networks in a list like "10.0.0.0/8, 2001:db8::/32". Raises ValueError."""
    names = [name.strip() for name in (text or "").split(",")]
    return tuple(ipaddress.ip_network(name) for name in names if name)


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
