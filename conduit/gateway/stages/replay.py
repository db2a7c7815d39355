"""Answering a request under an `Idempotency-Key` once: what was replied is given again.

All of it runs only for requests with that header.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from conduit.core.errors import IdempotencyKeyReusedError, ReplyNotKeptError
from conduit.gateway.exchange import Exchange, Relay
from conduit.gateway.idempotency.replies import Reply, digest_of_asked
from conduit.gateway.idempotency.turns import LARGEST_BODY_BYTES, Turn, Turns
from conduit.gateway.stages.again import LARGE_BODY_BYTES, give_again
from conduit.gateway.stages.remember import lasting_headers

REPLAYED_HEADER: Final = "idempotent-replayed"


class ReplayReply:
    """Gives the reply of before, or the way back that keeps the one to come."""

    def __init__(
        self,
        turns: Turns,
        refuse_spent: Callable[[Exchange], None],
        take_request: Callable[[Exchange], Awaitable[None]],
    ) -> None:
        """`refuse_spent` refuses a key without money, which a reply that was paid for needs none
        of; `take_request` takes of the rate limits for what costs no tokens.
        """
        self._turns = turns
        self._refuse_spent = refuse_spent
        self._take_request = take_request

    async def __call__(self, exchange: Exchange, relay: Relay) -> Relay | None:
        """None: it has been answered.

        Raises IdempotencyInProgressError, IdempotencyKeyReusedError, ReplyNotKeptError, and
        UnavailableError where it cannot be told whether there is a reply.
        """
        key = exchange.idempotency_key
        assert key is not None, "only then it is asked for"
        turn = exchange.turn = self._turns.begin(exchange.granted_key.id, key)
        turn.asked = await _asked(exchange)
        reply = await turn.find()
        if reply is None:
            self._refuse_spent(exchange)
            return KeepingRelay(exchange, turn, relay)
        turn.end()  # others may have it at the same time
        if reply.asked != turn.asked:
            raise IdempotencyKeyReusedError(
                "another request was answered under this Idempotency-Key: give each its own"
            )
        if reply.body is None:
            raise ReplyNotKeptError(
                f"this request was answered as {reply.request_id}, and the answer is too large to "
                "be kept: with another Idempotency-Key it is sent, and charged, once more"
            )
        await self._take_request(exchange)
        turn.replayed = reply
        told = {REPLAYED_HEADER: "true"}
        await give_again(exchange, relay, reply.headers, reply.body, told)
        return None


class KeepingRelay:
    """The way back to the client; a good reply is kept before its end has left."""

    def __init__(self, exchange: Exchange, turn: Turn, relay: Relay) -> None:
        self._exchange = exchange
        self._turn = turn
        self._relay = relay
        self._headers: Mapping[str, str] = {}
        self._pieces: list[bytes] = []
        self._room_bytes = LARGEST_BODY_BYTES

    async def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._headers = headers
        self._end(body)
        await self._relay.answer(status, headers, body)

    async def start(self, headers: Mapping[str, str]) -> None:
        self._headers = headers
        await self._relay.start(headers)

    async def write(self, data: bytes) -> None:
        self._room_bytes -= len(data)
        if self._room_bytes < 0:
            self._pieces.clear()
        else:
            self._pieces.append(data)
        if self._exchange.outcome:  # which is known before the last piece leaves
            self._end(None if self._room_bytes < 0 else b"".join(self._pieces))
        await self._relay.write(data)

    def push(self, data: bytes) -> bool:
        """Never: what is written is gathered."""
        return False

    def _end(self, body: bytes | None) -> None:
        exchange, turn = self._exchange, self._turn
        if exchange.outcome != "succeeded" or turn.over:
            return  # cut or stopped: it may be sent anew
        cost = sum([each.cost_nanodollars for each in exchange.attempts])
        headers = lasting_headers(self._headers)
        turn.keep(Reply(turn.asked, exchange.id, headers, body, cost))


async def _asked(exchange: Exchange) -> bytes:
    call, incoming = exchange.call, exchange.incoming
    path = "" if incoming is None else incoming.path
    if len(call.body) > LARGE_BODY_BYTES:
        return await asyncio.to_thread(digest_of_asked, path, call.dialect, call.body)
    return digest_of_asked(path, call.dialect, call.body)
