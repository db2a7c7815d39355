"""Local providers behind the interface of remote ones."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping

import pytest

from conduit.gateway.provider import (
    LocalAnswer,
    LocalProvider,
    Operation,
    OutgoingRequest,
    ProviderType,
)
from conduit.gateway.upstream import Deadlines, TransportError, TransportFault
from conduit.gateway.upstream.inprocess import InProcessEndpoint

PATHS = {
    Operation.CHAT: "/chat/completions",
    Operation.COMPLETION: "/completions",
    Operation.EMBEDDING: "/embeddings",
}


class Counting:
    """Answers with numbers, slowly; knows when its generator ended."""

    type = ProviderType("counting", "Counting", "openai_chat", None)
    models = ("one", "two")

    def __init__(self, pieces: int = 3, pause_s: float = 0.0) -> None:
        self.pieces = pieces
        self.pause_s = pause_s
        self.asked: list[tuple[Operation, bytes]] = []
        self.ended = asyncio.Event()

    def path(self, operation: Operation, model: str, *, stream: bool = False) -> str:
        return PATHS[operation]

    async def authorize(
        self, credential: str | None, request: OutgoingRequest
    ) -> Mapping[str, str]:
        return {}

    def answer(self, operation: Operation, body: bytes) -> LocalAnswer:
        self.asked.append((operation, body))
        return LocalAnswer(200, {"content-type": "text/plain"}, self._count())

    async def _count(self) -> AsyncIterator[bytes]:
        try:
            for index in range(self.pieces):
                if index:
                    await asyncio.sleep(self.pause_s)
                yield str(index).encode()
        finally:
            self.ended.set()


@pytest.mark.parametrize("operation", PATHS)
async def test_a_path_leads_to_its_operation(operation: Operation) -> None:
    provider = Counting()
    assert isinstance(provider, LocalProvider)
    endpoint = InProcessEndpoint(provider)
    response = await endpoint.send(PATHS[operation], b"{}", {}, Deadlines())
    assert (response.status, response.headers["Content-Type"]) == (200, "text/plain")
    assert await response.read(100) == b"012"
    assert provider.asked == [(operation, b"{}")]


async def test_another_path_is_not_found() -> None:
    response = await InProcessEndpoint(Counting()).send("/images", b"", {}, Deadlines())
    assert response.status == 404
    assert json.loads(await response.read(1000))["error"]["code"] == "not_found"


async def test_models_are_those_of_the_provider() -> None:
    endpoint = InProcessEndpoint(Counting())
    response = await endpoint.get("/models", {}, Deadlines())
    assert [row["id"] for row in json.loads(await response.read(1000))["data"]] == ["one", "two"]
    assert (await endpoint.get("/other", {}, Deadlines())).status == 404


async def test_closing_ends_the_generator() -> None:
    provider = Counting(pieces=1000)
    response = await InProcessEndpoint(provider).send(PATHS[Operation.CHAT], b"", {}, Deadlines())
    assert await anext(aiter(response)) == b"0"
    response.close()
    response.close()
    await asyncio.wait_for(provider.ended.wait(), 1)
    with pytest.raises(TransportError) as raised:
        await anext(aiter(response))
    assert raised.value.fault is TransportFault.CUT


async def test_closing_while_a_piece_is_made_ends_it_after_that_piece() -> None:
    provider = Counting(pieces=1000, pause_s=0.02)
    response = await InProcessEndpoint(provider).send(PATHS[Operation.CHAT], b"", {}, Deadlines())
    pieces = aiter(response)
    await anext(pieces)
    reading = asyncio.ensure_future(anext(pieces))
    await asyncio.sleep(0)
    response.close()
    await reading
    await asyncio.wait_for(provider.ended.wait(), 1)


async def test_the_deadline_of_the_whole_holds() -> None:
    provider = Counting(pieces=2, pause_s=60)
    deadlines = Deadlines(total_s=0.05)
    response = await InProcessEndpoint(provider).send(PATHS[Operation.CHAT], b"", {}, deadlines)
    with pytest.raises(TransportError) as raised:
        await response.read(100)
    assert raised.value.fault is TransportFault.TOTAL_TIMEOUT
    assert provider.ended.is_set()


async def test_an_answer_larger_than_asked_for_is_refused() -> None:
    provider = Counting(pieces=50)
    response = await InProcessEndpoint(provider).send(PATHS[Operation.CHAT], b"", {}, Deadlines())
    with pytest.raises(TransportError) as raised:
        await response.read(10)
    assert raised.value.fault is TransportFault.TOO_LARGE
    await asyncio.wait_for(provider.ended.wait(), 1)
