"""How answers of an alias are kept, as options say it."""

from typing import Annotated, Any

import typer

from conduit.cli import inputs
from conduit.cli.failures import Failure
from conduit.client.api import Record
from conduit.core import people

CacheTtl = Annotated[
    str | None,
    typer.Option(
        "--cache-ttl", metavar="TIME", help="Keep answers for the same request so long: 10m; off."
    ),
]
CacheScope = Annotated[
    str | None,
    typer.Option(
        "--cache-scope", metavar="SCOPE", help="Who is answered by them: key, or shared by all."
    ),
]
_SCOPES = ("key", "shared")


def policy_of(cache_ttl: str | None, cache_scope: str | None) -> dict[str, Any]:
    """What was given of a mapping's policy. Raises Failure."""
    policy: dict[str, Any] = {}
    if cache_ttl is not None:
        policy["cache_ttl_s"] = None if cache_ttl == "off" else _seconds(cache_ttl)
    if cache_scope is not None:
        if cache_scope not in _SCOPES:
            raise Failure(f"--cache-scope: key or shared is expected, not {cache_scope!r}")
        policy["cache_scope"] = cache_scope
    return policy


def caching_text(mapping: Record) -> str:
    """`10m shared`; empty where nothing is kept."""
    policy = mapping.get("policy") or {}
    ttl_s = policy.get("cache_ttl_s")
    if ttl_s is None:
        return ""
    return people.span(ttl_s) + (" shared" if policy.get("cache_scope") == "shared" else "")


def _seconds(text: str) -> int:
    seconds = inputs.duration_s(text, "--cache-ttl")
    if seconds < 1:
        raise Failure("--cache-ttl: a second at least, or off")
    return round(seconds)
