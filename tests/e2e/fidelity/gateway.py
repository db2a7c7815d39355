"""One gateway with a provider of each dialect, all of them one replaying server."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from tests.e2e.conftest import Running, running_gateway
from tests.e2e.fidelity.clients import Client
from tests.e2e.fidelity.conversation import Answer, Ask
from tests.e2e.fidelity.providers import PROVIDERS, VENDORS, Provider
from tests.e2e.fidelity.vendors import Doors
from tests.fakes.replay import Received, ReplayUpstream, Reply


@dataclass(frozen=True, slots=True)
class Answered:
    """What a client got: the bytes, and the head."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Matrix:
    running: Running
    upstream: ReplayUpstream
    key: str
    doors: Doors

    async def post(
        self,
        client: Client,
        provider: Provider,
        ask: Ask,
        reply: Reply,
        *,
        model: str | None = None,
    ) -> Answered:
        self.upstream.reply = reply
        self.upstream.requests.clear()
        model = model or alias(provider)
        async with self.running.http.post(
            self.running.url + client.path(model, ask.stream),
            json=client.body(ask, model),
            headers={"authorization": f"Bearer {self.key}"},
        ) as response:
            return Answered(response.status, response.headers, await response.read())

    async def ask(
        self,
        client: Client,
        provider: Provider,
        ask: Ask,
        reply: Reply,
        *,
        model: str | None = None,
    ) -> Answer:
        """The answer as the client reads it; it must be a good one."""
        answered = await self.post(client, provider, ask, reply, model=model)
        assert answered.status == 200, answered.body
        if ask.stream:
            assert client.ends_well(answered.body) or b"incomplete" in answered.body
            return client.stream(answered.body)
        return client.whole(answered.json)

    async def leave(self, client: Client, provider: Provider, ask: Ask, reply: Reply) -> None:
        """Ask, and hang up once a piece of the answer has come."""
        self.upstream.reply = reply
        self.upstream.left.clear()
        model = alias(provider)
        async with ClientSession() as http:
            response = await http.post(
                self.running.url + client.path(model, ask.stream),
                json=client.body(ask, model),
                headers={"authorization": f"Bearer {self.key}"},
            )
            assert await response.content.readany()
            response.close()

    @property
    def received(self) -> Received:
        (request,) = self.upstream.requests
        return request


def alias(provider: Provider) -> str:
    return f"to-{provider.type.replace('_', '-')}"


async def connect(
    running: Running, provider: Provider, base_url: str, *, name: str | None = None
) -> None:
    """A provider of that type, and the alias of its name for its model."""
    name = name or alias(provider)
    fields = {
        "name": name,
        "type": provider.type,
        "base_url": base_url,
        "credential": {"secret": provider.credential},
    }
    # Not read to its end where its client hangs up, as it is by itself where that costs the same.
    await running.admin("POST", "/providers", {**fields, "on_hang_up": "cancel"})
    targets = [{"provider": name, "model": provider.model}]
    await running.admin("POST", "/mappings", {"alias": name, "targets": targets})
    await running.admin("PUT", f"/prices/{name}/*", {"input": "1", "output": "2"})


@asynccontextmanager
async def open_matrix(folder: Path) -> AsyncIterator[Matrix]:
    doors = Doors()
    async with (
        ReplayUpstream(doors) as upstream,
        running_gateway(folder, breakers=False, max_attempts=1) as running,
    ):
        for provider in (*PROVIDERS, *VENDORS):
            await connect(running, provider, f"{upstream.url}/{provider.type}{provider.root}")
        yield Matrix(running, upstream, await running.key("matrix"), doors)
        assert doors.refused == []
