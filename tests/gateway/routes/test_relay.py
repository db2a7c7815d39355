"""What is written to a client, byte by byte."""

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

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
