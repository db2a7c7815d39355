"""A gateway that only looks like one: real events at an exact rate, answers from a table.

The socket, the fan-out and the figures are the gateway's own; requests are made up. Runs in a
test's loop by `standing_in`, or as a process: `python -m tests.tui.standin --key KEY`, which prints
its URL, and does what `POST /standin` says: `{"per_s": 200}`, `{"at_once": 10000}`,
`{"tokens_per_s": 50}`.
"""

import argparse
import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

from aiohttp import web

from conduit.core.events import EventKind
from conduit.core.ids import now_ms
from conduit.gateway.admin import events as admin_events
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import handler_of
from conduit.gateway.events.bus import Bus
from conduit.gateway.events.socketio import EventSocket
from conduit.gateway.events.stats import Stats
from tests.tui.events import finished, key, provider

ALIASES = ("gpt-4o", "gpt-4o-mini", "claude-sonnet", "llama-3.3-70b", "embed-small")
_TICK_S = 0.05
_FILL_EVENTS, _FILL_PAUSE_S = 500, 0.15
_STATUS: dict[str, Any] = {
    "version": "0.0.0",
    "started_at": "2026-11-20T00:00:00Z",
    "uptime_s": 60,
    "ready": True,
    "draining": False,
    "revision": 1,
    "database": "sqlite",
    "providers": 2,
    "mappings": 1,
    "keys": 2,
    "in_flight": 0,
    "event_seq": 0,
    "worker": 1,
    "workers": 1,
    "ledger": {
        "available": True,
        "reason": None,
        "sync": "always",
        "open_holds": 0,
        "held": "0",
        "waiting": 0,
        "journal_bytes_unapplied": 0,
    },
    "rss_bytes": 100_000_000,
    "warnings": [],
}
_MAPPING = {
    "id": "map_1",
    "alias": "tokens",
    "targets": [{"provider": "openai-main", "model": "tokens", "weight": 1}],
    "strategy": "priority",
    "enabled": True,
    "created_at": "2026-11-20T00:00:00Z",
    "updated_at": "2026-11-20T00:00:00Z",
    "version": 1,
}
_TABLES: dict[str, list[dict[str, Any]]] = {
    "keys": [key("ci", limit="10", spent="2"), key("docs")],
    "providers": [provider("openai-main"), provider("anthropic")],
    "mappings": [_MAPPING],
    "requests": [],
}
# Four letters a token, in paragraphs, a list and a block of code, as models like to write.
_PARAGRAPH = ("word " * 59 + "end.\n\n") * 2
_LIST = "".join(f"- **item {number}** with `code` in\n" for number in range(8)) + "\n"
_CODE = "```python\n" + "".join(f"value_{n} = compute({n})\n" for n in range(10)) + "```\n\n"
_TEXT = (_PARAGRAPH + _LIST + _CODE) * 10


class _Finished(SimpleNamespace):
    """The record of a request that finished."""

    def as_event(self) -> dict[str, Any]:
        return vars(self)


class StandIn:
    """The made-up gateway; `per_s` is how many requests finish a second, `tokens_per_s` how
    quickly it answers for about ten seconds."""

    def __init__(self, master_key: str, *, boot: str = "boot_standin") -> None:
        self.bus = Bus(boot)
        self.per_s = 0.0
        self.tokens_per_s = 150
        self.made = 0
        self.asked: Counter[str] = Counter()
        self.master_key = master_key
        self._random = random.Random(7)
        self._socket = EventSocket(self.bus, lambda token: token == master_key)
        self._stats = Stats(self.bus, lambda: 0, viewers=lambda: self._socket.listeners)
        self._load: asyncio.Task[None] | None = None

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._admit])
        app.add_routes(self._socket.routes())
        admin = cast("AdminContext", SimpleNamespace(bus=self.bus))
        for operation in admin_events.OPERATIONS:
            app.router.add_route(operation.method, operation.path, handler_of(admin, operation))
        app.router.add_get("/admin/whoami", self._whoami)
        app.router.add_get("/admin/status", self._status)
        app.router.add_get("/admin/usage", self._usage)
        app.router.add_get("/admin/health/{table}", self._list)
        app.router.add_get("/admin/{table}", self._list)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/standin", self._obey)
        app.on_startup.append(self._start)
        app.on_shutdown.append(self._stop)
        return app

    # Events

    def finish(self, count: int = 1, **fields: Any) -> None:
        """Let so many requests end now."""
        for _ in range(count):
            self.made += 1
            self.bus.publish(
                EventKind.REQUEST_FINISHED, _Finished(**(self._made_up(self.made) | fields))
            )

    async def hush(self) -> None:
        """Tell no more figures, which change for a minute after the last request."""
        await self._stats.stop()

    def _made_up(self, number: int) -> dict[str, Any]:
        pick = self._random
        status = 200 if pick.random() < 0.97 else 429
        return finished(
            number,
            at_ms=now_ms(),
            status=status,
            outcome="ok" if status == 200 else "refused",
            error_code=None if status == 200 else "rate_limit_exceeded",
            alias=pick.choice(ALIASES),
            duration_ms=pick.randrange(80, 4_000),
            output_tokens=pick.randrange(1, 900),
            cost_nanodollars=pick.randrange(10_000, 9_000_000),
        )

    async def fill(self, count: int) -> None:
        """As `finish`, no quicker than a listener can be sent."""
        for start in range(0, count, _FILL_EVENTS):
            self.finish(min(_FILL_EVENTS, count - start))
            await asyncio.sleep(_FILL_PAUSE_S)

    async def _run(self) -> None:
        due = 0.0
        loop = asyncio.get_running_loop()
        last_s = loop.time()
        while True:
            await asyncio.sleep(_TICK_S)
            now_s = loop.time()
            due += self.per_s * (now_s - last_s)
            last_s = now_s
            self.finish(int(due))
            due -= int(due)

    async def _start(self, app: web.Application) -> None:
        self._socket.start()
        await self._stats.start()
        self._load = asyncio.create_task(self._run(), name="load")

    async def _stop(self, app: web.Application) -> None:
        if self._load is not None:
            self._load.cancel()
            await asyncio.wait([self._load])
        await self._stats.stop()
        await self._socket.stop()

    # HTTP

    @web.middleware
    async def _admit(self, request: web.Request, handler: Any) -> web.StreamResponse:
        is_right = request.headers.get("authorization") == f"Bearer {self.master_key}"
        if request.path.startswith("/admin") and not is_right:
            error = {"code": "invalid_api_key", "message": "the key is not one of ours"}
            return web.json_response({"error": error}, status=401)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _whoami(self, _: web.Request) -> web.Response:
        return web.json_response({"role": "master"})

    async def _status(self, _: web.Request) -> web.Response:
        return web.json_response({**_STATUS, "boot": self.bus.boot})

    async def _usage(self, _: web.Request) -> web.Response:
        return web.json_response({"total": {"requests": 0, "cost": "0.00"}, "groups": []})

    async def _list(self, request: web.Request) -> web.Response:
        table = request.match_info["table"]
        self.asked[table] += 1
        rows = _TABLES.get(table, [])
        return web.json_response({"data": rows, "next_cursor": None})

    async def _obey(self, request: web.Request) -> web.Response:
        orders = await request.json()
        self.per_s = orders.get("per_s", self.per_s)
        self.tokens_per_s = orders.get("tokens_per_s", self.tokens_per_s)
        await self.fill(orders.get("at_once", 0))
        return web.json_response({"made": self.made})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        per_s = self.tokens_per_s
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for number in range(per_s * 10):
            late_s = loop.time() - began_s - number / per_s
            if late_s < 0:
                await asyncio.sleep(-late_s)
            token = _TEXT[number * 4 : number * 4 + 4]
            await response.write(_chunk({"delta": {"content": token}}))
        await response.write(_chunk({"delta": {}, "finish_reason": "stop"}) + b"data: [DONE]\n\n")
        return response


def _chunk(choice: dict[str, Any]) -> bytes:
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "tokens",
        "choices": [{"index": 0, "finish_reason": None, **choice}],
    }
    return f"data: {json.dumps(chunk)}\n\n".encode()


@asynccontextmanager
async def standing_in(stand_in: StandIn, *, port: int = 0) -> AsyncIterator[str]:
    """Serve on a port; yields the URL."""
    runner = web.AppRunner(stand_in.application(), shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _serve(master_key: str, port: int) -> None:
    async with standing_in(StandIn(master_key), port=port) as url:
        print(url, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--key", required=True)
    options.add_argument("--port", type=int, default=0)
    arguments = options.parse_args()
    asyncio.run(_serve(arguments.key, arguments.port))


if __name__ == "__main__":
    main()
