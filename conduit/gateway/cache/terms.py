"""How the answers of an alias are kept."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caching:
    """`alias` is the mapping's; `origin` stands for all of the configuration that counts."""

    alias: str
    ttl_s: int
    shared: bool
    origin: bytes
