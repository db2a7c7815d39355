"""Answering a request with what was answered before, or is about to be, to the same one.

All of it runs only for aliases whose policy has a lifetime for answers.
"""

import asyncio
import time
from collections.abc import Iterator
from typing import Final

from conduit.core.errors import UpstreamTimeoutError
from conduit.core.money import format_usd
from conduit.gateway.cache.answers import AnswerCache, Recall, Result
from conduit.gateway.cache.digests import canonical, digest_of
from conduit.gateway.cache.store import Entry, Place
from conduit.gateway.cache.terms import Caching
from conduit.gateway.cache.wishes import Wishes, wishes_of
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.exchange import Exchange, Relay
from conduit.gateway.stages.keep import KeptRelay
from conduit.gateway.stages.relay import own_ids
from conduit.gateway.stages.remember import CACHE_HEADER

_STATEFUL_FIELDS: Final = ("background", "container", "conversation")
"""With these a call goes on with something that changes at its provider, or begins it."""

_LARGE_BODY_BYTES: Final = 256 * 1024
"""From here on the digest is made in a thread, so that nobody waits for it."""

_PIECE_BYTES: Final = 64 * 1024


class AnswerFromCache:
    """Answers what was answered before. False: the request has to be sent.

    A request waits for an identical one that is in flight, though not longer than `wait_s`, nor
    than its client waits itself.
    """

    def __init__(self, cache: AnswerCache, wait_s: float) -> None:
        self._cache = cache
        self._wait_s = wait_s

    async def __call__(self, exchange: Exchange, relay: Relay) -> bool:
        caching = exchange.caching
        if caching is None:
            return False
        recall = exchange.recall = self._cache.recall(caching.alias)
        incoming = exchange.incoming
        wishes = wishes_of(incoming.headers) if incoming is not None else Wishes()
        if not wishes.store or _has_state(exchange.call):
            recall.pass_by()
            return False
        place = recall.place = await _place(exchange, caching)
        if not wishes.stored:
            recall.result = Result.BYPASS
            return False
        entry = recall.look(place, youngest_s=wishes.youngest_s)
        entry = entry or await recall.share(place, self._waits_s(exchange))
        if entry is None:
            _refuse_if_late(exchange)
            return False
        await _replay(exchange, recall, entry, relay)
        return True

    def _waits_s(self, exchange: Exchange) -> float:
        if exchange.ends_at is None:
            return self._wait_s
        return min(self._wait_s, max(exchange.ends_at - time.monotonic(), 0.0))


async def _place(exchange: Exchange, caching: Caching) -> Place:
    key, call = exchange.granted_key, exchange.call
    if len(call.body) > _LARGE_BODY_BYTES:
        digest = await asyncio.to_thread(lambda: digest_of(_parts(exchange, caching)))
    else:
        digest = digest_of(_parts(exchange, caching))
    return Place(digest, caching.alias, call.model, key.id, caching.ttl_s)


def _parts(exchange: Exchange, caching: Caching) -> Iterator[bytes]:
    """All that the bytes of an answer depend on."""
    call = exchange.call
    yield b"shared" if caching.shared else exchange.granted_key.id.encode()
    yield caching.origin
    yield call.operation.encode()
    yield call.dialect.encode()
    yield call.model.encode("utf-8", "surrogatepass")
    yield b"stream" if call.stream else b"whole"
    for name, value in sorted(exchange.forwarded_headers.items()):
        yield f"{name}: {value}".encode("utf-8", "surrogateescape")
    yield from canonical(call.fields)


def _has_state(call: ClientCall) -> bool:
    return any(name in call.fields and call.read(name) for name in _STATEFUL_FIELDS)


def _refuse_if_late(exchange: Exchange) -> None:
    """Send nothing, and spend nothing, for a client whose own deadline has passed meanwhile."""
    if exchange.ends_at is not None and exchange.ends_at <= time.monotonic():
        raise UpstreamTimeoutError("the same request, sent before, was not answered in time")


async def _replay(exchange: Exchange, recall: Recall, entry: Entry, relay: Relay) -> None:
    answer = entry.answer
    headers = {
        **own_ids(exchange),
        **answer.headers,
        "x-conduit-attempts": "0",
        CACHE_HEADER: recall.result,
        "age": str(recall.age_s(entry)),
    }
    if exchange.permit is not None:
        headers |= exchange.permit.headers()
    if exchange.kept is not None:
        relay = KeptRelay(exchange.kept, relay)
    if not exchange.call.stream:
        headers["x-conduit-cost"] = format_usd(0)
        _succeeded(exchange)
        await relay.answer(200, headers, answer.body)
        return
    *pieces, last = (
        answer.body[start : start + _PIECE_BYTES]
        for start in range(0, len(answer.body), _PIECE_BYTES)
    )
    await relay.start(headers)
    for piece in pieces:
        await relay.write(piece)
    _succeeded(exchange)
    await relay.write(last)


def _succeeded(exchange: Exchange) -> None:
    """Noted before the last byte leaves, as of every answer."""
    exchange.status = 200
    exchange.outcome = "succeeded"
