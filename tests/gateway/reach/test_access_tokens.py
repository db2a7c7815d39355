"""Tokens in the place of credentials: asked for once, kept until shortly before their end."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from conduit.core.errors import ConduitError, UpstreamAuthError, UpstreamFailure
from conduit.gateway.provider import OutgoingRequest, TokenRequest
from conduit.gateway.providers.registry import provider_of
from conduit.gateway.reach.access_tokens import AccessTokens, fetch_through
from conduit.gateway.reach.endpoints import Endpoints
from conduit.gateway.upstream import TransportError, TransportFault

REQUEST = OutgoingRequest("POST", "https://a.invalid/v1/chat/completions", b"{}")
AZURE = provider_of("azure")
PRINCIPAL = json.dumps({"tenant_id": "t", "client_id": "c", "client_secret": "s-canary"})


class TokenServer:
    """Answers token requests, and counts them."""

    def __init__(self, status: int = 200, **fields: Any) -> None:
        self.status = status
        self.fields = fields
        self.asked: list[TokenRequest] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, request: TokenRequest) -> tuple[int, bytes]:
        self.asked.append(request)
        await self.gate.wait()
        fields = {"access_token": f"token-{len(self.asked)}"} | self.fields
        return self.status, json.dumps(fields).encode()


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def headers(tokens: AccessTokens, credential: str | None = PRINCIPAL) -> Mapping[str, str]:
    return await tokens.headers(AZURE, credential, REQUEST)


async def test_a_token_stands_in_the_place_of_the_credential() -> None:
    server = TokenServer(expires_in=3600)
    assert await headers(AccessTokens(server)) == {"authorization": "Bearer token-1"}
    assert server.asked[0].form["client_secret"] == "s-canary"


async def test_a_credential_that_is_used_as_it_is_asks_for_nothing() -> None:
    server = TokenServer()
    tokens = AccessTokens(server)
    assert await headers(tokens, "key") == {"api-key": "key"}
    assert await headers(tokens, None) == {}
    openai = await tokens.headers(provider_of("openai"), PRINCIPAL, REQUEST)
    assert openai == {"authorization": f"Bearer {PRINCIPAL}"}
    assert server.asked == []


@pytest.mark.parametrize(
    ("life", "fresh_s"), [(3600, 3300), ("3600", 3300), (100, 50), (None, 3300)]
)
async def test_a_token_is_kept_until_shortly_before_its_end(life: Any, fresh_s: float) -> None:
    server, clock = TokenServer(expires_in=life), Clock()
    tokens = AccessTokens(server, clock)
    await headers(tokens)
    clock.now_s += fresh_s - 1
    assert await headers(tokens) == {"authorization": "Bearer token-1"}
    clock.now_s += 2
    assert await headers(tokens) == {"authorization": "Bearer token-2"}


async def test_calls_at_once_wait_for_one_token_and_one_that_leaves_ends_it_for_nobody() -> None:
    server = TokenServer(expires_in=3600)
    server.gate.clear()
    tokens = AccessTokens(server)
    calls = [asyncio.ensure_future(headers(tokens)) for _ in range(3)]
    while not server.asked:
        await asyncio.sleep(0)
    calls[0].cancel()
    server.gate.set()
    assert await asyncio.gather(*calls[1:]) == [{"authorization": "Bearer token-1"}] * 2
    assert calls[0].cancelled()
    assert len(server.asked) == 1


async def test_another_credential_has_another_token() -> None:
    server = TokenServer(expires_in=3600)
    tokens = AccessTokens(server)
    await headers(tokens)
    other = PRINCIPAL.replace("s-canary", "s-other")
    assert await headers(tokens, other) == {"authorization": "Bearer token-2"}


@pytest.mark.parametrize(
    ("status", "fields", "error"),
    [
        (401, {"error": "invalid_client", "error_description": "bad s-canary"}, UpstreamAuthError),
        (400, {"error": "invalid_grant"}, UpstreamAuthError),
        (400, {}, UpstreamAuthError),
        (503, {"error": "temporarily_unavailable"}, UpstreamFailure),
        (429, {}, UpstreamFailure),
        (200, {"access_token": None}, UpstreamFailure),
        (200, {"access_token": "a\nb"}, UpstreamFailure),
    ],
)
async def test_a_refusal_is_told_without_the_secret_and_kept_for_a_moment(
    status: int, fields: dict[str, Any], error: type[ConduitError]
) -> None:
    server, clock = TokenServer(status, **fields), Clock()
    tokens = AccessTokens(server, clock)
    for _ in range(2):
        with pytest.raises(error) as raised:
            await headers(tokens)
        assert type(raised.value) is error
        assert "s-canary" not in f"{raised.value} {raised.value.hint}"
    assert len(server.asked) == 1
    clock.now_s += 6
    with pytest.raises(error):
        await headers(tokens)
    assert len(server.asked) == 2


async def test_an_answer_that_is_no_object_is_a_failure() -> None:
    async def fetch(request: TokenRequest) -> tuple[int, bytes]:
        return 200, b"[]"

    with pytest.raises(UpstreamFailure):
        await headers(AccessTokens(fetch))


async def test_closing_ends_what_is_under_way() -> None:
    server = TokenServer()
    server.gate.clear()
    tokens = AccessTokens(server)
    call = asyncio.ensure_future(headers(tokens))
    while not server.asked:
        await asyncio.sleep(0)
    await tokens.close()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_what_was_known_of_former_credentials_does_not_pile_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("conduit.gateway.reach.access_tokens._MOST_KEPT", 1)
    server = TokenServer(expires_in=3600)
    tokens = AccessTokens(server)
    other = PRINCIPAL.replace("s-canary", "s-other")
    for credential in (PRINCIPAL, other, PRINCIPAL):
        await headers(tokens, credential)
    assert len(server.asked) == 3


class Answer:
    """A response of an upstream whose body is read at once."""

    status = 200

    def __init__(self) -> None:
        self.closed = False

    async def read(self, limit: int) -> bytes:
        return b'{"access_token":"t"}'

    def close(self) -> None:
        self.closed = True


class Network:
    """Stands for the gateway's connections; notes what is sent."""

    def __init__(self, failure: TransportError | None = None) -> None:
        self.failure = failure
        self.sent: list[tuple[Any, ...]] = []
        self.answer = Answer()

    def endpoint(self, base_url: str, *, allow_private: bool) -> "Network":
        self.sent.append((base_url, allow_private))
        return self

    async def send(
        self, path: str, body: bytes, headers: Mapping[str, str], deadlines: Any
    ) -> Answer:
        if self.failure is not None:
            raise self.failure
        self.sent.append((path, body, dict(headers)))
        return self.answer


TOKEN_REQUEST = TokenRequest("https://login.invalid/t/token", {"grant_type": "x", "scope": "a b"})


async def test_a_token_request_goes_over_the_gateways_own_connections() -> None:
    network = Network()
    fetch = fetch_through(Endpoints(network))  # type: ignore[arg-type]  # as much as is used
    assert await fetch(TOKEN_REQUEST) == (200, b'{"access_token":"t"}')
    assert network.sent == [
        ("https://login.invalid", False),
        (
            "/t/token",
            b"grant_type=x&scope=a+b",
            {"content-type": "application/x-www-form-urlencoded"},
        ),
    ]
    assert network.answer.closed


async def test_a_token_endpoint_that_does_not_answer_is_a_failure() -> None:
    network = Network(TransportError(TransportFault.CONNECT, "refused", sent=False, reused=False))
    fetch = fetch_through(Endpoints(network))  # type: ignore[arg-type]  # as much as is used
    with pytest.raises(UpstreamFailure):
        await fetch(TOKEN_REQUEST)
