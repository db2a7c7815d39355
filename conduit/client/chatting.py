"""A chat over aiohttp, and a kept request again, for front-ends that go on drawing meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from conduit.client.chat import ChatRequest, Patience
from conduit.client.chat_answer import AnswerReader, chat_error
from conduit.client.connection import trust
from conduit.client.contexts import USUAL_TLS, TlsFiles
from conduit.client.errors import Unreachable
from conduit.client.replay import Replay, ReplayAnswer

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
    async with await _session(url, tls) as session:
        address = url.rstrip("/") + _PATH
        response = await _head(session, address, request.encoded(), headers, patience)
        try:
            yield StreamedAnswer(response, patience)
        finally:
            response.close()


async def asked_again(
    url: str, replay: Replay, key: str, *, patience: Patience, tls: TlsFiles = USUAL_TLS
) -> ReplayAnswer:
    """Send a kept request, and read the answer to its end; being cancelled hangs up.

    Raises ApiError or Unreachable.
    """
    headers = {
        **replay.headers,
        "cache-control": "no-store",  # what is asked for is another answer
        "content-type": "application/json",
        "authorization": f"Bearer {key}",
    }
    began = time.monotonic()
    async with await _session(url, tls) as session:
        address = url.rstrip("/") + replay.path
        response = await _head(session, address, replay.body, headers, patience)
        content = bytearray()
        try:
            while True:
                async with asyncio.timeout(patience.gap_s):
                    block = await response.content.read(_READ_BYTES)
                if not block:
                    break
                content += block
        except TimeoutError as error:
            raise Unreachable(f"the answer fell silent for {patience.gap_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"the answer broke off: {error}") from error
        finally:
            response.close()
    told = {name.lower(): text for name, text in response.headers.items()}
    duration_ms = round((time.monotonic() - began) * 1000)
    return ReplayAnswer(response.status, told, bytes(content), duration_ms)


async def _session(url: str, tls: TlsFiles) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=await trust(tls)),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
        # A proxy of the environment is for the world outside, never for this machine.
        trust_env=urlsplit(url).hostname not in ("localhost", "127.0.0.1", "::1"),
    )


async def _head(
    session: aiohttp.ClientSession,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    patience: Patience,
) -> aiohttp.ClientResponse:
    """The head of a good answer; the body of a bad one is its error."""
    try:
        async with asyncio.timeout(patience.first_s):
            response = await session.post(
                URL(url, encoded=True), data=body, headers=headers, allow_redirects=False
            )
            if response.status < 300:
                return response
            refusal = await response.read()
    except TimeoutError as error:
        raise Unreachable(f"no answer from the gateway at {url}: it took too long") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unreachable(f"no answer from the gateway at {url}: {error}") from error
    told = {name.lower(): text for name, text in response.headers.items()}
    raise chat_error(response.status, told, refusal)
