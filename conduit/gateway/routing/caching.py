"""Whether and how the answers of an alias are kept, as its mapping's policy says."""

from collections.abc import Iterator

from conduit.gateway.cache.digests import digest_of
from conduit.gateway.cache.terms import Caching
from conduit.gateway.config.snapshot import AliasMapping, Snapshot


def caching_of(mapping: AliasMapping, snapshot: Snapshot) -> Caching | None:
    """None where no answer is kept.

    A mapping that is changed, or one of whose providers is elsewhere now, has another origin: what
    was kept of it before is found no more.
    """
    policy = mapping.policy
    if policy.cache_ttl_s is None:
        return None
    return Caching(
        mapping.alias,
        policy.cache_ttl_s,
        shared=policy.cache_scope == "shared",
        origin=digest_of(part.encode() for part in _parts(mapping, snapshot)),
    )


def _parts(mapping: AliasMapping, snapshot: Snapshot) -> Iterator[str]:
    """The mapping and those it falls back on, with where their providers are."""
    ahead, seen = [mapping], {mapping.alias}
    while ahead:
        one = ahead.pop()
        yield from (one.id, str(one.version))
        for target in one.targets:
            upstream = snapshot.upstreams.get(target.provider)
            if upstream is not None:
                yield from (upstream.id, upstream.provider.type.name, upstream.base_url)
        for fallback in one.fallbacks:
            other = snapshot.mappings.get(fallback.alias)
            if other is not None and other.alias not in seen:
                seen.add(other.alias)
                ahead.append(other)
