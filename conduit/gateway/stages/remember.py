"""Keeping an answer on its way to the client, for the requests that ask the same."""

from collections.abc import Mapping
from typing import Final

from conduit.gateway.cache.answers import Recall
from conduit.gateway.cache.store import Answer
from conduit.gateway.exchange import Attempt, Exchange, Relay

CACHE_HEADER: Final = "x-conduit-cache"

_OWN_HEADERS: Final = frozenset(
    {CACHE_HEADER, "age", "x-request-id", "request-id", "x-conduit-attempts", "x-conduit-cost"}
)
"""What tells of one request, and not of its answer."""

_OWN_PREFIX: Final = "x-ratelimit-"

_PASSING_CAUSES: Final = frozenset({"error", "rate_limit", "timeout"})
"""Causes of fallbacks that are over some time; the same prompt is as long as before, though."""


class RememberingRelay:
    """The way back to the client; an answer that comes whole is kept before its end has left."""

    def __init__(self, exchange: Exchange, attempt: Attempt, recall: Recall, relay: Relay) -> None:
        self._exchange = exchange
        self._attempt = attempt
        self._recall = recall
        self._relay = relay
        self._headers: Mapping[str, str] = {}
        self._pieces: list[bytes] = []
        self._room_bytes = recall.room_bytes

    async def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._headers = headers
        self._end(body)  # before its header says how that went
        await self._relay.answer(status, self._marked(headers), body)

    async def start(self, headers: Mapping[str, str]) -> None:
        self._headers = headers
        await self._relay.start(self._marked(headers))

    async def write(self, data: bytes) -> None:
        if self._recall.place is not None:
            self._gather(data)
        await self._relay.write(data)

    def push(self, data: bytes) -> bool:
        """Never: what is written is gathered."""
        return False

    def _gather(self, data: bytes) -> None:
        self._pieces.append(data)
        self._room_bytes -= len(data)
        if self._room_bytes < 0:
            self._pieces.clear()
            self._recall.pass_by()
        elif self._exchange.outcome:  # which is known before the last piece leaves
            self._end(b"".join(self._pieces))

    def _end(self, body: bytes) -> None:
        if self._exchange.outcome != "succeeded":
            return  # the recall's own end lets somebody else ask
        if self._attempt.output_cap is not None:
            self._recall.pass_by()  # shortened by what one budget had left
            return
        answer = Answer(lasting_headers(self._headers), body, self._attempt.cost_nanodollars)
        self._recall.keep(answer, lasting=not _is_makeshift(self._exchange))

    def _marked(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        return {**headers, CACHE_HEADER: self._recall.result}


def lasting_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Those that an answer has whenever it is given."""
    return {
        name: value
        for name, value in headers.items()
        if name not in _OWN_HEADERS and not name.startswith(_OWN_PREFIX)
    }


def _is_makeshift(exchange: Exchange) -> bool:
    """Whether another alias answered because this one could not for the moment."""
    course = exchange.course
    return course is not None and any(leg.because in _PASSING_CAUSES for leg in course.legs)
