"""The aliases that a key may use, nothing else, in the shape that each kind of client reads.

`GET /v1/models` and `/v1/models/{id}` have OpenAI's, or Anthropic's where `anthropic-version` is
sent; `/v1beta/models` has Gemini's. All are one page.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiohttp import web

from conduit.core.errors import ModelNotFoundError
from conduit.core.moments import time_of_ms
from conduit.gateway.appkeys import ENTRANCE
from conduit.gateway.config.snapshot import AliasMapping, KeyGrant, Snapshot
from conduit.gateway.provider import Operation
from conduit.gateway.routing.allowed import may_use
from conduit.gateway.routing.resolve import find_mapping
from conduit.gateway.server.headers import client_key_of

_ANTHROPIC: Final = "anthropic-version"
_METHODS: Final[Mapping[Operation, tuple[str, ...]]] = {
    Operation.CHAT: ("generateContent", "streamGenerateContent", "countTokens"),
    Operation.EMBEDDING: ("embedContent", "batchEmbedContents"),
}


def routes() -> list[web.RouteDef]:
    return [
        web.get("/v1/models", list_models),
        web.get("/v1/models/{model:.+}", show_model),
        web.get("/v1beta/models", list_gemini_models),
        web.get("/v1beta/models/{model:.+}", show_gemini_model),
    ]


async def list_models(request: web.Request) -> web.Response:
    snapshot, key = await _asked_by(request)
    mappings = _usable(snapshot, key)
    if _ANTHROPIC in request.headers:
        return _answer(request, key, _anthropic_page(mappings))
    data = [_model(snapshot, mapping, mapping.alias) for mapping in mappings]
    return _answer(request, key, {"object": "list", "data": data})


async def show_model(request: web.Request) -> web.Response:
    snapshot, key = await _asked_by(request)
    mapping, name = _named(request, snapshot, key)
    if _ANTHROPIC in request.headers:
        return _answer(request, key, _anthropic_model(mapping, name))
    return _answer(request, key, _model(snapshot, mapping, name))


async def list_gemini_models(request: web.Request) -> web.Response:
    snapshot, key = await _asked_by(request)
    mappings = _usable(snapshot, key)
    found = [_gemini_model(snapshot, mapping, mapping.alias) for mapping in mappings]
    return _answer(request, key, {"models": found})


async def show_gemini_model(request: web.Request) -> web.Response:
    snapshot, key = await _asked_by(request)
    mapping, name = _named(request, snapshot, key)
    return _answer(request, key, _gemini_model(snapshot, mapping, name))


async def _asked_by(request: web.Request) -> tuple[Snapshot, KeyGrant]:
    entrance = request.app[ENTRANCE].now
    key = await entrance.stages.authenticate(client_key_of(request), entrance.addresses.of(request))
    return entrance.snapshot(), key


def _answer(request: web.Request, key: KeyGrant, body: object) -> web.Response:
    return web.json_response(body, headers=_limit_headers(request, key))


def _limit_headers(request: web.Request, key: KeyGrant) -> Mapping[str, str]:
    """How the key's rate limits stand: nothing is taken of them here."""
    return request.app[ENTRANCE].now.limit_headers(key, ())


def _usable(snapshot: Snapshot, key: KeyGrant) -> list[AliasMapping]:
    return [each for each in snapshot.mappings.values() if may_use(key, each.alias)]


def _named(request: web.Request, snapshot: Snapshot, key: KeyGrant) -> tuple[AliasMapping, str]:
    name = request.match_info["model"]
    mapping = find_mapping(snapshot, name)
    if mapping is None or not may_use(key, name):
        error = ModelNotFoundError(f"there is no model {name!r}", param="model")
        error.headers = _limit_headers(request, key)
        raise error
    return mapping, name


def _model(snapshot: Snapshot, mapping: AliasMapping, name: str) -> dict[str, Any]:
    first = mapping.targets[0].provider
    upstream = snapshot.upstreams.get(first)
    simulated = upstream is not None and upstream.provider.type.simulated
    model = {
        "id": name,
        "object": "model",
        "created": mapping.created_at_ms // 1000,
        "owned_by": first,
    }
    return {**model, "simulated": True} if simulated else model


def _anthropic_page(mappings: Iterable[AliasMapping]) -> dict[str, Any]:
    data = [_anthropic_model(mapping, mapping.alias) for mapping in mappings]
    ids = [model["id"] for model in data]
    ends = {"first_id": ids[0], "last_id": ids[-1]} if ids else {"first_id": None, "last_id": None}
    return {"data": data, "has_more": False, **ends}


def _anthropic_model(mapping: AliasMapping, name: str) -> dict[str, Any]:
    created_at = time_of_ms(mapping.created_at_ms)
    return {"type": "model", "id": name, "display_name": name, "created_at": created_at}


def _gemini_model(snapshot: Snapshot, mapping: AliasMapping, name: str) -> dict[str, Any]:
    offered = {
        operation
        for target in mapping.targets
        if (upstream := snapshot.upstreams.get(target.provider)) is not None
        for operation in upstream.provider.type.operations
    }
    methods = [
        each for operation in _METHODS if operation in offered for each in _METHODS[operation]
    ]
    return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods}
