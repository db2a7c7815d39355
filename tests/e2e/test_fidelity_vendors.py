"""Azure and Vertex AI: their doors, each of their credentials, and the endpoints of their tokens.

What goes through the doors is in the rows of `test_fidelity_matrix.py`.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio

from conduit.core.keys import make_master_key
from tests.e2e.fidelity.clients import CLIENTS, Client
from tests.e2e.fidelity.conversation import FIRST, HELLO, Ask, Turn
from tests.e2e.fidelity.gateway import Matrix, connect, open_matrix
from tests.e2e.fidelity.made import Made
from tests.e2e.fidelity.providers import VENDORS, Provider
from tests.e2e.fidelity.tokens import (
    ENTRA,
    GOOGLE,
    PRINCIPAL,
    SECRET,
    SERVICE_ACCOUNT,
    USER,
    TokenEndpoints,
    token_endpoints,
)
from tests.e2e.fidelity.vendors import AZURE_KEY, GOOGLE_TOKEN, PROJECT, ROOTS, Doors
from tests.e2e.processes import GatewayProcess, free_port
from tests.fakes.replay import ReplayUpstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

every_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: f"{client.name}")
BY_TYPE: Final = {provider.type: provider for provider in VENDORS}
CLAUDE: Final = f"{PROJECT}/publishers/anthropic/models/claude-sonnet-4-5@20250929"
AZURE_PATH: Final = "/openai/deployments/chat-1/chat/completions"
AZURE_LOGIN: Final = {"api-key": AZURE_KEY}
GOOGLE_LOGIN: Final = {"authorization": f"Bearer {GOOGLE_TOKEN}"}
CALLING: Final = Made(text="I will look.", calls=(FIRST,), finish="tool_calls")
ASK: Final = Ask((Turn("user", "The weather?"),), tools=("get_weather",))


@pytest.mark.parametrize(
    ("target", "login", "body", "status"),
    [
        ("azure/openai/v1/responses", AZURE_LOGIN, {"model": "chat-1"}, 404),
        ("azure/openai/v1/chat/completions", AZURE_LOGIN, {"model": "chat-2"}, 400),
        ("azure/openai/v1/chat/completions", AZURE_LOGIN, {"model": "chat-1", "x": 1}, 400),
        ("azure/openai/v1/chat/completions", {"api-key": "other"}, {"model": "chat-1"}, 401),
        ("azure/openai/v1/chat/completions", {}, {"model": "chat-1"}, 401),
        (f"azure_deployments{AZURE_PATH}", AZURE_LOGIN, {}, 404),
        (f"azure_deployments{AZURE_PATH}?api-version=1", AZURE_LOGIN, {}, 404),
        (f"vertex{PROJECT}/publishers/google/models/m:generateContent", GOOGLE_LOGIN, {}, 404),
        (f"vertex_anthropic{CLAUDE}:predict", GOOGLE_LOGIN, {}, 404),
        (f"vertex_anthropic{CLAUDE}:rawPredict", GOOGLE_LOGIN, {"max_tokens": 1}, 400),
        (
            f"vertex_anthropic{CLAUDE}:rawPredict",
            GOOGLE_LOGIN,
            {"anthropic_version": "vertex-2023-10-16", "max_tokens": 1, "model": "m"},
            400,
        ),
        (
            f"vertex_anthropic{CLAUDE}:streamRawPredict",
            GOOGLE_LOGIN,
            {"anthropic_version": "vertex-2023-10-16", "max_tokens": 1},
            400,
        ),
        (f"vertex_openai{PROJECT}/endpoints/openapi/chat/completions", AZURE_LOGIN, {}, 401),
        (f"vertex_openai{PROJECT}/endpoints/openapi/chat/completions", GOOGLE_LOGIN, {}, 400),
    ],
)
async def test_the_doors_are_shut_to_what_the_vendor_would_not_take(
    target: str, login: dict[str, str], body: Any, status: int
) -> None:
    doors = Doors()
    async with (
        ReplayUpstream(doors) as upstream,
        aiohttp.ClientSession() as http,
        http.post(f"{upstream.url}/{target}", json=body, headers=login) as response,
    ):
        assert response.status == status
        assert (await response.read()).count(b'"error"') == 1
    assert len(doors.refused) == 1


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def matrix(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Matrix]:
    async with open_matrix(tmp_path_factory.mktemp("vendors")) as opened:
        yield opened
        await opened.running.ledger_holds()


@every_client
@pytest.mark.parametrize(
    ("type_", "credential", "login"),
    [
        ("azure", "eyJ0eXAi.eyJhdWQi.c2ln", ("authorization", "Bearer eyJ0eXAi.eyJhdWQi.c2ln")),
        (
            "azure_deployments",
            "eyJ0eXAi.eyJhdWQi.c2ln",
            ("authorization", "Bearer eyJ0eXAi.eyJhdWQi.c2ln"),
        ),
        ("vertex", "AQ.express-key", ("x-goog-api-key", "AQ.express-key")),
    ],
)
async def test_a_credential_of_another_kind_goes_where_the_vendor_looks_for_it(
    matrix: Matrix, client: Client, type_: str, credential: str, login: tuple[str, str]
) -> None:
    provider = replace(BY_TYPE[type_], credential=credential)
    name = f"other-{type_}-{client.name}".replace("_", "-")
    matrix.doors.logins[type_].add(login)
    base_url = f"{matrix.upstream.url}/{type_}{provider.root}"
    await connect(matrix.running, provider, base_url, name=name)
    reply = provider.reply(CALLING, stream=True)
    ask = replace(ASK, stream=True)
    answer = await matrix.ask(client, provider, ask, reply, model=name)
    assert (answer.text, answer.called) == (CALLING.text, [FIRST.values])
    assert login in matrix.received.headers.items()


@every_client
@pytest.mark.parametrize("provider", VENDORS, ids=lambda each: each.type)
async def test_a_credential_that_the_vendor_refuses_is_not_the_client_s_fault(
    matrix: Matrix, client: Client, provider: Provider
) -> None:
    credential = f"{'ya29.' if provider.type.startswith('vertex') else ''}revoked-credential"
    name = f"revoked-{provider.type}-{client.name}".replace("_", "-")
    base_url = f"{matrix.upstream.url}/{provider.type}{provider.root}"
    revoked = replace(provider, credential=credential)
    await connect(matrix.running, revoked, base_url, name=name)
    reply = provider.reply(CALLING, stream=False)
    answered = await matrix.post(client, revoked, HELLO, reply, model=name)
    assert answered.status == 502
    message, _ = client.error(answered.json)
    assert "credential" in message
    assert credential not in message
    assert matrix.doors.refused.pop().startswith(f"{provider.type}: credential ")


@dataclass(frozen=True, slots=True)
class Tokens:
    """A gateway whose credentials are exchanged for tokens, and what stands around it."""

    gateway: GatewayProcess
    http: aiohttp.ClientSession
    upstream: ReplayUpstream
    endpoints: TokenEndpoints
    key: str

    async def connect(self, name: str, provider: Provider, credential: Any) -> None:
        fields = {
            "name": name,
            "type": provider.type,
            "base_url": f"{self.upstream.url}/{provider.type}{provider.root}",
            "credential": {"secret": json.dumps(credential)},
        }
        targets = [{"provider": name, "model": provider.model}]
        mapping = {"alias": name, "targets": targets}
        await self.gateway.admin(self.http, "POST", "/providers", fields)
        await self.gateway.admin(self.http, "POST", "/mappings", mapping)

    async def post(self, client: Client, ask: Ask, name: str) -> tuple[int, bytes]:
        self.upstream.requests.clear()
        async with self.http.post(
            self.gateway.url + client.path(name, ask.stream),
            json=client.body(ask, name),
            headers={"authorization": f"Bearer {self.key}"},
        ) as response:
            return response.status, await response.read()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tokens(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tokens]:
    folder: Path = tmp_path_factory.mktemp("tokens")
    doors = Doors()

    def give(token: str) -> None:
        for vendor in ROOTS:
            if vendor.startswith("azure" if ENTRA in token else "vertex"):
                doors.logins[vendor].add(("authorization", f"Bearer {token}"))

    async with (
        ReplayUpstream(doors) as upstream,
        token_endpoints(folder, give) as endpoints,
        aiohttp.ClientSession() as http,
    ):
        gateway = GatewayProcess(
            folder / "home", make_master_key(), free_port(), endpoints.environment
        )
        await gateway.start(http)
        try:
            created = await gateway.admin(http, "POST", "/keys", {"name": "tokens"})
            yield Tokens(gateway, http, upstream, endpoints, created["secret"])
        finally:
            await gateway.kill()
    assert doors.refused == []


@pytest.mark.parametrize(
    ("type_", "credential", "host"),
    [
        ("azure", PRINCIPAL, ENTRA),
        ("azure_deployments", PRINCIPAL, ENTRA),
        ("vertex", SERVICE_ACCOUNT, GOOGLE),
        ("vertex_anthropic", SERVICE_ACCOUNT, GOOGLE),
        ("vertex_openai", SERVICE_ACCOUNT, GOOGLE),
        ("vertex", USER, GOOGLE),
    ],
    ids=lambda value: value if isinstance(value, str) else value.get("type", "principal"),
)
async def test_a_credential_is_exchanged_for_a_token_once_and_the_token_opens_the_door(
    tokens: Tokens, type_: str, credential: dict[str, str], host: str
) -> None:
    provider = BY_TYPE[type_]
    name = f"{type_}-{credential.get('type', 'principal')}".replace("_", "-")
    await tokens.connect(name, provider, credential)
    tokens.endpoints.asked.clear()
    for stream in (False, True):
        tokens.upstream.reply = provider.reply(CALLING, stream=stream)
        for client in CLIENTS:
            status, body = await tokens.post(client, replace(ASK, stream=stream), name)
            assert status == 200, body
            answer = client.stream(body) if stream else client.whole(json.loads(body))
            assert (answer.text, answer.called) == (CALLING.text, [FIRST.values])
            (received,) = tokens.upstream.requests
            assert received.headers["authorization"] == f"Bearer token-1-of-{host}"
    assert tokens.endpoints.asked == [host]


@every_client
async def test_a_principal_that_entra_refuses_is_not_the_client_s_fault(
    tokens: Tokens, client: Client
) -> None:
    wrong = {**PRINCIPAL, "client_secret": f"not-{SECRET}-{client.name}"}
    name = f"refused-{client.name}".replace("_", "-")
    await tokens.connect(name, BY_TYPE["azure"], wrong)
    status, body = await tokens.post(client, HELLO, name)
    assert status == 502
    message, _ = client.error(json.loads(body))
    assert "token endpoint" in message
    assert SECRET.encode() not in body
    assert tokens.upstream.requests == []
