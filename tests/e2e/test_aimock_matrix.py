"""Every client's dialect against aimock's idea of every provider's.

It departs from the real formats here and there (its usage is 0 in some, Gemini's finish reason of
calls is one that Gemini does not have); what is checked is what it has right.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.aimock import NEEDS_AIMOCK, running_aimock
from tests.e2e.conftest import Running, running_gateway
from tests.e2e.fidelity.clients import CLIENTS, Client
from tests.e2e.fidelity.conversation import Answer, Ask, Turn
from tests.e2e.fidelity.frames import joined
from tests.e2e.fidelity.gateway import alias, connect
from tests.e2e.fidelity.providers import PROVIDERS, Provider

pytestmark = [*NEEDS_AIMOCK, pytest.mark.asyncio(loop_scope="module")]

PREFIXES = {"gemini": "/v1beta", "cohere": "", "bedrock": "", "ollama_native": ""}
GREETING = "Good morning, and welcome."
every_pair = pytest.mark.parametrize(
    ("client", "provider"),
    [
        pytest.param(client, provider, id=f"{client.name}-{provider.type}")
        for client in CLIENTS
        for provider in PROVIDERS
        # Within one format everything is passed on, aimock's departures too.
        if client.name != provider.dialect or client.name == "openai_chat"
    ],
)
streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    with running_aimock() as port:
        async with running_gateway(tmp_path_factory.mktemp("aimock")) as gateway:
            for provider in PROVIDERS:
                prefix = PREFIXES.get(provider.type, "/v1")
                await connect(gateway, provider, f"http://127.0.0.1:{port}{prefix}")
            yield gateway
            await gateway.ledger_holds()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def key(running: Running) -> str:
    return await running.key("aimock")


async def post(
    running: Running, key: str, client: Client, provider: Provider, ask: Ask
) -> tuple[int, bytes]:
    model = alias(provider)
    async with running.http.post(
        running.url + client.path(model, ask.stream),
        json=client.body(ask, model),
        headers={"authorization": f"Bearer {key}"},
    ) as response:
        return response.status, await response.read()


async def answer_of(
    running: Running, key: str, client: Client, provider: Provider, ask: Ask
) -> Answer:
    status, body = await post(running, key, client, provider, ask)
    assert status == 200, body
    if ask.stream:
        assert client.ends_well(body)
        return client.stream(body)
    return client.whole(json.loads(body))


def asking(text: str, **more: Any) -> Ask:
    return Ask((Turn("user", text),), **more)


@every_pair
@streamed_or_not
async def test_a_greeting(
    running: Running, key: str, client: Client, provider: Provider, stream: bool
) -> None:
    ask = replace(asking("greet me"), stream=stream)
    answer = await answer_of(running, key, client, provider, ask)
    assert (answer.text, answer.finish) == (GREETING, "stop")


@every_pair
@streamed_or_not
async def test_calls_of_tools(
    running: Running, key: str, client: Client, provider: Provider, stream: bool
) -> None:
    ask = asking("weather", tools=("weather", "clock"), stream=stream)
    answer = await answer_of(running, key, client, provider, ask)
    names = [name for name, _ in answer.called]
    assert names == ["weather", "clock"]
    assert answer.finish == "tool_calls"
    (_, weather), (_, clock) = answer.called
    assert joined([weather["city"]]) == "Zürich 🙂"
    assert (weather["days"], clock) == (3.1, {})


@every_pair
@pytest.mark.parametrize(("text", "status"), [("too fast", 429), ("too long", 400)])
async def test_errors(
    running: Running, key: str, client: Client, provider: Provider, text: str, status: int
) -> None:
    found, body = await post(running, key, client, provider, asking(text))
    assert found == status, body
    message, _ = client.error(json.loads(body))
    if provider.type != "bedrock":  # whose errors are not in Amazon's shape there
        assert {429: "slow down", 400: "the prompt is too long"}[status] in message
