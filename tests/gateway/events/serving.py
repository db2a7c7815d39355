"""A small gateway of events alone: the socket and its backfill, on a real port."""

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import socketio
from aiohttp import web

from conduit.core.errors import ConduitError, admin_envelope
from conduit.gateway.admin import events as admin_events
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import handler_of
from conduit.gateway.events.bus import Bus
from conduit.gateway.events.fanout import FanoutLimits
from conduit.gateway.events.socketio import NAMESPACE, EventSocket, SocketLimits
from conduit.gateway.storage.revisions import Author

TOKEN = "condt_mk_" + "x" * 49
QUICK = SocketLimits(
    batch_interval_s=0.1, heartbeat_interval_s=0.2, sweep_interval_s=0.05, close_s=0.5
)


@dataclass(frozen=True, slots=True)
class Serving:
    bus: Bus
    socket: EventSocket
    url: str
    port: int


def check_token(token: str) -> bool:
    return hmac.compare_digest(token.encode(), TOKEN.encode())


@web.middleware
async def _envelopes(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except ConduitError as error:
        return web.json_response(admin_envelope(error, "req_1"), status=error.status)


@asynccontextmanager
async def serving(
    bus: Bus,
    *,
    port: int = 0,
    limits: SocketLimits = QUICK,
    check: Callable[[str], bool] = check_token,
    middleware: Callable[..., Awaitable[web.StreamResponse]] | None = None,
    prefix: str = "",
) -> AsyncIterator[Serving]:
    app = web.Application(middlewares=[_envelopes, *([middleware] if middleware else [])])
    socket = EventSocket(bus, check, limits=limits)
    app.add_routes(socket.routes())
    # The backfill needs nothing of an admin context but its bus, and changes nothing.
    nobody = Author("test", "read")
    parts = SimpleNamespace(bus=bus, author=lambda request, operation: nobody)
    admin = cast("AdminContext", parts)
    for operation in admin_events.OPERATIONS:
        app.router.add_route(operation.method, operation.path, handler_of(admin, operation))
    root = app
    if prefix:
        root = web.Application()
        root.add_subapp(prefix, app)
    runner = web.AppRunner(root, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    socket.start()
    bound = runner.addresses[0][1]
    try:
        yield Serving(bus, socket, f"http://127.0.0.1:{bound}", bound)
    finally:
        await socket.stop()
        await runner.cleanup()


def with_fanout(**fields: int) -> SocketLimits:
    return SocketLimits(
        batch_interval_s=0.05,
        heartbeat_interval_s=0.2,
        sweep_interval_s=0.05,
        close_s=0.5,
        fanout=FanoutLimits(**fields),
    )


class Listener:
    """A client that keeps what it hears."""

    def __init__(self) -> None:
        self.client = socketio.AsyncClient(reconnection=False, handle_sigint=False)
        self.heard: list[tuple[str, Any]] = []
        self.refusal: Any = None
        self.ended = asyncio.Event()
        self._changed = asyncio.Event()
        for name in ("events", "gap", "heartbeat", "error"):
            self.client.on(name, self._hearing(name), namespace=NAMESPACE)
        self.client.on("connect_error", self._refused, namespace=NAMESPACE)
        self.client.on("disconnect", lambda *_: self.ended.set(), namespace=NAMESPACE)

    def _hearing(self, name: str) -> Callable[[Any], None]:
        def hear(content: object) -> None:
            self.heard.append((name, content))
            self._changed.set()

        return hear

    def _refused(self, refusal: object = None) -> None:
        self.refusal = refusal

    def contents(self, name: str) -> list[Any]:
        return [content for heard, content in self.heard if heard == name]

    @property
    def seqs(self) -> list[int]:
        return [event["seq"] for batch in self.contents("events") for event in batch]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def subscribe(self, **wish: object) -> dict[str, Any]:
        answer = await self.client.call("subscribe", wish, namespace=NAMESPACE, timeout=5)
        assert isinstance(answer, dict)
        return answer


@asynccontextmanager
async def listening(
    at: Serving, token: object = TOKEN, transports: tuple[str, ...] = ("websocket",)
) -> AsyncIterator[Listener]:
    listener = Listener()
    try:
        await listener.client.connect(
            at.url,
            auth={"token": token},
            namespaces=[NAMESPACE],
            transports=list(transports),
            wait_timeout=5,
        )
        yield listener
    finally:
        await listener.client.disconnect()
