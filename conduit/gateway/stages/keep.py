"""Keeping the bodies of a request where the operator wants them: gathered on the way, not delayed.

All but the look at the key runs only for a request whose bodies are kept.
"""

from collections.abc import AsyncIterator, Callable, Mapping

from conduit.gateway.bodies.gathering import Gathered, GatheredAttempt, GatheredCall, message_of
from conduit.gateway.dialects.client_errors import encode_error
from conduit.gateway.exchange import Attempt, Exchange, Relay
from conduit.gateway.provider import OutgoingRequest
from conduit.gateway.stages.decode import decode
from conduit.gateway.upstream import Take, UpstreamResponse

_JSON = {"content-type": "application/json"}
_CLIENT_GONE = "client_gone"

Offer = Callable[[GatheredCall], None]
"""Takes what was gathered and writes it in its own time; never waits, never raises."""


class DecodeAndKeep:
    """Decodes a call; begins to gather its bodies where its key, or else the gateway, says so."""

    def __init__(self, *, by_default: bool, limit_bytes: int) -> None:
        self._by_default = by_default
        self._limit_bytes = limit_bytes

    def __call__(self, exchange: Exchange, body: bytes) -> None:
        wanted = exchange.granted_key.log_bodies
        if wanted or (wanted is None and self._by_default):
            _begin(exchange, body, self._limit_bytes)
        decode(exchange, body)


def _begin(exchange: Exchange, body: bytes, limit_bytes: int) -> None:
    incoming = exchange.incoming
    path, headers = ("", {}) if incoming is None else (incoming.path, incoming.headers)
    request = message_of(headers, body, limit_bytes)
    key = exchange.granted_key
    exchange.kept = GatheredCall(exchange.id, key.id, path, limit_bytes, request)


def end(exchange: Exchange, kept: GatheredCall) -> None:
    """The exchange is over: its client has the answer, or is told of the error next."""
    error = exchange.error
    if kept.response is None and error is not None and exchange.outcome != _CLIENT_GONE:
        kept.response = kept.message(_JSON, encode_error(error, kept.path, exchange.id))
    kept.status = exchange.status


def note_sent(
    kept: GatheredCall, attempt: Attempt, request: OutgoingRequest, headers: Mapping[str, str]
) -> None:
    """What an attempt sends to its provider."""
    candidate = attempt.candidate
    sent = kept.message(headers, request.body)
    kept.attempts.append(
        GatheredAttempt(attempt.id, candidate.upstream.name, candidate.model, request.url, sent)
    )


class KeptResponse:
    """A provider's answer, gathered as it is read."""

    def __init__(self, kept: GatheredCall, response: UpstreamResponse) -> None:
        message = kept.message(response.headers)
        attempt = kept.attempts[-1]
        attempt.status = response.status
        attempt.response = message
        self._gathered: Gathered = message.body
        self._response = response
        self._pieces = aiter(response)

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    @property
    def at_end(self) -> bool:
        return self._response.at_end

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = await anext(self._pieces)
        self._gathered.add(piece)
        return piece

    def pipe(self, take: Take) -> None:
        """All pieces are given by iterating."""

    async def read(self, limit: int) -> bytes:
        body = await self._response.read(limit)
        self._gathered.add(body)
        return body

    def close(self) -> None:
        self._response.close()


class KeptRelay:
    """The way back to the client; what is given to it is gathered."""

    def __init__(self, kept: GatheredCall, relay: Relay) -> None:
        self._kept = kept
        self._relay = relay

    async def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._kept.response = self._kept.message(headers, body)
        await self._relay.answer(status, headers, body)

    async def start(self, headers: Mapping[str, str]) -> None:
        self._kept.response = self._kept.message(headers)
        await self._relay.start(headers)

    async def write(self, data: bytes) -> None:
        response = self._kept.response
        if response is not None:
            response.body.add(data)
        await self._relay.write(data)

    def push(self, data: bytes) -> bool:
        """Never: what is written is gathered."""
        return False
