"""Lists of models: read in every form, and kept for a moment."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from conduit.core.errors import UpstreamAuthError, UpstreamFailure
from conduit.gateway.config.snapshot import Credential, Upstream
from conduit.gateway.probing.discovery import ModelLists, NoListError, answers_at_all, models_of
from conduit.gateway.provider import OutgoingRequest, Provider
from conduit.gateway.providers.registry import provider_of
from conduit.gateway.reach.stored import Reach
from conduit.gateway.upstream import Endpoint

UPSTREAM = Upstream(
    id="prov_1",
    name="main",
    provider=provider_of("openai"),
    base_url="https://a.invalid/v1",
    allow_private=False,
    enabled=True,
    credentials=(Credential("cred_1", "default", "sk-one"),),
)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Asked:
    """Counts how often a provider was asked."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> tuple[str, ...]:
        self.times += 1
        return (f"model-{self.times}",)


async def test_a_list_is_kept_for_a_minute() -> None:
    clock, ask = Clock(), Asked()
    lists = ModelLists(clock)
    assert await lists.of(UPSTREAM, ask) == ("model-1",)
    clock.now_s += 59
    assert await lists.of(UPSTREAM, ask) == ("model-1",)
    clock.now_s += 2
    assert await lists.of(UPSTREAM, ask) == ("model-2",)


async def test_a_list_is_asked_for_anew_on_demand() -> None:
    ask = Asked()
    lists = ModelLists(Clock())
    await lists.of(UPSTREAM, ask)
    assert await lists.of(UPSTREAM, ask, refresh=True) == ("model-2",)
    assert await lists.of(UPSTREAM, ask) == ("model-2",)


@pytest.mark.parametrize(
    "other",
    [
        replace(UPSTREAM, id="prov_2"),
        replace(UPSTREAM, base_url="https://b.invalid/v1"),
        replace(UPSTREAM, credentials=(Credential("cred_1", "default", "sk-two"),)),
        replace(UPSTREAM, credentials=()),
    ],
)
async def test_another_account_has_another_list(other: Upstream) -> None:
    ask = Asked()
    lists = ModelLists(Clock())
    await lists.of(UPSTREAM, ask)
    await lists.of(other, ask)
    assert ask.times == 2


class Listing:
    """An endpoint that answers each GET with one body; `asked` are paths and headers."""

    def __init__(self, body: bytes, status: int = 200) -> None:
        self._body = body
        self.status = status
        self.headers: Mapping[str, str] = {}
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    async def get(self, path: str, headers: Mapping[str, str], deadlines: Any) -> Any:
        self.asked.append((path, headers))
        return self

    async def read(self, limit: int) -> bytes:
        return self._body

    def close(self) -> None:
        pass


async def authorize(
    provider: Provider, credential: str | None, request: OutgoingRequest
) -> Mapping[str, str]:
    return await provider.authorize(credential, request)


def reached(type_name: str, listing: Listing) -> Reach:
    upstream = replace(UPSTREAM, provider=provider_of(type_name))
    return Reach(upstream, cast(Endpoint, listing), authorize)


async def test_a_provider_without_a_list_says_what_to_do() -> None:
    with pytest.raises(NoListError, match="type cloudflare do not list") as raised:
        await models_of(reached("cloudflare", Listing(b"")))
    assert raised.value.hint == "map one by its name: conduit mappings add ALIAS --to main/MODEL"


@pytest.mark.parametrize(
    ("type_name", "path", "header", "body", "models"),
    [
        (
            "anthropic",
            "/models?limit=1000",
            "x-api-key",
            b'{"data":[{"type":"model","id":"claude-b"},{"id":"claude-a"}],"has_more":false}',
            ("claude-a", "claude-b"),
        ),
        (
            "gemini",
            "/models?pageSize=1000",
            "x-goog-api-key",
            b'{"models":[{"name":"models/g-1","supportedGenerationMethods":["generateContent"]},'
            b'{"name":"models/veo","supportedGenerationMethods":["predictLongRunning"]}]}',
            ("g-1",),
        ),
        (
            "cohere",
            "/v1/models?page_size=1000&endpoint=chat",
            "authorization",
            b'{"models":[{"name":"command-a","endpoints":["chat","generate"]},'
            b'{"name":"c-classify","endpoints":["classify"]}],"next_page_token":""}',
            ("command-a",),
        ),
        ("together", "/models", "authorization", b'[{"id":"Qwen/Qwen3"}]', ("Qwen/Qwen3",)),
    ],
)
async def test_a_list_is_read_in_each_vendors_form(
    type_name: str, path: str, header: str, body: bytes, models: tuple[str, ...]
) -> None:
    listing = Listing(body)
    assert await models_of(reached(type_name, listing)) == models
    [(asked, headers)] = listing.asked
    assert asked == path
    assert "sk-one" in headers[header]


@pytest.mark.parametrize(
    ("type_name", "body"),
    [
        ("anthropic", b'{"type":"error","error":{"type":"authentication_error","message":"no"}}'),
        ("gemini", b'{"error":{"code":401,"message":"no","status":"UNAUTHENTICATED"}}'),
        ("openai", b'{"error":{"message":"no"}}'),
    ],
)
async def test_a_refused_key_is_told_as_such(type_name: str, body: bytes) -> None:
    with pytest.raises(UpstreamFailure, match=r"refused the gateway.s credential \(401\)"):
        await models_of(reached(type_name, Listing(body, 401)))


@pytest.mark.parametrize("body", [b"<html>", b'{"object":"list"}', b'{"data":{}}'])
async def test_what_is_no_list_is_a_failure(body: bytes) -> None:
    with pytest.raises(UpstreamFailure, match="the list of models"):
        await models_of(reached("openai", Listing(body)))


async def test_whether_anything_answers_is_asked_without_the_credential() -> None:
    listing = Listing(b"nothing here", 404)
    await answers_at_all(reached("cloudflare", listing))
    assert listing.asked == [("/", {})]


async def test_a_credential_that_cannot_be_used_is_told_without_asking() -> None:
    listing = Listing(b"")
    reach = reached("bedrock", listing)
    broken = Credential("cred_1", "default", '{"region": "eu-west-1"}')
    with pytest.raises(UpstreamAuthError, match="access_key_id"):
        await answers_at_all(replace(reach, credential=broken))
    assert listing.asked == []
