"""Answering a request with what was answered before, or is about to be, to the same one.

All of it runs only for aliases whose policy has a lifetime for answers.
"""

import asyncio
from collections.abc import Iterator
from typing import Final

from conduit.core.errors import DeadlinePassedError
from conduit.gateway.cache.answers import AnswerCache, Result
from conduit.gateway.cache.digests import canonical, digest_of
from conduit.gateway.cache.store import Place
from conduit.gateway.cache.terms import Caching
from conduit.gateway.cache.wishes import Wishes, wishes_of
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.exchange import Exchange, Relay
from conduit.gateway.stages.again import LARGE_BODY_BYTES, give_again
from conduit.gateway.stages.failures import is_over
from conduit.gateway.stages.remember import CACHE_HEADER

_STATEFUL_FIELDS: Final = ("background", "container", "conversation")
"""With these a call goes on with something that changes at its provider, or begins it."""


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
        entry = entry or await recall.share(place, exchange.waits_s(self._wait_s))
        if entry is None:
            _refuse_if_late(exchange)
            return False
        answer = entry.answer
        told = {CACHE_HEADER: recall.result, "age": str(recall.age_s(entry))}
        await give_again(exchange, relay, answer.headers, answer.body, told)
        return True


async def _place(exchange: Exchange, caching: Caching) -> Place:
    key, call = exchange.granted_key, exchange.call
    if len(call.body) > LARGE_BODY_BYTES:
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
    if is_over(exchange.ends_at):
        raise DeadlinePassedError("the same request, sent before, was not answered in time")
