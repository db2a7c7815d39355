"""Errors as answers: their shapes, their headers, and what they keep to themselves."""

import asyncio
import gc
import logging
import weakref
from pathlib import Path

import pytest
from aiohttp import web

from conduit.core.errors import (
    AuthenticationError,
    ConduitError,
    FailedLoginsError,
    InsufficientQuotaError,
    NotFoundError,
    RateLimitedError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
)
from tests.fakes.certificates import Authority
from tests.gateway.server.edge import (
    ADMIN_PATH,
    PATH,
    PATIENCE_S,
    TLS_NAME,
    Handler,
    echo,
    post,
    serving,
)

SECRET = "condt_secret_in_an_exception"


def raising(error: BaseException) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        raise error

    return handler


async def test_a_client_gets_openais_shape_and_our_request_id() -> None:
    async with serving(raising(InsufficientQuotaError("the budget is spent"))) as edge:
        answer = await edge.ask(post(b"{}", "x-request-id: theirs"))
    assert answer.status == 429
    assert answer.error == {
        "message": "the budget is spent",
        "type": "insufficient_quota",
        "param": None,
        "code": "insufficient_quota",
    }
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"].startswith("application/json")
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize(
    ("error", "source"),
    [
        (NotFoundError("no such path"), "gateway"),
        (RuntimeError("nobody foresaw this"), "gateway"),
        (UpstreamRejectedError("no", status=404, code="model_not_found"), "provider"),
        (UpstreamTimeoutError("too slow"), "provider"),
    ],
)
async def test_an_error_tells_whose_it_is(error: Exception, source: str) -> None:
    async with serving(raising(error)) as edge:
        answer = await edge.ask(post(b"{}"))
        assert answer.headers["x-conduit-error-source"] == source


async def test_an_administrator_gets_the_admin_envelope() -> None:
    error = NotFoundError("no such key", hint="conduit keys list")
    async with serving(raising(error), path=ADMIN_PATH) as edge:
        answer = await edge.ask(post(b"{}", path=ADMIN_PATH))
    assert answer.status == 404
    assert answer.error == {
        "code": "not_found",
        "message": "no such key",
        "param": None,
        "hint": "conduit keys list",
        "request_id": answer.headers["x-request-id"],
        "status": 404,
        "retryable": False,
    }
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("wait_s", "seconds", "milliseconds"), [(0.2, "1", "200"), (2, "2", "2000"), (-1, "0", "0")]
)
async def test_when_to_come_again_is_told_twice(
    wait_s: float, seconds: str, milliseconds: str
) -> None:
    async with serving(raising(RateLimitedError("slower", retry_after_s=wait_s))) as edge:
        answer = await edge.ask(post(b"{}"))
    assert answer.headers["retry-after"] == seconds
    assert answer.headers["retry-after-ms"] == milliseconds
    assert "x-should-retry" not in answer.headers


async def test_what_nobody_foresaw_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        async with serving(raising(KeyError(SECRET))) as edge:
            answer = await edge.ask(post(b"{}"))
    assert (answer.status, answer.error["code"]) == (500, "internal_error")
    assert SECRET.encode() not in answer.body
    assert answer.headers["x-request-id"] in caplog.text
    assert "KeyError" in caplog.text


async def test_an_unknown_path_and_method_are_told_in_our_words() -> None:
    async with serving(echo()) as edge:
        missing = await edge.ask(post(b"{}", path="/v1/nothing"))
        assert (missing.status, missing.error["code"]) == (404, "not_found")
        other = await edge.ask(post(b"{}", path="/nothing"))
        assert other.error["request_id"] == other.headers["x-request-id"]
        method = await edge.ask(f"DELETE {PATH} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        assert (method.status, method.error["code"]) == (405, "method_not_allowed")
        assert "POST" in method.headers["allow"]


async def test_every_answer_is_nosniff_and_names_no_server() -> None:
    async with serving(echo()) as edge:
        for data in (post(b"{}"), post(b"{}", path="/x"), b"\x16\x03\x01 garbage\r\n\r\n"):
            answer = await edge.ask(data)
            assert "server" not in answer.headers
            assert answer.headers["x-content-type-options"] == "nosniff"
            policy = answer.headers["content-security-policy"]
            assert policy == "default-src 'none'; frame-ancestors 'none'"
            assert "strict-transport-security" not in answer.headers
            assert not any(name.startswith("access-control") for name in answer.headers)
            assert answer.headers["x-request-id"].startswith("req_")


NOT_HTTP = [
    b"<script>alert(1)</script>\r\n\r\n",
    b"GET / HTTP/1.1\r\nbad header<script>: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n<script>: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
]
TOO_LARGE = [
    b"GET / HTTP/1.1\r\nhost: a\r\nx: <script>" + b"a" * 9000 + b"\r\n\r\n",
    b"GET /" + b"<script>" * 2000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"x: <script>\r\n" * 100 + b"\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\n" + (b"x: " + b"<script>" * 100 + b"\r\n") * 42 + b"\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\n" + (b"x: " + b"<script>" * 100 + b"\r\n") * 42,
]


@pytest.mark.parametrize("data", NOT_HTTP)
async def test_what_is_not_http_is_answered_without_repeating_it(data: bytes) -> None:
    async with serving(echo()) as edge, edge.connect() as client:
        await client.write(data)
        answer = await client.answer()
        assert (answer.status, answer.error["code"]) == (400, "invalid_request")
        assert b"script" not in answer.body
        assert await client.ended() == b""


@pytest.mark.parametrize("data", TOO_LARGE)
async def test_a_head_that_is_too_large_is_told_the_limits(data: bytes) -> None:
    async with serving(echo()) as edge, edge.connect() as client:
        await client.write(data)
        answer = await client.answer()
        assert (answer.status, answer.error["code"]) == (431, "head_too_large")
        assert b"script" not in answer.body
        assert await client.ended() == b""


async def test_a_head_that_grows_piece_by_piece_is_refused_before_its_end() -> None:
    async with serving(echo()) as edge, edge.connect() as client:
        await client.write(b"GET / HTTP/1.1\r\nhost: a\r\n")
        for number in range(34):
            await client.write(b"x%d: %b\r\n" % (number, b"y" * 1000))
        assert (await client.answer()).status == 431


async def test_a_large_head_behind_a_good_request_is_refused_alone() -> None:
    large = post(b"{}", *[f"x{number}: {'y' * 1000}" for number in range(34)])
    async with serving(echo()) as edge, edge.connect() as client:
        await client.write(post(b"{}") + large)
        assert (await client.answer()).status == 200
        assert (await client.answer()).status == 431


async def test_a_large_body_makes_no_head_large() -> None:
    body = b"x" * 100_000
    async with serving(echo()) as edge, edge.connect() as client:
        for _ in range(2):
            await client.write(post(body))
            assert (await client.answer()).body == body


class Held:
    """Something that a handler works with, and that must not outlive its request."""


@pytest.mark.parametrize(
    "error",
    [ConduitError("refused"), web.HTTPBadRequest()],
    ids=lambda error: type(error).__name__,
)
async def test_what_a_failed_handler_held_is_let_go_at_once(error: Exception) -> None:
    held: list[weakref.ref[Held]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        local = Held()
        held.append(weakref.ref(local))
        try:
            raise ValueError("the first cause")
        except ValueError as first:
            raise error from first

    gc.collect()
    gc.disable()
    try:
        async with serving(handler) as edge:
            await edge.ask(post(b"{}"))
            async with asyncio.timeout(PATIENCE_S):
                while held[0]() is not None:  # the answer leaves before the handler's task ends
                    await asyncio.sleep(0.01)
    finally:
        gc.enable()


async def test_an_error_after_the_answer_began_cuts_it_instead_of_writing_into_it() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        raise ConduitError("too late")

    async with serving(handler) as edge, edge.connect() as client:
        await client.write(post(b"{}"))
        everything = await client.ended()
        assert b"too late" not in everything
        assert not everything.endswith(b"0\r\n\r\n")


async def test_under_tls_browsers_are_told_to_stay_with_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = authority.client_context()
    async with (
        serving(echo(), ssl_context=authority.server_context(TLS_NAME)) as edge,
        edge.connect(tls) as connection,
    ):
        await connection.write(post(b"{}"))
        answer = await connection.answer()
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


async def test_a_failed_login_is_answered_as_the_gateway_decides() -> None:
    wrong = AuthenticationError("the API key is not valid")

    def put_off(request: web.BaseRequest, error: AuthenticationError) -> ConduitError:
        assert (request.path, error) == (PATH, wrong)
        return FailedLoginsError("too many", retry_after_s=60)

    async with serving(raising(wrong), refuse_login=put_off) as edge:
        answer = await edge.ask(post(b"{}"))
    assert (answer.status, answer.error["code"]) == (429, "too_many_failed_logins")
    assert answer.headers["retry-after"] == "60"
    assert answer.headers["x-should-retry"] == "false"
    assert "www-authenticate" not in answer.headers


async def test_a_cancelled_handler_stays_cancelled() -> None:
    handled: list[str] = []
    running = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        running.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            handled.append("cancelled")
            raise
        return web.Response()

    async with serving(handler) as edge, edge.connect() as client:
        await client.write(post(b"{}"))
        await running.wait()
        await edge.runner.cleanup()
    assert handled == ["cancelled"]
