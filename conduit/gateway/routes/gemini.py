"""Gemini's methods on a model: `POST /v1beta/models/{model}:generateContent` and the like."""

from functools import partial
from typing import Final

from aiohttp import web

from conduit.core.errors import NotFoundError
from conduit.gateway.dialects.chat_call import reader_of
from conduit.gateway.dialects.registry import DIALECTS, GEMINI, GEMINI_ARRAY
from conduit.gateway.dialects.whole_calls import read_embedding
from conduit.gateway.entrance import CurrentEntrance
from conduit.gateway.provider import Operation
from conduit.gateway.routes.calls import ClientRoute, Handler, serve
from conduit.gateway.server.expect import defer_continue

PATHS: Final = ("/v1beta/models/{call:.+}", "/v1/models/{call:.+}")
"""Google's SDKs use both versions of the API."""


def routes(current: CurrentEntrance) -> list[web.RouteDef]:
    handler = _handler(current)
    return [web.post(path, handler, expect_handler=defer_continue) for path in PATHS]


def _handler(current: CurrentEntrance) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        model, _, method = request.match_info["call"].rpartition(":")
        array = request.query.get("alt") != "sse"
        return await serve(_route_of(model, method, array=array), current, request)

    return handle


def _route_of(model: str, method: str, *, array: bool) -> ClientRoute:
    """What a method of a model asks for; a stream is an `array` unless it shall be of events."""
    match method:
        case "generateContent" | "streamGenerateContent":
            stream = method == "streamGenerateContent"
            dialect = GEMINI_ARRAY if stream and array else GEMINI
            decode = partial(DIALECTS[GEMINI].decode_request, model=model, stream=stream)
            return ClientRoute(Operation.CHAT, dialect, reader_of(decode, dialect))
        case "countTokens":
            decode = partial(DIALECTS[GEMINI].decode_count_request, model=model)
            return ClientRoute(Operation.CHAT, GEMINI, reader_of(decode), counts=True)
        case "embedContent" | "batchEmbedContents":
            batch = method == "batchEmbedContents"
            read = partial(read_embedding, model=model, batch=batch)
            return ClientRoute(Operation.EMBEDDING, GEMINI, read)
        case _:
            raise NotFoundError("no such path")


METHODS: Final = (
    "generateContent",
    "streamGenerateContent",
    "countTokens",
    "embedContent",
    "batchEmbedContents",
)
"""All that `_route_of` knows, for the document."""
