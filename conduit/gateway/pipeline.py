"""The life of a request, readable on one screen.

Money belongs to the attempt: each dispatch to a provider has its own id, hold, price and
settlement. Leaving the blocks of `settled` and `recorded` never awaits, so that a caller who hangs
up (which cancels this coroutine) can stop the work but never the bookkeeping.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from conduit.gateway.config.snapshot import KeyGrant
from conduit.gateway.exchange import Attempt, Exchange, Incoming, Relay


@dataclass(frozen=True, slots=True)
class Stages:
    """The steps of a request, filled in `request_path.py`; tests pass plain functions."""

    authenticate: Callable[[str | None, str | None], Awaitable[KeyGrant]]
    shed: Callable[[Exchange], None]
    admit: Callable[[Exchange], None]
    decode: Callable[[Exchange, bytes], None]
    resolve: Callable[[Exchange], None]
    replay: Callable[[Exchange, Relay], Awaitable[Relay | None]]
    limit: Callable[[Exchange], Awaitable[None]]
    recall: Callable[[Exchange, Relay], Awaitable[bool]]
    next_attempt: Callable[[Exchange], Awaitable[Attempt | None]]
    hold: Callable[[Exchange, Attempt], Awaitable[None]]
    settled: Callable[[Exchange, Attempt], AbstractContextManager[None]]
    call: Callable[[Exchange, Attempt, Relay], Awaitable[None]]
    recorded: Callable[[Exchange], AbstractContextManager[None]]


async def run(stages: Stages, exchange: Exchange, incoming: Incoming, relay: Relay) -> None:
    """Serve one client request of any operation; raises ConduitError while nothing has left.

    A failed attempt is followed by another one only while no byte of an answer has left and the
    failure allows it; `next_attempt` ends the row by raising the last error.
    """
    # Before the body is read.
    exchange.grant(await stages.authenticate(incoming.bearer, exchange.client_ip))
    if exchange.crowded:
        stages.shed(exchange)  # refused without a record, unless the key has priority
    with stages.recorded(exchange):  # record and events, whatever happens
        stages.admit(exchange)  # an exhausted budget is refused before the body too
        stages.decode(exchange, await incoming.body())
        if exchange.idempotency_key is not None:  # answered once, however often it is sent
            keeping = await stages.replay(exchange, relay)
            if keeping is None:
                return
            relay = keeping
        stages.resolve(exchange)  # alias → ordered candidates, with why-nots
        key = exchange.granted_key
        if key.limits or (key.group is not None and key.group.limits) or exchange.scopes:
            await stages.limit(exchange)  # of all its rate limits at once, or of none
        if exchange.caching is not None and await stages.recall(exchange, relay):
            return  # answered as the same request was before
        while (attempt := await stages.next_attempt(exchange)) is not None:  # next candidate
            with stages.settled(exchange, attempt):  # hold … settle, exactly once
                await stages.hold(exchange, attempt)  # in the journal before it is sent
                await stages.call(exchange, attempt, relay)  # send and relay
