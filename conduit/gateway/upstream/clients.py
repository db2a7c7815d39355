"""Which HTTP client calls the providers."""

import logging
from typing import Literal

from conduit.gateway.upstream import Upstreams
from conduit.gateway.upstream.aiohttp_client import AiohttpUpstreams
from conduit.gateway.upstream.options import ClientOptions

try:
    from conduit.gateway.upstream.http1 import Http1Upstreams
except ModuleNotFoundError as error:
    if error.name != "httptools":
        raise
    HAS_HTTP1 = False  # its parser is made for CPython alone
else:
    HAS_HTTP1 = True

logger = logging.getLogger(__name__)

ClientName = Literal["http1", "aiohttp"]


def open_client(name: ClientName, options: ClientOptions) -> Upstreams:
    """The client that was asked for, or aiohttp's where that one cannot be had."""
    if name == "http1":
        if HAS_HTTP1:
            return Http1Upstreams(options)
        logger.warning("httptools is not installed: providers are called through aiohttp's client")
    return AiohttpUpstreams(options)
