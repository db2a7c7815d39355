"""What virtual keys may do, made of what storage holds of them."""

from collections.abc import Iterator, Sequence

from conduit.core.limits import Limit
from conduit.gateway.snapshot import KeyGrant
from conduit.gateway.storage import budgets, keys
from conduit.gateway.storage.engine import Transaction
from conduit.gateway.storage.keys import StoredKey


async def read_grant(connection: Transaction, digest: bytes) -> KeyGrant | None:
    """What the secret of a digest may do; None where no key has it."""
    key = await keys.find_by_digest(connection, digest)
    if key is None:
        return None
    hard = await _with_hard_budget(connection, [key])
    return _grant(key, _expiry(key, digest), has_hard_budget=key.id in hard)


async def grants_of(
    connection: Transaction, found: Sequence[StoredKey]
) -> list[tuple[bytes, KeyGrant]]:
    """Every secret of some keys by its digest, the former ones too, and what it may do."""
    hard = await _with_hard_budget(connection, found)
    return [
        (digest, _grant(key, _expiry(key, digest), has_hard_budget=key.id in hard))
        for key in found
        for digest in _digests(key)
    ]


async def _with_hard_budget(connection: Transaction, found: Sequence[StoredKey]) -> set[str]:
    own = await budgets.of_keys(connection, [key.id for key in found])
    return {budget.scope_id for budget in own if budget.mode == "hard"}


def _digests(key: StoredKey) -> Iterator[bytes]:
    yield key.digest
    if key.former_digest is not None:
        yield key.former_digest


def _expiry(key: StoredKey, digest: bytes) -> int | None:
    """When the secret of a digest ends: the former one at its own time, if that is sooner."""
    if digest == key.digest:
        return key.expires_at_ms
    ends = (key.former_expires_at_ms, key.expires_at_ms)
    return min((end for end in ends if end is not None), default=0)


def _grant(key: StoredKey, expires_at_ms: int | None, *, has_hard_budget: bool) -> KeyGrant:
    return KeyGrant(
        id=key.id,
        name=key.name,
        enabled=key.enabled,
        allowed_models=tuple(key.allowed_models),
        expires_at_ms=expires_at_ms,
        has_hard_budget=has_hard_budget,
        log_bodies=key.log_bodies,
        allow_direct=key.allow_direct,
        limits=tuple(Limit(**limit) for limit in key.limits),
        allowed_ips=tuple(key.allowed_ips),
        priority=key.priority,
    )
