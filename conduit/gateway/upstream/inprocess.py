"""An endpoint for providers that answer inside the process, such as the simulator."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

from multidict import CIMultiDict

from conduit.gateway.provider import LocalAnswer, LocalProvider, Operation
from conduit.gateway.upstream import (
    Deadlines,
    Departure,
    Take,
    TransportError,
    TransportFault,
)


class InProcessEndpoint:
    """A local provider behind the interface of a remote one.

    A path leads to the operation for which the provider itself names that path, so the provider's
    paths must not depend on the model.
    """

    def __init__(self, provider: LocalProvider) -> None:
        self._provider = provider
        self._operations: Mapping[str, Operation] = {
            provider.path(operation, ""): operation for operation in provider.type.operations
        }
        self._closing: set[asyncio.Task[None]] = set()

    async def send(
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        deadlines: Deadlines,
        departure: Departure | None = None,
    ) -> "InProcessResponse":
        if departure is not None:
            departure.sent = True
        operation = self._operations.get(path)
        if operation is None:
            return self._response(_not_found(path), deadlines)
        return self._response(self._provider.answer(operation, body), deadlines)

    async def get(
        self, path: str, headers: Mapping[str, str], deadlines: Deadlines
    ) -> "InProcessResponse":
        if path != "/models":
            return self._response(_not_found(path), deadlines)
        rows = [
            {"id": name, "object": "model", "created": 0, "owned_by": self._provider.type.name}
            for name in self._provider.models
        ]
        return self._response(_whole(200, {"object": "list", "data": rows}), deadlines)

    def _response(self, answer: LocalAnswer, deadlines: Deadlines) -> "InProcessResponse":
        return InProcessResponse(answer, deadlines.total_s, self._end)

    def _end(self, pieces: AsyncIterator[bytes]) -> None:
        """Stop a generator that nobody reads any more, in a task that this endpoint owns."""
        if isinstance(pieces, AsyncGenerator):
            task = asyncio.get_running_loop().create_task(pieces.aclose())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


class InProcessResponse:
    """The answer of a local provider, read piece by piece."""

    __slots__ = ("_closed", "_deadline", "_end", "_pieces", "_reading", "headers", "status")

    def __init__(
        self,
        answer: LocalAnswer,
        total_s: float | None,
        end: Callable[[AsyncIterator[bytes]], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.status = answer.status
        self.headers: Mapping[str, str] = CIMultiDict(answer.headers)
        self._pieces = answer.pieces
        self._deadline = None if total_s is None else loop.time() + total_s
        self._end = end
        self._reading = False
        self._closed = False

    @property
    def at_end(self) -> bool:
        return self._closed

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._closed:
            raise _error(TransportFault.CUT, "the answer was closed before its end")
        self._reading = True
        try:
            async with asyncio.timeout_at(self._deadline):
                piece = await anext(self._pieces)
        except TimeoutError as error:
            self._closed = True  # the generator was ended by the timeout itself
            raise _error(
                TransportFault.TOTAL_TIMEOUT, "the answer was not complete in time"
            ) from error
        finally:
            self._reading = False
            if self._closed:
                self._end(self._pieces)
        return piece

    def pipe(self, take: Take) -> None:
        """All pieces are given by iterating."""

    async def read(self, limit: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        async for piece in self:
            size += len(piece)
            if size > limit:
                self.close()
                raise _error(TransportFault.TOO_LARGE, "the answer is larger than allowed")
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if not self._reading:  # a generator that runs is ended by the reader, at its next piece
            self._end(self._pieces)


def _error(fault: TransportFault, text: str) -> TransportError:
    return TransportError(fault, text, sent=True, reused=False)


def _not_found(path: str) -> LocalAnswer:
    error = {"message": f"nothing answers at {path}", "type": "invalid_request_error"}
    return _whole(404, {"error": {**error, "param": None, "code": "not_found"}})


def _whole(status: int, value: object) -> LocalAnswer:
    async def pieces() -> AsyncIterator[bytes]:
        yield json.dumps(value).encode()

    return LocalAnswer(status, {"content-type": "application/json"}, pieces())
