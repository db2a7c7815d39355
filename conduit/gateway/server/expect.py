"""`Expect: 100-continue`, answered only when the body is wanted."""

from aiohttp import hdrs, web

from conduit.core.errors import RequestError

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ExpectationFailedError(RequestError):
    status = 417
    code = "expectation_failed"


async def defer_continue(request: web.Request) -> None:
    """A route's `expect_handler`: says nothing yet, so that a refusal can come before the body."""


async def send_continue(request: web.BaseRequest) -> None:
    """Invite the body of a request that waits for it; called before the body is first read."""
    expected = request.headers.get(hdrs.EXPECT)
    if expected is None:
        return
    if expected.lower() != "100-continue":
        raise ExpectationFailedError("the expectation is not one that this server can meet")
    if request.version >= (1, 1) and not request.content.is_eof():
        await request.writer.write(_CONTINUE)
        # What was written is not the answer: an error may still take its place.
        request.writer.output_size = 0
