"""A chat over aiohttp, for front-ends that go on drawing while the answer comes."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp

from conduit.client.chat import ChatRequest, Patience
from conduit.client.chat_answer import AnswerReader, chat_error
from conduit.client.connection import trust
from conduit.client.contexts import USUAL_TLS, TlsFiles
from conduit.client.errors import Unreachable

_PATH = "/v1/chat/completions"
_CONNECT_S = 3.0
_READ_BYTES = 65_536


class StreamedAnswer:
    """A streamed answer that is on its way; `reader` knows usage and finish reason at its end."""

    def __init__(self, response: aiohttp.ClientResponse, patience: Patience) -> None:
        self.headers: Mapping[str, str] = {
            name.lower(): text for name, text in response.headers.items()
        }
        self.reader = AnswerReader(self.headers)
        self._content = response.content
        self._patience = patience

    @property
    def request_id(self) -> str | None:
        return self.headers.get("x-request-id")

    async def text(self) -> AsyncIterator[str]:
        """The text as it arrives. Raises ProviderFailed when it breaks off."""
        while not self.reader.ended:
            block = await self._read()
            if not block:
                raise self.reader.broken("the answer broke off before its end")
            for piece in self.reader.feed(block):
                yield piece

    async def _read(self) -> bytes:
        try:
            async with asyncio.timeout(self._patience.gap_s):
                return await self._content.read(_READ_BYTES)
        except TimeoutError as error:
            silence = f"the answer fell silent for {self._patience.gap_s:g} s"
            raise self.reader.broken(silence) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self.reader.broken(f"the answer broke off: {error}") from error


@asynccontextmanager
async def asked(
    url: str, request: ChatRequest, *, patience: Patience, tls: TlsFiles = USUAL_TLS
) -> AsyncIterator[StreamedAnswer]:
    """Ask for a streamed answer; leaving the block hangs up, and the gateway stops the provider.

    Raises ApiError (ProviderFailed among them) or Unreachable.
    """
    headers = {"accept": "text/event-stream", "content-type": "application/json"}
    if request.key is not None:
        headers["authorization"] = f"Bearer {request.key}"
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=await trust(tls)),
        timeout=timeout,
        # A proxy of the environment is for the world outside, never for this machine.
        trust_env=urlsplit(url).hostname not in ("localhost", "127.0.0.1", "::1"),
    ) as session:
        response = await _head(session, url.rstrip("/") + _PATH, request, headers, patience)
        try:
            yield StreamedAnswer(response, patience)
        finally:
            response.close()


async def _head(
    session: aiohttp.ClientSession,
    url: str,
    request: ChatRequest,
    headers: Mapping[str, str],
    patience: Patience,
) -> aiohttp.ClientResponse:
    """The head of a good answer; the body of a bad one is its error."""
    try:
        async with asyncio.timeout(patience.first_s):
            response = await session.post(
                url, data=request.encoded(), headers=headers, allow_redirects=False
            )
            if response.status < 300:
                return response
            body = await response.read()
    except TimeoutError as error:
        raise Unreachable(f"no answer from the gateway at {url}: it took too long") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unreachable(f"no answer from the gateway at {url}: {error}") from error
    told = {name.lower(): text for name, text in response.headers.items()}
    raise chat_error(response.status, told, body)
