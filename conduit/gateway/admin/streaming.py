"""Answers of the admin API that have no end in sight: sent piece by piece, at the client's pace."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Streamed:
    """The pieces of an answer. Closing them ends whatever makes them."""

    content_type: str
    pieces: AsyncGenerator[bytes, None]


async def send(request: web.Request, streamed: Streamed) -> web.StreamResponse:
    """Send the pieces; each waits until the client has taken enough of those before it.

    A client that hangs up ends them. What fails before the first piece is an answer of its own;
    after it, the connection breaks off, so that nobody takes what came for the whole.
    """
    async with aclosing(streamed.pieces) as pieces:
        first = await anext(pieces, b"")
        response = web.StreamResponse(headers={"cache-control": "no-store"})
        response.content_type = streamed.content_type
        response.charset = "utf-8"
        if request.version >= (1, 1):
            response.enable_chunked_encoding()
        try:
            await response.prepare(request)
            if first:
                await response.write(first)
            async for piece in pieces:
                await response.write(piece)
            await response.write_eof()
        except ConnectionResetError:
            return response  # the client has hung up, which is its right
        return response
