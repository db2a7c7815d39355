"""The aiohttp transport of the admin API, through a real server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from conduit.client.connection import Connection
from conduit.client.errors import ApiError, AuthenticationFailed, Unreachable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def echo(request: web.Request) -> web.Response:
    return web.json_response(
        {
            "method": request.method,
            "target": request.raw_path,
            "authorization": request.headers["authorization"],
            "body": await request.text(),
        }
    )


async def test_an_operation_is_sent_with_its_names_query_and_body() -> None:
    async with answering(echo) as url, Connection(url, "condt_mk_1") as connection:
        shown = await connection.call("mappings.show", "meta/llama 3")
        listed = await connection.call("requests.list", query={"filter": "a b", "limit": None})
        created = await connection.call("keys.create", body={"name": "ci"})
    assert shown["target"] == "/admin/mappings/meta%2Fllama%203"
    assert shown["authorization"] == "Bearer condt_mk_1"
    assert listed["target"] == "/admin/requests?filter=a+b"
    assert created["method"] == "POST"
    assert created["body"] == '{"name": "ci"}'


async def test_a_gateway_may_live_below_a_path() -> None:
    async with answering(echo) as url, Connection(f"{url}/llm/", "t") as connection:
        assert (await connection.call("whoami"))["target"] == "/llm/admin/whoami"


async def test_a_large_answer_is_read_to_its_end() -> None:
    async def large(request: web.Request) -> web.Response:
        return web.json_response({"text": "x" * 3_000_000})

    async with answering(large) as url, Connection(url, "t") as connection:
        assert len((await connection.call("whoami"))["text"]) == 3_000_000


async def test_an_answer_without_content_is_empty() -> None:
    async def nothing(request: web.Request) -> web.Response:
        return web.Response(status=204)

    async with answering(nothing) as url, Connection(url, "t") as connection:
        assert await connection.call("keys.delete", "ci") == {}


async def test_an_error_envelope_becomes_an_error_with_its_fields() -> None:
    async def conflict(request: web.Request) -> web.Response:
        error = {
            "code": "conflict",
            "message": "the key has changed",
            "param": "name",
            "hint": "read it again",
            "request_id": "req_1",
            "status": 409,
            "retryable": False,
        }
        return web.json_response({"error": error}, status=409)

    async with answering(conflict) as url, Connection(url, "t") as connection:
        with pytest.raises(ApiError, match="the key has changed") as raised:
            await connection.call("keys.update", "ci", body={})
    error = raised.value
    assert (error.code, error.param, error.hint) == ("conflict", "name", "read it again")
    assert (error.request_id, error.status, error.retryable) == ("req_1", 409, False)


async def test_a_refused_token_has_an_error_of_its_own() -> None:
    async def refuse(request: web.Request) -> web.Response:
        error = {"code": "invalid_api_key", "message": "no"}
        return web.json_response({"error": error}, status=401)

    async with answering(refuse) as url, Connection(url, "secret") as connection:
        with pytest.raises(AuthenticationFailed, match="no") as raised:
            await connection.call("whoami")
        assert "secret" not in repr(connection) + repr(raised.value)


@pytest.mark.parametrize(("status", "body"), [(200, "<html>"), (200, "[1]"), (502, "bad gateway")])
async def test_an_answer_of_something_else_is_not_taken_for_a_gateway(
    status: int, body: str
) -> None:
    async def other(request: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    async with answering(other) as url, Connection(url, "t") as connection:
        with pytest.raises(ApiError, match="not one of a Conduit gateway"):
            await connection.call("whoami")


async def test_a_redirect_is_not_followed_with_the_token() -> None:
    followed = []

    async def redirect(request: web.Request) -> web.Response:
        if request.path == "/elsewhere":
            followed.append(request)
        raise web.HTTPFound("/elsewhere")

    async with answering(redirect) as url, Connection(url, "t") as connection:
        with pytest.raises(ApiError):
            await connection.call("whoami")
    assert not followed


async def test_no_gateway_is_unreachable() -> None:
    async with answering(echo) as url:
        pass
    async with Connection(url, "condt_mk_1") as connection:
        with pytest.raises(Unreachable, match="no answer from the gateway at") as raised:
            await connection.call("whoami")
    assert "condt_mk_1" not in str(raised.value)


async def test_a_silent_gateway_is_unreachable_after_the_timeout() -> None:
    async def silent(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async with answering(silent) as url, Connection(url, "t", timeout_s=0.1) as connection:
        with pytest.raises(Unreachable, match=r"no answer within 0\.1 s"):
            await connection.call("whoami")


async def test_a_connection_is_opened_before_it_is_used() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await Connection("http://127.0.0.1:1", "t").call("whoami")
