"""An OpenAI-compatible upstream on a real socket that records what reaches it and fails on demand.

In a test:

    async with FakeUpstream() as fake:
        ... send to fake.base_url with the model "fake-n20-cut_rst" ...
        assert fake.requests[0].headers["authorization"] == "Bearer …"

By itself: `python -m tests.fakes.upstream --port 0 --log FILE` prints its base URL and appends one
JSON line for each request, which is on its way to the disk before the answer begins.
"""

import argparse
import asyncio
import os
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.fakes.behaviour import Behaviour, behaviour_of
from tests.fakes.connection import Connection, Received

MODELS = ("fake", "fake-tools", "fake-echo")


class FakeUpstream:
    """The server. `script` queues behaviours that go before those of model names."""

    def __init__(
        self, *, log: str | None = None, prefix: str = "/v1", models: tuple[str, ...] = MODELS
    ) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self.open_connections: set[Connection] = set()
        self.in_flight = 0
        self.peak_in_flight = 0
        self.models = models
        self.default: Behaviour | None = None
        self._prefix = prefix
        self._queue: deque[Behaviour] = deque()
        self._server: asyncio.Server | None = None
        self._changed = asyncio.Condition()
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if log else None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), host, port, backlog=4096)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self.open_connections):
            connection.abort()
        await self.until(lambda fake: not fake.open_connections)
        if self._log is not None:
            os.close(self._log)
            self._log = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def port(self) -> int:
        assert self._server is not None, "the fake upstream is not started"
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self._prefix}"

    @property
    def client_request_ids(self) -> list[str]:
        return [r.client_request_id for r in self.requests if r.client_request_id is not None]

    def script(self, *behaviours: Behaviour) -> None:
        self._queue.extend(behaviours)

    async def until(
        self, condition: Callable[["FakeUpstream"], bool], timeout_s: float = 5
    ) -> None:
        """Wait until `condition` holds; it is asked again at every request, end and abort."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def request(self, number: int, timeout_s: float = 5) -> Received:
        """Wait for the request of that number, counted from 1."""
        await self.until(lambda fake: len(fake.requests) >= number, timeout_s)
        return self.requests[number - 1]

    def behaviour(self, received: Received) -> Behaviour | None:
        if self._queue:
            return self._queue.popleft()
        return self.default or behaviour_of(received.model)

    async def began(self, received: Received) -> None:
        self.requests.append(received)
        if self._log is not None:
            os.write(self._log, received.line())
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        await self.tell()

    async def ended(self) -> None:
        self.in_flight -= 1
        await self.tell()

    async def left(self, connection: Connection) -> None:
        self.open_connections.discard(connection)
        await self.tell()

    async def tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


async def _run(host: str, port: int, log: str | None) -> None:
    fake = FakeUpstream(log=log)
    await fake.start(host, port)
    print(fake.base_url, flush=True)
    await asyncio.Event().wait()


def main() -> None:
    options = argparse.ArgumentParser(prog="tests.fakes.upstream")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--log")
    given = options.parse_args()
    asyncio.run(_run(given.host, given.port, given.log))


if __name__ == "__main__":
    main()
