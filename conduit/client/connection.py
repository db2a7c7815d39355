"""The admin API's transport on aiohttp, for the TUI and for tails."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from conduit.client.api import Record, Request, build_request, error_of
from conduit.client.contexts import USUAL_TLS, TlsFiles
from conduit.client.errors import Unreachable
from conduit.client.tls import context_of

DEFAULT_TIMEOUT_S = 15.0


class Connection:
    """A gateway's admin API. Open it with `async with`; it may carry many calls at once.

    The token goes to this URL only: redirects are not followed.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        tls: TlsFiles = USUAL_TLS,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._tls = tls
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"Connection({self.url!r})"

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("a connection is opened with `async with`")
        return self._session

    async def __aenter__(self) -> "Connection":
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=await trust(self._tls)),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            # A proxy of the environment is for the world outside, never for this machine.
            trust_env=urlsplit(self.url).hostname not in ("localhost", "127.0.0.1", "::1"),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.session.close()
        self._session = None

    async def call(
        self,
        name: str,
        *names: str,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Record:
        """Run an operation of `conduit.client.api`. Raises ApiError or Unreachable."""
        return await self.send(build_request(name, *names, query=query, body=body))

    async def send(self, request: Request) -> Record:
        """Send a built request; an answer without content is {}."""
        return await self.request(request.method, request.target, body=request.encoded_body())

    async def request(self, method: str, target: str, *, body: bytes | None = None) -> Record:
        """Send a call; `target` is an encoded path with its query."""
        headers = {"authorization": f"Bearer {self._token}", "accept": "application/json"}
        if body is not None:
            headers["content-type"] = "application/json"
        url = URL(self.url + target, encoded=True)
        try:
            async with self.session.request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as response:
                content = await response.read()
                status = response.status
                answered = {name.lower(): value for name, value in response.headers.items()}
        except TimeoutError as error:
            raise Unreachable(f"no answer within {self._timeout_s:g} s from {self.url}") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unreachable(f"no answer from the gateway at {self.url}: {error}") from error
        if status >= 300:
            raise error_of(status, answered, content)
        return _decoded(status, answered, content)


async def trust(files: TlsFiles) -> ssl.SSLContext | bool:
    """What to speak TLS with. Raises Unreachable for files that cannot be used."""
    if files == USUAL_TLS:
        return True
    try:
        # Reading the authorities takes tens of milliseconds: not in the loop's thread.
        return await asyncio.to_thread(context_of, files)
    except OSError as error:
        raise Unreachable(f"TLS cannot be spoken: {error.strerror}") from error


def _decoded(status: int, headers: Mapping[str, str], content: bytes) -> Record:
    if not content:
        return {}
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise error_of(status, headers, b"")
    return answer
