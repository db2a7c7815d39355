"""Routes whose code is loaded after the start, or before when a request asks for one of them."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from aiohttp import web
from yarl import URL

Make = Callable[[], Sequence[web.RouteDef]]


class DeferredRoutes(web.AbstractResource):
    """Everything below `prefix`, a path without a slash at its end.

    `load` imports what the routes need, in a thread, so that the requests under way go on
    meanwhile; what it returns makes them, in the event loop. Both run once; where one fails, the
    request fails and the next one tries again.
    """

    def __init__(self, prefix: str, load: Callable[[], Make]) -> None:
        super().__init__()
        self._prefix = prefix
        self._load = load
        self._loading = asyncio.Lock()
        self._make: Make | None = None
        self._router: web.UrlDispatcher | None = None

    @property
    def canonical(self) -> str:
        return self._prefix

    async def resolve(
        self, request: web.Request
    ) -> tuple[web.UrlMappingMatchInfo | None, set[str]]:
        """What serves a request, or else the methods that its path has."""
        router = self._router or await self._loaded()
        match = await router.resolve(request)
        refusal = match.http_exception
        if refusal is None:
            return match, set()
        if isinstance(refusal, web.HTTPMethodNotAllowed):
            return None, refusal.allowed_methods
        return None, set()

    async def preload(self) -> None:
        """Import what the routes need, without making them. Raises what importing raises."""
        async with self._loading:
            await self._imported()

    async def _imported(self) -> Make:
        if self._make is None:
            self._make = await asyncio.to_thread(self._load)
        return self._make

    async def _loaded(self) -> web.UrlDispatcher:
        async with self._loading:
            if self._router is None:
                make = await self._imported()
                router = web.UrlDispatcher()
                router.add_routes(make())
                router.freeze()
                self._router = router
            return self._router

    def raw_match(self, path: str) -> bool:
        return path == self._prefix

    def get_info(self) -> Any:  # noqa: ANN401  # aiohttp's own type has no public name
        return {"prefix": self._prefix}

    def add_prefix(self, prefix: str) -> None:
        self._prefix = prefix + self._prefix

    def url_for(self, **_: str) -> URL:
        raise RuntimeError("deferred routes have no address of their own")

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[web.AbstractRoute]:
        return iter(())
