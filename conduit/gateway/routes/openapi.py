"""`GET /openapi.json`: what this release offers, of no instance in particular and without a key."""

import hashlib
from collections.abc import Callable

from aiohttp import hdrs, web


def routes(document: Callable[[], bytes]) -> list[web.RouteDef]:
    """`document` is asked at each request, and makes the bytes once."""

    async def show(request: web.Request) -> web.Response:
        body = document()
        etag = hashlib.sha256(body).hexdigest()[:32]
        # no-cache: kept, but asked about before it is used, as another release may have come.
        headers = {hdrs.ETAG: f'"{etag}"', hdrs.CACHE_CONTROL: "no-cache"}
        known = request.if_none_match or ()
        if any(each.value in (etag, "*") for each in known):
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type="application/json", headers=headers)

    return [web.get("/openapi.json", show)]
