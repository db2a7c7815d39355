"""Asking a provider which models it has; costs no tokens."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from conduit.core.errors import NotFoundError, UpstreamFailure
from conduit.gateway.config.snapshot import Upstream
from conduit.gateway.reach.stored import Reach
from conduit.gateway.upstream import Deadlines, Endpoint, TransportError

_LIMIT_BYTES = 8 * 1024 * 1024
_LONGEST_NAME = 200
_PATIENCE = Deadlines(pool_s=1, connect_s=2, first_event_s=5, gap_s=5, total_s=8)
_KEPT_S = 60.0
_MOST_KEPT = 200
_SERVED: Final = frozenset({"generateContent", "embedContent", "chat", "embed", "rerank"})


class NoListError(NotFoundError):
    """Providers of this type list no models anywhere that their credential can see."""


async def models_of(reach: Reach) -> tuple[str, ...]:
    """The names of the provider's models, sorted.

    Raises NoListError, UpstreamFailure or TransportError.
    """
    kind, name = reach.upstream.provider.type, reach.upstream.name
    if kind.models_path is None:
        raise NoListError(
            f"providers of type {kind.name} do not list their models",
            hint=f"map one by its name: conduit mappings add ALIAS --to {name}/MODEL",
        )
    headers = await reach.headers("GET", kind.models_path)
    response = await reach.endpoint.get(kind.models_path, headers, _PATIENCE)
    try:
        if response.status != 200:
            refusal = await reach.refusal(response, _LIMIT_BYTES)
            raise UpstreamFailure(refusal.message)
        body = await response.read(_LIMIT_BYTES)
    finally:
        response.close()
    return tuple(sorted(_names(body)))


async def answers_at_all(reach: Reach) -> None:
    """Whether a credential can be used, and anything answers at the base URL, whatever it says.

    It is all that can be known without tokens of a provider that lists no models: the key may be
    wrong. Raises UpstreamFailure or TransportError.
    """
    await reach.headers("GET", "/")
    # Without them: nobody at this path has asked for the credential.
    response = await reach.endpoint.get("/", {}, _PATIENCE)
    response.close()


async def lists_models(endpoint: Endpoint, path: str) -> bool:
    """Whether a list of models is there for everybody, as on a server of one's own."""
    try:
        response = await endpoint.get(path, {}, _PATIENCE)
        try:
            body = await response.read(_LIMIT_BYTES)
        finally:
            response.close()
        _names(body)
    except (TransportError, UpstreamFailure):
        return False
    return response.status == 200


def _names(body: bytes) -> set[str]:
    """Names by `id` in `data`, as with OpenAI and Anthropic, or in the bare array of Together; by
    `name` in `models`, as with Gemini (whose names begin with `models/`) and Cohere. What cannot be
    called here, as such a list itself says, is left out."""
    try:
        listing: Any = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise UpstreamFailure("the list of models is not JSON") from error
    rows = listing
    if isinstance(listing, dict):
        rows = listing.get("data", listing.get("models"))
    if not isinstance(rows, list):
        raise UpstreamFailure("the list of models has no data")
    listed = (row for row in rows if isinstance(row, dict) and _is_served(row))
    names = (row.get("id", row.get("name")) for row in listed)
    usable = (name for name in names if isinstance(name, str) and _is_usable(name))
    return {name.removeprefix("models/") for name in usable}


def _is_served(row: Mapping[str, Any]) -> bool:
    """Whether Gemini's methods or Cohere's endpoints of a model, where told, are served here."""
    methods = row.get("supportedGenerationMethods", row.get("endpoints"))
    return not isinstance(methods, list) or not _SERVED.isdisjoint(map(str, methods))


def _is_usable(name: str) -> bool:
    return (
        0 < len(name) <= _LONGEST_NAME and name.isascii() and name.isprintable() and " " not in name
    )


@dataclass(frozen=True, slots=True)
class _Listed:
    models: tuple[str, ...]
    at_s: float


class ModelLists:
    """The models that providers listed, kept for a minute, so that the pages of a list fit."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[tuple[object, ...], _Listed] = {}

    async def of(
        self,
        upstream: Upstream,
        ask: Callable[[], Awaitable[tuple[str, ...]]],
        *,
        refresh: bool = False,
    ) -> tuple[str, ...]:
        """The list in hand, or what `ask` answers; `refresh` asks in any case."""
        # With another address or another key a provider may offer other models.
        place = (upstream.id, upstream.base_url, upstream.credentials)
        kept = self._kept.get(place)
        if not refresh and kept is not None and self._clock() - kept.at_s < _KEPT_S:
            return kept.models
        models = await ask()
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()  # what was asked under former addresses stays behind
        self._kept[place] = _Listed(models, self._clock())
        return models
