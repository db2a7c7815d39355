"""What clients ask for by a path of its own: chats in three dialects, and all else that is done."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiohttp import web

from conduit.core.errors import ConduitError, RequestTimeoutError
from conduit.gateway.dialects.chat_call import ReadCall, reader_in
from conduit.gateway.dialects.registry import ANTHROPIC_MESSAGES, OPENAI_CHAT, OPENAI_RESPONSES
from conduit.gateway.dialects.whole_calls import read_moderation, read_rerank
from conduit.gateway.entrance import CurrentEntrance, Entrance
from conduit.gateway.exchange import ClientGone, Exchange
from conduit.gateway.pipeline import run
from conduit.gateway.provider import Operation
from conduit.gateway.routes.client_head import client_head
from conduit.gateway.routes.hints import NOTHING, Told
from conduit.gateway.routes.relay import HttpIncoming, HttpRelay
from conduit.gateway.server.expect import defer_continue
from conduit.gateway.server.headers import REQUEST_ID

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class ClientRoute:
    """What a client asks for, and in which dialect; `read_call` None is OpenAI's own reading.

    `counts` says that the tokens of the call are to be counted, and no more.
    """

    operation: Operation
    dialect: str = OPENAI_CHAT
    read_call: ReadCall | None = None
    counts: bool = False


_RERANK: Final = ClientRoute(Operation.RERANK, read_call=read_rerank)

ROUTES: Final[Mapping[str, ClientRoute]] = {
    "/v1/chat/completions": ClientRoute(Operation.CHAT),
    "/v1/completions": ClientRoute(Operation.COMPLETION),
    "/v1/embeddings": ClientRoute(Operation.EMBEDDING),
    "/v1/rerank": _RERANK,
    "/v2/rerank": _RERANK,  # where Cohere's clients ask
    "/rerank": _RERANK,
    "/v1/moderations": ClientRoute(Operation.MODERATION, read_call=read_moderation),
    "/v1/messages": ClientRoute(Operation.CHAT, ANTHROPIC_MESSAGES, reader_in(ANTHROPIC_MESSAGES)),
    "/v1/messages/count_tokens": ClientRoute(
        Operation.CHAT,
        ANTHROPIC_MESSAGES,
        reader_in(ANTHROPIC_MESSAGES, "decode_count_request"),
        counts=True,
    ),
    "/v1/responses": ClientRoute(Operation.CHAT, OPENAI_RESPONSES, reader_in(OPENAI_RESPONSES)),
}


def routes(handlers: Mapping[str, Handler]) -> list[web.RouteDef]:
    return [
        web.post(path, handler, expect_handler=defer_continue) for path, handler in handlers.items()
    ]


def handlers_of(current: CurrentEntrance) -> dict[str, Handler]:
    """The handler of each route, by its path. They need no application around them."""
    return {path: _handler_of(route, current) for path, route in ROUTES.items()}


def _handler_of(route: ClientRoute, current: CurrentEntrance) -> Handler:
    return partial(serve, route, current)


async def serve(
    route: ClientRoute, current: CurrentEntrance, request: web.Request
) -> web.StreamResponse:
    """Serve one request of a route, whichever way it came."""
    entrance = current.now
    shedder, live = entrance.shedder, entrance.live
    crowded = len(live.tasks) >= shedder.most_ordinary
    if crowded and len(live.tasks) >= shedder.most:
        raise shedder.refuse()
    key, user_agent, told, forwarded = client_head(request, route.dialect, entrance.max_hops)
    incoming = HttpIncoming(request, request.headers, key, entrance.body_limits)
    exchange = Exchange(
        route.operation,
        entrance.snapshot(),
        client_ip=entrance.addresses.of(request) or None,
        user_agent=user_agent,
        crowded=crowded,
        read_call=route.read_call,
        forwarded_headers=forwarded,
        incoming=incoming,
    )
    request[REQUEST_ID] = exchange.id
    if told is not NOTHING:
        _heed(told, exchange, counts=route.counts)
    relay = HttpRelay(request, entrance.client_stall_timeout_s)
    live.enter(exchange)
    try:
        await run(entrance.counting if route.counts else entrance.stages, exchange, incoming, relay)
    except ClientGone:
        pass  # nobody is there to be told: what was begun is left as it is
    except asyncio.CancelledError:
        # One that is ended because the gateway stops is answered all the same.
        task = asyncio.current_task()
        if exchange.stopping is None or task is None:
            raise  # the client has hung up
        task.uncancel()
        if relay.response is None:
            _tell_limits(entrance, exchange, exchange.stopping)
            raise exchange.stopping from None
    except ConduitError as error:
        _tell_limits(entrance, exchange, error)
        raise
    finally:
        live.leave(exchange)
    response = relay.response
    if response is None:
        raise RequestTimeoutError("the request was not completed by its sender")
    return response


def _heed(told: Told, exchange: Exchange, *, counts: bool) -> None:
    """Note what the client tells the gateway; what only counts tokens is not kept."""
    exchange.hops = told.hops
    if told.timeout_s is not None:
        exchange.ends_at = exchange.began + told.timeout_s
    if told.idempotency_key is not None and not counts:
        exchange.idempotency_key = told.idempotency_key


def _tell_limits(entrance: Entrance, exchange: Exchange, error: ConduitError) -> None:
    """Add how the limits of its key stand to an error, unless what it took of them has told it."""
    if exchange.key is not None and exchange.permit is None:
        standing = entrance.limit_headers(exchange.key, exchange.scopes)
        error.headers = {**standing, **error.headers}
