"""Parts of an exchange for tests that need no gateway around them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from conduit.gateway.config.snapshot import AliasMapping, KeyGrant, Snapshot, Target, Upstream
from conduit.gateway.dialects.openai.wire import decode_call
from conduit.gateway.exchange import Exchange
from conduit.gateway.in_flight import LiveExchanges
from conduit.gateway.pricing import Rates
from conduit.gateway.provider import Operation
from conduit.gateway.providers.registry import provider_of

DOLLAR = 1_000_000_000
RATES = Rates(input=DOLLAR, output=2 * DOLLAR, version="test", source="override")


def upstream(name: str = "one", type_name: str = "openai_compatible", **changes: Any) -> Upstream:
    fields: dict[str, Any] = {
        "id": f"prov_{name}",
        "name": name,
        "provider": provider_of(type_name),
        "base_url": "http://127.0.0.1:1/v1",
        "allow_private": True,
        "enabled": True,
        "credentials": (),
    }
    return Upstream(**fields | changes)


def mapping(alias: str, *targets: Target) -> AliasMapping:
    return AliasMapping(f"map_{alias}", alias, "simple", targets, (), 0)


def snapshot(
    mappings: list[AliasMapping],
    upstreams: list[Upstream] | None = None,
    rates: dict[tuple[str, str], Rates] | None = None,
) -> Snapshot:
    known = [upstream()] if upstreams is None else upstreams
    prices = {("one", "*"): RATES} if rates is None else rates
    return Snapshot(
        1, {each.name: each for each in known}, {each.alias: each for each in mappings}, prices
    )


def grant(**changes: Any) -> KeyGrant:
    fields: dict[str, Any] = {
        "id": "key_1",
        "name": "test",
        "enabled": True,
        "allowed_models": ("*",),
        "expires_at_ms": None,
    }
    return KeyGrant(**fields | changes)


def chat_body(model: str = "fast", **fields: object) -> bytes:
    messages = [{"role": "user", "content": "hello"}]
    return json.dumps({"model": model, "messages": messages, **fields}).encode()


def exchange(configuration: Snapshot, model: str = "fast", **fields: object) -> Exchange:
    """An exchange that has been authenticated and decoded."""
    made = Exchange(Operation.CHAT, configuration)
    made.grant(grant())
    made.call = decode_call(Operation.CHAT, chat_body(model, **fields))
    return made


@contextmanager
def entered(live: LiveExchanges, exchange: Exchange) -> Iterator[None]:
    """In the block the exchange is live."""
    live.enter(exchange)
    try:
        yield
    finally:
        live.leave(exchange)
