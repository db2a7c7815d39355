"""Reading a request's body: bounded in size and in time, and only in forms that are understood."""

import asyncio
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web
from aiohttp.streams import StreamReader

from conduit.core.errors import (
    InvalidRequestError,
    PayloadTooLargeError,
    RequestTimeoutError,
    UnsupportedMediaError,
)
from conduit.gateway.server.direct import DirectRequest
from conduit.gateway.server.expect import send_continue
from conduit.gateway.server.headers import tells_json


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How large a body may be, and how long it may take: `grace_s`, and longer as it arrives."""

    max_bytes: int = 32 * 1024 * 1024
    grace_s: float = 30.0
    bytes_per_s: int = 100 * 1024


_DEFAULT: Final = BodyLimits()


async def read_body(request: web.BaseRequest, limits: BodyLimits = _DEFAULT) -> bytes:
    """The whole body of a JSON request. Raises a RequestError that tells what is wrong with it."""
    if isinstance(request, DirectRequest):
        return body_of(request, limits)
    _check_head(request, limits)
    content = request.content
    if content.is_eof() and content.exception() is None:
        body = content.read_nowait(-1)
        if len(body) > limits.max_bytes:
            raise _too_large(limits)
        return body
    await send_continue(request)
    return await _arriving(content, limits)


def body_of(request: DirectRequest, limits: BodyLimits) -> bytes:
    """The body of a request that came with all of it. Raises what `read_body` does.

    The request lets go of it: a long answer does not keep it.
    """
    if not request.plain_head.tells_json:
        raise _not_json()
    body, request.whole_body = request.whole_body, b""
    if len(body) > limits.max_bytes:
        raise _too_large(limits)
    return body


def _check_head(request: web.BaseRequest, limits: BodyLimits) -> None:
    headers = request.headers
    if not tells_json(headers):
        raise _not_json()
    coding = headers.get(hdrs.CONTENT_ENCODING)
    if coding is not None and coding.strip().lower() not in ("", "identity"):
        raise UnsupportedMediaError("compressed bodies are not accepted: send the body as it is")
    length = headers.get(hdrs.CONTENT_LENGTH)
    # A number of that many digits is too large whatever they are, and slow to turn into one.
    if length is not None and (len(length) > 18 or int(length) > limits.max_bytes):
        raise _too_large(limits)


async def _arriving(content: StreamReader, limits: BodyLimits) -> bytes:
    loop = asyncio.get_running_loop()
    latest = loop.time() + limits.grace_s
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout_at(latest) as timeout:
            while piece := await content.readany():
                size += len(piece)
                if size > limits.max_bytes:
                    raise _too_large(limits)
                pieces.append(piece)
                timeout.reschedule(latest + size / limits.bytes_per_s)
    except TimeoutError as error:
        raise RequestTimeoutError("the body did not arrive in time") from error
    except OSError as error:
        raise InvalidRequestError("the connection ended before the body was complete") from error
    except (web.RequestPayloadError, web.PayloadAccessError) as error:
        raise InvalidRequestError("the body is not framed as its headers say") from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _not_json() -> UnsupportedMediaError:
    return UnsupportedMediaError("the content type must be application/json")


def _too_large(limits: BodyLimits) -> PayloadTooLargeError:
    return PayloadTooLargeError(f"the body is larger than {limits.max_bytes:,} bytes")
