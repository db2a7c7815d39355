"""Every test here runs on asyncio's own loop and on uvloop, and what is shared on every client."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from conduit.gateway.upstream import Upstreams
from conduit.gateway.upstream.aiohttp_client import AiohttpUpstreams
from conduit.gateway.upstream.http1 import Http1Upstreams
from conduit.gateway.upstream.options import ClientOptions
from tests.fakes.loops import BOTH_LOOPS
from tests.fakes.upstream import FakeUpstream

CLIENTS: Mapping[str, Callable[[ClientOptions | None], Upstreams]] = {
    "aiohttp": AiohttpUpstreams,
    "http1": Http1Upstreams,
}

OpenClient = Callable[[ClientOptions], Upstreams]
OpenHttp1 = Callable[[ClientOptions], Http1Upstreams]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return BOTH_LOOPS


@pytest.fixture(params=CLIENTS)
async def open_client(request: pytest.FixtureRequest) -> AsyncIterator[OpenClient]:
    """Opens clients, which are closed after the test."""
    opened = []

    def open_(options: ClientOptions) -> Upstreams:
        opened.append(CLIENTS[request.param](options))
        return opened[-1]

    yield open_
    for client in opened:
        await client.close()


@pytest.fixture
async def upstreams(open_client: OpenClient) -> Upstreams:
    return open_client(ClientOptions())


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as server:
        yield server


@pytest.fixture
async def open_http1() -> AsyncIterator[OpenHttp1]:
    opened = []

    def open_(options: ClientOptions) -> Http1Upstreams:
        opened.append(Http1Upstreams(options))
        return opened[-1]

    yield open_
    for client in opened:
        await client.close()


@pytest.fixture
async def http1(open_http1: OpenHttp1) -> Http1Upstreams:
    return open_http1(ClientOptions())
