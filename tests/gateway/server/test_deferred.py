"""Routes that are loaded when the first request asks for one of them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from conduit.gateway.dialects.client_errors import encode_error
from conduit.gateway.server.deferred import DeferredRoutes, Make
from conduit.gateway.server.errors import error_middleware
from conduit.gateway.server.runner import GatewayRunner


async def _name(request: web.Request) -> web.Response:
    return web.json_response(dict(request.match_info))


def _routes() -> Sequence[web.RouteDef]:
    return [web.get("/parts/{name}", _name), web.post("/parts/{name}", _name)]


class Loading:
    """Counts how often it loads, and where; it fails so many times first."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.threads: list[threading.Thread] = []
        self.asked = asyncio.Event()
        self.may_end = threading.Event()
        self.may_end.set()
        self._loop = asyncio.get_running_loop()

    def __call__(self) -> Make:
        self.threads.append(threading.current_thread())
        self._loop.call_soon_threadsafe(self.asked.set)
        self.may_end.wait()
        if len(self.threads) <= self.failures:
            raise ImportError("the disk is away")
        return _routes


@asynccontextmanager
async def _serving(
    load: Loading, routes: DeferredRoutes | None = None
) -> AsyncIterator[aiohttp.ClientSession]:
    app = web.Application(middlewares=[error_middleware(encode_error)])
    app.router.register_resource(DeferredRoutes("/parts", load) if routes is None else routes)
    app.router.add_get("/partsandmore", _name)
    app.router.add_get("/", _name)
    runner = GatewayRunner(app, encode_error, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
            yield session
    finally:
        load.may_end.set()
        await runner.cleanup()


async def _get(session: aiohttp.ClientSession, path: str) -> tuple[int, object]:
    async with session.get(path) as answer:
        return answer.status, await answer.json()


async def test_they_are_loaded_once_and_not_before_they_are_asked_for() -> None:
    load = Loading()
    async with _serving(load) as session:
        assert await _get(session, "/") == (200, {})
        assert await _get(session, "/partsandmore") == (200, {})
        assert not load.threads
        found = await asyncio.gather(*(_get(session, f"/parts/{n}") for n in "abc"))
        assert found == [(200, {"name": n}) for n in "abc"]
        assert len(load.threads) == 1
        assert load.threads[0] is not threading.main_thread()


async def test_other_requests_are_served_while_they_are_loaded() -> None:
    load = Loading()
    load.may_end.clear()
    async with _serving(load) as session:
        waiting = asyncio.create_task(_get(session, "/parts/a"))
        await load.asked.wait()
        assert await _get(session, "/") == (200, {})
        assert not waiting.done()
        load.may_end.set()
        assert await waiting == (200, {"name": "a"})


async def test_a_wrong_method_and_a_wrong_path_are_told_as_everywhere() -> None:
    async with _serving(Loading()) as session:
        async with session.put("/parts/a") as answer:
            assert answer.status == 405
            assert set(answer.headers["allow"].split(",")) == {"GET", "HEAD", "POST"}
        assert (await _get(session, "/parts/a/b"))[0] == 404
        assert (await _get(session, "/parts"))[0] == 404


async def test_what_cannot_be_loaded_fails_the_request_and_is_tried_again() -> None:
    load = Loading(failures=1)
    async with _serving(load) as session:
        status, body = await _get(session, "/parts/a")
        assert status == 500
        assert isinstance(body, dict)
        assert "disk" not in str(body)  # the log has it
        assert await _get(session, "/parts/a") == (200, {"name": "a"})


async def test_what_was_loaded_before_it_is_asked_for_is_not_loaded_again() -> None:
    load = Loading(failures=1)
    routes = DeferredRoutes("/parts", load)
    with pytest.raises(ImportError):
        await routes.preload()
    await routes.preload()
    async with _serving(load, routes) as session:
        assert await _get(session, "/parts/a") == (200, {"name": "a"})
        assert len(load.threads) == 2
