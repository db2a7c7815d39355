"""What is written to a client, byte by byte."""

import asyncio
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from conduit.gateway.exchange import ClientGone
from conduit.gateway.routes.relay import HttpRelay


async def test_an_empty_piece_does_not_end_the_body_before_its_end() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        relay = HttpRelay(request, stall_timeout_s=1)
        await relay.start({"content-type": "text/event-stream"})
        for piece in (b"data: 1\n\n", b"", b"data: 2\n\n", b""):
            await relay.write(piece)
        assert relay.response is not None
        return relay.response

    app = web.Application()
    app.router.add_get("/", handle)
    async with TestClient(TestServer(app)) as client:
        for _ in range(2):  # the second reads what the first may have left on the connection
            async with client.get("/") as response:
                assert await response.text() == "data: 1\n\ndata: 2\n\n"


class SlowClient:
    """A request, its transport and its writer in one, whose client takes what `takes` says.

    Each of its numbers is what is left to take after a time in which there was no room for more.
    """

    version = (1, 1)
    method = "POST"
    keep_alive = True
    secure = False
    output_size = 0

    def __init__(self, *left: int) -> None:
        self._left = list(left)
        self.waiting = 0
        self.aborted = False
        self.transport = self.writer = self

    def is_closing(self) -> bool:
        return self.aborted

    def get_extra_info(self, name: str) -> None:
        """It is no real connection, and in the clear."""

    def write(self, data: bytes) -> None:
        self.waiting += len(data)

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self.aborted = True

    async def drain(self) -> None:
        if not self._left:
            self.waiting = 0
            return
        self.waiting = self._left.pop(0)
        await asyncio.Event().wait()


async def relayed(client: SlowClient) -> None:
    relay = HttpRelay(cast(web.Request, client), stall_timeout_s=0.01)
    await relay.start({"content-type": "text/event-stream"})
    await relay.write(b"x" * 100_000)


async def test_a_client_that_takes_little_is_waited_for() -> None:
    client = SlowClient(90_000, 80_000, 70_000, 60_000)
    await relayed(client)
    assert not client.aborted


async def test_a_client_that_takes_nothing_for_the_time_is_cut_off() -> None:
    client = SlowClient(90_000, 80_000, 80_000)
    with pytest.raises(ClientGone):
        await relayed(client)
    assert client.aborted
