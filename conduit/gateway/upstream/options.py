"""How connections to providers are made and kept, whichever client makes them."""

import ssl
from dataclasses import dataclass

from aiohttp.abc import AbstractResolver


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Options of an HTTP client.

    `connection_limit` is of an origin; 0 means as many as the machine allows. `buffer_bytes` is
    what is read ahead of a slow reader, beside what one read brings. `trust_env` takes a proxy from
    HTTPS_PROXY, HTTP_PROXY and NO_PROXY.
    """

    connection_limit: int = 0
    keepalive_s: float = 60.0
    buffer_bytes: int = 64 * 1024
    trust_env: bool = False
    ssl_context: ssl.SSLContext | None = None
    resolver: AbstractResolver | None = None
