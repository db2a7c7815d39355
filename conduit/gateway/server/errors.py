"""The one place where errors become answers: the error middleware and its envelope."""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Final

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from conduit.core.errors import (
    AuthenticationError,
    ConduitError,
    InvalidRequestError,
    MethodNotAllowedError,
    NotFoundError,
    PayloadTooLargeError,
    ShuttingDownError,
    UpstreamFailure,
    admin_envelope,
)
from conduit.gateway.server.bare import BareResponse
from conduit.gateway.server.direct import DirectRequest
from conduit.gateway.server.handlers import AnswerError
from conduit.gateway.server.headers import is_client_api, own_id_headers, request_id
from conduit.gateway.server.prepared import WholeAnswer

_log = logging.getLogger(__name__)

EncodeError = Callable[[ConduitError, str, str], bytes]
"""How an error is written for the clients of a path, with the id of the request."""

Scrub = Callable[[bytes], bytes]

RefuseLogin = Callable[[web.BaseRequest, AuthenticationError], ConduitError]
"""What the caller is told whose key was refused: the same error, or that there were too many."""

_INTERNAL: Final = "something went wrong inside the gateway"
_CLOSING: Final = frozenset({408, 413})
_JSON: Final = "application/json"


def error_middleware(
    encode_error: EncodeError,
    scrub: Scrub = bytes,
    refuse_login: RefuseLogin = lambda _, error: error,
) -> Middleware:
    """Middleware that turns whatever a handler raises into an answer in the shape of its API.

    `scrub` takes secrets out of what is sent. Every failed login passes here, whichever route it
    came by: `refuse_login` sees them all.
    """

    answer = error_answers(encode_error, scrub, refuse_login)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # the last stop, see error_answers
            return answer(request, error)

    return middleware


def error_answers(
    encode_error: EncodeError,
    scrub: Scrub = bytes,
    refuse_login: RefuseLogin = lambda _, error: error,
) -> AnswerError:
    """What makes an answer of whatever a handler raised; unforeseen errors go to the log.

    The parameters are those of `error_middleware`.
    """

    def answer(request: web.BaseRequest, error: Exception) -> web.StreamResponse:
        match error:
            case AuthenticationError():
                own = refuse_login(request, error)
            case ConduitError():
                own = error
            case web.HTTPException() if error.status < 400:
                raise error
            case web.HTTPException():
                own = _own(error, request)
            case _:
                own = unexpected(request, error)
        forget_trace(error)
        forget_trace(own)
        if request.writer.output_size > 0:
            # A second head in the middle of an answer would be read as its content.
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the answer had begun")
        return error_response(request, own, encode_error, scrub)

    return answer


def forget_trace(error: BaseException | None) -> None:
    """Let go of the frames that an error has passed, and so of all that they hold.

    They and the error hold each other, so that a refused body would stay in memory until the
    garbage collector comes by, which is seldom.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def error_response(
    request: web.BaseRequest,
    error: ConduitError,
    encode_error: EncodeError,
    scrub: Scrub = bytes,
) -> web.StreamResponse:
    """The whole answer for an error, in OpenAI's shape on /v1 and in the admin API's elsewhere."""
    ident = request_id(request)
    headers = error_headers(error)
    # What is left of the body is not worth reading.
    ends = error.status in _CLOSING or isinstance(error, ShuttingDownError)
    if isinstance(request, DirectRequest):
        headers |= {"x-request-id": ident, "content-type": _JSON}
        headers |= own_id_headers(request.path, ident)
        body = scrub(encode_error(error, request.path, ident))
        return WholeAnswer(error.status, headers, body, ends=ends)
    if is_client_api(request.path):
        body = encode_error(error, request.path, ident)
    else:
        body = msgspec.json.encode(admin_envelope(error, ident))
    response = BareResponse(
        status=error.status, body=scrub(body), content_type=_JSON, headers=headers
    )
    if ends:
        response.force_close()
    return response


def error_headers(error: ConduitError) -> dict[str, str]:
    """What tells a client whose error it is, and whether and when to come again."""
    # A provider's own code is passed on, and may be one of ours.
    source = "provider" if isinstance(error, UpstreamFailure) else "gateway"
    headers = {"cache-control": "no-store", "x-conduit-error-source": source}
    if error.retry_after_s is not None:
        wait_s = max(0.0, error.retry_after_s)
        headers["retry-after"] = str(math.ceil(wait_s))
        headers["retry-after-ms"] = str(math.ceil(wait_s * 1000))
    if error.should_retry is not None:
        headers["x-should-retry"] = "true" if error.should_retry else "false"
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    headers |= error.headers
    allowed = getattr(error, "allowed_methods", None)
    if allowed:
        headers["allow"] = allowed
    return headers


def unexpected(request: web.BaseRequest, error: BaseException) -> ConduitError:
    """An error that nobody foresaw: to the log with its traceback, to the caller without detail."""
    ident = request_id(request)
    _log.error("request %s failed unexpectedly", ident, exc_info=error)
    return ConduitError(_INTERNAL, hint=f"look for {ident} in the gateway's log")


def _own(error: web.HTTPException, request: web.BaseRequest) -> ConduitError:
    """aiohttp's own refusals as ours."""
    match error:
        case web.HTTPMethodNotAllowed():
            own: ConduitError = _NotAllowed(request.method, error.headers.get(hdrs.ALLOW, ""))
        case web.HTTPNotFound():
            own = NotFoundError("no such path")
        case web.HTTPRequestEntityTooLarge():
            own = PayloadTooLargeError("the body is too large")
        case web.HTTPClientError():
            own = InvalidRequestError("the request cannot be served")
            own.status = error.status
        case _:
            own = unexpected(request, error)
    return own


class _NotAllowed(MethodNotAllowedError):
    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"{method[:16]} is not allowed here")
        self.allowed_methods = allowed
