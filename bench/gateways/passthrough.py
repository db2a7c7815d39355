"""The bare aiohttp pass-through: what its server and client cost when a gateway does nothing.

It has aiohttp's Application, router, request reading, client session and streamed response, and no
keys, no JSON, no accounts. Conduit is measured against it.
"""

import argparse
import os
import resource
from collections.abc import AsyncIterator

import aiohttp
import uvloop
from aiohttp import web

UPSTREAM = os.environ["BENCH_UPSTREAM"]
HEADERS = {"authorization": "Bearer sk-upstream", "content-type": "application/json"}
SESSION = web.AppKey("session", aiohttp.ClientSession)


async def upstream_session(app: web.Application) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(
        UPSTREAM,
        connector=aiohttp.TCPConnector(limit=0),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=600),
    ) as session:
        app[SESSION] = session
        yield


async def chat(request: web.Request) -> web.StreamResponse:
    body = await request.read()
    async with request.app[SESSION].post(request.path, data=body, headers=HEADERS) as answer:
        if b'"stream": true' not in body:
            return web.Response(
                body=await answer.read(),
                status=answer.status,
                headers={"content-type": "application/json"},
            )
        response = web.StreamResponse(
            status=answer.status, headers={"content-type": "text/event-stream"}
        )
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
        return response


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, default=27912)
    args = options.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/v1/chat/completions", chat)
    app.cleanup_ctx.append(upstream_session)
    loop = uvloop.new_event_loop()
    web.run_app(
        app, host="127.0.0.1", port=args.port, loop=loop, backlog=4096, print=None, access_log=None
    )


if __name__ == "__main__":
    main()
