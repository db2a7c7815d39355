"""Handlers that are called past an application, which answers nothing for them."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

AnswerError = Callable[[web.BaseRequest, Exception], web.StreamResponse]


class DirectHandler:
    """A handler and what makes answers of its errors, for whoever serves requests by themselves.

    Called like any handler it does both. `handle` takes a web.Request, or what stands for one.
    """

    __slots__ = ("answer_error", "handle")

    def __init__(
        self, handle: Callable[[Any], Awaitable[web.StreamResponse]], answer_error: AnswerError
    ) -> None:
        self.handle = handle
        self.answer_error = answer_error

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self.handle(request)
        except Exception as error:  # noqa: BLE001  # the last stop, see errors.error_answers
            return self.answer_error(request, error)
