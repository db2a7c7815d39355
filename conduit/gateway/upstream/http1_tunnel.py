"""The way through a proxy: which one the environment names, and how it is asked."""

import asyncio
import base64
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import unquote, urlsplit

import httptools

_MOST_HEAD_BYTES: Final = 16_384
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class ProxyError(OSError):
    """A proxy that does not let a call through. The message never holds its login."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """An egress proxy; `login` is what stands in Proxy-Authorization."""

    host: str
    port: int
    secure: bool
    login: str | None


def proxy_of(url: str) -> Proxy:
    """The proxy that a variable of the environment names. Raises ValueError."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("not the URL of an HTTP proxy")
    login = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        login = "Basic " + base64.b64encode(pair.encode()).decode("ascii")
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    return Proxy(parts.hostname, port, parts.scheme == "https", login)


def proxy_hosts(urls: Iterable[str]) -> frozenset[str]:
    """The hosts of those that are proxies at all."""
    hosts = set()
    for url in urls:
        with suppress(ValueError):
            hosts.add(proxy_of(url).host)
    return frozenset(hosts)


class Tunnel(asyncio.Protocol):
    """Asks a proxy to connect to a host, and waits for its answer."""

    def __init__(self, host: str, port: int, login: str | None) -> None:
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        if login is not None:
            lines.append(f"Proxy-Authorization: {login}")
        self._request = "\r\n".join([*lines, "", ""]).encode("ascii")
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._size = 0
        self._status = 0
        self._surplus = False

    async def opened(self) -> None:
        """Raises ProxyError where the proxy refuses."""
        await self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse("the proxy's answer is not valid HTTP")
            return
        if self._status // 100 == 2 and not self._surplus:
            if not self._answer.done():
                self._answer.set_result(None)
        elif self._status:
            self._refuse(f"the proxy answered {self._status}")
        elif self._size > _MOST_HEAD_BYTES:
            self._refuse("the head of the proxy's answer is too large")

    def connection_lost(self, error: Exception | None) -> None:
        self._refuse("the proxy closed the connection")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self._status = status

    def on_body(self, data: bytes) -> None:
        # Nothing comes from the server's side before we have spoken.
        self._surplus = True

    def _refuse(self, text: str) -> None:
        if not self._answer.done():
            self._answer.set_exception(ProxyError(text))
