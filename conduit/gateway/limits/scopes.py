"""What has rate limits: a key, its group, the alias that a request asks for, the whole gateway."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import structs

from conduit.core.limits import Limit
from conduit.gateway.limits.limiter import Scope

GATEWAY: Final = "gateway"
"""The id of the scope that holds every request; no record has such an id."""


def limits_of(stored: Iterable[Mapping[str, Any]]) -> tuple[Limit, ...]:
    """Limits as they are stored with a record."""
    return tuple(Limit(**limit) for limit in stored)


def mapping_scope(mapping_id: str, alias: str, limits: tuple[Limit, ...]) -> Scope:
    return Scope(mapping_id, f'the model "{alias}"', limits, "mapping", alias)


def gateway_scope(limits: tuple[Limit, ...]) -> Scope:
    return Scope(GATEWAY, "the gateway", limits, GATEWAY)


def narrowed(scope: Scope, model: str | None) -> Scope:
    """With the limits alone that count requests for a model, None: that count whatever is asked."""
    if all(limit.model is None for limit in scope.limits):
        return scope
    counting = tuple(
        limit
        for limit in scope.limits
        if limit.model is None or (model is not None and limit.counts(model))
    )
    return structs.replace(scope, limits=counting)
