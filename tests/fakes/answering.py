"""A gateway's chat endpoint on a real socket, whose answers a test writes piece by piece."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

END = object()
REQUEST_ID = "req_00000000000000000000000001"
ERROR = {
    "error": {
        "message": "the key 'ci' has spent its budget",
        "type": "insufficient_quota",
        "param": None,
        "code": "insufficient_quota",
    }
}
REFUSALS = {
    401: {
        "error": {
            "message": "the key is not one of ours",
            "type": "authentication_error",
            "param": None,
            "code": "invalid_api_key",
        }
    },
    403: {
        "error": {
            "message": "the key may not use this model",
            "type": "permission_error",
            "param": None,
            "code": "permission_denied",
        }
    },
}


class AnsweringServer:
    """`pieces` feeds the answer that runs; `END` ends it. `asked` holds the bodies that came.

    A piece is a text, or a whole delta; one with `error` is an event by itself. A model for which
    `by_model` has a queue is answered from that.
    """

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[Any] = asyncio.Queue()
        self.by_model: dict[str, asyncio.Queue[Any]] = {}
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.refusal: int | None = None
        self.hung_up = asyncio.Event()
        self.url = ""

    def say(self, *pieces: str | dict[str, Any], end: bool = True, model: str = "") -> None:
        queue = self.by_model.setdefault(model, asyncio.Queue()) if model else self.pieces
        for piece in pieces:
            queue.put_nowait(piece)
        if end:
            queue.put_nowait(END)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        self.keys.append(request.headers["authorization"])
        if self.refusal is not None:
            return web.json_response(REFUSALS.get(self.refusal, ERROR), status=self.refusal)
        response = web.StreamResponse(
            headers={
                "content-type": "text/event-stream",
                "x-request-id": REQUEST_ID,
                "x-conduit-provider": "openai-main",
            }
        )
        await response.prepare(request)
        try:
            queue = self.by_model.get(self.asked[-1]["model"], self.pieces)
            while (piece := await queue.get()) is not END:
                await response.write(_event(_chunk_of(piece)))
        except (asyncio.CancelledError, ConnectionResetError):
            self.hung_up.set()
            raise
        usage = {"prompt_tokens": 12, "completion_tokens": 34}
        await response.write(_event({"choices": [], "usage": usage}))
        await response.write(b"data: [DONE]\n\n")
        return response


def _chunk_of(piece: str | dict[str, Any]) -> dict[str, Any]:
    if isinstance(piece, dict) and "error" in piece:
        return piece
    delta = piece if isinstance(piece, dict) else {"content": piece}
    return {"choices": [{"index": 0, "delta": delta}]}


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


@asynccontextmanager
async def answering() -> AsyncIterator[AnsweringServer]:
    answers = AnsweringServer()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", answers.answer)
    server = TestServer(app, handler_cancellation=True)
    await server.start_server()
    answers.url = str(server.make_url("")).rstrip("/")
    try:
        yield answers
    finally:
        answers.say()
        await server.close()
