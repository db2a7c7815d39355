"""A small application behind the edge, and a client that writes bytes."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from conduit.core.errors import ConduitError
from conduit.gateway.server.body import BodyLimits, read_body
from conduit.gateway.server.errors import (
    RefuseLogin,
    error_answers,
    error_middleware,
)
from conduit.gateway.server.expect import defer_continue
from conduit.gateway.server.handlers import DirectHandler
from conduit.gateway.server.headers import finish_headers
from conduit.gateway.server.runner import DIRECT, EdgeOptions, GatewayRunner

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PATIENCE_S = 30
TLS_NAME = "gateway.example"
PATH = "/v1/chat/completions"
ADMIN_PATH = "/admin/keys"


def encode_error(error: ConduitError, *_: str) -> bytes:
    """OpenAI's shape, as the dialect writes it."""
    inner = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return json.dumps({"error": inner}).encode()


def echo(limits: BodyLimits | None = None) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        body = await read_body(request, limits or BodyLimits())
        return web.Response(body=body, content_type="application/json")

    return handler


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, object]:
        inner = json.loads(self.body)["error"]
        assert isinstance(inner, dict)
        return inner


class RawClient:
    """One connection, spoken to in bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self) -> Answer:
        async with asyncio.timeout(PATIENCE_S):
            head = await self._reader.readuntil(b"\r\n\r\n")
            start, *lines = head[:-4].decode().split("\r\n")
            headers = {}
            for line in lines:
                name, _, value = line.partition(": ")
                headers[name.lower()] = value
            body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(start.split(" ")[1]), headers, body)

    async def ended(self) -> bytes:
        """What still comes until the server closes."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._reader.read()
        except ConnectionError:
            return b""

    def close(self) -> None:
        self._writer.close()

    def abort(self) -> None:
        self._writer.transport.abort()


@dataclass(frozen=True, slots=True)
class Edge:
    port: int
    runner: GatewayRunner

    @asynccontextmanager
    async def connect(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawClient]:
        name = None if tls is None else TLS_NAME
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=tls, server_hostname=name
        )
        client = RawClient(reader, writer)
        try:
            yield client
        finally:
            client.close()

    async def ask(self, data: bytes) -> Answer:
        async with self.connect() as client:
            await client.write(data)
            return await client.answer()


@asynccontextmanager
async def serving(
    handler: Handler,
    options: EdgeOptions | None = None,
    *,
    path: str = PATH,
    ssl_context: ssl.SSLContext | None = None,
    refuse_login: RefuseLogin = lambda _, error: error,
    direct: bool = False,
) -> AsyncIterator[Edge]:
    """With `direct`, plain requests may go past the application, as those of the client API do."""
    app = web.Application(middlewares=[error_middleware(encode_error, refuse_login=refuse_login)])
    app.on_response_prepare.append(finish_headers)
    app.router.add_post(path, handler, expect_handler=defer_continue)
    app.router.add_get(path, handler)
    if direct:
        answer = error_answers(encode_error, refuse_login=refuse_login)
        app[DIRECT] = {path: DirectHandler(handler, answer)}
    runner = GatewayRunner(app, encode_error, options, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl_context)
    await site.start()
    try:
        yield Edge(runner.addresses[0][1], runner)
    finally:
        await runner.cleanup()


def post(body: bytes = b"", *headers: str, path: str = PATH, length: int | None = None) -> bytes:
    """A request whose length is told unless a header frames it otherwise."""
    lines = [f"POST {path} HTTP/1.1", "host: gateway", *headers]
    if not any(h.lower().startswith("transfer-encoding") for h in headers):
        lines.append(f"content-length: {len(body) if length is None else length}")
    return "\r\n".join((*lines, "", "")).encode() + body
