"""What a start finds by itself."""

from collections.abc import Mapping
from typing import Any

import pytest

from conduit.gateway.config.configuration import Configuration
from conduit.gateway.first_start import Discovery, Found
from conduit.gateway.providers import registry
from conduit.gateway.reach.access_tokens import AccessTokens, fetch_through
from conduit.gateway.reach.endpoints import Endpoints
from conduit.gateway.storage.engine import Database
from conduit.gateway.upstream import TransportError, TransportFault


class Machine:
    """The network as a start sees it: a list of models at some base URLs, nothing elsewhere."""

    def __init__(self, lists: Mapping[str, bytes]) -> None:
        self.lists = lists
        self.asked: list[str] = []

    def endpoint(self, base_url: str, *, allow_private: bool) -> Any:
        return _Place(self, base_url)

    async def close(self) -> None:
        pass


class _Place:
    def __init__(self, machine: Machine, base_url: str) -> None:
        self._machine = machine
        self._base_url = base_url

    async def get(self, path: str, headers: Mapping[str, str], deadlines: Any) -> Any:
        self._machine.asked.append(self._base_url + path)
        body = self._machine.lists.get(self._base_url)
        if body is None:
            raise TransportError(TransportFault.CONNECT, "refused", sent=False, reused=False)
        return _Listed(body)


class _Listed:
    status = 200
    headers: Mapping[str, str] = {}

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self, limit: int) -> bytes:
        return self._body

    def close(self) -> None:
        pass


async def start(
    database: Database, machine: Machine, **environment: str
) -> tuple[Found, list[str]]:
    """What was found, and the aliases there are afterwards."""
    configuration = Configuration(database, registry.provider_of, None, environment)
    endpoints = Endpoints(machine)
    tokens = AccessTokens(fetch_through(endpoints))
    discovery = Discovery(database, configuration, endpoints, tokens.headers, environment)
    found = await discovery.run(simulator=False)
    return found, sorted(configuration.snapshot.mappings)


@pytest.mark.parametrize(
    ("variable", "name", "base_url", "listing", "alias"),
    [
        (
            "TOGETHER_API_KEY",
            "together",
            "https://api.together.ai/v1",
            b'[{"id":"Qwen/Qwen3-8B","object":"model"}]',
            "Qwen/Qwen3-8B",
        ),
        (
            "GEMINI_API_KEY",
            "gemini",
            "https://generativelanguage.googleapis.com/v1beta",
            b'{"models":[{"name":"models/gemini-2.5-flash"}]}',
            "gemini-2.5-flash",
        ),
        (
            "CO_API_KEY",
            "cohere",
            "https://api.cohere.com",
            b'{"models":[{"name":"command-a-03-2025"}],"next_page_token":""}',
            "command-a-03-2025",
        ),
        (
            "ANTHROPIC_API_KEY",
            "anthropic",
            "https://api.anthropic.com/v1",
            b'{"data":[{"type":"model","id":"claude-opus-4-5"}],"has_more":false}',
            "claude-opus-4-5",
        ),
    ],
)
async def test_a_variable_brings_a_provider_with_its_models(
    database: Database, variable: str, name: str, base_url: str, listing: bytes, alias: str
) -> None:
    found, aliases = await start(database, Machine({base_url: listing}), **{variable: "key"})
    assert found.origins == {name: f"env {variable}"}
    assert found.warnings == []
    assert aliases == [alias]


async def test_a_variable_alone_is_not_enough_where_an_address_is_missing(
    database: Database,
) -> None:
    environment = {"CLOUDFLARE_API_TOKEN": "t", "AZURE_OPENAI_API_KEY": "k"}
    found, _ = await start(database, Machine({}), **environment)
    assert found.origins == {"simulator": "built in"}


async def test_a_start_looks_only_for_what_has_an_address_of_its_own(database: Database) -> None:
    machine = Machine({"http://127.0.0.1:1234/v1": b'{"data":[{"id":"qwen3-8b"}]}'})
    found, _ = await start(database, machine)
    assert found.origins == {"lm_studio": "running at http://127.0.0.1:1234/v1"}
    assert sorted(set(machine.asked)) == [
        "http://127.0.0.1:11434/v1/models",
        "http://127.0.0.1:1234/v1/models",
    ]
